"""GitLab with one set of credentials: its token's own record, pages, refusals."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from keyrota.errors import KeyrotaError
from keyrota.http import Http, Response, paginate
from keyrota.ports import Clock
from keyrota.target_base.errors import ProviderErrors, make_response_error
from keyrota.target_base.look import RecentLists
from keyrota.target_base.many import ManyRepositories
from keyrota.targets.gitlab.identity import Identities
from keyrota.targets.gitlab.place import Path, Place

_MAX_PAGES = 400
_PROJECT = re.compile(r"/projects/([0-9]+)(?:[/?]|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRecord:
    """What GitLab says of the token itself."""

    expires: datetime | None = None
    scopes: frozenset[str] | None = None
    """None: it does not say."""
    is_revoked: bool = False


class GitLabConnection:
    """
    GitLab with one set of credentials.

    Args:
        http: The client.
        many: Looks at the projects of a group, or of the instance.
        clock: For how long a list counts.
    """

    def __init__(self, http: Http, many: ManyRepositories, clock: Clock) -> None:
        self.http = http
        self.many = many
        self.lists: RecentLists[Any] = RecentLists(clock)
        self.identities = Identities(self.get, http.origin)
        self._record: TokenRecord | None = None
        self._moved: dict[str, str] = {}
        """Projects that were moved, and their numbers: GitLab redirects reads, and refuses writes by the old path."""
        self._lock = threading.Lock()

    def token(self) -> TokenRecord:
        """Read the token's own record, once; nothing is known where GitLab does not tell."""
        with self._lock:
            if self._record is None:
                self._record = self._ask_token()
            return self._record

    def _ask_token(self) -> TokenRecord:
        try:
            answer = self.http.call("GET", ("personal_access_tokens", "self"), where="providers.gitlab.auth")
        except KeyrotaError:
            return TokenRecord()
        content = answer.object() if answer.is_success else {}
        scopes = content.get("scopes")
        return TokenRecord(
            expires=_day(content.get("expires_at")),
            scopes=frozenset(str(scope) for scope in scopes) if isinstance(scopes, list) else None,
            is_revoked=content.get("revoked") is True,
        )

    def call(self, where: Place, method: str, path: Path, about: str, **more: Any) -> Response:
        """Make one call for a place."""
        answer = self.http.call(method, path, where=about, **more)
        number = _PROJECT.search(answer.moved_to)
        if number and where.project is not None:
            self._moved[where.owner] = number[1]
        return answer

    def path(self, where: Place) -> Path:
        """Return the path of the variables: by number where the project was moved."""
        number = self._moved.get(where.owner)
        return ("projects", number, "variables") if number else where.variables_path

    def notice(self, where: Place) -> str:
        """Return the notice that GitLab redirects a path, or that a group has too many projects, or nothing."""
        if where.project is None:
            return self.many.notice(where.owner)
        if where.owner not in self._moved:
            return ""
        return f"GitLab redirects {where.owner}: it was renamed or moved; correct the configuration"

    def get(self, where: Place, path: Path, about: str) -> dict[str, Any]:
        """Get one object."""
        answer = self.call(where, "GET", path, about)
        self.raise_for_status(answer, about, where)
        return answer.object()

    def pages(self, path: Path, about: str, *, query: Mapping[str, str] | None = None) -> Iterator[dict[str, Any]]:
        """Go through all pages of a list."""
        first = self.http.call("GET", path, query={"per_page": "100", **(query or {})}, where=about)
        follow = partial(self.http.follow, where=about)
        for answer in paginate(first, Response.next_link, follow, most=_MAX_PAGES, name="GitLab", where=about):
            self.raise_for_status(answer, about)
            if not isinstance(answer.content, list):
                raise make_response_error("GitLab's answer is no list", about)
            yield from (value for value in answer.content if isinstance(value, dict))

    def raise_for_status(self, answer: Response, about: str, where: Place | None = None) -> None:
        """Turn a refusal into an error that names what it is about, the missing scope or role, and the remedy."""
        _errors_of(where).raise_for_status(answer, about, name_refused_fields(answer))


def _errors_of(where: Place | None) -> ProviderErrors:
    """Name the role that a place needs: it is another one for a project, a group and the instance."""
    role = "Maintainer of the project"
    if where is not None and where.project is None:
        role = "Owner of the group" if where.group is not None else "administrator of the instance"
    return ProviderErrors(name="GitLab", key="gitlab", needs=f"the token needs the scope api, and the role {role}")


def name_refused_fields(answer: Response) -> str:
    """Name the fields that GitLab refuses (`{"message": {"value": […]}}`); never its words: they may hold a value."""
    message = answer.object().get("message")
    known = ("key", "value", "masked", "protected", "environment_scope", "variable_type", "base")
    fields = [name for name in known if isinstance(message, dict) and name in message]
    return f": {', '.join(fields)}" if fields else ""


def is_absent_variable(answer: Response) -> bool:
    """Distinguish a variable that is not there from a project or group that is not: both are 404."""
    return answer.status == 404 and "variable" in str(answer.object().get("message", "")).lower()  # noqa: PLR2004


def _day(text: Any) -> datetime | None:
    """Read `expires_at`: a date; the token ends when that day begins (UTC)."""
    try:
        return datetime.fromisoformat(str(text)).replace(tzinfo=UTC)
    except ValueError:
        return None
