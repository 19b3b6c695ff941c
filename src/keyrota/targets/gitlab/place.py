"""Where variables are at GitLab, what they are called, and how new ones are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from keyrota.target_base.schema import name_provider, names_of, span, with_names

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the variables are."""

    project: str | None
    """Number, or the whole path."""
    group: str | None
    environment_scope: str
    id_name: str
    secret_name: str
    bundle: str | None
    protected: bool
    """Of a variable that is not there yet; as are `masked`, `hidden` and `raw`."""
    masked: bool
    hidden: bool
    raw: bool
    wait_for_idle: timedelta
    provider: str
    """How the configuration calls the provider."""

    @property
    def names(self) -> tuple[str, ...]:
        """The variables that are ours."""
        return (self.bundle,) if self.bundle else (self.id_name, self.secret_name)

    @property
    def is_instance(self) -> bool:
        """Whether it is the instance: its variables have no environment scope."""
        return self.project is None and self.group is None

    @property
    def owner(self) -> str:
        """Project, group or instance in words."""
        if self.project is not None:
            return self.project
        return f"group {self.group}" if self.group is not None else "instance"

    @property
    def scope(self) -> str:
        """The place in words."""
        return f"{self.provider} {self.owner}" + ("" if self.environment_scope == "*" else f" {self.environment_scope}")

    @property
    def address(self) -> str:
        """The place in words, unique in a configuration."""
        return with_names(self.scope, self.names)

    @property
    def variables_path(self) -> Path:
        """Path of the list of variables."""
        if self.project is not None:
            return ("projects", self.project, "variables")
        return ("groups", self.group, "variables") if self.group is not None else ("admin", "ci", "variables")

    @property
    def filter(self) -> dict[str, str]:
        """Names the scope, always: without it GitLab takes the only variable of that name, whatever its scope."""
        return {} if self.is_instance else {"filter[environment_scope]": self.environment_scope}


def place(settings: Mapping[str, Any]) -> Place:
    """Read one entry of the configuration, which the schema has accepted."""
    id_name, secret_name = names_of(settings)
    bundle = settings.get("bundle")
    project, group = settings.get("project"), settings.get("group")
    return Place(
        project=str(project).strip() if project is not None else None,
        group=str(group).strip() if group is not None else None,
        environment_scope=settings.get("environment_scope", "*"),
        id_name=id_name,
        secret_name=secret_name,
        bundle=bundle,
        protected=bool(settings.get("protected", False)),
        masked=bool(settings.get("masked", bundle is None)),
        hidden=bool(settings.get("hidden", False)),
        raw=bool(settings.get("raw", True)),
        wait_for_idle=span(settings, "wait_for_idle"),
        provider=name_provider(settings, "gitlab"),
    )
