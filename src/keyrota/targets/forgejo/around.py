"""
What else a job sees: secrets and variables of the organization or user above a repository, of repositories below.

A repository's go before its owner's (Forgejo, "Actions": secrets and variables).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from keyrota.core.levels import Level, Side, Written, keys_shown, level_conflicts
from keyrota.core.model import Surroundings
from keyrota.core.variables import describe_variable
from keyrota.errors import KeyrotaError, NotThere
from keyrota.targets.forgejo.connection import ForgejoConnection, Path

_MAX_REPOSITORIES = 20


class Around:
    """The levels around one place, as far as the token can read them."""

    def __init__(self, connection: ForgejoConnection, path: Path, address: str) -> None:
        self._connection = connection
        self._path = path
        self._address = address
        self._key = connection.says.key
        self._unread: list[str] = []

    def surroundings(self, written: Callable[[], Written]) -> Surroundings:
        """Judge every level that can be read; what cannot is named."""
        try:
            ours, levels = written(), [*self._levels()]
        except KeyrotaError as error:
            return Surroundings(address=self._address, unread=(f"what surrounds {self._address}: {error.what}",))
        secrets = [level for level in levels if level.noun == "secret"]
        return Surroundings(
            address=self._address,
            shown=keys_shown(levels),
            conflicts=level_conflicts(ours, secrets),
            unread=tuple(self._unread),
        )

    def _levels(self) -> Iterator[Level]:
        match self._path:
            case ("repos", *_):
                yield from self._above()
            case ("orgs", name):
                yield from self._below(name)
            case _:
                self._unread.append(f"the repositories of {self._address}: no API lists a user's secrets")

    def _above(self) -> Iterator[Level]:
        owner = self._connection.home(self._path, self._address).owner
        where = f"{self._key} organization {owner}"
        try:
            self._connection.home(("orgs", owner), where)
        except NotThere:
            yield from self._user(owner)
            return
        yield from self._level(("orgs", owner), where, Side.ABOVE)

    def _user(self, owner: str) -> Iterator[Level]:
        where = f"{self._key} user {owner}"
        if self._connection.home(("user",), where).name.casefold() != owner.casefold():
            self._unread.append(f"secrets and variables of {where}: the token is another user's")
            return
        self._unread.append(f"the secrets of {where}: no API lists a user's secrets")
        yield from self._variables(("user",), where, Side.ABOVE)

    def _below(self, name: str) -> Iterator[Level]:
        found = self._connection.items(("orgs", name, "repos"), f"the repositories of {self._address}")
        for repository in islice(found, _MAX_REPOSITORIES):
            path = ("repos", name, str(repository.get("name")))
            yield from self._level(path, f"{self._key} {name}/{path[2]}", Side.BELOW)
        if any(True for _ in found):
            self._unread.append(f"more than {_MAX_REPOSITORIES} repositories of {self._address}")

    def _level(self, path: Path, where: str, side: Side) -> Iterator[Level]:
        try:
            secrets = self._connection.secrets(path, where)
        except KeyrotaError as error:
            self._unread.append(f"the secrets of {where}: {error.what}")
        else:
            yield Level(
                name=where, side=side, variables=tuple(describe_variable(one, None) for one in secrets), noun="secret"
            )
        yield from self._variables(path, where, side)

    def _variables(self, path: Path, where: str, side: Side) -> Iterator[Level]:
        try:
            found = self._connection.variables(path, where) or {}
        except KeyrotaError as error:
            self._unread.append(f"the variables of {where}: {error.what}")
            return
        yield Level(name=where, side=side, variables=tuple(describe_variable(one, found[one]["data"]) for one in found))
