"""Emulators of the CI providers, one module each, over real HTTP."""
