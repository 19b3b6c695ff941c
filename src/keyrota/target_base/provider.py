"""What a provider is: one value of schema and functions, which the entry point group `keyrota.targets` names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from keyrota.core.model import FoundKey
from keyrota.ports import Clock, SecretReader, Target
from keyrota.target_base.schema import CALLED, Schema, faults_of_names, names_of

Settings = Mapping[str, Any]
"""One entry of the configuration, which the schema has accepted."""


def _no_scopes(scope: str | None) -> Sequence[str]:  # noqa: ARG001  # the signature of Connection.scopes
    return ()


def _no_keys(scope: str) -> Iterable[FoundKey]:  # noqa: ARG001  # the signature of Connection.scan
    return ()


def _faults(settings: Settings) -> tuple[str, ...]:
    return faults_of_names(names_of(settings))


def is_in_organization(settings: Settings, scope: str) -> bool:
    """Return whether a target lies in an organization, for a provider whose targets name theirs."""
    return str(settings["organization"]).casefold() == scope.casefold()


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A provider with its credentials, from which targets are made."""

    target: Callable[[Settings], Target]
    """Makes the target that one entry of the configuration describes."""
    scopes: Callable[[str | None], Sequence[str]] = _no_scopes
    """
    Lists what the token can see, as scopes to scan one after the other.

    Its argument is a workspace, an organization or a group; None for everything. `keyrota discover` does not search a
    provider without it.
    """
    scan: Callable[[str], Iterable[FoundKey]] = _no_keys
    """
    Finds the variables of one scope that hold AWS keys, or are named as if they did; no secret is kept.

    It may be lazy: what was found before a refusal is not lost with it.
    """


class Connect(Protocol):
    """Connects to a provider; makes no request yet."""

    def __call__(self, settings: Settings, *, secrets: SecretReader, clock: Clock) -> Connection:
        """Connect."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A provider as a plug-in; all functions take settings that fit the schema."""

    provider_schema: Schema
    """JSON Schema of `providers.<name>`; a secret reference has `"format": "secret-reference"`."""
    target_schema: Schema
    """JSON Schema of what stands behind `- <name>:` in `targets`."""
    address: Callable[[Settings], str]
    """Names a target as `Target.address` does."""
    faults: Callable[[Settings], tuple[str, ...]] = _faults
    """Says what is wrong with settings; empty if nothing is. By default the two variables need two names."""
    is_within: Callable[[Settings, str], bool]
    """Returns whether a target lies in a workspace, an organization or a group, or is handed down to it."""
    variables: Callable[[Settings], frozenset[str]]
    """Names each variable that a target would write, in a form that is equal for equal variables."""
    connect: Connect
    """Connects to the provider."""


def instance(provider: Provider, name: str) -> Provider:
    """
    Return a provider under another name, which the addresses of its targets begin with.

    Two servers, or two tokens of one, may be configured side by side; their targets have to be told apart.
    """

    def add_name(settings: Settings) -> Settings:
        return {**settings, CALLED: name}

    def connect(settings: Settings, *, secrets: SecretReader, clock: Clock) -> Connection:
        connection = provider.connect(settings, secrets=secrets, clock=clock)
        return replace(connection, target=lambda target: connection.target(add_name(target)))

    return replace(provider, address=lambda settings: provider.address(add_name(settings)), connect=connect)
