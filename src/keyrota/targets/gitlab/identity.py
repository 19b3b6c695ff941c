"""The numbers behind the paths of projects and groups: they stay when something is renamed or moved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from keyrota.core.model import PlaceId
from keyrota.errors import ProviderRefused
from keyrota.target_base.once import Once
from keyrota.targets.gitlab.place import Path, Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What GitLab says of a project or a group itself."""

    id: int
    is_archived: bool
    groups: tuple[str, ...]
    """Whole paths of the groups that a project or a group lies in, the outermost first."""


class Identities:
    """
    The numbers of what a connection reaches, each looked up once.

    Args:
        get: Gets one object; refuses what the token may not see.
        origin: Of the service.
    """

    def __init__(self, get: Callable[[Place, Path, str], Mapping[str, Any]], origin: str) -> None:
        self._get = get
        self._origin = origin
        self._records: Once[Path, Record | None] = Once()

    def place(self, where: Place) -> PlaceId | None:
        """
        Say what a place is; None where the token may not see the project or the group.

        An environment scope is a pattern, and has no number: it is what it is called.

        Raises:
            ProviderUnavailable: GitLab did not answer.
        """
        if where.is_instance:
            return PlaceId(kind="gitlab", origin=self._origin, id="instance")
        record = self.record(where)
        if record is None:
            return None
        what = "project" if where.project is not None else "group"
        number = f"{what} {record.id} scope {where.environment_scope}"
        return PlaceId(kind="gitlab", origin=self._origin, id=number)

    def forget(self, where: Place) -> None:
        """Let the next question about a place be asked anew."""
        path = where.variables_path[:2]
        self._records.forget((path[0], path[1].casefold()))

    def record(self, where: Place) -> Record | None:
        """Return the record of a project or a group; None of the instance, and where the token may not see it."""
        if where.is_instance:
            return None
        path = where.variables_path[:2]
        return self._records.ask((path[0], path[1].casefold()), lambda: self._ask_record(where, path))

    def _ask_record(self, where: Place, path: Path) -> Record | None:
        try:
            content = self._get(where, path, f"the record of {where.scope}")
        except ProviderRefused:
            return None
        number = content.get("id")
        whole = str(content.get("path_with_namespace") or content.get("full_path") or "")
        if not isinstance(number, int) or isinstance(number, bool):
            return None
        return Record(id=number, is_archived=content.get("archived") is True, groups=_above(whole))


def _above(path: str) -> tuple[str, ...]:
    parts = path.split("/")[:-1]
    return tuple("/".join(parts[:length]) for length in range(1, len(parts) + 1))
