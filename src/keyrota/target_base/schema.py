"""Fragments of JSON Schema that kinds of targets share, so that the same thing is said the same way everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from keyrota.core.policy import duration

Schema = Mapping[str, Any]

ID_NAME, SECRET_NAME = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
VARIABLE: Schema = {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}
SLUG: Schema = {"type": "string", "pattern": r"^[^/?#%\\]+$"}
"""A name that is one part of a URL: what would end that part, or begin an escape, is in no such name."""
SLUGS_OR_NUMBER: Schema = {
    "type": ["string", "integer"],
    "minLength": 1,
    "pattern": r"^[^/?#%\\]+(/[^/?#%\\]+)*$",
}
"""The whole path of what lies in groups, or its number."""
REFERENCE: Schema = {"type": "string", "format": "secret-reference"}
CALLED = "x-called"
"""In the settings of a target, how the configuration calls its provider, if not by its kind; no file can say it."""
READ_TOKEN = "read_token"  # noqa: S105  # the name of a field
BUNDLE: Schema = {
    **VARIABLE,
    "description": "Write the pair into one variable instead, as the text of an AWS credentials file.",
}
DURATION: Schema = {"type": "string", "format": "keyrota-duration", "examples": ["10m", "1h"]}
WAIT_FOR_IDLE: Schema = {
    **DURATION,
    "description": "Wait so long at most, before a write, for runs that are in progress there.",
}
KMS_KEY: Schema = {"type": "string", "pattern": "^[A-Za-z0-9:/_-]{1,2048}$"}
"""An ID, an alias, or the ARN of one of them; in a policy, `*` would mean every key (KMS API Reference, KeyId)."""
NAMES: Schema = {
    "type": "object",
    "additionalProperties": False,
    "description": "Names of the two variables.",
    "properties": {"id": {**VARIABLE, "default": ID_NAME}, "secret": {**VARIABLE, "default": SECRET_NAME}},
}
MARKER: Schema = {
    "description": "Also write the key ID into a readable variable, so that drift shows: true, or its name.",
    "anyOf": [{"type": "boolean"}, VARIABLE],
}
WAITING = "x-waiting-runs"
"""
Of a target's schema: what is known of runs that wait, for an approval say, while their provider is not asked for them.

They may carry an older key (`CarriedRuns`); `keyrota check` says so once for each kind of target in use.
"""
MAX_WAIT: Schema = {
    **DURATION,
    "default": "30m",
    "description": "Maximum time one run waits on rate limits; the next run continues.",
}


def make_mapping(properties: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Make the schema of a mapping that takes no other fields."""
    return {"type": "object", "additionalProperties": False, "properties": dict(properties), **more}


def alternative(title: str, **properties: Schema) -> dict[str, Any]:
    """Make one of several mappings, all of whose fields are needed."""
    return make_mapping(properties, title=title, required=list(properties))


def token_alternative(title: str, field: str = "token", **properties: Schema) -> dict[str, Any]:
    """Make one of several mappings, with a token, and a second one for the functions that only read."""
    made = alternative(title, **properties, **{field: REFERENCE})
    about = "A token that may only read, for the functions that write to no target: deactivate, delete, watch."
    made["properties"][READ_TOKEN] = {**REFERENCE, "description": about}
    return made


def span(settings: Mapping[str, Any], name: str, default: str = "0h") -> timedelta:
    """Read a duration of a configuration that the schema has accepted."""
    return duration(settings.get(name, default))


def names_of(settings: Mapping[str, Any]) -> tuple[str, str]:
    """Read the names of the two variables: that of the ID, that of the secret."""
    names = settings.get("names") or {}
    return names.get("id", ID_NAME), names.get("secret", SECRET_NAME)


def faults_of_names(names: Iterable[str]) -> tuple[str, ...]:
    """Say that two variables need two names."""
    return ("`names` must give the ID and the secret two names",) if len(set(names)) == 1 else ()


def name_place(scope: str, settings: Mapping[str, Any]) -> str:
    """Name a place in words, with the names of its variables where they are not the usual ones."""
    return with_names(scope, names_of(settings))


def with_names(scope: str, names: tuple[str, ...]) -> str:
    """Name a place in words, with these names of its variables where they are not the usual ones."""
    return scope if names == (ID_NAME, SECRET_NAME) else f"{scope} ({', '.join(names)})"


def variables_of(scope: str, settings: Mapping[str, Any]) -> frozenset[str]:
    """Name each variable that a target writes, so that equal variables have equal names."""
    return frozenset(f"{scope}: {name}" for name in names_of(settings))


def name_provider(settings: Mapping[str, Any], kind: str) -> str:
    """Return how the configuration calls the provider of a target: by its kind, or by a name of its own."""
    return str(settings.get(CALLED, kind))


def marker_of(settings: Mapping[str, Any], beside: str) -> str | None:
    """Name the variable that tells the key beside a secret that nobody can read; None where none is wanted."""
    wanted = settings.get("marker", False)
    name = f"KEYROTA_{beside}" if wanted is True else wanted
    return name.upper() if name else None
