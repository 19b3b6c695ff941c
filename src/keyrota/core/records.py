"""
What keyrota writes into tags of the secret, and how it reads it again. Each record has one writer.

A record that cannot be read counts as none: never synced, never deactivated, nothing written yet. That is the safe
side. Tag values hold letters, digits, blanks and `_.:/=+-@`, 256 at most (Secrets Manager API Reference, Tag).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from math import ceil
from typing import Any

from keyrota.core.model import (
    INDEX_TAG,
    AccessKeyId,
    Confirmation,
    DeactivationNote,
    DeactivationRecord,
    IndexEntry,
    PairDoubt,
    PairsRecord,
    SyncPass,
    SyncRecord,
    VersionId,
    Written,
)
from keyrota.core.timestamps import parse, require_sane_utc

INDEX_PIECES = 28
"""
A secret has 50 tags at most; the user's own need room. Measured: 450 repositories of one owner with numeric IDs fit in
them, or 370 environments with UUIDs. Beyond that nothing is dropped: the index says that it is full.
"""
_PIECE = 250
_FULL = f"{INDEX_TAG}.full"
_BETWEEN = re.compile(r"[ ()]")
"""What stands between the words of an address."""
_MAX_INDEX_BYTES = 1024 * 1024
_MAX_BITS = 1000
"""So many targets fit into the tag of a pass; any beyond them are written again by each run until the pass ends."""
_MAX_KEPT = 4096
"""Values that were read before. A run looks at every credential several times, and its tags are the same mostly."""
_MAX_KEPT_INDEXES = 64
_TAG_CHARACTERS = " _.:/=+-@"
"""Beside letters and digits, what a tag's value may hold (AWS General Reference, tag naming and usage conventions)."""
_MAX_TAG_LENGTH = 256
"""Of a tag's value (the same page)."""


# --- keyrota:synced -------------------------------------------------------------------------------------------------


def format_synced(record: SyncRecord) -> str:
    """Write the value of the tag `keyrota:synced`: version @ since @ confirmed @ fingerprint @ ended."""
    text = f"{record.version}@{_stamp(record.since)}@{_stamp(record.confirmed)}@{record.fingerprint}"
    return text if record.ended is None else f"{text}@{_stamp(record.ended)}"


@lru_cache(_MAX_KEPT)
def parse_synced(text: str) -> SyncRecord | None:
    """Read that value; None for anything else, which then counts as never synced (the safe side)."""
    parts = text.split("@")
    try:
        version, since, confirmed, fingerprint, *ended = parts
        return SyncRecord(
            version=VersionId(version),
            since=parse(since),
            confirmed=parse(confirmed),
            fingerprint=fingerprint,
            ended=parse(*ended) if ended else None,
        )
    except (ValueError, TypeError):
        return None


# --- keyrota:sync-pass ----------------------------------------------------------------------------------------------


def format_pass(record: SyncPass, addresses: Iterable[str]) -> str:
    """Write the value of the tag `keyrota:sync-pass`: version @ began @ fingerprint @ one bit a target, in order."""
    kept = sorted(addresses)[:_MAX_BITS]
    bits = sum(1 << place for place, address in enumerate(kept) if address in record.written)
    mask = base64.b64encode(bits.to_bytes((bits.bit_length() + 7) // 8, "little")).decode()
    return f"{record.version}@{_stamp(record.began)}@{record.fingerprint}@{mask}"


def parse_pass(text: str, addresses: Iterable[str]) -> SyncPass | None:
    """Read that value, for the targets that the configuration names now; None for anything else."""
    try:
        version, began, fingerprint, mask = text.split("@")
        bits = int.from_bytes(base64.b64decode(mask, validate=True), "little")
        written = frozenset(address for place, address in enumerate(sorted(addresses)) if bits >> place & 1)
        return SyncPass(version=VersionId(version), began=parse(began), fingerprint=fingerprint, written=written)
    except ValueError:
        return None


# --- keyrota:pairs --------------------------------------------------------------------------------------------------

_WHOLE = "whole"
_MAX_PLACES = 24


def place_digest(address: str) -> str:
    """Name a place in six characters: the tag has no room for addresses."""
    # 32 bits: of 24 places of one credential two collide once in fifteen million records, and the price is a repair
    # too many.
    return base64.urlsafe_b64encode(hashlib.sha256(address.encode()).digest()[:4]).decode().rstrip("=")


def format_pairs(record: PairsRecord) -> str:
    """Write the value of the tag `keyrota:pairs`: version @ time @ places, or that all is whole."""
    if not record.places:
        return _WHOLE
    places = sorted(record.places, key=lambda place: place[1] is PairDoubt.SAME)  # what does not fit is none of a pair
    kept = "".join(f"{digest}{doubt.value}" for digest, doubt in places[:_MAX_PLACES])
    doubtful = sum(doubt is not PairDoubt.SAME for _, doubt in places)
    more = "+" if record.is_cut or doubtful > _MAX_PLACES else ""
    return f"{record.version}@{_stamp(record.at)}@{kept}{more}"


@lru_cache(_MAX_KEPT)
def parse_pairs(text: str) -> PairsRecord | None:
    """Read that value; None where all is whole, or someone wrote something else."""
    try:
        version, at, kept = text.split("@")
        names = kept.removesuffix("+")
        pieces = [names[start : start + 7] for start in range(0, len(names), 7)]
        return PairsRecord(
            version=VersionId(version),
            at=parse(at),
            places=tuple((piece[:6], PairDoubt(piece[6:])) for piece in pieces),
            is_cut=kept.endswith("+"),
        )
    except ValueError:
        return None


# --- keyrota:deactivated --------------------------------------------------------------------------------------------


def format_deactivated(*records: DeactivationRecord) -> str:
    """Write the value of the tag `keyrota:deactivated`: a word for each key, with key @ time, and a note if any."""
    return " ".join(f"{it.key}@{_stamp(it.at)}" + (f"@{it.note.value}" if it.note else "") for it in records)


@lru_cache(_MAX_KEPT)
def parse_deactivated(text: str) -> tuple[DeactivationRecord, ...]:
    """Read that value, one record for a key; what is no record counts as never deactivated (the safe side)."""
    found: dict[AccessKeyId, DeactivationRecord] = {}
    for word in text.split(" "):
        key, _, rest = word.partition("@")
        time, _, note = rest.partition("@")
        with suppress(ValueError):
            record = DeactivationRecord(key=AccessKeyId(key), at=parse(time), note=DeactivationNote(note))
            # The first one counts, as it does for whoever writes: a word that someone appended changes nothing that was
            # noted before.
            found.setdefault(record.key, record)
    return tuple(found.values())


# --- keyrota:created ------------------------------------------------------------------------------------------------


def format_forced(by: str, reason: str, at: datetime) -> str:
    """Write who had a key made out of turn, and why: the characters and the length that a tag's value may have."""
    text = "".join(one if one.isalnum() or one in _TAG_CHARACTERS else " " for one in f"{by}: {reason}")
    return f"{at:%Y-%m-%dT%H:%M:%SZ} {' '.join(text.split())}"[:_MAX_TAG_LENGTH].rstrip()


def format_created(key: AccessKeyId, created: datetime) -> str:
    """Write the value of the tag `keyrota:created`: key @ the CreateDate that IAM tells."""
    return f"{key}@{_stamp(created)}"


def parse_created(text: str) -> tuple[AccessKeyId, datetime] | None:
    """Read that value; None for anything else: the age of the key is not known then, and IAM is asked."""
    key, _, time = text.partition("@")
    try:
        return AccessKeyId(key), parse(time)
    except ValueError:
        return None


# --- keyrota:orphan -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscardNote:
    """The tag `keyrota:orphan`: a key that nothing needs, because its secret is lost, or because a person said so."""

    key: AccessKeyId
    at: datetime
    is_released: bool = False
    """A person released it with `keyrota adopt --release`."""


_RELEASED = "released"
NOTHING_NOTED = "-"
"""Written into a tag whose note was withdrawn: tags are set here, and never removed."""


def format_discard(note: DiscardNote) -> str:
    """Write the value of the tag `keyrota:orphan`: key @ time, and `released` where a person said so."""
    return f"{note.key}@{_stamp(note.at)}" + (f"@{_RELEASED}" if note.is_released else "")


@lru_cache(_MAX_KEPT)
def parse_discard(text: str) -> DiscardNote | None:
    """Read that value; None for anything else, which then counts as not proven (the safe side)."""
    key, _, rest = text.partition("@")
    time, _, word = rest.partition("@")
    if word not in {"", _RELEASED}:
        return None
    try:
        return DiscardNote(key=AccessKeyId(key), at=parse(time), is_released=word == _RELEASED)
    except ValueError:
        return None


# --- keyrota:adopt --------------------------------------------------------------------------------------------------

NEW_KEY = "new"
"""In place of a key ID: a person wants a first key for a user that has none in use."""


def format_choice(key: str, at: datetime) -> str:
    """Write the value of the tag `keyrota:adopt`: the chosen key (or `NEW_KEY`) @ time."""
    return f"{key}@{_stamp(at)}"


def parse_choice(text: str) -> AccessKeyId | None:
    """Read that value; None for anything else: then a person has not decided."""
    key, _, time = text.partition("@")
    try:
        parse(time)
    except ValueError:
        return None
    return AccessKeyId(key)


# --- keyrota:targets, keyrota:targets.1, … --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Index:
    """Every target that ever got a key from this secret and was not forgotten."""

    entries: tuple[IndexEntry, ...] = ()
    is_readable: bool = True
    """False: someone edited a tag; what was written where is not known then."""
    is_full: bool = False
    """The targets of today do not fit into the tags: one that is dropped later may not be known."""

    def of(self, target: IndexEntry) -> IndexEntry | None:
        """
        Find what is known of a target, at the place where it is now.

        That is the entry with its address, or, where a place was renamed, the one with its place and variables.
        """
        return next((entry for entry in self.entries if _is_same(entry, target)), None) or next(
            (entry for entry in self.entries if _is_renamed(entry, target)), None
        )

    def join(self, targets: Iterable[IndexEntry]) -> Index:
        """Add targets; one that is there already gets its newest settings, and keeps what is known of it."""
        index = self
        for target in targets:
            known = index.of(target)
            merged = _merge(known, target) if known else target
            others = [entry for entry in index.entries if entry is not known]
            index = replace(index, entries=tuple(sorted([*others, merged], key=lambda entry: entry.position)))
        return index

    def note(self, written: Mapping[tuple[str, str, str], Written]) -> Index:
        """Note what places hold, by the position of their entry."""
        return replace(
            self,
            entries=tuple(replace(entry, written=written.get(entry.position, entry.written)) for entry in self.entries),
        )

    def without(self, gone: IndexEntry) -> Index:
        """Drop a target."""
        return replace(self, entries=tuple(entry for entry in self.entries if entry.position != gone.position))


def _is_same(entry: IndexEntry, target: IndexEntry) -> bool:
    is_known = bool(entry.place and target.place)
    is_place = not is_known or (entry.origin, entry.place) == (target.origin, target.place)
    return entry.address == target.address and is_place


def _is_renamed(entry: IndexEntry, target: IndexEntry) -> bool:
    is_place = bool(entry.place) and (entry.origin, entry.place) == (target.origin, target.place)
    return is_place and bool(set(entry.variables) & set(target.variables))


def _merge(known: IndexEntry, target: IndexEntry) -> IndexEntry:
    return replace(
        known,
        address=target.address,
        settings=target.settings,
        origin=target.origin if target.place else known.origin,
        place=target.place or known.place,
        variables=target.variables or known.variables,
        is_begun=known.is_begun or target.is_begun,
    )


def format_index(index: Index) -> dict[str, str]:
    """Write the tags that hold the index; one that is too large for them only says so, and leaves what is there."""
    pieces = _pieces(index.entries)
    if len(pieces) > INDEX_PIECES:
        return {_FULL: "yes"}
    tags = {f"{INDEX_TAG}.{number}": piece for number, piece in enumerate(pieces[1:], 1)}
    if index.is_full:
        tags[_FULL] = "no"
    return {INDEX_TAG: f"{len(pieces)}:{pieces[0]}", **tags}


def index_tags_needed(index: Index) -> int:
    """Count the tags that an index takes; one that is too large takes one more than all of them, to say so."""
    needed = len(_pieces(index.entries))
    return min(needed, INDEX_PIECES) + (needed > INDEX_PIECES)


@lru_cache(_MAX_KEPT_INDEXES)
def _pieces(entries: tuple[IndexEntry, ...]) -> tuple[str, ...]:
    text = json.dumps(_columns(entries), ensure_ascii=False, separators=(",", ":"))
    packed = base64.b64encode(zlib.compress(text.encode(), 9)).decode()
    return tuple(packed[at : at + _PIECE] for at in range(0, len(packed), _PIECE))


def _columns(entries: Iterable[IndexEntry]) -> dict[str, object]:
    """
    Lay the entries out so that they become small: what many of them share is written once.

    Measured with 400 repositories of one owner: 23 bytes each as rows, 10 bytes as columns.
    """
    shared: dict[str, int] = {}
    columns: tuple[list[object], ...] = ([], [], [])
    confirmed: dict[str, str] = {}
    for number, entry in enumerate(entries):
        same: list[object] = [entry.kind, _abridge(entry), entry.origin, list(entry.variables)]
        same += [_format_written(entry.written), entry.is_begun]
        position = shared.setdefault(json.dumps(same, ensure_ascii=False), len(shared))
        for column, value in zip(columns, (entry.address, position, entry.place), strict=True):
            column.append(value)
        if entry.confirmed:
            confirmed[str(number)] = _format_confirmed(entry.confirmed)
    addresses, positions, places = columns
    return {
        "shared": [json.loads(same) for same in shared],
        "at": positions,
        "addresses": addresses,
        "places": places,
        "confirmed": confirmed,
    }


def _abridge(entry: IndexEntry) -> str:
    """Write the settings without the words that the address says already; JSON never has a raw control character."""
    text = entry.settings
    for number, word in enumerate(_words(entry.address)):
        text = text.replace(f'"{word}"', f"\x01{number}\x02")
    return text


def _words(address: str) -> list[str]:
    words = [word for word in _BETWEEN.split(address) if word]
    return [*words, *(part for word in words for part in word.split("/") if part != word and part)]


def _restore_words(text: str, address: str) -> str:
    for number, word in enumerate(_words(address)):
        text = text.replace(f"\x01{number}\x02", f'"{word}"')
    return text


def _entries(columns: Mapping[str, Any]) -> Iterator[IndexEntry]:
    rows = zip(columns["addresses"], columns["at"], columns["places"], strict=True)
    for number, (address, position, place) in enumerate(rows):
        kind, settings, origin, variables, written, is_begun = columns["shared"][position]
        yield IndexEntry(
            address=str(address),
            kind=str(kind),
            settings=_restore_words(str(settings), str(address)),
            origin=str(origin),
            place=str(place),
            variables=tuple(str(name) for name in variables),
            written=_parse_written(str(written)),
            confirmed=_parse_confirmed(str(columns["confirmed"].get(str(number), ""))),
            is_begun=bool(is_begun),
        )


def _rows(rows: Iterable[Any]) -> Iterator[IndexEntry]:
    """Read the index as it was written before places had IDs: what is not known is empty."""
    yield from (IndexEntry(address=str(a), kind=str(k), settings=str(s)) for a, k, s in rows)


def _format_written(written: Written | None) -> str:
    if written is None:
        return ""
    # Whole seconds, and never sooner than it was: the overlap counts from here.
    return f"{ceil(written.since.timestamp())}@{written.version}" + ("@first" if written.is_first else "")


def _parse_written(text: str) -> Written | None:
    if not text:
        return None
    since, version, *first = text.split("@")
    instant = require_sane_utc(datetime.fromtimestamp(int(since), UTC))
    return Written(version=version, since=instant, is_first=first == ["first"])


def _format_confirmed(confirmed: Confirmation | None) -> str:
    return f"{_stamp(confirmed.at)}@{confirmed.seen}@{confirmed.by}" if confirmed else ""


def _parse_confirmed(text: str) -> Confirmation | None:
    if not text:
        return None
    at, seen, by = text.split("@", 2)
    return Confirmation(by=by, at=parse(at), seen=seen)


def parse_index(tags: Mapping[str, str]) -> Index:
    """Read the index; what cannot be read is empty, and says so."""
    is_full = tags.get(_FULL) == "yes"
    if INDEX_TAG not in tags:
        return Index(is_full=is_full)
    count, _, first = tags[INDEX_TAG].partition(":")
    try:
        rest = [tags[f"{INDEX_TAG}.{number}"] for number in range(1, min(int(count), INDEX_PIECES))]
        return Index(_unpack("".join([first, *rest])), is_full=is_full)
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, OSError, zlib.error, RecursionError):
        return Index(is_readable=False)


@lru_cache(_MAX_KEPT_INDEXES)
def _unpack(packed: str) -> tuple[IndexEntry, ...]:
    # Bounded: whoever may tag the secret could otherwise store a few bytes that unpack to the memory of a Lambda
    # function.
    unpacker = zlib.decompressobj()
    text = unpacker.decompress(base64.b64decode(packed, validate=True), _MAX_INDEX_BYTES)
    found = json.loads(text)
    return tuple(_entries(found) if isinstance(found, dict) else _rows(found))


def _stamp(instant: datetime) -> str:
    return instant.isoformat()
