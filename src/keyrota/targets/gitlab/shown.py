"""A variable of ours as GitLab shows it, and what a write would make of both halves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from keyrota.core.model import AccessKeyId, Conflict, VariableState
from keyrota.core.secret import Secret
from keyrota.core.variables import Listed, pair_conflicts, states_of
from keyrota.targets.gitlab.place import Place

_MASKABLE = re.compile(r"[a-zA-Z0-9_+=/@:.~-]{8,}")
_MASKABLE_RAW = re.compile(r"\S{8,}")
"""What GitLab masks (app/models/concerns/ci/maskable.rb); anything else it refuses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A variable of ours, as GitLab shows it; its value is kept only if it looks like a key ID."""

    name: str
    is_file: bool
    is_masked: bool
    is_hidden: bool
    is_raw: bool
    is_protected: bool
    key: AccessKeyId | None
    """Of the ID's variable, or of the bundle, where its value is readable."""
    keys: tuple[AccessKeyId, ...] = ()
    """The key IDs that the value contains, `key` too: with white space around it, it is shown, and no tool takes it."""

    def masks(self, value: Secret) -> bool:
        """Return whether GitLab would take a value, masked as the variable is."""
        pattern = _MASKABLE_RAW if self.is_raw else _MASKABLE
        return not self.is_masked or pattern.fullmatch(value.reveal()) is not None


def states(where: Place, found: Mapping[str, Variable]) -> tuple[VariableState, ...]:
    """Say of each variable that a write creates or replaces what is there now."""
    return states_of(where.names, _describe_variables(found), id_name=where.bundle or where.id_name)


def conflicts(where: Place, found: Mapping[str, Variable]) -> tuple[Conflict, ...]:
    """Find what makes a write harmful, as far as our own variables show it: nothing else is asked for."""
    if where.bundle or not found:
        return ()
    halves = [found[name] for name in (where.id_name, where.secret_name) if name in found]
    if len(halves) == 1:
        return tuple(pair_conflicts(_describe_variables(found), where.id_name, where.secret_name))
    one, other = sorted(halves, key=lambda half: half.is_protected)
    if one.is_protected == other.is_protected:
        return ()
    return (
        Conflict(
            what=f"{other.name} is protected and {one.name} is not: on a branch that is not protected, jobs get "
            f"{one.name} from here, and {other.name} from another level or not at all",
            remedy="protect both in GitLab, or neither",
        ),
    )


def _describe_variables(found: Mapping[str, Variable]) -> tuple[Listed, ...]:
    return tuple(
        Listed(
            name=variable.name,
            is_readable=not variable.is_hidden,
            key=variable.key,
            keys=variable.keys,
        )
        for variable in found.values()
    )
