"""The CI providers: one module each, found by the entry point group `keyrota.targets`."""
