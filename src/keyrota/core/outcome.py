"""Results as values: what was done, and what became of a credential. The executor makes them, reports show them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from keyrota.core.model import AccessKeyId, Observation, OfCredential
from keyrota.core.plan import Action, Plan
from keyrota.errors import KeyrotaError


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
