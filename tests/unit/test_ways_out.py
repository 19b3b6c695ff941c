"""Which command leads out of a value that cannot be served, and what a report of a broken place carries."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from builders import (
    NEW,
    NOW,
    ODD,
    OLD,
    SHOP,
    a_key,
    a_secret,
    a_version,
    absent,
    ago,
    current,
    holds,
    observed,
    placeholder,
    previous,
    revoked,
    synced,
)
from keyrota.core.candidates import current_key, way_out
from keyrota.core.health import find_broken, find_torn
from keyrota.core.lifecycle import interpret
from keyrota.core.model import AWSCURRENT, KeyStatus, Observation, PairDoubt, PairsRecord, VersionId
from keyrota.core.plan import Hold, HoldKind, Needs
from keyrota.core.policy import CLASSIC
from keyrota.core.records import format_pairs, place_digest
from keyrota.core.situation import Situation

OFF = KeyStatus.INACTIVE
FOREIGN = a_version("v1", AWSCURRENT)
"""AWSCURRENT as somebody else left it."""
NEW_KEY = ("keyrota:adopt", f"new@{NOW.isoformat()}")


@pytest.mark.parametrize(
    ("case", "seen", "words"),
    [
        ("an older key is there", observed(a_key(), secret=a_secret(previous(), FOREIGN)), f"rollback .* {OLD}"),
        ("the current key was switched off", observed(a_key(status=OFF), secret=a_secret(current())), "rollback"),
        ("the current key was revoked", revoked(observed(a_key(), secret=a_secret(current())), OLD), "revoke"),
        ("the current key is gone", observed(secret=a_secret(current())), "revoke"),
        (
            "the key before was revoked",
            revoked(observed(a_key(), secret=a_secret(previous(), FOREIGN)), OLD),
            "revoke",
        ),
        ("a first key was asked for", observed(secret=a_secret(placeholder(), tags=[NEW_KEY])), "keyrota apply"),
        ("nobody asked for a first key", observed(secret=a_secret(placeholder())), "adopt .* --new-key"),
        ("its keys are all off", observed(a_key(ODD, status=OFF), secret=a_secret(placeholder())), "--new-key"),
        (
            "one of its keys is on, and nobody knows which is meant",
            observed(a_key(ODD), a_key(NEW), secret=a_secret(placeholder())),
            "^$",
        ),
        ("a value that no key of ours stands beside", observed(secret=a_secret(FOREIGN)), "^if nothing needs"),
        ("the same, and a first key was asked for", observed(secret=a_secret(FOREIGN, tags=[NEW_KEY])), "^if nothing"),
        ("the same, and a key is off", observed(a_key(ODD, status=OFF), secret=a_secret(FOREIGN)), "^if nothing needs"),
        ("there is no secret", observed(a_key(ODD), a_key(NEW)), "^$"),
    ],
)
def test_the_way_out(case: str, seen: Observation, words: str) -> None:

    assert re.search(words, way_out(interpret(seen), NOW)), (case, way_out(interpret(seen), NOW))


@pytest.mark.parametrize(
    ("status", "meant"), [(KeyStatus.ACTIVE, OLD), (OFF, OLD), (KeyStatus.OTHER, OLD)], ids=["on", "off", "a word"]
)
def test_the_key_that_targets_hold_is_meant_whatever_someone_put_into_the_secret(status: KeyStatus, meant: str) -> None:
    seen = observed(a_key(status=status), secret=a_secret(previous(OLD), FOREIGN, tags=[synced("v0")]))
    assert current_key(interpret(seen)) == meant


def test_a_key_that_is_off_is_not_meant_where_awscurrent_is_empty() -> None:
    for status, meant in ((KeyStatus.ACTIVE, OLD), (OFF, None)):
        secret = a_secret(previous(OLD), placeholder(), tags=[synced("v0")])
        assert current_key(interpret(observed(a_key(status=status), secret=secret))) == meant


def at(seen: Observation) -> Situation:
    return Situation(view=interpret(seen), policy=CLASSIC, now=NOW)


def begun(doubt: PairDoubt | None, *, is_cut: bool = False) -> Observation:
    """A run was killed amid its writes."""
    places = ((place_digest(SHOP), doubt),) if doubt else (("other0", PairDoubt.BEGUN),)
    record = PairsRecord(version=VersionId("v1"), at=ago(1), places=places, is_cut=is_cut)
    tags = [synced(), ("keyrota:pairs", format_pairs(record))]
    return observed(a_key(NEW), secret=a_secret(current(NEW), tags=tags), targets=(holds(NEW),))


@pytest.mark.parametrize(
    ("doubt", "words"),
    [
        (PairDoubt.ID_IS_NEW, f"the ID of key {NEW}"),
        (PairDoubt.SECRET_IS_NEW, f"the secret of key {NEW}"),
        (PairDoubt.UNSURE, f"the writes of key {NEW}"),
        (PairDoubt.BEGUN, f"a write of key {NEW} began"),
    ],
)
def test_half_a_pair_is_told_as_broken_with_place_and_key(doubt: PairDoubt, words: str) -> None:
    (hold,) = find_torn(at(begun(doubt)))
    assert (hold.kind, hold.needs, hold.target, hold.key) == (HoldKind.TORN, Needs.REPAIR, SHOP, NEW)
    assert words in hold.reason
    assert hold.remedy
    assert [one.reason for one in find_broken(at(begun(doubt)))] == [hold.reason]


@pytest.mark.parametrize(("is_cut", "count"), [(True, 1), (False, 0)])
def test_more_places_than_the_tag_can_name_are_told_as_broken(is_cut: bool, count: int) -> None:
    seen = begun(None, is_cut=is_cut)
    holds_ = list(find_torn(at(seen)))
    assert [(hold.kind, hold.needs, hold.target) for hold in holds_] == [(HoldKind.TORN, Needs.REPAIR, None)] * count
    assert all("any of them may hold half a pair" in hold.reason and hold.remedy for hold in holds_)
    assert not list(find_torn(at(replace(seen, made_whole=frozenset({SHOP})))))


def only(seen: Observation) -> Hold:
    (hold,) = find_broken(at(seen))
    return hold


def test_a_broken_place_is_told_with_its_key_and_the_command_that_works() -> None:
    secret = a_secret(previous(OLD), current(NEW), tags=[synced()])
    seen = observed(a_key(OLD, status=OFF), a_key(NEW), secret=secret, targets=(holds(OLD),))
    hold = only(seen)
    assert (hold.target, hold.key, hold.needs) == (SHOP, OLD, Needs.REPAIR)
    assert "keyrota sync" in hold.remedy
    lost = only(replace(seen, targets=(absent(),)))
    assert (lost.target, lost.key) == (SHOP, None)
    assert f"held {NEW}" in lost.reason


def test_what_the_current_key_cannot_do_is_not_named_as_a_remedy() -> None:
    """`sync` would bring a key that does not work."""
    secret = a_secret(previous(OLD), current(NEW), tags=[synced()])
    off = observed(a_key(OLD, status=OFF), a_key(NEW, status=OFF), secret=secret, targets=(holds(OLD),))
    assert "keyrota sync" not in only(off).remedy
    assert only(off).remedy
