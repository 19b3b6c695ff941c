"""A person's word that a place may be written over: what is noted, beside what, and where it is refused."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from hashlib import sha512
from typing import Any

import pytest

from builders import NOW, OLD, SHOP, USER, a_secret, current, holds
from keyrota.core.model import OWNER_TAG, Confirmation, IndexEntry, SecretState, VersionId, Written
from keyrota.core.places import Doubt
from keyrota.core.policy import CLASSIC
from keyrota.core.records import Index, format_index, parse_index
from keyrota.errors import ProviderRefused
from keyrota.executor import CredentialContext
from keyrota.executor.confirm import Question, confirm

ME = "arn:aws:iam::123456789012:user/me"
OF_ANOTHER, UNREADABLE = (
    Doubt(reason="it shows another user's key", remedy="look"),
    Doubt(reason="it cannot be read", remedy="look"),
)
FINAL = Doubt(reason="two targets are one place", remedy="remove one", is_confirmable=False)
BESIDE = IndexEntry(
    address="another place", kind="k", settings="{}", written=Written(version=VersionId("v1"), since=NOW)
)


@dataclass
class Store:
    """A secret's tags, and what was asked for."""

    secret: SecretState | None
    created: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def describe(self, _: str) -> SecretState | None:
        return self.secret

    def create(self, _: str, tags: dict[str, str]) -> None:
        self.created = tags

    def tag(self, _: str, tags: dict[str, str]) -> None:
        self.tags = tags


def question(*doubts: Doubt, store: Store, is_named: bool = False, index: tuple[IndexEntry, ...] = ()) -> Question:
    ports: dict[str, Any] = {"access_keys": None, "identity": None, "store": store, "targets": ()}
    subject = CredentialContext(
        user=USER,
        account="123456789012",
        secret_name="keyrota/ci-deploy",
        policy=CLASSIC,
        tags={"team": "ci"},
        is_secret_named=is_named,
        index=index,
        **ports,
    )
    return Question(subject=subject, target=holds(OLD, SHOP), doubts=doubts)


def with_index(*entries: IndexEntry) -> SecretState:
    return a_secret(current(), tags=format_index(Index(tuple(entries))).items())


def noted(store: Store) -> dict[str, IndexEntry]:
    return {entry.address: entry for entry in parse_index(store.tags).entries}


@pytest.mark.parametrize(
    ("doubts", "is_confirmable"),
    [((OF_ANOTHER,), True), ((OF_ANOTHER, UNREADABLE), True), ((OF_ANOTHER, FINAL), False), ((FINAL,), False)],
)
def test_a_persons_word_does_not_end_what_only_a_remedy_ends(doubts: tuple[Doubt, ...], is_confirmable: bool) -> None:
    assert question(*doubts, store=Store(None)).is_confirmable is is_confirmable


def test_exactly_what_was_seen_is_noted_beside_what_is_known() -> None:
    store = Store(with_index(BESIDE))
    confirm(question(UNREADABLE, OF_ANOTHER, store=store), by=ME, at=NOW)
    found = noted(store)
    assert found.keys() == {SHOP, "another place"}
    assert found["another place"].written is not None
    seen = ".".join(sorted([OF_ANOTHER.mark, UNREADABLE.mark]))
    assert found[SHOP].confirmed == Confirmation(by=ME, at=NOW, seen=seen)
    assert (found[SHOP].is_begun, found[SHOP].written) == (False, None)
    assert store.created == {}


def test_a_configured_place_keeps_what_is_needed_to_reach_it() -> None:
    entry = IndexEntry(address=SHOP, kind="bitbucket", settings='{"workspace": "acme"}')
    store = Store(with_index())
    confirm(question(OF_ANOTHER, store=store, index=(BESIDE, entry)), by=ME, at=NOW)
    assert (noted(store)[SHOP].kind, noted(store)[SHOP].settings) == (entry.kind, entry.settings)
    assert noted(store).keys() == {SHOP}


def test_a_second_word_is_added_to_the_first_and_what_was_written_there_is_gone() -> None:
    before = Confirmation(by="somebody", at=NOW - timedelta(days=1), seen=OF_ANOTHER.mark)
    known = replace(BESIDE, address=SHOP, confirmed=before)
    store = Store(with_index(known, BESIDE))
    confirm(question(UNREADABLE, store=store), by=ME, at=NOW)
    found = noted(store)[SHOP]
    assert found.written is None
    assert found.is_begun
    assert found.confirmed == Confirmation(by=ME, at=NOW, seen=".".join(sorted([OF_ANOTHER.mark, UNREADABLE.mark])))
    assert len(parse_index(store.tags).entries) == 2


def test_a_secret_that_is_not_there_is_made_with_its_owner() -> None:
    store = Store(None)
    confirm(question(OF_ANOTHER, store=store), by=ME, at=NOW)
    assert store.created == {"team": "ci", OWNER_TAG: USER}
    assert noted(store).keys() == {SHOP}


@pytest.mark.parametrize("is_named", [False, True])
def test_a_secret_of_somebody_else_is_written_only_where_the_configuration_names_it(is_named: bool) -> None:
    store = Store(replace(a_secret(current()), tags=()))
    asked = question(OF_ANOTHER, store=store, is_named=is_named)
    if is_named:
        confirm(asked, by=ME, at=NOW)
        assert noted(store).keys() == {SHOP}
        return
    with pytest.raises(ProviderRefused, match="did not make it"):
        confirm(asked, by=ME, at=NOW)
    assert store.tags == {}


MANY = [replace(BESIDE, address=sha512(bytes([number])).hexdigest()) for number in range(250)]


def as_many_as_fit() -> Index:
    """An index that the tags can just take."""
    most = next(most for most in range(len(MANY)) if "yes" in format_index(Index(tuple(MANY[:most]))).values())
    return Index(tuple(MANY[: most - 1]))


@pytest.mark.parametrize(
    "tags",
    [[("keyrota:targets", "edited by somebody")], list(format_index(as_many_as_fit()).items())],
    ids=["unreadable", "full"],
)
def test_a_word_that_cannot_be_noted_is_refused_and_changes_nothing(tags: list[tuple[str, str]]) -> None:
    store = Store(a_secret(current(), tags=tags))
    with pytest.raises(ProviderRefused, match="cannot be recorded"):
        confirm(question(OF_ANOTHER, store=store), by=ME, at=NOW)
    assert store.tags == {}
