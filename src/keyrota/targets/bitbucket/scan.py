"""Walking through Bitbucket for keys: a workspace, its repositories, their environments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keyrota.core.detect import Seen, find_keys, look_at
from keyrota.core.model import FoundKey
from keyrota.targets.bitbucket.connection import BitbucketConnection


def scopes(connection: BitbucketConnection, scope: str | None) -> tuple[str, ...]:
    """List workspaces (`acme`) and their repositories (`acme/shop`)."""
    workspaces = (scope,) if scope else tuple(_workspaces(connection))
    found: list[str] = []
    for workspace in workspaces:
        found.append(workspace)
        found += [f"{workspace}/{slug}" for slug in connection.repositories(workspace)]
    return tuple(found)


def _workspaces(connection: BitbucketConnection) -> Iterator[str]:
    for value in connection.values(("user", "workspaces"), "the workspaces that the token sees"):
        workspace = value.get("workspace", value)
        slug = workspace.get("slug") if isinstance(workspace, dict) else None
        if isinstance(slug, str):
            yield slug


def scan(connection: BitbucketConnection, scope: str) -> Iterator[FoundKey]:
    """Look through one workspace's own variables, or one repository's and those of its environments."""
    workspace, _, repository = scope.partition("/")
    if not repository:
        path: tuple[str, ...] = ("workspaces", workspace, "pipelines-config", "variables")
        yield from _scan_place(connection, f"bitbucket {workspace}", {"workspace": workspace}, path)
        return
    settings = {"workspace": workspace, "repository": repository}
    base = ("repositories", workspace, repository)
    yield from _scan_place(connection, f"bitbucket {scope}", settings, (*base, "pipelines_config", "variables"))
    for value in connection.values((*base, "environments"), f"the deployment environments of {scope}"):
        name, uuid = value.get("name"), value.get("uuid")
        if isinstance(name, str) and isinstance(uuid, str):
            path = (*base, "deployments_config", "environments", uuid, "variables")
            yield from _scan_place(connection, f"bitbucket {scope} {name}", {**settings, "environment": name}, path)


def _scan_place(
    connection: BitbucketConnection, place: str, settings: dict[str, Any], path: tuple[str, ...]
) -> Iterator[FoundKey]:
    values = connection.values(path, f"the variables of {place}")
    return find_keys(place, settings, tuple(_look_at(value) for value in values))


def _look_at(value: dict[str, Any]) -> Seen:
    is_secured = bool(value.get("secured", False))
    return look_at(str(value.get("key", "")), None if is_secured else value.get("value") or "")
