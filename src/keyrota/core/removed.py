"""Places that keyrota wrote, and that the configuration no longer names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from keyrota.core.model import IndexEntry, TargetState
from keyrota.core.places import entry_of
from keyrota.core.records import Index


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """A place that keyrota wrote, and that no configured target means now."""

    name: str
    """Its address, with its origin or ID where a configured target has the same address."""
    entry: IndexEntry


def find_removed(index: Index, targets: Iterable[TargetState]) -> tuple[Removed, ...]:
    """Find the places that were written, and that no configured target means now; a renamed place is none of them."""
    states = {target.address: target for target in targets}
    meant = {index.of(entry_of(target)) for target in states.values()}
    return tuple(
        Removed(name=_name_removed(entry, states.get(entry.address)), entry=entry)
        for entry in index.entries
        # By place, not by address: a renamed repository is the same target, and must not be reported, or forgotten, as
        # a removed one (decision 0025).
        if entry not in meant and entry.is_begun
    )


def _name_removed(entry: IndexEntry, same_name: TargetState | None) -> str:
    if same_name is None:
        return entry.address
    is_elsewhere = same_name.place is not None and same_name.place.origin != entry.origin
    return f"{entry.address} at {entry.origin}" if is_elsewhere else f"{entry.address} ({entry.place})"
