"""Secrets Manager's own rotation: four steps, each repeated, each cut off, and the same promises."""

from __future__ import annotations

from datetime import timedelta

import pytest
from rig import SECRET, USER, Rig, a_rig

from keyrota.core.lifecycle import KeyState, interpret
from keyrota.core.model import AWSCURRENT, AWSPENDING, AccessKeyId, VersionId
from keyrota.core.plan import Duty
from keyrota.core.planner import Only
from keyrota.errors import KeyrotaError, ProviderRefused
from keyrota.executor import Settings, observe
from keyrota.executor.native import Step, rotate
from keyrota_sandbox.memory import Crash, World

TOKEN = "rotation-token-000000000000000000001"
OTHER = "rotation-token-000000000000000000002"


def _stored() -> Rig:
    """Bring a credential into keeping, its key 30 days old."""
    rig = a_rig()
    for _ in range(23):
        rig.day()
    rig.world.clock.travel(timedelta(days=30))
    return rig


def _step(rig: Rig, step: Step, token: VersionId) -> AccessKeyId | None:
    rig.runs += 1
    return rotate(rig.subject, Settings(clock=rig.world.clock, run=f"native-{rig.runs}"), step, token)


def _all(rig: Rig, token: VersionId) -> AccessKeyId | None:
    return [_step(rig, step, token) for step in Step][-1]


def _current(rig: Rig) -> AccessKeyId | None:
    return interpret(observe.observe(rig.subject, Settings(clock=rig.world.clock, run="x"))).current_key


def test_four_steps_make_the_new_key_current_and_sync_serves_it() -> None:
    rig = _stored()
    before = _current(rig)
    token = rig.world.begin_rotation(SECRET, TOKEN)
    new = _all(rig, token)
    assert new == _current(rig) != before
    rig.run(Only(duty=Duty.SYNC))
    assert {place.pair.id for place in rig.world.places.values() if place.pair} == {new}
    for _ in range(100):
        for duty in (Duty.SYNC, Duty.DEACTIVATE, Duty.DELETE, Duty.ROTATE):
            rig.run(Only(duty=duty))
        rig.deploy()
        rig.world.clock.travel(timedelta(days=1))
    assert list(rig.world.users[USER]) == [new]
    assert rig.watch.broken == []
    assert rig.deployments_failed == []


def test_each_step_twice_changes_nothing_more() -> None:
    rig = _stored()
    token = rig.world.begin_rotation(SECRET, TOKEN)
    made = {_step(rig, step, token) for step in Step for _ in range(2) if step is not Step.SET}
    assert len(made) == 1
    assert len(rig.world.users[USER]) == 2


def test_an_abandoned_rotation_is_taken_over_by_the_next_one() -> None:
    """Both slots are taken by then: the pair that nobody was given moves to the new version."""
    rig = _stored()
    made = _step(rig, Step.CREATE, rig.world.begin_rotation(SECRET, TOKEN))
    rig.world.clock.travel(timedelta(hours=5))
    assert _all(rig, rig.world.begin_rotation(SECRET, OTHER)) == made
    assert _current(rig) == made
    assert len(rig.world.users[USER]) == 2
    assert rig.watch.broken == []


def test_our_own_schedule_leaves_such_a_secret_alone() -> None:
    """Two schedules on one secret: ours holds, and says which command ends that."""
    rig = _stored()
    rig.world.secrets[SECRET].rotates_itself = True
    rig.world.clock.travel(timedelta(days=70))
    outcome = rig.run(Only(duty=Duty.ROTATE))
    assert outcome.done == ()
    assert outcome.plan is not None
    (hold,) = [hold for hold in outcome.plan.holds if "own rotation is switched on" in hold.reason]
    assert "cancel-rotate-secret" in hold.remedy


def test_two_slots_taken_is_said_before_anything_begins() -> None:
    rig = _stored()
    rig.world.add_key(USER, age_days=1)
    token = rig.world.begin_rotation(SECRET, TOKEN)
    journal = len(rig.world.journal)
    with pytest.raises(ProviderRefused, match="both of IAM's two slots"):
        _step(rig, Step.CREATE, token)
    assert not {"iam:CreateAccessKey", "secretsmanager:PutSecretValue"} & set(rig.world.journal[journal:])


def test_a_call_by_hand_is_refused() -> None:
    rig = _stored()
    with pytest.raises(ProviderRefused, match="rotation is not switched on"):
        _step(rig, Step.CREATE, VersionId(TOKEN))
    rig.world.secrets[SECRET].rotates_itself = True
    with pytest.raises(ProviderRefused, match="is not AWSPENDING"):
        _step(rig, Step.CREATE, VersionId(TOKEN))


def test_a_target_that_is_not_ready_stops_it_before_a_key_is_made() -> None:
    rig = _stored()
    next(iter(rig.world.places.values())).is_ready = False
    token = rig.world.begin_rotation(SECRET, TOKEN)
    with pytest.raises(ProviderRefused, match="would not take the new key"):
        _step(rig, Step.CREATE, token)
    assert len(rig.world.users[USER]) == 1


def _calls() -> int:
    rig = _stored()
    before = len(rig.world.journal)
    _all(rig, rig.world.begin_rotation(SECRET, TOKEN))
    return len(rig.world.journal) - before


@pytest.mark.parametrize("number", range(1, _calls() + 1))
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_cut_off_at_any_call_it_heals(number: int, before: bool) -> None:
    """
    Secrets Manager begins again, and the next rotation is completed.

    A lost key is noted, deactivated a day later, and deleted after the grace.
    """
    rig = _stored()
    watch, count = rig.watch, 0

    def cut(name: str, world: World) -> None:
        nonlocal count
        if not before:
            watch(name, world)
        count += 1
        if count == number:
            raise Crash

    token = rig.world.begin_rotation(SECRET, TOKEN)
    rig.world.before, rig.world.after = (cut, watch) if before else (None, cut)
    for attempt in range(6):
        try:
            _all(rig, token)
            break
        except (Crash, KeyrotaError):
            rig.world.clock.travel(timedelta(hours=4) if attempt == 0 else timedelta(days=4))
            for duty in (Duty.ROTATE, Duty.DEACTIVATE, Duty.DELETE, Duty.ROTATE):
                rig.run(Only(duty=duty))
            token = rig.world.begin_rotation(SECRET, TOKEN if attempt == 0 else f"{OTHER}{attempt}")
    known = interpret(observe.observe(rig.subject, Settings(clock=rig.world.clock, run="x")))
    assert known.current is not None
    assert known.current.id == token
    assert known.current_key is not None
    assert len(rig.world.users[USER]) == 2
    assert sum(known.state_of(key) is KeyState.CURRENT for key in known.keys) == 1
    assert {AWSCURRENT} <= known.current.labels | {AWSPENDING}
    assert rig.watch.broken == []
