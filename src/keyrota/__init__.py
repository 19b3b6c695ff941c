"""keyrota: AWS access keys in CI/CD that rotate themselves and never break a pipeline."""

__version__ = "0.1.0"
