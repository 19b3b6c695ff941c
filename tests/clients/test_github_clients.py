"""PyGithub and Octokit against the emulator of GitHub."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from client_rig import Served, serve

from keyrota_sandbox.memory import WorldClock
from keyrota_sandbox.providers.github import GitHubEmulator


@pytest.fixture
def github() -> Iterator[Served[GitHubEmulator]]:
    """An organization with two repositories."""
    emulator = GitHubEmulator(WorldClock())
    emulator.add_organization("acme")
    emulator.add_repository("acme", "shop")
    emulator.add_repository("acme", "web")
    with serve(emulator, "/github") as served:
        yield served


def test_pygithub(github: Served[GitHubEmulator]) -> None:
    number = github.emulator._repositories["acme", "shop"].id
    assert github.python("pygithub") == {
        "user": "sandbox",
        "limit": 5000,
        "repository": ["acme/shop", number, False, "acme"],
        "by number": "acme/shop",
        "missing": 404,
        "environments": ["production", "staging"],
        "environments later": ["production"],
        "variables in pages": 33,
        "names": 33,
        "value": "new",
        "again": 409,
        "deleted": 404,
        "secrets": ["S"],
        "dependabot": ["D"],
        "environment": [["E"], "variable of the environment"],
        "environment later": [],
        "organization": "acme",
        "repositories": ["shop", "web"],
        "selected": ["shop"],
        "selected two": ["shop", "web"],
        "selected one": ["web"],
        "variable is still there": "of the organization",
        "selected of the variable": ["web"],
        "organization's secrets": [],
        "wrong token": 401,
    }
    assert github.emulator.secrets(("repo", "acme", "shop")) == {"S": "newer"}
    assert github.emulator.secrets(("dependabot", "acme", "shop")) == {"D": "secret of Dependabot"}


def test_octokit(github: Served[GitHubEmulator]) -> None:
    assert github.node("octokit") == {
        "user": "sandbox",
        "limit": 5000,
        "organization": "acme",
        "url": True,
        "environments": ["a/b ü", "production"],
        "gone": 404,
        "paginated": 12,
        "value": "new",
        "renamed": [404, "new"],
        "twice": 409,
        "deleted": 404,
        "environmentVariable": "e",
        "key": ["key", "key_id"],
        "secrets": 0,
        "noBox": 422,
        "page": "accepted",
        "selected": ["shop"],
        "unselected": 0,
        "kept": "o",
        "runs": 0,
    }
