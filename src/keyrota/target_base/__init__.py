"""What targets share: schema, what a provider is, its errors, the routine of a write, the default target."""
