"""What `revoke` and `rollback` plan, from wherever they stand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import pytest

from builders import (
    NEW,
    NOW,
    ODD,
    OLD,
    SHOP,
    a_claim,
    a_key,
    a_secret,
    a_version,
    by_run,
    cannot_tell,
    check_told,
    claim_version,
    current,
    down,
    holds,
    observed,
    off_since,
    pending,
    placeholder,
    previous,
    remembers,
    revoked,
    synced,
    unlabelled_placeholder,
)
from keyrota.core import plan as act
from keyrota.core.candidates import current_key, previous_key
from keyrota.core.emergency import Revoke, Rollback
from keyrota.core.lifecycle import interpret
from keyrota.core.model import (
    AWSCURRENT,
    AWSPREVIOUS,
    PENDING,
    PLACEHOLDER,
    DeactivationNote,
    KeyStatus,
    Observation,
    TargetState,
    VersionId,
    key_token,
    make_restored_token,
)
from keyrota.core.planner import Intent, plan
from keyrota.core.policy import CLASSIC, Drift

OFF = KeyStatus.INACTIVE
ROAD = ("TakeClaim", "CreateKey", "Verify", "Promote", "Sync")
QUARANTINE = "arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3"


@dataclass(frozen=True)
class Row:
    """One line of a table: where it stands, what was asked for, what is planned."""

    case: str
    seen: Observation
    wish: Intent
    do: tuple[str, ...] = ()
    hold: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.case


def named(actions: Iterable[act.Action]) -> tuple[str, ...]:
    """Name the actions; the mark of a revoked key, which stands before them all, has tests of its own."""
    return tuple(type(action).__name__ for action in actions if not isinstance(action, act.MarkRevoked))


def alone(*, status: KeyStatus = KeyStatus.ACTIVE) -> Observation:
    """The one key that targets hold."""
    return observed(a_key(status=status), secret=a_secret(current(), tags=[synced()]), targets=(holds(OLD),))


def pair(
    *,
    old: KeyStatus = KeyStatus.ACTIVE,
    new: KeyStatus = KeyStatus.ACTIVE,
    targets: tuple[TargetState, ...] = (holds(NEW),),
    tags: tuple[tuple[str, str], ...] = (synced(confirmed=0.5),),
) -> Observation:
    """The old key beside its successor, which targets hold."""
    return observed(
        a_key(OLD, age_days=91, status=old),
        a_key(NEW, age_days=1, status=new),
        secret=a_secret(previous(OLD), current(NEW), tags=tags),
        targets=targets,
    )


SUCCEEDED = revoked(pair(old=OFF, tags=(synced(confirmed=0.5), off_since(0.5, OLD))), OLD)
"""`revoke OLD` came to its end."""


def restored(seen: Observation) -> Observation:
    """The same, once the old pair is stored again beside the fields of the current version."""
    assert seen.secret is not None
    again = a_version(make_restored_token(OLD, VersionId("v1")), OLD)
    versions = (a_version("v0", AWSPREVIOUS), again, current(NEW))
    return replace(seen, secret=replace(seen.secret, versions=versions))


RETIRED = pair(old=OFF, tags=(synced(confirmed=0.5), off_since(0.5, OLD)))
FOREIGN = observed(a_key(), a_key(ODD), secret=a_secret(current(), tags=[synced()]))
BEGUN = observed(
    a_key(), a_key(NEW, age_days=0), secret=a_secret(current(), pending(), tags=[synced()]), targets=(holds(OLD),)
)

MOVED_TO_REVOKED = revoked(
    replace(
        RETIRED,
        secret=a_secret(
            a_version("v0", AWSCURRENT, OLD),
            a_version(key_token(NEW, VersionId("v0")), AWSPREVIOUS, NEW),
            tags=[synced(key_token(NEW, VersionId("v0"))), off_since(0.5, OLD)],
        ),
    ),
    OLD,
)
"""After `revoke OLD`, someone moved AWSCURRENT back to AWSPREVIOUS; the targets hold NEW."""
MOVED_TO_PLACEHOLDER = replace(
    pair(),
    secret=a_secret(a_version("v0", AWSCURRENT, PLACEHOLDER, OLD), a_version("v1", AWSPREVIOUS, NEW), tags=[synced()]),
)
"""The same after the first rotation: AWSPREVIOUS is what the secret was made with."""

UNDONE = replace(pair(), secret=a_secret(previous(OLD), a_version("v1", AWSCURRENT, NEW, PENDING), tags=[synced()]))
"""A rotation whose label was not taken off."""

REVOKE = [
    Row(
        "the key that targets hold: a new one first, without asking targets whether they are ready",
        alone(),
        Revoke(key=OLD),
        do=ROAD,
    ),
    Row("--now: off before its successor is there", alone(), Revoke(key=OLD, off_first=True), do=("Deactivate", *ROAD)),
    Row("--now, once it is off: its successor", alone(status=OFF), Revoke(key=OLD, off_first=True), do=ROAD),
    Row("a key that somebody switched off already is replaced", alone(status=OFF), Revoke(key=OLD), do=ROAD),
    Row("a new key that is stored goes on", BEGUN, Revoke(key=OLD), do=("Verify", "Promote", "Sync")),
    Row(
        "--now with a new key stored",
        BEGUN,
        Revoke(key=OLD, off_first=True),
        do=("Deactivate", "Verify", "Promote", "Sync"),
    ),
    Row("the key that is being made is the leaked one: it goes off", BEGUN, Revoke(key=NEW), do=("Deactivate",)),
    Row(
        "even where its base was never sent to every target",
        replace(BEGUN, secret=a_secret(current(), pending(), tags=remembers(SHOP)), targets=(down(),)),
        Revoke(key=NEW),
        do=("Sync", "Deactivate"),
    ),
    Row(
        "the key that is being made is the leaked one, and --now",
        BEGUN,
        Revoke(key=NEW, off_first=True),
        do=("Deactivate",),
    ),
    Row("superseded, its successor on every target: off at once", pair(), Revoke(key=OLD), do=("Deactivate",)),
    Row(
        "superseded, its successor not yet sent: sync, and wait",
        pair(tags=()),
        Revoke(key=OLD),
        do=("Sync",),
        hold=("is still Active, because its successor is not on every target: sync is not complete",),
    ),
    Row("superseded, a target is down: wait", pair(targets=(down(),)), Revoke(key=OLD), hold=("is still Active",)),
    Row(
        "superseded, a target holds it",
        pair(targets=(holds(OLD),)),
        Revoke(key=OLD),
        do=("Sync",),
        hold=("is still Active",),
    ),
    Row(
        "superseded, a target that cannot be read back",
        pair(targets=(cannot_tell(),)),
        Revoke(key=OLD),
        do=("Deactivate",),
    ),
    Row("done already", SUCCEEDED, Revoke(key=OLD)),
    Row("done already, in the routine's way", RETIRED, Revoke(key=OLD)),
    Row("a key that IAM does not have", alone(), Revoke(key=ODD)),
    Row("a key that keyrota did not make is left alone", FOREIGN, Revoke(key=ODD), hold=("was not made or adopted",)),
    Row(
        "even with --sessions, and where a quarantine could be lifted",
        by_run(FOREIGN, quarantine=(QUARANTINE,)),
        Revoke(key=ODD, with_sessions=True, releases_quarantine=True),
        hold=("was not made or adopted",),
    ),
    Row(
        "no slot, and the leaked key is off: it does not come back",
        replace(FOREIGN, keys=(a_key(status=OFF), a_key(ODD))),
        Revoke(key=OLD),
        hold=("both of IAM's two slots are taken",),
    ),
    Row(
        "the leaked key is gone from IAM, and an older one is there: a new key all the same",
        replace(pair(), keys=(a_key(OLD, age_days=91),)),
        Revoke(key=NEW),
        do=ROAD,
    ),
    Row(
        "superseded, its successor Inactive",
        pair(new=OFF),
        Revoke(key=OLD),
        hold=("its successor is not on every target: sync is not complete",),
    ),
    Row(
        "superseded, its successor Inactive, and no target",
        pair(new=OFF, targets=()),
        Revoke(key=OLD),
        hold=("its successor is not on every target: sync is not complete",),
    ),
    Row("even with --now", FOREIGN, Revoke(key=ODD, off_first=True), hold=("was not made or adopted",)),
    Row(
        "an orphan of a lost answer is left to the routine",
        replace(FOREIGN, keys=(a_key(), a_key(ODD, age_days=0)), claim=a_claim()),
        Revoke(key=ODD),
        hold=("(orphan)",),
    ),
    Row("no slot: a foreign key takes it", FOREIGN, Revoke(key=OLD), hold=("both of IAM's two slots are taken",)),
    Row(
        "no slot: the previous key, still Active, takes over",
        pair(),
        Revoke(key=NEW),
        do=("Restore", "Verify", "Promote", "Sync"),
    ),
    Row(
        "no slot: the previous key is switched on and takes over",
        RETIRED,
        Revoke(key=NEW),
        do=("Reactivate", "Restore", "Verify", "Promote", "Sync"),
    ),
    Row(
        "no slot: a revoked key never takes over",
        SUCCEEDED,
        Revoke(key=NEW),
        hold=("both of IAM's two slots are taken",),
    ),
    Row(
        "no slot and --now: off all the same",
        SUCCEEDED,
        Revoke(key=NEW, off_first=True),
        do=("Deactivate",),
        hold=("both of IAM's two slots are taken",),
    ),
    Row(
        "the key behind AWSCURRENT is gone from IAM: a new one",
        observed(secret=a_secret(current(), tags=[synced()])),
        Revoke(key=OLD),
        do=ROAD,
    ),
    Row(
        "a key that was there before keyrota is adopted and replaced",
        observed(a_key()),
        Revoke(key=OLD),
        do=("CreateSecret", "Adopt", *ROAD),
    ),
    Row("another run holds the claim", replace(alone(), claim=a_claim()), Revoke(key=OLD), hold=("holds the claim",)),
    Row(
        "this run's claim, made before the key went off, still counts",
        replace(alone(status=OFF), claim=a_claim(run="this-run")),
        Revoke(key=OLD, off_first=True),
        do=ROAD[1:],
    ),
    Row("--sessions denies them too", alone(), Revoke(key=OLD, with_sessions=True), do=("DenySessions", *ROAD)),
    Row("and only once", by_run(alone(), are_sessions_denied=True), Revoke(key=OLD, with_sessions=True), do=ROAD),
    Row("--sessions after the key is off", SUCCEEDED, Revoke(key=OLD, with_sessions=True), do=("DenySessions",)),
    Row(
        "a quarantine is named",
        by_run(SUCCEEDED, quarantine=(QUARANTINE,)),
        Revoke(key=OLD),
        hold=("AWS attached AWSCompromisedKeyQuarantineV3",),
    ),
    Row(
        "and detached on request",
        by_run(SUCCEEDED, quarantine=(QUARANTINE,)),
        Revoke(key=OLD, releases_quarantine=True),
        do=("ReleaseQuarantine",),
    ),
    Row(
        "a key that this run made and lost is dropped on the way",
        by_run(FOREIGN, made_here=frozenset({ODD})),
        Revoke(key=OLD),
        do=("DeleteOrphan",),
        hold=("both of IAM's two slots are taken",),
    ),
    Row(
        "labels are tidied at the end",
        replace(
            SUCCEEDED,
            secret=a_secret(
                previous(OLD), a_version("v1", AWSCURRENT, NEW, PENDING), claim_version(), tags=[synced(confirmed=0.5)]
            ),
        ),
        Revoke(key=OLD),
        do=("RemoveLabel", "RemoveLabel"),
    ),
    Row(
        "a secret that is scheduled for deletion stops this road too",
        replace(alone(), secret=replace(a_secret(current()), deleted_at=NOW)),
        Revoke(key=OLD),
        hold=("scheduled for deletion",),
    ),
]

ROLLBACK = [
    Row(
        "the previous key, still Active: first of all, nobody shall switch it off",
        pair(),
        Rollback(to=OLD),
        do=("NoteActive", "Restore", "Verify", "Promote", "Sync"),
    ),
    Row(
        "that is noted",
        pair(tags=(synced(confirmed=0.5), off_since(0, note=DeactivationNote.SEEN_ACTIVE))),
        Rollback(to=OLD),
        do=("Restore", "Verify", "Promote", "Sync"),
    ),
    Row(
        "a note about the other key is none",
        pair(tags=(synced(confirmed=0.5), off_since(0, NEW, note=DeactivationNote.SEEN_ACTIVE))),
        Rollback(to=OLD),
        do=("NoteActive", "Restore", "Verify", "Promote", "Sync"),
    ),
    Row(
        "an older note of its being switched off is none",
        pair(tags=(synced(confirmed=0.5), off_since(1))),
        Rollback(to=OLD),
        do=("NoteActive", "Restore", "Verify", "Promote", "Sync"),
    ),
    Row(
        "the previous key, Inactive",
        RETIRED,
        Rollback(to=OLD),
        do=("Reactivate", "Restore", "Verify", "Promote", "Sync"),
    ),
    Row(
        "proven in this run",
        by_run(pair(), verified=frozenset({OLD})),
        Rollback(to=OLD),
        do=("NoteActive", "Restore", "Promote", "Sync"),
    ),
    Row(
        "stored again already",
        restored(pair()),
        Rollback(to=OLD),
        do=("NoteActive", "Verify", "Promote", "Sync"),
    ),
    Row(
        "back on its way: the sync is what is left",
        replace(pair(), secret=a_secret(a_version("v0", AWSCURRENT, OLD), previous(NEW, "v1"), tags=[synced()])),
        Rollback(to=OLD),
        do=("Sync",),
    ),
    Row("back already", alone(), Rollback(to=OLD)),
    Row(
        "nothing is AWSCURRENT any more",
        replace(pair(), secret=a_secret(previous(OLD), a_version("v1", NEW), tags=[synced()])),
        Rollback(to=OLD),
        do=("NoteActive", "Verify", "Promote", "Sync"),
    ),
    Row(
        "no previous key: the current one, switched off, comes back",
        alone(status=OFF),
        Rollback(to=OLD),
        do=("Reactivate",),
    ),
    Row(
        "back already: what a crash left is tidied",
        replace(alone(), secret=a_secret(a_version("v1", AWSCURRENT, OLD, PENDING), tags=[synced()])),
        Rollback(to=OLD),
        do=("RemoveLabel",),
    ),
    Row("deleted in the meantime", alone(), Rollback(to=ODD), hold=("it is gone",)),
    Row("not keyrota's", FOREIGN, Rollback(to=ODD), hold=("it is foreign",)),
    Row("a key that was never served is no way back", BEGUN, Rollback(to=NEW), hold=("it is pending",)),
    Row(
        "a key whose secret nobody stored is no way back",
        replace(pair(), secret=a_secret(a_version("v0", "keyrota:placeholder", OLD), current(NEW), tags=[synced()])),
        Rollback(to=OLD),
        hold=("cannot be made current again",),
    ),
    Row(
        "the label of the rotation that is undone comes off first",
        UNDONE,
        Rollback(to=OLD),
        do=("NoteActive", "RemoveLabel", "Restore", "Verify", "Promote", "Sync"),
    ),
]


@pytest.mark.parametrize("row", [*REVOKE, *ROLLBACK], ids=str)
def test_the_road(row: Row) -> None:
    planned = plan(row.seen, CLASSIC, NOW, row.wish)
    assert named(planned.actions) == row.do
    assert len(planned.holds) == len(row.hold), planned.holds
    for hold, words in zip(planned.holds, row.hold, strict=True):
        assert words in hold.reason
        assert hold.remedy


@pytest.mark.parametrize("row", [*REVOKE, *ROLLBACK], ids=str)
def test_a_plan_that_has_something_to_do_begins_with_something_possible(row: Row) -> None:
    check_told(plan(row.seen, CLASSIC, NOW, row.wish), row.seen)


FOLLOWING = [
    (
        "a promotion waits for its proof, the sync for the promotion",
        restored(pair()),
        Rollback(to=OLD),
        (False, False, True, True),
    ),
    ("all of it waits until the pair is stored again", pair(), Rollback(to=OLD), (False, False, True, True, True)),
    (
        "of a key that is switched on first, all waits for that",
        RETIRED,
        Rollback(to=OLD),
        (False, True, True, True, True),
    ),
    (
        "what this run has proven waits for nothing",
        by_run(restored(pair()), verified=frozenset({OLD})),
        Rollback(to=OLD),
        (False, False, True),
    ),
    (
        "proven, and Inactive: its promotion waits until it is switched on",
        by_run(restored(RETIRED), verified=frozenset({OLD})),
        Rollback(to=OLD),
        (False, True, True),
    ),
    ("a label that comes off keeps nothing waiting", UNDONE, Rollback(to=OLD), (False, False, False, True, True, True)),
    ("a new key waits for its claim", revoked(alone(), OLD), Revoke(key=OLD), (False, True, True, True, True)),
]


@pytest.mark.parametrize(("case", "seen", "wish", "follows"), FOLLOWING, ids=[row[0] for row in FOLLOWING])
def test_what_waits_for_what(case: str, seen: Observation, wish: Intent, follows: tuple[bool, ...]) -> None:
    actions = plan(seen, CLASSIC, NOW, wish).actions
    assert tuple(action.follows for action in actions) == follows, case


def test_a_strange_status_stops_both_roads() -> None:
    seen = replace(pair(), keys=(replace(a_key(OLD), status=KeyStatus.OTHER, status_word="Asleep"), a_key(NEW)))
    for wish in (Revoke(key=OLD), Revoke(key=NEW, off_first=True), Rollback(to=OLD)):
        planned = plan(seen, CLASSIC, NOW, wish)
        assert (planned.actions, [hold.key for hold in planned.holds]) == ((), [OLD])


def test_a_person_who_revokes_or_goes_back_writes_over_what_somebody_changed() -> None:
    """`drift: hold` is about the routine."""
    held = replace(CLASSIC, drift=Drift.HOLD)
    seen = pair(targets=(holds(ODD),))
    for wish in (Revoke(key=OLD), Rollback(to=NEW)):
        syncs = [action for action in plan(seen, held, NOW, wish).actions if isinstance(action, act.Sync)]
        assert [action.is_repair for action in syncs] == [True], wish


def test_only_the_key_that_was_named_goes_off() -> None:
    for row in REVOKE:
        off = [
            action for action in plan(row.seen, CLASSIC, NOW, row.wish).actions if isinstance(action, act.Deactivate)
        ]
        assert isinstance(row.wish, Revoke)
        assert {action.key for action in off} <= {row.wish.key}, row.case
        assert all(action.is_emergency for action in off)


def test_neither_road_deletes_a_key() -> None:
    for row in (*REVOKE, *ROLLBACK):
        assert not any(isinstance(action, act.Delete) for action in plan(row.seen, CLASSIC, NOW, row.wish).actions)


def test_a_rollback_says_so_in_the_promotion() -> None:
    promotion = next(a for a in plan(RETIRED, CLASSIC, NOW, Rollback(to=OLD)).actions if isinstance(a, act.Promote))
    assert (promotion.is_rollback, promotion.key, promotion.remove_from, promotion.follows) == (True, OLD, "v1", True)


@pytest.mark.parametrize(
    ("case", "seen", "found"),
    [
        ("AWSCURRENT's key", pair(), NEW),
        ("the only key, which nobody stored", observed(a_key()), OLD),
        ("the only key, behind a placeholder", observed(a_key(), secret=a_secret(placeholder())), OLD),
        (
            "the only key, where the run died before the placeholder's label was on",
            observed(a_key(), secret=a_secret(unlabelled_placeholder())),
            OLD,
        ),
        ("none of two that nobody stored", observed(a_key(), a_key(ODD)), None),
        ("AWSCURRENT's key, though IAM lost it", observed(secret=a_secret(current())), OLD),
        ("none without keys", observed(), None),
        ("not one whose revocation came to its end", SUCCEEDED, NEW),
        ("the key that targets hold, where AWSCURRENT was moved away from it", MOVED_TO_REVOKED, NEW),
        (
            "the key that targets hold, where someone put another value into the secret",
            observed(a_key(), secret=a_secret(previous(OLD), a_version("v1", AWSCURRENT), tags=[synced("v0")])),
            OLD,
        ),
        ("not the key before, where the successor was deactivated first", pair(new=OFF, tags=(synced("v0"),)), NEW),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_revoke_without_a_key_means(case: str, seen: Observation, found: str | None) -> None:
    assert current_key(interpret(seen)) == found, case


def test_a_moved_awscurrent_is_reported_with_a_way_back_that_serves_no_leaked_key() -> None:
    """AWS's own way back moves AWSCURRENT to AWSPREVIOUS: a leaked key, or the placeholder of the beginning."""
    for seen, word in (
        (MOVED_TO_REVOKED, f"the version of {OLD}, which is revoked"),
        (MOVED_TO_PLACEHOLDER, "without"),
    ):
        planned = plan(seen, CLASSIC, NOW)
        assert planned.actions == ()
        (hold,) = planned.holds
        assert word in hold.reason
        assert hold.remedy == f"keyrota rollback ci-deploy makes {NEW} current again"
    (hold,) = plan(revoked(alone(status=OFF), OLD), CLASSIC, NOW).holds
    assert "rollback" not in hold.remedy
    assert "it was revoked" in hold.reason


def test_a_target_that_shows_the_leaked_key_is_broken_whatever_awscurrent_is() -> None:
    broken = plan(replace(MOVED_TO_REVOKED, targets=(holds(OLD),)), CLASSIC, NOW).holds[0]
    assert broken.needs is act.Needs.REPAIR
    assert f"it holds {OLD}, which is Inactive" in broken.reason


@pytest.mark.parametrize(
    ("case", "seen", "found"),
    [
        ("the superseded key", pair(), OLD),
        ("the retired key", RETIRED, OLD),
        ("none beside a foreign key", FOREIGN, None),
        ("none while a new key is pending", BEGUN, None),
        ("the current key, if it is off", alone(status=OFF), OLD),
        ("nothing, if all is well", alone(), None),
        (
            "nothing, where the version before holds no secret",
            replace(pair(), secret=a_secret(a_version("v0", "keyrota:placeholder", OLD), current(NEW))),
            None,
        ),
        ("no key that was revoked", revoked(pair(), OLD), None),
        (
            "the current key, while what replaced it still is where a rollback left it",
            observed(
                a_key(OLD, age_days=91),
                a_key(NEW, age_days=1),
                secret=a_secret(a_version("v1", AWSCURRENT, OLD), a_version(key_token(NEW, VersionId("v1")), NEW)),
            ),
            OLD,
        ),
        (
            "nothing, once that rollback is on every target",
            observed(
                a_key(OLD, age_days=91),
                a_key(NEW, age_days=1),
                secret=a_secret(
                    a_version("v1", AWSCURRENT, OLD), a_version(key_token(NEW, VersionId("v1")), NEW), tags=[synced()]
                ),
            ),
            None,
        ),
        (
            "the current key, while what a rollback went back from is not overwritten everywhere",
            observed(
                a_key(OLD, age_days=91),
                a_key(NEW, age_days=1),
                secret=a_secret(
                    a_version(make_restored_token(OLD, VersionId("v1")), AWSCURRENT, OLD), previous(NEW, "v1")
                ),
            ),
            OLD,
        ),
        ("the key of the targets, where AWSCURRENT was moved to a leaked one", MOVED_TO_REVOKED, NEW),
        ("the key of the targets, where AWSCURRENT was moved to the placeholder", MOVED_TO_PLACEHOLDER, NEW),
        ("no leaked key, also where it is the only one", revoked(alone(status=OFF), OLD), None),
        ("no leaked key, where the targets' own one leaked as well", revoked(MOVED_TO_REVOKED, OLD, NEW), None),
        (
            "the key before, where the successor was deactivated before it reached every target",
            pair(new=OFF, tags=(synced("v0"),)),
            OLD,
        ),
        (
            "AWSPREVIOUS rather than a key that was never served",
            observed(
                a_key(OLD, age_days=91),
                a_key(ODD, age_days=50),
                a_key(NEW, age_days=1),
                secret=a_secret(previous(OLD), pending(ODD, base="gone"), current(NEW)),
            ),
            OLD,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_rollback_goes_back_to(case: str, seen: Observation, found: str | None) -> None:
    assert previous_key(interpret(seen)) == found, case


def test_a_plan_to_revoke_without_a_slot_says_how_to_make_one() -> None:
    (hold,) = plan(SUCCEEDED, CLASSIC, NOW, Revoke(key=NEW)).holds
    assert f"aws iam delete-access-key --user-name ci-deploy --access-key-id {OLD}" in hold.remedy


def test_the_plan_of_now_switches_a_superseded_key_off_once() -> None:
    planned = plan(pair(), CLASSIC, NOW, Revoke(key=OLD, off_first=True))
    assert named(planned.actions) == ("Deactivate",)


def test_the_plan_of_now_does_not_hold_what_it_switches_off() -> None:
    assert plan(pair(targets=(down(),)), CLASSIC, NOW, Revoke(key=OLD, off_first=True)).holds == ()


def test_of_two_revoked_keys_neither_takes_over() -> None:
    """`revoke NEW --now` after `revoke OLD`: what the first step left behind must not bring the leaked OLD back."""
    first = plan(SUCCEEDED, CLASSIC, NOW, Revoke(key=NEW, off_first=True))
    assert named(first.actions) == ("Deactivate",)
    tags = (synced(confirmed=0.5), off_since(0, NEW))
    seen = revoked(pair(old=OFF, new=OFF, tags=tags), OLD, NEW)
    then = plan(seen, CLASSIC, NOW, Revoke(key=NEW, off_first=True))
    assert not any(isinstance(action, act.Reactivate) and action.key == OLD for action in then.actions)


def test_a_key_that_another_run_may_be_making_is_waited_for() -> None:
    seen = replace(FOREIGN, keys=(a_key(), a_key(ODD, age_days=0)), claim=a_claim())
    planned = plan(seen, CLASSIC, NOW, Revoke(key=OLD))
    assert named(planned.actions) == ()
    assert ["is being made by run another" in hold.reason for hold in planned.holds] == [True]


@pytest.mark.parametrize("off_first", [True, False])
@pytest.mark.parametrize("seen", [alone(), pair(), RETIRED], ids=["alone", "superseded", "retired"])
def test_a_key_of_ours_is_marked_as_revoked_before_anything_else(seen: Observation, off_first: bool) -> None:
    """Whatever breaks off after that, it never takes over again; `--now` deactivates it before. It is marked once."""
    planned = plan(seen, CLASSIC, NOW, Revoke(key=OLD, off_first=off_first))
    is_off = off_first and seen.keys[0].status is KeyStatus.ACTIVE
    first = [act.Deactivate, act.MarkRevoked] if is_off else [act.MarkRevoked]
    assert [type(action) for action in planned.actions[: len(first)]] == first
    again = plan(revoked(seen, OLD), CLASSIC, NOW, Revoke(key=OLD, off_first=off_first))
    assert not any(isinstance(action, act.MarkRevoked) for action in again.actions)


def test_a_revocation_that_was_begun_is_what_revoke_means() -> None:
    """Typed again without a key: not the new one, but the leaked one that is still Active."""
    assert current_key(interpret(revoked(pair(), OLD))) == OLD
    assert current_key(interpret(pair())) == NEW
