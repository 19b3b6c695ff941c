"""One credential in one line: how it is, what comes next, how many of its places are fine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from keyrota.core.lifecycle import KeyRing, interpret
from keyrota.core.model import AccessKey, KeyStatus, Observation, TargetEvidence, TargetState
from keyrota.core.plan import Hold, Needs
from keyrota.core.sync import is_changed_since
from keyrota.report.data import CredentialReport, document, lines, stamp

OVERDUE_AFTER = timedelta(days=1)
"""keyrota runs once a day: what has been due for longer than that was missed."""


class State(StrEnum):
    """How a credential is, the worst first."""

    TORN = "torn"
    BROKEN = "broken"
    FAILED = "failed"
    HELD = "held"
    LEFT = "left"
    OVERDUE = "overdue"
    DUE = "due"
    WAITING = "waiting"
    OK = "ok"


MEANING = {
    State.TORN: "a place holds half a pair: its pipelines fail",
    State.BROKEN: "something does not work now: a dead key, or none",
    State.FAILED: "it could not be read in full",
    State.HELD: "a person has to decide",
    State.LEFT: "a rate limit left places to a later run",
    State.OVERDUE: "something has been due for more than a day",
    State.DUE: "the next run changes something",
    State.WAITING: "something waits for a time, and ends by itself",
    State.OK: "nothing to do",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """How many of a credential's configured places hold its key in use."""

    fine: int
    unknown: int
    """Not read, or not told by what was read."""
    total: int

    def __str__(self) -> str:
        """Write it: `2/3`, and `1?` behind it for what is not known."""
        return f"{self.fine}/{self.total}" + (f" {self.unknown}?" if self.unknown else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """What comes next: what, and when; in the past where it is due."""

    action: str
    at: datetime

    def __str__(self) -> str:
        """Write it."""
        return f"{self.action} {self.at:%Y-%m-%d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One credential in one line."""

    account: str
    user: str
    state: State
    key: AccessKey | None
    """The key in use: AWSCURRENT, or the oldest Active key where none is known."""
    age_days: int | None
    next: Next | None
    due_since: datetime | None
    """Since when the oldest of what is due has been due."""
    overdue_since: datetime | None
    """The same where that is more than a day ago; also where another state is worse."""
    places: Places | None
    """None: nothing is known of them."""
    last_run: datetime | None
    """The last run that left a record; None: not known."""
    why: str
    secret_name: str


def describe_fleet(reports: Iterable[CredentialReport], *, notes: tuple[str, ...] = ()) -> dict[str, Any]:
    """Make the JSON document of `status`: that of `plan`, and how each credential is; in the configuration's order."""
    reports = tuple(reports)
    whole = document(reports, notes=notes)
    for fields, report in zip(whole["credentials"], reports, strict=True):
        one = make_row(report)
        fields |= {
            "state": one.state.value,
            "overdue_since": stamp(one.overdue_since),
            "last_run": stamp(one.last_run),
            "places": None
            if one.places is None
            else {"ok": one.places.fine, "not_known": one.places.unknown, "total": one.places.total},
        }
    return whole


def list_rows(reports: Iterable[CredentialReport]) -> tuple[Row, ...]:
    """Put reports into lines, the worst first."""
    return tuple(sorted(map(make_row, reports), key=_order))


def _order(one: Row) -> tuple[object, ...]:
    due = one.due_since.timestamp() if one.due_since else float("inf")
    return list(State).index(one.state), due, -(one.age_days or 0), one.account, one.user


def make_row(report: CredentialReport) -> Row:
    """Put one report into a line."""
    seen = report.observation
    known = interpret(seen) if seen else None
    key = _key_in_use(known) if known else None
    due = min((line.due for line in lines(report.plan.actions)), default=None) if report.plan else None
    return Row(
        account=report.account,
        user=report.user,
        state=find_state(report),
        key=key,
        age_days=(report.now - key.created).days if key else None,
        next=find_next(report),
        due_since=due,
        overdue_since=due if due is not None and report.now - due > OVERDUE_AFTER else None,
        places=count_places(seen),
        last_run=find_last_run(report),
        why=explain(report),
        secret_name=report.secret_name,
    )


def find_state(report: CredentialReport) -> State:
    """Choose the worst that is true of a credential."""
    holds = report.plan.holds if report.plan else ()
    due = [line.due for line in lines(report.plan.actions)] if report.plan else []
    found = (
        (State.TORN, any(hold.is_torn for hold in holds)),
        (State.BROKEN, report.needs is Needs.REPAIR),
        (State.FAILED, bool(report.failures)),
        (State.HELD, report.needs is Needs.PERSON),
        (State.LEFT, bool(report.stops)),
        (State.OVERDUE, any(report.now - at > OVERDUE_AFTER for at in due)),
        (State.DUE, bool(due)),
        (State.WAITING, bool(holds)),
    )
    return next((state for state, is_true in found if is_true), State.OK)


def _key_in_use(known: KeyRing) -> AccessKey | None:
    active = [key for key in known.keys if key.status is KeyStatus.ACTIVE]
    return known.key(known.current_key) or min(active, key=lambda key: key.created, default=None)


def find_next(report: CredentialReport) -> Next | None:
    """Find what comes next: what is due, else the soonest of what is to come."""
    if report.plan is None:
        return None
    for line in lines(report.plan.actions):
        return Next(action=line.action, at=line.due)
    return next((Next(action=later.shown, at=later.due) for later in report.plan.upcoming), None)


def count_places(seen: Observation | None) -> Places | None:
    """Count the places that hold the key in use; what cannot be told is not counted as fine."""
    if seen is None:
        return None
    known = interpret(seen)
    key = _key_in_use(known)
    told = [_is_fine(known, target, key) for target in seen.targets]
    unread = len(seen.unread)
    return Places(fine=told.count(True), unknown=told.count(None) + unread, total=len(told) + unread)


def _is_fine(known: KeyRing, target: TargetState, key: AccessKey | None) -> bool | None:
    if target.evidence is TargetEvidence.FAILED:
        return None
    if target.evidence is TargetEvidence.ABSENT or known.doubt_of(target.address) or is_changed_since(known, target):
        return False
    if target.evidence is TargetEvidence.HOLDS:
        return key is not None and target.key == key.id
    return True if known.is_synced() else None


def find_last_run(report: CredentialReport) -> datetime | None:
    """
    Find the last run that left a record in the secret's tags; None: not known.

    A run that has nothing to do writes nothing, so keyrota may have run since. A time that lies ahead was not noted by
    a run.
    """
    if report.observation is None:
        return None
    return max((at for at in _list_records(interpret(report.observation)) if at <= report.now), default=None)


def _list_records(known: KeyRing) -> Iterator[datetime]:
    if known.synced is not None:
        yield from (known.synced.since, known.synced.confirmed)
        yield from filter(None, [known.synced.ended])
    if known.sync_pass is not None:
        yield known.sync_pass.began
    if known.pairs is not None:
        yield known.pairs.at
    yield from (record.at for record in known.deactivated)


def explain(report: CredentialReport) -> str:
    """Give the first reason for the state, and how many more there are; empty where nothing is to be said."""
    holds = report.plan.holds if report.plan else ()
    told = [
        *_reasons(holds, Needs.REPAIR),
        *map(str, report.failures),
        *_reasons(holds, Needs.PERSON),
        *map(str, report.stops),
        *(line.reason for line in (lines(report.plan.actions) if report.plan else ())),
        *_reasons(holds, Needs.NOBODY),
    ]
    told = list(dict.fromkeys(told))
    more = f" (and {len(told) - 1} more)" if len(told) > 1 else ""
    return f"{told[0]}{more}" if told else ""


def _reasons(holds: Iterable[Hold], needs: Needs) -> Iterator[str]:
    for hold in holds:
        if hold.needs is needs:
            about = f"{hold.target}: " if hold.target and hold.target not in hold.reason else ""
            yield about + hold.reason
