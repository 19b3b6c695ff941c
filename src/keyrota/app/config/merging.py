"""How a default and what an entry writes itself become one: the entry counts, field by field."""

from __future__ import annotations

from collections.abc import Mapping

from keyrota.app.config.tree import Node

_AGES = ("rotate_after", "deactivate_after", "delete_after")


def merge(entry: Node, default: Node | None, names: Mapping[str, str] | None = None) -> Node:
    """
    Lay an entry over a default; a field that is written as nothing (`null`) is without its default.

    Args:
        entry: A mapping; anything else counts alone.
        default: A mapping; anything else does not count.
        names: Other names of the same fields, in both directions: `repositories` for `repository`.
    """
    if not isinstance(entry.value, dict) or default is None or not isinstance(default.value, dict):
        return entry
    fields, keys = dict(default.fields), dict(default.keys)
    for name, node in entry.fields.items():
        for other in {name, (names or {}).get(name, name)}:
            fields.pop(other, None)
        keys[name] = entry.keys.get(name, node.where)
        known = default.fields.get(name)
        if node.value is None and known is not None:
            continue
        fields[name] = _policy(node, known) if name == "policy" else merge(node, known)
    return entry.with_fields(fields, keys)


def _policy(entry: Node, default: Node | None) -> Node:
    """An entry's preset sets all three ages: what a default says of them is another schedule."""
    if "preset" in entry.fields and default is not None and isinstance(default.value, dict):
        left = {name: node for name, node in default.fields.items() if name not in _AGES}
        default = default.with_fields(left)
    return merge(entry, default)
