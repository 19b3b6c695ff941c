"""
What keyrota writes into tags of the secret, and how it reads it again. Each record has one writer.

A record that cannot be read counts as none: never synced, never deactivated, nothing written yet. That is the safe
side. Tag values hold letters, digits, blanks and `_.:/=+-@`, 256 at most (Secrets Manager API Reference, Tag).
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from keyrota.core.instants import parsed
from keyrota.core.model import (
    INDEX_TAG,
    AccessKeyId,
    DeactivationRecord,
    IndexEntry,
    PairDoubt,
    PairsRecord,
    SyncPass,
    SyncRecord,
    VersionId,
)

INDEX_PIECES = 24
"""A secret has 50 tags at most; the user's own need room. About 400 targets fit into so many."""
_PIECE = 240
_FULL = f"{INDEX_TAG}.full"
_LARGEST_INDEX = 1024 * 1024
_MOST_BITS = 1000
"""So many targets fit into the tag of a pass; any beyond them are written again by each run until the pass ends."""


class DeactivationNote(StrEnum):
    """What the tag `keyrota:deactivated` says beside key and time."""

    ROUTINE = ""
    SEEN_ACTIVE = "on"
    """Somebody, or `rollback`, switched the key on again."""


# --- keyrota:synced -------------------------------------------------------------------------------------------------


def format_synced(record: SyncRecord) -> str:
    """Write the value of the tag `keyrota:synced`: version @ since @ confirmed @ fingerprint @ ended."""
    text = f"{record.version}@{_stamp(record.since)}@{_stamp(record.confirmed)}@{record.fingerprint}"
    return text if record.ended is None else f"{text}@{_stamp(record.ended)}"


def parse_synced(text: str) -> SyncRecord | None:
    """Read that value; None for anything else, which then counts as never synced (the safe side)."""
    parts = text.split("@")
    try:
        version, since, confirmed, fingerprint, *ended = parts
        return SyncRecord(
            version=VersionId(version),
            since=parsed(since),
            confirmed=parsed(confirmed),
            fingerprint=fingerprint,
            ended=parsed(*ended) if ended else None,
        )
    except (ValueError, TypeError):
        return None


# --- keyrota:sync-pass ----------------------------------------------------------------------------------------------


def format_pass(record: SyncPass, addresses: Iterable[str]) -> str:
    """Write the value of the tag `keyrota:sync-pass`: version @ began @ fingerprint @ one bit a target, in order."""
    kept = sorted(addresses)[:_MOST_BITS]
    bits = sum(1 << place for place, address in enumerate(kept) if address in record.written)
    mask = base64.b64encode(bits.to_bytes((bits.bit_length() + 7) // 8, "little")).decode()
    return f"{record.version}@{_stamp(record.began)}@{record.fingerprint}@{mask}"


def parse_pass(text: str, addresses: Iterable[str]) -> SyncPass | None:
    """Read that value, for the targets that the configuration names now; None for anything else."""
    try:
        version, began, fingerprint, mask = text.split("@")
        bits = int.from_bytes(base64.b64decode(mask, validate=True), "little")
        written = frozenset(address for place, address in enumerate(sorted(addresses)) if bits >> place & 1)
        return SyncPass(version=VersionId(version), began=parsed(began), fingerprint=fingerprint, written=written)
    except ValueError:
        return None


# --- keyrota:pairs --------------------------------------------------------------------------------------------------

_WHOLE = "whole"
_MOST_PLACES = 24


def place_digest(address: str) -> str:
    """Name a place in six characters: the tag has no room for addresses."""
    return base64.urlsafe_b64encode(hashlib.sha256(address.encode()).digest()[:4]).decode().rstrip("=")


def format_pairs(record: PairsRecord) -> str:
    """Write the value of the tag `keyrota:pairs`: version @ time @ places, or that all is whole."""
    if not record.places:
        return _WHOLE
    kept = "".join(f"{digest}{doubt.value}" for digest, doubt in record.places[:_MOST_PLACES])
    more = "+" if record.is_cut or len(record.places) > _MOST_PLACES else ""
    return f"{record.version}@{_stamp(record.at)}@{kept}{more}"


def parse_pairs(text: str) -> PairsRecord | None:
    """Read that value; None where all is whole, or somebody wrote something else."""
    try:
        version, at, kept = text.split("@")
        names = kept.removesuffix("+")
        pieces = [names[start : start + 7] for start in range(0, len(names), 7)]
        return PairsRecord(
            version=VersionId(version),
            at=parsed(at),
            places=tuple((piece[:6], PairDoubt(piece[6:])) for piece in pieces),
            is_cut=kept.endswith("+"),
        )
    except ValueError:
        return None


# --- keyrota:deactivated --------------------------------------------------------------------------------------------


def format_deactivated(record: DeactivationRecord, note: DeactivationNote = DeactivationNote.ROUTINE) -> str:
    """Write the value of the tag `keyrota:deactivated`: key @ time, and a note where there is one."""
    return f"{record.key}@{_stamp(record.at)}" + (f"@{note.value}" if note else "")


def parse_deactivated(text: str) -> tuple[DeactivationRecord | None, DeactivationNote]:
    """Read that value; no record for anything else, which then counts as never deactivated (the safe side)."""
    key, _, rest = text.partition("@")
    time, _, note = rest.partition("@")
    try:
        return DeactivationRecord(key=AccessKeyId(key), at=parsed(time)), DeactivationNote(note)
    except ValueError:
        return None, DeactivationNote.ROUTINE


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


def parse_discard(text: str) -> DiscardNote | None:
    """Read that value; None for anything else, which then counts as not proven (the safe side)."""
    key, _, rest = text.partition("@")
    time, _, word = rest.partition("@")
    if word not in {"", _RELEASED}:
        return None
    try:
        return DiscardNote(key=AccessKeyId(key), at=parsed(time), is_released=word == _RELEASED)
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
        parsed(time)
    except ValueError:
        return None
    return AccessKeyId(key)


# --- keyrota:targets, keyrota:targets.1, … --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Index:
    """Every target that ever got a key from this secret and was not forgotten."""

    entries: tuple[IndexEntry, ...] = ()
    is_readable: bool = True
    """False: somebody edited a tag; what was written where is not known then."""
    is_full: bool = False
    """The targets of today do not fit into the tags: one that is dropped later may not be known."""

    def joined(self, entries: Iterable[IndexEntry]) -> Index:
        """Add targets; one that is there already gets its newest settings."""
        known = {entry.address: entry for entry in (*self.entries, *entries)}
        return replace(self, entries=tuple(known[address] for address in sorted(known)))

    def without(self, address: str) -> Index:
        """Drop a target."""
        return replace(self, entries=tuple(entry for entry in self.entries if entry.address != address))


def format_index(index: Index) -> dict[str, str]:
    """Write the tags that hold the index; one that is too large for them only says so, and leaves what is there."""
    rows = [[entry.address, entry.kind, entry.settings] for entry in index.entries]
    packed = base64.b64encode(zlib.compress(json.dumps(rows, ensure_ascii=False).encode(), 9)).decode()
    pieces = [packed[at : at + _PIECE] for at in range(0, len(packed), _PIECE)]
    if len(pieces) > INDEX_PIECES:
        return {_FULL: "yes"}
    tags = {f"{INDEX_TAG}.{number}": piece for number, piece in enumerate(pieces[1:], 1)}
    if index.is_full:
        tags[_FULL] = "no"
    return {INDEX_TAG: f"{len(pieces)}:{pieces[0]}", **tags}


def parse_index(tags: Mapping[str, str]) -> Index:
    """Read the index; what cannot be read is empty, and says so."""
    is_full = tags.get(_FULL) == "yes"
    if INDEX_TAG not in tags:
        return Index(is_full=is_full)
    count, _, first = tags[INDEX_TAG].partition(":")
    try:
        rest = [tags[f"{INDEX_TAG}.{number}"] for number in range(1, min(int(count), INDEX_PIECES))]
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(base64.b64decode("".join([first, *rest]), validate=True), _LARGEST_INDEX)
        rows = json.loads(text)
        entries = tuple(IndexEntry(address=str(a), kind=str(k), settings=str(s)) for a, k, s in rows)
        return Index(entries, is_full=is_full)
    except (ValueError, KeyError, TypeError, zlib.error, RecursionError):
        return Index(is_readable=False)


def _stamp(instant: datetime) -> str:
    return instant.isoformat()
