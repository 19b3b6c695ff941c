"""`keyrota.yaml`: its schema, its reading, and what it refers to."""

from keyrota.app.config.include import bundle
from keyrota.app.config.load import load, load_text
from keyrota.app.config.model import Configuration, ConfiguredUrl, CredentialConfig, Reference, Selection, TargetConfig
from keyrota.app.config.references import References, is_reference
from keyrota.app.config.schema import schema
from keyrota.app.config.source import fingerprint, load_expanded_from, load_from, stamp_version

__all__ = [
    "Configuration",
    "ConfiguredUrl",
    "CredentialConfig",
    "Reference",
    "References",
    "Selection",
    "TargetConfig",
    "bundle",
    "fingerprint",
    "is_reference",
    "load",
    "load_expanded_from",
    "load_from",
    "load_text",
    "schema",
    "stamp_version",
]
