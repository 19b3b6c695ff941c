"""Where secrets are at GitHub, and what they are called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from keyrota.target_base.schema import marker_of, name_provider, names_of, span, with_names

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the secrets are. Names are upper-case, as GitHub stores them."""

    owner: str
    """Of the repository, or the organization itself."""
    repository: str | None
    environment: str | None
    is_dependabot: bool
    id_name: str
    secret_name: str
    bundle: str | None
    marker: str | None
    visibility: str | None
    """Who may see an organization's secret that is not there yet."""
    repositories: tuple[str, ...]
    """By name, for `visibility: selected`."""
    wait_for_idle: timedelta
    provider: str
    """How the configuration calls the provider."""

    @property
    def names(self) -> tuple[str, ...]:
        """The secrets that are ours."""
        return (self.bundle,) if self.bundle else (self.id_name, self.secret_name)

    @property
    def scope(self) -> str:
        """The place in words."""
        where = f"{self.owner}/{self.repository}" if self.repository else self.owner
        what = f" {self.environment}" if self.environment else ""
        return f"{self.provider} {where}{what}" + (" (Dependabot)" if self.is_dependabot else "")

    @property
    def address(self) -> str:
        """The place in words, unique in a configuration."""
        return with_names(self.scope, self.names)

    @property
    def owner_path(self) -> Path:
        """Path of the repository or the organization."""
        return ("repos", self.owner, self.repository) if self.repository else ("orgs", self.owner)

    def _of(self, what: str) -> Path:
        if self.environment:
            return (*self.owner_path, "environments", self.environment, what)
        return (*self.owner_path, "dependabot" if self.is_dependabot else "actions", what)

    @property
    def secrets_path(self) -> Path:
        """Path of the list of secrets."""
        return self._of("secrets")

    @property
    def variables_path(self) -> Path:
        """Path of the list of variables; Dependabot has none."""
        return self._of("variables")


def place(settings: Mapping[str, Any]) -> Place:
    """Read one entry of the configuration, which the schema has accepted."""
    id_name, secret_name = names_of(settings)
    owner, _, repository = str(settings.get("repository", "")).partition("/")
    bundle = settings.get("bundle")
    return Place(
        owner=owner or settings["organization"],
        repository=repository or None,
        environment=settings.get("environment"),
        is_dependabot=bool(settings.get("dependabot", False)),
        id_name=id_name.upper(),
        secret_name=secret_name.upper(),
        bundle=bundle.upper() if bundle else None,
        marker=marker_of(settings, bundle or id_name),
        visibility=settings.get("visibility"),
        repositories=tuple(settings.get("repositories", ())),
        wait_for_idle=span(settings, "wait_for_idle"),
        provider=name_provider(settings, "github"),
    )
