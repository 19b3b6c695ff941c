"""What a duty does of a plan: its own kind of change, and no other (promise least-privilege)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders import (
    NEW,
    NOW,
    ODD,
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
from keyrota.core.case import Case
from keyrota.core.duty import ACTIONS, Duty, part_of
from keyrota.core.lifecycle import view
from keyrota.core.model import ORPHAN_TAG, KeyStatus, Observation
from keyrota.core.planner import Only, plan
from keyrota.core.policy import CLASSIC
from keyrota.core.records import format_orphan

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


def case_of(seen: Observation) -> Case:
    return Case(view=view(seen), policy=CLASSIC, now=NOW)


def noted(key: str, seen: Observation = ORPHANED) -> Observation:
    """The same with the note that a key is proven lost."""
    assert seen.secret is not None
    tags = (*seen.secret.tags, (ORPHAN_TAG, format_orphan(key, NOW)))  # type: ignore[arg-type]  # a NewType
    return replace(seen, secret=replace(seen.secret, tags=tags))


def drop(key: str) -> act.DeleteOrphan:
    return act.DeleteOrphan(key=key, reason="lost", due=NOW)  # type: ignore[arg-type]  # a NewType


NOTES = [
    ("a lost key is noted", ORPHANED, NEW, True),
    ("once", noted(NEW), NEW, False),
    ("whatever else was noted", noted(ODD), NEW, True),
    ("a key that is no orphan is not", ORPHANED, OLD, False),
    ("nor one that IAM does not list", ORPHANED, ODD, False),
    ("nor one that is noted and not listed", noted(ODD), ODD, False),
]


@pytest.mark.parametrize(("case", "seen", "key", "is_noted"), NOTES, ids=[row[0] for row in NOTES])
def test_who_cannot_delete_notes(case: str, seen: Observation, key: str, is_noted: bool) -> None:
    part = part_of(Duty.ROTATE, drop(key), case_of(seen))
    assert (isinstance(part, act.NoteOrphan) and part.key == key) is is_noted, case
    assert part is None or part.due == NOW


def test_who_deletes_moves_no_label() -> None:
    (action,) = plan(DUE_TO_GO, CLASSIC, NOW).actions
    assert isinstance(action, act.Delete)
    assert action.version == "v0"
    assert plan(DUE_TO_GO, CLASSIC, NOW, Only(duty=Duty.DELETE)).actions == (replace(action, version=None),)


@pytest.mark.parametrize("duty", Duty)
def test_a_duty_leaves_what_is_another_s(duty: Duty) -> None:
    others = {kind for other, kinds in ACTIONS.items() if other is not duty for kind in kinds}
    for seen in (ORPHANED, DUE_TO_GO):
        planned = plan(seen, CLASSIC, NOW, Only(duty=duty))
        assert not {type(action) for action in planned.actions} & others


@pytest.mark.parametrize(
    ("duty", "shown"), [(Duty.ROTATE, ()), (Duty.SYNC, ()), (Duty.DEACTIVATE, ()), (Duty.DELETE, ("delete-orphan",))]
)
def test_a_duty_reports_what_it_announces_and_nobody_else_does(duty: Duty, shown: tuple[str, ...]) -> None:
    seen = noted(NEW, replace(ORPHANED, claim=None))
    planned = plan(seen, CLASSIC, NOW, Only(duty=duty))
    assert tuple(action.shown for action in planned.actions if action.shown == "delete-orphan") == shown
    young = observed(a_key(), secret=a_secret(current(), tags=[synced()]), targets=(holds(OLD),))
    announced = plan(young, CLASSIC, NOW, Only(duty=duty)).upcoming
    assert [later.shown for later in announced] == (["rotate"] if duty is Duty.ROTATE else [])
