"""The configuration, read and checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from keyrota.core.model import FirstWrite
from keyrota.core.policy import Rollout, RotationPolicy
from keyrota.core.selection import DirectoryUser, Selector


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyConfig:
    """How a new key is proved."""

    regions: tuple[str, ...] = ()
    times: int = 4
    span_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetConfig:
    """One place at a provider."""

    kind: str
    """Which provider: `github`."""
    provider: str
    """Its name in `providers`: its kind, or a name of its own."""
    settings: Mapping[str, Any]
    where: str
    """File, line and column."""
    first_write: FirstWrite | None = None
    """What is asked before this place is written for the first time; None: what the policy says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialConfig:
    """One IAM user."""

    user: str
    account: str | None
    role: str | None
    external_id: str | None
    region: str | None
    secret_name: str
    is_secret_named: bool
    id_field: str
    secret_field: str
    kms_key: str | None
    replica_region: str | None
    tags: Mapping[str, str]
    secret_readers: frozenset[str]
    """Account IDs and organization IDs (`o-…`) that may read the secret."""
    policy: RotationPolicy
    targets: tuple[TargetConfig, ...]
    where: str

    @property
    def known_account(self) -> str | None:
        """The account ID as the configuration tells it, by `account` or by the role's ARN; None: the caller's own."""
        if self.account is None and self.role and self.role.startswith("arn:"):
            return self.role.split(":")[4]
        return self.account


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A reference to a token, as the configuration writes it."""

    provider: str
    field: str
    """`token`, `read_token`, …"""
    text: str
    where: str
    """File, line and column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfiguredUrl:
    """A URL in the settings of a provider."""

    provider: str
    setting: str
    text: str
    own: tuple[str, ...]
    """The provider's own public URLs for this setting."""
    where: str
    """File, line and column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """An entry in one account, whose users a selector finds when keyrota runs."""

    selector: Selector
    entrance: CredentialConfig
    """How the account is entered; its user stands for nobody."""
    secret_pattern: str
    """What the names of the users' secrets are like, as IAM writes patterns: `keyrota/*/access-key`."""
    where: str
    """File, line and column."""


class Making(Protocol):
    """Makes credentials of the users that were found, as the schema and the loader would have them written."""

    def make(self, number: int, user: DirectoryUser) -> CredentialConfig:
        """Make the credential of a user that the selection of this number found; `ConfigError` if it does not fit."""
        ...

    def claims(self, credential: CredentialConfig) -> Iterable[tuple[object, str]]:
        """Name what a credential claims for itself alone, each with what is wrong if another one claims it too."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """The whole file."""

    path: Path | str
    """The file, or the reference of a parameter or an object."""
    policy: RotationPolicy
    rollout: Rollout
    concurrency: int
    drift_every: timedelta
    """Of many credentials, each place that nothing is due at is read at least so often."""
    verify: VerifyConfig
    region: str | None
    profile: str | None
    providers: Mapping[str, Mapping[str, Any]]
    credentials: tuple[CredentialConfig, ...]
    references: tuple[Reference, ...] = ()
    urls: tuple[ConfiguredUrl, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)
    """The kind of each of `providers`."""

    selections: tuple[Selection, ...] = ()
    """What is still to be found; empty once it was."""
    making: Making | None = field(default=None, compare=False)

    @property
    def entrances(self) -> tuple[CredentialConfig, ...]:
        """How accounts are entered: by the credentials, and where users are selected."""
        return (*self.credentials, *(selection.entrance for selection in self.selections))

    def of_kind(self, kind: str) -> Mapping[str, Mapping[str, Any]]:
        """Return the settings of all providers of a kind, by name."""
        return {name: settings for name, settings in self.providers.items() if self.kinds[name] == kind}
