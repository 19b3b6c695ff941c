"""What keeps an old key: each single missing proof, and what stops everything."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, timedelta
from typing import Any

import pytest

from builders import (
    NEVER,
    NEW,
    NOW,
    ODD,
    OLD,
    SHOP,
    UNKNOWN,
    a_key,
    a_secret,
    absent,
    ago,
    by_run,
    cannot_tell,
    check_told,
    current,
    down,
    holds,
    observed,
    off_since,
    pending,
    previous,
    revoked,
    synced,
    used,
)
from keyrota.core import plan as act
from keyrota.core.model import AccessKey, DeactivationNote, KeyStatus, LastUse, Observation, TargetState
from keyrota.core.plan import Plan
from keyrota.core.planner import Rotate, plan
from keyrota.core.policy import CLASSIC, Freeze, OnStillUsed, RotationPolicy

OFF = KeyStatus.INACTIVE
MONDAYS = replace(CLASSIC, freezes=(Freeze(zone=UTC, weekdays=frozenset({NOW.weekday()})),))
ALL_MONDAYS = replace(CLASSIC, freezes=tuple(replace(window, holds_new_keys=True) for window in MONDAYS.freezes))
ALL_THE_SAME = replace(CLASSIC, on_still_used=OnStillUsed.DEACTIVATE)
PROVE_USE = replace(CLASSIC, prove_use=True)
NEXT = "rotate 2026-08-19"


@dataclass(frozen=True)
class Row:
    """One line of a table: in which case, what is planned."""

    case: str
    seen: Observation
    do: tuple[str, ...] = ()
    hold: tuple[str, ...] = ()
    later: tuple[str, ...] = (NEXT,)
    policy: RotationPolicy = CLASSIC

    def __str__(self) -> str:
        return self.case


def check(row: Row, planned: Plan) -> None:
    assert tuple(type(action).__name__ for action in planned.actions) == row.do
    assert len(planned.holds) == len(row.hold), planned.holds
    for hold, words in zip(planned.holds, row.hold, strict=True):
        assert words in hold.reason
    assert tuple(f"{later.shown} {later.due:%Y-%m-%d}" for later in planned.upcoming) == row.later


def overlap_over(
    *,
    use: LastUse = NEVER,
    new: AccessKey | None = None,
    since: float = 10.5,
    confirmed: float = 0.2,
    age: float = 101,
    targets: tuple[TargetState, ...] = (holds(NEW),),
    tags: tuple[tuple[str, str], ...] = (),
) -> Observation:
    """All proofs at hand: the successor served since 10.5 days, the overlap over, the old key never used."""
    record = [synced(since=since, confirmed=confirmed), *tags]
    return observed(
        a_key(OLD, age_days=age, use=use),
        new or a_key(NEW, age_days=11),
        secret=a_secret(previous(OLD), current(NEW), tags=record),
        targets=targets,
    )


def without_record() -> Observation:
    seen = overlap_over()
    return replace(seen, secret=a_secret(previous(OLD), current(NEW)))


PROOF = [
    Row("with every proof the old key goes off", overlap_over(), do=("Deactivate",)),
    Row("at the very end of its overlap", overlap_over(since=10, age=100), do=("Sync", "Deactivate")),
    Row(
        "at its age, and its successor is nowhere yet",
        replace(overlap_over(age=100), secret=a_secret(previous(OLD), current(NEW))),
        do=("Sync",),
        hold=(f"its successor {NEW} is not proven on every target",),
    ),
    Row("another key was switched off", overlap_over(tags=(off_since(3, ODD),)), do=("Deactivate",)),
    Row("used since, to the very end of its quiet time", overlap_over(use=used(10)), do=("Deactivate",)),
    Row("used long ago, before its successor was served", overlap_over(use=used(20)), do=("Deactivate",)),
    Row(
        "a target that cannot be read back was written after the overlap",
        overlap_over(targets=(cannot_tell(),)),
        do=("Deactivate",),
    ),
    Row(
        "last written before the overlap was over: written once more, then off",
        overlap_over(confirmed=5, targets=(cannot_tell(),)),
        do=("Sync", "Deactivate"),
    ),
    Row("a credential without targets needs no writing", overlap_over(confirmed=10.5, targets=()), do=("Deactivate",)),
    Row("no sync was ever recorded", without_record(), do=("Sync",), hold=("is not proven on every target",)),
    Row(
        "the record is of another version",
        replace(overlap_over(), secret=a_secret(previous(OLD), current(NEW), tags=[synced("v0", since=30)])),
        do=("Sync",),
        hold=("is not proven on every target",),
    ),
    Row(
        "the record is of another set of targets",
        replace(overlap_over(), fingerprint="another"),
        do=("Sync",),
        hold=("is not proven on every target",),
    ),
    Row(
        "a target does not answer",
        overlap_over(targets=(holds(NEW, "one"), down("two"))),
        hold=("two answered 503", "two is not confirmed to hold"),
    ),
    Row(
        "a target shows the old key",
        overlap_over(targets=(holds(OLD),)),
        do=("Sync",),
        hold=("is not confirmed to hold",),
    ),
    Row(
        "a target lost its variables",
        overlap_over(targets=(absent(),)),
        do=("Sync",),
        hold=("pipelines fail at bitbucket acme/shop Production now: it lacks", "is not confirmed to hold"),
    ),
    Row("the overlap is not over", overlap_over(since=9), later=("deactivate 2026-06-02", NEXT)),
    Row(
        "a run that comes late never shortens the overlap",
        overlap_over(age=300, since=1),
        later=("deactivate 2026-06-10", NEXT),
    ),
    Row("the age is not reached", overlap_over(age=99), later=("deactivate 2026-06-02", NEXT)),
    Row(
        "an unknown last use is never taken for unused",
        overlap_over(use=UNKNOWN),
        hold=("could not be read: throttled",),
    ),
    Row(
        "not even when a used key would go off",
        overlap_over(use=UNKNOWN),
        hold=("could not be read",),
        policy=ALL_THE_SAME,
    ),
    Row(
        "used within unused_for",
        overlap_over(use=used(0.5)),
        hold=("is still used: last used 2026-05-31 18:00 UTC by s3 in eu-central-1",),
    ),
    Row(
        "used within unused_for, though before its successor was served",
        overlap_over(use=used(0.5), since=0.4, age=120),
        hold=("is still used",),
        policy=replace(CLASSIC, deactivate_after=timedelta(days=90, hours=6), unused_for=timedelta(days=1)),
    ),
    Row(
        "used after its successor was served, less than an overlap ago",
        overlap_over(use=used(2)),
        hold=("is still used",),
    ),
    Row(
        "used after its successor was served, a whole overlap ago",
        overlap_over(use=used(10.2), since=10.5),
        do=("Deactivate",),
    ),
    Row("a use without a time is unknown", overlap_over(use=replace(used(1), at=None)), hold=("could not be read",)),
    Row(
        "on_still_used: deactivate does not wait", overlap_over(use=used(0.5)), do=("Deactivate",), policy=ALL_THE_SAME
    ),
    Row(
        "prove_use: nobody used the new key yet",
        overlap_over(),
        hold=("nothing has used the new key",),
        policy=PROVE_USE,
    ),
    Row(
        "prove_use: the new key's use is unknown",
        overlap_over(new=a_key(NEW, age_days=11, use=UNKNOWN)),
        hold=(f"the last use of {NEW} could not be read",),
        policy=PROVE_USE,
    ),
    Row(
        "prove_use: the new key was used",
        overlap_over(new=a_key(NEW, age_days=11, use=used(1))),
        do=("Deactivate",),
        policy=PROVE_USE,
    ),
    Row("a freeze window", overlap_over(), hold=("is not deactivated in a freeze window",), policy=MONDAYS),
    Row(
        "the successor is Inactive",
        overlap_over(new=a_key(NEW, age_days=11, status=OFF)),
        hold=("it was deactivated outside keyrota", "is not proven on every target"),
        later=(),
    ),
    Row("somebody switched it on again: noted", overlap_over(tags=(off_since(3),)), do=("NoteActive",)),
    Row(
        "and its overlap starts anew",
        overlap_over(tags=(off_since(1, note=DeactivationNote.SEEN_ACTIVE),)),
        later=("deactivate 2026-06-10", NEXT),
    ),
    Row(
        "a revoked key that somebody switched on again is noted too",
        revoked(overlap_over(tags=(off_since(3),)), OLD),
        do=("NoteActive",),
    ),
]


def grace_over(
    *,
    off: tuple[tuple[str, str], ...] = (off_since(10.1),),
    use: LastUse = NEVER,
    new: AccessKey | None = None,
    targets: tuple[TargetState, ...] = (holds(NEW),),
) -> Observation:
    """The old key Inactive for its whole grace."""
    return observed(
        a_key(OLD, age_days=111, status=OFF, use=use),
        new or a_key(NEW, age_days=11),
        secret=a_secret(previous(OLD), current(NEW), tags=[synced(since=10.9, confirmed=5), *off]),
        targets=targets,
    )


GONE = [
    Row("after its grace the old key is deleted", grace_over(), do=("Delete",)),
    Row(
        "a list that lags shows as Inactive what was switched on just now",
        grace_over(off=(off_since(0.01, note=DeactivationNote.SEEN_ACTIVE),)),
        later=("delete 2026-06-01", NEXT),
    ),
    Row(
        "and a quarter of an hour later it is Inactive again: its grace begins",
        grace_over(off=(off_since(0.011, note=DeactivationNote.SEEN_ACTIVE),)),
        do=("Deactivate",),
    ),
    Row(
        "the quarter of an hour is just over",
        grace_over(off=(off_since(900 / 86400, note=DeactivationNote.SEEN_ACTIVE),)),
        do=("Deactivate",),
    ),
    Row(
        "what was switched off just now has its whole grace",
        grace_over(off=(off_since(0.001),)),
        later=("delete 2026-06-11", NEXT),
    ),
    Row(
        "what was switched on just now is another key",
        grace_over(off=(off_since(0.001, NEW, note=DeactivationNote.SEEN_ACTIVE),)),
        do=("Deactivate",),
    ),
    Row("at the very end of its grace", grace_over(off=(off_since(10),)), do=("Delete",)),
    Row(
        "a target that was left behind still shows it",
        replace(grace_over(), left_behind=(holds(OLD, "x"),)),
        hold=("x still holds it",),
    ),
    Row(
        "a key that was never served goes, though the current one is Inactive",
        revoked(
            observed(
                a_key(OLD, age_days=20, status=OFF),
                a_key(NEW, age_days=15, status=OFF),
                secret=a_secret(current(), pending(), tags=[synced(), off_since(10.1, NEW)]),
            ),
            NEW,
        ),
        do=("Delete",),
        hold=("it was deactivated outside keyrota",),
        later=(),
    ),
    Row("not before", grace_over(off=(off_since(9),)), later=("delete 2026-06-02", NEXT)),
    Row("used since it went off: the grace starts anew", grace_over(use=used(3)), later=("delete 2026-06-08", NEXT)),
    Row("used before it went off does not matter", grace_over(use=used(10.5)), do=("Delete",)),
    Row("its use is unknown", grace_over(use=UNKNOWN), hold=("could not be read",)),
    Row("a freeze window", grace_over(), hold=("is not deleted in a freeze window",), policy=MONDAYS),
    Row(
        "a target still shows it",
        grace_over(targets=(holds(OLD),)),
        do=("Sync",),
        hold=("pipelines fail at bitbucket acme/shop Production now: it holds", "still holds it"),
    ),
    Row("a person switched it off: its grace starts when that is seen", grace_over(off=()), do=("Deactivate",)),
    Row("the record is of another key", grace_over(off=(off_since(50, ODD),)), do=("Deactivate",)),
    Row(
        "the record says that it was Active",
        grace_over(off=(off_since(50, note=DeactivationNote.SEEN_ACTIVE),)),
        do=("Deactivate",),
    ),
    Row("somebody edited the record", grace_over(off=(("keyrota:deactivated", f"{OLD}@soon"),)), do=("Deactivate",)),
    Row(
        "a revoked key goes after its grace, whatever its age",
        replace(
            revoked(grace_over(), OLD),
            keys=(a_key(OLD, age_days=20, status=OFF), a_key(NEW, age_days=11)),
        ),
        do=("Delete",),
    ),
    Row(
        "its successor is Inactive: the way back stays open",
        grace_over(new=a_key(NEW, age_days=11, status=OFF)),
        hold=("it was deactivated outside keyrota", "should have replaced it is not Active"),
        later=(),
    ),
]


def current_gone(changed: float) -> Observation:
    return observed(
        a_key(OLD, age_days=91), secret=a_secret(previous(OLD), current(NEW), tags=[synced()], changed=changed)
    )


def with_third(seen: Observation) -> Observation:
    """One key more than IAM's quota, made by somebody else."""
    return replace(seen, keys=(*seen.keys, a_key(ODD)))


TOO_MANY = [
    Row(
        "three keys: nothing is deactivated, whatever is proven",
        with_third(overlap_over()),
        hold=(f"{ODD} (Active) was not made by keyrota", "3 access keys"),
    ),
    Row(
        "three keys: nothing is deleted, whatever is over",
        with_third(grace_over()),
        hold=(f"{ODD} (Active) was not made by keyrota", "3 access keys"),
    ),
]

CURRENT = [
    Row(
        "the key that targets hold was switched off by somebody",
        observed(a_key(status=OFF, age_days=95), secret=a_secret(current(), tags=[synced()])),
        hold=("it was deactivated outside keyrota",),
        later=(),
    ),
    Row("a new key that IAM does not list yet", current_gone(5 / 1440), hold=("IAM does not list it yet",), later=()),
    Row("a key that IAM has lost", current_gone(1), hold=("IAM does not have it any more",), later=()),
    Row(
        "a key that IAM has lost, and no other",
        observed(secret=a_secret(current(NEW), tags=[synced()])),
        hold=("IAM does not have it any more",),
        later=(),
    ),
]


def due(**secret: Any) -> Observation:
    """Much to do: a rotation, a sync."""
    return observed(a_key(age_days=200), secret=replace(a_secret(current()), **secret), targets=(cannot_tell(),))


STOPS = [
    Row("the secret is scheduled for deletion", due(deleted_at=ago(1)), hold=("scheduled for deletion",), later=()),
    Row(
        "the secret is another user's",
        due(tags=(("keyrota:user", "someone"),)),
        hold=("belongs to another user (someone)",),
        later=(),
    ),
    Row(
        "a key of unknown status beside keys that are due",
        replace(
            grace_over(), keys=(*grace_over().keys, replace(a_key(ODD), status=KeyStatus.OTHER, status_word="Asleep"))
        ),
        hold=("'Asleep'",),
        later=(),
    ),
]


@pytest.mark.parametrize("row", [*PROOF, *GONE, *TOO_MANY, *CURRENT, *STOPS], ids=str)
def test_holds(row: Row) -> None:
    planned = plan(row.seen, row.policy, NOW)
    check(row, planned)
    check_told(planned, row.seen)
    assert all(hold.remedy or hold.target for hold in planned.holds)


def test_a_user_name_with_a_comma_owns_its_secret() -> None:
    seen = replace(due(tags=(("keyrota:user", "ci/deploy"),)), user="ci,deploy")  # type: ignore[arg-type]  # a NewType
    assert not any("another user" in hold.reason for hold in plan(seen, CLASSIC, NOW).holds)


def test_a_freeze_says_until_when() -> None:
    (hold,) = plan(overlap_over(), MONDAYS, NOW).holds
    assert hold.until == NOW.replace(hour=0) + timedelta(days=1)


def test_a_freeze_stops_neither_a_rotation_nor_a_sync() -> None:
    shown = {action.shown for action in plan(due(), MONDAYS, NOW).actions}
    assert shown == {"rotate", "sync"}


@pytest.mark.parametrize("seen", [due(), observed(targets=(absent(),))], ids=["a key that is due", "a first key"])
def test_a_freeze_that_covers_all_holds_a_new_key_until_it_ends(seen: Observation) -> None:
    planned = plan(seen, ALL_MONDAYS, NOW)
    (hold,) = (hold for hold in planned.holds if "none is made in a freeze window" in hold.reason)
    assert not planned.makes_key
    assert (hold.until, hold.needs) == (NOW.replace(hour=0) + timedelta(days=1), act.Needs.NOBODY)


def test_a_freeze_that_covers_all_holds_neither_a_person_s_rotation_nor_one_that_was_begun() -> None:
    assert {action.shown for action in plan(due(), ALL_MONDAYS, NOW, Rotate(key=OLD)).actions} == {"rotate", "sync"}
    begun = observed(a_key(age_days=91), a_key(NEW, age_days=0), secret=a_secret(current(), pending()))
    assert any(isinstance(action, act.Promote) for action in plan(begun, ALL_MONDAYS, NOW).actions)


def test_both_missing_proofs_are_named_at_once() -> None:
    planned = plan(overlap_over(use=UNKNOWN, targets=(down(),)), MONDAYS, NOW)
    words = [hold.reason for hold in planned.holds]
    assert [SHOP in word for word in words] == [True, True, False, False]
    assert "could not be read" in words[2]
    assert "freeze" in words[3]


def test_the_line_of_a_deactivation_names_its_proof() -> None:
    (action,) = plan(overlap_over(use=used(20)), CLASSIC, NOW).actions
    assert isinstance(action, act.Deactivate)
    assert action.reason == f"101 days old, last used 2026-05-12 06:00 UTC; its successor {NEW} is on every target"
    assert (action.due, action.is_emergency) == (ago(0.5), False)


def test_an_old_key_that_is_held_is_not_announced_for_a_day_that_is_past() -> None:
    """The next rotation finds no slot, because a forgotten script still uses the old key: it is the thing to mend."""
    seen = observed(
        a_key(OLD, age_days=181, use=used(0.1)),
        a_key(NEW, age_days=91),
        secret=a_secret(previous(OLD), current(NEW), tags=[synced(since=90, confirmed=0.2)]),
    )
    slot = next(hold for hold in plan(seen, CLASSIC, NOW).holds if "slots" in hold.reason)
    assert slot.until is None or slot.until > NOW
    assert "nothing to do" not in slot.remedy


def test_a_deletion_says_since_when_the_key_is_off() -> None:
    (action,) = plan(grace_over(off=(off_since(10),)), CLASSIC, NOW).actions
    assert action.reason == "Inactive since 2026-05-22 06:00 UTC"


def test_of_too_many_keys_the_current_one_is_named() -> None:
    known = plan(with_third(overlap_over()), CLASSIC, NOW).holds[-1]
    assert f"AWSCURRENT holds {NEW}" in known.remedy
    bare = plan(observed(a_key(OLD), a_key(NEW), a_key(ODD)), CLASSIC, NOW).holds
    assert ["look which one" in hold.remedy for hold in bare if "3 access keys" in hold.reason] == [True]


def test_a_pending_key_does_not_hurry_the_old_one() -> None:
    """While a third key is being brought home, the superseded key keeps its overlap."""
    seen = observed(
        a_key(OLD, age_days=101),
        a_key(NEW, age_days=91),
        secret=a_secret(previous(OLD), current(NEW), pending(ODD), tags=[synced(since=1)]),
    )
    planned = plan(by_run(seen, made_here=frozenset({ODD})), CLASSIC, NOW)
    assert not any(isinstance(action, act.Deactivate) for action in planned.actions)


def test_a_list_that_lags_is_looked_at_again_a_quarter_of_an_hour_later() -> None:
    seen = grace_over(off=(off_since(0.01, note=DeactivationNote.SEEN_ACTIVE),))
    soonest = plan(seen, CLASSIC, NOW).upcoming[0]
    assert (soonest.key, soonest.due) == (OLD, ago(0.01) + timedelta(minutes=15))
