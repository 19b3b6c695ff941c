"""Bringing keyrota to Lambda: the code package, the template, the stack, and the configuration that it reads."""
