"""
What is left of a document where parts of it do not fit the schema, so that those parts hide no other fault.

Paths and positions stay as they are in the document: a place in a list is emptied, never closed up.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

Path = tuple[str | int, ...]
Misfits = frozenset[Path]
_IDENTITY = ("user", "account", "role", "region", "secret")
"""What two credentials are compared by: where one of these does not fit, nobody knows what it claims."""
_UNKNOWN = "unknown"
"""Stands for a user whose name does not fit; such a credential is compared with no other."""


def without(value: Any, path: Path, misfits: Misfits) -> dict[str, Any]:
    """Return a mapping without what does not fit in it; an empty one where it does not fit itself."""
    if not isinstance(value, dict) or path in misfits:
        return {}
    kept: dict[str, Any] = _prune(value, path, misfits)
    return kept


def _prune(value: Any, path: Path, misfits: Misfits) -> Any:
    if isinstance(value, dict):
        return {k: _prune(v, (*path, k), misfits) for k, v in value.items() if (*path, k) not in misfits}
    if isinstance(value, list):
        return [_prune(v, (*path, n), misfits) for n, v in enumerate(value) if (*path, n) not in misfits]
    return value


def credential(entry: Mapping[str, Any], path: Path, misfits: Misfits, kinds: Collection[str]) -> dict[str, Any]:
    """
    Return what fits of a credential, without its policy.

    Args:
        entry: As the document has it.
        path: Of the entry.
        misfits: What does not fit.
        kinds: Providers that are known.
    """
    kept = {"user": _UNKNOWN} | _prune(entry, path, misfits)
    dropped = {"policy"} if is_identified(entry, path, misfits) else {"policy", "role"}  # judged beside `account`
    targets = entry.get("targets")
    return {name: value for name, value in kept.items() if name not in dropped} | {
        "targets": [
            _target(target, (*path, "targets", number), misfits, kinds)
            for number, target in enumerate(targets if isinstance(targets, list) else ())
        ]
    }


def _target(target: Any, path: Path, misfits: Misfits, kinds: Collection[str]) -> Mapping[str, Any]:
    """Return a target as it is, or empty where any part of it does not fit: half of a place is another place."""
    fits = isinstance(target, dict) and not any(misfit[: len(path)] == path for misfit in misfits)
    is_known = fits and set(target) <= {*kinds, "first_write"}
    return target if is_known else {}


def is_identified(entry: object, path: Path, misfits: Misfits) -> bool:
    """Say whether everything fits that a credential is compared with others by."""
    has_user = isinstance(entry, dict) and "user" in entry
    return has_user and not any((*path, name) in misfits for name in _IDENTITY)


def providers(value: Any, misfits: Misfits, kinds: Collection[str]) -> dict[str, Any]:
    """Return the settings of the providers that are known, without what does not fit in them."""
    told = value.items() if isinstance(value, dict) else ()
    return {
        name: _prune(settings, ("providers", name), misfits)
        for name, settings in told
        if name in kinds and isinstance(settings, dict)
    }
