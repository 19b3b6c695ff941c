"""Holding a document against the schema, and saying in plain words what does not fit."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import best_match

from keyrota.app.config.references import is_reference
from keyrota.app.config.tree import Expanded, name_path
from keyrota.core.policy import duration
from keyrota.errors import Fault
from keyrota.http.urls import is_upward
from keyrota.target_base.provider import Provider

_Error = Any
"""A jsonschema ValidationError; its stubs leave most attributes open."""

_KINDS = {"object": "a mapping", "array": "a list", "string": "a text", "integer": "a whole number"}
_KINDS |= {"number": "a number", "boolean": "true or false"}

_MAX_FAULTS = 500
"""More than anybody reads; an alias can repeat one fault a hundred thousand times."""
_FORMATS = FormatChecker(formats=())


@_FORMATS.checks("keyrota-duration", raises=ValueError)
def _is_duration(value: object) -> bool:
    return not isinstance(value, str) or bool(duration(value)) or True


@_FORMATS.checks("date", raises=ValueError)
def _is_date(value: object) -> bool:
    from datetime import date  # noqa: PLC0415  # beside its only use

    return not isinstance(value, str) or bool(date.fromisoformat(value))


@_FORMATS.checks("secret-reference")
def _is_reference(value: object) -> bool:
    return not isinstance(value, str) or is_reference(value)


def fits(value: object, schema: Mapping[str, Any]) -> bool:
    """Say whether a value that is not of the file fits a schema: settings that a tag remembers."""
    return bool(Draft202012Validator(schema, format_checker=_FORMATS).is_valid(value))


def faults(document: Expanded, schema: Mapping[str, Any]) -> Iterator[Fault]:
    """Find everything that does not fit the schema, up to a number that a person can fix at once."""
    validator = Draft202012Validator(schema, format_checker=_FORMATS)
    told = {fault.where for fault in document.faults}  # what is made of a value that is wrong is wrong as well
    every = (fault for error in validator.iter_errors(document.value) for fault in _explain(document, error))
    errors = (fault for fault in every if fault.where not in told)
    found = dict.fromkeys(islice((fault for source in (document.faults, errors) for fault in source), _MAX_FAULTS + 1))
    yield from islice(found, _MAX_FAULTS)
    if len(found) > _MAX_FAULTS:
        yield Fault(where=str(document.path), what=f"more than {_MAX_FAULTS} faults; the first are told here")


def target_faults(kind: Provider, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Find what is wrong with a target that fits the schema: what its provider says, and names that lead elsewhere."""
    return (*_upward(settings, ()), *kind.faults(settings))


def _upward(value: Any, path: tuple[str | int, ...]) -> Iterator[str]:
    if isinstance(value, str) and is_upward(value):
        yield f"{name_path(path)}: {value!r} has a part `.` or `..`, which leads to another address"
    inner = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for step, one in inner:
        yield from _upward(one, (*path, step))


def misfits(document: Expanded, schema: Mapping[str, Any]) -> frozenset[tuple[str | int, ...]] | None:
    """
    Return the paths of the values that do not fit; a mapping with a key that is not known fits otherwise.

    None: the document has more errors than are listed, so that what fits is not known.
    """
    validator = Draft202012Validator(schema, format_checker=_FORMATS)
    errors = list(islice(validator.iter_errors(document.value), _MAX_FAULTS))
    if len(errors) == _MAX_FAULTS:
        return None
    return frozenset(tuple(error.absolute_path) for error in errors if error.validator != "additionalProperties")


def _explain(document: Expanded, error: _Error) -> Iterator[Fault]:
    path = tuple(error.absolute_path)
    where = document.where(path)
    name = document.name(path)
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
            what = f"{name} must be {_kind(error.validator_value)}, not {_describe_type(error.instance)}"
            yield Fault(where=where, what=what, remedy=_type_remedy(error))
        case "maxProperties":
            yield Fault(
                where=where, what=f"{name} must name one provider", remedy="begin a new entry with `-` for each"
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
            what = f"{name} has characters or a length that are not allowed: {error.instance!r}"
            yield Fault(where=where, what=what, remedy=_name_remedy(path, error.instance))
        case "minItems" | "minLength" | "minProperties":
            yield Fault(where=where, what=f"{name} must not be empty")
        case _:
            yield Fault(where=where, what=f"{name}: {error.message[:200]}")


def _unknown_keys(document: Expanded, error: _Error, path: tuple[str | int, ...]) -> Iterator[Fault]:
    known = list(error.schema.get("properties", ()))
    yield from (_unknown_key(document, path, key, known) for key in error.instance if key not in known)


def _unknown_key(document: Expanded, path: tuple[str | int, ...], key: str, known: list[str]) -> Fault:
    close = difflib.get_close_matches(key, known, n=1)
    remedy = f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}"
    if path == ("providers",) and not close:
        remedy = f"known: {', '.join(known)}; or say which one it is: {key}: {{kind: …}}"
    if key == "<<":
        remedy = "merge keys of YAML are not taken; repeat the lines"
    return Fault(where=document.key_where(path, key), what=f"{key!r} is not known here", remedy=remedy)


def _type_remedy(error: _Error) -> str:
    if error.schema.get("format") == "keyrota-duration":
        return "write a unit: 90d, 36h"
    is_text_wanted = error.validator_value == "string" and isinstance(error.instance, (int, float, bool))
    return "put it into quotes" if is_text_wanted else ""


def _name_remedy(path: tuple[str | int, ...], value: object) -> str:
    is_arn = path[-1:] == ("secret",) and str(value).startswith("arn:")
    return (
        "write its name alone; `region` says in which region it lies, `account` and `role` in which account"
        if is_arn
        else ""
    )


def _alternatives(document: Expanded, error: _Error, where: str, name: str) -> Iterator[Fault]:
    branches = error.validator_value
    titles = [branch["title"] for branch in branches if "title" in branch]
    misplaced = [inner for inner in error.context or () if inner.validator == "format"]
    known = {key for branch in branches for key in branch.get("properties", {})}
    unknown = [key for key in error.instance if key not in known] if isinstance(error.instance, dict) else []
    if misplaced:
        yield from _explain(document, misplaced[0])
    elif unknown:
        yield from (_unknown_key(document, tuple(error.absolute_path), key, sorted(known)) for key in unknown)
    elif titles:
        fields = " or ".join("{" + ", ".join(branch["required"]) + "}" for branch in branches)
        yield Fault(where=where, what=f"{name} must hold {fields}", remedy=f"it is {'; or '.join(titles)}")
    else:
        context = error.context or ()
        telling = [inner for inner in context if inner.relative_path or inner.validator not in {"const", "type"}]
        for inner in telling or [best_match(error.context or ())]:
            yield from _explain(document, inner)


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


def _describe_type(value: Any) -> str:
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
