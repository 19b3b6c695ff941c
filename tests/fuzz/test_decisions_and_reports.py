"""The planner and the reports take whatever an observation says: instants at either end of time, hostile words."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import Any

import pytest
from fuzz_rig import TEXTS, examples, is_clean
from hypothesis import given
from hypothesis import strategies as st

from builders import FINGERPRINT, NEW, ODD, OLD, a_key, a_secret, a_version, observed
from keyrota.app.cli.common import Options, say_json
from keyrota.app.cli.discover import _Progress
from keyrota.app.discovery import Scan
from keyrota.app.words import format_error
from keyrota.core import plan as act
from keyrota.core.emergency import Revoke, Rollback
from keyrota.core.lifecycle import TRANSITIONS, KeyState, interpret
from keyrota.core.model import (
    AWSCURRENT,
    AWSPREVIOUS,
    CLAIM,
    DEACTIVATED_TAG,
    INDEX_TAG,
    PENDING,
    PLACEHOLDER,
    REVOKED,
    SYNC_PASS_TAG,
    SYNCED_TAG,
    AccessKeyId,
    CarriedRuns,
    Claim,
    DeactivationNote,
    DeactivationRecord,
    Evidence,
    IndexEntry,
    KeyStatus,
    LastUse,
    Observation,
    Readiness,
    RunsEvidence,
    SecretState,
    SyncPass,
    SyncRecord,
    TargetEvidence,
    TargetState,
    VersionId,
)
from keyrota.core.outcome import Done
from keyrota.core.planner import Routine, SyncOnly, plan
from keyrota.core.policy import CLASSIC, STRICT, Adopt, OnStillUsed, RotationPolicy
from keyrota.core.records import (
    DiscardNote,
    Index,
    format_choice,
    format_deactivated,
    format_discard,
    format_index,
    format_pass,
    format_synced,
    parse_choice,
    parse_deactivated,
    parse_discard,
    parse_index,
    parse_pass,
    parse_synced,
)
from keyrota.errors import KeyrotaError, PartialFailure
from keyrota.report.data import CredentialReport, document
from keyrota.report.text import apply_text, plan_text, status_text

EAST, WEST = timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))
NOWS = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # bounds
INSTANTS = st.one_of(
    st.datetimes(timezones=st.sampled_from([UTC, EAST, WEST])),
    st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001  # bounds
    st.sampled_from([datetime.min.replace(tzinfo=EAST), datetime.max.replace(tzinfo=WEST)]),
    st.sampled_from([datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]),
)
REACHED = st.one_of(
    st.datetimes(datetime(1970, 1, 2), datetime(2969, 12, 30), timezones=st.sampled_from([UTC, EAST, WEST])),  # noqa: DTZ001  # bounds
    st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001  # bounds
)
"""What the adapters let through: `require_sane_utc`."""
IDS = st.sampled_from([OLD, NEW, ODD]) | st.text("ABCDEF0123456789", min_size=16, max_size=20).map(AccessKeyId)
VERSIONS = st.sampled_from(["v0", "v1", "v2"]).map(VersionId)
USES = st.builds(LastUse, evidence=st.sampled_from(Evidence), at=st.none() | REACHED, service=TEXTS, why=TEXTS)
STAMPS = INSTANTS.map(datetime.isoformat) | TEXTS
TAG_VALUES = st.one_of(
    TEXTS,
    st.builds("{}@{}@{}@{}".format, VERSIONS, STAMPS, STAMPS, st.just(FINGERPRINT)),
    st.builds("{}@{}@{}@{}@{}".format, VERSIONS, STAMPS, STAMPS, st.just(FINGERPRINT), STAMPS),
    st.builds("{}@{}".format, IDS, STAMPS),
    st.builds("{}@{}@{}".format, IDS, STAMPS, st.sampled_from(["on", "off", ""])),
    st.builds("{}@{}@{}@{}".format, VERSIONS, STAMPS, st.just(FINGERPRINT), st.sampled_from(["", "/w==", "A", "="])),
    st.builds("{}:{}".format, st.integers(-5, 10**6), TEXTS),
)
LABELS = st.one_of(
    st.sampled_from([AWSCURRENT, AWSPREVIOUS, PENDING, CLAIM, PLACEHOLDER, REVOKED + OLD, REVOKED]), IDS, TEXTS
)


@st.composite
def secrets(draw: st.DrawFn) -> SecretState:
    names = draw(st.lists(VERSIONS, unique=True, max_size=3))
    free = draw(st.lists(LABELS, unique=True, max_size=8))
    versions = [a_version(name, *free[place :: max(1, len(names))]) for place, name in enumerate(names)]
    tag = st.sampled_from([SYNCED_TAG, SYNC_PASS_TAG, DEACTIVATED_TAG, INDEX_TAG, f"{INDEX_TAG}.1", "keyrota:stack"])
    tags = draw(st.dictionaries(tag | TEXTS, TAG_VALUES, max_size=5))
    made = a_secret(*versions, tags=tags.items())
    return replace(
        made,
        changed_at=draw(st.none() | REACHED),
        deleted_at=draw(st.none() | st.none() | REACHED),
        problem=draw(st.just("") | TEXTS),
    )


TARGETS = st.builds(
    TargetState,
    address=st.sampled_from(["a", "b", "bitbucket \x1b[31m/\u202e"]),
    evidence=st.sampled_from(TargetEvidence),
    key=st.none() | IDS,
    changed_at=st.none() | REACHED,
    detail=TEXTS,
    remedy=TEXTS,
    notice=TEXTS,
    token_expires=st.none() | REACHED,
    carried_for=st.sampled_from([timedelta(), timedelta(days=35), timedelta(days=10**6)]),
)


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    chosen = draw(st.lists(IDS, unique=True, max_size=4))
    status = st.sampled_from([KeyStatus.ACTIVE, KeyStatus.ACTIVE, KeyStatus.INACTIVE, KeyStatus.OTHER])
    keys = [
        replace(a_key(key, status=draw(status), use=draw(USES)), created=draw(REACHED), status_word=draw(TEXTS))
        for key in chosen
    ]
    claim = st.builds(
        Claim,
        version=VERSIONS,
        run=st.sampled_from(["this-run", "another"]),
        at=REACHED,
        lease_until=REACHED,
        keys_seen=st.frozensets(IDS, max_size=2),
    )
    seen = observed(
        *sorted(keys, key=lambda key: key.created),
        secret=draw(st.none() | secrets()),
        targets=tuple(draw(st.lists(TARGETS, max_size=3, unique_by=lambda state: state.address))),
        claim=draw(st.none() | claim),
    )
    ready = st.builds(
        Readiness, address=st.sampled_from(["a", "b"]), is_ready=st.booleans(), detail=TEXTS, remedy=TEXTS
    )
    runs = st.builds(
        CarriedRuns, address=st.sampled_from(["a", "b"]), evidence=st.sampled_from(RunsEvidence), detail=TEXTS
    )
    return replace(
        seen,
        made_here=draw(st.frozensets(IDS, max_size=1)),
        seen_gone=draw(st.frozensets(IDS, max_size=1)),
        verified=draw(st.frozensets(IDS, max_size=1)),
        readiness=draw(st.none() | st.lists(ready, max_size=2).map(tuple)),
        carried=draw(st.none() | st.lists(runs, max_size=2).map(tuple)),
        left_behind=tuple(draw(st.lists(TARGETS, max_size=1))),
        stack=draw(st.sampled_from(["", "keyrota"])),
        is_secret_named=draw(st.booleans()),
    )


SPANS = st.sampled_from([timedelta(), timedelta(days=1), timedelta(days=90), timedelta(days=10**6), timedelta.max])
POLICIES = st.one_of(
    st.sampled_from([CLASSIC, STRICT, replace(CLASSIC, adopt=Adopt.NOW, prove_use=True)]),
    st.builds(
        RotationPolicy,
        rotate_after=SPANS,
        deactivate_after=SPANS,
        delete_after=SPANS,
        unused_for=SPANS,
        on_still_used=st.sampled_from(OnStillUsed),
        allow_short=st.sampled_from([True]),
    ).filter(lambda policy: not policy.faults()),
)
INTENTS = st.one_of(
    st.just(Routine()),
    st.just(Routine()),
    st.just(SyncOnly()),
    st.builds(Revoke, key=IDS, off_first=st.booleans(), with_sessions=st.booleans()),
    st.builds(Rollback, to=IDS),
)
TABLE = {(line.source, line.action) for line in TRANSITIONS} | {(KeyState.SUPERSEDED, act.Verify)}
OURS = {KeyState.FOREIGN, KeyState.STRANGE, KeyState.ADOPTABLE}


@examples(250)
@given(seen=observations(), policy=POLICIES, now=NOWS, intent=INTENTS)
def test_any_observation_has_a_plan(seen: Observation, policy: RotationPolicy, now: datetime, intent: Any) -> None:
    """No exception, the same twice, no step outside the table, no foreign key touched, unknown is no proof."""
    planned = plan(seen, policy, now, intent)
    assert planned == plan(seen, policy, now, intent)
    known = interpret(seen)
    states = {key.id: known.state_of(key) for key in known.keys}
    first = planned.actions[0] if planned.actions else None
    if isinstance(first, act.Deactivate | act.Delete | act.DeleteOrphan | act.Promote | act.Reactivate) and first.key:
        assert (states[first.key], type(first)) in TABLE
    for action in planned.actions:
        key = known.key(action.key)
        if isinstance(action, act.Deactivate | act.Delete | act.DeleteOrphan) and key is not None:
            assert states[key.id] not in OURS
            is_routine = isinstance(intent, Routine | SyncOnly)
            if is_routine and key.id not in seen.made_here and key.status is KeyStatus.ACTIVE:
                assert key.last_use.evidence is not Evidence.UNKNOWN
    check_report(seen, planned, now)


def check_report(seen: Observation, planned: act.Plan, now: datetime) -> None:
    """Tell it to people and to machines."""
    error = KeyrotaError("\x1b[31m", where="\u202e", remedy="\r\n")
    report = CredentialReport(
        user="ci",
        account="1",
        secret_name="s",
        now=now,
        observation=seen,
        plan=planned,
        errors=(error, PartialFailure("x", [error])),
        done=tuple(Done(action=action, at=now, key=action.key) for action in planned.actions),
        left=planned.actions,
    )
    for text in (plan_text, status_text, apply_text):
        assert is_clean("\n".join(text([report])))
    for with_done in (False, True):
        content = document([report], with_done=with_done)
        shown = printed(partial(say_json, content))
        assert is_clean(shown)
        assert json.loads(shown) == json.loads(json.dumps(content))


def printed(say: Callable[[], None]) -> str:
    """Print as on a terminal that takes UTF-8."""
    inner = io.BytesIO()
    out = io.TextIOWrapper(inner, "utf-8", newline="\n")
    with contextlib.redirect_stdout(out):
        say()
    out.flush()
    return inner.getvalue().decode()


@examples(60)
@given(words=TEXTS, where=TEXTS, remedy=TEXTS)
def test_any_error_can_be_shown(words: str, where: str, remedy: str) -> None:
    assert is_clean("\n".join(format_error(KeyrotaError(words, where=where, remedy=remedy))))


@examples(30)
@given(scope=TEXTS)
def test_a_survey_tells_its_progress_cleanly(scope: str) -> None:
    """The names of repositories are other people's; on a terminal the line is written over and over."""
    err = io.StringIO()
    with contextlib.redirect_stderr(err):
        teller = _Progress(Options())
        teller._is_terminal = True
        teller(Scan(provider="x", scope=None, scopes=[scope]), scope)
    assert is_clean(err.getvalue().removeprefix("\r"))


# --- records --------------------------------------------------------------------------------------------------------

PLAIN = st.text("ABCDEF0123456789-", min_size=1, max_size=40)
NAMES = st.text(st.characters(categories=("L", "N", "P", "S", "Zs")), max_size=30)


@examples(300)
@given(text=TAG_VALUES, others=st.lists(TAG_VALUES, max_size=3))
def test_any_tag_can_be_read(text: str, others: list[str]) -> None:
    """Never an exception; and what is read can be written, and reads the same."""
    synced, off = parse_synced(text), parse_deactivated(text)
    if synced is not None:
        assert parse_synced(format_synced(synced)) == synced
    assert parse_deactivated(format_deactivated(*off)) == off
    for record in (parse_pass(text, []), parse_pass(text, ["a", "b", "c"])):
        if record is not None:
            assert parse_pass(format_pass(record, ["a", "b", "c"]), ["a", "b", "c"]) == record
    parse_discard(text)
    parse_choice(text)
    tags = {INDEX_TAG: text} | {f"{INDEX_TAG}.{number}": other for number, other in enumerate(others, 1)}
    assert isinstance(parse_index(tags), Index)


@pytest.mark.parametrize("when", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00Z"])
def test_a_tag_from_the_end_of_time_counts_as_none(when: str) -> None:
    """An age added to it leaves the calendar: OverflowError in the planner, for each run from then on."""
    assert parse_synced(f"v1@{when}@{when}@{FINGERPRINT}") is None
    assert parse_deactivated(f"{OLD}@{when}") == ()
    assert parse_discard(f"{OLD}@{when}") is None
    assert parse_choice(f"{OLD}@{when}") is None
    assert parse_pass(f"v1@{when}@{FINGERPRINT}@", []) is None


@examples(60)
@given(
    version=PLAIN,
    times=st.tuples(REACHED, REACHED, st.none() | REACHED),
    fingerprint=PLAIN,
    key=IDS,
    note=st.sampled_from(DeactivationNote),
    entries=st.lists(st.builds(IndexEntry, address=NAMES, kind=NAMES, settings=NAMES), max_size=6),
    written=st.frozensets(st.sampled_from(["a", "b", "c"])),
)
def test_every_record_reads_back(  # one argument a field
    *,
    version: str,
    times: tuple[datetime, datetime, datetime | None],
    fingerprint: str,
    key: AccessKeyId,
    note: DeactivationNote,
    entries: list[IndexEntry],
    written: frozenset[str],
) -> None:
    since, confirmed, ended = times
    synced = SyncRecord(
        version=VersionId(version), since=since, confirmed=confirmed, fingerprint=fingerprint, ended=ended
    )
    off = DeactivationRecord(key=key, at=since, note=note)
    walk = SyncPass(version=VersionId(version), began=since, fingerprint=fingerprint, written=written)
    assert parse_synced(format_synced(synced)) == synced
    assert parse_deactivated(format_deactivated(off)) == (off,)
    assert parse_pass(format_pass(walk, ["a", "b", "c"]), ["a", "b", "c"]) == walk
    discard = DiscardNote(key=key, at=since, is_released=note is DeactivationNote.SEEN_ACTIVE)
    assert parse_discard(format_discard(discard)) == discard
    assert parse_choice(format_choice(key, since)) == key
    index = Index().join(entries)
    assert parse_index(format_index(index)) == index
