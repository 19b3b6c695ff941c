"""The numbers behind the names of organizations, repositories and environments: they stay when something is renamed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from keyrota.core.model import PlaceId
from keyrota.errors import ProviderRefused
from keyrota.target_base.once import Once
from keyrota.targets.github.place import Path, Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What GitHub says of a repository itself."""

    id: int
    is_archived: bool


class Identities:
    """
    The numbers of what a connection reaches, each looked up once.

    Args:
        get: Gets one object for a place.
        environments: Lists the environments of a place's repository: names and numbers.
    """

    def __init__(
        self,
        get: Callable[[Place, Path, str], Mapping[str, Any]],
        environments: Callable[[Place], Mapping[str, int]],
    ) -> None:
        self._get = get
        self._environments = environments
        self._records: Once[Path, Record | None] = Once()
        self._organizations: Once[Path, int | None] = Once()
        self._listed: Once[Path, Mapping[str, int] | ProviderRefused] = Once()

    def place(self, where: Place, origin: str) -> PlaceId | None:
        """
        Say what a place is; None where GitHub does not say.

        Raises:
            ProviderUnavailable: GitHub did not answer.
        """
        what = self._name(where)
        store = " dependabot" if where.is_dependabot else ""
        return PlaceId(kind="github", origin=origin, id=f"{what}{store}") if what else None

    def forget(self, where: Place) -> None:
        """Let the next question about a place be asked anew."""
        owner = _key(where.owner_path)
        self._records.forget(owner)
        self._organizations.forget(owner)
        self._listed.forget(owner)

    def repository(self, where: Place) -> Record | None:
        """Return the record of a repository; None where the token may not see it, or of an organization."""
        if where.repository is None:
            return None
        return self._records.ask(_key(where.owner_path), lambda: self._record(where))

    def note(self, where: Place, content: Mapping[str, Any]) -> None:
        """Keep a record that was read for another reason."""
        self._records.note(_key(where.owner_path), _record_in(content))

    def environments(self, where: Place) -> Mapping[str, int]:
        """
        List a repository's environments.

        Raises:
            KeyrotaError: The token may not list them: it lacks `Actions: read`.
        """
        found = self._listed.ask(_key(where.owner_path), lambda: self._list_environments(where))
        if isinstance(found, ProviderRefused):
            raise found
        return found

    def _list_environments(self, where: Place) -> Mapping[str, int] | ProviderRefused:
        """List environments; a refusal is an answer as well, and is asked for once."""
        try:
            return self._environments(where)
        except ProviderRefused as refused:
            return refused

    def _name(self, where: Place) -> str:
        if where.repository is None:
            number = self._organizations.ask(_key(where.owner_path), lambda: self._organization(where))
            return f"organization {number}" if number is not None else ""
        record = self.repository(where)
        if record is None:
            return ""
        if where.environment is None:
            return f"repository {record.id}"
        return f"repository {record.id} environment {self._environment(where, where.environment)}"

    def _environment(self, where: Place, name: str) -> str:
        """
        Name an environment: by its number, or, for a token that may not list environments, by its name.

        With the repository's number beside it, the name is still no other repository's. A token that gets the
        permission later names another place, and that is a hold: better than none to compare with.
        """
        try:
            known = {each.casefold(): number for each, number in self.environments(where).items()}
        except ProviderRefused:
            known = {}
        number = known.get(name.casefold())
        return str(number) if number is not None else repr(name.casefold())

    def _organization(self, where: Place) -> int | None:
        try:
            number = self._get(where, where.owner_path, f"the organization of {where.scope}").get("id")
        except ProviderRefused:
            return None
        return number if isinstance(number, int) else None

    def _record(self, where: Place) -> Record | None:
        try:
            return _record_in(self._get(where, where.owner_path, f"the repository of {where.scope}"))
        except ProviderRefused:
            return None


def _key(path: Path) -> Path:
    return tuple(part.casefold() for part in path)


def _record_in(content: Mapping[str, Any]) -> Record | None:
    number = content.get("id")
    return Record(id=number, is_archived=content.get("archived") is True) if isinstance(number, int) else None
