"""
The other scopes and levels of a place: what they show, and what they make of a write.

A list in GitLab returns every value in clear. So a list is asked for only where it is needed, before a first write and
before a key goes; of each value no more than the key IDs in it is kept, while it is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any

from keyrota.core.levels import Side, Written
from keyrota.core.model import Conflict, Surroundings
from keyrota.core.variables import Listed, bundle_conflicts, describe_variable, pair_conflicts
from keyrota.target_base.look import Look
from keyrota.targets.gitlab.connection import GitLabConnection
from keyrota.targets.gitlab.place import Path, Place
from keyrota.targets.gitlab.scopes import do_meet, side_of

_MAX_PROJECTS = 20
"""Of a group or the instance: each costs one call."""
_MAX_SCHEDULES = 20
"""Of a project: each costs one call."""
_PUBLIC = "https://gitlab.com/"
_LATEST = {"archived": "false", "order_by": "last_activity_at", "sort": "desc"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoped:
    """A variable and the environments that it is for."""

    scope: str
    variable: Listed


@dataclass(frozen=True, slots=True)
class Around:
    """One look around a place."""

    _connection: GitLabConnection
    _where: Place
    _look: Look = field(default_factory=Look)

    def look(self, address: str) -> Surroundings:
        """Look at all scopes of the place's own level, at the levels above it, and at what overrides it."""
        where = self._where
        everything = self._look.attempt(f"gitlab {where.owner}", partial(self._list, where)) or ()
        own = tuple(each.variable for each in everything if each.scope == where.environment_scope)
        self._scopes(where, everything)
        others = tuple(variable for variable in own if variable.name not in where.names)
        self._look.add(where.scope, Side.APART, others)  # for the keys that they show
        self._above()
        if where.project is None:
            self._below()
        else:
            self._schedules(where.project)
        present = frozenset(variable.name for variable in own) & frozenset(where.names)
        pair = None if where.bundle else (where.id_name, where.secret_name)
        found = self._look.conclude(address, Written(pair=pair, bundle=where.bundle, present=present))
        return replace(found, conflicts=tuple(dict.fromkeys((*_beside(where, own), *found.conflicts))))

    def _scopes(self, where: Place, everything: tuple[Scoped, ...]) -> None:
        """Judge the other scopes of the same level."""
        for scope in dict.fromkeys(each.scope for each in everything):
            if scope != where.environment_scope:
                there = replace(where, environment_scope=scope)
                variables = tuple(each.variable for each in everything if each.scope == scope)
                self._look.add(there.scope, side_of(scope, where.environment_scope), variables)

    def _above(self) -> None:
        """Read the groups that the place lies in, and the instance, where it is the user's own."""
        about, ask = f"the groups of gitlab {self._where.owner}", self._connection.identities.record
        record = self._look.attempt(about, partial(ask, self._where))
        for group in record.groups if record else ():
            self._level(replace(self._where, project=None, group=group), Side.ABOVE)
        if not self._where.is_instance and not f"{self._connection.http.origin}/".startswith(_PUBLIC):
            self._level(replace(self._where, project=None, group=None), Side.ABOVE)

    def _below(self) -> None:
        """Read the projects of a group, or of the instance, that were active last."""
        about = f"the projects of gitlab {self._where.owner}"
        numbers = self._look.attempt(about, self._latest) or ()
        if len(numbers) > _MAX_PROJECTS:
            self._look.unread.append(
                f"{about}: the {_MAX_PROJECTS} that were active last are read; `keyrota discover` reads them all"
            )
        for path in numbers[:_MAX_PROJECTS]:
            self._level(replace(self._where, project=path, group=None), Side.BELOW)

    def _latest(self) -> tuple[str, ...]:
        where = self._where
        path: Path = ("projects",) if where.group is None else ("groups", where.group, "projects")
        query = _LATEST if where.group is None else _LATEST | {"include_subgroups": "true", "with_shared": "false"}
        found = self._connection.pages(path, f"the projects of {where.scope}", query=query)
        names = (value["path_with_namespace"] for value in found if isinstance(value.get("path_with_namespace"), str))
        return tuple(islice(names, _MAX_PROJECTS + 1))

    def _level(self, there: Place, side: Side) -> None:
        """
        Read another level, scope by scope; what is for other environments than the place's mixes with nothing.

        The level counts before the scope: a project's variable for all environments overrides a group's for one.
        """
        name = replace(there, environment_scope="*").scope
        everything = self._look.attempt(name, partial(self._list, there)) or ()
        for scope in dict.fromkeys(each.scope for each in everything):
            meets = do_meet(scope, self._where.environment_scope)
            variables = tuple(each.variable for each in everything if each.scope == scope)
            name = replace(there, environment_scope=scope).scope
            self._look.add(name, side if meets else Side.APART, variables)

    def _list(self, there: Place) -> tuple[Scoped, ...]:
        """List a level."""
        path, about = there.variables_path, f"the variables of {replace(there, environment_scope='*').scope}"

        def ask() -> tuple[Scoped, ...]:
            return tuple(_read_scoped(value) for value in self._connection.pages(path, about))

        return self._connection.lists.read(path, ask)

    def _schedules(self, project: str) -> None:
        """Read the pipeline schedules: their variables override all others."""
        path, about = ("projects", project, "pipeline_schedules"), f"the pipeline schedules of gitlab {project}"
        listing = self._connection.pages(path, about)
        known = self._look.attempt(about, lambda: tuple(islice(listing, _MAX_SCHEDULES + 1))) or ()
        if len(known) > _MAX_SCHEDULES:
            self._look.unread.append(f"{about}: the first {_MAX_SCHEDULES} are read; `keyrota discover` reads them all")
        for schedule in known[:_MAX_SCHEDULES]:
            number = str(schedule.get("id", ""))
            name = f"gitlab {project} schedule {number}"
            self._look.level(name, Side.BELOW, partial(self._schedule, (*path, number), name))

    def _schedule(self, path: Path, name: str) -> tuple[Listed, ...]:
        answer = self._connection.http.call("GET", path, where=name)
        self._connection.raise_for_status(answer, name)
        values = answer.object().get("variables")
        known = values if isinstance(values, list) else ()
        return tuple(_read_scoped(value).variable for value in known if isinstance(value, dict))


def _read_scoped(value: Mapping[str, Any]) -> Scoped:
    scope = str(value.get("environment_scope", "*"))
    return Scoped(scope=scope, variable=describe_variable(str(value.get("key", "")), value.get("value")))


def _beside(where: Place, own: tuple[Listed, ...]) -> tuple[Conflict, ...]:
    """Judge what else is in the place's own scope; half a pair there is what a read reports."""
    if where.bundle:
        return tuple(bundle_conflicts(own, where.bundle))
    names = {variable.name for variable in own}
    if len(names & {where.id_name, where.secret_name}) == 1:
        return ()
    return tuple(pair_conflicts(own, where.id_name, where.secret_name))
