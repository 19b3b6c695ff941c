"""Where variables are at Bitbucket, and what they are called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from keyrota.target_base.schema import name_provider, names_of, span, with_names


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the variables are, and what they are called."""

    workspace: str
    repository: str | None
    environment: str | None
    id_name: str
    secret_name: str
    bundle: str | None
    id_secured: bool
    wait_for_idle: timedelta
    provider: str
    """How the configuration calls the provider."""

    @property
    def names(self) -> tuple[str, ...]:
        """The variables that are ours."""
        return (self.bundle,) if self.bundle else (self.id_name, self.secret_name)

    @property
    def scope(self) -> str:
        """The place in words."""
        repository = f"/{self.repository}" if self.repository else ""
        environment = f" {self.environment}" if self.environment else ""
        return f"{self.provider} {self.workspace}{repository}{environment}"

    @property
    def address(self) -> str:
        """The place in words, unique in a configuration."""
        return with_names(self.scope, self.names)


def place(settings: Mapping[str, Any]) -> Place:
    """Read one entry of the configuration, which the schema has accepted."""
    id_name, secret_name = names_of(settings)
    repository = settings.get("repository")
    return Place(
        workspace=settings["workspace"].strip(),
        repository=repository.strip() if repository else None,
        environment=settings.get("environment"),
        id_name=id_name,
        secret_name=secret_name,
        bundle=settings.get("bundle"),
        id_secured=bool(settings.get("id_secured", False)),
        wait_for_idle=span(settings, "wait_for_idle"),
        provider=name_provider(settings, "bitbucket"),
    )
