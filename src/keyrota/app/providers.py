"""The providers of one configuration by name: each kind that is installed, and those that have a name of their own."""

from __future__ import annotations

from collections.abc import Mapping

from keyrota.app.config import Configuration
from keyrota.target_base.provider import Provider, instance
from keyrota.targets import kinds

_BETWEEN = "/"
"""Between kind and name in the index of a secret: no name of a provider has one."""


def providers_of(configuration: Configuration) -> Mapping[str, Provider]:
    """Return every provider that a target may name."""
    usual = kinds()
    named = {name: instance(usual[kind], name) for name, kind in configuration.kinds.items() if name != kind}
    return {**usual, **named}


def index_kind(kind: str, name: str) -> str:
    """Write a provider as the index of a secret does: `github`, or `github/ghes` for one with a name of its own."""
    return kind if name == kind else f"{kind}{_BETWEEN}{name}"


def kind_in(index_kind: str) -> str:
    """Read the kind of a provider from the index: it is told also once the configuration no longer has that name."""
    return index_kind.partition(_BETWEEN)[0]


def name_in(index_kind: str) -> str:
    """Read the name of a provider from the index."""
    return index_kind.partition(_BETWEEN)[2] or index_kind
