"""
What else gives a run its variables: sets that are applied to a workspace, workspaces that a set is applied to.

A workspace's variable goes before that of a set, unless the set has priority (HCP Terraform, "Variable sets").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from keyrota.core.levels import Level, Side, Written, keys_shown, level_conflicts
from keyrota.core.model import Conflict, Surroundings
from keyrota.errors import KeyrotaError
from keyrota.targets.terraform.connection import TerraformConnection, VariableSet, variables_path
from keyrota.targets.terraform.place import Category, Place

_MAX_LEVELS = 20


class Around:
    """The levels around one place, as far as the token can read them."""

    def __init__(self, connection: TerraformConnection, where: Place, number: str) -> None:
        self._connection = connection
        self._place = where
        self._number = number
        self._unread: list[str] = []

    def surroundings(self, present: frozenset[str]) -> Surroundings:
        """Judge every level that can be read; what cannot is named."""
        levels = [level for pair in self._levels() for level in pair]
        ours = [level for level in levels if level.noun == self._place.category.noun]
        written = Written(pair=self._place.names, bundle=None, present=present)
        whole = _whole_pairs(ours, self._place, present)
        return Surroundings(
            address=self._place.address,
            shown=keys_shown(levels),
            conflicts=(*level_conflicts(written, ours), *whole),
            unread=tuple(self._unread),
        )

    def _levels(self) -> Iterator[tuple[Level, ...]]:
        found: Iterator[tuple[str, str, Side, bool]] = self._above() if self._place.workspace else self._below()
        try:
            for number, name, side, is_set in found:
                yield from self._read(number, name, side, is_set=is_set)
        except KeyrotaError as error:
            self._unread.append(f"what else gives {self._place.address} its variables: {error.what}")

    def _above(self) -> Iterator[tuple[str, str, Side, bool]]:
        for each in self._connection.sets_of(self._number, f"the variable sets of {self._place.address}"):
            side = Side.BELOW if each.has_priority else Side.ABOVE
            yield each.id, f"the variable set {each.name}{' (priority)' if each.has_priority else ''}", side, True

    def _below(self) -> Iterator[tuple[str, str, Side, bool]]:
        one = self._connection.set(self._number, self._place.address)
        if one.is_everywhere:
            self._unread.append(f"the workspaces of {self._place.address}: it is applied to whole projects or to all")
        side = Side.ABOVE if one.has_priority else Side.BELOW
        for workspace in islice(one.workspaces, _MAX_LEVELS):
            yield workspace, f"the workspace {workspace}", side, False
        if len(one.workspaces) > _MAX_LEVELS:
            self._unread.append(f"{len(one.workspaces) - _MAX_LEVELS} more workspaces of {self._place.address}")

    def _read(self, number: str, name: str, side: Side, *, is_set: bool) -> Iterator[tuple[Level, ...]]:
        try:
            found = self._connection.variables(variables_path(number, is_set=is_set), name)
        except KeyrotaError as error:
            self._unread.append(f"{name}: {error.what}")
            return
        yield tuple(
            Level(
                name=name,
                side=side,
                variables=tuple(one.listed for one in found if one.category is category),
                noun=category.noun,
            )
            for category in Category
        )


def _whole_pairs(levels: Sequence[Level], where: Place, present: frozenset[str]) -> Iterator[Conflict]:
    """Report a whole pair at another level: one that goes before ours, or one that ours would replace."""
    is_empty = present.isdisjoint(where.names)
    for level in levels:
        if not set(where.names) <= level.names:
            continue
        if level.side is Side.BELOW:
            yield Conflict(
                what=f"{level.name} sets the pair as well, and goes before {where.address}: runs use that one",
                remedy="make it the target, or delete the pair there",
            )
        elif is_empty:
            yield Conflict(
                what=f"{level.name} sets the pair as well: runs use that one now, and would use this one from then on",
                remedy=f"make it the target, or confirm that {where.address} shall have a pair of its own",
            )


def applies_to(one: VariableSet, workspaces: Sequence[str]) -> bool:
    """Return whether a set may be applied to one of these workspaces."""
    return one.is_everywhere or not set(one.workspaces).isdisjoint(workspaces)
