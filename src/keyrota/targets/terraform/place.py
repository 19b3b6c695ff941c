"""One place at HCP Terraform, as the configuration gives it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from keyrota.target_base.schema import name_place, name_provider, names_of


class Category(StrEnum):
    """What a variable is for: the environment of a run, or an input of the configuration."""

    ENV = "env"
    TERRAFORM = "terraform"

    @property
    def other(self) -> Category:
        """The other one: HCP Terraform has two."""
        return Category.TERRAFORM if self is Category.ENV else Category.ENV

    @property
    def noun(self) -> str:
        """Name such a variable in words."""
        return "environment variable" if self is Category.ENV else "Terraform variable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A workspace or a variable set, and the category of the two variables."""

    organization: str
    workspace: str | None
    """Its name."""
    variable_set: str | None
    """Its ID."""
    category: Category
    id_name: str
    secret_name: str
    address: str

    @property
    def names(self) -> tuple[str, str]:
        """The two variables."""
        return self.id_name, self.secret_name


def place_of(settings: Mapping[str, Any]) -> Place:
    """Read a target's settings, which the schema has accepted."""
    id_name, secret_name = names_of(settings)
    return Place(
        organization=settings["organization"],
        workspace=settings.get("workspace"),
        variable_set=settings.get("variable_set"),
        category=Category(settings.get("category", Category.ENV)),
        id_name=id_name,
        secret_name=secret_name,
        address=address(settings),
    )


def address(settings: Mapping[str, Any]) -> str:
    """Name a workspace or a variable set in words."""
    where = settings["workspace"] if "workspace" in settings else f"variable set {settings['variable_set']}"
    kind = " as Terraform variables" if settings.get("category") == Category.TERRAFORM else ""
    return name_place(f"{name_provider(settings, 'terraform')} {settings['organization']}/{where}{kind}", settings)
