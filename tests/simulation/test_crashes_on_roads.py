"""A crash before or after any call of `revoke`, `rollback` and the rarer actions: the same command again heals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from rig import SECRET, SHOP, USER, Rig, a_rig, free_slot

from keyrota.core.emergency import Revoke, Rollback
from keyrota.core.model import AccessKeyId, KeyStatus
from keyrota.core.planner import Intent
from keyrota.core.policy import CLASSIC, Adopt
from keyrota_sandbox.memory import Crash, World


def _current(rig: Rig) -> AccessKeyId:
    pair = rig.world.places[SHOP].pair
    assert pair is not None
    return pair.id


def _rotated(days_after: int = 0) -> Rig:
    """A user after one rotation, so many days later, seen by a run each day."""
    rig = a_rig()
    for _ in range(days_after + 1):
        rig.day()
    return rig


@dataclass(frozen=True, slots=True, kw_only=True)
class Road:
    """A command on a prepared world, and what must hold when it went through."""

    prepare: Callable[[], Rig]
    intent: Callable[[Rig], Intent | None]
    holds: Callable[[Rig, AccessKeyId], bool]
    """Given the key that the target held before."""


def _status(rig: Rig, key: AccessKeyId) -> KeyStatus | None:
    found = rig.world.find(key)
    return found[1].status if found else None


def _young() -> Rig:
    return a_rig(age_days=5)


def _stored_by_hand() -> Rig:
    rig = a_rig(age_days=5)
    pair = rig.world.places[SHOP].pair
    rig.world.person_puts(SECRET, pair, {"bucket": "acme"})
    rig.is_secret_named = True
    return rig


def _switched_on_again() -> Rig:
    rig = _rotated(11)
    retired = next(key.id for key in rig.world.users[USER].values() if key.status is KeyStatus.INACTIVE)
    rig.world.change(retired, status=KeyStatus.ACTIVE, status_word="Active")
    return rig


def _adopt_now() -> Rig:
    rig = a_rig(age_days=5)
    rig.policy = replace(CLASSIC, adopt=Adopt.NOW)
    return rig


ROADS = {
    "revoke the only key": Road(
        prepare=_young,
        intent=lambda rig: Revoke(key=_current(rig), with_sessions=True),
        holds=lambda rig, old: _status(rig, old) is KeyStatus.INACTIVE and _current(rig) != old,
    ),
    "revoke it off first": Road(
        prepare=_young,
        intent=lambda rig: Revoke(key=_current(rig), off_first=True),
        holds=lambda rig, old: _status(rig, old) is KeyStatus.INACTIVE and _current(rig) != old,
    ),
    "roll back to a retired key": Road(
        prepare=lambda: _second_rotation(11),
        intent=lambda rig: Rollback(to=_other(rig)),
        holds=lambda rig, old: _current(rig) != old and rig.world.deploy(SHOP),
    ),
    "roll back to an Active key": Road(
        prepare=lambda: _second_rotation(1),
        intent=lambda rig: Rollback(to=_other(rig)),
        holds=lambda rig, old: _current(rig) != old and rig.world.deploy(SHOP),
    ),
    "adopt what a person stored": Road(
        prepare=_stored_by_hand,
        intent=lambda _: None,
        holds=lambda rig, old: any(old in version.labels for version in rig.world.secrets[SECRET].versions.values()),
    ),
    "adopt now": Road(
        prepare=_adopt_now,
        intent=lambda _: None,
        holds=lambda rig, old: _current(rig) != old and _status(rig, old) is KeyStatus.ACTIVE,
    ),
    "note that somebody switched a key on": Road(
        prepare=_switched_on_again,
        intent=lambda _: None,
        holds=lambda rig, old: _current(rig) == old and "@on" in rig.world.secrets[SECRET].tags["keyrota:deactivated"],
    ),
}


def _second_rotation(days_after: int) -> Rig:
    """A user whose previous key was made by keyrota too."""
    rig = _rotated(26)
    rig.world.clock.sleep(70 * 24 * 3600)
    for _ in range(days_after + 1):
        rig.day()
    assert len(rig.world.users[USER]) == 2
    return rig


def _other(rig: Rig) -> AccessKeyId:
    return next(key for key in rig.world.users[USER] if key != _current(rig))


def _calls(road: Road) -> int:
    rig = road.prepare()
    before = len(rig.world.journal)
    rig.run(road.intent(rig))
    return len(rig.world.journal) - before


CASES = [
    pytest.param(road, number, before, id=f"{name}, {'before' if before else 'after'} call {number}")
    for name, road in ROADS.items()
    for number in range(1, _calls(road) + 1)
    for before in (True, False)
]


@pytest.mark.parametrize(("road", "number", "before"), CASES)
def test_the_same_command_again_heals(road: Road, number: int, before: bool) -> None:
    """The run dies at this call; a quarter of an hour later, the command is given again, twice."""
    rig = road.prepare()
    old, intent = _current(rig), road.intent(rig)
    is_off_first = isinstance(intent, Revoke) and intent.off_first
    rig.watch.may_switch_off_served = is_off_first
    _die_at(rig, number, before=before)
    with pytest.raises(Crash):
        rig.run(intent)
    rig.world.before = None
    rig.world.after = rig.watch
    for _ in range(2):
        rig.world.clock.sleep(16 * 60)
        rig.run(intent)
    if not road.holds(rig, old) and free_slot(rig):
        rig.run(intent)
    assert road.holds(rig, old)
    assert rig.watch.broken == []
    assert len(rig.world.users[USER]) <= 2


def _die_at(rig: Rig, number: int, *, before: bool) -> None:
    count = 0
    watch = rig.watch

    def die(name: str, world: World) -> None:
        nonlocal count
        count += 1
        if not before:
            watch(name, world)
        if count == number:
            raise Crash

    if before:
        rig.world.before = die
    else:
        rig.world.after = die
