"""The three searches: one rotation, and one sync with a secret change in either direction; two runs and one crash."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

from explore import PAUSE, SECRET, USER, Runner, Search, a_world, only_run, plain

from keyrota.core.model import AWSCURRENT, CLAIM, PENDING, VersionId
from keyrota.core.plan import Duty
from keyrota.core.planner import Only
from keyrota_sandbox.memory import World

SHOP = "bitbucket acme/shop"
SYNC = Only(duty=Duty.SYNC)


def current(world: World) -> VersionId:
    """The version that wears AWSCURRENT."""
    return next(name for name, version in world.secrets[SECRET].versions.items() if AWSCURRENT in version.labels)


def not_newest(world: World) -> Iterator[str]:
    """newest-wins: every target holds what AWSCURRENT holds."""
    pair = world.secrets[SECRET].versions[current(world)].pair
    for address, place in world.places.items():
        if place.pair != pair:
            yield f"newest-wins: {address} holds {plain(place.pair)}, AWSCURRENT is {plain(pair)}"


def not_at_rest(world: World) -> Iterator[str]:
    """one-winner and no orphan: the old key, the new one, and nothing left over."""
    yield from not_newest(world)
    if len(world.users[USER]) != 2:
        yield f"one-winner: {len(world.users[USER])} keys at rest"
    left = {label for version in world.secrets[SECRET].versions.values() for label in version.labels}
    if left & {CLAIM, PENDING}:
        yield f"left over: {sorted(left)}"


def a_world_between_two_keys() -> tuple[World, VersionId, VersionId]:
    """A key that is AWSCURRENT, and one that the rotate function has made and stored after it; the target is empty."""
    world, _ = a_world(90, [SHOP])
    only_run(world, [SHOP])
    older = current(world)
    for _ in range(3):
        world.clock.instant += timedelta(days=16)  # the first key is switched off, and deleted
        only_run(world, [SHOP])
    world.clock.instant += timedelta(days=42)
    only_run(world, [SHOP], Only(duty=Duty.ROTATE))
    newer = current(world)
    assert newer != older
    assert len(world.users[USER]) == 2
    world.places[SHOP].pair = None
    world.places[SHOP].ours = None
    return world, older, newer


def a_rotation() -> Search:
    """Two runs find a key due. A lost key takes a day and the grace to leave, and its successor waits for that."""
    world, _ = a_world(90, [SHOP])
    soon, later = (PAUSE, None), (timedelta(days=6), None)
    return Search(
        world,
        [Runner("A"), Runner("B")],
        places=[SHOP],
        crashes=1,
        check=not_at_rest,
        settle=[soon, soon, soon, later, later, later, soon, soon],
    )


def a_sync(*, is_forward: bool) -> Search:
    """Two runs bring AWSCURRENT to a target, and it moves meanwhile; then the change's own event comes, once."""
    world, older, newer = a_world_between_two_keys()
    before, after = (older, newer) if is_forward else (newer, older)
    world.move_current(world.secrets[SECRET], before)
    return Search(
        world,
        [Runner("A", SYNC), Runner("B", SYNC)],
        places=[SHOP],
        crashes=1,
        change=lambda world: world.move_current(world.secrets[SECRET], after),
        check=not_newest,
        settle=[(PAUSE, SYNC)],
    )


SEARCHES: dict[str, Callable[[], Search]] = {
    "a rotation": a_rotation,
    "a sync, a newer key comes": lambda: a_sync(is_forward=True),
    "a sync, somebody goes back": lambda: a_sync(is_forward=False),
}
