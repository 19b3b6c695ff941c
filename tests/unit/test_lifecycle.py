"""The life cycle holds for whatever an observation says: random worlds, and an oracle of their own for each promise."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from builders import (
    FINGERPRINT,
    NEVER,
    NEW,
    NOW,
    ODD,
    OLD,
    UNKNOWN,
    a_claim,
    a_key,
    a_secret,
    a_version,
    absent,
    ago,
    an_id,
    by_run,
    cannot_tell,
    current,
    down,
    holds,
    observed,
    pending,
    previous,
    used,
)
from keyrota.core import plan as act
from keyrota.core.emergency import Revoke, Rollback
from keyrota.core.lifecycle import (
    MEANING,
    TRANSITIONS,
    KeyState,
    interpret,
)
from keyrota.core.model import (
    ADOPT_TAG,
    AWSCURRENT,
    AWSPREVIOUS,
    CLAIM,
    DEACTIVATED_TAG,
    ORPHAN_TAG,
    PENDING,
    PLACEHOLDER,
    SYNCED_TAG,
    AccessKey,
    AccessKeyId,
    DeactivationNote,
    DeactivationRecord,
    Evidence,
    KeyStatus,
    Observation,
    SecretState,
    SecretVersion,
    SyncRecord,
    TargetEvidence,
    VersionId,
    key_token,
)
from keyrota.core.plan import Action, Plan
from keyrota.core.planner import Intent, Routine, SyncOnly, plan
from keyrota.core.policy import CLASSIC, STRICT, Adopt, OnStillUsed, RotationPolicy
from keyrota.core.records import (
    DiscardNote,
    format_choice,
    format_deactivated,
    format_discard,
    format_synced,
    parse_deactivated,
    parse_synced,
)

IDS = (OLD, NEW, ODD, an_id("THIRD"))
DAYS = st.sampled_from([0, 0.003, 0.02, 0.5, 1, 2, 9, 10, 11, 20, 75, 89, 90, 91, 100, 101, 111, 200])
POLICIES = st.sampled_from(
    [
        CLASSIC,
        STRICT,
        replace(CLASSIC, adopt=Adopt.NOW),
        replace(CLASSIC, prove_use=True),
        replace(STRICT, on_still_used=OnStillUsed.DEACTIVATE),
    ]
)


@st.composite
def keys(draw: st.DrawFn, key_id: AccessKeyId) -> AccessKey:
    status = draw(st.sampled_from([KeyStatus.ACTIVE] * 5 + [KeyStatus.INACTIVE] * 3 + [KeyStatus.OTHER]))
    use = draw(st.sampled_from([NEVER, NEVER, UNKNOWN]) | st.builds(used, DAYS))
    return a_key(key_id, age_days=draw(DAYS), status=status, use=use)


@st.composite
def secrets(draw: st.DrawFn) -> SecretState:
    base = VersionId("v0")
    versions = [
        a_version("v0", AWSCURRENT, *draw(st.sampled_from([(), (OLD,), (NEW,), (PLACEHOLDER,), (PLACEHOLDER, OLD)])))
    ]
    if draw(st.booleans()):
        versions.append(a_version("vp", AWSPREVIOUS, *draw(st.sampled_from([(), (OLD,), (ODD,)]))))
    if draw(st.booleans()):
        key = draw(st.sampled_from(IDS))
        made_for = draw(st.sampled_from([base, VersionId("older")]))
        versions.append(a_version(key_token(key, made_for), PENDING, key))
    if draw(st.booleans()):
        versions.append(a_version("vc", CLAIM))
    tags = []
    if draw(st.booleans()):
        since = draw(DAYS)
        record = SyncRecord(
            version=draw(st.sampled_from([base, base, VersionId("older")])),
            since=ago(since),
            confirmed=ago(since * draw(st.sampled_from([0, 0.01, 1]))),
            fingerprint=draw(st.sampled_from([FINGERPRINT, FINGERPRINT, "another"])),
        )
        tags.append((SYNCED_TAG, format_synced(record)))
    if draw(st.booleans()):
        note = draw(st.sampled_from(DeactivationNote))
        off = DeactivationRecord(key=draw(st.sampled_from(IDS)), at=ago(draw(DAYS)), note=note)
        tags.append((DEACTIVATED_TAG, format_deactivated(off)))
    if draw(st.booleans()):
        note = DiscardNote(key=draw(st.sampled_from(IDS)), at=ago(draw(DAYS)), is_released=draw(st.booleans()))
        tags.append((ORPHAN_TAG, format_discard(note)))
    if draw(st.booleans()):
        tags.append((ADOPT_TAG, format_choice(draw(st.sampled_from(IDS)), ago(draw(DAYS)))))
    return a_secret(*versions, tags=tags, changed=draw(DAYS))


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    chosen = draw(st.lists(st.sampled_from(IDS), unique=True, max_size=3))
    target = st.sampled_from([cannot_tell("a"), absent("b"), down("c"), *(holds(key, f"d {key}") for key in IDS)])
    seen = observed(
        *sorted((draw(keys(key)) for key in chosen), key=lambda key: key.created),
        secret=draw(st.none() | secrets()),
        targets=tuple(draw(st.lists(target, max_size=3, unique_by=lambda state: state.address))),
        claim=draw(
            st.none()
            | st.builds(
                a_claim,
                days_ago=DAYS,
                run=st.sampled_from(["another", "this-run"]),
                seen=st.lists(st.sampled_from(IDS), unique=True),
            )
        ),
    )
    made = draw(st.sets(st.sampled_from(IDS), max_size=1))
    return by_run(
        seen,
        made_here=frozenset(made),
        verified=frozenset(draw(st.sets(st.sampled_from(IDS), max_size=1))),
        is_secret_named=draw(st.booleans()),
    )


INTENTS = st.one_of(
    st.just(Routine()),
    st.just(Routine()),
    st.builds(Revoke, key=st.sampled_from(IDS), off_first=st.booleans(), with_sessions=st.booleans()),
    st.builds(Rollback, to=st.sampled_from(IDS)),
    st.just(SyncOnly()),
)


@st.composite
def successions(draw: st.DrawFn) -> Observation:
    """An old key and its successor, with most proofs at hand: where something really goes off, or goes."""
    use = st.sampled_from([NEVER, NEVER, UNKNOWN, used(0.5), used(2), used(12), used(30), used(200)])
    status = draw(st.sampled_from([KeyStatus.ACTIVE, KeyStatus.INACTIVE]))
    since = draw(st.sampled_from([1, 9.9, 10, 11, 30]))
    record = SyncRecord(
        version=VersionId(draw(st.sampled_from(["v1", "v1", "v1", "v1", "v0"]))),
        since=ago(since),
        confirmed=ago(draw(st.sampled_from([0, since]))),
        fingerprint=draw(st.sampled_from([FINGERPRINT, FINGERPRINT, FINGERPRINT, "another"])),
    )
    off = DeactivationRecord(
        key=draw(st.sampled_from([OLD, OLD, OLD, NEW])),
        at=ago(draw(st.sampled_from([1, 10, 11]))),
        note=draw(st.sampled_from(DeactivationNote)),
    )
    notes = [("", ""), (DEACTIVATED_TAG, format_deactivated(off))]
    tags = [(SYNCED_TAG, format_synced(record)), notes[draw(st.sampled_from([status is KeyStatus.INACTIVE, 0, 1]))]]
    target = st.sampled_from([holds(NEW), holds(NEW), cannot_tell(), cannot_tell(), holds(OLD), absent(), down()])
    return observed(
        a_key(OLD, age_days=draw(st.sampled_from([50, 99, 101, 111, 300])), status=status, use=draw(use)),
        a_key(
            NEW, age_days=since + 0.1, status=draw(st.sampled_from([KeyStatus.ACTIVE] * 5 + [status])), use=draw(use)
        ),
        secret=a_secret(previous(OLD), current(NEW), tags=tags),
        targets=(draw(target),),
    )


def steps(seen: Observation, actions: tuple[Action, ...]) -> Iterator[tuple[KeyState, Action]]:
    """Find the state of each action's key when its turn comes, by the table alone."""
    known = interpret(seen)
    states = {key.id: known.state_of(key) for key in known.keys}
    for action in actions:
        key = action.key
        if isinstance(action, act.CreateKey):
            yield KeyState.NONE, action
        elif isinstance(action, act.Adopt | act.Promote | act.Deactivate | act.Reactivate | act.Delete) and key:
            yield states[key], action
            after = [line.target for line in TRANSITIONS if (line.source, line.action) == (states[key], type(action))]
            states[key] = after[0] if after else states[key]
        elif isinstance(action, act.NoteActive | act.NoteOrphan | act.DeleteOrphan | act.Verify) and key:
            yield states[key], action


TABLE = {(line.source, line.action) for line in TRANSITIONS}
UNLISTED = {(KeyState.SUPERSEDED, act.Verify)}
"""What the planner does and the table does not say: a test below shows it."""


def check_table(seen: Observation, planned: Plan) -> None:
    for state, action in steps(seen, planned.actions):
        assert (state, type(action)) in TABLE | UNLISTED


def check_hands_off(seen: Observation, planned: Plan, intent: Intent) -> None:
    """Promise hands-off; and on the routine's road the current key stays on, whatever happens."""
    known = interpret(seen)
    for action in planned.actions:
        if not isinstance(action, act.Deactivate | act.Delete | act.DeleteOrphan | act.Reactivate):
            continue
        key = known.key(action.key)
        assert key is not None
        state = known.state_of(key)
        assert state not in {KeyState.FOREIGN, KeyState.STRANGE, KeyState.ADOPTABLE}
        if isinstance(intent, Routine | SyncOnly):
            assert state not in {KeyState.CURRENT, KeyState.CURRENT_OFF}
        else:
            assert not isinstance(action, act.Delete)


def check_proof_before_off(seen: Observation, planned: Plan, policy: RotationPolicy) -> None:
    known = interpret(seen)
    for action in planned.actions:
        key = known.key(action.key)
        if not isinstance(action, act.Deactivate) or key is None or key.status is not KeyStatus.ACTIVE:
            continue
        if known.discard is not None and known.discard.key == key.id:
            check_discarded(seen, key, policy, is_released=known.discard.is_released)
            continue
        successor = known.key(known.current_key)
        assert successor is not None
        assert successor.status is KeyStatus.ACTIVE
        assert known.synced is not None
        assert (known.synced.version, known.synced.fingerprint) == (known.current_id, FINGERPRINT)
        assert known.synced.since + policy.overlap <= NOW
        for target in seen.targets:
            assert target.evidence in {TargetEvidence.HOLDS, TargetEvidence.CANNOT_TELL}
            assert target.key in {None, successor.id}
        if known.synced.confirmed < known.synced.since + policy.overlap and seen.targets:
            assert action.follows, "written once more first"
        assert key.last_use.evidence is not Evidence.UNKNOWN
        if policy.on_still_used is OnStillUsed.HOLD and key.last_use.at is not None:
            assert key.last_use.at + policy.unused_for <= NOW
        if policy.prove_use:
            assert successor.last_use.evidence is Evidence.USED


def check_discarded(seen: Observation, key: AccessKey, policy: RotationPolicy, *, is_released: bool) -> None:
    """An orphan is a day old and was never used; a released key is quiet; no target shows either of them."""
    assert key.created + timedelta(hours=24) <= NOW
    assert not any(target.key == key.id for target in seen.targets)
    assert key.last_use.evidence in ({Evidence.NEVER, Evidence.USED} if is_released else {Evidence.NEVER})
    assert key.last_use.at is None or key.last_use.at + policy.unused_for <= NOW


def check_off_before_gone(seen: Observation, planned: Plan, policy: RotationPolicy) -> None:
    known = interpret(seen)
    for action in planned.actions:
        key = known.key(action.key)
        if isinstance(action, act.Delete) and key is not None:
            assert key.status is KeyStatus.INACTIVE
            (off,) = known.deactivated
            assert (off.key, off.note) == (key.id, DeactivationNote.ROUTINE)
            assert off.at + policy.grace <= NOW
            assert not any(target.key == key.id for target in seen.targets)
            assert key.last_use.evidence is not Evidence.UNKNOWN
        elif isinstance(action, act.DeleteOrphan) and key is not None and key.id not in seen.made_here:
            assert known.version_of(key.id) is None
            assert known.discard is not None
            assert (known.discard.key, key.status) == (key.id, KeyStatus.INACTIVE)
            (off,) = known.deactivated
            assert (off.key, off.note) == (key.id, DeactivationNote.ROUTINE)
            assert off.at + policy.grace <= NOW
            assert not any(target.key == key.id for target in seen.targets)
            assert key.last_use.evidence is not Evidence.UNKNOWN


def check_shape(seen: Observation, planned: Plan) -> None:
    """What is planned is due, what comes later is not, each has its reason; a third key is never made."""
    assert all(action.due <= NOW and action.reason for action in planned.actions)
    assert not planned.actions or not planned.actions[0].follows
    assert all(later.due > NOW and later.reason for later in planned.upcoming)
    assert list(planned.upcoming) == sorted(planned.upcoming, key=lambda later: later.due)
    assert all(hold.reason for hold in planned.holds)
    assert len(set(planned.holds)) == len(planned.holds)
    going = {action.key for action in planned.actions if isinstance(action, act.DeleteOrphan)}
    assert not planned.makes_key or len([key for key in seen.keys if key.id not in going]) < 2


def check_all(seen: Observation, policy: RotationPolicy, intent: Intent) -> Plan:
    planned = plan(seen, policy, NOW, intent)
    check_table(seen, planned)
    check_hands_off(seen, planned, intent)
    check_off_before_gone(seen, planned, policy)
    check_shape(seen, planned)
    if isinstance(intent, Routine | SyncOnly):
        check_proof_before_off(seen, planned, policy)
    return planned


@settings(max_examples=400)
@given(observations(), POLICIES, INTENTS)
def test_the_promises_hold_in_any_world(seen: Observation, policy: RotationPolicy, intent: Intent) -> None:
    check_all(seen, policy, intent)


@settings(max_examples=500)
@given(successions(), POLICIES)
def test_the_promises_hold_where_an_old_key_goes(seen: Observation, policy: RotationPolicy) -> None:
    check_all(seen, policy, Routine())


@settings(max_examples=100)
@given(observations(), POLICIES, INTENTS)
def test_planning_changes_nothing_and_says_the_same_twice(
    seen: Observation, policy: RotationPolicy, intent: Intent
) -> None:
    before = copy.deepcopy(seen)
    planned = plan(seen, policy, NOW, intent)
    assert planned == plan(before, policy, NOW, intent)
    assert seen == before
    assert hash(planned) == hash(plan(before, policy, NOW, intent))


def test_random_worlds_really_deactivate_and_delete() -> None:
    """The oracles above would hold of a planner that never does anything."""
    seen: set[str] = set()

    @settings(max_examples=300, derandomize=True)
    @given(successions())
    def collect(world: Observation) -> None:
        seen.update(type(action).__name__ for action in plan(world, CLASSIC, NOW).actions)

    collect()
    assert seen >= {"Deactivate", "Delete", "NoteActive", "Sync"}


def test_a_rollback_is_drawn_in_the_table_with_its_proof() -> None:
    assert (KeyState.SUPERSEDED, act.Verify) in TABLE


def test_each_state_has_a_meaning_and_a_place_in_the_table() -> None:
    assert set(MEANING) == set(KeyState)
    drawn = {line.source for line in TRANSITIONS} | {line.target for line in TRANSITIONS}
    assert set(KeyState) - drawn == {KeyState.STRANGE}


def a_state(seen: Observation, key: AccessKeyId) -> KeyState:
    known = interpret(seen)
    found = known.key(key)
    assert found is not None
    return known.state_of(found)


OFF = KeyStatus.INACTIVE
BOTH = (a_key(OLD), a_key(NEW, age_days=0))


def stored(*versions: SecretVersion, **known: object) -> Observation:
    return by_run(observed(*BOTH, secret=a_secret(*versions)), **known)


STATES: list[tuple[str, Observation, AccessKeyId, KeyState]] = [
    ("behind AWSCURRENT", stored(current()), OLD, KeyState.CURRENT),
    ("behind AWSCURRENT, Inactive", observed(a_key(status=OFF), secret=a_secret(current())), OLD, KeyState.CURRENT_OFF),
    ("stored for this base", stored(current(), pending()), NEW, KeyState.PENDING),
    ("stored for another base", stored(current(), pending(base="x")), NEW, KeyState.SUPERSEDED),
    (
        "stored for another base by this run",
        stored(current(), pending(base="x"), made_here=frozenset({NEW})),
        NEW,
        KeyState.LOSER,
    ),
    ("made by this run, not stored", stored(current(), made_here=frozenset({NEW})), NEW, KeyState.LOSER),
    (
        "made by this run, served, replaced",
        stored(current(), previous(NEW), made_here=frozenset({NEW})),
        NEW,
        KeyState.SUPERSEDED,
    ),
    ("previous", stored(previous(OLD), current(NEW)), OLD, KeyState.SUPERSEDED),
    (
        "previous, Inactive",
        observed(a_key(status=OFF), secret=a_secret(previous(), current(NEW))),
        OLD,
        KeyState.RETIRED,
    ),
    ("known by its label alone", stored(a_version("z", OLD), current(NEW)), OLD, KeyState.SUPERSEDED),
    ("in no version", stored(current()), NEW, KeyState.FOREIGN),
    (
        "in no version, after a claim that had not seen it",
        replace(stored(current()), claim=a_claim()),
        NEW,
        KeyState.ORPHAN,
    ),
    (
        "that claim came to its end with another key",
        replace(
            stored(current(name=key_token(OLD, VersionId("v0"))), a_version("v0", AWSPREVIOUS)), claim=a_claim(seen=())
        ),
        NEW,
        KeyState.FOREIGN,
    ),
    (
        "a key that was there before the claim does not fulfil it, though keyrota made it",
        replace(stored(current(name=key_token(OLD, VersionId("v0"))), a_version("v0", AWSPREVIOUS)), claim=a_claim()),
        NEW,
        KeyState.ORPHAN,
    ),
    (
        "a key that somebody stored meanwhile is not what was claimed",
        replace(stored(current()), claim=a_claim(seen=())),
        NEW,
        KeyState.ORPHAN,
    ),
    ("the only one, no secret", observed(a_key()), OLD, KeyState.ADOPTABLE),
    ("the only one, no secret, Inactive", observed(a_key(status=OFF)), OLD, KeyState.FOREIGN),
    (
        "the only one, beside a secret somebody wrote",
        observed(a_key(), secret=a_secret(a_version("v1", AWSCURRENT))),
        OLD,
        KeyState.FOREIGN,
    ),
    (
        "of a strange status",
        observed(replace(a_key(), status=KeyStatus.OTHER), secret=a_secret(current())),
        OLD,
        KeyState.STRANGE,
    ),
]


@pytest.mark.parametrize(("case", "seen", "key", "state"), STATES, ids=[row[0] for row in STATES])
def test_the_state_of_a_key(case: str, seen: Observation, key: AccessKeyId, state: KeyState) -> None:
    assert a_state(seen, key) is state, case


REACHED = (datetime(1970, 1, 2), datetime(2969, 12, 30))  # noqa: DTZ001  # the strategy adds the zone
INSTANTS = st.datetimes(*REACHED, timezones=st.sampled_from([UTC, timezone(timedelta(hours=2))]))
PLAIN = st.text("ABCDEF0123456789-", min_size=1, max_size=40)


@given(PLAIN, INSTANTS, INSTANTS, PLAIN)
def test_the_record_of_a_sync_reads_back(version: str, since: datetime, confirmed: datetime, fingerprint: str) -> None:
    record = SyncRecord(version=VersionId(version), since=since, confirmed=confirmed, fingerprint=fingerprint)
    assert parse_synced(format_synced(record)) == record
    assert len(format_synced(record)) <= 256


@given(PLAIN, INSTANTS, st.sampled_from(DeactivationNote))
def test_the_record_of_a_deactivation_reads_back(key: str, at: datetime, note: DeactivationNote) -> None:
    record = DeactivationRecord(key=AccessKeyId(key), at=at, note=note)
    assert parse_deactivated(format_deactivated(record)) == (record,)


@settings(max_examples=50)
@given(st.text())
@example("v1@2026-06-01T06:00:00@2026-06-01T06:00:00+00:00@f")
@example("AKIA@2026-06-01T06:00:00")
@example("AKIA@2026-06-01T06:00:00+00:00@later")
def test_a_record_that_somebody_edited_counts_as_none(text: str) -> None:
    assert parse_synced(text) is None
    assert parse_deactivated(text) == ()
