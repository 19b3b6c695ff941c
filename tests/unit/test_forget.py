"""The end of what is left behind: taken out of the index, its variables deleted where that is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from builders import NEW, OLD, USER, a_key, a_secret, a_version, current, holds, observed
from keyrota.core.model import AccessKeyId, IndexEntry, SecretState, TargetState
from keyrota.core.policy import CLASSIC
from keyrota.core.records import Index, format_index, parse_index
from keyrota.errors import KeyrotaError, ProviderRefused, ProviderUnavailable
from keyrota.executor import CredentialContext
from keyrota.executor.forget import Remembered, forget, list_remembered

GONE, KEPT = IndexEntry(address="gone", kind="k", settings="{}"), IndexEntry(address="kept", kind="k", settings="{}")


@dataclass
class Store:
    """A secret's tags."""

    secret: SecretState | None

    def describe(self, _: str) -> SecretState | None:
        return self.secret

    def tag(self, _: str, tags: dict[str, str]) -> None:
        assert self.secret is not None
        self.secret = replace(self.secret, tags=tuple((dict(self.secret.tags) | tags).items()))


@dataclass
class Place:
    """A target that can be cleared."""

    address: str
    asked: list[frozenset[AccessKeyId]] = field(default_factory=list)

    def read(self) -> TargetState:
        return holds(OLD, self.address)

    def clear(self, keys: frozenset[AccessKeyId]) -> tuple[str, ...]:
        self.asked.append(keys)
        return ("AWS_ACCESS_KEY_ID",)


SECRET = a_secret(
    a_version("v0", OLD, f"{OLD}-was-here", f"keyrota:revoked:{OLD}"),
    current(NEW),
    tags=format_index(Index((GONE, KEPT))).items(),
)


def known(reach: Any = None, *, entry: IndexEntry = GONE) -> Remembered:
    ports: dict[str, Any] = {
        "access_keys": None,
        "identity": None,
        "store": Store(SECRET),
        "targets": (Place("kept"), Place("third")),
    }
    subject = CredentialContext(user=USER, account="1", secret_name="s", policy=CLASSIC, reach=reach, **ports)
    seen = observed(a_key(NEW), secret=SECRET)
    return Remembered(
        subject=subject,
        observation=replace(seen, left_behind=(holds(NEW, "x"), holds(OLD, "gone"))),
        entry=entry,
        name=entry.address,
    )


def entries(one: Remembered) -> tuple[IndexEntry, ...]:
    state = one.subject.store.describe("s")
    assert state is not None
    return parse_index(dict(state.tags)).entries


def test_what_a_secret_remembers() -> None:
    one = known()
    found = list_remembered(one.subject, one.observation)
    assert [(two.entry, two.is_configured) for two in found] == [(GONE, False), (KEPT, True)]
    assert [two.state for two in found] == [holds(OLD, "gone"), None]


def test_a_target_is_taken_out_of_the_index() -> None:
    one = known()
    assert forget(one, deletes_variables=False) == ()
    assert entries(one) == (KEPT,)


def test_a_target_that_another_run_came_to_meanwhile_stays() -> None:
    """The index is read afresh: what it names holds a key, and nobody else remembers that."""
    one, newer = known(), IndexEntry(address="newer", kind="k", settings="{}")
    state = one.subject.store.describe("s")
    assert state is not None
    index = parse_index(dict(state.tags)).join((newer,))
    one.subject.store.tag("s", format_index(index))
    forget(one, deletes_variables=False)
    assert entries(one) == (KEPT, newer)


def test_its_variables_are_deleted_if_they_hold_a_key_of_ours() -> None:
    place = Place("gone")
    one = known(lambda entry: place if entry == GONE else None)
    assert forget(one, deletes_variables=True) == ("AWS_ACCESS_KEY_ID",)
    assert place.asked == [frozenset({OLD, NEW})]
    assert entries(one) == (KEPT,)


@pytest.mark.parametrize(
    ("case", "reach", "words"),
    [
        ("nobody knows how to reach it", None, "it cannot be reached"),
        ("it cannot be reached", lambda _: ProviderUnavailable("no such provider"), "no such provider"),
    ],
)
def test_what_cannot_be_deleted_is_still_remembered(case: str, reach: Any, words: str) -> None:
    one = known(reach)
    with pytest.raises(ProviderRefused, match=f"cannot be deleted: {words}"):
        forget(one, deletes_variables=True)
    assert entries(one) == (GONE, KEPT), case


def test_what_somebody_else_wrote_there_is_an_error_and_still_remembered() -> None:
    class Refuses(Place):
        def clear(self, keys: frozenset[AccessKeyId]) -> tuple[str, ...]:
            raise ProviderRefused(f"it holds none of {len(keys)}")

    one = known(lambda _: Refuses("gone"))
    with pytest.raises(KeyrotaError):
        forget(one, deletes_variables=True)
    assert entries(one) == (GONE, KEPT)
