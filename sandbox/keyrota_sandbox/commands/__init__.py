"""Commands that this distribution adds to `keyrota`: demo, sandbox, simulate."""
