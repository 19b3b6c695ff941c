"""Until when something is held, and what a person is told to do: what the JSON and the reports carry on."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from builders import (
    NEW,
    NOW,
    ODD,
    OLD,
    SHOP,
    UNKNOWN,
    a_claim,
    a_key,
    a_secret,
    a_version,
    absent,
    ago,
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
    previous,
    synced,
    used,
)
from keyrota.core import plan as act
from keyrota.core.lifecycle import CLOCKS_DIFFER, CREATED_WITHIN, JUST_NOW
from keyrota.core.model import (
    CLAIM,
    AccessKeyId,
    CarriedRuns,
    Evidence,
    KeyStatus,
    LastUse,
    Observation,
    RunsEvidence,
    TargetState,
)
from keyrota.core.planner import plan
from keyrota.core.policy import CLASSIC, Adopt, OnStillUsed, RotationPolicy

OFF = KeyStatus.INACTIVE
TICK = timedelta(seconds=1)
A_MINUTE = 1 / 1440


def just_now(seen: Observation) -> Observation:
    """The secret was changed five minutes ago."""
    assert seen.secret is not None
    return replace(seen, secret=replace(seen.secret, changed_at=ago(5 * A_MINUTE)))


def slots(*, old: KeyStatus = KeyStatus.ACTIVE, old_age: float = 99, since: float = 8, off: float = 5) -> Observation:
    """A key whose successor is due itself, and has no slot."""
    tags = [synced(since=since, confirmed=0.1), *([off_since(off)] if old is OFF else [])]
    return observed(
        a_key(OLD, age_days=old_age, status=old),
        a_key(NEW, age_days=90),
        secret=a_secret(previous(OLD), current(NEW), tags=tags),
        targets=(holds(NEW),),
    )


LEASE = timedelta(minutes=10)
ENDS: list[tuple[str, Observation, str, datetime | None, str]] = [
    (
        "the current key is not listed yet",
        just_now(observed(secret=a_secret(current(NEW), tags=[synced()]))),
        "is new and IAM does not list it yet",
        ago(5 * A_MINUTE) + JUST_NOW,
        "the next run looks again",
    ),
    (
        "a stored key is not listed yet",
        just_now(observed(a_key(OLD, age_days=95), secret=a_secret(current(), pending(), tags=[synced()]))),
        f"{NEW} is made and stored",
        ago(5 * A_MINUTE) + JUST_NOW,
        "the next run looks again",
    ),
    (
        "another run holds the claim",
        observed(a_key(age_days=95), secret=a_secret(current(), claim_version(), tags=[synced()]), claim=a_claim()),
        "run another holds the claim on this credential until 2026-06-01 06:10:00 UTC",
        NOW + LEASE,
        "wait",
    ),
    (
        "a key may be in the making",
        observed(a_key(), a_key(NEW, age_days=0), secret=a_secret(current(), tags=[synced()]), claim=a_claim()),
        f"{NEW} is being made by run another",
        NOW + LEASE,
        "2026-06-01 06:10:00 UTC",
    ),
    ("no slot, the old key goes off later", slots(), "slots are taken", NOW + timedelta(days=12), "about 2026-06-13"),
    (
        "no slot, the old key is off already",
        slots(old=OFF, old_age=200),
        "slots are taken",
        NOW + timedelta(days=5),
        f"{OLD} leaves first, about 2026-06-06",
    ),
    (
        "no slot, and the old key is overdue",
        slots(old_age=130, since=30),
        "slots are taken",
        None,
        f"{OLD} must be deleted first: fix what holds it",
    ),
    (
        "no slot, and the old key is overdue by less than a grace",
        slots(old_age=103, since=13),
        "slots are taken",
        None,
        f"{OLD} must be deleted first: fix what holds it",
    ),
    (
        "no slot, and the old key's grace is over",
        slots(old=OFF, old_age=200, off=12),
        "slots are taken",
        None,
        "fix what holds it",
    ),
    (
        "no slot, and it is not known since when the old key is off",
        replace(slots(old=OFF), secret=a_secret(previous(OLD), current(NEW), tags=[synced(since=8, confirmed=0.1)])),
        "slots are taken",
        None,
        "fix what holds it",
    ),
    (
        "no slot because of a foreign key",
        observed(a_key(age_days=95), a_key(ODD), secret=a_secret(current(), tags=[synced()])),
        f"slots are taken: {OLD}, {ODD}",
        None,
        "one of the two has to be released",
    ),
]


@pytest.mark.parametrize(("case", "seen", "reason", "until", "remedy"), ENDS, ids=[row[0] for row in ENDS])
def test_a_hold_tells_its_end(case: str, seen: Observation, reason: str, until: datetime | None, remedy: str) -> None:
    (hold,) = [hold for hold in plan(seen, CLASSIC, NOW).holds if reason in hold.reason]
    assert (hold.until, remedy in hold.remedy) == (until, True), (case, hold)
    check_told(plan(seen, CLASSIC, NOW), seen)


def test_a_stored_key_that_is_listed_is_not_waited_for() -> None:
    seen = observed(
        a_key(age_days=95), a_key(NEW, age_days=1, status=OFF), secret=a_secret(current(), pending(), tags=[synced()])
    )
    assert not [hold for hold in plan(just_now(seen), CLASSIC, NOW).holds if "does not list" in hold.reason]


def test_a_rotation_waits_for_the_deletion_of_a_lost_key() -> None:
    lost = ("keyrota:orphan", f"{NEW}@{ago(11).isoformat()}")
    seen = observed(
        a_key(age_days=95),
        a_key(NEW, age_days=11, status=OFF),
        secret=a_secret(current(), tags=[synced(), lost, off_since(10, NEW)]),
    )
    actions = plan(seen, CLASSIC, NOW).actions
    assert [type(action).__name__ for action in actions[:2]] == ["DeleteOrphan", "Preflight"]
    assert [action.follows for action in actions] == [False, *[True] * 6]


MAKES = [
    ("a stored key that IAM does not have", observed(a_key(age_days=95), secret=a_secret(current(), pending()))),
    (
        "a stored key of another base, not listed",
        just_now(observed(a_key(age_days=95), secret=a_secret(current(), pending(base="v0"), tags=[synced()]))),
    ),
    (
        "a label that waits for a key and names none",
        just_now(
            observed(a_key(age_days=95), secret=a_secret(current(), a_version("x", "keyrota:pending"), tags=[synced()]))
        ),
    ),
    (
        "another run's claim whose lease ends now",
        observed(
            a_key(age_days=95),
            secret=a_secret(current(), claim_version(), tags=[synced()]),
            claim=replace(a_claim(), lease_until=NOW),
        ),
    ),
]


@pytest.mark.parametrize(("case", "seen"), MAKES, ids=[row[0] for row in MAKES])
def test_no_reason_to_wait_with_a_new_key(case: str, seen: Observation) -> None:
    planned = plan(seen, CLASSIC, NOW)
    assert planned.makes_key, case
    (claim,) = [action for action in planned.actions if isinstance(action, act.TakeClaim)]
    assert (claim.key, claim.keys_seen) == (OLD, frozenset({OLD}))


OWN = [
    ("young", timedelta(), {OLD}, "this-run", False),
    ("a moment before it is too old", CREATED_WITHIN - TICK, {OLD}, "this-run", False),
    ("too old", CREATED_WITHIN, {OLD}, "this-run", True),
    ("of another view of the keys", timedelta(), {OLD, ODD}, "this-run", True),
]


@pytest.mark.parametrize(("case", "age", "keys", "run", "claims"), OWN, ids=[row[0] for row in OWN])
def test_a_run_s_own_claim_counts(*, case: str, age: timedelta, keys: set[AccessKeyId], run: str, claims: bool) -> None:
    claim = replace(a_claim(run=run), at=NOW - age, keys_seen=frozenset(keys))
    seen = observed(a_key(age_days=95), secret=a_secret(current(), claim_version(), tags=[synced()]), claim=claim)
    planned = plan(seen, CLASSIC, NOW)
    assert any(isinstance(action, act.TakeClaim) for action in planned.actions) is claims, case


WHY = [
    ("a key of an age", observed(a_key(age_days=95), secret=a_secret(current())), CLASSIC, f"{OLD} is 95 days old"),
    ("the first key", observed(), CLASSIC, "the user has no access key in use: its first one is made"),
    (
        "a key that was there before",
        observed(a_key(age_days=95)),
        CLASSIC,
        f"{OLD} was there before keyrota: it is replaced, 95 days old",
    ),
    (
        "at once",
        observed(a_key(age_days=95)),
        replace(CLASSIC, adopt=Adopt.NOW),
        f"{OLD} was there before keyrota: it is replaced, at once (`adopt: now`)",
    ),
    (
        "behind a placeholder",
        observed(a_key(age_days=95), secret=a_secret(a_version("v1", "AWSCURRENT", "keyrota:placeholder", OLD))),
        CLASSIC,
        f"{OLD} was there before keyrota: it is replaced, 95 days old",
    ),
]


@pytest.mark.parametrize(("case", "seen", "policy", "why"), WHY, ids=[row[0] for row in WHY])
def test_a_rotation_says_why(case: str, seen: Observation, policy: RotationPolicy, why: str) -> None:
    planned = plan(seen, policy, NOW)
    (action,) = [action for action in planned.actions if isinstance(action, act.CreateKey)]
    assert action.reason == why, case
    assert action.key == (seen.keys[0].id if seen.keys else None)
    assert action.base == (seen.secret.versions[0].id if seen.secret else None)


def test_a_rotation_that_secrets_manager_makes_itself_is_left_to_it() -> None:
    seen = observed(a_key(age_days=95), secret=replace(a_secret(current(), tags=[synced()]), rotates_itself=True))
    planned = plan(seen, CLASSIC, NOW)
    assert not planned.makes_key
    assert ["rotation is switched on" in hold.reason for hold in planned.holds] == [True]


# --- the old key, while targets may still need it -------------------------------------------------------------------


def proven(*, targets: tuple[TargetState, ...] = (holds(NEW),), since: float = 10.5, **known: object) -> Observation:
    """All proofs at hand."""
    return by_run(
        observed(
            a_key(OLD, age_days=101),
            a_key(NEW, age_days=11),
            secret=a_secret(previous(OLD), current(NEW), tags=[synced(since=since, confirmed=0.2)]),
            targets=targets,
        ),
        **known,
    )


CARRIES = replace(holds(NEW), carried_for=timedelta(days=30))
DONE_BY = ago(10.5) + timedelta(days=30)


def runs(evidence: RunsEvidence, address: str = SHOP) -> tuple[CarriedRuns, ...]:
    return (CarriedRuns(address=address, evidence=evidence, detail="run 7", remedy="wait for it"),)


CARRIED = [
    ("none are under way", proven(targets=(CARRIES,), carried=runs(RunsEvidence.NONE)), None),
    (
        "some are",
        proven(targets=(CARRIES,), carried=runs(RunsEvidence.SOME)),
        (SHOP, DONE_BY, "has runs that were queued with it: run 7"),
    ),
    (
        "it cannot be told",
        proven(targets=(CARRIES,), carried=runs(RunsEvidence.UNKNOWN)),
        (SHOP, DONE_BY, "cannot tell its runs: run 7"),
    ),
    (
        "some are at another target",
        proven(targets=(CARRIES,), carried=(*runs(RunsEvidence.NONE, "a"), *runs(RunsEvidence.SOME))),
        (SHOP, DONE_BY, "has runs that were queued with it: run 7"),
    ),
    (
        "of a target that is gone since",
        proven(targets=(CARRIES,), carried=runs(RunsEvidence.SOME, "gone")),
        ("gone", ago(10.5), "gone has runs"),
    ),
]


@pytest.mark.parametrize(("case", "seen", "held"), CARRIED, ids=[row[0] for row in CARRIED])
def test_runs_that_carry_the_old_key(case: str, seen: Observation, held: tuple[str, datetime, str] | None) -> None:
    planned = plan(seen, CLASSIC, NOW)
    assert any(isinstance(action, act.Deactivate) for action in planned.actions) is (held is None), case
    assert [(hold.key, hold.target, hold.until, hold.remedy) for hold in planned.holds] == (
        [(OLD, *held[:2], "wait for it")] if held else []
    )
    assert not held or held[2] in planned.holds[0].reason


ASKED = [
    ("a target may carry it", proven(targets=(CARRIES,)), True),
    ("the longest run is over", proven(targets=(replace(CARRIES, carried_for=timedelta(days=10.5)),)), False),
    ("it may, by a second", proven(targets=(replace(CARRIES, carried_for=timedelta(days=10.5) + TICK),)), True),
    ("no target carries", proven(), False),
    ("it was asked", proven(targets=(CARRIES,), carried=()), False),
]


@pytest.mark.parametrize(("case", "seen", "asks"), ASKED, ids=[row[0] for row in ASKED])
def test_targets_are_asked_for_runs_before_the_old_key_goes_off(case: str, seen: Observation, asks: bool) -> None:
    actions = plan(seen, CLASSIC, NOW).actions
    asked = [(action.key, action.before) for action in actions if isinstance(action, act.AskRuns)]
    assert asked == ([(OLD, ago(10.5) + CLOCKS_DIFFER)] if asks else []), case
    assert [action.follows for action in actions if isinstance(action, act.Deactivate)] == [asks]


EMPTY = replace(absent("x"), is_empty=True)
LEFT = [
    ("it holds the old key", holds(OLD, "x"), "still holds it"),
    ("it holds the new one", holds(NEW, "x"), None),
    ("it holds something else", replace(holds(OLD, "x"), key=None), "may still hold it"),
    ("it does not say", cannot_tell("x"), "may still hold it"),
    ("it does not answer", down("x"), "may still hold it"),
    ("half a pair is there", absent("x"), "may still hold it"),
    ("nothing is there", EMPTY, None),
]


@pytest.mark.parametrize(("case", "left", "words"), LEFT, ids=[row[0] for row in LEFT])
def test_a_target_left_behind_keeps_the_old_key(case: str, left: TargetState, words: str | None) -> None:
    planned = plan(proven(left_behind=(left,)), CLASSIC, NOW)
    assert [(hold.key, hold.target) for hold in planned.holds] == ([(OLD, "x")] if words else []), case
    assert not words or words in planned.holds[0].reason
    assert bool(planned.actions) is (words is None)


def test_an_index_that_somebody_edited_keeps_the_old_key() -> None:
    seen = proven()
    assert seen.secret is not None
    tags = (*seen.secret.tags, ("keyrota:targets", "?"))
    planned = plan(replace(seen, secret=replace(seen.secret, tags=tags)), CLASSIC, NOW)
    assert [(hold.key, hold.target, "keyrota:targets" in hold.reason) for hold in planned.holds] == [(OLD, None, True)]


PROVE = replace(CLASSIC, prove_use=True)


def use(at: datetime | None, service: str = "s3", evidence: Evidence = Evidence.USED) -> LastUse:
    return LastUse(evidence=evidence, at=at, service=service)


BY_OTHERS = [
    ("by a pipeline", use(ago(1)), True),
    ("when it was served", use(ago(10.5)), False),
    ("a moment after", use(ago(10.5) + TICK), True),
    ("at a time that is not told", use(None), False),
    ("by STS just after keyrota's own proof", use(ago(0.2) + JUST_NOW, "sts"), False),
    ("by STS later than that", use(ago(0.2) + JUST_NOW + TICK, "sts"), True),
    ("never", use(None, "", Evidence.NEVER), False),
]


@pytest.mark.parametrize(("case", "last_use", "is_proof"), BY_OTHERS, ids=[row[0] for row in BY_OTHERS])
def test_the_new_key_was_used_by_somebody_else(case: str, last_use: LastUse, is_proof: bool) -> None:
    seen = proven()
    planned = plan(replace(seen, keys=(seen.keys[0], replace(seen.keys[1], last_use=last_use))), PROVE, NOW)
    assert bool(planned.actions) is is_proof, case
    assert [hold.key for hold in planned.holds] == ([] if is_proof else [OLD])


SEEN_ON = [
    ("switched off just now, and still listed as Active", JUST_NOW - TICK, ("Upcoming",)),
    ("long enough ago", JUST_NOW, ("NoteActive",)),
]


@pytest.mark.parametrize(("case", "since", "found"), SEEN_ON, ids=[row[0] for row in SEEN_ON])
def test_an_active_key_that_was_switched_off(case: str, since: timedelta, found: tuple[str, ...]) -> None:
    seen = proven()
    assert seen.secret is not None
    tags = (*seen.secret.tags, off_since(since / timedelta(days=1)))
    planned = plan(replace(seen, secret=replace(seen.secret, tags=tags)), CLASSIC, NOW)
    later = [later for later in planned.upcoming if later.shown == "deactivate"]
    assert (*(type(one).__name__ for one in later), *(type(one).__name__ for one in planned.actions)) == found, case
    assert all((one.key, one.due) == (OLD, NOW - since + JUST_NOW) for one in later)


REWRITES = [
    ("confirmed after the overlap", 0.4, None, False),
    ("confirmed when it ended", 0.5, None, False),
    ("confirmed before that", 0.6, None, True),
    ("used after the last confirmation", 0.4, 0.3, True),
    ("used before it", 0.2, 0.3, False),
]


@pytest.mark.parametrize(("case", "confirmed", "last", "writes"), REWRITES, ids=[row[0] for row in REWRITES])
def test_targets_are_written_once_more_before_the_old_key_goes_off(
    *, case: str, confirmed: float, last: float | None, writes: bool
) -> None:
    """By the overlap's end nobody writes an older pair any more; who used the old key since may have got it there."""
    seen = observed(
        a_key(OLD, age_days=101, **({"use": used(last)} if last else {})),  # type: ignore[arg-type]  # by name
        a_key(NEW, age_days=11),
        secret=a_secret(previous(OLD), current(NEW), tags=[synced(since=10.5, confirmed=confirmed)]),
        targets=(holds(NEW),),
    )
    actions = plan(seen, replace(CLASSIC, on_still_used=OnStillUsed.DEACTIVATE), NOW).actions
    syncs = [action for action in actions if isinstance(action, act.Sync)]
    assert [(action.key, action.targets, action.is_rewrite) for action in syncs] == (
        [(NEW, (SHOP,), True)] if writes else []
    ), case
    assert [action.follows for action in actions if isinstance(action, act.Deactivate)] == [writes]
    wanted = max(ago(0.5), ago(last)) if last else ago(0.5)
    assert all(action.not_before == wanted for action in syncs)


# --- labels that have done their duty -------------------------------------------------------------------------------


def claimed(
    *keys: object, lease: timedelta = LEASE, run: str = "this-run", seen: tuple[AccessKeyId, ...] = (OLD,)
) -> Observation:
    claim = replace(a_claim(run=run), lease_until=NOW + lease, keys_seen=frozenset(seen))
    secret = a_secret(previous(OLD), current(NEW), a_version("c", CLAIM), tags=[synced(confirmed=0.5)])
    return replace(observed(secret=secret, claim=claim), keys=keys)  # type: ignore[arg-type]  # made by builders


BOTH = (a_key(OLD, age_days=91), a_key(NEW, age_days=1))
CLAIMS = [
    ("its key is AWSCURRENT", claimed(*BOTH), True),
    ("another run's, whose key is AWSCURRENT", claimed(*BOTH, run="another"), False),
    ("another run's, whose lease is over", claimed(*BOTH, run="another", lease=timedelta()), True),
    ("its key is not there yet", claimed(*BOTH, seen=(OLD, NEW)), False),
    ("its key is not there yet, and somebody made another", claimed(*BOTH, a_key(ODD), seen=(OLD, NEW)), False),
    (
        "over, and the key that was made under it is stored and not served",
        observed(
            a_key(),
            a_key(NEW, age_days=0),
            secret=a_secret(current(), pending(), a_version("c", CLAIM), tags=[synced()]),
            claim=replace(a_claim(), lease_until=NOW),
        ),
        False,
    ),
    (
        "over, and a key that only it explains may be somebody's",
        claimed(*BOTH, a_key(ODD, age_days=0, use=UNKNOWN), lease=timedelta(), seen=(OLD, NEW)),
        False,
    ),
    (
        "over, and the key that only it explains was used",
        claimed(*BOTH, a_key(ODD, age_days=0, use=used(0)), lease=timedelta(), seen=(OLD, NEW)),
        True,
    ),
    (
        "over, and a key of this run is not stored",
        replace(claimed(*BOTH, a_key(ODD, age_days=0), lease=timedelta(), seen=(OLD, NEW)), made_here=frozenset({ODD})),
        False,
    ),
]


@pytest.mark.parametrize(("case", "seen", "is_off"), CLAIMS, ids=[row[0] for row in CLAIMS])
def test_a_claim_comes_off(case: str, seen: Observation, is_off: bool) -> None:
    tidied = [action for action in plan(seen, CLASSIC, NOW).actions if isinstance(action, act.RemoveLabel)]
    assert [(action.label, action.version) for action in tidied] == ([(CLAIM, "c")] if is_off else []), case


def test_a_mark_of_a_gone_key_comes_off_and_that_of_one_that_is_there_stays() -> None:
    version = a_version("v0", OLD, f"keyrota:revoked:{OLD}", f"keyrota:revoked:{NEW}")
    seen = observed(a_key(NEW, age_days=1), secret=a_secret(version, current(NEW), tags=[synced()]))
    tidied = [action.label for action in plan(seen, CLASSIC, NOW).actions if isinstance(action, act.RemoveLabel)]
    assert tidied == [OLD, f"keyrota:revoked:{OLD}"]


STACKS = [
    ("a person's run notes nothing", "", None, True, ()),
    ("the first stack notes itself", "a", None, True, ("NoteStack",)),
    ("the same stack goes on", "a", "a", True, ()),
    ("another is stopped", "b", "a", True, ("hold",)),
    ("a person is not", "", "a", True, ()),
    ("a secret that is not ours gets no note", "a", None, False, ("hold",)),
]


@pytest.mark.parametrize(("case", "stack", "noted", "is_ours", "found"), STACKS, ids=[row[0] for row in STACKS])
def test_one_stack_keeps_a_credential(
    *, case: str, stack: str, noted: str | None, is_ours: bool, found: tuple[str, ...]
) -> None:
    secret = a_secret(current() if is_ours else a_version("v1", "AWSCURRENT"), tags=[synced()])
    tags = (*(secret.tags if is_ours else ()), *([("keyrota:stack", noted)] if noted else []))
    seen = replace(observed(a_key(), secret=replace(secret, tags=tags), targets=(holds(OLD),)), stack=stack)
    planned = plan(seen, CLASSIC, NOW)
    assert (*(type(one).__name__ for one in planned.actions), *("hold" for _ in planned.holds)) == found, case
