"""Who may see an organization's secret: read first and sent back, because every write sets it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from keyrota.errors import ProviderRefused, ProviderUnavailable
from keyrota.targets.github.connection import GitHubConnection
from keyrota.targets.github.place import Place

KINDS = ("all", "private", "selected")


@dataclass(frozen=True, slots=True, kw_only=True)
class Visibility:
    """Which repositories see a secret."""

    kind: str
    selected: tuple[int, ...] = ()
    """IDs of repositories, where the kind is `selected`."""

    def fields(self) -> dict[str, Any]:
        """Write it as the API wants it."""
        if self.kind != "selected":
            return {"visibility": self.kind}
        return {"visibility": self.kind, "selected_repository_ids": list(self.selected)}


def visibility_of(
    connection: GitHubConnection, where: Place, name: str, secret: Mapping[str, Any] | None
) -> Visibility:
    """
    Keep what a secret has; for a new one take what the configuration says.

    Raises:
        ProviderRefused: The secret is new and nobody says who may see it, or GitHub says something unknown.
    """
    about = f"{where.scope}, secret {name}"
    if secret is None:
        return _resolve_configured(connection, where, about)
    kind = secret.get("visibility")
    if kind not in KINDS:
        raise ProviderRefused(
            f"GitHub does not say who may see the secret ({str(kind)[:40]!r})",
            where=about,
            remedy="nothing was written, because a write would set it anew",
        )
    return Visibility(kind=kind, selected=list_selected_ids(connection, where, name) if kind == "selected" else ())


def list_selected_ids(connection: GitHubConnection, where: Place, name: str) -> tuple[int, ...]:
    """List the IDs of all repositories that were selected for a secret."""
    return tuple(number for number, _ in list_selected_repositories(connection, where, name))


def list_selected_repositories(connection: GitHubConnection, where: Place, name: str) -> tuple[tuple[int, str], ...]:
    """
    List ID and name of all repositories that were selected for a secret.

    Raises:
        ProviderUnavailable: The list changes while it is read, or is not whole: sent back, it would narrow or widen.
    """
    about = f"{where.scope}, secret {name}, its repositories"
    path = (*where.secrets_path, name, "repositories")
    for _ in range(2):
        total = connection.get(where, path, about, query={"per_page": "1"}).get("total_count")
        values = list(connection.pages(where, path, "repositories", about, per_page=100))
        found = {value["id"]: str(value.get("name", "")) for value in values if isinstance(value.get("id"), int)}
        if len(found) == len(values) == total:
            return tuple(found.items())
    raise ProviderUnavailable(
        "the list of selected repositories changes while it is read, or is not whole",
        where=about,
        remedy="nothing was written; the next run tries again",
    )


def _resolve_configured(connection: GitHubConnection, where: Place, about: str) -> Visibility:
    if where.visibility is None:
        raise ProviderRefused(
            "the organization does not have this secret yet, and nobody says who may see it",
            where=about,
            remedy="add `visibility: private`, `all`, or `selected` with `repositories: [...]` to this target",
        )
    ids = []
    for name in where.repositories if where.visibility == "selected" else ():
        number = connection.get(where, ("repos", where.owner, name), about).get("id")
        if not isinstance(number, int):
            raise ProviderRefused(f"GitHub names no repository {name}", where=about, remedy="correct `repositories`")
        ids.append(number)
    return Visibility(kind=where.visibility, selected=tuple(ids))
