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
from keyrota.core.evidence import places_showing
from keyrota.core.lifecycle import JUST_NOW, USE_IS_SHOWN_WITHIN, KeyState
from keyrota.core.model import AccessKey, Evidence
from keyrota.core.plan import Hold, Needs, Upcoming
from keyrota.core.situation import Finding, Situation, day, describe_use, hold_frozen, unknown_use


def discard(situation: Situation) -> Iterator[Finding]:
    """Do what is due about lost and released keys."""
    for key in situation.view.in_state(KeyState.ORPHAN):
        yield from _orphan(situation, key)
    for key in situation.view.in_state(KeyState.RELEASED):
        yield from _active(situation, key)
    for key in situation.view.in_state(KeyState.DISCARDED):
        yield from _inactive(situation, key)


def _orphan(situation: Situation, key: AccessKey) -> Iterator[Finding]:
    claim, note = situation.view.observation.claim, situation.view.discard
    if claim is not None and is_being_made(situation):
        yield Hold(
            key=key.id,
            until=claim.lease_until,
            needs=Needs.NOBODY,
            reason=f"{key.id} is being made by run {claim.run}, or its answer was lost",
            remedy=f"wait until {claim.lease_until:%Y-%m-%d %H:%M:%S} UTC; the next run continues",
        )
        return
    if note is not None and note.key == key.id:
        yield from _active(situation, key)
        return
    # The tag holds one key. Overwriting it would make the first one someone else's, which nothing ever cleans up.
    if note is not None and situation.view.key(note.key) is not None:
        return  # one note at a time; the claim continues proving this one until the other is gone
    yield act.NoteOrphan(
        key=key.id,
        reason="its secret was lost when the run that made it ended",
        due=claim.lease_until if claim else situation.now,
    )


def is_being_made(situation: Situation) -> bool:
    """Return whether another run may still be about to store a key that only its claim explains."""
    claim = situation.view.observation.claim
    return claim is not None and situation.now < claim.lease_until and bool(situation.view.in_state(KeyState.ORPHAN))


def _active(situation: Situation, key: AccessKey) -> Iterator[Finding]:
    off = situation.view.find_off_since(key.id)
    if off is not None:
        if situation.now < off + JUST_NOW:
            reason = "it was deactivated just now, and IAM lists it as Active: someone's doing, or a list that lags"
            yield Upcoming(shown="deactivate", key=key.id, due=off + JUST_NOW, reason=reason)
        else:
            yield act.NoteActive(
                key=key.id, reason="activated outside keyrota: it is no longer ours", due=situation.now
            )
        return
    due = _off_due(situation, key)
    if situation.now < due:
        yield Upcoming(shown="deactivate", key=key.id, due=due, reason=f"{_why(situation)}, if it is unused then")
    elif blocks := tuple(_blocks(situation, key, "deactivated")):
        yield from blocks
    else:
        yield act.Deactivate(key=key.id, reason=_why(situation), due=due)


def _off_due(situation: Situation, key: AccessKey) -> datetime:
    if situation.view.state_of(key) is KeyState.ORPHAN:
        # A person may have made this key in the same minutes, and use it: that shows up to a day later. Only after that
        # is "never used" evidence.
        return key.created + USE_IS_SHOWN_WITHIN
    quiet_from = key.last_use.at + situation.policy.unused_for if key.last_use.at else key.created
    return max(quiet_from, key.created + USE_IS_SHOWN_WITHIN)


def _why(situation: Situation) -> str:
    note = situation.view.discard
    if note is not None and note.is_released:
        return f"released on {day(note.at)}"
    return "its secret was lost when the run that made it ended; it was never used"


def _inactive(situation: Situation, key: AccessKey) -> Iterator[Finding]:
    due = leaves(situation, key)
    off, back_on = situation.view.find_off_since(key.id), situation.view.find_on_since(key.id)
    if off is None and (back_on is None or situation.now >= back_on + JUST_NOW):
        yield act.Deactivate(
            key=key.id, reason="it is Inactive already: note since when, so that its grace begins", due=situation.now
        )
    elif off is None or situation.now < due:
        yield Upcoming(shown="delete-orphan", key=key.id, due=due, reason="when it was Inactive for the whole grace")
    elif blocks := tuple(_blocks(situation, key, "deleted")):
        yield from blocks
    else:
        yield act.DeleteOrphan(key=key.id, reason=f"{_why(situation)}; Inactive since {day(off)}", due=due)


def _blocks(situation: Situation, key: AccessKey, what: str) -> Iterator[Hold]:
    if key.last_use.evidence is Evidence.UNKNOWN:
        yield unknown_use(key)
    off = situation.view.find_off_since(key.id)
    # Someone has the secret after all, so the key was not lost. Deleting it could not be undone.
    if off is not None and key.last_use.at is not None and key.last_use.at > off:
        yield Hold(
            key=key.id,
            reason=f"{key.id} is kept: something tried to use it after it was deactivated ({describe_use(key)})",
            remedy="find out what uses it, and give that the current key",
        )
    yield from hold_frozen(situation, key, what)


def leaves(situation: Situation, key: AccessKey) -> datetime:
    """Return when the slot of a key that nothing needs is free, if nothing holds the key until then."""
    if situation.view.state_of(key) is KeyState.DISCARDED:
        return (situation.view.find_off_since(key.id) or situation.now) + situation.policy.grace
    # An estimate for the report: an Active key first has to be deactivated, at the earliest now.
    return max(situation.now, _off_due(situation, key)) + situation.policy.grace


def is_leaving_now(situation: Situation, key: AccessKey) -> bool:
    """Return whether this plan deletes the key, so that its slot is free for a rotation of the same run."""
    if situation.view.state_of(key) is not KeyState.DISCARDED or places_showing(situation.view.observation, key.id):
        return False
    return any(isinstance(finding, act.DeleteOrphan) for finding in _inactive(situation, key))
