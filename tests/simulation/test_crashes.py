"""A crash before or after any call of a whole life cycle: the next runs converge, and no promise breaks on the way."""

from __future__ import annotations

import pytest
from checkers import at_rest
from rig import SECRET, USER, Rig, a_rig

from keyrota_sandbox.memory import Crash, World

DAYS = 26
"""A key of 90 days is rotated, its predecessor deactivated and deleted, within this time."""


def _calls_of_a_life() -> int:
    rig = a_rig()
    for _ in range(DAYS):
        rig.day()
    return len(rig.world.journal)


CALLS = _calls_of_a_life()


def _crash_at(rig: Rig, number: int, *, before: bool) -> None:
    count = 0
    watch = rig.watch

    def cut(_: str, __: World) -> None:
        nonlocal count
        count += 1
        if count == number:
            raise Crash

    def look_and_cut(name: str, world: World) -> None:
        watch(name, world)
        cut(name, world)

    if before:
        rig.world.before = cut
    else:
        rig.world.after = look_and_cut


ORPHAN_DAYS = 13
"""So long a key whose answer was lost keeps its slot: a day until its use would be seen, the grace, and daily runs."""


@pytest.mark.parametrize("number", range(1, CALLS + 1))
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("id_first", [False, True], ids=["secret first", "ID first"])
def test_a_crash_at_any_call_heals(number: int, before: bool, id_first: bool) -> None:
    """The run dies at this call; runs go on the next days as if nothing had been."""
    rig = a_rig()
    rig.world.is_id_first = id_first
    _crash_at(rig, number, before=before)
    for _ in range(DAYS + 3 + ORPHAN_DAYS):
        rig.run_until_crash()
        rig.deploy()
        rig.world.clock.instant = rig.world.clock.instant.replace(hour=6, minute=0, second=0)
        rig.world.clock.sleep(24 * 3600)
    assert rig.watch.broken == []
    assert at_rest(rig.world, USER, SECRET) == []
    assert len(rig.world.users[USER]) == 1
    assert len(rig.deployments_failed) <= 1, "only the day of a crash between the two writes of a pair may fail"


def test_without_a_crash_nothing_fails() -> None:
    """The quiet life: one rotation, one deactivation, one deletion, no failed deployment."""
    rig = a_rig()
    for _ in range(DAYS):
        assert rig.day().errors == ()
    assert rig.deployments_failed == []
    assert rig.watch.broken == []
    assert at_rest(rig.world, USER, SECRET) == []
