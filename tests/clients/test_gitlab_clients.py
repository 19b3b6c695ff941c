"""python-gitlab and gitbeaker against the emulator of GitLab."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from client_rig import Served, serve

from keyrota_sandbox.memory import WorldClock
from keyrota_sandbox.providers.gitlab import GitLabEmulator


@pytest.fixture
def gitlab() -> Iterator[Served[GitLabEmulator]]:
    """A group with a project."""
    emulator = GitLabEmulator(WorldClock())
    emulator.add_group("acme")
    emulator.add_project("acme/shop")
    with serve(emulator, "/gitlab") as served:
        yield served


def test_python_gitlab(gitlab: Served[GitLabEmulator]) -> None:
    assert gitlab.python("python_gitlab") == {
        "user": "sandbox",
        "version": 2,
        "project": ["acme/shop", True],
        "missing": 404,
        "group": ["acme", "acme"],
        "environments": ["production"],
        "in pages": [3, 23],
        "two scopes": 409,
        "filtered": "of production",
        "updated": "new",
        "kept": "of all",
        "scope is taken": 400,
        "again": 400,
        "left": "of all",
        "gone": 404,
        "not to be masked": 400,
        "of the group": ["newer", True],
        "of the group later": [],
        "of the instance": "of the instance",
        "schedules": [],
        "job token": 401,
        "wrong token": 401,
    }


def test_gitbeaker(gitlab: Served[GitLabEmulator]) -> None:
    assert gitlab.node("gitbeaker") == {
        "user": "sandbox",
        "project": "acme/shop",
        "all": 22,
        "ambiguous": 409,
        "filtered": "of production",
        "edited": "new",
        "kept": "of all",
        "left": "of all",
        "gone": 404,
        "group": "of the group",
        "groupLater": 0,
        "instance": "of the instance",
    }
