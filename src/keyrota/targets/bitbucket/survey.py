"""Walking through Bitbucket for keys: a workspace, its repositories, their environments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keyrota.core.detect import Seen, look_at, sightings
from keyrota.core.model import Sighting
from keyrota.targets.bitbucket.connection import BitbucketConnection


def areas(connection: BitbucketConnection, area: str | None) -> tuple[str, ...]:
    """List workspaces (`acme`) and their repositories (`acme/shop`)."""
    workspaces = (area,) if area else tuple(_workspaces(connection))
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


def survey(connection: BitbucketConnection, area: str) -> Iterator[Sighting]:
    """Look through one workspace's own variables, or one repository's and those of its environments."""
    workspace, _, repository = area.partition("/")
    if not repository:
        path: tuple[str, ...] = ("workspaces", workspace, "pipelines-config", "variables")
        yield from _scan_place(connection, f"bitbucket {workspace}", {"workspace": workspace}, path)
        return
    settings = {"workspace": workspace, "repository": repository}
    base = ("repositories", workspace, repository)
    yield from _scan_place(connection, f"bitbucket {area}", settings, (*base, "pipelines_config", "variables"))
    for value in connection.values((*base, "environments"), f"the deployment environments of {area}"):
        name, uuid = value.get("name"), value.get("uuid")
        if isinstance(name, str) and isinstance(uuid, str):
            path = (*base, "deployments_config", "environments", uuid, "variables")
            yield from _scan_place(connection, f"bitbucket {area} {name}", {**settings, "environment": name}, path)


def _scan_place(
    connection: BitbucketConnection, place: str, settings: dict[str, Any], path: tuple[str, ...]
) -> Iterator[Sighting]:
    values = connection.values(path, f"the variables of {place}")
    return sightings(place, settings, tuple(_look_at(value) for value in values))


def _look_at(value: dict[str, Any]) -> Seen:
    is_secured = bool(value.get("secured", False))
    return look_at(str(value.get("key", "")), None if is_secured else value.get("value") or "")
