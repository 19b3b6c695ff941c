"""How AWSCURRENT comes to the targets: what is written, noted, begun anew, and waited for."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from builders import (
    NEW,
    NOW,
    ODD,
    OLD,
    USER,
    a_key,
    a_secret,
    a_version,
    absent,
    ago,
    cannot_tell,
    current,
    down,
    holds,
    observed,
)
from keyrota.core.lifecycle import interpret
from keyrota.core.model import (
    PAIRS_TAG,
    SYNC_PASS_TAG,
    SYNCED_TAG,
    AccessKeyId,
    Conflict,
    IndexEntry,
    KeyPair,
    Observation,
    PlaceId,
    SecretState,
    Surroundings,
    SyncPass,
    SyncRecord,
    TargetState,
    VersionId,
    version_mark,
)
from keyrota.core.plan import Sync
from keyrota.core.policy import CLASSIC
from keyrota.core.records import (
    Index,
    format_index,
    format_pass,
    format_synced,
    parse_index,
    parse_pairs,
    parse_pass,
    parse_synced,
)
from keyrota.core.secret import Secret
from keyrota.errors import NotVerified, PartialFailure, ProviderRefused, ProviderUnavailable
from keyrota.executor import CredentialContext, Settings
from keyrota.executor.pairs import AnotherPlace
from keyrota.executor.sync import sync

TWO_DAYS_AGO, A_DAY_AGO = ago(2), ago(1)
A_SECOND = timedelta(seconds=1)
ARN = f"arn:aws:iam::123456789012:user/{USER}"


@dataclass
class Place:
    """A target: how it takes a write, and what a pipeline does there."""

    scene: Scene
    address: str
    fails: Exception | None = None
    has_separate_variables: bool = False
    wait_for_idle: timedelta = timedelta()
    busy: list[bool | None] = field(default_factory=list)
    got: list[AccessKeyId] = field(default_factory=list)
    now: PlaceId | None = None
    """What place it is when it is asked again before the write."""

    shown: TargetState | None = None
    """What it shows when it is read again before a first write; None: what it has shown before."""
    around: tuple[Conflict, ...] = ()

    def read(self) -> TargetState:
        self.scene.reads.append(self.address)
        return self.shown or self.scene.states.get(self.address) or cannot_tell(self.address)

    def surroundings(self) -> Surroundings:
        return Surroundings(address=self.address, conflicts=self.around)

    def place_now(self) -> PlaceId | None:
        self.scene.calls.append(f"place {self.address}")
        return self.now

    def write(self, credential: KeyPair) -> None:
        self.scene.calls.append(f"write {self.address}")
        self.scene.instant += A_SECOND
        if self.fails:
            raise self.fails
        self.got.append(credential.id)

    def is_busy(self) -> bool | None:
        self.scene.calls.append(f"busy {self.address}")
        return self.busy.pop(0) if self.busy else False


@dataclass
class Scene:
    """One secret whose AWSCURRENT moves as it is told to."""

    secret: SecretState
    moves: dict[str, SecretState] = field(default_factory=dict)
    """After which call the secret looks how."""
    calls: list[str] = field(default_factory=list)
    instant: datetime = NOW
    accepts: bool = True
    places: tuple[Place, ...] = ()
    reads: list[str] = field(default_factory=list)
    """Places that were read again before a first write."""
    states: dict[str, TargetState] = field(default_factory=dict)

    def _called(self, name: str) -> None:
        self.calls.append(name)

    def _moved(self) -> None:
        if self.calls and (then := self.moves.pop(self.calls[-1], None)):
            tags = dict(self.secret.tags) | dict(then.tags)
            self.secret = replace(then, tags=tuple(tags.items()))

    def now(self) -> datetime:
        return self.instant

    def sleep(self, seconds: float) -> None:
        self.calls.append(f"sleep {seconds:g}")
        self.instant += timedelta(seconds=seconds)

    def describe(self, _: str) -> SecretState:
        self._moved()
        return self.secret

    def current(self, _: str) -> tuple[VersionId, KeyPair]:
        self._moved()
        version = next(one for one in self.secret.versions if "AWSCURRENT" in one.labels)
        key = next(AccessKeyId(label) for label in version.labels if label.startswith("AKIA"))
        return version.id, KeyPair(id=key, secret=Secret("made up"))

    def tag(self, _: str, tags: dict[str, str]) -> None:
        self._called("tag " + " ".join(sorted(name.removeprefix("keyrota:") for name in tags)))
        self.secret = replace(self.secret, tags=tuple((dict(self.secret.tags) | tags).items()))

    def whoami(self, _: KeyPair) -> tuple[str | None, ...]:
        self._called("whoami")
        return (ARN if self.accepts else None,)

    @property
    def tags(self) -> dict[str, str]:
        return dict(self.secret.tags)

    @property
    def record(self) -> SyncRecord | None:
        return parse_synced(self.tags.get(SYNCED_TAG, ""))

    @property
    def walk(self) -> SyncPass | None:
        return parse_pass(self.tags.get(SYNC_PASS_TAG, ""), [place.address for place in self.places])

    def subject(self, **known: Any) -> CredentialContext:
        ports: dict[str, Any] = {"access_keys": self, "identity": self, "store": self, "targets": self.places}
        return CredentialContext(user=USER, account="123456789012", secret_name="s", policy=CLASSIC, **(ports | known))

    def seen(self, *targets: TargetState, **known: Any) -> Observation:
        """The credential as the run saw it before it began."""
        shown = targets or tuple(cannot_tell(place.address) for place in self.places)
        seen = observed(a_key(OLD, age_days=91), a_key(NEW, age_days=1), secret=self.secret, targets=shown)
        return replace(seen, fingerprint=self.subject().fingerprint, **known)

    def sync(
        self, *addresses: str, seen: Observation | None = None, subject: CredentialContext | None = None, **known: Any
    ) -> Any:
        action = Sync(key=NEW, targets=addresses, reason="", due=NOW, **known)
        settings = Settings(clock=self, run="r", verify_times=1)
        seen = seen or self.seen()
        self.states = {target.address: target for target in seen.targets}
        return sync(subject or self.subject(), action, seen, settings, set())


def a_scene(*addresses: str, tags: Any = (), version: str = "v1", **known: Any) -> Scene:
    scene = Scene(secret=a_secret(a_version("v0", OLD), current(NEW, version), tags=tags), **known)
    scene.places = tuple(Place(scene, address) for address in addresses)
    return scene


def synced_since(
    scene: Scene, *, version: str = "v1", since: datetime = TWO_DAYS_AGO, confirmed: datetime = A_DAY_AGO
) -> SyncRecord:
    """Let the secret say that its targets are synced."""
    record = SyncRecord(
        version=VersionId(version), since=since, confirmed=confirmed, fingerprint=scene.subject().fingerprint
    )
    scene.secret = replace(scene.secret, tags=(*scene.secret.tags, (SYNCED_TAG, format_synced(record))))
    return record


@pytest.mark.parametrize(("changed_at", "is_noted"), [(ago(0.5), True), (None, False)])
def test_a_rewrite_is_noted_where_the_provider_tells_when_the_pair_was_changed(
    changed_at: datetime | None, is_noted: bool
) -> None:
    """A run that dies after it would otherwise leave a change that nobody is known to have made."""
    scene = a_scene("a", "b")
    synced_since(scene)
    states = (replace(cannot_tell("a"), changed_at=changed_at), cannot_tell("b"))
    scene.sync("a", "b", seen=scene.seen(*states), is_rewrite=True)
    assert scene.calls.index("whoami") == is_noted
    assert (scene.calls[0] == "tag pairs") is is_noted
    assert dict(scene.secret.tags).get(PAIRS_TAG, "whole") == "whole"


def test_a_rewrite_that_continues_a_pass_is_noted_with_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pass may have begun hours ago; the change at the place is of now."""
    scene = a_scene("a", "b")
    synced_since(scene)
    walk = SyncPass(
        version=VersionId("v1"), began=ago(0.5), fingerprint=scene.subject().fingerprint, written=frozenset()
    )
    scene.secret = replace(scene.secret, tags=(*scene.secret.tags, (SYNC_PASS_TAG, format_pass(walk, ["a", "b"]))))
    states = [replace(cannot_tell(name), changed_at=ago(0.5)) for name in ("a", "b")]
    monkeypatch.setattr("keyrota.executor.sync.verify", _dies)
    with pytest.raises(NotVerified):
        scene.sync("a", "b", seen=scene.seen(*states), is_rewrite=True)
    noted = parse_pairs(dict(scene.secret.tags)[PAIRS_TAG])
    assert noted is not None
    assert noted.at == NOW


def _dies(*_: object) -> None:
    raise NotVerified("the process ends here")


# --- all goes well --------------------------------------------------------------------------------------------------


def test_every_target_is_written_after_the_proof_and_before_the_record() -> None:
    scene = a_scene("a", "b")
    assert scene.sync("a", "b") == NEW
    assert (scene.calls[0], sorted(scene.calls[1:3]), scene.calls[3:]) == (
        "whoami",
        ["write a", "write b"],
        ["tag created synced"],
    )
    end = NOW + 2 * A_SECOND
    assert scene.record == SyncRecord(
        version=VersionId("v1"), since=end, confirmed=end, fingerprint=scene.subject().fingerprint, ended=end
    )
    assert scene.walk is None


def test_the_overlap_counts_from_the_first_time() -> None:
    """Written again, `since` stays; `confirmed` is the time before the first write."""
    scene = a_scene("a", "b")
    synced_since(scene)
    scene.sync("a", "b", is_rewrite=True)
    record = scene.record
    assert record is not None
    assert (record.since, record.confirmed, record.ended) == (ago(2), NOW, NOW + 2 * A_SECOND)


def test_a_record_of_another_version_is_made_untrue_before_the_first_write() -> None:
    scene = a_scene("a")
    synced_since(scene, version="v0")
    scene.sync("a")
    assert scene.calls == ["tag sync-pass synced", "whoami", "write a", "tag created synced"]
    record = scene.record
    assert record is not None
    assert (record.version, record.since) == ("v1", NOW + A_SECOND)


def test_a_mend_makes_the_record_untrue_for_its_time_and_keeps_the_overlap() -> None:
    scene = a_scene("a", "b")
    synced_since(scene)
    seen = scene.seen(holds(ODD, "a"), holds(NEW, "b"))
    scene.sync("a", seen=seen, is_repair=True)
    assert scene.calls == ["tag sync-pass synced", "whoami", "write a", "tag created synced"]
    record = scene.record
    assert record is not None
    assert (record.since, record.confirmed, record.ended) == (ago(2), ago(1), NOW + A_SECOND)


def test_a_mend_that_takes_an_older_key_of_ours_away_starts_the_overlap_anew() -> None:
    scene = a_scene("a", "b")
    synced_since(scene)
    scene.sync("a", seen=scene.seen(holds(OLD, "a"), holds(NEW, "b")), is_repair=True)
    assert scene.record is not None
    assert scene.record.since == NOW + A_SECOND
    other = a_scene("a", "b")
    synced_since(other)
    other.sync("a", seen=other.seen(holds(ODD, "a"), holds(OLD, "b")), is_repair=True)
    assert other.record is not None
    assert other.record.since == ago(2), "what is not written takes nothing away"


def test_a_mend_of_what_cannot_be_read_starts_the_overlap_anew() -> None:
    """A run that stood still may have written the older key there, long after its successor was served."""
    scene = a_scene("a", "b")
    synced_since(scene)
    scene.sync("a", seen=scene.seen(cannot_tell("a"), holds(NEW, "b")), is_repair=True)
    assert scene.record is not None
    assert scene.record.since == NOW + A_SECOND


# --- what fails -----------------------------------------------------------------------------------------------------


def test_a_target_that_fails_leaves_a_walk_and_names_itself() -> None:
    scene = a_scene("a", "b", "c")
    scene.places[1].fails = ProviderUnavailable("503")
    with pytest.raises(ProviderUnavailable) as caught:
        scene.sync("a", "b", "c")
    assert caught.value.target == "b"
    assert scene.record is None
    assert scene.walk == SyncPass(
        version=VersionId("v1"),
        began=NOW,
        fingerprint=scene.subject().fingerprint,
        written=frozenset({"a", "c"}),
    )


def test_several_that_fail_are_told_together() -> None:
    scene = a_scene("a", "b", "c")
    for place in scene.places[1:]:
        place.fails = ProviderUnavailable("503")
    with pytest.raises(PartialFailure, match="2 targets"):
        scene.sync("a", "b", "c")


def test_a_walk_of_two_targets_is_a_walk() -> None:
    scene = a_scene("a", "b")
    scene.places[1].fails = ProviderUnavailable("503")
    with pytest.raises(ProviderUnavailable):
        scene.sync("a", "b")
    assert scene.walk is not None
    assert scene.walk.written == {"a"}


def test_all_that_is_to_be_noted_first_is_noted_at_once() -> None:
    scene = a_scene("a", "b")
    walk = SyncPass(version=VersionId("v0"), began=ago(1), fingerprint="f", written=frozenset())
    scene.secret = replace(scene.secret, tags=((SYNC_PASS_TAG, format_pass(walk, ["a", "b"])),))
    synced_since(scene, version="v0")
    scene.sync("a", "b", subject=scene.subject(index=(ENTRY,)))
    assert scene.calls[0] == "tag sync-pass synced targets"


def test_a_mend_of_ours_among_others_starts_the_overlap_anew() -> None:
    scene = a_scene("a", "b")
    synced_since(scene)
    scene.sync("a", "b", seen=scene.seen(holds(OLD, "a"), holds(ODD, "b")), is_repair=True)
    assert scene.record is not None
    assert scene.record.since == NOW + 2 * A_SECOND


def test_the_overlap_of_what_moved_meanwhile_begins_when_it_is_there() -> None:
    scene = a_scene("a", "b", moves={"write a": moved("v2")})
    synced_since(scene)
    scene.sync("a", is_rewrite=True)
    assert scene.record is not None
    assert (scene.record.version, scene.record.since) == ("v2", NOW + 3 * A_SECOND)


def test_a_walk_of_one_target_that_fails_leaves_none() -> None:
    scene = a_scene("a")
    scene.places[0].fails = ProviderRefused("401")
    with pytest.raises(ProviderRefused):
        scene.sync("a")
    assert (scene.walk, scene.record) == (None, None)


def test_a_walk_goes_on_with_its_own_beginning() -> None:
    scene = a_scene("a", "b", "c")
    walk = SyncPass(
        version=VersionId("v1"), began=ago(0.5), fingerprint=scene.subject().fingerprint, written=frozenset({"a"})
    )
    tag = (SYNC_PASS_TAG, format_pass(walk, ["a", "b", "c"]))
    scene.secret = replace(scene.secret, tags=(*scene.secret.tags, tag))
    synced_since(scene)
    scene.sync("b", "c", is_rewrite=True)
    assert sorted(scene.calls[1:-1]) == ["write b", "write c"]
    assert scene.record is not None
    assert (scene.record.since, scene.record.confirmed) == (ago(2), ago(0.5))


def test_what_an_earlier_version_was_written_to_does_not_count_for_the_next() -> None:
    scene = a_scene("a", "b", "c", moves={"write c": moved("v2")})
    walk = SyncPass(
        version=VersionId("v1"), began=ago(0.5), fingerprint=scene.subject().fingerprint, written=frozenset({"a"})
    )
    scene.secret = replace(scene.secret, tags=((SYNC_PASS_TAG, format_pass(walk, ["a", "b", "c"])),))
    scene.places[0].fails = ProviderUnavailable("503")
    with pytest.raises(ProviderUnavailable):
        scene.sync("c")
    assert scene.record is None
    assert scene.walk is not None
    assert (scene.walk.version, scene.walk.written) == ("v2", frozenset({"b", "c"}))


def test_a_mend_of_all_targets_confirms_nothing() -> None:
    """Only a walk tells when all were written; a mend writes what differs."""
    scene = a_scene("a")
    synced_since(scene)
    scene.sync("a", seen=scene.seen(holds(ODD, "a")), is_repair=True)
    assert scene.record is not None
    assert (scene.record.since, scene.record.confirmed) == (ago(2), ago(1))


def test_a_walk_of_another_version_ends_at_the_first_write() -> None:
    scene = a_scene("a", "b")
    walk = SyncPass(
        version=VersionId("v0"), began=ago(0.5), fingerprint=scene.subject().fingerprint, written=frozenset({"a"})
    )
    scene.secret = replace(scene.secret, tags=(*scene.secret.tags, (SYNC_PASS_TAG, format_pass(walk, ["a", "b"]))))
    scene.sync("a", "b")
    assert scene.calls[0] == "tag sync-pass"
    assert scene.walk is not None
    assert (scene.walk.version, scene.walk.written) == ("v1", frozenset())


def test_a_mend_that_fails_leaves_the_record_untrue() -> None:
    scene = a_scene("a", "b", "c")
    synced_since(scene)
    scene.places[0].fails = ProviderUnavailable("503")
    with pytest.raises(ProviderUnavailable):
        scene.sync("a", "b", seen=scene.seen(holds(ODD, "a"), holds(ODD, "b"), holds(NEW, "c")), is_repair=True)
    assert scene.tags[SYNCED_TAG] == "v1@begun"


def test_a_key_that_is_not_accepted_is_written_nowhere() -> None:
    scene = a_scene("a", accepts=False)
    with pytest.raises(NotVerified):
        scene.sync("a")
    assert not [call for call in scene.calls if call.startswith(("write", "tag"))]


def test_a_key_that_this_run_has_proven_is_not_proven_again() -> None:
    scene = a_scene("a")
    action = Sync(key=NEW, targets=("a",), reason="", due=NOW)
    verified = {NEW}
    sync(scene.subject(), action, scene.seen(), Settings(clock=scene, run="r"), verified)
    assert "whoami" not in scene.calls
    proven = set[AccessKeyId]()
    sync(scene.subject(), action, scene.seen(), Settings(clock=scene, run="r", verify_times=1), proven)
    assert proven == {NEW}


# --- AWSCURRENT moves -----------------------------------------------------------------------------------------------


def moved(version: str, key: AccessKeyId = ODD) -> SecretState:
    return a_secret(a_version("v1", NEW), current(key, version))


def test_who_finds_another_version_begins_with_all_targets() -> None:
    scene = a_scene("a", "b")
    seen = scene.seen()
    scene.secret = moved("v2")
    assert scene.sync("a", seen=seen) == ODD
    assert [place.got for place in scene.places] == [[ODD], [ODD]]
    record = scene.record
    assert record is not None
    assert record.version == "v2", "what was written is what is noted: v1 would count as sent when it comes back"


def test_who_finds_another_version_notes_it_before_it_writes() -> None:
    scene = a_scene("a")
    synced_since(scene)
    seen = scene.seen()
    scene.secret = replace(moved("v2"), tags=scene.secret.tags)
    assert scene.sync("a", seen=seen) == ODD
    assert scene.calls == ["tag sync-pass synced", "whoami", "write a", "tag synced"]


def test_what_moves_meanwhile_is_sent_to_every_target() -> None:
    scene = a_scene("a", "b", moves={"write a": moved("v2")})
    assert scene.sync("a") == ODD
    assert [place.got for place in scene.places] == [[NEW, ODD], [ODD]]
    record = scene.record
    assert record is not None
    assert record.version == "v2"


def test_a_failure_before_a_move_stops_nothing_and_is_told_in_the_end() -> None:
    """The others may have been given what is not current any more, while a note says that they hold what is."""
    scene = a_scene("a", "b", moves={"write b": moved("v2")})
    scene.places[0].fails = ProviderUnavailable("503")
    with pytest.raises(ProviderUnavailable):
        scene.sync("a", "b")
    assert scene.places[1].got == [NEW, ODD]
    assert scene.record is None
    assert scene.walk is not None
    assert scene.walk.version == "v2"
    assert scene.walk.written == {"b"}


def test_a_sync_that_starts_over_notes_that_nothing_is_written_yet() -> None:
    """Another run may have noted that all hold the newer key, which this one has just written over."""
    scene = a_scene("a", "b", moves={"write a": moved("v2")})
    assert scene.sync("a") == ODD
    assert [call for call in scene.calls if call.startswith("tag")] == ["tag sync-pass", "tag synced"]


def test_a_current_version_that_never_stays_is_an_error() -> None:
    class Restless(Scene):
        def describe(self, _: str) -> SecretState:
            if self.calls and self.calls[-1].startswith("write"):
                self.secret = replace(moved(f"v{len(self.calls)}"), tags=self.secret.tags)
            return self.secret

    scene = Restless(secret=a_secret(current(NEW)))
    scene.places = (Place(scene, "a"),)
    with pytest.raises(ProviderUnavailable, match="moved 5 times"):
        scene.sync("a")
    assert len(scene.places[0].got) == 5
    assert scene.walk is not None
    assert (scene.walk.version, scene.walk.written) == (f"v{len(scene.calls) - 1}", frozenset()), "soak 1561"


def test_where_another_run_touched_the_record_all_is_as_if_sent_for_the_first_time() -> None:
    scene = a_scene("a", "b")
    synced_since(scene)
    begun = replace(scene.secret, tags=((SYNCED_TAG, "v1@begun"),))
    seen = scene.seen()
    scene.moves = {"write b": begun, "write a": begun}
    scene.sync("a", "b", seen=seen, is_rewrite=True)
    assert scene.record is not None
    assert scene.record.since == NOW + 2 * A_SECOND


# --- the index of targets -------------------------------------------------------------------------------------------

ENTRY = IndexEntry(address="a", kind="bitbucket", settings="{}")


def test_a_target_is_remembered_before_the_first_write_to_it() -> None:
    scene = a_scene("a")
    scene.sync("a", subject=scene.subject(index=(ENTRY,)))
    assert scene.calls == ["tag targets", "whoami", "write a", "tag created synced targets"]
    (entry,) = parse_index(scene.tags).entries
    assert replace(entry, written=None) == ENTRY
    assert entry.written is not None
    assert entry.written.version == version_mark(VersionId("v1"))


def test_targets_that_are_remembered_are_not_written_down_again() -> None:
    scene = a_scene("a", tags=format_index(Index((ENTRY,))).items())
    scene.sync("a", subject=scene.subject(index=(ENTRY,)))
    assert scene.calls == ["whoami", "write a", "tag created synced targets"]


def test_what_another_run_remembered_meanwhile_stays() -> None:
    scene = a_scene("a")
    seen, other = scene.seen(), replace(ENTRY, address="other")
    tags = (*scene.secret.tags, *format_index(Index((other,))).items())
    scene.secret = replace(scene.secret, tags=tags)
    scene.sync("a", seen=seen, subject=scene.subject(index=(ENTRY,)))
    assert [entry.address for entry in parse_index(scene.tags).entries] == ["a", "other"]


def test_an_index_that_is_full_or_that_somebody_edited_meanwhile_is_left_alone() -> None:
    full = a_scene("a", tags=[("keyrota:targets.full", "yes")])
    full.sync("a", subject=full.subject(index=(ENTRY,)))
    assert not [call for call in full.calls if "targets" in call]
    edited = a_scene("a")
    seen = edited.seen()
    edited.secret = replace(edited.secret, tags=(("keyrota:targets", "?"),))
    edited.sync("a", seen=seen, subject=edited.subject(index=(ENTRY,)))
    assert edited.tags["keyrota:targets"] == "?"
    assert interpret(seen).index == Index()


HERE, ELSEWHERE = (PlaceId(kind="bitbucket", origin="https://x", id=f"repository {number}") for number in (1, 2))


def _written_at(address: str, place: PlaceId) -> IndexEntry:
    return replace(ENTRY, address=address, origin=place.origin, place=place.mark)


@pytest.mark.parametrize(
    ("entries", "now", "is_written"),
    [
        ([], ELSEWHERE, True),
        ([_written_at("a", HERE)], HERE, True),
        ([_written_at("a", HERE)], ELSEWHERE, False),
        ([_written_at("a", HERE)], None, True),
        ([_written_at("b", HERE)], ELSEWHERE, True),
        ([replace(_written_at("a", HERE), is_begun=False)], ELSEWHERE, True),
        ([ENTRY], ELSEWHERE, True),
        ([_written_at("a", HERE), _written_at("a", ELSEWHERE)], ELSEWHERE, True),
    ],
    ids=["never", "the same", "another", "unknown now", "other name", "not begun", "unknown then", "one of two"],
)
def test_a_place_whose_read_failed_is_compared_with_what_was_written_under_its_name(
    entries: list[IndexEntry], now: PlaceId | None, is_written: bool
) -> None:
    scene = a_scene("a", tags=format_index(Index(tuple(entries))).items())
    scene.places[0].now = now
    if is_written:
        scene.sync("a", seen=scene.seen(down("a")))
    else:
        with pytest.raises(AnotherPlace):
            scene.sync("a", seen=scene.seen(down("a")))
    assert ("write a" in scene.calls) is is_written


@pytest.mark.parametrize(
    ("read_s", "now", "is_asked", "is_written"),
    [(0, ELSEWHERE, False, True), (3600, ELSEWHERE, True, False), (3600, HERE, True, True), (None, HERE, True, True)],
)
def test_a_place_that_was_read_long_ago_is_asked_what_it_is_before_the_write(
    read_s: float | None, now: PlaceId, is_asked: bool, is_written: bool
) -> None:
    scene = a_scene("a")
    scene.places[0].now = now
    read_at = None if read_s is None else NOW - timedelta(seconds=read_s)
    seen = scene.seen(replace(cannot_tell("a"), place=HERE, read_at=read_at))
    if is_written:
        scene.sync("a", seen=seen)
    else:
        with pytest.raises(AnotherPlace):
            scene.sync("a", seen=seen)
    assert ("place a" in scene.calls, "write a" in scene.calls) == (is_asked, is_written)


# --- patience -------------------------------------------------------------------------------------------------------


BUSY, FREE = True, False


def waiting(*busy: bool | None, wait_for_idle: float = 40) -> Scene:
    scene = a_scene("a")
    scene.places[0].busy = list(busy)
    scene.places[0].wait_for_idle = timedelta(seconds=wait_for_idle)
    return scene


@pytest.mark.parametrize(
    ("case", "scene", "calls"),
    [
        ("nothing runs", waiting(), ["busy a", "write a"]),
        ("nobody waits there", waiting(BUSY, wait_for_idle=0), ["write a"]),
        (
            "something runs for a while",
            waiting(BUSY, BUSY, FREE, wait_for_idle=200),
            ["busy a", "sleep 15", "busy a", "sleep 30", "busy a", "write a"],
        ),
        (
            "and for longer than may be waited; unknown counts as busy",
            waiting(None, None, None, None),
            ["busy a", "sleep 15", "busy a", "sleep 25", "write a"],
        ),
        (
            "it is asked less often the longer it runs, and at least once a minute",
            waiting(*[BUSY] * 5, FREE, wait_for_idle=600),
            [*(call for pause in (15, 30, 60, 60, 60) for call in ("busy a", f"sleep {pause}")), "busy a", "write a"],
        ),
        (
            "a moment is left",
            waiting(BUSY, BUSY, wait_for_idle=15.05),
            ["busy a", "sleep 15", "busy a", "sleep 0.1", "write a"],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_write_waits_for_pipelines(case: str, scene: Scene, calls: list[str]) -> None:
    scene.sync("a")
    assert scene.calls == ["whoami", *calls, "tag created synced"], case


HALF = Conflict(what="half a pair at the repository", remedy="set `names:`")
"""What another level makes of a write."""


def first_write(**known: Any) -> tuple[Scene, Observation]:
    """A place that was empty when it was read, and is written for the first time after pipelines were waited for."""
    scene = waiting(BUSY, FREE, wait_for_idle=200)
    state = replace(absent("a"), is_empty=True, read_at=NOW)
    looks = (Surroundings(address="a", conflicts=known.pop("before", ())),)
    return scene, scene.seen(replace(state, **known), first_looks=looks)


@pytest.mark.parametrize(
    ("what", "shown", "around"),
    [
        ("a key came", holds(ODD, "a"), ()),
        ("a pair came that cannot be read", cannot_tell("a"), ()),
        ("another level", None, (HALF,)),
        ("it cannot be read any more", down("a"), ()),
        ("it was archived", replace(absent("a"), is_empty=True, is_archived=True), ()),
    ],
)
def test_a_first_write_asks_again_after_it_has_waited(
    what: str, shown: TargetState | None, around: tuple[Conflict, ...]
) -> None:
    """What appeared while pipelines were waited for, at the place or above it, is not written over."""
    scene, seen = first_write()
    scene.places[0].shown, scene.places[0].around = shown, around
    with pytest.raises(ProviderUnavailable, match="nothing was written to a for the first time"):
        scene.sync("a", seen=seen)
    assert (scene.places[0].got, scene.reads) == ([], ["a"]), what


def test_a_first_write_into_what_is_as_it_was_goes_on() -> None:
    scene, seen = first_write(before=(HALF,))
    scene.places[0].around = (HALF,)  # a person has confirmed it, or the plan would hold it
    assert scene.sync("a", seen=seen) == NEW
    assert (scene.places[0].got, scene.reads) == ([NEW], ["a"])


@pytest.mark.parametrize("is_first", [True, False])
def test_a_place_that_was_read_just_now_or_written_before_is_not_read_again(*, is_first: bool) -> None:
    scene = a_scene("a") if is_first else waiting(BUSY, FREE, wait_for_idle=200)
    if not is_first:
        synced_since(scene, version="v0")
    scene.sync("a", seen=scene.seen(replace(holds(OLD, "a"), read_at=NOW)))
    assert scene.reads == []


def test_what_is_urgent_waits_for_nobody() -> None:
    scene = waiting(BUSY, BUSY)
    scene.sync("a", is_urgent=True)
    assert scene.calls == ["whoami", "write a", "tag created synced"]


def test_who_waited_does_not_write_what_is_not_wanted_any_more() -> None:
    scene = waiting(BUSY, FREE)
    scene.moves = {"busy a": moved("v2")}
    assert scene.sync("a") == ODD
    assert scene.places[0].got == [ODD]
    assert scene.calls.count("busy a") == 2, "a repair waits for nobody"
