"""The other levels and environments of a place: what they show, and what they make of a write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from keyrota.core.levels import Level, Side, Written, keys_shown, level_conflicts
from keyrota.core.model import Surroundings
from keyrota.core.variables import Listed
from keyrota.errors import KeyrotaError
from keyrota.targets.bitbucket.connection import BitbucketConnection
from keyrota.targets.bitbucket.lists import Path, shown_in
from keyrota.targets.bitbucket.place import Place

_MAX_REPOSITORIES = 20
"""Of a workspace: each costs two calls, and one for each of its environments, of 1,000 an hour."""


class Around:
    """One look around a place; what cannot be read is noted, and the rest is read."""

    def __init__(self, connection: BitbucketConnection, where: Place) -> None:
        self._connection = connection
        self._where = where
        self._unread: list[str] = []

    def look(self, address: str, here: Callable[[], tuple[Listed, ...]]) -> Surroundings:
        """Look; `here` lists the place itself."""
        present: frozenset[str] = frozenset()
        levels = tuple(self._levels())
        try:
            present = frozenset(variable.name for variable in here()) & frozenset(self._where.names)
        except KeyrotaError as error:
            self._unread.append(f"{self._where.scope}: {error.what}")
        return Surroundings(
            address=address,
            shown=keys_shown(levels),
            conflicts=level_conflicts(_written(self._where, present), levels),
            unread=tuple(self._unread),
        )

    def _levels(self) -> Iterator[Level]:
        where = self._where
        if where.repository is None:
            yield from self._below()
            return
        yield from self._level(f"bitbucket {where.workspace}", workspace_path(where.workspace), Side.ABOVE)
        if where.environment is not None:
            yield from self._level(
                f"bitbucket {where.workspace}/{where.repository}",
                repository_path(where.workspace, where.repository),
                Side.ABOVE,
            )
        yield from self._environments(where.repository)

    def _below(self) -> Iterator[Level]:
        workspace, slugs = self._where.workspace, list[str]()
        try:
            latest = self._connection.repositories(workspace, query={"sort": "-updated_on"})
            slugs += islice(latest, _MAX_REPOSITORIES + 1)
        except KeyrotaError as error:
            self._unread.append(f"the repositories of bitbucket {workspace}: {error.what}")
        if len(slugs) > _MAX_REPOSITORIES:
            self._unread.append(
                f"the repositories of bitbucket {workspace}, but for the {_MAX_REPOSITORIES} that were changed last: "
                f"`keyrota discover` reads them all"
            )
        for slug in slugs[:_MAX_REPOSITORIES]:
            yield from self._level(f"bitbucket {workspace}/{slug}", repository_path(workspace, slug), Side.BELOW)
            yield from self._environments(slug)

    def _environments(self, repository: str) -> Iterator[Level]:
        """Read the environments of a repository, but for the place itself."""
        where, name = self._where, f"bitbucket {self._where.workspace}/{repository}"
        try:
            known = self._connection.environments(where.workspace, repository)
            own = self._connection.environment_uuid(where) if where.environment is not None else ""
        except KeyrotaError as error:
            self._unread.append(f"the deployment environments of {name}: {error.what}")
            return
        side = Side.BELOW if where.environment is None else Side.APART
        for environment, uuids in known.items():
            for uuid in uuids:
                if uuid.lower() != own.lower():
                    path = environment_path(where.workspace, repository, uuid)
                    yield from self._level(f"{name} {environment}", path, side)

    def _level(self, name: str, path: Path, side: Side) -> Iterator[Level]:
        try:
            variables = self._listed(name, path)
        except KeyrotaError as error:
            self._unread.append(f"{name}: {error.what}")
        else:
            yield Level(name=name, side=side, variables=variables)

    def _listed(self, name: str, path: Path) -> tuple[Listed, ...]:
        known = self._connection.lists.recent(path)
        if known is None:
            known = shown_in(self._connection.values(path, f"the variables of {name}"))
            self._connection.lists.keep(path, known)
        return known


def _written(where: Place, present: frozenset[str]) -> Written:
    pair = None if where.bundle else (where.id_name, where.secret_name)
    return Written(pair=pair, bundle=where.bundle, present=present)


def workspace_path(workspace: str) -> Path:
    """Return the path of a workspace's variables; it has a hyphen, and the repository's an underscore."""
    return ("workspaces", workspace, "pipelines-config", "variables")


def repository_path(workspace: str, repository: str) -> Path:
    """Return the path of a repository's variables."""
    return ("repositories", workspace, repository, "pipelines_config", "variables")


def environment_path(workspace: str, repository: str, uuid: str) -> Path:
    """Return the path of a deployment environment's variables."""
    return ("repositories", workspace, repository, "deployments_config", "environments", uuid, "variables")
