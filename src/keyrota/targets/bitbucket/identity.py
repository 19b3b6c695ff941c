"""The UUIDs behind the names of workspaces, repositories and environments: they stay when something is renamed."""

from __future__ import annotations

import re
import threading
from typing import Any

from keyrota.core.model import PlaceId
from keyrota.targets.bitbucket.place import Place
from keyrota.wire import Http

UUID = re.compile(r"\{[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\}")
Path = tuple[str, ...]


class Identities:
    """
    The UUIDs of what a connection reaches, each looked up once.

    A UUID in the configuration costs no call. An environment costs none either: its UUID is needed for its path, and
    is given to nothing else, so that it says which place it is without the repository's.
    """

    def __init__(self, http: Http) -> None:
        self._http = http
        self._known: dict[Path, str | None] = {}
        self._locks: dict[Path, threading.Lock] = {}
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
            return self._place("repository", self._uuid(("repositories", where.workspace, where.repository)))
        return self._place("workspace", self._uuid(("workspaces", where.workspace)))

    def _place(self, what: str, uuid: str | None) -> PlaceId | None:
        known = PlaceId(kind="bitbucket", origin=self._http.origin, id=f"{what} {(uuid or '').lower()}")
        return known if uuid else None

    def _uuid(self, path: Path) -> str | None:
        if UUID.fullmatch(path[-1]):
            return path[-1]
        key = tuple(part.casefold() for part in path)
        with self._lock:
            its_own = self._locks.setdefault(key, threading.Lock())
        with its_own:  # one repository that does not answer holds up no other
            if key not in self._known:
                self._known[key] = self._asked(path)
            return self._known[key]

    def _asked(self, path: Path) -> str | None:
        """
        Ask for the record itself; for a repository's, which needs the scope `repository`, in a roundabout way too.

        A token with no more than `pipeline:variable` sees pipelines, and each names its repository.
        """
        where = f"the UUID of {'/'.join(path[1:])}"
        answer = self._http.call("GET", path, where=where)
        if answer.is_success or path[0] != "repositories":
            return _uuid_in(answer.object())
        answer = self._http.call("GET", (*path, "pipelines"), query={"pagelen": "1"}, where=where)
        values = answer.object().get("values") if answer.is_success else None
        first = values[0] if isinstance(values, list) and values and isinstance(values[0], dict) else {}
        repository = first.get("repository")
        return _uuid_in(repository) if isinstance(repository, dict) else None


def _uuid_in(record: dict[str, Any]) -> str | None:
    uuid = record.get("uuid")
    return uuid if isinstance(uuid, str) and UUID.fullmatch(uuid) else None
