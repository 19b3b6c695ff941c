"""Secrets Manager shows in the world what was there seconds ago, and nothing that never was."""

from __future__ import annotations

from datetime import timedelta
from random import Random

import pytest

from keyrota.core.model import AWSCURRENT, SYNCED_TAG, SecretState, UserName, VersionId
from keyrota.errors import NotThere
from keyrota_sandbox.memory import World
from keyrota_sandbox.simulation import FaultProfile, Weather

NAME = "keyrota/ci-deploy"
USER = UserName("ci-deploy")
LAG = timedelta(seconds=10)


class _Late(Weather):
    def secret(self) -> timedelta:
        return LAG


@pytest.fixture
def world() -> World:
    """A world with a secret with one pair, which nobody has changed lately."""
    made = World()
    made.add_user(USER)
    made.lags = _Late(Random("1"), FaultProfile())  # noqa: S311
    made.person_puts(NAME, made.add_key(USER), labels=(AWSCURRENT, "first"))
    made.clock.travel(timedelta(hours=1))
    return made


def shown(world: World) -> SecretState:
    state = world.store.describe(NAME)
    assert state is not None
    return state


def current(world: World) -> VersionId:
    return next(version.id for version in shown(world).versions if AWSCURRENT in version.labels)


def test_a_value_is_shown_when_the_lag_is_over(world: World) -> None:
    before = current(world)
    pair = world.add_key(USER)
    made = world.person_puts(NAME, pair)
    assert current(world) == before
    assert world.store.current(NAME)[0] == before
    assert world.is_shown_old
    with pytest.raises(NotThere):
        world.store.read(NAME, made)
    world.clock.travel(LAG)
    assert current(world) == made
    assert world.store.read(NAME, made) == pair
    assert not world.is_shown_old


def test_tags_and_labels_lag_as_well(world: World) -> None:
    version = current(world)
    world.store.tag(NAME, {SYNCED_TAG: "x"})
    world.store.move_label(NAME, "second", to=version, remove_from=None)
    assert shown(world).tags == ()
    assert all("second" not in one.labels for one in shown(world).versions)
    world.clock.travel(LAG)
    assert dict(shown(world).tags) == {SYNCED_TAG: "x"}
    assert any("second" in one.labels for one in shown(world).versions)


def test_a_secret_is_not_there_before_it_was_made(world: World) -> None:
    world.make_secret("another")
    assert world.store.describe("another") is None
    world.clock.travel(LAG)
    assert world.store.describe("another") is not None


def test_a_deletion_lags_and_a_write_does_not(world: World) -> None:
    version = current(world)
    world.person_deletes_secret(NAME)
    assert shown(world).deleted_at is None
    world.person_restores_secret(NAME)
    world.store.move_label(NAME, "first", to=None, remove_from=version)
    assert "first" not in world.secrets[NAME].versions[version].labels
    assert "first" in next(one.labels for one in shown(world).versions)


def test_what_nobody_announced_is_shown_at_once(world: World) -> None:
    world.secrets[NAME].tags["by"] = "a test"
    assert dict(shown(world).tags) == {"by": "a test"}
    assert not world.is_shown_old
