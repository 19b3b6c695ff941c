"""HCP Terraform with one token: lists with and without pages, workspaces, variable sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from keyrota.core.variables import Listed, describe_variable
from keyrota.http import Http, Response, paginate
from keyrota.target_base.errors import ProviderErrors
from keyrota.targets.terraform.place import Category, Place

MEDIA = "application/vnd.api+json"
SAYS = ProviderErrors(
    name="HCP Terraform",
    key="terraform",
    needs="the token's team or user needs the permission to read and write variables of the workspace, "
    "or to manage variable sets",
)
_MAX_PAGES = 200
Path = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A variable as a list shows it; of its value only key IDs are kept."""

    id: str
    name: str
    category: Category
    is_sensitive: bool
    listed: Listed


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableSet:
    """A variable set, and what it is applied to."""

    id: str
    name: str
    has_priority: bool
    """Its variables go before those of a workspace."""
    is_everywhere: bool
    """For all workspaces of the organization, or of some projects."""
    workspaces: tuple[str, ...] = ()
    """IDs of the workspaces that are named."""


class TerraformConnection:
    """HCP Terraform with one token."""

    def __init__(self, http: Http) -> None:
        self.http = http

    def workspace(self, where: Place, about: str) -> str:
        """Find the ID of a workspace, which stays when it is renamed."""
        path = ("organizations", where.organization, "workspaces", where.workspace or "")
        answer = self.http.call("GET", path, where=about)
        SAYS.raise_for_status(answer, about)
        found = answer.object().get("data")
        number = found.get("id") if isinstance(found, dict) and found.get("type") == "workspaces" else None
        if not isinstance(number, str) or not number.isprintable():
            raise SAYS.make_response_error("HCP Terraform's answer is no workspace", about)
        return number

    def variables(self, path: Path, about: str) -> tuple[Variable, ...]:
        """List the variables of both categories."""
        return tuple(made for item in self.items(path, about) if (made := _variable(item)) is not None)

    def set(self, number: str, about: str) -> VariableSet:
        """Read a variable set."""
        answer = self.http.call("GET", ("varsets", number), where=about)
        SAYS.raise_for_status(answer, about)
        found = answer.object().get("data")
        made = _set(found) if isinstance(found, dict) else None
        if made is None:
            raise SAYS.make_response_error("HCP Terraform's answer is no variable set", about)
        return made

    def sets_of(self, workspace: str, about: str) -> tuple[VariableSet, ...]:
        """List the variable sets that are applied to a workspace."""
        items = self.items(("workspaces", workspace, "varsets"), about)
        return tuple(made for item in items if (made := _set(item)) is not None)

    def items(self, path: Path, about: str, query: Mapping[str, str] | None = None) -> Iterator[dict[str, Any]]:
        """Go through a list on all its pages, if it has some."""

        def page(number: str) -> Response:
            asked = {**(query or {}), "page[number]": number, "page[size]": "100"}
            return self.http.call("GET", path, query=asked, where=about)

        for answer in paginate(page("1"), _next_page, page, most=_MAX_PAGES, name=SAYS.name, where=about):
            yield from SAYS.entries(answer, about, under="data")


def variables_path(number: str, *, is_set: bool) -> Path:
    """Find the path of the variables of a workspace or of a variable set."""
    return ("varsets", number, "relationships", "vars") if is_set else ("workspaces", number, "vars")


def _variable(item: Mapping[str, Any]) -> Variable | None:
    attributes = item.get("attributes")
    if not isinstance(attributes, dict) or not isinstance(item.get("id"), str):
        return None
    name, category = attributes.get("key"), attributes.get("category")
    if not isinstance(name, str) or category not in tuple(Category):
        return None
    is_sensitive = attributes.get("sensitive") is True
    value = attributes.get("value")
    return Variable(
        id=item["id"],
        name=name,
        category=Category(category),
        is_sensitive=is_sensitive,
        listed=describe_variable(name, None if is_sensitive else value, is_readable=not is_sensitive),
    )


def _set(item: Mapping[str, Any]) -> VariableSet | None:
    attributes = item.get("attributes")
    if not isinstance(attributes, dict) or not isinstance(item.get("id"), str):
        return None
    return VariableSet(
        id=item["id"],
        name=str(attributes.get("name")),
        has_priority=attributes.get("priority") is True,
        is_everywhere=attributes.get("global") is True or bool(list_related(item, "projects")),
        workspaces=list_related(item, "workspaces"),
    )


def list_related(item: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Read the IDs of a relationship (JSON:API)."""
    found: Any = item.get("relationships")
    for part in (name, "data"):
        found = found.get(part) if isinstance(found, dict) else None
    several = found if isinstance(found, list) else [found]
    return tuple(str(one["id"]) for one in several if isinstance(one, dict) and isinstance(one.get("id"), str))


def _next_page(answer: Response) -> str | None:
    """Read `meta.pagination.next-page`; None on the last page, and where a list has no pages."""
    part: Any = answer.object()
    for name in ("meta", "pagination", "next-page"):
        part = part.get(name) if isinstance(part, dict) else None
    return str(part) if isinstance(part, int) and not isinstance(part, bool) and part > 0 else None
