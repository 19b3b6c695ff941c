"""Two runs at once: the second runs whole at any call of the first. One new key survives, and nobody is stuck."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from checkers import at_rest
from rig import SECRET, SHOP, USER, Rig, a_rig

from keyrota.core import plan as act
from keyrota.core.emergency import Rollback
from keyrota.core.model import KeyStatus
from keyrota.core.outcome import Outcome
from keyrota.core.planner import SyncOnly
from keyrota.executor import Settings, plan_all
from keyrota_sandbox.memory import Crash, World


def _calls(rig: Rig) -> int:
    before = len(rig.world.journal)
    rig.run()
    return len(rig.world.journal) - before


ROTATION = _calls(a_rig())


def _cut_in(rig: Rig, number: int, other: Callable[[], object], *, before: bool) -> None:
    """Let another run go through, once, at this call of the first one."""
    watch = rig.watch
    count = 0

    def cut(name: str, world: World) -> None:
        nonlocal count
        if not before:
            watch(name, world)
        count += 1
        if count == number:
            rig.world.before, rig.world.after = None, watch
            other()

    if before:
        rig.world.before = cut
    else:
        rig.world.after = cut


def _settle(rig: Rig) -> None:
    for _ in range(3):
        rig.world.clock.sleep(16 * 60)
        rig.run()


@pytest.mark.parametrize("number", range(1, ROTATION + 1))
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_two_rotations_make_one_key(number: int, before: bool) -> None:
    """Both find the key due; the claim lets one of them make a new one."""
    rig = a_rig()
    _cut_in(rig, number, rig.run, before=before)
    rig.run()
    assert rig.watch.broken == []
    _settle(rig)
    assert len(rig.world.users[USER]) == 2
    assert rig.watch.broken == []
    assert rig.world.deploy(SHOP)
    for _ in range(26):
        rig.day()
    assert at_rest(rig.world, USER, SECRET) == []
    assert rig.deployments_failed == []


@pytest.mark.parametrize("number", range(1, ROTATION + 1))
def test_the_second_run_takes_over_from_a_first_one_that_dies(number: int) -> None:
    """The other run goes through, and then the first one's machine dies at the same call."""
    rig = a_rig()

    def other_and_death() -> None:
        rig.run()
        raise Crash

    _cut_in(rig, number, other_and_death, before=False)
    with pytest.raises(Crash):
        rig.run()
    _settle(rig)
    assert rig.watch.broken == []
    assert len(rig.world.users[USER]) == 2
    assert rig.world.deploy(SHOP)


@pytest.mark.parametrize("number", range(1, ROTATION + 1))
def test_a_sync_in_the_middle_of_a_rotation_leaves_the_newest(number: int) -> None:
    """Events are repeated, late and out of order: AWSCURRENT as it is read now is what targets get."""
    rig = a_rig()
    _cut_in(rig, number, lambda: rig.run(SyncOnly()), before=True)
    rig.run()
    _settle(rig)
    assert rig.watch.broken == []
    assert at_rest(rig.world, USER, SECRET) in ([], ["2 Active keys"])


def test_a_stale_writer_that_died_is_overwritten_by_the_next_run() -> None:
    """It wrote the old secret last, beside the new ID, which nothing can read back: newest-wins by writing twice."""
    rig = a_rig(places=(SHOP,))
    rig.run()
    place = rig.world.places[SHOP]
    assert place.pair is not None
    place.pair = type(place.pair)(id=place.pair.id, secret=rig.world.values[next(iter(rig.world.users[USER]))])
    assert not rig.world.deploy(SHOP)
    _settle(rig)
    assert rig.world.deploy(SHOP)


@pytest.mark.parametrize("number", range(1, ROTATION + 1))
def test_a_key_that_a_person_made_meanwhile_is_left_alone(number: int) -> None:
    """hands-off: whatever was going on, it is never changed or deleted (used at once, as such keys are)."""
    rig = a_rig()
    theirs = []

    def person() -> None:
        if len(rig.world.users[USER]) < 2:
            theirs.append(rig.world.add_key(USER))

    _cut_in(rig, number, person, before=True)
    rig.run()
    for pair in theirs:
        rig.world.clock.sleep(60)
        assert rig.world.use(pair)
    for _ in range(3):
        rig.day()
    for pair in theirs:
        found = rig.world.find(pair.id)
        assert found is not None
        assert found[1].status is KeyStatus.ACTIVE
    assert rig.watch.broken == []


DAYS = 60
"""By then the first key, which keyrota only adopted, is gone."""


def _off_is_due() -> Rig:
    """A key that keyrota made has a successor, and its overlap is over: the next run switches it off."""
    rig = a_rig()
    while not (rig.runs > DAYS and _is_off_due(rig)):
        rig.day()
    return rig


def _is_off_due(rig: Rig) -> bool:
    (preview,) = plan_all([rig.subject], Settings(clock=rig.world.clock, run="a look"))
    return preview.plan is not None and any(isinstance(action, act.Deactivate) for action in preview.plan.actions)


def _rolls_back(rig: Rig) -> Outcome:
    return rig.run(Rollback(to=min(rig.world.users[USER])))


def _calls_back() -> int:
    rig = _off_is_due()
    before = len(rig.world.journal)
    _rolls_back(rig)
    return len(rig.world.journal) - before


@pytest.mark.parametrize("number", range(1, _calls_back() + 1))
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_nobody_switches_off_what_a_rollback_is_about_to_serve(number: int, before: bool) -> None:
    """At any call of the rollback, the daily run finds the older key due to go."""
    rig = _off_is_due()
    old = min(rig.world.users[USER])
    _cut_in(rig, number, rig.run, before=before)
    outcome = _rolls_back(rig)
    assert outcome.errors == ()
    assert rig.watch.broken == []
    assert rig.world.users[USER][old].status is KeyStatus.ACTIVE
    held = rig.world.places[SHOP].pair
    assert held is not None
    assert held.id == old
