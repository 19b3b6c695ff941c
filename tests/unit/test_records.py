"""What keyrota writes into tags, and reads again: nothing gets lost, and what somebody edited counts as none."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import replace

import pytest

from builders import NOW, OLD, ago
from keyrota.core.model import (
    AccessKeyId,
    DeactivationNote,
    DeactivationRecord,
    IndexEntry,
    SyncPass,
    SyncRecord,
    VersionId,
)
from keyrota.core.records import (
    INDEX_PIECES,
    NEW_KEY,
    NOTHING_NOTED,
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

RECORD = SyncRecord(version=VersionId("v1"), since=ago(2), confirmed=ago(1), fingerprint="f" * 16)
TWO_ENDS = format_synced(replace(RECORD, ended=NOW)) + "@" + NOW.isoformat()
PLACES = tuple(f"bitbucket acme/{number:04}" for number in range(1200))
LARGEST_TAG = 256


def test_a_record_of_a_sync_reads_back_with_and_without_its_end() -> None:
    assert parse_synced(format_synced(RECORD)) == RECORD
    ended = replace(RECORD, ended=NOW)
    assert parse_synced(format_synced(ended)) == ended
    assert format_synced(RECORD) == f"v1@{ago(2).isoformat()}@{ago(1).isoformat()}@{'f' * 16}"


@pytest.mark.parametrize(
    "text", ["", "v1", "v1@begun", "v1@1@2@3", f"{format_synced(RECORD)}@soon", "a@b@c@d@e@f", TWO_ENDS]
)
def test_an_edited_record_of_a_sync_counts_as_none(text: str) -> None:
    assert parse_synced(text) is None


def test_a_time_without_a_zone_is_no_time() -> None:
    naive = NOW.replace(tzinfo=None).isoformat()
    assert parse_synced(f"v1@{naive}@{naive}@f") is None
    assert parse_discard(f"{OLD}@{naive}") is None
    assert parse_choice(f"{OLD}@{naive}") is None


def walk(*written: str) -> SyncPass:
    return SyncPass(version=VersionId("v1"), began=ago(1), fingerprint="f" * 16, written=frozenset(written))


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 9, 64, 900])
def test_a_walk_reads_back(count: int) -> None:
    for written in (PLACES[:count], PLACES[:count:3], PLACES[count - 1 : count]):
        text = format_pass(walk(*written), reversed(PLACES[:count]))
        assert parse_pass(text, PLACES[:count]) == parse_pass(text, reversed(PLACES[:count])) == walk(*written)
        assert len(text) <= LARGEST_TAG


def test_a_walk_over_more_targets_than_fit_forgets_the_last_ones() -> None:
    """They are written again: the safe side."""
    text = format_pass(walk(*PLACES), PLACES)
    known = parse_pass(text, PLACES)
    assert known is not None
    assert known.written == frozenset(PLACES[:1000])
    assert len(text) <= LARGEST_TAG


@pytest.mark.parametrize("mask", ["!", "AA=A", "QUJD QUJD", "\n"])
def test_a_mask_that_is_none_counts_as_no_walk(mask: str) -> None:
    assert parse_pass(f"v1@{NOW.isoformat()}@f@{mask}", PLACES) is None
    assert parse_pass(f"v1@{NOW.isoformat()}@f", PLACES) is None


def test_a_deactivation_reads_back_with_its_note() -> None:
    for note in DeactivationNote:
        record = DeactivationRecord(key=OLD, at=NOW, note=note)
        assert parse_deactivated(format_deactivated(record)) == (record,)
    assert format_deactivated(DeactivationRecord(key=OLD, at=NOW)) == f"{OLD}@{NOW.isoformat()}"
    assert parse_deactivated(f"{OLD}@{NOW.isoformat()}@perhaps") == ()


def test_a_user_s_two_keys_are_noted_side_by_side() -> None:
    """What is not a record, or the second one of a key, is passed over."""
    old, new = (
        DeactivationRecord(key=OLD, at=NOW),
        DeactivationRecord(key=AccessKeyId("AKIANEW"), at=NOW, note=DeactivationNote.SEEN_ACTIVE),
    )
    text = format_deactivated(old, new)
    assert parse_deactivated(text) == (old, new)
    assert parse_deactivated(f"what {text} {OLD}@{NOW.isoformat()}@on") == (old, new)


@pytest.mark.parametrize("is_released", [False, True])
def test_a_key_that_nothing_needs_reads_back(is_released: bool) -> None:
    note = DiscardNote(key=OLD, at=NOW, is_released=is_released)
    assert parse_discard(format_discard(note)) == note


@pytest.mark.parametrize(
    "text", ["", NOTHING_NOTED, f"{OLD}@{OLD}@{NOW.isoformat()}", f"{OLD}@{NOW.isoformat()}@perhaps"]
)
def test_an_edited_note_discards_nothing(text: str) -> None:
    assert parse_discard(text) is None


@pytest.mark.parametrize("text", ["", str(OLD), f"{OLD}@yesterday", f"{OLD}@x@{NOW.isoformat()}"])
def test_an_edited_choice_is_none(text: str) -> None:
    """Then a person has not decided."""
    assert parse_choice(text) is None


def test_a_choice_reads_back() -> None:
    assert parse_choice(format_choice(OLD, NOW)) == OLD
    assert parse_choice(format_choice(NEW_KEY, NOW)) == NEW_KEY
    assert parse_choice("") is None


def entry(number: int, settings: str = "{}") -> IndexEntry:
    return IndexEntry(address=f"bitbucket acme/{number:04}", kind="bitbucket", settings=settings)


def noise(number: int) -> str:
    """Text that no compression makes smaller by much."""
    return json.dumps({"n": [(number * 7919 + at * 104729) % 99991 for at in range(20)]})


def test_the_index_of_few_targets_is_one_tag_and_that_of_many_several() -> None:
    few, many = Index((entry(1),)), Index(tuple(entry(number, noise(number)) for number in range(40)))
    assert list(format_index(few)) == ["keyrota:targets"]
    tags = format_index(many)
    assert list(tags) == ["keyrota:targets", *(f"keyrota:targets.{number}" for number in range(1, len(tags)))]
    assert all(len(text) <= LARGEST_TAG for text in tags.values())
    assert len(tags) > 2
    assert parse_index(tags) == many
    assert parse_index(format_index(few)) == few


def test_an_index_that_fits_exactly_fits() -> None:
    """The most pieces that there may be are read back; one more is said to be too many, and changes nothing else."""
    numbers = range(30, 120)
    sizes = {count: format_index(Index(tuple(entry(n, noise(n)) for n in range(count)))) for count in numbers}
    fits = max(count for count, tags in sizes.items() if "keyrota:targets" in tags)
    assert len(sizes[fits]) == INDEX_PIECES
    assert len(parse_index(sizes[fits]).entries) == fits
    assert sizes[fits + 1] == {"keyrota:targets.full": "yes"}


def test_an_index_that_was_too_large_says_when_it_fits_again() -> None:
    assert format_index(Index((entry(1),), is_full=True))["keyrota:targets.full"] == "no"
    assert parse_index({"keyrota:targets.full": "yes"}) == Index(is_full=True)
    assert parse_index({"keyrota:targets.full": "no"}) == Index()
    tags = {**format_index(Index((entry(1),))), "keyrota:targets.full": "yes"}
    assert parse_index(tags) == Index((entry(1),), is_full=True)


def packed(text: str) -> str:
    return "1:" + base64.b64encode(zlib.compress(text.encode())).decode()


@pytest.mark.parametrize(
    "first",
    [
        "",
        "x:",
        "2:AAAA",
        "1:!!!!",
        "1:AAAA",
        packed("no JSON"),
        packed("[1]"),
        packed('[["a", "b"]]'),
        packed("[" * 100_000),
        packed("null"),
        packed(json.dumps([["a", "b", "c" * 2_000_000]])),
        packed('[["a", "b", "c"]]').replace(":", ":!"),
    ],
)
def test_an_index_that_somebody_edited_is_not_readable(first: str) -> None:
    assert parse_index({"keyrota:targets": first}) == Index(is_readable=False)


def test_more_pieces_than_there_may_be_are_not_asked_for() -> None:
    tags = format_index(Index((entry(1),)))
    more = {"keyrota:targets": "99" + tags["keyrota:targets"][1:]}
    more |= {f"keyrota:targets.{number}": "" for number in range(1, INDEX_PIECES)}
    assert parse_index(more) == Index((entry(1),))


def test_a_target_is_joined_once_with_its_newest_settings_and_can_be_dropped() -> None:
    index = Index((entry(2, "old"), entry(1))).join([entry(2, "new"), entry(0)])
    assert index.entries == (entry(0), entry(1), entry(2, "new"))
    assert index.without(entry(1)).entries == (entry(0), entry(2, "new"))
    assert Index(is_full=True).join([entry(1)]).is_full
