"""Walking through GitLab for keys: groups, projects, and the pipeline schedules in which keys hide."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from keyrota.core.detect import Seen, find_keys, look_at
from keyrota.core.model import FoundKey
from keyrota.errors import NotThere, ProviderRefused
from keyrota.targets.gitlab.connection import GitLabConnection

_INSTANCE = "instance"


def scopes(connection: GitLabConnection, scope: str | None) -> tuple[str, ...]:
    """List the instance (without a group only), groups (`group acme`) and projects (`acme/shop`)."""
    if scope is None:
        groups = _values(connection, ("groups",), {"all_available": "false"}, "full_path", "the groups")
        projects = _values(connection, ("projects",), {"membership": "true"}, "path_with_namespace", "the projects")
        return (_INSTANCE, *(f"group {name}" for name in groups), *projects)
    about = f"the group {scope}"
    below = _values(connection, ("groups", scope, "descendant_groups"), {}, "full_path", about)
    query = {"include_subgroups": "true"}
    projects = _values(connection, ("groups", scope, "projects"), query, "path_with_namespace", about)
    return (f"group {scope}", *(f"group {name}" for name in below), *projects)


def _values(
    connection: GitLabConnection, path: tuple[str, ...], query: Mapping[str, str], field: str, about: str
) -> tuple[str, ...]:
    return tuple(
        value[field] for value in connection.pages(path, about, query=query) if isinstance(value.get(field), str)
    )


def scan(connection: GitLabConnection, scope: str) -> Iterator[FoundKey]:
    """Look through the variables of the instance, of one group, or of one project and its schedules."""
    if scope == _INSTANCE:
        with contextlib.suppress(NotThere, ProviderRefused):  # only administrators see them
            yield from _scan_place(connection, "gitlab instance", {"instance": True}, ("admin", "ci", "variables"))
    elif scope.startswith("group "):
        name = scope.removeprefix("group ")
        yield from _scan_place(connection, f"gitlab {scope}", {"group": name}, ("groups", name, "variables"))
    else:
        yield from _scan_place(connection, f"gitlab {scope}", {"project": scope}, ("projects", scope, "variables"))
        yield from _schedules(connection, scope)


def _scan_place(
    connection: GitLabConnection, place: str, settings: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[FoundKey]:
    """Sort variables by their scope: a pair belongs to one."""
    by_scope: dict[str, list[Seen]] = {}
    for value in connection.pages(path, f"the variables of {place}"):
        by_scope.setdefault(str(value.get("environment_scope", "*")), []).append(_look_at(value))
    for environment, variables in by_scope.items():
        if environment == "*":
            yield from find_keys(place, settings, variables)
        else:
            yield from find_keys(f"{place} {environment}", {**settings, "environment_scope": environment}, variables)


def _look_at(value: Mapping[str, Any]) -> Seen:
    return look_at(str(value.get("key", "")), value.get("value"))


def _schedules(connection: GitLabConnection, project: str) -> Iterator[FoundKey]:
    """Look into each pipeline schedule: its variables override the project's."""
    path = ("projects", project, "pipeline_schedules")
    for schedule in connection.pages(path, f"the pipeline schedules of {project}"):
        number = str(schedule.get("id", ""))
        about = f"pipeline schedule {number} of {project}"
        answer = connection.http.call("GET", (*path, number), where=about)
        connection.raise_for_status(answer, about)
        variables = answer.object().get("variables")
        known = (
            [_look_at(value) for value in variables if isinstance(value, dict)] if isinstance(variables, list) else []
        )
        for found in find_keys(f"gitlab {project} schedule {number}", None, known):
            yield FoundKey(
                place=found.place,
                settings=None,
                variable=found.variable,
                key=found.key,
                remark="a pipeline schedule's variable overrides the project's: delete it, and the project's is used",
            )
