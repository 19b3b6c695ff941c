"""Providers that have a name of their own: their targets are told apart, here and in the index of a secret."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from keyrota.app.config import load_text
from keyrota.app.provider_breach import Place
from keyrota.app.wiring import Wiring
from keyrota.core.model import IndexEntry
from keyrota.core.secret import Secret
from keyrota.errors import KeyrotaError, UsageError
from keyrota.target_base.provider import instance
from keyrota.targets import kinds

CLOCK: Any = SimpleNamespace(now=lambda: datetime(2026, 11, 30, tzinfo=UTC), sleep=lambda _: None)
TOKEN = {"auth": {"token": "env:T"}}
ID = "0d5cd3ca-6c0d-4f0c-9d5c-0a3c5a1f0001"
SETTINGS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "azure_devops": ({"base_url": "https://dev.azure.com/acme", **TOKEN}, {"project": "shop", "group": "aws"}),
    "bitbucket": (TOKEN, {"workspace": "acme", "repository": "shop", "environment": "Production"}),
    "buildkite": (TOKEN, {"organization": "acme", "cluster": ID}),
    "circleci": (TOKEN, {"project": "gh/acme/shop"}),
    "codespaces": (TOKEN, {"repository": "acme/shop"}),
    "forgejo": ({"base_url": "https://forge.example.com/api/v1", **TOKEN}, {"repository": "acme/shop"}),
    "gitea": ({"base_url": "https://forge.example.com/api/v1", **TOKEN}, {"organization": "acme"}),
    "github": (TOKEN, {"repository": "acme/shop", "environment": "production"}),
    "gitlab": (TOKEN, {"project": "acme/shop"}),
    "kubernetes": ({"base_url": "https://k.example.com", **TOKEN}, {"namespace": "ci", "secret": "aws"}),
    "ssm": ({"region": "eu-central-1"}, {"parameter": "/ci/deploy"}),
    "terraform": (TOKEN, {"organization": "acme", "workspace": "shop"}),
}


def test_every_kind_is_looked_at() -> None:
    assert set(SETTINGS) == set(kinds())


@pytest.mark.parametrize("kind", SETTINGS)
def test_the_addresses_of_its_targets_begin_with_its_name(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYROTA_ALLOWED_HOSTS", "forge.example.com,k.example.com")
    provider, target = SETTINGS[kind]
    usual, named = kinds()[kind], instance(kinds()[kind], "second")
    connection = named.connect(provider, secrets=lambda _: Secret("token"), clock=CLOCK)
    address = named.address(target)
    assert usual.address(target).split(" ", 1)[0] == kind
    assert address.split(" ", 1) == ["second", usual.address(target).split(" ", 1)[1]]
    assert connection.target(target).address == address
    assert named.variables(target) == usual.variables(target)


TEXT = """\
version: 1
providers:
  bitbucket: {auth: {token: "env:A"}}
  other: {kind: bitbucket, auth: {token: "env:B"}}
credentials: [{user: a, targets: [{bitbucket: {workspace: w}}, {other: {workspace: v}}]}]
"""


def test_the_index_of_a_secret_names_kind_and_name() -> None:
    """So that a breach of a kind covers a provider that the configuration no longer has."""
    configuration = load_text("k", TEXT)
    wiring = Wiring(configuration, CLOCK)
    entries = wiring.index(configuration.credentials[0])
    assert [(entry.address, entry.kind) for entry in entries] == [
        ("bitbucket w", "bitbucket"),
        ("other v", "bitbucket/other"),
    ]
    assert [json.loads(entry.settings) for entry in entries] == [{"workspace": "w"}, {"workspace": "v"}]


def test_a_removed_target_is_reached_through_the_provider_that_it_named() -> None:
    wiring = Wiring(load_text("k", TEXT), CLOCK)
    left = IndexEntry(address="other x", kind="bitbucket/other", settings='{"workspace": "x"}')
    reached = wiring.reach(left)
    assert not isinstance(reached, KeyrotaError)
    assert reached.address == "other x"
    gone = wiring.reach(IndexEntry(address="gone x", kind="bitbucket/gone", settings='{"workspace": "x"}'))
    assert "gone is not configured any more" in str(gone)


@pytest.mark.parametrize(
    ("breached", "covered"),
    [
        ("bitbucket", [True, True]),
        ("other", [False, True]),
        ("bitbucket:w", [True, False]),
        ("other:w", [False, False]),
    ],
)
def test_a_breach_of_a_kind_covers_every_provider_of_it(breached: str, covered: list[bool]) -> None:
    place = Place.read(breached, load_text("k", TEXT).kinds)
    found = [place.covers("bitbucket", {"workspace": "w"}), place.covers("bitbucket/other", {"workspace": "v"})]
    assert found == covered


def test_a_provider_that_nothing_is_called_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown provider 'else'"):
        Place.read("else", load_text("k", TEXT).kinds)
