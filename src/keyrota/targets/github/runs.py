"""
Workflow runs: which are in progress, and which carry secrets of an earlier time.

A run gets a repository's and an organization's secrets when it is *queued*, an environment's when its job starts
(GitHub's reference, `Secrets`). So a run that waits for an approval carries the key of the day on which it was queued.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any

from keyrota.core.model import CarriedRuns, RunsEvidence
from keyrota.errors import KeyrotaError, NotThere, ProviderRefused
from keyrota.targets.github.connection import GitHubConnection
from keyrota.targets.github.place import Place
from keyrota.targets.github.visibility import list_selected_repositories

MAX_RUN_TIME = timedelta(days=35)
"""A workflow run ends after 35 days, waiting included (GitHub's reference, `Usage limits`): nothing is older."""
_UNDER_WAY = ("waiting", "queued", "pending", "requested", "in_progress", "waiting", "queued")
"""Asked one after the other: a run that stops for an approval meanwhile is seen the second time."""
_MAX_REPOSITORIES = 100
_READS = "the token needs Actions: read (fine-grained or app), or the scope repo (classic)"


def may_carry(where: Place) -> bool:
    """Return whether queued runs carry the values of a place."""
    return where.environment is None


def in_progress(connection: GitHubConnection, where: Place) -> bool | None:
    """Return whether a run is in progress, in the repository or in any that sees the organization's secret."""
    if where.repository:
        return _is_busy(connection, where, where.repository)
    ask = partial(_is_busy, connection, where)
    return connection.many.is_busy(where.address, partial(_at_work, connection, where), ask)


def may_look(connection: GitHubConnection, where: Place) -> None:
    """Ask for runs, once: whether the token may."""
    if where.repository:
        _is_busy(connection, where, where.repository)
    else:
        connection.many.may_ask(partial(_at_work, connection, where), partial(_is_busy, connection, where))


def _is_busy(connection: GitHubConnection, where: Place, repository: str) -> bool:
    return any(True for _ in _runs(connection, replace(where, repository=repository), "in_progress", None))


def _at_work(connection: GitHubConnection, where: Place) -> Iterator[str]:
    """List the repositories that run something and see an organization's secret; none does while it is not there."""
    with suppress(NotThere):
        yield from _list_repositories(connection, where, now=True)


def find_runs(connection: GitHubConnection, where: Place, before: datetime) -> CarriedRuns:
    """Return whether runs are under way that were queued before an instant."""
    if not may_carry(where):
        return CarriedRuns(address=where.address, evidence=RunsEvidence.NONE)
    try:
        return _ask(connection, where, before)
    except KeyrotaError as error:
        return CarriedRuns(address=where.address, evidence=RunsEvidence.UNKNOWN, detail=error.what, remedy=_READS)


def _ask(connection: GitHubConnection, where: Place, before: datetime) -> CarriedRuns:
    names = (
        [where.repository]
        if where.repository
        else list(islice(_list_repositories(connection, where), _MAX_REPOSITORIES + 1))
    )
    places = [replace(where, repository=name) for name in names]
    if len(places) > _MAX_REPOSITORIES:
        return CarriedRuns(
            address=where.address,
            evidence=RunsEvidence.UNKNOWN,
            detail=f"more than {_MAX_REPOSITORIES} repositories see it: they are not all asked",
            remedy="wait: after that time no run from before is left",
        )
    for place in places:
        seen = [run for status in _UNDER_WAY for run in _runs(connection, place, status, before)]
        old = list({str(run.get("id")): run for run in seen}.values())
        if old:
            return CarriedRuns(
                address=where.address, evidence=RunsEvidence.SOME, detail=_describe(place, old), remedy=_remedy(place)
            )
    return CarriedRuns(address=where.address, evidence=RunsEvidence.NONE)


def _describe(place: Place, old: list[dict[str, Any]]) -> str:
    first = min(str(run.get("created_at", "")) for run in old)
    words = sorted({str(run.get("status")) for run in old})
    return f"{len(old)} in {place.owner}/{place.repository} ({', '.join(words)}), the first queued at {first[:16]}"


def _remedy(place: Place) -> str:
    return f"approve or cancel them: the runs of {place.owner}/{place.repository} that are not done"


def _runs(connection: GitHubConnection, where: Place, status: str, before: datetime | None) -> Iterator[dict[str, Any]]:
    about = f"the workflow runs of {where.owner}/{where.repository}"
    path = ("repos", where.owner, where.repository or "", "actions", "runs")
    http, query = connection.http(where.owner, where.repository), {"status": status}
    if before is not None:
        query |= {"created": f"<={http.theirs(before):%Y-%m-%dT%H:%M:%SZ}"}
    for run in connection.pages(where, path, "workflow_runs", about, per_page=100, query=query):
        queued = http.parse_time(run.get("created_at"))
        is_over = run.get("status") == "completed"
        if not is_over and (before is None or queued is None or queued <= before):
            yield run


def _list_repositories(connection: GitHubConnection, where: Place, *, now: bool = False) -> Iterator[str]:
    """
    List the repositories that see an organization's secret; where all do, by their last push, the latest in front.

    Args:
        connection: GitHub.
        where: The organization.
        now: Leave out what can start no run today that reads it: archived, or public where private ones see it.
            A run from before may carry it all the same.

    Raises:
        ProviderRefused: An app that was installed on selected repositories does not see the others.
    """
    about = f"{where.scope}, its repositories"
    answer = connection.call(where, "GET", (*where.secrets_path, where.names[-1]), about)
    connection.raise_for_status(answer, where, about)
    visibility = answer.object().get("visibility")
    if visibility == "selected":
        yield from (name for _, name in list_selected_repositories(connection, where, where.names[-1]))
        return
    installation = connection.installation(where)
    if installation is not None and not installation.sees_all:
        raise ProviderRefused(
            "the GitHub App is installed on selected repositories: the others see the secret, and it does not see them",
            where=about,
            remedy="install it on all repositories of the organization",
        )
    query = {"sort": "pushed", "direction": "desc"}
    for value in connection.pages(where, ("orgs", where.owner, "repos"), None, about, per_page=100, query=query):
        is_blind = value.get("archived") is True or (visibility == "private" and value.get("private") is False)
        if not (now and is_blind):
            yield str(value.get("name", ""))
