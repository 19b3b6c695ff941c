"""JSON merge patch (RFC 7396) and JSON patch (RFC 6902), as far as an API server's clients use them."""

from __future__ import annotations

import copy
from typing import Any


class BadPatch(Exception):
    """It is no patch, or it does not fit what it is applied to."""


def merge(before: Any, patch: Any) -> Any:
    """Apply a merge patch: null removes, objects are merged, anything else replaces."""
    if not isinstance(patch, dict):
        return patch
    made = dict(before) if isinstance(before, dict) else {}
    for name, value in patch.items():
        if value is None:
            made.pop(name, None)
        else:
            made[name] = merge(made.get(name), value)
    return made


def json_patched(before: Any, steps: Any) -> Any:
    """Apply the operations add, replace, remove and test, in their order."""
    if not isinstance(steps, list):
        raise BadPatch("a JSON patch is a list")
    made = copy.deepcopy(before)
    for step in steps:
        if not isinstance(step, dict) or not str(step.get("path", "")).startswith("/"):
            raise BadPatch("an operation needs a path")
        _apply(made, step)
    return made


def _apply(document: Any, step: dict[str, Any]) -> None:
    *above, last = (part.replace("~1", "/").replace("~0", "~") for part in str(step["path"])[1:].split("/"))
    parent = document
    for part in above:
        parent = parent.get(part) if isinstance(parent, dict) else None
    if not isinstance(parent, dict):
        raise BadPatch(f"{step['path']} does not exist")
    is_there = last in parent
    match step.get("op"):
        case "add":
            parent[last] = step.get("value")
        case "replace" if is_there:
            parent[last] = step.get("value")
        case "remove" if is_there:
            del parent[last]
        case "test" if is_there and parent[last] == step.get("value"):
            pass
        case _:
            raise BadPatch(f"{step.get('op')} of {step['path']} is not possible")
