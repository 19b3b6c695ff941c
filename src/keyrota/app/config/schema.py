"""The JSON Schema of the configuration: what editors complete from, and what every file is held against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keyrota.app.config import written
from keyrota.app.config.rollout import rollout_schema
from keyrota.target_base.provider import Provider
from keyrota.target_base.schema import KMS_KEY
from keyrota.targets import kinds

DRAFT = "https://json-schema.org/draft/2020-12/schema"
FIRST_WRITE = "first_write"
"""Stands beside the provider in an entry of `targets`."""
KIND = "kind"
"""Stands in the settings of a provider that has a name of its own."""

_DURATION = {
    "type": "string",
    "format": "keyrota-duration",
    "examples": ["90d", "36h", "P90D"],
    "description": "Days or hours (90d, 36h, 1d12h), or ISO 8601 (P90D).",
}
_REGION = {"type": "string", "pattern": "^[a-z0-9-]+$", "examples": ["eu-central-1"]}
_DATE = {"type": "string", "format": "date", "examples": ["2026-12-20"]}
_WEEKDAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def _object(properties: dict[str, Any], *, required: tuple[str, ...] = (), description: str = "") -> dict[str, Any]:
    made: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": properties}
    if required:
        made["required"] = list(required)
    if description:
        made["description"] = description
    return made


def _policy() -> dict[str, Any]:
    return _object(
        {
            "preset": {
                "enum": ["classic", "strict"],
                "description": "classic: rotate at 90 d, deactivate at 100 d, delete at 110 d (the default). strict: "
                "75, 87, 97 d, so that no key is Active past 90 days and auditors' controls stay green.",
            },
            "rotate_after": {**_DURATION, "description": "Age at which a new key is made."},
            "deactivate_after": {**_DURATION, "description": "Age at which the old key is switched off, if unused."},
            "delete_after": {**_DURATION, "description": "Age at which the old key is deleted, if it is Inactive."},
            "unused_for": {**_DURATION, "description": "A key used within this time counts as used (default 24h)."},
            "on_still_used": {
                "enum": ["hold", "deactivate"],
                "description": "What to do with an old key that is still used (default hold).",
            },
            "prove_use": {
                "type": "boolean",
                "description": "Also wait until IAM has seen the new key used (default false).",
            },
            "adopt": {
                "enum": ["when-due", "now"],
                "description": "When a key that was there before keyrota is replaced (default when-due).",
            },
            "drift": {
                "enum": ["overwrite", "hold"],
                "description": "What to do with a variable that was changed outside keyrota (default overwrite).",
            },
            "first_write": {
                "enum": ["check", "ask"],
                "description": "Before a place is written for the first time: check holds what is visibly not harmless "
                "(another user's key, half a pair, a pair under other names); ask also holds a pair that cannot be "
                "read (default check).",
            },
            "allow_short": {"type": "boolean", "description": "Allow times of less than an hour (default false)."},
            "freeze": {
                "type": "array",
                "description": "Windows in which no key is deactivated or deleted.",
                "items": _object(
                    {
                        "weekdays": {"type": "array", "minItems": 1, "items": {"enum": _WEEKDAYS}},
                        "from": {**_DATE, "description": "First frozen day."},
                        "to": {**_DATE, "description": "Last frozen day."},
                        "timezone": {"type": "string", "default": "UTC", "examples": ["Europe/Berlin"]},
                        "covers": {
                            "enum": ["old-keys", "all"],
                            "default": "old-keys",
                            "description": "old-keys: new keys are still created; all: no new key is created either.",
                        },
                    }
                )
                | {"dependentRequired": {"from": ["to"], "to": ["from"]}, "minProperties": 1},
            },
        },
        description="Ages are counted from IAM's CreateDate.",
    )


def _credential(targets: dict[str, Any]) -> dict[str, Any]:
    names = _object(
        {"id": {"type": "string", "minLength": 1}, "secret": {"type": "string", "minLength": 1}},
        description="Fields of the secret's JSON; others are kept as they are.",
    )
    return _object(
        {
            "user": {"type": "string", "pattern": r"^[A-Za-z0-9_+=,.@-]{1,128}$", "description": "IAM user name."},
            "account": {"type": "string", "pattern": "^[0-9]{12}$", "description": "Account ID, if not the caller's."},
            "role": {
                "type": "string",
                "pattern": r"^(arn:[a-z-]+:iam::[0-9]{12}:role/)?([A-Za-z0-9_+=,.@/-]|\{duty\})+$",
                "description": "Role to assume in that account: its ARN, or its name.",
            },
            "external_id": {"type": "string", "minLength": 2, "description": "External ID of that role's trust."},
            "region": {**_REGION, "description": "Region of the secret."},
            "secret": {
                "type": "string",
                "pattern": r"^[A-Za-z0-9/_+=.@-]{1,512}$",
                "description": "Name of the secret; derived from the user name if left out. "
                "A secret that exists is adopted only if it is named here.",
            },
            "names": names,
            "kms_key": {**KMS_KEY, "description": "KMS key for a secret that keyrota creates."},
            "replica_region": {**_REGION, "description": "Region to replicate such a secret to."},
            "tags": {
                "type": "object",
                "additionalProperties": {"type": "string", "maxLength": 256},
                "description": "Tags for such a secret.",
            },
            "secret_readers": {
                "type": "array",
                "items": {"type": "string", "pattern": "^([0-9]{12}|o-[a-z0-9]{10,32})$"},
                "description": "Other accounts (their IDs) and organizations (`o-…`) that the secret's resource policy "
                "may let in. Anyone else in it holds each new key.",
            },
            "policy": _policy() | {"description": "Overrides the policy for this credential."},
            "targets": {"type": "array", "items": targets, "description": "Where pipelines find the key."},
        },
        required=("user",),
    )


def schema() -> dict[str, Any]:
    """Make the JSON Schema of `keyrota.yaml` as people write it, with all kinds of targets that are installed."""
    known = kinds()
    made = make_expanded_schema(known)
    properties = made["properties"]
    properties["credentials"]["items"] = written.credential(properties["credentials"]["items"], known)
    properties["providers"]["additionalProperties"] = written.instances(known)
    for name in ("credential", "target"):
        properties["defaults"]["properties"][name]["additionalProperties"] = name == "target"
    return {**made, "required": ["version"]}


def make_expanded_schema(known: Mapping[str, Provider], *, has_selections: bool = False) -> dict[str, Any]:
    """
    Make the JSON Schema of what is left once lists, templates and defaults are resolved; `defaults` stay for a look.

    Args:
        known: Providers by name: every kind, and the instances of this configuration.
        has_selections: Users are selected as well, so that none has to be named.
    """
    targets = _targets(known)
    credential = _credential(targets)
    fields = credential["properties"]
    return {
        "$schema": DRAFT,
        "title": "keyrota.yaml",
        **_object(
            {
                "version": {"const": 1, "description": "Of this format."},
                "include": {
                    "type": "array",
                    "minItems": 1,
                    "items": {"type": "string", "minLength": 1},
                    "description": "Other files, as patterns relative to this one's folder (`teams/*.yaml`).",
                },
                "policy": _policy(),
                "aws": _object(
                    {"region": _REGION, "profile": {"type": "string", "minLength": 1}},
                    description="Where the AWS variables do not say it already.",
                ),
                "providers": _providers(known),
                "rollout": rollout_schema(_DURATION),
                "concurrency": _CONCURRENCY,
                "drift_every": _DRIFT_EVERY,
                "verify": _VERIFY,
                "accounts": written.accounts(fields["role"], fields["external_id"], fields["region"]),
                "defaults": written.defaults(credential, targets, known),
                "credentials": {
                    "type": "array",
                    "minItems": 0 if has_selections else 1,
                    "items": credential,
                    "description": "The IAM users whose keys keyrota keeps.",
                },
            }
            | ({"selections": written.selections(credential)} if has_selections else {}),
            required=("version", "credentials"),
        ),
    }


def _targets(known: Mapping[str, Provider]) -> dict[str, Any]:
    return {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 2,
        "additionalProperties": False,
        "properties": {name: dict(kind.target_schema) for name, kind in known.items()}
        | {
            FIRST_WRITE: {
                "enum": ["check", "ask", "confirmed"],
                "description": "Overrides the policy's `first_write` for this place; confirmed: write it, whatever is "
                "there (as `keyrota confirm` does).",
            }
        },
        "description": "One place at one provider.",
    }


def _providers(known: Mapping[str, Provider]) -> dict[str, Any]:
    usual = kinds()
    made = {name: dict(kind.provider_schema) for name, kind in known.items()}
    for name in made.keys() - usual.keys():
        made[name]["properties"] = {KIND: {"enum": sorted(usual)}, **made[name].get("properties", {})}
    about = "CI providers and their tokens. With `kind`, one may have a name of its own: `ghes: {kind: github, …}`."
    return _object(made, description=about)


_CONCURRENCY = {
    "type": "integer",
    "minimum": 1,
    "maximum": 64,
    "default": 8,
    "description": "Number of credentials processed in parallel.",
}
_DRIFT_EVERY = {
    **_DURATION,
    "default": "7d",
    "description": "Of an account with 50 credentials or more: the places of one at which nothing is due are read at "
    "least so often; one day to 90 days. With `1d`, each run reads all of them.",
}
_VERIFY = _object(
    {
        "regions": {"type": "array", "items": _REGION, "description": "Ask STS in these regions."},
        "times": {"type": "integer", "minimum": 1, "maximum": 20, "default": 4},
        "within": {**_DURATION, "default": "30s", "description": "Spread over this time, at most 10m."},
    },
    description="How a new key is proved before anyone is given it.",
)
