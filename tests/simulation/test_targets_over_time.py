"""Targets over time: walks that stop and go on, targets left behind, drift, queued runs, pipelines waited for."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from rig import SECRET, SHOP, USER, Rig, a_rig

from keyrota.core.emergency import Revoke, Rollback
from keyrota.core.lifecycle import interpret
from keyrota.core.model import AccessKeyId, IndexEntry, KeyPair, Observation, TargetEvidence, TargetState
from keyrota.core.outcome import Outcome
from keyrota.core.planner import SyncOnly
from keyrota.core.policy import CLASSIC, Drift
from keyrota.core.records import INDEX_PIECES, Index, format_index, parse_index
from keyrota.core.retirement import _is_unknown
from keyrota.core.secret import Secret
from keyrota.errors import KeyrotaError, ProviderRefused
from keyrota.executor import CredentialContext, Settings, apply_all, plan_all
from keyrota.executor.forget import forget, list_remembered
from keyrota_sandbox.memory import Crash, World, open_target

MANY = tuple(f"github acme/r{number:03}" for number in range(40))
HELD = replace(CLASSIC, drift=Drift.HOLD)


def _subject(rig: Rig) -> CredentialContext:
    """The credential with an index of its targets, as wiring builds it."""
    world = rig.world

    def reach(entry: IndexEntry) -> object:
        return open_target(world, entry.address)

    index = tuple(IndexEntry(address=place, kind="github", settings="{}") for place in rig.places)
    return replace(rig.subject, index=index, reach=reach)  # type: ignore[arg-type]  # a target


def _run(rig: Rig, intent: SyncOnly | Revoke | None = None) -> Outcome:
    rig.runs += 1
    settings = Settings(clock=rig.world.clock, run=f"run-{rig.runs}")
    (outcome,) = apply_all(plan_all([_subject(rig)], settings, intent=intent))
    return outcome


def _seen(rig: Rig) -> Observation:
    settings = Settings(clock=rig.world.clock, run="look")
    (preview,) = plan_all([_subject(rig)], settings)
    assert preview.observation is not None
    return preview.observation


def _holds(outcome: Outcome) -> str:
    return " | ".join(hold.reason for hold in outcome.plan.holds) if outcome.plan else ""


def _notices(outcome: Outcome) -> str:
    return " | ".join(f"{notice.target}: {notice.reason}" for notice in outcome.plan.notices) if outcome.plan else ""


def _writes(rig: Rig) -> list[str]:
    return [
        call.rpartition(" ")[0] and call.split(" ", 2)[2] for call in rig.world.journal if "target:write id" in call
    ]


def _days(rig: Rig, number: float) -> None:
    rig.world.clock.travel(timedelta(days=number))


# --- walks ------------------------------------------------------------------------------------------------------------


def _limit(rig: Rig, writes: int) -> None:
    """Let only so many targets take a write from now on; the halves of a pair go together."""
    taken: set[str] = set()

    def stop(name: str, _: World) -> None:
        if not name.startswith("target:write"):
            return
        address = name.split(" ", 2)[2]
        if address not in taken and len(taken) >= writes:
            raise ProviderRefused("the budget of writes is used up until later")
        taken.add(address)

    rig.world.before = stop


@pytest.mark.parametrize("readable", [True, False], ids=["readable", "not readable"])
def test_a_walk_that_stops_goes_on_where_it_stopped(*, readable: bool) -> None:
    """Forty targets, fifteen a run: three runs, and each target is written once."""
    rig = a_rig(places=MANY)
    for place in MANY:
        rig.world.places[place].is_id_readable = readable
    written = []
    for _ in range(3):
        _limit(rig, 15)
        _run(rig)
        written.append(len(_writes(rig)))
    assert written == [15, 30, 40]
    assert sorted(_writes(rig)) == sorted(MANY)
    assert interpret(_seen(rig)).is_synced()


def test_a_rewrite_that_stops_goes_on_as_well() -> None:
    """The pair is written a second time after a while: also in three runs, and then never again."""
    rig = a_rig(places=MANY)
    _run(rig)
    rig.world.journal.clear()
    _days(rig, 1)
    counts = []
    for _ in range(4):
        _limit(rig, 15)
        _run(rig)
        counts.append(len(_writes(rig)))
        _days(rig, 0.01)
    assert counts == [15, 30, 40, 40]


def test_a_target_that_fails_alone_is_the_only_one_that_is_tried_again() -> None:
    rig = a_rig(places=MANY)
    rig.world.places[MANY[7]].is_down = True
    rig.world.places[MANY[7]].is_ready = True
    _run(rig)  # preflight holds the rotation while a target is down: nothing is made
    assert not _writes(rig)
    rig.world.places[MANY[7]].is_down = False
    refused = [MANY[7]]

    def refuse(name: str, _: World) -> None:
        if name.startswith("target:write") and any(name.endswith(place) for place in refused):
            raise ProviderRefused("not now")

    rig.world.before = refuse
    _run(rig)
    assert len(_writes(rig)) == 39
    rig.world.journal.clear()
    refused.clear()
    _run(rig)
    assert _writes(rig) == [MANY[7]]


def test_a_target_that_lost_the_key_meanwhile_is_written_again_in_the_same_walk() -> None:
    """What a walk has written counts only while it shows no other key."""
    rig = a_rig(places=MANY)
    _limit(rig, 30)
    _run(rig)
    changed = _writes(rig)[0]
    rig.world.places[changed].pair = KeyPair(id=AccessKeyId("AKIAOFSOMEBODYELSE"), secret=Secret("x"))
    rig.world.journal.clear()
    rig.world.before = None
    _run(rig)
    assert changed in _writes(rig)
    assert len(_writes(rig)) == 11


def test_a_rollback_begins_a_new_walk() -> None:
    """Targets that a walk wrote with the new key do not count as written with the old one."""
    rig = a_rig(places=MANY)
    for _ in range(90):
        _run(rig)
        _days(rig, 1)
    _limit(rig, 15)
    _run(rig)
    assert len({place.pair.id for place in rig.world.places.values() if place.pair}) == 2
    rig.world.before = None
    known = interpret(_seen(rig))
    assert known.previous is not None
    old = next(label for label in known.previous.labels if label.startswith("AKIA"))
    settings = Settings(clock=rig.world.clock, run="back")
    apply_all(plan_all([_subject(rig)], settings, intent=Rollback(to=AccessKeyId(old))))
    held = {place.pair.id for place in rig.world.places.values() if place.pair}
    assert held == {old}


@pytest.mark.parametrize("moment", range(1, 30, 3))
def test_a_crash_in_a_walk_leaves_nothing_that_counts_as_written_and_is_not(moment: int) -> None:
    """Whatever the crash cut off, in the end every target holds AWSCURRENT, and the record says so only then."""
    rig = a_rig(places=MANY[:6])
    calls = [0]

    def crash(name: str, _: World) -> None:
        calls[0] += name.startswith(("target:write", "secretsmanager:TagResource"))
        if calls[0] == moment:
            calls[0] += 1
            raise Crash

    rig.world.before = crash
    for _ in range(40):
        with contextlib.suppress(Crash):
            _run(rig)
        _days(rig, 1)
    assert calls[0] > moment
    rig.world.before = None
    _days(rig, 1)
    for _ in range(3):
        _run(rig)
    current = interpret(_seen(rig)).current_key
    assert {place.pair.id for place in rig.world.places.values() if place.pair} == {current}
    assert interpret(_seen(rig)).is_synced()


# --- left behind ------------------------------------------------------------------------------------------------------


def _moved(rig: Rig) -> None:
    """Take the shop out of the configuration, and put another place in, after the first rotation."""
    _run(rig)
    rig.places = ("github acme/web",)
    open_target(rig.world, rig.places[0])


def test_a_target_that_is_taken_out_is_reported_with_what_it_holds() -> None:
    rig = a_rig()
    _moved(rig)
    held = rig.world.places[SHOP].pair
    assert held is not None
    assert f"{SHOP}: removed from the configuration" in _notices(_run(rig))
    assert held.id in _notices(_run(rig))


def test_the_key_that_a_target_left_behind_holds_stays_active_until_it_is_forgotten() -> None:
    """Promise served-key-lives is about every target that keyrota wrote, not only those of today's configuration."""
    rig = a_rig()
    _moved(rig)
    held = rig.world.places[SHOP].pair
    for _ in range(130):
        outcome = _run(rig)
        assert rig.world.use(held)
        _days(rig, 1)
    assert "was left behind, and still holds it" in _holds(outcome) or "still used" in _holds(outcome)
    assert rig.world.find(held.id) is not None if held else False


@pytest.mark.parametrize("is_gone", [False, True], ids=["not readable", "not reachable"])
def test_what_cannot_be_told_of_a_target_left_behind_blocks_as_well(*, is_gone: bool) -> None:
    rig = a_rig()
    rig.world.places[SHOP].is_id_readable = is_gone
    _moved(rig)
    rig.world.places[SHOP].is_down = is_gone
    for _ in range(115):
        outcome = _run(rig)
        _days(rig, 1)
    assert "may still hold it" in _holds(outcome)


@pytest.mark.parametrize("deletes", [False, True])
def test_forgetting_ends_it(*, deletes: bool) -> None:
    rig = a_rig()
    _moved(rig)
    _run(rig)
    (known,) = [one for one in list_remembered(_subject(rig), _seen(rig)) if not one.is_configured]
    gone = forget(known, deletes_variables=deletes)
    assert bool(gone) is deletes
    assert (rig.world.places[SHOP].pair is None) is deletes
    assert "removed from the configuration" not in _notices(_run(rig))


def test_what_somebody_else_wrote_there_is_not_deleted() -> None:
    rig = a_rig()
    _moved(rig)
    _run(rig)
    rig.world.places[SHOP].pair = KeyPair(id=AccessKeyId("AKIAOFSOMEBODYELSE"), secret=Secret("x"))
    (known,) = [one for one in list_remembered(_subject(rig), _seen(rig)) if not one.is_configured]
    with pytest.raises(KeyrotaError, match="somebody else"):
        forget(known, deletes_variables=True)
    assert "removed from the configuration" in _notices(_run(rig))


def test_a_target_is_in_the_index_before_the_first_write_to_it() -> None:
    """A crash right after the first write leaves it known."""
    rig = a_rig()

    def crash(name: str, _: World) -> None:
        if name.startswith("target:write id"):
            raise Crash

    rig.world.after = crash
    with pytest.raises(Crash):
        _run(rig)
    tags = rig.world.secrets[SECRET].tags
    assert [entry.address for entry in parse_index(tags).entries] == [SHOP]


def test_400_targets_fit_into_the_index() -> None:
    entries = tuple(
        IndexEntry(
            address=f"github acme/service-{number}-backend production",
            kind="github",
            settings=f'{{"environment": "production", "repository": "acme/service-{number}-backend"}}',
        )
        for number in range(400)
    )
    tags = format_index(Index(entries))
    assert len(tags) <= INDEX_PIECES
    assert all(len(value) <= 256 for value in tags.values())
    assert set(parse_index(tags).entries) == set(entries)


def test_what_does_not_fit_into_the_index_is_told_and_what_is_there_stays() -> None:
    """Random names cannot be compressed: two thousand of them are too many."""
    some = (IndexEntry(address=SHOP, kind="bitbucket", settings="{}"),)
    tags = format_index(Index(some))
    numbers = random.Random(1)  # noqa: S311  # a seed makes names
    many = tuple(
        IndexEntry(address=f"github acme/{numbers.getrandbits(128):032x}", kind="github", settings="{}")
        for _ in range(2000)
    )
    tags |= format_index(Index(some).join(many))
    assert parse_index(tags).is_full
    assert parse_index(tags).entries == some
    tags |= format_index(parse_index(tags).join(()))
    assert not parse_index(tags).is_full
    rig = a_rig()
    _run(rig)
    rig.world.secrets[SECRET].tags["keyrota:targets.full"] = "yes"
    assert "more targets than" in _notices(_run(rig))


@pytest.mark.parametrize("text", ["", "x", "2:abc", "1:!!!!", "1:eJwDAAAAAAE=", "99999:AAAA"])
def test_an_index_that_somebody_edited_is_told_and_written_anew(text: str) -> None:
    assert not parse_index({"keyrota:targets": text}).is_readable
    rig = a_rig()
    _run(rig)
    rig.world.secrets[SECRET].tags["keyrota:targets"] = text
    assert "were changed outside keyrota" in _notices(_run(rig))


def test_an_index_that_somebody_edited_keeps_every_key_on() -> None:
    """What was left behind is not known then: nothing goes off until a person says that nothing was."""
    rig = a_rig()
    _run(rig)
    rig.world.secrets[SECRET].tags["keyrota:targets"] = "x"
    old = next(iter(rig.world.users[USER]))
    told = _until_off(rig, 20)
    assert "are not known" in told[-1]
    assert rig.world.users[USER][old].status.value == "Active"
    del rig.world.secrets[SECRET].tags["keyrota:targets"]
    _until_off(rig, 2)
    assert rig.world.users[USER][old].status.value == "Inactive"


@pytest.mark.parametrize(
    ("state", "is_unknown"),
    [
        (TargetState(address="x", evidence=TargetEvidence.HOLDS, key=AccessKeyId("AKIAOTHER")), False),
        (TargetState(address="x", evidence=TargetEvidence.HOLDS), True),
        (TargetState(address="x", evidence=TargetEvidence.ABSENT, is_empty=True), False),
        (TargetState(address="x", evidence=TargetEvidence.ABSENT), True),
        (TargetState(address="x", evidence=TargetEvidence.CANNOT_TELL), True),
        (TargetState(address="x", evidence=TargetEvidence.FAILED), True),
    ],
)
def test_half_a_pair_or_no_key_id_may_still_be_a_key(state: TargetState, *, is_unknown: bool) -> None:
    """Of a target left behind: the ID may stand elsewhere while the secret is still here."""
    assert _is_unknown(state) is is_unknown


# --- drift ------------------------------------------------------------------------------------------------------------


def _held(rig: Rig) -> str | None:
    pair = rig.world.places[SHOP].pair
    return pair.id if pair else None


def _changed(rig: Rig) -> None:
    """Let somebody write another pair, hours after keyrota."""
    _run(rig)
    _days(rig, 1)
    _run(rig)
    _days(rig, 1)
    rig.world.places[SHOP].pair = KeyPair(id=AccessKeyId("AKIAOFSOMEBODYELSE"), secret=Secret("x"))
    rig.world.places[SHOP].changed_at = rig.world.clock.now()
    _days(rig, 0.1)


@pytest.mark.parametrize("readable", [True, False], ids=["another key", "changed since"])
def test_drift_is_mended_or_held_as_the_policy_says(*, readable: bool) -> None:
    """By the key ID where it is readable, by the time of the last change where that is told."""
    for policy in (CLASSIC, HELD):
        rig = a_rig(policy=policy)
        rig.world.places[SHOP].is_id_readable = readable
        rig.world.places[SHOP].is_change_told = True
        _changed(rig)
        outcome = _run(rig)
        is_mended = _held(rig) != "AKIAOFSOMEBODYELSE"
        assert is_mended is (policy is CLASSIC)
        assert ("changed outside keyrota" in _holds(outcome)) is (policy is HELD)
        assert _run(rig, SyncOnly()).errors == ()
        assert _held(rig) == interpret(_seen(rig)).current_key
        assert "changed" not in _holds(_run(rig))


def test_our_own_writes_are_no_drift() -> None:
    """A year with a provider that tells when a secret was changed: as many writes as without."""
    counts = []
    for told in (False, True):
        rig = a_rig(policy=HELD)
        rig.world.places[SHOP].is_change_told = told
        for _ in range(400):
            assert "somebody changed" not in _holds(rig.day())
        counts.append(rig.world.places[SHOP].writes)
    assert counts[0] == counts[1]


@pytest.mark.parametrize("how", ["crash", "failure"])
@pytest.mark.parametrize("id_first", [False, True])
def test_half_a_pair_written_over_somebody_elses_is_never_taken_for_mended(how: str, *, id_first: bool) -> None:
    """Our ID beside their secret: the ID alone would look right."""
    rig = a_rig()
    rig.world.is_id_first = id_first
    _changed(rig)
    half = ["target:write secret", "target:write id"][not id_first]

    def cut(name: str, _: World) -> None:
        if name.startswith(half):
            raise Crash if how == "crash" else ProviderRefused("not now")

    rig.world.before = cut
    with contextlib.suppress(Crash):
        _run(rig)
    rig.world.before = None
    _run(rig)
    pair = rig.world.places[SHOP].pair
    assert pair is not None
    assert rig.world.use(pair)
    assert pair.secret.reveal() == rig.world.values[pair.id].reveal()


def test_an_older_key_of_ours_is_written_over_even_where_changes_are_held() -> None:
    """A run that died may have written it: newest wins. Somebody else's key beside it stays held."""
    places = (SHOP, "github acme/web")
    rig = a_rig(policy=HELD, places=places)
    old = rig.world.places[SHOP].pair
    _run(rig)
    _days(rig, 1)
    _run(rig)
    rig.world.places[SHOP].pair = old
    rig.world.places[places[1]].pair = KeyPair(id=AccessKeyId("AKIAOFSOMEBODYELSE"), secret=Secret("x"))
    outcome = _run(rig)
    assert _held(rig) == interpret(_seen(rig)).current_key
    assert "changed outside keyrota" in _holds(outcome)
    other = rig.world.places[places[1]].pair
    assert other is not None
    assert other.id == "AKIAOFSOMEBODYELSE"


def test_adding_a_target_leaves_a_held_change_alone() -> None:
    rig = a_rig(policy=HELD)
    _changed(rig)
    rig.places = (SHOP, "github acme/web")
    open_target(rig.world, rig.places[1])
    outcome = _run(rig)
    assert _held(rig) == "AKIAOFSOMEBODYELSE"
    assert "changed outside keyrota" in _holds(outcome)
    assert rig.world.places[rig.places[1]].pair is not None


def test_a_mend_that_takes_an_older_key_of_ours_away_starts_its_overlap_anew() -> None:
    """Whoever read it there has as long as after a rotation."""
    rig = a_rig()
    old = rig.world.places[SHOP].pair
    assert old is not None
    _run(rig)
    _days(rig, 9)
    rig.world.places[SHOP].pair = old
    _run(rig)
    _until_off(rig, 9)
    assert rig.world.users[USER][old.id].status.value == "Active"
    _until_off(rig, 3)
    assert rig.world.users[USER][old.id].status.value == "Inactive"


def test_a_pass_of_another_version_is_dropped_at_the_first_write() -> None:
    """Or it would count again when its version comes back."""
    rig = a_rig(places=MANY)
    for _ in range(90):
        _run(rig)
        _days(rig, 1)
    _limit(rig, 15)
    _run(rig)
    newest = interpret(_seen(rig)).current_id
    rig.world.before = None
    tags = rig.world.secrets[SECRET].tags
    tags["keyrota:synced"] = "somebody cleared it"
    previous = interpret(_seen(rig)).previous
    assert previous is not None
    old = next(label for label in previous.labels if label.startswith("AKIA"))
    _limit(rig, 1)
    settings = Settings(clock=rig.world.clock, run="back")
    apply_all(plan_all([_subject(rig)], settings, intent=Rollback(to=AccessKeyId(old))))
    assert not tags["keyrota:sync-pass"].startswith(str(newest))


# --- runs -------------------------------------------------------------------------------------------------------------


def _until_off(rig: Rig, days: int) -> Sequence[str]:
    told = []
    for _ in range(days):
        told.append(_holds(_run(rig)))
        _days(rig, 1)
    return told


def test_a_queued_run_keeps_the_old_key_alive() -> None:
    """Held with the number of days that it can last at most; once the run is over, the key goes off."""
    rig = a_rig()
    place = rig.world.places[SHOP]
    place.carried_for = timedelta(days=35)
    place.queued.append(rig.world.clock.now())
    old = next(iter(rig.world.users[USER]))
    told = _until_off(rig, 20)
    assert rig.world.users[USER][old].status.value == "Active"
    assert "has runs that were queued with it" in told[-1]
    place.queued.clear()
    _until_off(rig, 2)
    assert rig.world.users[USER][old].status.value == "Inactive"


def test_after_the_longest_run_nobody_is_asked() -> None:
    rig = a_rig()
    place = rig.world.places[SHOP]
    place.carried_for = timedelta(days=12)
    place.queued.append(rig.world.clock.now())
    old = next(iter(rig.world.users[USER]))
    _until_off(rig, 15)
    assert rig.world.users[USER][old].status.value == "Inactive"


def test_nobody_is_asked_where_nothing_is_carried() -> None:
    rig = a_rig()
    _until_off(rig, 30)
    assert not any(call.startswith("target:runs") for call in rig.world.journal)


# --- quiet ------------------------------------------------------------------------------------------------------------


def test_a_write_waits_for_runs_in_progress() -> None:
    rig = a_rig()
    place = rig.world.places[SHOP]
    place.wait_for_idle, place.busy_until = timedelta(minutes=10), rig.world.clock.now() + timedelta(minutes=4)
    _run(rig)
    assert place.changed_at is not None
    assert place.busy_until <= place.changed_at < place.busy_until + timedelta(minutes=1)


def test_a_write_waits_no_longer_than_it_may() -> None:
    rig = a_rig()
    place = rig.world.places[SHOP]
    place.wait_for_idle, place.busy_until = timedelta(minutes=10), rig.world.clock.now() + timedelta(days=4)
    began = rig.world.clock.now()
    _run(rig)
    assert place.changed_at is not None
    assert timedelta(minutes=10) <= place.changed_at - began < timedelta(minutes=11)
    looks = [call for call in rig.world.journal if call.startswith("target:busy")]
    assert len(looks) <= 12, "each costs Bitbucket three of 1,000 calls an hour"


def test_a_revocation_waits_for_nobody() -> None:
    rig = a_rig()
    _run(rig)
    place = rig.world.places[SHOP]
    place.wait_for_idle, place.busy_until = timedelta(hours=10), rig.world.clock.now() + timedelta(days=4)
    began = rig.world.clock.now()
    current = interpret(_seen(rig)).current_key
    assert current is not None
    _run(rig, Revoke(key=current))
    assert place.changed_at is not None
    assert place.changed_at - began < timedelta(minutes=2)
    assert not any(call.startswith("target:busy") for call in rig.world.journal)


def test_who_waited_for_a_pipeline_does_not_write_a_key_that_was_revoked_meanwhile() -> None:
    """The revocation does not wait; the sleeper wakes up, sees the newer key, and writes that."""
    rig = a_rig()
    older = rig.world.places[SHOP].pair
    _run(rig)
    place = rig.world.places[SHOP]
    place.pair = older  # so that there is something to write
    place.wait_for_idle, place.busy_until = timedelta(minutes=10), rig.world.clock.now() + timedelta(minutes=5)
    current = interpret(_seen(rig)).current_key
    assert current is not None
    done: list[str] = []

    def revoke(name: str, _: World) -> None:
        if name.startswith("target:busy") and not done:
            done.append(name)
            for key in list(rig.world.users[USER]):
                if key != current:
                    del rig.world.users[USER][key]  # a free slot
            _run(rig, Revoke(key=current))

    rig.world.before = revoke
    _run(rig)
    assert rig.world.users[USER][current].status.value == "Inactive"
    assert place.pair is not None
    assert rig.world.use(place.pair)
    assert current not in [call for call in rig.world.journal if "write" in call]
