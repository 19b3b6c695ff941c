"""The world has several accounts: users and secrets of equal names are not each other's."""

from __future__ import annotations

from datetime import timedelta

import pytest

from keyrota.core.model import KeyStatus, UserName
from keyrota.errors import NotThere
from keyrota_sandbox.memory import World, credential_of
from keyrota_sandbox.memory.iam import WorldAccessKeys
from keyrota_sandbox.memory.secrets import WorldSecrets
from keyrota_sandbox.simulation import Place, Setup, SimulatedCredential, Simulation

OTHER = "222222222222"
USER = UserName("ci-shop")
THERE = UserName(f"{OTHER}:{USER}")


def test_equal_names_are_users_of_two_accounts() -> None:
    world = World()
    (here,) = world.add_user(USER, 1)
    (there,) = world.add_user(THERE, 2)
    own, other = WorldAccessKeys(world), WorldAccessKeys(world, account=OTHER)
    assert [key.id for key in own.list(USER)] == [here]
    assert [key.id for key in other.list(USER)] == [there]
    other.deactivate(USER, there)
    assert [key.status for key in (*own.list(USER), *other.list(USER))] == [KeyStatus.ACTIVE, KeyStatus.INACTIVE]
    with pytest.raises(NotThere):
        own.deactivate(USER, there)


def test_equal_secret_names_are_secrets_of_two_accounts() -> None:
    world = World()
    WorldSecrets(world, account=OTHER).create("keyrota/shop", {})
    assert WorldSecrets(world).describe("keyrota/shop") is None
    found = WorldSecrets(world, account=OTHER).describe("keyrota/shop")
    assert found is not None
    assert f":{OTHER}:" in found.arn


def test_a_history_of_two_accounts_rotates_both_and_mixes_up_neither() -> None:
    credentials = tuple(
        SimulatedCredential(
            user=user,
            secret=str(user).replace(USER, "keyrota/shop"),
            places=(Place(address=f"bitbucket acme/{name}"),),
            age=timedelta(days=age),
        )
        for user, name, age in ((USER, "shop", 80), (THERE, "web", 60))
    )
    history = Simulation(Setup(seed=3, credentials=credentials))
    end = history.setup.start + timedelta(days=60)
    history.schedule(end)
    history.play(end)
    for user, keeping in history.credentials.items():
        place = history.world.places[keeping.places[0].address]
        assert place.pair is not None
        found = history.world.find(place.pair.id)
        assert found is not None
        assert found[0] == user
        assert credential_of(user).user == USER
    assert all(len(keys) >= 1 for keys in history.world.users.values())
    made = {history.world.makers[key] for keys in history.world.users.values() for key in keys}
    assert made != {""}, "nothing was rotated"
