"""
Runs that were started before a write and are not done: planned, and waiting for someone to confirm them.

A run in progress keeps the values that it was started with, as far as is known; HCP Terraform does not document when
an apply reads them. A run that waits for its confirmation may do so for weeks.

Source: HCP Terraform API reference, "Runs": lists of a workspace and of an organization, `filter[status_group]`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from keyrota.core.model import CarriedRuns, RunsEvidence
from keyrota.errors import KeyrotaError
from keyrota.targets.terraform.around import applies_to
from keyrota.targets.terraform.connection import TerraformConnection, list_related
from keyrota.targets.terraform.place import Place

MAX_RUN_TIME = timedelta(days=90)
"""HCP Terraform discards no run by itself. A wait this long is taken for the longest, so that a token which may not see
runs does not hold a key for ever."""
_DONE = {
    "applied",
    "canceled",
    "discarded",
    "errored",
    "force_canceled",
    "planned_and_finished",
    "policy_soft_failed",
}
_READS = "let the token's team read runs (workspace permission `Runs: read`), or wait"


def find_runs(connection: TerraformConnection, where: Place, number: str, before: datetime) -> CarriedRuns:
    """
    Return whether runs that were created before an instant are not done.

    Raises:
        KeyrotaError: The runs cannot be read.
    """
    old = [run for run in _runs(connection, where, number) if _is_older(connection, run, before)]
    if not old:
        return CarriedRuns(address=where.address, evidence=RunsEvidence.NONE)
    words = sorted({str(_attributes(run).get("status")) for run in old})
    first = min(str(_attributes(run).get("created-at")) for run in old)
    return CarriedRuns(
        address=where.address,
        evidence=RunsEvidence.SOME,
        detail=f"{len(old)} of {where.address} ({', '.join(words)}), the first created at {first[:16]}",
        remedy="confirm or discard them: " + ", ".join(str(run.get("id")) for run in old[:5]),
        needs_person=True,
    )


def unknown(where: Place, error: KeyrotaError) -> CarriedRuns:
    """Say that the runs could not be read."""
    return CarriedRuns(
        address=where.address, evidence=RunsEvidence.UNKNOWN, detail=error.what, remedy=_READS, needs_person=True
    )


def _runs(connection: TerraformConnection, where: Place, number: str) -> Iterator[dict[str, Any]]:
    about, query = f"the runs of {where.address}", {"filter[status_group]": "non_final"}
    if where.workspace:
        yield from connection.items(("workspaces", number, "runs"), about, query)
        return
    one = connection.set(number, about)
    for run in connection.items(("organizations", where.organization, "runs"), about, query):
        if applies_to(one, list_related(run, "workspace")):
            yield run


def _is_older(connection: TerraformConnection, run: Mapping[str, Any], before: datetime) -> bool:
    attributes = _attributes(run)
    created = connection.http.parse_time(attributes.get("created-at"))
    return str(attributes.get("status")) not in _DONE and (created is None or created <= before)


def _attributes(run: Mapping[str, Any]) -> Mapping[str, Any]:
    found = run.get("attributes")
    return found if isinstance(found, dict) else {}
