"""Schemas of what people write, made from those of what it stands for: lists, templates and defaults beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keyrota.app.config.accounts import NAME_PATTERN
from keyrota.app.config.lists import list_forms
from keyrota.app.config.templates import ALLOWED
from keyrota.target_base.provider import Provider

INSTANCE_NAME = "[a-z][a-z0-9_-]{0,62}"
_TEMPLATE = r"\{[a-z]"
_STRICT = frozenset({"pattern", "format", "minLength", "maxLength", "minItems", "minProperties", "required"})
_STRICT |= {"dependentRequired", "oneOf", "anyOf", "maxProperties", "default"}
_LIST = {"type": "array", "minItems": 1, "items": {"type": ["string", "integer"]}}


def accounts(role: Mapping[str, Any], external_id: Mapping[str, Any], region: Mapping[str, Any]) -> dict[str, Any]:
    """Make the schema of `accounts`."""
    tags = {"type": "object", "additionalProperties": {"type": "string", "maxLength": 256}}
    properties = {
        "id": {"type": "string", "pattern": "^[0-9]{12}$", "description": "Account ID."},
        "role": {**_allow_templates(role), "type": ["string", "null"]},
        "external_id": {**_allow_templates(external_id), "type": ["string", "null"]},
        "region": {**region, "type": ["string", "null"]},
        "tags": {**tags, "description": "For `{account.tag:NAME}`."},
    }
    return {
        "type": "object",
        "description": "Accounts by name, for `account: NAME` and `accounts: [NAME, …]`. What one says holds for the "
        "credentials in it.",
        "propertyNames": {"pattern": f"^{NAME_PATTERN}$"},
        "additionalProperties": {
            "type": "object",
            "additionalProperties": False,
            "properties": properties,
            "required": ["id"],
        },
    }


def defaults(
    credential: Mapping[str, Any], targets: Mapping[str, Any], known: Mapping[str, Provider]
) -> dict[str, Any]:
    """Make the schema of `defaults`: names of fields and kinds of values; the values are judged where they are used."""
    fields = {name: _loosen(schema) for name, schema in credential["properties"].items() if name != "user"}
    fields["accounts"] = _LIST
    places = {name: _loosen_target(schema, known.get(name)) for name, schema in targets["properties"].items()}
    closed = {"type": "object", "additionalProperties": False}
    entry = {**closed, "properties": places}
    fields["targets"] = {"type": "array", "items": entry, "description": "Targets of credentials that name none."}
    target = {**closed, "properties": places, "description": "What every target at a provider begins with."}
    return {
        **closed,
        "description": "What credentials and targets begin with; what an entry says itself counts more, and `null` is "
        "without the default.",
        "properties": {
            "credential": {**closed, "properties": fields, "description": "Any field of a credential but its user."},
            "target": target,
        },
    }


def _loosen_target(schema: Mapping[str, Any], provider: Provider | None) -> dict[str, Any]:
    loose = _loosen(schema)
    if provider is not None:
        loose["properties"] = {**dict.fromkeys(list_forms(provider), _LIST), **loose["properties"]}
    return loose


def _loosen(schema: Mapping[str, Any]) -> dict[str, Any]:
    made = {name: value for name, value in schema.items() if name not in _STRICT}
    if isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
    if "properties" in made:
        made["properties"] = {name: _loosen(inner) for name, inner in made["properties"].items()}
    for name in ("items", "additionalProperties"):
        if isinstance(made.get(name), Mapping):
            made[name] = _loosen(made[name])
    return made


_PATTERNS = {"anyOf": [{"type": "string", "minLength": 1}, {**_LIST, "items": {"type": "string", "minLength": 1}}]}
_CRITERIA = {
    "tags": {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": _PATTERNS,
        "description": "Tags of the user: a pattern, or several, one of which the value matches.",
    },
    "path": {"type": "string", "pattern": "^/([^/{}]+/)*$", "description": "What the user's path begins with: `/ci/`."},
    "name": {**_PATTERNS, "description": "A pattern of names (`ci-*`), or several."},
}
_EXEMPT = {"type": "object", "additionalProperties": False, "minProperties": 1, "properties": _CRITERIA}
SELECTOR: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        **_CRITERIA,
        "except": {
            "type": "array",
            "minItems": 1,
            "items": {"anyOf": [{"type": "string", "minLength": 1}, _EXEMPT]},
            "description": "Users that are left out: names, patterns of names, or `tags`, `path` and `name`.",
        },
        "at_most": {
            "type": "integer",
            "minimum": 1,
            "description": "A person's word for the number of users in each account. Without it, 10 more than keyrota "
            "keeps there, or 30 %; what is more is held.",
        },
    },
}
"""The users of an account whose tags, path or names are like that; all that is given has to fit."""


def selections(credential: Mapping[str, Any]) -> dict[str, Any]:
    """Make the schema of entries whose users a selector will find; the rest is judged once they are known."""
    fields = {name: _loosen(schema) for name, schema in credential["properties"].items() if name != "user"}
    fields["targets"] = {"type": "array"}
    exact = {name: credential["properties"][name] for name in ("account", "role", "external_id", "region", "policy")}
    item = {"type": "object", "additionalProperties": False, "properties": {**fields, **exact, "users": SELECTOR}}
    return {"type": "array", "items": item}


def credential(schema: Mapping[str, Any], known: Mapping[str, Provider]) -> dict[str, Any]:
    """Make the schema of a credential as it is written."""
    fields = {
        name: _allow_templates(inner) if name in ALLOWED else inner for name, inner in schema["properties"].items()
    }
    fields["account"] = {
        "type": "string",
        "pattern": f"^([0-9]{{12}}|{NAME_PATTERN})$",
        "description": "Account ID, or a name of `accounts`; if not the caller's.",
    }
    fields["targets"] = {
        **schema["properties"]["targets"],
        "items": _target(schema["properties"]["targets"]["items"], known),
    }
    users = {
        "description": "One credential for each of these users: names; or a selector, which AWS is asked for.",
        "anyOf": [_LIST, SELECTOR],
    }
    several = {**_LIST, "description": "One credential in each of these accounts: names (`prod-*` as well), or IDs."}
    ordered = {"user": fields.pop("user"), "users": users, "account": fields.pop("account"), "accounts": several}
    return {**schema, "required": [], "properties": {**ordered, **fields}}


def _target(schema: Mapping[str, Any], known: Mapping[str, Provider]) -> dict[str, Any]:
    places = {
        name: {
            **_allow_templates(inner),
            "required": [],
            "dependentRequired": {},
            "properties": {**_forms(known[name]), **_allow_templates(inner).get("properties", {})},
        }
        if name in known
        else inner
        for name, inner in schema["properties"].items()
    }
    other = {"type": "object", "description": "A target at a provider that has a name of its own."}
    return {**schema, "properties": places, "additionalProperties": other}


def _forms(provider: Provider) -> dict[str, Any]:
    return {
        form: {**_LIST, "description": f"One target for each `{name}`."} for form, name in list_forms(provider).items()
    }


def _allow_templates(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Let texts hold templates."""
    made = dict(schema)
    if "pattern" in made:
        made["pattern"] = f"{made['pattern']}|{_TEMPLATE}"
    for name in ("items", "additionalProperties"):
        if isinstance(made.get(name), Mapping):
            made[name] = _allow_templates(made[name])
    if isinstance(made.get("properties"), Mapping):
        made["properties"] = {name: _allow_templates(inner) for name, inner in made["properties"].items()}
    return made


def instances(known: Mapping[str, Provider]) -> dict[str, Any]:
    """Make the schema of providers that have a name of their own."""
    kind = {"enum": list(known), "description": "Which provider it is."}
    return {"type": "object", "required": ["kind"], "properties": {"kind": kind}}
