"""GitHub with one set of credentials: clients by owner, public keys, pages, refusals."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from keyrota.core.variables import Listed
from keyrota.errors import KeyrotaError, NotThere, ProviderRefused
from keyrota.http import Http, Response, paginate
from keyrota.ports import Clock
from keyrota.target_base.errors import ProviderErrors, make_response_error
from keyrota.target_base.github_api import PublicKey, require_key
from keyrota.target_base.look import RecentLists
from keyrota.target_base.many import ManyRepositories
from keyrota.targets.github.access import App, Installation
from keyrota.targets.github.identity import Identities
from keyrota.targets.github.place import Path, Place

_MAX_PAGES = 200
_FORBIDDEN = 403
_MISSING = "it does not exist, Actions are off, or the token may not see it"
EXPIRES = "github-authentication-token-expiration"
FINE_GRAINED = {
    "secrets": "Secrets: read and write",
    "environments": "Environments: read and write",
    "dependabot_secrets": "Dependabot secrets: read and write",
    "organization_secrets": "Secrets (of the organization): read and write",
    "organization_dependabot_secrets": "Dependabot secrets (of the organization): read and write",
    "actions_variables": "Variables: read and write",
    "organization_actions_variables": "Variables (of the organization): read and write",
    "actions": "Actions: read",
}


class GitHubConnection:
    """
    GitHub, reached with a token or as an app.

    Args:
        http: The client for a token; None for an app.
        app: The app; None for a token.
        connect: Makes the client of an installation.
        many: Looks at the repositories of an organization.
    """

    def __init__(
        self,
        http: Http | None,
        app: App | None,
        connect: Callable[[App, Installation], Http] | None = None,
        *,
        many: ManyRepositories,
        clock: Clock,
    ) -> None:
        self._http = http
        self._app = app
        self._connect = connect
        self.many = many
        self._clients: dict[int, Http] = {}
        self._keys: dict[Path, PublicKey] = {}
        self._lock = threading.Lock()
        self._key_locks: dict[Path, threading.Lock] = {}
        self._moved: set[Path] = set()
        self.lists: RecentLists[Listed] = RecentLists(clock)
        self.identities = Identities(self.get, self._environments)
        self.scopes: frozenset[str] | None = None
        """Of a classic token; None: it is none, or does not tell."""
        self.token_expires: datetime | None = None

    def http(self, owner: str, repository: str | None) -> Http:
        """Return the client that reaches an owner; all targets of one token share it, and its budget."""
        if self._http is not None:
            return self._http
        if self._app is None or self._connect is None:
            raise RuntimeError("neither a token nor an app")
        installation = self._app.installation(owner, repository)
        with self._lock:
            if installation.id not in self._clients:
                self._clients[installation.id] = self._connect(self._app, installation)
            return self._clients[installation.id]

    def installation(self, where: Place) -> Installation | None:
        """Return the app's installation for a place; None where a token is used."""
        return self._app.installation(where.owner, where.repository) if self._app else None

    def call(self, where: Place, method: str, path: Path, about: str, **more: Any) -> Response:
        """Make one call for a place, and note when the token ends."""
        answer = self.http(where.owner, where.repository).call(method, path, where=about, **more)
        self._note(answer, where)
        return answer

    def count_write(self, where: Place, name: str, at: datetime) -> None:
        """Count a write of an earlier run, which the time of a secret's last change tells: GitHub counts it as well."""
        self.http(where.owner, where.repository).count_write(f"{'/'.join(where.secrets_path)}/{name}", at)

    def notice(self, where: Place) -> str:
        """Return the notice that GitHub redirects a name, or that an organization is too large, or nothing."""
        if where.repository is None:
            return self.many.notice(where.address)
        if where.owner_path not in self._moved:
            return ""
        return f"GitHub redirects {'/'.join(where.owner_path[1:])}: it was renamed or moved; correct the configuration"

    def _note(self, answer: Response, where: Place) -> None:
        if answer.is_moved:
            self._moved.add(where.owner_path)
        text = answer.headers.get(EXPIRES, "")
        if text:
            ends = expiry(text)
            self.token_expires = self.http(where.owner, where.repository).ours(ends) if ends else self.token_expires
        scopes = answer.headers.get("x-oauth-scopes", "").strip()
        if scopes:
            self.scopes = frozenset(scope.strip() for scope in scopes.split(","))

    def get(self, where: Place, path: Path, about: str, *, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Get one object."""
        answer = self.call(where, "GET", path, about, query=query)
        self.raise_for_status(answer, where, about)
        if not isinstance(answer.content, dict):
            raise make_response_error("GitHub's answer is no list and no object", about)
        return answer.content

    def pages(
        self,
        where: Place,
        path: Path,
        field: str | None,
        about: str,
        *,
        per_page: int,
        query: Mapping[str, str] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """
        Go through all pages of a list.

        Args:
            where: The place that it is for.
            path: Of the list.
            about: For errors.
            field: The field of the answer that holds the list; None where the answer is the list.
            per_page: 100 for secrets, 30 for variables.
            query: More fields of the query.
        """
        client = self.http(where.owner, where.repository)
        first = client.call("GET", path, query={"per_page": str(per_page), **(query or {})}, where=about)
        follow = partial(client.follow, where=about)
        for answer in paginate(first, Response.next_link, follow, most=_MAX_PAGES, name="GitHub", where=about):
            self._note(answer, where)
            self.raise_for_status(answer, where, about)
            values = answer.object().get(field) if field else answer.content
            if not isinstance(values, list):
                raise make_response_error("GitHub's answer is no list", about)
            yield from (value for value in values if isinstance(value, dict))

    def pages_of_secrets(self, where: Place) -> list[dict[str, Any]]:
        """List the secrets of a scope: names and times; a missing environment is told apart from the rest."""
        about = f"the secrets of {where.scope}"
        try:
            return list(self.pages(where, where.secrets_path, "secrets", about, per_page=100))
        except NotThere:
            self.explain_environment(where)
            raise

    # --- public keys ------------------------------------------------------------------------------------------------

    def public_key(self, where: Place, *, refused: PublicKey | None = None) -> PublicKey:
        """Return the public key of a scope; each scope has its own, fetched once, and again when it was refused."""
        with self._lock:
            its_own = self._key_locks.setdefault(where.secrets_path, threading.Lock())
        with its_own:  # one repository that does not answer holds up no other
            known = self._keys.get(where.secrets_path)
            if known is None or known == refused:
                known = self._keys[where.secrets_path] = self._fetch_key(where)
            return known

    def _fetch_key(self, where: Place) -> PublicKey:
        path = where.secrets_path
        about = f"the public key of {where.scope}"
        try:
            content = self.get(where, (*path, "public-key"), about)
        except NotThere:
            self.explain_environment(where)
            raise
        return require_key(content, about)

    def explain_environment(self, where: Place) -> None:
        """Distinguish a missing environment from a missing repository; keyrota never creates an environment."""
        if not where.environment:
            return
        try:
            names = sorted(self._environments(where))
        except KeyrotaError:
            return
        if where.environment.casefold() not in {name.casefold() for name in names}:
            raise NotThere(
                f"there is no environment {where.environment!r}",
                where=where.scope,
                remedy=f"the repository has: {', '.join(names) or 'none'}; keyrota never makes one",
            )

    def _environments(self, where: Place) -> dict[str, int]:
        """List a repository's environments: names and numbers."""
        about, path = f"the environments of {where.owner}/{where.repository}", (*where.owner_path, "environments")
        values = self.pages(where, path, "environments", about, per_page=100)
        return {str(value.get("name")): value["id"] for value in values if isinstance(value.get("id"), int)}

    # --- refusals ---------------------------------------------------------------------------------------------------

    def raise_for_status(self, answer: Response, where: Place, about: str) -> None:
        """Turn a refusal into an error that names what it is about, the missing permission and the remedy."""
        if answer.status == _FORBIDDEN and "archived" in str(answer.object().get("message", "")).lower():
            raise ProviderRefused(
                "the repository is archived, and so read-only (403)",
                where=about,
                remedy="take it out of the configuration, or unarchive it",
            )
        errors = ProviderErrors(name="GitHub", key="github", needs=describe_needs(where, answer), missing=_MISSING)
        errors.raise_for_status(answer, about)


def describe_needs(where: Place, answer: Response | None = None) -> str:
    """Say what a token needs for a place, in the words of each kind of token."""
    said = answer.headers.get("x-accepted-github-permissions", "") if answer else ""
    classic = "repo" if where.repository else "admin:org"
    wanted = "; ".join(FINE_GRAINED[name] for name in permissions(where))
    hint = f" (GitHub says: {said})" if re.fullmatch(r"[\w=,; ]{1,200}", said) else ""
    return f"the token needs {wanted} (fine-grained or app), or the scope {classic} (classic){hint}"


def permissions(where: Place) -> tuple[str, ...]:
    """Name the permissions of an app that a place needs, as GitHub's API names them."""
    if where.repository is None:
        wanted = ["organization_dependabot_secrets" if where.is_dependabot else "organization_secrets"]
        return (*wanted, "organization_actions_variables") if where.marker else tuple(wanted)
    secrets = "environments" if where.environment else "dependabot_secrets" if where.is_dependabot else "secrets"
    marker = ("environments" if where.environment else "actions_variables",) if where.marker else ()
    return tuple(dict.fromkeys((secrets, *marker)))


def expiry(text: str) -> datetime | None:
    """Read `github-authentication-token-expiration`: `2026-12-01 10:00:00 UTC`, or with an offset."""
    for form in ("%Y-%m-%d %H:%M:%S %Z", "%Y-%m-%d %H:%M:%S %z"):
        try:
            instant = datetime.strptime(text.strip(), form)  # noqa: DTZ007  # the zone is set in the next line
            return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            continue
    return None
