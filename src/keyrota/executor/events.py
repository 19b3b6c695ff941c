"""What a run tells while it goes on, and at its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from keyrota.core.model import AccessKeyId, Observation, OfCredential
from keyrota.core.plan import Action, Plan
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """An action that was completed, and when."""

    action: Action
    at: datetime
    key: AccessKeyId | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(OfCredential):
    """What became of one credential in one run."""

    done: tuple[Done, ...] = ()
    errors: tuple[KeyrotaError, ...] = ()
    plan: Plan | None = None
    """The last plan that was made: what is held and what comes next; None if not even that was possible."""
    observation: Observation | None = None
    left: tuple[Action, ...] = ()
    """Due now, but not when the run began: left to the next run, because `apply` does what `plan` said."""
