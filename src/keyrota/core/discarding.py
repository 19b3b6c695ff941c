"""
Keys that nothing needs: lost ones, and those that a person released. Deactivated first, and deleted after the grace.

An orphan cannot be told for certain from a key that a person made in the same minutes. So nothing is done about it that
a person cannot take back: it has to be a day old and never used, no place may show it, it is only deactivated, and
whoever switches it on again keeps it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from keyrota.core import plan as act
from keyrota.core.case import Case, Finding, day, frozen, unknown_use, used
from keyrota.core.evidence import places_showing
from keyrota.core.lifecycle import JUST_NOW, USE_IS_SHOWN_WITHIN, KeyState
from keyrota.core.model import AccessKey, Evidence
from keyrota.core.plan import Hold, Needs, Upcoming


def discarded(case: Case) -> Iterator[Finding]:
    """Do what is due about lost and released keys."""
    for key in case.view.in_state(KeyState.ORPHAN):
        yield from _orphan(case, key)
    for key in case.view.in_state(KeyState.RELEASED):
        yield from _active(case, key)
    for key in case.view.in_state(KeyState.DISCARDED):
        yield from _inactive(case, key)


def _orphan(case: Case, key: AccessKey) -> Iterator[Finding]:
    claim, note = case.view.observation.claim, case.view.discard
    if claim is not None and is_being_made(case):
        yield Hold(
            key=key.id,
            until=claim.lease_until,
            needs=Needs.NOBODY,
            reason=f"{key.id} is being made by run {claim.run}, or its answer was lost",
            remedy=f"wait until {claim.lease_until:%Y-%m-%d %H:%M:%S} UTC; the next run continues",
        )
        return
    if note is not None and note.key == key.id:
        yield from _active(case, key)
        return
    if note is not None and case.view.key(note.key) is not None:
        return  # one note at a time; the claim goes on proving this one until the other is gone
    yield act.NoteOrphan(
        key=key.id,
        reason="its secret was lost when the run that made it ended",
        due=claim.lease_until if claim else case.now,
    )


def is_being_made(case: Case) -> bool:
    """Tell whether another run may still be about to store a key that only its claim explains."""
    claim = case.view.observation.claim
    return claim is not None and case.now < claim.lease_until and bool(case.view.in_state(KeyState.ORPHAN))


def _active(case: Case, key: AccessKey) -> Iterator[Finding]:
    off = case.view.noted_off(key.id)
    if off is not None:
        if case.now < off + JUST_NOW:
            reason = "it was deactivated just now, and IAM lists it as Active: someone's doing, or a list that lags"
            yield Upcoming(shown="deactivate", key=key.id, due=off + JUST_NOW, reason=reason)
        else:
            yield act.NoteActive(key=key.id, reason="someone switched it on again: it is theirs", due=case.now)
        return
    due = _off_due(case, key)
    if case.now < due:
        yield Upcoming(shown="deactivate", key=key.id, due=due, reason=f"{_why(case)}, if it is unused then")
    elif blocks := tuple(_blocks(case, key, "deactivated")):
        yield from blocks
    else:
        yield act.Deactivate(key=key.id, reason=_why(case), due=due)


def _off_due(case: Case, key: AccessKey) -> datetime:
    if case.view.state_of(key) is KeyState.ORPHAN:
        return key.created + USE_IS_SHOWN_WITHIN
    quiet_from = key.last_use.at + case.policy.quiet_for if key.last_use.at else key.created
    return max(quiet_from, key.created + USE_IS_SHOWN_WITHIN)


def _why(case: Case) -> str:
    note = case.view.discard
    if note is not None and note.is_released:
        return f"released on {day(note.at)}"
    return "its secret was lost when the run that made it ended; it was never used"


def _inactive(case: Case, key: AccessKey) -> Iterator[Finding]:
    due = leaves(case, key)
    off, back_on = case.view.noted_off(key.id), case.view.noted_on(key.id)
    if off is None and (back_on is None or case.now >= back_on + JUST_NOW):
        yield act.Deactivate(
            key=key.id, reason="it is Inactive already: note since when, so that its grace begins", due=case.now
        )
    elif off is None or case.now < due:
        yield Upcoming(shown="delete-orphan", key=key.id, due=due, reason="when it was Inactive for the whole grace")
    elif blocks := tuple(_blocks(case, key, "deleted")):
        yield from blocks
    else:
        yield act.DeleteOrphan(key=key.id, reason=f"{_why(case)}; Inactive since {day(off)}", due=due)


def _blocks(case: Case, key: AccessKey, what: str) -> Iterator[Hold]:
    if key.last_use.evidence is Evidence.UNKNOWN:
        yield unknown_use(key)
    off = case.view.noted_off(key.id)
    if off is not None and key.last_use.at is not None and key.last_use.at > off:
        yield Hold(
            key=key.id,
            reason=f"{key.id} is kept: something tried to use it after it was deactivated ({used(key)})",
            remedy="find out what uses it, and give that the current key",
        )
    yield from frozen(case, key, what)


def leaves(case: Case, key: AccessKey) -> datetime:
    """Tell when the slot of a key that nothing needs is free, if nothing holds the key until then."""
    if case.view.state_of(key) is KeyState.DISCARDED:
        return (case.view.noted_off(key.id) or case.now) + case.policy.grace
    return max(case.now, _off_due(case, key)) + case.policy.grace


def is_leaving_now(case: Case, key: AccessKey) -> bool:
    """Tell whether this plan deletes the key, so that its slot is free for a rotation of the same run."""
    if case.view.state_of(key) is not KeyState.DISCARDED or places_showing(case.view.observation, key.id):
        return False
    return any(isinstance(finding, act.DeleteOrphan) for finding in _inactive(case, key))
