"""An observation read in the terms of the table: what is synced, what is waited for, which walk goes on."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from builders import (
    FINGERPRINT,
    NEW,
    NOW,
    ODD,
    OLD,
    SHOP,
    a_claim,
    a_key,
    a_secret,
    a_version,
    ago,
    an_id,
    cannot_tell,
    current,
    observed,
    placeholder,
    previous,
    revoked,
    synced,
    used,
)
from keyrota.core.lifecycle import (
    CLOCKS_DIFFER,
    CREATED_WITHIN,
    JUST_NOW,
    MEANING,
    SIGNED_WITHIN,
    TRANSITIONS,
    KeyState,
    Road,
    find_named_and_gone,
    interpret,
    key_label,
)
from keyrota.core.model import (
    AWSCURRENT,
    SYNC_PASS_TAG,
    Claim,
    KeyStatus,
    Observation,
    SecretState,
    SyncPass,
    VersionId,
    key_token,
)
from keyrota.core.records import format_pass

TICK = timedelta(seconds=1)


def with_pass(
    *, version: str = "v1", fingerprint: str = FINGERPRINT, began: datetime = NOW, record: tuple[str, str] | None = None
) -> Observation:
    """A walk over all targets that was begun."""
    walk = SyncPass(version=VersionId(version), began=began, fingerprint=fingerprint, written=frozenset({SHOP}))
    tags = [(SYNC_PASS_TAG, format_pass(walk, [SHOP])), *([record] if record else [])]
    return observed(a_key(), secret=a_secret(current(), tags=tags), targets=(cannot_tell(),))


WALKS = [
    ("begun with this version and these targets", with_pass(), None, True),
    ("none", observed(a_key(), secret=a_secret(current())), None, False),
    ("of another version", with_pass(version="v0"), None, False),
    ("of other targets", with_pass(fingerprint="another"), None, False),
    ("ended by a later record", with_pass(began=ago(2), record=synced(since=1)), None, False),
    ("ended by the record of that very moment", with_pass(began=ago(1), record=synced(since=1)), None, False),
    ("begun after the record", with_pass(began=ago(1), record=synced(since=2)), None, True),
    ("beside a later record of another version", with_pass(began=ago(2), record=synced("v0", since=1)), None, True),
    ("begun before a rewrite was due", with_pass(began=ago(2)), ago(1), False),
    ("begun when it was due", with_pass(began=ago(1)), ago(1), True),
    ("begun after it was due", with_pass(began=ago(1)), ago(2), True),
]


@pytest.mark.parametrize(("case", "seen", "not_before", "goes_on"), WALKS, ids=[row[0] for row in WALKS])
def test_a_walk_goes_on(case: str, seen: Observation, not_before: datetime | None, goes_on: bool) -> None:
    assert (interpret(seen).active_sync_pass(not_before) is not None) is goes_on, case


def still(seen: Observation, changed: timedelta | None) -> Observation:
    """The secret was changed so long ago."""
    assert seen.secret is not None
    return replace(seen, secret=replace(seen.secret, changed_at=None if changed is None else NOW - changed))


UNLISTED = observed(a_key(NEW), secret=a_secret(previous(OLD), current(NEW)))
AWAITED = [
    ("named just now", still(UNLISTED, JUST_NOW - TICK), NOW + TICK),
    ("named a quarter of an hour ago", still(UNLISTED, JUST_NOW), None),
    ("it is not told when", still(UNLISTED, None), None),
    ("missed before this run wrote anything", replace(still(UNLISTED, TICK), seen_gone=frozenset({OLD})), None),
    ("another was missed", replace(still(UNLISTED, TICK), seen_gone=frozenset({ODD})), NOW + JUST_NOW - TICK),
    ("no secret names it", observed(), None),
]


@pytest.mark.parametrize(("case", "seen", "until"), AWAITED, ids=[row[0] for row in AWAITED])
def test_a_key_that_is_not_listed_is_waited_for(case: str, seen: Observation, until: datetime | None) -> None:
    assert interpret(seen).find_wait_end(OLD, NOW) == until, case
    gone = until is None and seen.secret is not None
    assert find_named_and_gone(seen, NOW) == (frozenset({OLD}) if gone else frozenset()), case


def test_a_revoked_key_that_is_gone_is_known_by_its_mark_alone() -> None:
    seen = revoked(observed(secret=a_secret(current(OLD))), OLD)
    assert seen.secret is not None
    marked = a_version("v0", *(seen.secret.versions[0].labels - {OLD, "AWSCURRENT"}))
    gone = observed(a_key(NEW), secret=a_secret(marked, current(NEW)))
    assert find_named_and_gone(gone, NOW) == {OLD}
    assert interpret(gone).is_revoked(OLD)
    assert not interpret(gone).is_revoked(NEW)


SYNCED = [
    ("this version, these targets", observed(a_key(), secret=a_secret(current(), tags=[synced()])), True),
    ("no record", observed(a_key(), secret=a_secret(current())), False),
    ("another version", observed(a_key(), secret=a_secret(current(), tags=[synced("v0")])), False),
    (
        "other targets",
        replace(observed(a_key(), secret=a_secret(current(), tags=[synced()])), fingerprint="another"),
        False,
    ),
    ("a record and no AWSCURRENT", observed(a_key(), secret=a_secret(previous(), tags=[synced("v0")])), False),
]


@pytest.mark.parametrize(("case", "seen", "is_so"), SYNCED, ids=[row[0] for row in SYNCED])
def test_a_credential_is_synced(case: str, seen: Observation, is_so: bool) -> None:
    assert interpret(seen).is_synced() is is_so, case


def empty(*, owner: bool, **known: object) -> Observation:
    """A secret without a value."""
    secret = a_secret()
    return replace(observed(secret=secret if owner else replace(secret, tags=())), **known)  # type: ignore[arg-type]  # by name


EMPTY = [
    ("somebody's", empty(owner=False), True),
    ("ours by its tag", empty(owner=True), False),
    ("named in the configuration", empty(owner=False, is_secret_named=True), False),
    ("none at all", observed(), False),
    ("somebody's, with a value", observed(secret=replace(a_secret(a_version("v1", "AWSCURRENT")), tags=())), False),
]


@pytest.mark.parametrize(("case", "seen", "is_so"), EMPTY, ids=[row[0] for row in EMPTY])
def test_a_secret_is_empty_and_somebody_else_s(case: str, seen: Observation, is_so: bool) -> None:
    assert interpret(seen).is_empty_of_others is is_so, case


LATEST = CREATED_WITHIN + SIGNED_WITHIN + CLOCKS_DIFFER
ORPHANS = [
    ("made with the claim", timedelta(), KeyState.ORPHAN),
    ("as much earlier as clocks may differ", -CLOCKS_DIFFER, KeyState.ORPHAN),
    ("earlier than that", -CLOCKS_DIFFER - TICK, KeyState.FOREIGN),
    ("as late as a call of that run can take effect", LATEST, KeyState.ORPHAN),
    ("later than that", LATEST + TICK, KeyState.FOREIGN),
]


@pytest.mark.parametrize(("case", "after", "state"), ORPHANS, ids=[row[0] for row in ORPHANS])
def test_a_lost_key_is_told_by_when_it_was_made(case: str, after: timedelta, state: KeyState) -> None:
    claim = a_claim(days_ago=1)
    key = replace(a_key(NEW), created=claim.at + after)
    seen = observed(a_key(), key, secret=a_secret(current()), claim=claim)
    assert interpret(seen).state_of(key) is state, case


DISCARDED = [
    ("noted, Active", {}, "", KeyState.ORPHAN),
    ("noted, Inactive", {"status": KeyStatus.INACTIVE}, "", KeyState.DISCARDED),
    ("noted, and used since: someone's", {"use": used(0.1)}, "", KeyState.FOREIGN),
    ("noted, Inactive, and used: someone's", {"use": used(0.1), "status": KeyStatus.INACTIVE}, "", KeyState.FOREIGN),
    ("released, Active", {}, "@released", KeyState.RELEASED),
    ("released, used before", {"use": used(200)}, "@released", KeyState.RELEASED),
    ("released, Inactive", {"status": KeyStatus.INACTIVE}, "@released", KeyState.DISCARDED),
    ("an edited note", {}, "@perhaps", KeyState.FOREIGN),
]


@pytest.mark.parametrize(("case", "known", "word", "state"), DISCARDED, ids=[row[0] for row in DISCARDED])
@pytest.mark.parametrize("claim", [None, a_claim()], ids=["no claim", "a later claim"])
def test_a_note_tells_that_nothing_needs_a_key(
    case: str, known: dict[str, Any], word: str, state: KeyState, claim: Claim | None
) -> None:
    key = a_key(NEW, age_days=50, **known)
    secret = a_secret(current(), tags=[("keyrota:orphan", f"{NEW}@{NOW.isoformat()}{word}")])
    assert interpret(observed(a_key(), key, secret=secret, claim=claim)).state_of(key) is state, case


CHOSEN = [
    ("chosen, beside another", f"{NEW}@{NOW.isoformat()}", {}, KeyState.ADOPTABLE),
    ("the other one was chosen", f"{OLD}@{NOW.isoformat()}", {}, KeyState.FOREIGN),
    ("nothing was chosen", "", {}, KeyState.FOREIGN),
    ("chosen, and Inactive since", f"{NEW}@{NOW.isoformat()}", {"status": KeyStatus.INACTIVE}, KeyState.FOREIGN),
]


@pytest.mark.parametrize(("case", "tag", "known", "state"), CHOSEN, ids=[row[0] for row in CHOSEN])
def test_a_chosen_key_is_adoptable(case: str, tag: str, known: dict[str, Any], state: KeyState) -> None:
    key = a_key(NEW, age_days=50, **known)
    secret = a_secret(placeholder(), tags=[("keyrota:adopt", tag)])
    assert interpret(observed(a_key(), key, secret=secret)).state_of(key) is state, case


def test_a_key_beside_a_released_one_is_the_only_one() -> None:
    key, other = a_key(NEW), a_key(OLD, status=KeyStatus.INACTIVE)
    secret = a_secret(placeholder(), tags=[("keyrota:orphan", f"{OLD}@{NOW.isoformat()}@released")])
    known = interpret(observed(key, other, secret=secret))
    assert (known.state_of(key), known.state_of(other)) == (KeyState.ADOPTABLE, KeyState.DISCARDED)


def test_no_key_is_adoptable_while_another_is_current() -> None:
    key = a_key(NEW)
    secret = a_secret(current(), tags=[("keyrota:adopt", f"{NEW}@{NOW.isoformat()}")])
    assert interpret(observed(a_key(), key, secret=secret)).state_of(key) is KeyState.FOREIGN


@pytest.mark.parametrize("by", ["claim", "note"])
def test_no_key_is_lost_that_an_unread_awscurrent_may_hold(by: str) -> None:
    """Somebody made a key within the time of a claim, and stored it by hand."""
    key, unread = a_key(NEW), a_version("by-hand", AWSCURRENT)
    note = [("keyrota:orphan", f"{NEW}@{NOW.isoformat()}")] if by == "note" else []
    claim = replace(a_claim(days_ago=1), at=key.created) if by == "claim" else None
    seen = observed(a_key(), key, secret=a_secret(previous(OLD), unread, tags=note), claim=claim)
    assert interpret(seen).state_of(key) is KeyState.FOREIGN
    known = replace(seen, secret=a_secret(previous(OLD), a_version("by-hand", AWSCURRENT, ODD), tags=note))
    assert interpret(known).state_of(key) is KeyState.ORPHAN


STATES = [
    ("its label is still there, and it is Inactive", KeyStatus.INACTIVE, ("keyrota:pending", NEW), KeyState.RETIRED),
    ("made by this run, and switched off", KeyStatus.INACTIVE, (NEW,), KeyState.RETIRED),
]


@pytest.mark.parametrize(("case", "status", "labels", "state"), STATES, ids=[row[0] for row in STATES])
def test_an_inactive_key_is_neither_pending_nor_a_loser(
    case: str, status: KeyStatus, labels: tuple[str, ...], state: KeyState
) -> None:
    key = a_key(NEW, status=status)
    version = a_version(key_token(NEW, VersionId("v1")), *labels)
    seen = replace(observed(a_key(), key, secret=a_secret(current(), version)), made_here=frozenset({NEW}))
    assert interpret(seen).state_of(key) is state, case


def test_a_stored_key_whose_label_came_off_is_pending_no_more() -> None:
    key = a_key(NEW)
    seen = observed(a_key(), key, secret=a_secret(current(), a_version(key_token(NEW, VersionId("v1")), NEW)))
    assert interpret(seen).state_of(key) is KeyState.SUPERSEDED


def test_a_view_of_a_placeholder() -> None:
    known = interpret(observed(a_key(), secret=a_secret(placeholder(OLD))))
    assert (known.is_stored, known.current_key, known.is_foreign_version) == (False, OLD, False)
    assert (known.owner, known.stack, known.discard, known.key(ODD)) == ("ci-deploy", "", None, None)
    assert isinstance(known.observation.secret, SecretState)


def test_every_state_means_something_and_every_road_is_in_the_table() -> None:
    assert set(MEANING) == set(KeyState)
    assert {line.road for line in TRANSITIONS} == set(Road)


def test_the_page_shows_the_table_line_by_line() -> None:
    page = (Path(__file__).parents[2] / "docs" / "explanation" / "life-of-a-key.md").read_text()
    table = page.partition("| from | action | to | when | command |\n")[2].partition("\n\n")[0]
    shown = [tuple(cell.strip() for cell in row.strip("|").split("|")) for row in table.splitlines()[1:]]
    assert [(row[0], row[1].replace(" ", ""), *row[2:]) for row in shown] == [
        (line.source.value, line.action.__name__.lower(), line.target.value, line.when, line.road.value)
        for line in TRANSITIONS
    ]


def test_the_only_key_beside_a_stored_one_that_is_gone_is_foreign() -> None:
    key = a_key(ODD)
    assert interpret(observed(key, secret=a_secret(current(OLD)))).state_of(key) is KeyState.FOREIGN


def test_a_label_that_only_begins_like_a_key_id_names_no_key() -> None:
    noted = a_version("v0", f"{OLD}-was-here", f"keyrota:revoked:{OLD}-was-here")
    seen = observed(a_key(NEW), secret=a_secret(noted, current(NEW)))
    assert key_label(noted) is None
    assert find_named_and_gone(seen, NOW) == frozenset()


def test_of_several_key_ids_the_first_by_name_counts_whatever_the_order_of_labels() -> None:
    names = [an_id(f"{letter}{number}") for letter in "BCDEFGH" for number in range(9)]
    assert key_label(a_version("v0", *names, an_id("A"))) == min([*names, an_id("A")])
