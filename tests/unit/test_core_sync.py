"""Which targets are written, which are held for a person, and what is worth telling of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest

from builders import (
    FINGERPRINT,
    NEW,
    NOW,
    ODD,
    OLD,
    a_key,
    a_secret,
    absent,
    ago,
    by_run,
    cannot_tell,
    current,
    down,
    holds,
    observed,
    pending,
    previous,
    remembers,
    synced,
)
from keyrota.core import plan as act
from keyrota.core.emergency import Revoke, Rollback
from keyrota.core.lifecycle import CLOCKS_DIFFER, JUST_NOW, interpret
from keyrota.core.model import (
    PAIRS_TAG,
    SYNC_PASS_TAG,
    SYNCED_TAG,
    Evidence,
    LastUse,
    Observation,
    PairDoubt,
    PairsRecord,
    SyncPass,
    SyncRecord,
    TargetEvidence,
    TargetState,
    VersionId,
)
from keyrota.core.plan import Duty
from keyrota.core.planner import Intent, Only, Routine, SyncOnly, plan
from keyrota.core.policy import CLASSIC, Drift
from keyrota.core.records import format_pairs, format_pass, format_synced, place_digest
from keyrota.core.situation import Situation, describe_use
from keyrota.core.sync import TOKEN_ENDS_SOON, find_unwritten, is_changed_since

HELD = replace(CLASSIC, drift=Drift.HOLD)
TICK = timedelta(seconds=1)
NOBODY_KNOWS = TargetState(address="odd", evidence=TargetEvidence.HOLDS)
"""A target whose variable holds something that is no key ID."""


@dataclass(frozen=True)
class Row:
    """One line of a table: what targets say; which are written, which are held."""

    case: str
    seen: Observation
    write: tuple[str, ...] | None = ()
    """None: no sync at all."""
    hold: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.case


def two(
    *targets: TargetState, tags: tuple[tuple[str, str], ...] = (synced("v1", since=1, confirmed=0.5),), **known: object
) -> Observation:
    """OLD beside NEW, which AWSCURRENT is."""
    return by_run(
        observed(
            a_key(OLD, age_days=91),
            a_key(NEW, age_days=1),
            secret=a_secret(previous(OLD), current(NEW), tags=tags),
            targets=targets,
        ),
        **known,
    )


ADDED = (synced("v1", since=1, confirmed=0.5), *remembers("a", "b"))
ANOTHER_VERSION = (synced("v0"),)
HOLDING = [
    Row("all hold it", two(holds(NEW, "a"), holds(NEW, "b")), write=None),
    Row("somebody changed one", two(holds(NEW, "a"), holds(ODD, "b")), write=None, hold=("b",)),
    Row("somebody wrote what is no key ID", two(holds(NEW, "a"), NOBODY_KNOWS), write=None, hold=("odd",)),
    Row("somebody took one away", two(absent("a"), holds(NEW, "b")), write=None, hold=("a",)),
    Row("a run that died wrote an older key of ours", two(holds(NEW, "a"), holds(OLD, "b")), write=("b",)),
    Row("both at once", two(holds(OLD, "a"), holds(ODD, "b")), write=("a",), hold=("b",)),
    Row(
        "the target does not have the current key yet, and both were written before: all are written",
        two(holds(OLD, "a"), holds(ODD, "b"), tags=remembers("a", "b", version="v0")),
        write=("a", "b"),
    ),
    Row(
        "a place that shows a key of another user is not written for the first time",
        two(holds(OLD, "a"), holds(ODD, "b"), tags=()),
        write=("a",),
    ),
    Row(
        "and where another version was there before",
        two(holds(OLD, "a"), holds(ODD, "b"), tags=ANOTHER_VERSION),
        write=("a", "b"),
    ),
    Row(
        "a target was added: a neighbour that somebody changed is held",
        two(cannot_tell("a"), holds(ODD, "b"), tags=ADDED, fingerprint="another"),
        write=("a",),
        hold=("b",),
    ),
    Row(
        "a target was added: what an older key of ours is in is written",
        two(holds(OLD, "a"), absent("b"), tags=ADDED, fingerprint="another"),
        write=("a", "b"),
    ),
    Row(
        "a target was dropped, and the only one left was changed by somebody",
        two(holds(ODD, "a"), tags=ADDED, fingerprint="another"),
        write=None,
        hold=("a",),
    ),
    Row(
        "a target was added: one that holds the key already is held for nobody",
        two(holds(NEW, "a"), cannot_tell("b"), fingerprint="another"),
        write=("a", "b"),
    ),
    Row(
        "somebody changed one, and another would be written a second time: nothing is",
        two(holds(ODD, "a"), cannot_tell("b"), tags=(synced("v1", since=1),)),
        write=None,
        hold=("a",),
    ),
    Row(
        "nobody changed any: both are written a second time",
        two(holds(NEW, "a"), cannot_tell("b"), tags=(synced("v1", since=1),)),
        write=("a", "b"),
    ),
    Row("all targets were dropped: that is noted", two(fingerprint="another"), write=()),
]


@pytest.mark.parametrize("row", HOLDING, ids=str)
def test_drift_hold(row: Row) -> None:
    planned = plan(row.seen, HELD, NOW)
    syncs = [action for action in planned.actions if isinstance(action, act.Sync)]
    assert [action.targets for action in syncs] == ([] if row.write is None else [row.write])
    assert tuple(hold.target for hold in planned.holds if "changed outside keyrota" in hold.reason) == row.hold
    assert all(action.key == NEW for action in syncs)


@pytest.mark.parametrize("row", [row for row in HOLDING if row.hold], ids=str)
def test_drift_mend_and_a_person_s_sync_write_it_over(row: Row) -> None:
    for planned in (plan(row.seen, CLASSIC, NOW), plan(row.seen, HELD, NOW, SyncOnly())):
        written = {place for action in planned.actions if isinstance(action, act.Sync) for place in action.targets}
        assert set(row.hold) <= written
        assert not [hold for hold in planned.holds if "changed outside keyrota" in hold.reason]


def record(*, ended: datetime | None, confirmed: float = 0.5) -> tuple[str, str]:
    return SYNCED_TAG, format_synced(
        SyncRecord(
            version=VersionId("v1"), since=ago(1), confirmed=ago(confirmed), fingerprint=FINGERPRINT, ended=ended
        )
    )


CHANGED = [
    ("after our last write", ago(0.5) + CLOCKS_DIFFER + TICK, ago(0.5), True),
    ("within what clocks may differ", ago(0.5) + CLOCKS_DIFFER, ago(0.5), False),
    ("it is not known when our last write ended", NOW, None, False),
    ("never, as far as is told", None, ago(0.5), False),
]


@pytest.mark.parametrize(("case", "changed", "ended", "is_mended"), CHANGED, ids=[row[0] for row in CHANGED])
def test_a_target_was_changed(case: str, changed: datetime | None, ended: datetime | None, is_mended: bool) -> None:
    seen = two(replace(cannot_tell("a"), changed_at=changed), tags=(record(ended=ended),))
    syncs = [action for action in plan(seen, CLASSIC, NOW).actions if isinstance(action, act.Sync)]
    assert [(action.targets, action.is_repair, action.is_rewrite) for action in syncs] == (
        [(("a",), True, False)] if is_mended else []
    ), case
    assert all("was changed at" in action.reason for action in syncs)


REWRITTEN = [
    ("right after it began", ago(0.2) + TICK, False),
    ("within what clocks may differ before it", ago(0.2) - CLOCKS_DIFFER + TICK, False),
    ("before it began", ago(0.2) - CLOCKS_DIFFER, True),
    ("when it must have ended", ago(0.2) + JUST_NOW, True),
]


@pytest.mark.parametrize(("case", "changed", "is_mended"), REWRITTEN, ids=[row[0] for row in REWRITTEN])
def test_a_write_of_our_own_whose_end_was_not_noted_is_nobody_s_change(
    case: str, changed: datetime, is_mended: bool
) -> None:
    """With `drift: hold` a run that died there held the old key until somebody came (found by the simulation)."""
    places = ((place_digest("a"), PairDoubt.SAME),)
    begun = PAIRS_TAG, format_pairs(PairsRecord(version=VersionId("v1"), at=ago(0.2), places=places))
    seen = two(replace(cannot_tell("a"), changed_at=changed), tags=(record(ended=ago(0.5)), begun))
    syncs = [action for action in plan(seen, CLASSIC, NOW).actions if isinstance(action, act.Sync)]
    assert [(action.targets, action.is_repair) for action in syncs] == ([(("a",), True)] if is_mended else []), case
    assert not any(hold.is_torn for hold in plan(seen, CLASSIC, NOW).holds)


def test_a_pair_that_was_changed_beside_our_own_key_id_is_held_as_well() -> None:
    seen = two(replace(holds(NEW, "a"), changed_at=NOW), tags=(record(ended=ago(0.5)),))
    planned = plan(seen, HELD, NOW)
    assert (planned.actions, [hold.target for hold in planned.holds]) == ((), ["a"])


def test_a_sync_says_why() -> None:
    for seen, why in (
        (two(holds(OLD, "a"), tags=()), "the target does not have the current key yet"),
        (two(holds(OLD, "a"), tags=ANOTHER_VERSION), "the target does not have the current key yet"),
        (two(holds(OLD, "a"), fingerprint="another"), "the set of targets changed"),
    ):
        assert [action.reason for action in plan(seen, CLASSIC, NOW).actions] == [why]


def test_a_walk_that_began_before_the_quarter_of_an_hour_was_over_is_no_second_time() -> None:
    began = ago(1) + JUST_NOW
    for at, left in ((began - TICK, ("a", "b")), (began, ("b",))):
        walk = SyncPass(version=VersionId("v1"), began=at, fingerprint=FINGERPRINT, written=frozenset("a"))
        tags = (synced("v1", since=1), (SYNC_PASS_TAG, format_pass(walk, "ab")))
        (action,) = plan(two(cannot_tell("a"), cannot_tell("b"), tags=tags), CLASSIC, NOW).actions
        assert isinstance(action, act.Sync)
        assert action.targets == left


def test_a_target_that_holds_another_key_is_said_to_hold_it_though_it_was_changed() -> None:
    seen = two(replace(holds(ODD, "a"), changed_at=NOW), tags=(record(ended=ago(0.5)),))
    assert [action.reason for action in plan(seen, CLASSIC, NOW).actions[1:]] == [f"a holds {ODD}"]


def settled(minutes: float, *, confirmed: float | None = None, targets: tuple[TargetState, ...]) -> Observation:
    """Served so many minutes ago."""
    since = minutes / 1440
    done = since if confirmed is None else confirmed / 1440
    return two(*targets, tags=(synced("v1", since=since, confirmed=done),))


AT = JUST_NOW / timedelta(minutes=1)
SETTLES = [
    ("before a quarter of an hour is over", settled(AT - 1, targets=(cannot_tell("a"),)), False),
    ("when it is", settled(AT, targets=(cannot_tell("a"),)), True),
    ("done before", settled(AT + 9, confirmed=AT, targets=(cannot_tell("a"),)), True),
    ("done then", settled(AT + 9, confirmed=9, targets=(cannot_tell("a"),)), False),
    ("nothing to write", settled(AT, targets=()), False),
    (
        "no other key has been there",
        replace(settled(AT, targets=(cannot_tell("a"),)), keys=(a_key(NEW, age_days=1),)),
        False,
    ),
]


@pytest.mark.parametrize(("case", "seen", "is_rewritten"), SETTLES, ids=[row[0] for row in SETTLES])
def test_the_pair_is_written_a_second_time(case: str, seen: Observation, is_rewritten: bool) -> None:
    syncs = [action for action in plan(seen, CLASSIC, NOW).actions if isinstance(action, act.Sync)]
    assert [action.is_rewrite for action in syncs] == ([True] if is_rewritten else []), case
    for action in syncs:
        known = interpret(seen).synced
        assert known is not None
        assert (action.key, action.targets, action.not_before) == (NEW, ("a",), known.since + JUST_NOW)


def walked(began: datetime, *written: str, targets: tuple[TargetState, ...]) -> Observation:
    walk = SyncPass(version=VersionId("v1"), began=began, fingerprint=FINGERPRINT, written=frozenset(written))
    tag = (SYNC_PASS_TAG, format_pass(walk, [target.address for target in targets]))
    return two(*targets, tags=(synced("v1", since=2, confirmed=2), tag))


def test_a_walk_that_was_begun_writes_what_is_left() -> None:
    targets = (cannot_tell("a"), cannot_tell("b"), holds(ODD, "c"), absent("d"), holds(NEW, "e"))
    seen = walked(ago(1), "a", "c", "d", "e", targets=targets)
    case = Situation(view=interpret(seen), policy=CLASSIC, now=NOW)
    key = a_key(NEW, age_days=1)
    assert find_unwritten(case, key) == ("b", "c", "d")
    assert find_unwritten(case, key, not_before=ago(1)) == ("b", "c", "d")
    assert find_unwritten(case, key, not_before=ago(0.9)) == ("a", "b", "c", "d", "e")


ENDS = NOW + TOKEN_ENDS_SOON
TOLD = [
    ("nothing to tell", two(holds(NEW, "a")), ()),
    ("the provider says something", two(replace(holds(NEW, "a"), notice="it was renamed")), (("a", "it was renamed"),)),
    ("a token ends in 30 days", two(replace(holds(NEW, "a"), token_expires=ENDS)), ()),
    ("a token ends sooner", two(replace(holds(NEW, "git hub"), token_expires=ENDS - TICK)), ((None, "in 29 days"),)),
    ("within the day", two(replace(holds(NEW, "a"), token_expires=NOW + TICK)), ((None, "ends today"),)),
    ("now", two(replace(holds(NEW, "a"), token_expires=NOW)), ((None, "has ended"),)),
    ("left behind", two(left_behind=(holds(OLD, "x"),)), (("x", f"still holds {OLD}"),)),
    ("left behind, no key ID", two(left_behind=(NOBODY_KNOWS,)), (("odd", "something that is no key ID"),)),
    ("left behind, empty", two(left_behind=(absent("x"),)), (("x", "it lacks AWS_ACCESS_KEY_ID"),)),
    ("left behind, down", two(left_behind=(down("x"),)), (("x", "does not answer (x answered 503)"),)),
    ("left behind, unreadable", two(left_behind=(cannot_tell("x"),)), (("x", "may still hold a key"),)),
    ("somebody edited the index", two(tags=(("keyrota:targets", "?"),)), ((None, "were changed outside keyrota"),)),
    ("more than fit", two(tags=(("keyrota:targets.full", "yes"),)), ((None, "more targets than"),)),
]


@pytest.mark.parametrize("intent", [Routine(), SyncOnly(), Only(duty=Duty.SYNC), Revoke(key=OLD), Rollback(to=OLD)])
@pytest.mark.parametrize(("case", "seen", "told"), TOLD, ids=[row[0] for row in TOLD])
def test_what_is_worth_telling(
    case: str, seen: Observation, told: tuple[tuple[str | None, str], ...], intent: Intent
) -> None:
    """On every road, by the duty that may read targets alone."""
    notices = plan(seen, CLASSIC, NOW, intent).notices
    assert [notice.target for notice in notices] == [target for target, _ in told], case
    assert all(words in notice.reason for notice, (_, words) in zip(notices, told, strict=True)), case
    assert plan(seen, CLASSIC, NOW, Only(duty=Duty.ROTATE)).notices == ()


def test_a_token_is_named_once_for_all_targets_of_a_provider() -> None:
    ends = NOW + timedelta(days=3)
    targets = tuple(replace(holds(NEW, f"github acme/{name} main"), token_expires=ends) for name in "ab")
    (notice,) = plan(two(*targets), CLASSIC, NOW).notices
    assert notice.reason == "the token for github ends in 3 days: 2026-06-04 06:00 UTC"


def test_a_sync_alone_reports_a_current_key_that_is_gone() -> None:
    seen = observed(secret=a_secret(current(), tags=[synced()]), targets=(holds(OLD),))
    planned = plan(seen, CLASSIC, NOW, SyncOnly())
    assert ["IAM does not have it any more" in hold.reason for hold in planned.holds] == [True]
    assert planned.actions == ()


def test_a_sync_of_a_revocation_waits_for_no_pipeline() -> None:
    for seen, key in ((two(holds(OLD, "a")), OLD), (two(holds(NEW, "a")), NEW)):
        planned = plan(seen, CLASSIC, NOW, Revoke(key=key))
        assert [action.is_urgent for action in planned.actions if isinstance(action, act.Sync)] == [True]
    routine = plan(two(holds(OLD, "a")), CLASSIC, NOW)
    assert [action.is_urgent for action in routine.actions if isinstance(action, act.Sync)] == [False]


def test_one_plan_writes_a_target_once() -> None:
    """The overlap is over and the record is older than it: what sync writes already is not written again."""
    seen = observed(
        a_key(OLD, age_days=120),
        a_key(NEW, age_days=30),
        secret=a_secret(previous(OLD), current(NEW), tags=[synced(since=20, confirmed=20)]),
        targets=(cannot_tell("a"), cannot_tell("b")),
    )
    assert [type(action) for action in plan(seen, CLASSIC, NOW).actions] == [act.Sync, act.Deactivate]
    half = replace(seen, targets=(cannot_tell("a"), holds(ODD, "b")))
    assert [type(action) for action in plan(half, CLASSIC, NOW).actions] == [act.AskFirst, act.Sync]


def test_what_two_findings_write_is_written_by_both_unless_one_covers_the_other() -> None:
    """A rewrite that goes on leaves one target, and the one before the old key goes off begins with all of them."""
    targets = (cannot_tell("a"), cannot_tell("b"))
    walk = SyncPass(version=VersionId("v1"), began=ago(19), fingerprint=FINGERPRINT, written=frozenset("a"))
    tags = [synced(since=20, confirmed=20), (SYNC_PASS_TAG, format_pass(walk, "ab"))]
    seen = observed(
        a_key(OLD, age_days=120),
        a_key(NEW, age_days=30),
        secret=a_secret(previous(OLD), current(NEW), tags=tags),
        targets=targets,
    )
    syncs = [action for action in plan(seen, CLASSIC, NOW).actions if isinstance(action, act.Sync)]
    assert [action.targets for action in syncs] == [("b",), ("a", "b")]


def test_a_target_is_mended_though_a_new_key_is_on_its_way_to_it() -> None:
    seen = observed(
        a_key(), a_key(NEW, age_days=0), secret=a_secret(current(), pending(), tags=[synced()]), targets=(holds(ODD),)
    )
    syncs = [action for action in plan(seen, CLASSIC, NOW).actions if isinstance(action, act.Sync)]
    assert [(action.key, action.follows) for action in syncs] == [(None, True), (OLD, False)]


USES = [
    (LastUse(evidence=Evidence.USED, at=NOW), "last used 2026-06-01 06:00 UTC"),
    (LastUse(evidence=Evidence.USED, at=NOW, service="s3"), "last used 2026-06-01 06:00 UTC by s3"),
    (LastUse(evidence=Evidence.USED, at=NOW, region="eu"), "last used 2026-06-01 06:00 UTC in eu"),
    (LastUse(evidence=Evidence.USED), "last used at a time that IAM does not tell"),
]


@pytest.mark.parametrize(("use", "words"), USES)
def test_a_use_in_words(use: LastUse, words: str) -> None:
    assert describe_use(a_key(use=use)) == words


def test_each_target_of_a_mend_has_its_own_reason() -> None:
    seen = observed(a_key(), secret=a_secret(current(OLD), tags=[synced()]), targets=(holds(NEW, "a"), absent("b")))
    (mend,) = (action for action in plan(seen, CLASSIC, NOW, SyncOnly()).actions if isinstance(action, act.Sync))
    assert mend.targets == ("a", "b")
    assert mend.reason_for("a") == f"holds {NEW}"
    assert mend.reason_for("b").startswith("lacks ")
    assert mend.reason_for(None) == mend.reason_for("c") == mend.reason


def test_a_target_that_was_never_written_has_not_changed_since() -> None:
    seen = observed(a_key(), secret=a_secret(current(OLD)), targets=(holds(OLD, "a"),))
    changed = replace(seen.targets[0], changed_at=NOW)
    assert not is_changed_since(interpret(seen), changed)
