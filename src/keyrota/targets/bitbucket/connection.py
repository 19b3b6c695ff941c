"""Bitbucket with one set of credentials: pages, environments, refusals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from keyrota.core.variables import Listed
from keyrota.errors import NotThere, ProviderRefused, ProviderUnavailable
from keyrota.http import Http, Response, paginate
from keyrota.ports import Clock
from keyrota.target_base.errors import ProviderErrors
from keyrota.target_base.look import RecentLists
from keyrota.target_base.many import ManyRepositories
from keyrota.target_base.once import Once
from keyrota.targets.bitbucket.identity import UUID, Identities
from keyrota.targets.bitbucket.place import Place

_PAGE = {"pagelen": "100"}
_MAX_PAGES = 200
_UNDER_WAY = ("BUILDING", "PENDING", "PARSING")
_AT_REST = ("PAUSED", "HALTED")
SCOPES = (
    "the token needs the scope pipeline:variable (access token, OAuth), "
    "or read:pipeline:bitbucket and admin:pipeline:bitbucket (API token)"
)
ERRORS = ProviderErrors(
    name="Bitbucket",
    key="bitbucket",
    needs=SCOPES,
    missing="the workspace, repository, environment or variable does not exist, or the token may not see it",
)


class BitbucketConnection:
    """Bitbucket with one set of credentials; names of environments are looked up once."""

    def __init__(
        self, http: Http, many: ManyRepositories, clock: Clock, *, token_expires: datetime | None = None
    ) -> None:
        self.http = http
        self.clock = clock
        self._many = many
        self.token_expires = token_expires
        self.identities = Identities(http)
        self.lists: RecentLists[Listed] = RecentLists(clock)
        self._environments: Once[tuple[str, str], dict[str, list[str]]] = Once()

    def environment_uuid(self, where: Place) -> str:
        """Find an environment's UUID; a name that several environments share, or none has, is an error."""
        name, repository = where.environment or "", where.repository or ""
        if UUID.fullmatch(name):
            return name
        known = self.environments(where.workspace, repository)
        uuids = known.get(name, [])
        if len(uuids) == 1:
            return uuids[0]
        if uuids:
            raise ProviderRefused(
                f"{len(uuids)} deployment environments are named {name!r}",
                where=where.scope,
                remedy=f"give the UUID instead: {', '.join(uuids)}",
            )
        self._environments.forget((where.workspace, repository))
        listed = ", ".join(sorted(known)) or "none"
        raise NotThere(
            f"there is no deployment environment {name!r}",
            where=where.scope,
            remedy=f"the repository has: {listed}; keyrota never makes one",
        )

    def _find_environments(self, workspace: str, repository: str) -> dict[str, list[str]]:
        path = ("repositories", workspace, repository, "environments")
        found: dict[str, list[str]] = {}
        for value in self.values(path, f"the deployment environments of {workspace}/{repository}"):
            if isinstance(value.get("name"), str) and isinstance(value.get("uuid"), str):
                found.setdefault(value["name"], []).append(value["uuid"])
        return found

    def environments(self, workspace: str, repository: str) -> dict[str, list[str]]:
        """List a repository's deployment environments, once: names, each with the UUIDs that bear it."""
        return self._environments.ask((workspace, repository), lambda: self._find_environments(workspace, repository))

    def is_busy(self, where: Place) -> bool | None:
        """
        Look for a pipeline that is in progress, in the repository or in any of the workspace; None: they are too many.

        A paused one reads its variables when it continues. Asked by `status`, and judged by `state.name` besides: a
        filter that is ignored must not pass for an answer.
        """
        if where.repository:
            return self._has_any(where, where.repository)
        return self._many.is_busy(where.workspace, lambda: self._latest(where), lambda name: self._has_any(where, name))

    def may_look(self, where: Place) -> None:
        """Ask for pipelines, once: whether the token may."""
        if where.repository:
            self._has_any(where, where.repository)
        else:
            self._many.may_ask(lambda: self._latest(where), lambda name: self._has_any(where, name))

    def notice(self, where: Place) -> str:
        """Return what a person should know of a place."""
        return "" if where.repository else self._many.notice(where.workspace)

    def repositories(self, workspace: str, *, query: Mapping[str, str] | None = None) -> Iterator[str]:
        """List the slugs of a workspace's repositories."""
        for value in self.values(("repositories", workspace), f"the repositories of {workspace}", query=query):
            slug = value.get("slug") or str(value.get("full_name", "")).partition("/")[2]
            if isinstance(slug, str) and slug:
                yield slug

    def _latest(self, where: Place) -> Iterator[str]:
        return self.repositories(where.workspace, query={"sort": "-updated_on"})

    def _has_any(self, where: Place, repository: str) -> bool:
        return any(self._has(where, repository, status) for status in _UNDER_WAY)

    def _has(self, where: Place, repository: str, status: str) -> bool:
        path = ("repositories", where.workspace, repository, "pipelines")
        about = f"the pipelines of {where.workspace}/{repository}"
        answer = self.http.call("GET", path, query={**_PAGE, "status": status}, where=about)
        ERRORS.raise_for_status(answer, about)
        runs = answer.object().get("values")
        if not isinstance(runs, list):
            raise ProviderUnavailable("Bitbucket's answer is no list of pipelines", where=about)
        return any(_is_in_progress(run) for run in runs)

    def values(
        self, path: tuple[str, ...], what: str, *, query: Mapping[str, str] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Go through all pages of a list. `next` is opaque: followed, not built, and only on the same host."""
        first = self.http.call("GET", path, query={**_PAGE, **(query or {})}, where=what)
        follow = partial(self.http.follow, where=what)
        for answer in paginate(first, _next, follow, most=_MAX_PAGES, name="Bitbucket", where=what):
            ERRORS.raise_for_status(answer, what)
            values = answer.object().get("values")
            if not isinstance(values, list):
                raise ERRORS.make_response_error("Bitbucket's answer is no list of values", what)
            yield from (value for value in values if isinstance(value, dict))

    def demand_written(self, answer: Response, name: str, where: str) -> None:
        """Believe a write only if the answer shows the variable: a login page of a proxy answers 200 as well."""
        ERRORS.raise_for_status(answer, where)
        if answer.object().get("key") != name:
            raise ERRORS.make_response_error(
                "Bitbucket's answer to the write is not the variable: whether it was written is not known", where
            )


def _next(answer: Response) -> str | None:
    link = answer.object().get("next")
    return link if isinstance(link, str) and link else None


def _is_in_progress(run: Any) -> bool:
    state = run.get("state") if isinstance(run, dict) else None
    if not isinstance(state, dict):
        return True  # what we do not understand counts as busy
    stage = state.get("stage")
    is_at_rest = isinstance(stage, dict) and stage.get("name") in _AT_REST
    return state.get("name") != "COMPLETED" and not is_at_rest
