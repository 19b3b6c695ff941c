"""A run trusts what it wrote itself, while Secrets Manager answers as if it had not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from builders import NEW, NOW, OLD, a_secret, a_version, current
from keyrota.core.model import AWSCURRENT, AWSPREVIOUS, CLAIM, PENDING, Claim, KeyPair, SecretState, VersionId
from keyrota.core.secret import Secret
from keyrota.errors import LostRace, NotThere
from keyrota.executor.adoption import add_labels
from keyrota.executor.own_writes import OwnWrites
from keyrota.ports import SecretStore

V0, V1, CLAIMED = VersionId("v0"), VersionId("v1"), VersionId("claim")
OURS = Claim(version=CLAIMED, run="us", at=NOW, lease_until=NOW + timedelta(minutes=15), keys_seen=frozenset())
PAIR = KeyPair(id=NEW, secret=Secret("made up"))
BEFORE = a_secret(current(OLD, "v0"), tags=[("keyrota:synced", "old")])


@dataclass
class Lagging:
    """A store that answers as it was before every write, until it is told to catch up."""

    state: SecretState = BEFORE
    instant: datetime = NOW
    version: VersionId = V0
    claim_: Claim | None = None
    writes: list[str] = field(default_factory=list)

    def now(self) -> datetime:
        return self.instant

    def sleep(self, seconds: float) -> None:
        self.instant += timedelta(seconds=seconds)

    def describe(self, _: str) -> SecretState:
        return self.state

    def current(self, _: str) -> tuple[VersionId, KeyPair]:
        return self.version, KeyPair(id=OLD, secret=Secret("old"))

    def read(self, _: str, version: VersionId) -> KeyPair | None:
        return PAIR if version == V1 else None

    def claim(self, _: str, __: VersionId | None = None) -> Claim | None:
        return self.claim_

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: self.writes.append(name)


def own(store: Lagging) -> OwnWrites:
    made = OwnWrites(cast("SecretStore", store), store)
    made.describe("s")
    return made


def labels(state: SecretState | None) -> dict[str, set[str]]:
    return {version.id: set(version.labels) for version in state.versions} if state else {}


def stored(store: Lagging) -> OwnWrites:
    made = own(store)
    made.put_pending("s", V1, PAIR, beside=Secret("{}"))
    return made


def test_a_key_that_was_just_stored_is_stored_whatever_the_answer_says() -> None:
    made = stored(Lagging())
    assert labels(made.describe("s"))[V1] == {PENDING, NEW}


MOVED = a_secret(a_version("v0", AWSPREVIOUS, OLD), a_version("v1", AWSCURRENT, PENDING, NEW))


class CatchingUp(Lagging):
    """A store that shows after some seconds that AWSCURRENT was moved."""

    def _is_late(self) -> bool:
        return self.now() < NOW + timedelta(seconds=9)

    def describe(self, _: str) -> SecretState:
        return BEFORE if self._is_late() else MOVED

    def current(self, name: str) -> tuple[VersionId, KeyPair]:
        return super().current(name) if self._is_late() else (V1, PAIR)


def test_an_aws_current_that_this_run_has_moved_is_waited_for() -> None:
    store = CatchingUp()
    made = stored(store)
    made.move_label("s", AWSCURRENT, to=V1, remove_from=V0)
    assert made.current("s") == (V1, PAIR)
    store.instant = NOW
    assert labels(made.describe("s")) == labels(MOVED)
    assert store.instant < NOW + timedelta(seconds=12)


def test_an_aws_current_that_somebody_has_moved_back_is_believed_after_a_minute() -> None:
    """Before, the run brought its own key to every place, and ended content, while AWSCURRENT was the older one."""
    store = Lagging()
    made = stored(store)
    made.move_label("s", AWSCURRENT, to=V1, remove_from=V0)
    assert made.current("s")[0] == V0
    assert AWSCURRENT in labels(made.describe("s"))[V0]
    assert NOW + timedelta(seconds=60) <= store.instant < NOW + timedelta(seconds=64)


def test_another_version_that_became_aws_current_is_believed_at_once() -> None:
    store = Lagging()
    made = stored(store)
    made.move_label("s", AWSCURRENT, to=V1, remove_from=V0)
    store.state = a_secret(current(OLD, "v2"))
    assert AWSCURRENT in labels(made.describe("s"))["v2"]
    assert store.instant == NOW


def test_a_tag_that_was_just_written_is_there() -> None:
    made = own(Lagging())
    made.tag("s", {"keyrota:synced": "new", "keyrota:pairs": "whole"})
    seen = made.describe("s")
    assert seen is not None
    assert dict(seen.tags)["keyrota:synced"] == "new"
    assert dict(seen.tags)["keyrota:pairs"] == "whole"


def test_a_claim_that_was_just_taken_is_ours() -> None:
    made = own(Lagging())
    claim = Claim(version=CLAIMED, run="r", at=NOW, lease_until=NOW + timedelta(minutes=10), keys_seen=frozenset())
    made.put_claim("s", claim)
    assert labels(made.describe("s"))[CLAIMED] == {CLAIM}
    assert made.claim("s") == claim
    made.move_label("s", CLAIM, to=None, remove_from=CLAIMED)
    assert CLAIMED not in labels(made.describe("s"))


def test_a_claim_that_is_shown_as_ours_is_not_read_again() -> None:
    """What a version holds never changes; where the label is on another one, whose claim it is has to be read."""
    store = Lagging()
    made = own(store)
    made.put_claim("s", OURS)
    theirs = replace(OURS, run="another", version=VersionId("theirs"))
    store.claim_ = theirs
    assert made.claim("s") == theirs
    store.state = a_secret(current(OLD, "v0"), a_version(CLAIMED, CLAIM))
    made.describe("s")
    assert made.claim("s") == OURS
    assert made.claim("s", theirs.version) == theirs
    store.state = a_secret(current(OLD, "v0"), a_version("theirs", CLAIM))
    made.describe("s")
    assert made.claim("s") == theirs


def test_an_answer_that_has_caught_up_is_taken_as_it_is() -> None:
    store = Lagging()
    made = stored(store)
    store.state = a_secret(current(OLD, "v0"), a_version("v1", PENDING, NEW), tags=[("keyrota:synced", "old")])
    assert labels(made.describe("s")) == labels(store.state)


@pytest.mark.parametrize("what", ["another value", "later"])
def test_what_somebody_else_wrote_stands(what: str) -> None:
    """Only the value from before our write is an old answer, and only for a minute."""
    store = Lagging()
    made = own(store)
    made.tag("s", {"keyrota:synced": "new"})
    if what == "later":
        store.instant += timedelta(minutes=2)
    else:
        store.state = replace(BEFORE, tags=(("keyrota:synced", "theirs"),))
    seen = made.describe("s")
    assert seen is not None
    assert dict(seen.tags)["keyrota:synced"] == dict(store.state.tags)["keyrota:synced"]


def test_a_label_that_another_run_took_off_is_not_seen_any_more() -> None:
    """Otherwise the run takes it off again and again, and ends with an error of its own making."""
    store = Lagging()
    made = own(store)
    made.put_claim("s", OURS)
    assert labels(made.describe("s"))[CLAIMED] == {CLAIM}

    def refuse(*_: object, **__: object) -> None:
        raise LostRace("the label is not there")

    store.move_label = refuse  # type: ignore[attr-defined]
    with pytest.raises(LostRace):
        made.move_label("s", CLAIM, to=None, remove_from=CLAIMED)
    assert CLAIMED not in labels(made.describe("s"))
    assert made.claim("s") is None


def test_a_claim_that_was_given_up_is_no_claim() -> None:
    store = Lagging()
    made = own(store)
    made.put_claim("s", OURS)
    assert made.claim("s") is not None
    made.move_label("s", CLAIM, to=None, remove_from=CLAIMED)
    assert made.claim("s") is None


class Late(Lagging):
    """A store that does not have what was made for some seconds."""

    def __init__(self, until: datetime) -> None:
        super().__init__()
        self.until = until

    def _demand(self) -> None:
        if self.now() < self.until:
            raise NotThere("the secret s does not exist")

    def describe(self, _: str) -> SecretState:
        return cast("SecretState", None) if self.now() < self.until else self.state

    def resource_policy(self, _: str) -> str | None:
        self._demand()
        return None

    def current(self, name: str) -> tuple[VersionId, KeyPair]:
        self._demand()
        return super().current(name)

    def read(self, name: str, version: VersionId) -> KeyPair | None:
        self._demand()
        return super().read(name, version)

    def other_fields(self, _: str, __: VersionId) -> Secret:
        self._demand()
        return Secret("{}")


READS: dict[str, Callable[[OwnWrites], object]] = {
    "describe": lambda made: made.describe("s"),
    "resource policy": lambda made: made.resource_policy("s") is None,
    "AWSCURRENT": lambda made: made.current("s"),
    "a pair": lambda made: made.read("s", V1),
    "fields": lambda made: made.other_fields("s", V0),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_secret_that_this_run_has_just_made_is_waited_for(read: Callable[[OwnWrites], object]) -> None:
    """Without that a first run ended with `the secret does not exist`, right after it had made the secret."""
    store = Late(NOW + timedelta(seconds=9))
    made = own(store)
    made.create("s", {})
    assert read(made)
    assert NOW + timedelta(seconds=9) <= store.instant < NOW + timedelta(seconds=12)


def test_a_pair_that_this_run_has_just_stored_is_waited_for() -> None:
    store = Late(NOW + timedelta(seconds=9))
    assert stored(store).read("s", V1) == PAIR


def test_what_never_comes_is_not_waited_for_without_an_end() -> None:
    store = Late(NOW + timedelta(hours=1))
    made = stored(store)
    with pytest.raises(NotThere):
        made.read("s", V1)
    assert store.instant <= NOW + timedelta(seconds=62)
    assert made.describe("s") is None


def test_what_this_run_has_not_made_is_not_waited_for() -> None:
    store = Late(NOW + timedelta(seconds=9))
    made = own(store)
    with pytest.raises(NotThere):
        made.read("s", V1)
    assert made.describe("s") is None
    assert store.instant == NOW


def test_labels_that_are_to_come_make_a_state_that_is_a_value_too() -> None:
    """Frozen in all its parts: one that held a set could be changed, and could not be looked up."""
    labels = {PENDING: V1, CLAIM: V0}
    secret = add_labels(a_secret(a_version("v0", AWSCURRENT), a_version("v1", CLAIM)), labels)
    expected = a_secret(a_version("v0", AWSCURRENT, CLAIM), a_version("v1", PENDING))
    assert (secret, hash(secret)) == (expected, hash(expected))
