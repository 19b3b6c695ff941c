"""Pipelines that run: of a project, or of all projects that a group or the instance hands its variables down to."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from keyrota.targets.gitlab.connection import GitLabConnection
from keyrota.targets.gitlab.place import Path, Place

_LATEST = {"archived": "false", "order_by": "last_activity_at", "sort": "desc"}
_BELOW = {"include_subgroups": "true", "with_shared": "false"}
"""A project that was shared with a group does not get its variables."""


def in_progress(connection: GitLabConnection, where: Place) -> bool | None:
    """Return whether a pipeline is running; None: too many projects to ask."""
    if where.project is not None:
        return _is_busy(connection, where.project)
    ask = partial(_is_busy, connection)
    return connection.many.is_busy(where.owner, partial(_at_work, connection, where), ask)


def may_look(connection: GitLabConnection, where: Place) -> None:
    """Ask for pipelines, once: whether the token may."""
    if where.project is not None:
        _is_busy(connection, where.project)
    else:
        connection.many.may_ask(partial(_at_work, connection, where), partial(_is_busy, connection))


def _is_busy(connection: GitLabConnection, project: str) -> bool:
    path, about = ("projects", project, "pipelines"), f"the pipelines of {project}"
    return any(True for _ in connection.pages(path, about, query={"status": "running"}))


def _at_work(connection: GitLabConnection, where: Place) -> Iterator[str]:
    """
    List the projects that may run something, by their last activity, the latest in front.

    Of the instance an administrator sees all, and nobody else may write its variables.
    """
    path: Path = ("projects",) if where.group is None else ("groups", where.group, "projects")
    query = _LATEST if where.group is None else _LATEST | _BELOW
    for value in connection.pages(path, f"the projects of {where.scope}", query=query):
        if value.get("builds_access_level") != "disabled":  # it has no pipelines, and refuses to list them
            yield str(value.get("id", ""))
