"""atlassian-python-api and npm's bitbucket against the emulator of Bitbucket."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from client_rig import Served, serve

from keyrota_sandbox.memory import WorldClock
from keyrota_sandbox.providers.bitbucket import BitbucketEmulator


@pytest.fixture
def bitbucket() -> Iterator[Served[BitbucketEmulator]]:
    """A workspace with a repository."""
    emulator = BitbucketEmulator(WorldClock())
    emulator.add_repository("acme", "shop", ("Test", "Staging", "Production"))
    with serve(emulator, "/bitbucket") as served:
        yield served


def test_atlassian(bitbucket: Served[BitbucketEmulator]) -> None:
    assert bitbucket.python("atlassian_bitbucket") == {
        "repository": ["acme/shop", "shop"],
        "missing": 404,
        "in pages": 13,
        "updated": ["new", "V00"],
        "again": 409,
        "deleted": 404,
        "secured": [True, False],
        "environments": ["Test", "Staging", "Production"],
        "of the environment": [["E", "of production"]],
        "of the environment later": ["newer"],
        "of the environment at last": [],
        "wrong token": 401,
    }


def test_bitbucket(bitbucket: Served[BitbucketEmulator]) -> None:
    assert bitbucket.node("bitbucket") == {
        "repository": "acme/shop",
        "made": ["K", "v"],
        "again": 409,
        "updated": "new",
        "deleted": 204,
        "listed": 0,
        "environment": "Stage 2",
        "environments": 4,
        "variables": ["E"],
        "variableDeleted": 204,
        "environmentDeleted": 204,
        "gone": 404,
    }
