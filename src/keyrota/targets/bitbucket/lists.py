"""What the lists of variables showed: names, what can be read, and key IDs; never a value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from keyrota.core.lifecycle import KEY_ID
from keyrota.core.variables import Listed, describe_variable
from keyrota.targets.bitbucket.place import Place

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A variable of ours, as a list shows it."""

    uuid: str
    name: str
    is_secured: bool
    value: str | None
    """Readable only where the variable is not secured; kept only if it looks like a key ID."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One list, read whole."""

    ours: Mapping[str, Variable]
    """By name, with what a write needs."""
    everything: tuple[Listed, ...]
    """Ours and all others, without values."""


def read_listing(values: Iterable[dict[str, Any]], where: Place) -> Listing:
    """Sort a list while it is read, and drop its values."""
    ours, everything = dict[str, Variable](), list[Listed]()
    for value in values:
        everything += list_variables([value])
        variable = _ours(value, where)
        if variable is not None:
            ours[variable.name] = variable
    return Listing(ours=ours, everything=tuple(everything))


def _ours(value: dict[str, Any], where: Place) -> Variable | None:
    name, uuid = value.get("key"), value.get("uuid")
    if name not in where.names or not isinstance(uuid, str):
        return None
    text = str(value.get("value", ""))  # with white space around it, no AWS tool takes a key ID
    is_id = name == where.id_name and KEY_ID.fullmatch(text)
    return Variable(
        uuid=uuid, name=str(name), is_secured=bool(value.get("secured", False)), value=text if is_id else None
    )


def list_variables(values: Iterable[dict[str, Any]]) -> tuple[Listed, ...]:
    """Drop the values of a list, but for the key IDs in them; a secured value is not there at all."""
    return tuple(_describe_variable(value) for value in values if isinstance(value.get("key"), str))


def _describe_variable(value: dict[str, Any]) -> Listed:
    is_secured = bool(value.get("secured", False))
    return describe_variable(value["key"], None if is_secured else value.get("value") or "")
