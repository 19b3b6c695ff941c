"""
What keyrota never does to the key that it is running with: deactivate it, delete it, or deny its own session.

It would saw off the branch that it sits on: the next call fails, and nobody is left to make and serve the successor
(promise right-credential). The routine makes and serves a successor all the same, and holds the rest.
"""

from __future__ import annotations

from dataclasses import replace

from keyrota.core import plan as act
from keyrota.core.emergency import Revoke, Rollback
from keyrota.core.lifecycle import KeyState, interpret
from keyrota.core.model import AccessKeyId, Observation
from keyrota.core.plan import Hold, Needs, Plan

Asked = Revoke | Rollback | None
"""The road that a person asked for; None: the routine, or a part of it."""


def refusal(seen: Observation, key: AccessKeyId) -> Hold | None:
    """Return why a key stays as it is, where it is the one that keyrota is running with."""
    if not seen.runs_as.runs_with(seen.credential, key):
        return None
    if key in seen.runs_as.keys:
        why = f"{key} is keyrota's own key: it is running with it"
    else:
        why = f"{key} may be keyrota's own key: it is running with temporary credentials of {seen.credential}"
    return Hold(
        key=key,
        reason=f"{why}, and never deactivates or deletes it",
        remedy="run keyrota as another identity: with a role, or with another user's key",
    )


def without_own_key(planned: Plan, seen: Observation, asked: Asked) -> Plan:
    """
    Replace what would end keyrota's own key, or its session, by a hold.

    A road that a person asked for is refused as a whole: half of it would leave a key that was to be off, Active.
    """
    named = [asked.key] if isinstance(asked, Revoke) else []
    ended = [action.key for action in planned.actions if _ends(action)]
    waiting = [hold.key for hold in planned.holds if _is_of_replaced(hold, seen)] if asked is None else []
    keys = dict.fromkeys([*named, *ended, *waiting])
    found = {key: hold for key in keys if key is not None and (hold := refusal(seen, key)) is not None}
    holds = [*found.values(), *_own_session(planned, seen)]
    if not holds:
        return planned
    if asked is not None:
        broken = planned.broken
        return replace(planned, actions=(), holds=(*holds, *broken))
    kept = tuple(action for action in planned.actions if not (_ends(action) and action.key in found))
    others = tuple(hold for hold in planned.holds if hold.key not in found or not _is_of_replaced(hold, seen))
    return replace(planned, actions=kept, holds=(*others, *holds))


def _ends(action: act.Action) -> bool:
    """Return whether an action ends a key, or is the question that comes before."""
    return isinstance(action, act.AskRuns | act.Ending)


def _is_of_replaced(hold: Hold, seen: Observation) -> bool:
    """Return whether a hold is why a replaced key stays: of keyrota's own, that it is still used is no news."""
    known = interpret(seen)
    key = known.key(hold.key) if hold.key is not None else None
    is_replaced = key is not None and known.state_of(key) in {KeyState.SUPERSEDED, KeyState.RETIRED}
    return is_replaced and hold.target is None and hold.needs is not Needs.REPAIR


def _own_session(planned: Plan, seen: Observation) -> list[Hold]:
    is_denied = any(isinstance(action, act.DenySessions) for action in planned.actions)
    if not is_denied or seen.runs_as.session_of != seen.credential:
        return []
    return [
        Hold(
            reason=f"keyrota runs with temporary credentials of {seen.credential}: it would deny its own session",
            remedy="run keyrota as another identity: with a role, or with another user's key",
        )
    ]
