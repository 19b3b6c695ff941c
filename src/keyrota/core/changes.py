"""What a first write would do to the variables of a place, for the plan that a person reads."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from keyrota.core.lifecycle import KeyRing
from keyrota.core.model import AccessKeyId, TargetEvidence, TargetState
from keyrota.core.places import whose


class Change(StrEnum):
    """What a write does to one variable."""

    NEW = "new"
    REPLACES_KEY = "replaces a key"
    REPLACES_UNREADABLE = "replaces a value that cannot be read"
    REPLACES_OTHER = "replaces a value that is not a key ID"


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableChange:
    """What a first write would do to one variable, for the plan."""

    name: str
    change: Change
    key: AccessKeyId | None = None
    whose: str = ""

    def __str__(self) -> str:
        """Write it for people."""
        return f"replaces {self.key} ({self.whose})" if self.key else self.change.value


def changes(view: KeyRing, target: TargetState) -> tuple[VariableChange, ...]:
    """Say what a first write would do to each variable of a place; empty where it could not be read."""
    pair_cannot_be_read = target.evidence is TargetEvidence.CANNOT_TELL
    found = []
    for variable in target.variables:
        if not variable.is_present:
            change = Change.NEW
        elif variable.key is not None:
            change = Change.REPLACES_KEY
        elif variable.is_readable and not pair_cannot_be_read:
            change = Change.REPLACES_OTHER
        else:
            change = Change.REPLACES_UNREADABLE
        owner = whose(view, variable.key) if variable.key else ""
        found.append(VariableChange(name=variable.name, change=change, key=variable.key, whose=owner))
    return tuple(found)
