"""
Metrics: what a run counted, and what the fleet looks like.

Counts come from every run. The picture of the whole (ages, due dates, tokens) comes from the daily run of `sync`,
which looks at all credentials anyway; how overdue the oldest key is, from the daily runs of the other duties as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from keyrota.core.lifecycle import KeyState, interpret
from keyrota.core.model import CredentialId, KeyStatus
from keyrota.core.plan import HoldKind, Needs
from keyrota.core.planner import plan
from keyrota.report.data import CredentialReport, list_done

_BANDS = ((30, "KeysYoungerThan30Days"), (60, "KeysOf30To60Days"), (90, "KeysOf60To90Days"))
_OLDEST = "KeysOlderThan90Days"
_COUNTED = {
    "rotate": "Rotated",
    "rollback": "Rotated",
    "sync": "TargetsWritten",
    "deactivate": "Deactivated",
    "delete": "Deleted",
    "delete-orphan": "OrphansDeleted",
}
COUNTS = (*dict.fromkeys(_COUNTED.values()), "Held", "HeldWithoutEnd", "ValuesRefused", "Torn", "Broken", "Failed")
GAUGES = ("Credentials", *(name for _, name in _BANDS), _OLDEST, "DaysOverdue", "DaysToNextDue", "TokenDaysLeft")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One value of one metric."""

    name: str
    unit: str
    value: float
    credential: CredentialId | None = None
    """What it is a measure of; None: all of them together."""


def counts(reports: Iterable[CredentialReport]) -> tuple[Measure, ...]:
    """Count what a run did, holds and failed at; zero is a value as well, so that an alarm knows that runs continue."""
    found: Counter[str] = Counter()
    for report in reports:
        for line, _ in list_done(report.done):
            if line.action in _COUNTED:
                found[_COUNTED[line.action]] += 1
        every = report.plan.holds if report.plan else ()
        holds = [hold for hold in every if hold.kind is not HoldKind.TURN]  # that is the order of the day
        found["Held"] += bool(holds)
        found["HeldWithoutEnd"] += any(hold.until is None for hold in holds)
        found["ValuesRefused"] += any(hold.kind is HoldKind.VALUE_REFUSED for hold in holds)
        found["Torn"] += any(hold.is_torn for hold in holds)
        found["Broken"] += report.needs is Needs.REPAIR
        found["Failed"] += bool(report.failures)
    return tuple(Measure(name=name, unit="Count", value=found[name]) for name in COUNTS)


def gauges(reports: Iterable[CredentialReport]) -> tuple[Measure, ...]:
    """Measure all credentials: one report each, with its own policy."""
    reports = tuple(reports)
    bands: Counter[str] = Counter()
    for report in reports:
        for key in report.observation.keys if report.observation else ():
            bands[_band((report.now - key.created) / timedelta(days=1))] += 1
    made = [Measure(name="Credentials", unit="Count", value=len(reports))]
    made += [Measure(name=name, unit="Count", value=bands[name]) for name in (*(name for _, name in _BANDS), _OLDEST)]
    made += overdue(reports)
    made += _nearest("DaysToNextDue", (_next_due(report) for report in reports))
    made += _nearest("TokenDaysLeft", (_token_days(report) for report in reports))
    return tuple(made)


def overdue(reports: Iterable[CredentialReport]) -> tuple[Measure, ...]:
    """
    Measure the key that is overdue most, and each credential that is overdue.

    Each scheduled duty measures it, not only the run that it would accuse: an alarm takes the largest of them.
    """
    ages = {report.credential: max(found) for report in reports if (found := tuple(_overdue(report)))}
    if not ages:
        return ()
    # CloudWatch bills each set of dimensions as a metric of its own: only those that are overdue have one.
    late = ((credential, days) for credential, days in sorted(ages.items()) if days > 0)
    each = (Measure(name="DaysOverdue", unit="Count", value=days, credential=of) for of, days in late)
    return (Measure(name="DaysOverdue", unit="Count", value=max(0.0, *ages.values())), *each)


def lag(now: datetime, moments: Iterable[datetime | None]) -> tuple[Measure, ...]:
    """Measure how long after the event its secret was on every target."""
    seconds = [(now - at) / timedelta(seconds=1) for at in moments if at is not None]
    return (Measure(name="SyncLag", unit="Seconds", value=max(0.0, *seconds)),) if seconds else ()


def _band(age_days: float) -> str:
    return next((name for limit, name in _BANDS if age_days < limit), _OLDEST)


def _overdue(report: CredentialReport) -> Iterable[float]:
    """Return by how many days the key that pipelines use is older than it should be."""
    if report.observation is None or report.policy is None:
        return ()
    known = interpret(report.observation)
    served = known.in_state(KeyState.CURRENT, KeyState.ADOPTABLE)
    if known.is_foreign_version:  # it is not labelled yet, so any key may be the one that pipelines use
        served = tuple(key for key in known.keys if key.status is KeyStatus.ACTIVE)
    rotate_after = report.policy.rotate_after
    return [(report.now - key.created - rotate_after) / timedelta(days=1) for key in served]


def _next_due(report: CredentialReport) -> float | None:
    """Return what comes next of any duty; the run's own plan knows its own duty only."""
    if report.observation is None or report.policy is None:
        return None
    upcoming = plan(report.observation, report.policy, report.now).upcoming
    return min(((later.due - report.now) / timedelta(days=1) for later in upcoming), default=None)


def _token_days(report: CredentialReport) -> float | None:
    ends = [target.token_expires for target in report.observation.targets] if report.observation else []
    return min(((end - report.now) / timedelta(days=1) for end in ends if end is not None), default=None)


def _nearest(name: str, values: Iterable[float | None]) -> list[Measure]:
    known = [value for value in values if value is not None]
    return [Measure(name=name, unit="Count", value=min(known))] if known else []
