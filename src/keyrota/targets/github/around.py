"""
The other levels of a place and its variables: what they show, and what they make of a write.

A job reads `secrets.NAME` and `vars.NAME`: two stores of equal names, each on three levels, the closest one first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice

from keyrota.core.levels import Side, Written
from keyrota.core.model import Surroundings
from keyrota.core.variables import Listed, describe_variable
from keyrota.target_base.look import Look
from keyrota.targets.github.connection import GitHubConnection
from keyrota.targets.github.place import Path, Place

_MAX_REPOSITORIES = 20
"""Of an organization: each costs two calls."""
_SECRETS, _VARIABLES = 100, 30
"""The largest pages."""


@dataclass(frozen=True, slots=True)
class Around:
    """One look around a place."""

    _connection: GitHubConnection
    _where: Place
    _look: Look = field(default_factory=Look)

    def look(self, address: str) -> Surroundings:
        """Look at the variables beside the place, and at the levels above and below it."""
        where = self._where
        if where.is_dependabot:
            self._dependabot()
        elif where.repository is None:
            self._variables(where, Side.BESIDE)
            self._repositories()
        else:
            repository = replace(where, environment=None)
            self._variables(repository, Side.BESIDE)
            if where.environment is not None:
                self._secrets(repository, Side.ABOVE)
            self._organization()
            self._environments()
        own = self._look.attempt(where.scope, partial(list_secrets, self._connection, where)) or ()
        present = frozenset(secret.name for secret in own) & frozenset(where.names)
        return self._look.conclude(address, describe_write(where, present), remedy=remedy(where))

    def _organization(self) -> None:
        """Read what the repository sees of its organization; of a person's repository both lists are empty."""
        where = self._where
        name, base = f"github {where.owner}", ("repos", where.owner, where.repository or "", "actions")
        secrets, variables = (*base, "organization-secrets"), (*base, "organization-variables")
        self._level(name, Side.ABOVE, secrets, "secrets")
        self._level(name, Side.BESIDE, variables, "variables")

    def _environments(self) -> None:
        """Read the environments: secrets only where they override the place."""
        where = self._where
        about = f"the environments of github {where.owner}/{where.repository}"
        known = self._look.attempt(about, partial(self._connection.identities.environments, where)) or {}
        own = (where.environment or "").casefold()
        for name in known:
            there = replace(where, environment=name)
            if name.casefold() == own:
                self._variables(there, Side.BESIDE)
            elif where.environment is not None:
                self._variables(there, Side.APART)
            else:
                self._secrets(there, Side.BELOW)
                self._variables(there, Side.BESIDE)

    def _repositories(self) -> None:
        """Read the repositories of an organization that were pushed to last."""
        where, about = self._where, f"the repositories of github {self._where.owner}"
        names = self._look.attempt(about, self._latest) or ()
        if len(names) > _MAX_REPOSITORIES:
            self._look.unread.append(
                f"{about}: the {_MAX_REPOSITORIES} that were pushed to last are read; `keyrota discover` reads them all"
            )
        for name in names[:_MAX_REPOSITORIES]:
            there = replace(where, repository=name)
            self._secrets(there, Side.BELOW)
            self._variables(there, Side.BESIDE)

    def _latest(self) -> tuple[str, ...]:
        where, query = self._where, {"sort": "pushed", "direction": "desc"}
        path = ("orgs", where.owner, "repos")
        found = self._connection.pages(
            where, path, None, f"the repositories of {where.scope}", per_page=100, query=query
        )
        alive = (str(value.get("name", "")) for value in found if value.get("archived") is not True)
        return tuple(islice(alive, _MAX_REPOSITORIES + 1))

    def _dependabot(self) -> None:
        """Read the organization's Dependabot secrets above a repository's; neither level has variables."""
        if self._where.repository is not None:
            self._secrets(replace(self._where, repository=None), Side.ABOVE)

    def _secrets(self, there: Place, side: Side) -> None:
        self._level(there.scope, side, there.secrets_path, "secrets")

    def _variables(self, there: Place, side: Side) -> None:
        self._level(there.scope, side, there.variables_path, "variables")

    def _level(self, name: str, side: Side, path: Path, what: str) -> None:
        ask = partial(_list, self._connection, self._where, path, what, name)
        self._look.level(name, side, partial(self._connection.lists.read, path, ask), noun=what.removesuffix("s"))


def list_secrets(connection: GitHubConnection, where: Place) -> tuple[Listed, ...]:
    """List the secrets of a place: names only."""
    path = where.secrets_path
    return connection.lists.read(path, partial(_list, connection, where, path, "secrets", where.scope))


def list_variables(connection: GitHubConnection, where: Place) -> tuple[Listed, ...]:
    """List the variables of a place; of their values only key IDs are kept."""
    path = where.variables_path
    return connection.lists.read(path, partial(_list, connection, where, path, "variables", where.scope))


def _list(connection: GitHubConnection, where: Place, path: Path, what: str, name: str) -> tuple[Listed, ...]:
    per_page = _SECRETS if what == "secrets" else _VARIABLES
    values = connection.pages(where, path, what, f"the {what} of {name}", per_page=per_page)
    return tuple(_one(value, is_secret=what == "secrets") for value in values)


def _one(value: Mapping[str, object], *, is_secret: bool) -> Listed:
    return describe_variable(str(value.get("name", "")).upper(), None if is_secret else value.get("value") or "")


def describe_write(where: Place, present: frozenset[str]) -> Written:
    """Say what a target writes, and what is there of it."""
    pair = None if where.bundle else (where.id_name, where.secret_name)
    return Written(pair=pair, bundle=where.bundle, present=present, marker=where.marker)


def remedy(where: Place) -> str:
    """Say what a person does about an ID that is a variable, and a secret that is a secret."""
    return (
        f"if jobs read the ID as `vars.{where.id_name}`, set `marker: {where.id_name}`, so that both are written; "
        "if they read other names, set `names:`; otherwise delete the half that nobody reads"
    )
