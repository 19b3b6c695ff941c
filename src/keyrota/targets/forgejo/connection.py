"""Forgejo or Gitea with one token: places, and the lists of secrets and variables in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from keyrota.errors import NotThere, ProviderRefused, ProviderUnavailable
from keyrota.http import Http, Response
from keyrota.target_base.errors import ProviderErrors

MISSING = 404
_MAX_PAGES = 200
_A_PAGE = "50"
"""As much as a server gives by default (`MAX_RESPONSE_ITEMS`)."""
Path = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """A repository, an organization or a user, as its own page of the API shows it."""

    id: str
    """With its kind: `repository 12`."""
    name: str
    owner: str = ""
    """Of a repository."""
    is_archived: bool = False
    is_moved: bool = False
    """The service redirected: it was renamed."""


class ForgejoConnection:
    """Forgejo or Gitea with one token."""

    def __init__(self, http: Http, says: ProviderErrors) -> None:
        self.http, self.says = http, says

    def home(self, path: Path, about: str) -> Home:
        """
        Look at a repository, an organization or the token's user.

        Args:
            path: `("repos", owner, name)`, `("orgs", name)` or `("user",)`.
            about: For errors.

        Raises:
            NotThere: It does not exist, or the token may not see it.
        """
        answer = self.http.call("GET", path, where=about)
        self.says.raise_for_status(answer, about)
        found, kind = answer.object(), {"repos": "repository", "orgs": "organization"}.get(path[0], "user")
        number = found.get("id")
        if not isinstance(number, int) or isinstance(number, bool):
            raise self.says.make_response_error(f"{self.says.name}'s answer is no list and no {kind}", about)
        owner = found.get("owner")
        return Home(
            id=f"{kind} {number}",
            name=str(found.get("login") or found.get("name") or found.get("username") or ""),
            owner=str(owner.get("login", "")) if isinstance(owner, dict) else "",
            is_archived=found.get("archived") is True,
            is_moved=answer.is_moved,
        )

    def secrets(self, path: Path, about: str) -> dict[str, str]:
        """
        List the secrets of a place, which was seen to exist, with their descriptions.

        Raises:
            ProviderRefused: The token may not list them, or this version has no such list.
        """
        try:
            found = [*self.items((*path, "actions", "secrets"), about)]
        except NotThere:
            raise ProviderRefused(
                f"{self.says.name} has no list of secrets here (404): the token may not see it, or it is too old",
                where=about,
                remedy=self.says.needs,
            ) from None
        return {str(secret.get("name")).upper(): text_of(secret.get("description")) for secret in found}

    def variables(self, path: Path, about: str) -> dict[str, dict[str, str]] | None:
        """List the variables of a place, with value and description; None where this version has no such list."""
        try:
            found = [*self.items((*path, "actions", "variables"), about)]
        except NotThere:
            return None
        if not all(isinstance(one.get("data"), str) for one in found):
            raise self.says.make_response_error(f"{self.says.name}'s answer is no list of variables", about)
        return {
            str(one.get("name")).upper(): {"data": one["data"], "description": text_of(one.get("description"))}
            for one in found
        }

    def items(self, path: Path, about: str) -> Iterator[dict[str, Any]]:
        """Go through a list on all its pages; where nothing counts them, an empty page is the last one."""
        seen = 0
        for number in range(1, _MAX_PAGES + 1):
            answer: Response = self.http.call("GET", path, query={"page": str(number), "limit": _A_PAGE}, where=about)
            items = self.says.entries(answer, about)
            yield from items
            seen += len(items)
            if not items or answer.headers.get("x-total-count") == str(seen):
                return
        raise ProviderUnavailable(f"{self.says.name}'s list has more than {_MAX_PAGES} pages", where=about)


def text_of(value: Any) -> str:
    """Take a text; an empty one for anything else."""
    return value if isinstance(value, str) else ""
