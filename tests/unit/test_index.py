"""What the index remembers of each place, and how many places have room."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest

from builders import NOW
from keyrota.core.model import Confirmation, IndexEntry, PlaceId, VersionId, Written, version_mark
from keyrota.core.records import INDEX_PIECES, Index, format_index, index_tags_needed, parse_index

WORDS = ("app", "web", "api", "shop", "pay", "auth", "data", "ops", "core", "mail", "search", "cart", "user", "infra")
NAMES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def place(number: int, rng: Random, *, is_uuid: bool) -> IndexEntry:
    name = f"acme/{rng.choice(WORDS)}-{rng.choice(WORDS)}-{number % 50}"
    some = uuid.UUID(int=rng.getrandbits(128)), uuid.UUID(int=rng.getrandbits(128))
    named = f"repository {some[0]} environment {some[1]}" if is_uuid else f"repository {rng.randrange(10**8, 10**9)}"
    found = PlaceId(kind="github", origin="https://api.github.com", id=named)
    return IndexEntry(
        address=f"github {name} Production",
        kind="github",
        settings=json.dumps({"environment": "Production", "repository": name}),
        origin=found.origin,
        place=found.mark,
        variables=NAMES,
        written=Written(version=version_mark(VersionId("v2")), since=NOW.replace(microsecond=0)),
    )


@pytest.mark.parametrize(("is_uuid", "count"), [(False, 420), (True, 360)])
def test_so_many_places_have_room(*, is_uuid: bool, count: int) -> None:
    rng = Random(1)  # noqa: S311  # made-up names
    index = Index(tuple(sorted((place(n, rng, is_uuid=is_uuid) for n in range(count)), key=lambda one: one.position)))
    tags = format_index(index)
    assert len(tags) == index_tags_needed(index) <= INDEX_PIECES
    assert parse_index(tags) == index
    assert all(len(value) <= 256 for value in tags.values())


def test_everything_that_is_known_of_a_place_reads_back() -> None:
    """A confirmation by a session, whose ARN holds what separates the fields; an address with brackets and quotes."""
    plain = place(1, Random(2), is_uuid=True)  # noqa: S311  # made-up names
    odd = replace(
        plain,
        address='github acme/"x" (DEPLOY_ID, DEPLOY_SECRET)',
        settings='{"repository": "acme/\\"x\\"", "names": {"id": "DEPLOY_ID"}}',
        written=Written(version="abc", since=NOW.replace(microsecond=0), is_first=True),
        confirmed=Confirmation(by="arn:aws:sts::123456789012:assumed-role/a/me@example.com", at=NOW, seen="abc.def"),
    )
    only = replace(plain, address="z", written=None, is_begun=False, confirmed=odd.confirmed)
    index = Index((odd, plain, only))
    assert parse_index(format_index(index)) == index


def test_since_is_never_sooner_than_it_was() -> None:
    """Whole seconds are stored, and the overlap counts from them."""
    written = Written(version="abc", since=NOW + timedelta(microseconds=1))
    one = IndexEntry(address="a", kind="k", settings="{}", written=written)
    (entry,) = parse_index(format_index(Index((one,)))).entries
    assert entry.written is not None
    assert entry.written.since == NOW + timedelta(seconds=1)


def test_a_long_id_is_stored_short_and_told_from_others() -> None:
    one, other = (PlaceId(kind="k", origin="o", id=f"repository {uuid.UUID(int=n)}") for n in (1, 2))
    assert one.mark != other.mark
    assert len(one.mark) < 12
    assert PlaceId(kind="k", origin="o", id="repository 12").mark == "repository 12"
