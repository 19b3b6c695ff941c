"""
Single-purpose runs: each duty does its own kind of change and no other (promise least-privilege).

A plan is made as always, from the whole routine; what is another duty's is left to it. A lost key is deactivated and
deleted by duties that cannot read the claim which proves it lost, so the duty that can read it leaves a note. Three
things happen in another way than in a run that may do everything: who deletes a key may not move labels, so another
takes its label off; a lost race leaves its key to be found as lost, because who makes keys cannot delete them; and who
syncs may not move labels either, so it reads, proves and serves a value that someone else put into the secret, and the
next run that rotates puts the label of its key on.
"""

from __future__ import annotations

from dataclasses import replace

from keyrota.core import plan as act
from keyrota.core.plan import Duty


def part_of(duty: Duty, action: act.Action) -> act.Action | None:
    """Find what a duty does of an action: the action, its own part of it, or nothing."""
    if duty not in action.duties:
        return None
    if duty is Duty.SYNC and isinstance(action, act.Adopt):
        return without_labels(action)
    if duty is Duty.SYNC and isinstance(action, act.AskFirst) and action.asks_readers:
        return None  # only who stores a first key asks, and may ask, who else reads the secret
    return replace(action, version=None) if isinstance(action, act.Delete) else action


def duty_of(action: act.Action) -> Duty | None:
    """Return which duty does an action first; None for those of `revoke` and `rollback`."""
    return next((duty for duty in Duty if duty in action.duties), None)


def without_labels(action: act.Adopt) -> act.Adopt | None:
    """
    Find the part of an adoption that needs no right to move labels: reading a value that someone else put there.

    A key that was there before keyrota (its ID is known without reading) is adopted for its rotation alone.
    """
    return replace(action, is_labelled=False, follows=False) if action.key is None else None
