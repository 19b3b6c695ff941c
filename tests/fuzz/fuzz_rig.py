"""
What all fuzz tests share: how many examples, texts that do harm where they are shown, and what clean means.

The same examples come out in each run; `HYPOTHESIS_PROFILE=long` hunts for new ones instead, forty times as many.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from keyrota.app.words import format_error
from keyrota.errors import KeyrotaError

IS_LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
_TIMES = int(os.environ.get("KEYROTA_FUZZ_TIMES", "40")) if IS_LONG else 1
_UNHEEDED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]

CANARY = "canary-f00d-5ec2e7"
"""Stands wherever a secret may stand; it must not come out anywhere else."""

Examples = Callable[[Callable[..., None]], Callable[..., None]]


def examples(number: int) -> Examples:
    """Run so many examples, always the same ones; many more of them, by chance, in a hunt."""
    return settings(
        max_examples=number * _TIMES,
        derandomize=not IS_LONG,
        database=None,
        deadline=None,
        suppress_health_check=_UNHEEDED,
    )


HOSTILE = (
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x9b2J",
    "\u202egnp.exe",
    "\u2066\u2069",
    "\x00",
    "\r\nX-Injected: 1",
    "\ud800",
    "\udfff\ud800",
    "\ufeff",
    "\u2028",
    "..",
    "../../etc/passwd",
    "%2e%2e%2f",
    "a/b",
    "{x}",
    "${jndi:ldap://x}",
    "'; DROP TABLE keys; --",
    "<script>alert(1)</script>",
    "%s%n%d",
    "{0.__class__}",
    "-----BEGIN",
    "\N{PILE OF POO}",
    "e\u0301" * 40,
    "A" * 5000,
    " ",
    "",
    "null",
    "~",
    "=",
    "on",
    "1e999",
    "0x" + "f" * 300,
    "9" * 5000,
    "1:" * 300 + "1.5",
)
"""Texts that do harm where they are printed, parsed, joined or counted."""

TEXTS: SearchStrategy[str] = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(st.characters(), max_size=12),
    st.text(st.characters(categories=("Cc", "Cf", "Cs", "Zl", "Zp")), min_size=1, max_size=4),
)
LEAVES: SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, -1, 2**31, 2**63, 10**400]),
    st.floats(),
    TEXTS,
)
ANYTHING: SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=12,
)
"""Any JSON document."""


def is_clean(text: str) -> bool:
    """Return whether a text can be shown: no escape, no bidirectional mark, nothing that moves the cursor."""
    return all(char.isprintable() or char == "\n" for char in text)


def tried(road: Callable[[], Any]) -> Any:
    """Go down a road; a clear error is as good as a value, if it can be shown."""
    try:
        return road()
    except KeyrotaError as error:
        words = "\n".join(format_error(error))
        assert is_clean(words)
        assert CANARY not in words
        return error


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """List the path of each value in a document, the document itself first."""
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, Mapping):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [path, *(found for step, below in inner for found in places(below, (*path, step)))]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Copy a document with another value at one place."""
    if not path:
        return new
    step, *rest = path
    if isinstance(value, Mapping):
        return {**value, step: replaced(value[step], tuple(rest), new)}
    return [replaced(item, tuple(rest), new) if index == step else item for index, item in enumerate(value)]


def without(value: Any, path: tuple[Any, ...]) -> Any:
    """Copy a document without the value at one place."""
    *above, step = path
    holder = at(value, tuple(above))
    if isinstance(holder, Mapping):
        left: Any = {key: item for key, item in holder.items() if key != step}
    else:
        left = [item for index, item in enumerate(holder) if index != step]
    return replaced(value, tuple(above), left)


def at(value: Any, path: tuple[Any, ...]) -> Any:
    """Return the value at a place."""
    for step in path:
        value = value[step]
    return value


@st.composite
def bent(draw: st.DrawFn, value: Any, leaves: SearchStrategy[Any] = ANYTHING) -> Any:
    """Bend a document in one or two places: another type, something missing, something unknown."""
    for _ in range(draw(st.integers(1, 2))):
        path = draw(st.sampled_from(places(value)))
        how = draw(st.sampled_from(["replace", "replace", "remove", "add", "repeat"]))
        found = at(value, path)
        if how == "remove" and path:
            value = without(value, path)
        elif how == "add" and isinstance(found, Mapping):
            value = replaced(value, path, {**found, draw(TEXTS): draw(leaves)})
        elif how == "repeat":
            value = replaced(value, path, [found, found])
        else:
            value = replaced(value, path, draw(leaves))
    return value


def conforming(schema: Mapping[str, Any]) -> SearchStrategy[Any]:
    """Make values that fit a JSON Schema of the kinds that this project writes."""
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    for word in ("oneOf", "anyOf"):
        if word in schema:
            return st.one_of([conforming({**_rest(schema, word), **branch}) for branch in schema[word]])
    return _of_type(schema)


def _rest(schema: Mapping[str, Any], word: str) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key not in {word, "description"}}


def _of_type(schema: Mapping[str, Any]) -> SearchStrategy[Any]:  # noqa: PLR0911  # one return for each type
    match schema.get("type"):
        case "object":
            return _object(schema)
        case "array":
            return st.lists(conforming(schema["items"]), min_size=schema.get("minItems", 0), max_size=3)
        case "integer":
            return st.integers(schema.get("minimum", 0), schema.get("maximum", 100))
        case "number":
            return st.floats(schema.get("minimum", 0), schema.get("maximum", 100), allow_nan=False)
        case "boolean":
            return st.booleans()
        case "string":
            return _text(schema)
        case "null":
            return st.none()
        case None:
            return st.sampled_from([True, "x", 7])
        case [*kinds]:
            return st.one_of([_of_type({**schema, "type": kind}) for kind in kinds])
        case kind:
            raise NotImplementedError(f"a schema of type {kind!r}: teach this function its values")


def _object(schema: Mapping[str, Any]) -> SearchStrategy[Any]:
    more = schema.get("additionalProperties")
    if "properties" not in schema and isinstance(more, Mapping):
        return st.dictionaries(st.sampled_from(["dev", "prod", "a b"]), conforming(more), max_size=2)
    known = {name: conforming(inner) for name, inner in schema.get("properties", {}).items()}
    required = {name: known[name] for name in schema.get("required", ()) if name in known}
    others = {name: inner for name, inner in known.items() if name not in required}
    if schema.get("maxProperties") == 1:
        return st.one_of([st.fixed_dictionaries({name: inner}) for name, inner in others.items()])
    return st.fixed_dictionaries(required, optional=others)


def _text(schema: Mapping[str, Any]) -> SearchStrategy[str]:
    if "pattern" in schema:
        pattern = re.sub(r"\{1,\d+\}", "{1,12}", schema["pattern"])
        return st.from_regex(re.compile(pattern, re.ASCII), fullmatch=True).map(str.strip)
    match schema.get("format"):
        case "keyrota-duration":
            return st.sampled_from(["90d", "36h", "1d12h", "P90D", "PT36H", "30s", "999999999d", "0d"])
        case "date":
            return st.dates().map(str)
        case "secret-reference":
            return st.sampled_from(["env:KEYROTA_NO_SUCH", "file:/no/such/file", "ssm:/a", "secretsmanager:a#b"])
    return st.sampled_from(["x", "acme", "https://127.0.0.1:9/api", "12", "Europe/Berlin", "a/b", "*"])
