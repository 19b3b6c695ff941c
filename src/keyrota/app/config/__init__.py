"""`keyrota.yaml`: its schema, its reading, and what it refers to."""

from keyrota.app.config.load import load
from keyrota.app.config.model import Configuration, CredentialConfig, TargetConfig
from keyrota.app.config.references import References, is_reference
from keyrota.app.config.schema import schema

__all__ = ["Configuration", "CredentialConfig", "References", "TargetConfig", "is_reference", "load", "schema"]
