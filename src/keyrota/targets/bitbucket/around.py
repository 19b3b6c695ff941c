"""The other levels and environments of a place: what they show, and what they make of a write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from keyrota.core.levels import Side, Written
from keyrota.core.model import Surroundings
from keyrota.core.variables import Listed
from keyrota.target_base.look import Look
from keyrota.targets.bitbucket.connection import BitbucketConnection
from keyrota.targets.bitbucket.lists import Path, list_variables
from keyrota.targets.bitbucket.place import Place

_MAX_REPOSITORIES = 20
"""Of a workspace: each costs two calls, and one for each of its environments, of 1,000 an hour."""


@dataclass(frozen=True, slots=True)
class Around:
    """One look around a place."""

    _connection: BitbucketConnection
    _where: Place
    _look: Look = field(default_factory=Look)

    def look(self, address: str, here: Callable[[], tuple[Listed, ...]]) -> Surroundings:
        """Look; `here` lists the place itself."""
        where = self._where
        if where.repository is None:
            self._below()
        else:
            self._level(f"bitbucket {where.workspace}", workspace_path(where.workspace), Side.ABOVE)
            if where.environment is not None:
                self._repository(where.repository, Side.ABOVE)
            self._environments(where.repository)
        own = self._look.attempt(where.scope, here) or ()
        present = frozenset(variable.name for variable in own) & frozenset(where.names)
        pair = None if where.bundle else (where.id_name, where.secret_name)
        return self._look.conclude(address, Written(pair=pair, bundle=where.bundle, present=present))

    def _below(self) -> None:
        workspace = self._where.workspace
        latest = partial(self._connection.repositories, workspace, query={"sort": "-updated_on"})
        name = f"the repositories of bitbucket {workspace}"
        slugs = self._look.attempt(name, lambda: tuple(islice(latest(), _MAX_REPOSITORIES + 1))) or ()
        if len(slugs) > _MAX_REPOSITORIES:
            self._look.unread.append(
                f"{name}: the {_MAX_REPOSITORIES} that were changed last are read; `keyrota discover` reads them all"
            )
        for slug in slugs[:_MAX_REPOSITORIES]:
            self._repository(slug, Side.BELOW)
            self._environments(slug)

    def _repository(self, slug: str, side: Side) -> None:
        workspace = self._where.workspace
        self._level(f"bitbucket {workspace}/{slug}", repository_path(workspace, slug), side)

    def _environments(self, repository: str) -> None:
        """Read the environments of a repository, but for the place itself."""
        where, name = self._where, f"bitbucket {self._where.workspace}/{repository}"
        asked = f"the deployment environments of {name}"
        known, own = self._look.attempt(asked, partial(self._resolve_environment, repository)) or ({}, "")
        side = Side.BELOW if where.environment is None else Side.APART
        for environment, uuids in known.items():
            for uuid in uuids:
                if uuid.lower() != own.lower():
                    self._level(f"{name} {environment}", environment_path(where.workspace, repository, uuid), side)

    def _resolve_environment(self, repository: str) -> tuple[dict[str, list[str]], str]:
        """List a repository's environments, and name the one that is the place itself."""
        known = self._connection.environments(self._where.workspace, repository)
        return known, self._connection.environment_uuid(self._where) if self._where.environment is not None else ""

    def _level(self, name: str, path: Path, side: Side) -> None:
        def ask() -> tuple[Listed, ...]:
            return list_variables(self._connection.values(path, f"the variables of {name}"))

        self._look.level(name, side, partial(self._connection.lists.read, path, ask))


def workspace_path(workspace: str) -> Path:
    """Return the path of a workspace's variables; it has a hyphen, and the repository's an underscore."""
    return ("workspaces", workspace, "pipelines-config", "variables")


def repository_path(workspace: str, repository: str) -> Path:
    """Return the path of a repository's variables."""
    return ("repositories", workspace, repository, "pipelines_config", "variables")


def environment_path(workspace: str, repository: str, uuid: str) -> Path:
    """Return the path of a deployment environment's variables."""
    return ("repositories", workspace, repository, "deployments_config", "environments", uuid, "variables")
