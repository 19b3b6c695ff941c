"""When things fall due: from IAM's CreateDate, never sooner than overlap and grace allow."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import (
    NEVER,
    NEW,
    NOW,
    OLD,
    UNKNOWN,
    a_key,
    a_secret,
    ago,
    an_id,
    current,
    observed,
    off_since,
    previous,
    revoked,
    synced,
    used,
)
from keyrota.core.lifecycle import KeyRing, interpret
from keyrota.core.model import AccessKey, DeactivationNote, KeyStatus, LastUse
from keyrota.core.policy import CLASSIC, STRICT, Adopt, RotationPolicy
from keyrota.core.schedule import find_deletion_due, off_due, quiet_since, rotation_due

UNEVEN = RotationPolicy(
    rotate_after=timedelta(days=90), deactivate_after=timedelta(days=97), delete_after=timedelta(days=130)
)
"""An overlap of 7 days and a grace of 33: where both are ten, one can stand for the other unnoticed."""
ADOPT_NOW = replace(CLASSIC, adopt=Adopt.NOW)
PRESETS = pytest.mark.parametrize("policy", [CLASSIC, STRICT], ids=["classic", "strict"])


def in_days(days: float) -> datetime:
    return NOW + timedelta(days=days)


def replaced(
    old_age: float,
    new_age: float,
    *,
    since: float | None = None,
    use: LastUse = NEVER,
    tags: tuple[tuple[str, str], ...] = (),
) -> tuple[AccessKey, KeyRing]:
    """A key, its successor of an age, served for so many days (none: not synced)."""
    old = a_key(OLD, age_days=old_age, use=use)
    record = () if since is None else (synced(since=since),)
    secret = a_secret(previous(OLD), current(NEW), tags=(*record, *tags))
    return old, interpret(observed(old, a_key(NEW, age_days=new_age), secret=secret))


def test_only_the_note_that_this_very_key_is_on_again_gives_it_a_new_overlap() -> None:
    on = DeactivationNote.SEEN_ACTIVE
    for tag in (off_since(2), off_since(2, key=an_id("odd"), note=on), ("keyrota:deactivated", f"{OLD}@soon@on")):
        assert off_due(*replaced(130, 30, since=30, tags=(tag,)), CLASSIC) == in_days(-20)


@PRESETS
def test_a_rotation_is_due_at_its_age(policy: RotationPolicy) -> None:
    assert rotation_due(a_key(age_days=1), policy) == ago(1) + policy.rotate_after


def test_adopt_now_is_about_keys_that_were_there_before() -> None:
    assert rotation_due(a_key(age_days=3), ADOPT_NOW, is_adoptable=True) == ago(3)
    assert rotation_due(a_key(age_days=3), ADOPT_NOW) == in_days(87)
    assert rotation_due(a_key(age_days=3), CLASSIC, is_adoptable=True) == in_days(87)


OFF_DUE = [
    ("on time: at its age", 95, 5, 5, CLASSIC, 5),
    ("strict on time: at its age", 80, 5, 5, STRICT, 7),
    ("late: a whole overlap after its successor was served", 130, 1, 1, CLASSIC, 9),
    ("served late: the overlap counts from there, not from the rotation", 100, 10, 2, CLASSIC, 8),
    ("replaced early: in time for its successor's own rotation", 20, 10, 10, CLASSIC, 70),
    ("replaced early, served late: the overlap still holds", 85, 75, 1, CLASSIC, 9),
    ("overdue", 130, 30, 30, CLASSIC, -20),
    ("uneven: the overlap of seven days", 130, 1, 1, UNEVEN, 6),
    ("uneven, replaced early: a grace of 33 days before its successor's rotation", 20, 10, 10, UNEVEN, 47),
]


@pytest.mark.parametrize(("case", "old", "new", "since", "policy", "days"), OFF_DUE, ids=[row[0] for row in OFF_DUE])
def test_a_deactivation_is_due(
    *, case: str, old: float, new: float, since: float, policy: RotationPolicy, days: float
) -> None:
    assert off_due(*replaced(old, new, since=since), policy) == in_days(days), case


def test_no_deactivation_is_due_while_the_successor_is_not_served() -> None:
    assert off_due(*replaced(130, 1), CLASSIC) is None


def test_no_deactivation_is_due_while_iam_does_not_list_the_successor() -> None:
    old = a_key(OLD, age_days=130)
    alone = observed(old, secret=a_secret(previous(OLD), current(NEW), tags=[synced()]))
    assert off_due(old, interpret(alone), CLASSIC) is None


def test_a_key_that_was_switched_on_again_gets_a_new_overlap() -> None:
    tags = (off_since(2, note=DeactivationNote.SEEN_ACTIVE),)
    assert off_due(*replaced(130, 30, since=30, tags=tags), CLASSIC) == in_days(8)


GONE_DUE = [
    ("on time: at its age", 105, 15, off_since(5), NEVER, CLASSIC, 5),
    ("strict on time", 92, 15, off_since(5), NEVER, STRICT, 5),
    ("deactivated late: a whole grace after that", 130, 15, off_since(1), NEVER, CLASSIC, 9),
    ("used since: the grace counts from the use", 130, 15, off_since(9), used(2), CLASSIC, 8),
    ("used before: no matter", 130, 15, off_since(9), used(12), CLASSIC, 1),
    ("unknown use: the date stands, the plan holds it", 130, 15, off_since(9), UNKNOWN, CLASSIC, 1),
    ("replaced early: gone when its successor is due", 60, 50, off_since(2), NEVER, CLASSIC, 40),
    ("known to be Active lately", 130, 15, off_since(9, note=DeactivationNote.SEEN_ACTIVE), NEVER, CLASSIC, None),
    ("uneven: the grace of 33 days", 130, 15, off_since(1), NEVER, UNEVEN, 32),
    ("uneven, used since: the grace counts from the use", 130, 15, off_since(9), used(2), UNEVEN, 31),
    ("off, and nobody noted since when", 130, 15, off_since(9, NEW), NEVER, CLASSIC, None),
]


@pytest.mark.parametrize(
    ("case", "old", "new", "tag", "use", "policy", "days"), GONE_DUE, ids=[row[0] for row in GONE_DUE]
)
def test_a_deletion_is_due(
    *, case: str, old: float, new: float, tag: tuple[str, str], use: LastUse, policy: RotationPolicy, days: float | None
) -> None:
    due = find_deletion_due(*replaced(old, new, since=new, use=use, tags=(tag,)), policy)
    assert due == (None if days is None else in_days(days)), case


def test_a_revoked_key_goes_after_its_grace_whatever_its_age() -> None:
    keys = (a_key(OLD, age_days=20, status=KeyStatus.INACTIVE), a_key(NEW, age_days=1))
    seen = observed(*keys, secret=a_secret(previous(OLD), current(NEW), tags=[synced(since=1), off_since(1)]))
    assert find_deletion_due(keys[0], interpret(revoked(seen, OLD)), CLASSIC) == in_days(9)


def test_the_date_of_a_deletion_does_not_need_the_successor() -> None:
    old = a_key(OLD, age_days=105, status=KeyStatus.INACTIVE)
    alone = observed(old, secret=a_secret(previous(OLD), current(NEW), tags=[off_since(5)]))
    assert find_deletion_due(old, interpret(alone), CLASSIC) == in_days(5)


@pytest.mark.parametrize(
    ("case", "use", "since"),
    [
        ("never used", NEVER, None),
        ("unknown", UNKNOWN, None),
        ("used before its successor was served", used(6), None),
        ("used at that very moment", used(5), None),
        ("used after", used(4), ago(4)),
        ("used, nobody knows when", replace(used(4), at=None), None),
    ],
)
def test_the_last_use_beside_a_successor(case: str, use: LastUse, since: datetime | None) -> None:
    assert quiet_since(*replaced(100, 5, since=5, use=use)) == since, case


DAYS = st.floats(0, 400, allow_nan=False)


@given(DAYS, DAYS, DAYS, st.sampled_from([CLASSIC, STRICT]))
def test_no_run_ever_shortens_an_overlap(old: float, new: float, since: float, policy: RotationPolicy) -> None:
    due = off_due(*replaced(old, new, since=since), policy)
    assert due is not None
    assert due >= ago(since) + policy.overlap


@given(DAYS, DAYS, DAYS, st.sampled_from(DeactivationNote), st.sampled_from([CLASSIC, STRICT]))
def test_no_run_ever_shortens_a_grace(
    old: float, new: float, off: float, note: DeactivationNote, policy: RotationPolicy
) -> None:
    due = find_deletion_due(*replaced(old, new, since=new, tags=(off_since(off, note=note),)), policy)
    assert (due is None) == (note is DeactivationNote.SEEN_ACTIVE)
    assert due is None or due >= ago(off) + policy.grace


@given(st.floats(0, 90), st.floats(0, 10), st.sampled_from([CLASSIC, STRICT]))
def test_a_served_pair_leaves_a_slot_for_the_next_rotation(age: float, late: float, policy: RotationPolicy) -> None:
    """However early a key was replaced, it is gone when its successor is due, if overlap and grace leave time."""
    new_age = 2.0
    old, known = replaced(new_age + age, new_age, since=new_age - min(late, new_age))
    off = off_due(old, known, policy)
    assert off is not None
    successor = known.key(NEW)
    assert successor is not None
    earliest = known.synced.since + policy.overlap if known.synced else NOW
    assert off + policy.grace <= max(rotation_due(successor, policy), earliest + policy.grace)
