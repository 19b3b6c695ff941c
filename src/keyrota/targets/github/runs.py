"""
Workflow runs: which are in progress, and which carry secrets of an earlier time.

A run gets a repository's and an organization's secrets when it is *queued*, an environment's when its job starts
(GitHub's reference, `Secrets`). So a run that waits for an approval carries the key of the day on which it was queued.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from keyrota.core.model import CarriedRuns, RunsEvidence
from keyrota.errors import KeyrotaError
from keyrota.targets.github.connection import GitHubConnection
from keyrota.targets.github.place import Place
from keyrota.targets.github.visibility import selected_repositories
from keyrota.wire import instant

LONGEST = timedelta(days=35)
"""A workflow run ends after 35 days, waiting included (GitHub's reference, `Usage limits`): nothing is older."""
_UNDER_WAY = ("waiting", "queued", "pending", "requested", "in_progress", "waiting", "queued")
"""Asked one after the other: a run that stops for an approval meanwhile is seen the second time."""
_MOST_REPOSITORIES = 100
_READS = "the token needs Actions: read (fine-grained or app), or the scope repo (classic)"


def may_carry(where: Place) -> bool:
    """Tell whether queued runs carry the values of a place."""
    return where.environment is None


def in_progress(connection: GitHubConnection, where: Place) -> bool:
    """Tell whether a run of the repository is in progress."""
    return any(True for _ in _runs(connection, where, "in_progress", None))


def carried(connection: GitHubConnection, where: Place, before: datetime) -> CarriedRuns:
    """Tell whether runs are under way that were queued before an instant."""
    if not may_carry(where):
        return CarriedRuns(address=where.address, evidence=RunsEvidence.NONE)
    try:
        return _asked(connection, where, before)
    except KeyrotaError as error:
        return CarriedRuns(address=where.address, evidence=RunsEvidence.UNKNOWN, detail=error.what, remedy=_READS)


def _asked(connection: GitHubConnection, where: Place, before: datetime) -> CarriedRuns:
    places = (where,) if where.repository else _repositories(connection, where)
    if len(places) > _MOST_REPOSITORIES:
        return CarriedRuns(
            address=where.address,
            evidence=RunsEvidence.UNKNOWN,
            detail=f"more than {_MOST_REPOSITORIES} repositories see it: they are not all asked",
            remedy="wait: after that time no run from before is left",
        )
    for place in places:
        seen = [run for status in _UNDER_WAY for run in _runs(connection, place, status, before)]
        old = list({run.get("id"): run for run in seen}.values())
        if old:
            return CarriedRuns(
                address=where.address, evidence=RunsEvidence.SOME, detail=_told(place, old), remedy=_remedy(place)
            )
    return CarriedRuns(address=where.address, evidence=RunsEvidence.NONE)


def _told(place: Place, old: list[dict[str, Any]]) -> str:
    first = min(str(run.get("created_at", "")) for run in old)
    words = sorted({str(run.get("status")) for run in old})
    return f"{len(old)} in {place.owner}/{place.repository} ({', '.join(words)}), the first queued at {first[:16]}"


def _remedy(place: Place) -> str:
    return f"approve or cancel them: the runs of {place.owner}/{place.repository} that are not done"


def _runs(connection: GitHubConnection, where: Place, status: str, before: datetime | None) -> Iterator[dict[str, Any]]:
    about = f"the workflow runs of {where.owner}/{where.repository}"
    path = ("repos", where.owner, where.repository or "", "actions", "runs")
    query = {"status": status} | ({"created": f"<={before:%Y-%m-%dT%H:%M:%SZ}"} if before else {})
    for run in connection.pages(where, path, "workflow_runs", about, per_page=100, query=query):
        queued = instant(run.get("created_at"))
        is_over = run.get("status") == "completed"
        if not is_over and (before is None or queued is None or queued <= before):
            yield run


def _repositories(connection: GitHubConnection, where: Place) -> tuple[Place, ...]:
    """Find the repositories that see an organization's secret."""
    about = f"{where.scope}, its repositories"
    answer = connection.call(where, "GET", (*where.secrets_path, where.names[-1]), about)
    connection.demand_success(answer, where, about)
    if answer.object().get("visibility") == "selected":
        names = [name for _, name in selected_repositories(connection, where, where.names[-1])]
    else:
        names = _every_repository(connection, where, about)
    return tuple(replace(where, repository=name) for name in names)


def _every_repository(connection: GitHubConnection, where: Place, about: str) -> list[str]:
    names: list[str] = []
    for value in connection.pages(where, ("orgs", where.owner, "repos"), None, about, per_page=100):
        names.append(str(value.get("name", "")))
        if len(names) > _MOST_REPOSITORIES:
            break
    return names
