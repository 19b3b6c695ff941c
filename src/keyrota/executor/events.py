"""What a run reports while it is under way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from keyrota.core.model import AccessKeyId, OfCredential
from keyrota.core.plan import Action
from keyrota.errors import KeyrotaError


class EventKind(StrEnum):
    """What happened to an action."""

    DOING = "doing"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(OfCredential):
    """One moment of a run."""

    at: datetime
    kind: EventKind
    action: Action
    key: AccessKeyId | None
    """The key that the action is about; for a new key its own ID once it is known."""
    error: KeyrotaError | None = None


Listener = Callable[[Event], None]
