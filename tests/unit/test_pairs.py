"""A pair that was begun is finished or put back, remembered while it is neither, and reported first (whole-pair)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from builders import NEW, NOW, ODD, OLD, USER, a_key, a_secret, a_version, cannot_tell, current, down, holds, observed
from keyrota.core.lifecycle import interpret
from keyrota.core.model import (
    PAIRS_TAG,
    AccessKeyId,
    KeyPair,
    KeyStatus,
    Observation,
    PairDoubt,
    PairsRecord,
    PlaceId,
    SecretState,
    SyncRecord,
    TargetEvidence,
    TargetState,
    VariableState,
    VersionId,
)
from keyrota.core.plan import Needs, Sync
from keyrota.core.planner import plan
from keyrota.core.policy import CLASSIC
from keyrota.core.records import format_pairs, format_synced, parse_pairs, place_digest
from keyrota.core.secret import Secret
from keyrota.errors import (
    Half,
    KeyrotaError,
    LeftByLimit,
    PartialFailure,
    ProviderRefused,
    ProviderUnavailable,
    Stopped,
    TornPair,
)
from keyrota.executor import CredentialContext, Settings
from keyrota.executor.sync import sync
from keyrota.http import Stop, run_concurrently

ARN = f"arn:aws:iam::123456789012:user/{USER}"
WHERE = "circleci acme/shop"
ID, SECRET = Half.ID, Half.SECRET
DOWN = ProviderUnavailable("it answered 500", where=WHERE)
REFUSED = ProviderRefused("it refused (403)", where=WHERE)
LIMITED = ProviderUnavailable("it limits (429)", where=WHERE, retry_after_s=3600, is_undone=True)


@dataclass
class Place:
    """Two variables, and what becomes of the next writes of each."""

    scene: Scene
    address: str = WHERE
    has_separate_variables: bool = True
    wait_for_idle: timedelta = timedelta()
    secret: AccessKeyId | None = OLD
    id: AccessKeyId | None = OLD
    secret_fails: list[KeyrotaError | None] = field(default_factory=list)
    id_fails: list[KeyrotaError | None] = field(default_factory=list)
    meanwhile: Callable[[], object] = lambda: None
    named: Callable[[], PlaceId | None] = lambda: None
    is_id_readable: bool = True
    shown: Callable[[], TargetState] | None = None
    deleted: list[Half] = field(default_factory=list)

    def read(self) -> TargetState:
        return self.shown() if self.shown else absent_state(self)

    def delete_half(self, half: Half) -> None:
        self.deleted.append(half)
        setattr(self, half.value.lower(), None)

    def place_now(self) -> PlaceId | None:
        return self.named()

    def write(self, credential: KeyPair) -> None:
        self.meanwhile()

        def half(name: str, fails: list[KeyrotaError | None]) -> Callable[[], None]:
            def put() -> None:
                error = fails.pop(0) if len(fails) > 1 else next(iter(fails), None)
                if error is not None:
                    raise error
                setattr(self, name, credential.id)

            return put

        run_concurrently(half("secret", self.secret_fails), half("id", self.id_fails))

    @property
    def halves(self) -> tuple[AccessKeyId | None, AccessKeyId | None]:
        return self.id, self.secret


def absent_state(place: Place) -> TargetState:
    """What a service shows of a place that lacks a half, or both."""
    id_half = VariableState(
        name="ID",
        is_present=place.id is not None,
        is_readable=place.is_id_readable and place.id is not None,
        key=place.id if place.is_id_readable else None,
    )
    secret_half = VariableState(name="SECRET", is_present=place.secret is not None)
    is_empty = place.id is None and place.secret is None
    return TargetState(
        address=place.address,
        evidence=TargetEvidence.ABSENT,
        is_empty=is_empty,
        place=place.named(),
        variables=(id_half, secret_half),
    )


@dataclass
class Scene:
    """A secret with the old and the new key, and places that hold the old one."""

    secret: SecretState = field(
        default_factory=lambda: a_secret(
            a_version("v0", OLD),
            current(NEW, "v1"),
            tags=[
                (
                    "keyrota:synced",
                    format_synced(SyncRecord(version=VersionId("v0"), since=NOW, confirmed=NOW, fingerprint="f")),
                )
            ],
        )
    )
    places: list[Place] = field(default_factory=list)
    instant: datetime = NOW
    slept: list[float] = field(default_factory=list)
    noted: list[str] = field(default_factory=list)
    """The tag `keyrota:pairs`, each time that it was written."""
    stop: Stop = field(default_factory=Stop)
    old_status: KeyStatus = KeyStatus.ACTIVE

    def now(self) -> datetime:
        return self.instant

    def sleep(self, seconds: float) -> None:
        self.stop.demand_no_stop()
        self.slept.append(seconds)
        self.instant += timedelta(seconds=seconds)

    def describe(self, _: str) -> SecretState:
        return self.secret

    def current(self, _: str) -> tuple[VersionId, KeyPair]:
        return VersionId("v1"), KeyPair(id=NEW, secret=Secret("new"))

    def read(self, _: str, version: VersionId) -> KeyPair | None:
        return KeyPair(id=OLD, secret=Secret("old")) if version == "v0" else None

    def tag(self, _: str, tags: dict[str, str]) -> None:
        if PAIRS_TAG in tags:
            self.noted.append(tags[PAIRS_TAG])
        self.secret = replace(self.secret, tags=tuple((dict(self.secret.tags) | tags).items()))

    def whoami(self, _: KeyPair) -> tuple[str | None, ...]:
        return (ARN,)

    def subject(self) -> CredentialContext:
        ports: dict[str, Any] = {"access_keys": self, "identity": self, "store": self, "targets": tuple(self.places)}
        return CredentialContext(user=USER, account="123456789012", secret_name="s", policy=CLASSIC, **ports)

    def seen(self, *targets: TargetState) -> Observation:
        shown = targets or tuple(cannot_tell(place.address) for place in self.places)
        shown = tuple(replace(state, read_at=state.read_at or self.instant) for state in shown)
        old, new = a_key(OLD, age_days=91, status=self.old_status), a_key(NEW, age_days=1)
        return replace(observed(old, new, secret=self.secret, targets=shown), fingerprint=self.subject().fingerprint)

    def sync(self, *targets: TargetState, **known: Any) -> Any:
        action = Sync(key=NEW, targets=tuple(place.address for place in self.places), reason="", due=NOW, **known)
        settings = Settings(clock=self, run="r", verify_times=1, stop=self.stop)
        return sync(self.subject(), action, self.seen(*targets), settings, {NEW})

    @property
    def doubt(self) -> PairDoubt | None:
        return interpret(self.seen()).doubt_of(WHERE)


def a_scene(**place: Any) -> Scene:
    scene = Scene()
    scene.places = [Place(scene, **place)]
    return scene


# --- finished, or put back ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("half", ["secret_fails", "id_fails"])
def test_a_half_that_fails_far_beyond_the_patience_of_one_call_is_finished_in_the_same_run(half: str) -> None:
    """26 s of 500s are the patience of one call; here it fails for four minutes."""
    scene = a_scene(**{half: [DOWN] * 6 + [None]})
    scene.sync()
    assert scene.places[0].halves == (NEW, NEW)
    assert timedelta(minutes=2) < scene.instant - NOW < timedelta(minutes=10)
    assert (scene.doubt, scene.noted[-1]) == (None, "whole")


def test_what_never_ends_is_put_back_from_the_older_version_of_the_secret() -> None:
    """`Retry-After: 3600` for one half; the other one goes back to the old key, and the place works."""
    scene = a_scene(id_fails=[LIMITED])
    with pytest.raises(ProviderUnavailable, match="the old one was put back"):
        scene.sync()
    assert scene.places[0].halves == (OLD, OLD)
    assert (scene.doubt, scene.slept) == (None, [])


def test_a_half_that_is_refused_for_good_is_put_back_at_once() -> None:
    scene = a_scene(secret_fails=[REFUSED])
    with pytest.raises(ProviderUnavailable, match="the old one was put back"):
        scene.sync()
    assert (scene.places[0].halves, scene.slept) == ((OLD, OLD), [])


@pytest.mark.parametrize("why", ["its key is off", "not ours"])
def test_a_pair_that_does_not_work_any_more_is_not_put_back(why: str) -> None:
    scene = a_scene(secret_fails=[REFUSED])
    shown = holds(ODD, WHERE) if why == "not ours" else holds(OLD, WHERE)
    if why == "its key is off":
        scene.old_status = KeyStatus.INACTIVE
    with pytest.raises(TornPair) as caught:
        scene.sync(shown)
    assert scene.places[0].halves == (NEW, OLD)
    assert f"pipelines fail at {WHERE} now: half a pair: its ID is that of {NEW}" in caught.value.what
    assert scene.doubt is PairDoubt.ID_IS_NEW


def test_a_place_that_stays_torn_is_remembered_until_it_is_whole() -> None:
    scene = a_scene(secret_fails=[DOWN])
    scene.old_status = KeyStatus.INACTIVE
    with pytest.raises(TornPair):
        scene.sync()
    assert scene.instant - NOW <= timedelta(minutes=10)
    assert scene.doubt is PairDoubt.UNSURE
    scene.places[0].secret_fails = []
    scene.sync()
    assert scene.places[0].halves == (NEW, NEW)
    assert interpret(scene.seen()).doubt_of(WHERE) is None


HERE = PlaceId(kind="circleci", origin="https://circleci.com/api/v2", id="project 1")


@pytest.mark.parametrize("old", [KeyStatus.ACTIVE, KeyStatus.INACTIVE])
def test_no_half_goes_into_what_has_the_place_s_name_by_now(old: KeyStatus) -> None:
    """The name is given to another project while the second half is retried: neither pair is written there."""
    scene = a_scene(secret_fails=[DOWN])
    scene.old_status = old
    place, other = scene.places[0], replace(HERE, id="project 2")
    place.named = lambda: HERE if scene.instant < NOW + timedelta(seconds=60) else other
    with pytest.raises(TornPair, match="means another place now: that was project 1, and this is project 2"):
        scene.sync(replace(holds(OLD, WHERE), place=HERE))
    assert place.halves == (NEW, OLD)
    assert timedelta(seconds=60) <= scene.instant - NOW <= timedelta(seconds=120)
    assert scene.doubt is PairDoubt.UNSURE


def test_a_place_whose_name_nobody_may_ask_for_is_made_whole() -> None:
    """Half a pair is worse than a name that was perhaps given away."""

    def refuse() -> PlaceId | None:
        raise REFUSED

    scene = a_scene(secret_fails=[DOWN] * 2 + [None], named=refuse)
    scene.sync(replace(holds(OLD, WHERE), place=HERE, read_at=NOW))
    assert scene.places[0].halves == (NEW, NEW)


# --- the first half in an empty place -------------------------------------------------------------------------------


def an_empty_place(**known: Any) -> tuple[Scene, TargetState]:
    """A place that a pair is written into for the first time, as it was read before."""
    scene = a_scene(**({"id": None, "secret": None, "named": lambda: HERE} | known))
    return scene, replace(absent_state(scene.places[0]), is_empty=True)


@pytest.mark.parametrize("is_id_readable", [True, False])
@pytest.mark.parametrize("half", Half)
@pytest.mark.parametrize("error", [REFUSED, LIMITED])
def test_the_first_half_is_deleted_again_where_the_second_is_refused(
    half: Half, error: KeyrotaError, *, is_id_readable: bool
) -> None:
    """Nothing was there before, so nothing can be put back; half a pair would fail, and stop the next first write."""
    fails = {"secret_fails" if half is ID else "id_fails": [error]}
    scene, seen = an_empty_place(is_id_readable=is_id_readable, **fails)
    with pytest.raises(ProviderUnavailable, match="its first half was deleted again") as caught:
        scene.sync(seen)
    assert not isinstance(caught.value, TornPair)
    assert (scene.places[0].deleted, scene.places[0].halves, scene.slept) == ([half], (None, None), [])
    assert (scene.doubt, scene.noted[-1]) == (None, "whole")


def theirs(place: Place, **shown: Any) -> Callable[[], TargetState]:
    """Let somebody put a key into the place right after our half."""
    state = absent_state(place)
    ours, other = state.variables
    return lambda: replace(state, variables=(replace(ours, is_present=True, **shown), other))


@pytest.mark.parametrize("why", ["another key", "no key", "both halves", "another place", "it cannot be read"])
def test_a_half_that_is_not_ours_alone_is_not_deleted(why: str) -> None:
    """Whatever may be somebody else's stays, and is reported as half a pair."""
    scene, seen = an_empty_place(secret_fails=[REFUSED])
    place = scene.places[0]
    match why:
        case "another key":
            place.shown = theirs(place, is_readable=True, key=ODD)
        case "no key":
            place.shown = theirs(place, is_readable=True, key=None)
        case "both halves":
            place.shown = lambda: replace(holds(NEW, WHERE), place=HERE)
        case "another place":
            seen = replace(seen, place=replace(HERE, id="project 0"), read_at=NOW)
        case _:
            place.shown = lambda: down(WHERE)
    with pytest.raises((TornPair, ProviderRefused)):
        scene.sync(seen)
    assert place.deleted == []


def test_a_half_that_was_confirmed_some_time_ago_is_not_deleted() -> None:
    """The last attempt was not answered for certain: what is there by now may be somebody else's."""
    scene, seen = an_empty_place(secret_fails=[LIMITED], id_fails=[None, DOWN], secret=None)
    scene.places[0].secret_fails = [limited_for(5.0), REFUSED]
    with pytest.raises(TornPair):
        scene.sync(seen)
    assert scene.places[0].deleted == []


def limited_for(after_s: float) -> ProviderUnavailable:
    return ProviderUnavailable("it limits (429)", where=WHERE, retry_after_s=after_s, is_undone=True)


def test_half_a_pair_that_was_there_before_is_not_deleted() -> None:
    scene, seen = an_empty_place(secret_fails=[REFUSED])
    with pytest.raises(TornPair):
        scene.sync(replace(seen, is_empty=False))
    assert (scene.places[0].deleted, scene.doubt) == ([], PairDoubt.ID_IS_NEW)


def test_nothing_written_is_nothing_torn() -> None:
    scene = a_scene(secret_fails=[REFUSED], id_fails=[REFUSED])
    with pytest.raises(ProviderRefused):
        scene.sync()
    assert (scene.places[0].halves, scene.doubt, scene.slept) == ((OLD, OLD), None, [])


def test_a_torn_place_that_is_not_reached_again_stays_torn() -> None:
    """The next run's write is refused before anything is sent: the place is as torn as before."""
    scene = a_scene(secret_fails=[REFUSED])
    with pytest.raises(TornPair):
        scene.sync(holds(ODD, WHERE))
    limit = LeftByLimit("used up", where=WHERE)
    scene.places[0].secret_fails = scene.places[0].id_fails = [limit]
    with pytest.raises(LeftByLimit):
        scene.sync(holds(ODD, WHERE))
    assert scene.doubt is PairDoubt.ID_IS_NEW


def test_the_torn_place_is_the_first_of_several_failures() -> None:
    scene = a_scene(secret_fails=[REFUSED])
    scene.places.insert(0, Place(scene, address="a", secret_fails=[REFUSED], id_fails=[REFUSED]))
    with pytest.raises(PartialFailure) as caught:
        scene.sync(holds(ODD, "a"), holds(ODD, WHERE))
    assert isinstance(caught.value.failures[0], TornPair)


def test_the_same_pair_once_more_tears_nothing() -> None:
    scene = a_scene(id=NEW, secret=NEW, secret_fails=[DOWN])
    with pytest.raises(ProviderUnavailable) as caught:
        scene.sync(holds(NEW, WHERE))
    assert not isinstance(caught.value, TornPair)
    assert scene.slept == []


# --- a process that dies, or is told to stop ------------------------------------------------------------------------


def test_a_process_that_is_killed_between_the_halves_leaves_a_note() -> None:
    """SIGKILL: the note was written before the first half, and the next run repairs the place at once."""

    def kill() -> None:
        raise KeyboardInterrupt

    scene = a_scene(meanwhile=kill)
    with pytest.raises(KeyboardInterrupt):
        scene.sync()
    assert scene.doubt is PairDoubt.BEGUN
    planned = plan(scene.seen(), CLASSIC, NOW)
    assert planned.holds[0].is_torn
    assert "a write of key" in planned.holds[0].reason
    assert planned.actions[0].shown == "sync"
    scene.places[0].meanwhile = lambda: None
    scene.sync()
    assert scene.doubt is None


def test_a_process_that_is_told_to_stop_finishes_the_pair_first() -> None:
    scene = a_scene(secret_fails=[DOWN, None])
    scene.places[0].meanwhile = scene.stop.ask
    scene.sync()
    assert scene.places[0].halves in {(NEW, NEW), (OLD, OLD)}
    assert sum(scene.slept) <= 1


def test_a_process_that_is_told_to_stop_puts_back_what_it_cannot_finish_soon() -> None:
    scene = a_scene(secret_fails=[DOWN, DOWN, None])
    scene.places[0].meanwhile = scene.stop.ask
    with pytest.raises(ProviderUnavailable, match="put back"):
        scene.sync()
    assert scene.places[0].halves == (OLD, OLD)


def test_a_process_that_is_told_to_stop_begins_no_pair() -> None:
    scene = a_scene()
    scene.stop.ask()
    with pytest.raises(Stopped):
        scene.sync()
    assert scene.places[0].halves == (OLD, OLD)


# --- what is told ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("doubt", [doubt for doubt in PairDoubt if doubt is not PairDoubt.SAME])
def test_a_torn_place_comes_first_whatever_else_there_is(doubt: PairDoubt) -> None:
    scene = a_scene()
    record = PairsRecord(version=VersionId("v1"), at=NOW, places=((place_digest(WHERE), doubt),))
    scene.tag("s", {PAIRS_TAG: format_pairs(record)})
    first = plan(scene.seen(), CLASSIC, NOW).holds[0]
    assert (first.is_torn, first.needs, first.target) == (True, Needs.REPAIR, WHERE)
    assert first.reason.startswith(f"pipelines fail at {WHERE} now: it ")
    assert NEW in first.reason


def test_the_record_has_room_for_many_places() -> None:
    places = tuple((place_digest(str(number)), PairDoubt.BEGUN) for number in range(40))
    at = NOW.replace(microsecond=1)
    text = format_pairs(PairsRecord(version=VersionId("x" * 36), at=at, places=places))
    assert len(text) <= 256
    again = parse_pairs(text)
    assert again is not None
    assert again.is_cut
    assert again.places == places[: len(again.places)]


def test_what_has_no_room_in_the_record_is_no_pair_in_doubt() -> None:
    """Otherwise a rewrite of many places would count as a write that may have torn any of them."""
    same = tuple((place_digest(str(number)), PairDoubt.SAME) for number in range(40))
    torn = (place_digest("torn"), PairDoubt.UNSURE)
    again = parse_pairs(format_pairs(PairsRecord(version=VersionId("x" * 36), at=NOW, places=(*same, torn))))
    assert again is not None
    assert not again.is_cut
    assert again.places == (torn, *same[: len(again.places) - 1])


@pytest.mark.parametrize("text", ["", "whole", "a@b", "a@b@c", "v@2026-06-01T06:00:00+00:00@shortx", "@@@"])
def test_a_note_that_somebody_edited_counts_as_none(text: str) -> None:
    assert parse_pairs(text) is None
