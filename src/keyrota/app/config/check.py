"""Holding a document against the schema, and saying in plain words what does not fit."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import best_match

from keyrota.app.config.nodes import Document
from keyrota.app.config.references import is_reference
from keyrota.core.policy import duration
from keyrota.errors import Fault

_Error = Any
"""A jsonschema ValidationError; its stubs leave most attributes open."""

_KINDS = {"object": "a mapping", "array": "a list", "string": "a text", "integer": "a whole number"}
_KINDS |= {"number": "a number", "boolean": "true or false"}

_FORMATS = FormatChecker(formats=())


@_FORMATS.checks("duration", raises=ValueError)
def _is_duration(value: object) -> bool:
    return not isinstance(value, str) or bool(duration(value)) or True


@_FORMATS.checks("date", raises=ValueError)
def _is_date(value: object) -> bool:
    from datetime import date  # noqa: PLC0415  # beside its only use

    return not isinstance(value, str) or bool(date.fromisoformat(value))


@_FORMATS.checks("secret-reference")
def _is_reference(value: object) -> bool:
    return not isinstance(value, str) or is_reference(value)


def faults(document: Document, schema: Mapping[str, Any]) -> Iterator[Fault]:
    """Find everything that does not fit the schema."""
    validator = Draft202012Validator(schema, format_checker=_FORMATS)
    for error in sorted(validator.iter_errors(document.value), key=lambda found: [str(step) for step in found.path]):
        yield from _told(document, error)


def _told(document: Document, error: _Error) -> Iterator[Fault]:
    path = tuple(error.absolute_path)
    where = document.where(path)
    name = _name(path)
    match error.validator:
        case "additionalProperties":
            yield from _unknown_keys(document, error, path)
        case "required":
            missing = [key for key in error.validator_value if key not in error.instance]
            yield Fault(where=where, what=f"{name} lacks {' and '.join(missing)}")
        case "dependentRequired":
            yield Fault(where=where, what=f"{name}: {_dependent(error)}")
        case "oneOf" | "anyOf":
            yield from _alternatives(document, error, where, name)
        case "type":
            yield Fault(
                where=where, what=f"{name} must be {_kind(error.validator_value)}, not {_found(error.instance)}"
            )
        case "enum" | "const":
            values = error.validator_value if error.validator == "enum" else [error.validator_value]
            words = ", ".join(str(value) for value in values)
            yield Fault(where=where, what=f"{name} must be {'one of ' if len(values) > 1 else ''}{words}")
        case "format" if error.validator_value == "secret-reference":
            yield Fault(
                where=where,
                what=f"{name} must not be written into this file",
                remedy="refer to it: env:NAME, file:PATH, secretsmanager:ID#JSON-KEY or ssm:/NAME; "
                "if it was a real token, make a new one",
            )
        case "format":
            yield Fault(where=where, what=f"{name}: {_format_words(error)}")
        case "pattern":
            yield Fault(where=where, what=f"{name} has characters or a length that are not allowed: {error.instance!r}")
        case "minItems" | "minLength" | "minProperties":
            yield Fault(where=where, what=f"{name} must not be empty")
        case _:
            yield Fault(where=where, what=f"{name}: {error.message[:200]}")


def _unknown_keys(document: Document, error: _Error, path: tuple[str | int, ...]) -> Iterator[Fault]:
    known = list(error.schema.get("properties", ()))
    for key in error.instance:
        if key in known:
            continue
        close = difflib.get_close_matches(key, known, n=1)
        remedy = f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}"
        yield Fault(where=document.key_where(path, key), what=f"{key!r} is not known here", remedy=remedy)


def _alternatives(document: Document, error: _Error, where: str, name: str) -> Iterator[Fault]:
    titles = [branch.get("title") for branch in error.validator_value if branch.get("title")]
    fitting = [inner for inner in error.context or () if inner.validator == "format"]
    if fitting:
        yield from _told(document, fitting[0])
        return
    if titles:
        fields = " or ".join("{" + ", ".join(branch["required"]) + "}" for branch in error.validator_value)
        yield Fault(where=where, what=f"{name} must hold {fields}", remedy=f"it is {'; or '.join(titles)}")
        return
    inner = best_match(error.context or ())
    if inner is not None:
        yield from _told(document, inner)


def _dependent(error: _Error) -> str:
    for key, needs in error.validator_value.items():
        missing = [need for need in needs if need not in error.instance]
        if key in error.instance and missing:
            return f"{key} needs {' and '.join(missing)} beside it"
    return str(error.message)


def _format_words(error: _Error) -> str:
    return str(error.cause) if error.cause else f"{error.instance!r} is no {error.validator_value}"


def _kind(expected: str | list[str]) -> str:
    return " or ".join(_KINDS.get(kind, kind) for kind in ([expected] if isinstance(expected, str) else expected))


def _found(value: Any) -> str:
    if value is None:
        return "nothing"
    names = {
        dict: "a mapping",
        list: "a list",
        bool: "true or false",
        str: "a text",
        int: "a number",
        float: "a number",
    }
    return names.get(type(value), "something else")


def _name(path: tuple[str | int, ...]) -> str:
    text = ""
    for step in path:
        text += f"[{step + 1}]" if isinstance(step, int) else f".{step}"
    return text.removeprefix(".") or "the file"
