"""The UUIDs behind the names of workspaces, repositories and environments: they stay when something is renamed."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

from keyrota.core.model import PlaceId
from keyrota.http import Http
from keyrota.target_base.once import Once
from keyrota.targets.bitbucket.place import Place

UUID = re.compile(r"\{[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\}")
Path = tuple[str, ...]


class Identities:
    """
    The UUIDs of what a connection reaches, each looked up once.

    A UUID in the configuration costs no call. An environment costs none either: its UUID is needed for its path, and
    is given to nothing else, so that it says which place it is without the repository's. Repositories are listed, a
    hundred with one call, and asked for one by one only where the list is long.
    """

    def __init__(self, http: Http) -> None:
        self._http = http
        self._uuids: Once[Path, str | None] = Once()
        self._rosters: dict[str, _Roster] = {}
        self._lock = threading.Lock()

    def place(self, where: Place, environment: str | None) -> PlaceId | None:
        """
        Say what a place is; None where the token may not see that.

        Args:
            where: The place.
            environment: The UUID of its environment, where it has one.

        Raises:
            ProviderUnavailable: Bitbucket did not answer.
        """
        if environment is not None:
            return self._place("environment", environment)
        if where.repository is not None:
            return self._place("repository", self._repository(where.workspace, where.repository))
        return self._place("workspace", self._workspace(where.workspace))

    def again(self, where: Place) -> PlaceId | None:
        """Say what a repository or a workspace is, asked anew; None where the token may not see that."""
        name = where.repository or where.workspace
        if UUID.fullmatch(name):
            found: str | None = name
        elif where.repository is not None:
            found = self._ask_repository(("repositories", where.workspace, name), is_listed=True)
        else:
            found = _uuid_in(self._http.call("GET", ("workspaces", name), where=f"the UUID of {name}").object())
        return self._place("workspace" if where.repository is None else "repository", found)

    def _place(self, what: str, uuid: str | None) -> PlaceId | None:
        known = PlaceId(kind="bitbucket", origin=self._http.origin, id=f"{what} {(uuid or '').lower()}")
        return known if uuid else None

    def _workspace(self, name: str) -> str | None:
        path = ("workspaces", name)
        return self._once(path, lambda: _uuid_in(self._http.call("GET", path, where=f"the UUID of {name}").object()))

    def _repository(self, workspace: str, name: str) -> str | None:
        if UUID.fullmatch(name):
            return name
        with self._lock:
            roster = self._rosters.setdefault(workspace.casefold(), _Roster(self._http, workspace))
        path = ("repositories", workspace, name)
        return roster.find(name) or self._once(path, lambda: self._ask_repository(path, is_listed=roster.is_seen))

    def _ask_repository(self, path: Path, *, is_listed: bool) -> str | None:
        """
        Ask for the record of a repository, which needs the scope `repository`, or in a roundabout way.

        A token with no more than `pipeline:variable` sees pipelines, and each names its repository.
        """
        where = f"the UUID of {'/'.join(path[1:])}"
        found = _uuid_in(self._http.call("GET", path, where=where).object()) if is_listed else None
        if found is not None:
            return found
        answer = self._http.call("GET", (*path, "pipelines"), query={"pagelen": "1"}, where=where)
        values = answer.object().get("values") if answer.is_success else None
        first = values[0] if isinstance(values, list) and values and isinstance(values[0], dict) else {}
        repository = first.get("repository")
        return _uuid_in(repository) if isinstance(repository, dict) else None

    def _once(self, path: Path, ask: Callable[[], str | None]) -> str | None:
        if UUID.fullmatch(path[-1]):
            return path[-1]
        return self._uuids.ask(tuple(part.casefold() for part in path), ask)


class _Roster:
    """
    The repositories of one workspace, as far as its list was read.

    Each repository that is not found pays for one page more, so that a single target in a workspace of thousands costs
    two calls, and a thousand targets there cost ten or so, not a thousand.
    """

    def __init__(self, http: Http, workspace: str) -> None:
        self._http = http
        self._name = f"the repositories of {workspace}"
        self._path = ("repositories", workspace)
        self._slugs: dict[str, str] = {}
        self._next: str | None = ""
        """The link to the next page; empty before the first one, None after the last one."""
        self._pages = self._missed = 0
        self._lock = threading.Lock()
        self.is_seen = True
        """The token may see repositories at all."""

    def find(self, slug: str) -> str | None:
        """Return the UUID of a repository, if it is on one of the pages that are paid for."""
        with self._lock:
            while slug.casefold() not in self._slugs and self._next is not None and self._pages <= self._missed:
                self._turn()
            found = self._slugs.get(slug.casefold())
            self._missed += found is None
            return found

    def _turn(self) -> None:
        if self._next:
            answer = self._http.follow(self._next, where=self._name)
        else:
            query = {"pagelen": "100", "fields": "next,values.slug,values.uuid"}
            answer = self._http.call("GET", self._path, query=query, where=self._name)
        values, link = answer.object().get("values"), answer.object().get("next")
        self.is_seen = answer.is_success
        self._pages += 1
        self._next = link if isinstance(link, str) and link and answer.is_success else None
        for value in values if isinstance(values, list) else ():
            uuid = _uuid_in(value) if isinstance(value, dict) else None
            if uuid is not None:
                self._slugs[str(value.get("slug", "")).casefold()] = uuid


def _uuid_in(record: dict[str, Any]) -> str | None:
    uuid = record.get("uuid")
    return uuid if isinstance(uuid, str) and UUID.fullmatch(uuid) else None
