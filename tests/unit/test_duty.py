"""What a duty does of a plan: its own kind of change, and no other (promise least-privilege)."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from builders import (
    NEW,
    NOW,
    OLD,
    a_claim,
    a_key,
    a_secret,
    claim_version,
    current,
    holds,
    observed,
    off_since,
    previous,
    synced,
)
from keyrota.core import plan as act
from keyrota.core.model import ORPHAN_TAG, AccessKeyId, KeyStatus, Observation
from keyrota.core.plan import Duty
from keyrota.core.planner import Only, plan
from keyrota.core.policy import CLASSIC
from keyrota.core.records import DiscardNote, format_discard

ORPHANED = observed(
    a_key(OLD, age_days=95),
    a_key(NEW, age_days=1),
    secret=a_secret(current(), claim_version(), tags=[synced()]),
    targets=(holds(OLD),),
    claim=a_claim(days_ago=1),
)
"""A key is due, and another was made under a claim whose run did not come to store it."""
DUE_TO_GO = observed(
    a_key(OLD, age_days=111, status=KeyStatus.INACTIVE),
    a_key(NEW, age_days=21),
    secret=a_secret(previous(), current(NEW), tags=[synced(since=20, confirmed=0.5), off_since(10.5)]),
    targets=(holds(NEW),),
)


def noted(key: str, seen: Observation, *more: tuple[str, str]) -> Observation:
    """The same with the note that a key is proven lost."""
    assert seen.secret is not None
    note = DiscardNote(key=AccessKeyId(key), at=NOW)
    tags = (*seen.secret.tags, (ORPHAN_TAG, format_discard(note)), *more)
    return replace(seen, secret=replace(seen.secret, tags=tags))


def test_who_deletes_moves_no_label() -> None:
    (action,) = plan(DUE_TO_GO, CLASSIC, NOW).actions
    assert isinstance(action, act.Delete)
    assert action.version == "v0"
    assert plan(DUE_TO_GO, CLASSIC, NOW, Only(duty=Duty.DELETE)).actions == (replace(action, version=None),)


@pytest.mark.parametrize("duty", Duty)
def test_a_duty_leaves_what_is_another_s(duty: Duty) -> None:
    others = {kind for kind in get_args(act.Action) if kind.duties - {duty}}
    for seen in (ORPHANED, DUE_TO_GO):
        planned = plan(seen, CLASSIC, NOW, Only(duty=duty))
        assert not {type(action) for action in planned.actions} & others


NOTED = noted(NEW, replace(ORPHANED, claim=None))
OFF_FOR_LONG = replace(
    noted(NEW, ORPHANED, off_since(10.5, NEW)),
    keys=(a_key(OLD, age_days=95), a_key(NEW, age_days=11.5, status=KeyStatus.INACTIVE)),
    claim=None,
)
LOST = [
    ("the claim is read by who makes keys", ORPHANED, {Duty.ROTATE: act.NoteOrphan}),
    ("a noted key is deactivated", NOTED, {Duty.DEACTIVATE: act.Deactivate}),
    ("and deleted when its grace is over", OFF_FOR_LONG, {Duty.DELETE: act.DeleteOrphan}),
]


@pytest.mark.parametrize(("case", "seen", "whose"), LOST, ids=[row[0] for row in LOST])
def test_a_lost_key_goes_from_duty_to_duty(case: str, seen: Observation, whose: dict[Duty, type[act.Action]]) -> None:
    for duty in Duty:
        kinds = {type(action) for action in plan(seen, CLASSIC, NOW, Only(duty=duty)).actions if action.key == NEW}
        assert kinds == ({whose[duty]} if duty in whose else set()), (case, duty)


@pytest.mark.parametrize("duty", Duty)
def test_a_duty_reports_what_it_announces_and_nobody_else_does(duty: Duty) -> None:
    young = observed(a_key(), secret=a_secret(current(), tags=[synced()]), targets=(holds(OLD),))
    announced = plan(young, CLASSIC, NOW, Only(duty=duty)).upcoming
    assert [later.shown for later in announced] == (["rotate"] if duty is Duty.ROTATE else [])


def test_a_step_that_waits_for_another_duty_says_so() -> None:
    """`deactivate` before the day's rewrite: a line in log and report, instead of nothing."""
    overlap_over = observed(
        a_key(OLD, age_days=101),
        a_key(NEW, age_days=11),
        secret=a_secret(previous(), current(NEW), tags=[synced(since=10.5, confirmed=9)]),
        targets=(holds(NEW),),
    )
    whole = plan(overlap_over, CLASSIC, NOW)
    assert [type(action) for action in whole.actions] == [act.Sync, act.Deactivate]
    waits = [
        hold
        for hold in plan(overlap_over, CLASSIC, NOW, Only(duty=Duty.DEACTIVATE)).holds
        if "waits for" in hold.reason
    ]
    (hold,) = waits
    assert hold.key == OLD
    assert "deactivate waits for the next run of sync: rewritten before" in hold.reason
    assert hold.remedy
    for duty in (Duty.ROTATE, Duty.SYNC, Duty.DELETE):
        assert not [
            hold for hold in plan(overlap_over, CLASSIC, NOW, Only(duty=duty)).holds if "waits for" in hold.reason
        ]
