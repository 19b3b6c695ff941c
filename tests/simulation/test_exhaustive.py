"""
Every interleaving of two runs, not a sample: one rotation with a crash at any point; one sync with a secret change.

`explore.py` tells what a state is, and why following each of them once is enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from explore import SECRET, USER, Runner, Search, a_world, only_run, plain

from keyrota.core.duty import Duty
from keyrota.core.model import AWSCURRENT, CLAIM, PENDING, VersionId
from keyrota.core.planner import Only
from keyrota.sandbox.world import World

SHOP = "bitbucket acme/shop"
SYNC = Only(duty=Duty.SYNC)

Tell = Callable[[str], None]


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


def test_a_rotation_by_two_runs_with_one_crash_at_any_point(figure: Tell) -> None:
    world, _ = a_world(90, [SHOP])
    search = Search(world, [Runner("A"), Runner("B")], places=[SHOP], crashes=1, check=not_at_rest)

    found = search.run()

    figure(f"exhaustive, a rotation, two runs, one crash: {found}")
    assert not found.broken, found.broken[:5]
    assert found.ends > 20
    assert found.states > 50_000


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


@pytest.mark.parametrize("is_forward", [True, False], ids=["a-newer-key-comes", "somebody-goes-back"])
def test_a_sync_by_two_runs_while_the_secret_changes_with_one_crash_at_any_point(
    is_forward: bool, figure: Tell
) -> None:
    world, older, newer = a_world_between_two_keys()
    before, after = (older, newer) if is_forward else (newer, older)
    world.move_current(world.secrets[SECRET], before)

    def change(world: World) -> None:
        world.move_current(world.secrets[SECRET], after)

    search = Search(
        world,
        [Runner("A", SYNC), Runner("B", SYNC)],
        places=[SHOP],
        crashes=1,
        change=change,
        check=not_newest,
        settle=[SYNC],  # the change's own event comes, once
    )

    found = search.run()

    way = "a newer key comes" if is_forward else "somebody goes back"
    figure(f"exhaustive, a sync, two runs, {way}, one crash: {found}")
    assert not found.broken, found.broken[:5]
    assert found.ends > 5
    assert found.states > 1_000


def test_the_search_sees_a_sync_that_forgets_its_note(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search can fail: where nothing tells of a pair that broke off half-way, it stays torn for ever."""
    world, older, newer = a_world_between_two_keys()
    world.move_current(world.secrets[SECRET], newer)
    monkeypatch.setattr("keyrota.executor.sync._Walk.begin", lambda walk, version: setattr(walk, "version", version))
    search = Search(
        world,
        [Runner("A", SYNC), Runner("B", SYNC)],
        places=[SHOP],
        crashes=1,
        change=lambda world: world.move_current(world.secrets[SECRET], older),
        check=not_newest,
        settle=[SYNC],
    )

    assert search.run().broken
