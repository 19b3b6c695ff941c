"""What a report is made of, and its JSON form: stable, versioned, documented in docs/reference/json.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from keyrota.core import plan as act
from keyrota.core.changes import changes
from keyrota.core.lifecycle import interpret
from keyrota.core.model import AccessKey, AccessKeyId, CredentialId, LastUse, Observation, TargetState, UserName
from keyrota.core.outcome import Done
from keyrota.core.places import is_first_write
from keyrota.core.plan import Action, Hold, Needs, Notice, Plan, Upcoming
from keyrota.core.policy import RotationPolicy
from keyrota.errors import ConfigError, KeyrotaError, LeftByLimit, PartialFailure

VERSION = 1
"""Of the JSON documents: raised when a field changes its meaning or goes; new fields do not raise it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialReport:
    """What there is to say about one credential."""

    user: str
    account: str
    secret_name: str
    now: datetime
    observation: Observation | None = None
    plan: Plan | None = None
    done: tuple[Done, ...] = ()
    errors: tuple[KeyrotaError, ...] = ()
    left: tuple[Action, ...] = ()
    policy: RotationPolicy | None = None
    """Whose ages hold for it; None where it could not be reached."""
    label: str = ""
    """How lines for people name it: with its account where several accounts are configured; empty: the user."""

    @property
    def name(self) -> str:
        """Name the credential in a line for people."""
        return self.label or self.user

    @property
    def credential(self) -> CredentialId:
        """Its one identity; the account is empty where it could not be entered, and the configuration names none."""
        return CredentialId(account=self.account, user=UserName(self.user))

    @property
    def failures(self) -> tuple[KeyrotaError, ...]:
        """What failed: not what stopped at a limit, which a later run continues with."""
        return tuple(single for error in self.errors for single in flatten(error) if retry_at(single) is None)

    @property
    def is_broken(self) -> bool:
        """Whether something failed, or something does not work now."""
        return bool(self.failures) or self.needs is Needs.REPAIR

    @property
    def needs(self) -> Needs:
        """The most that any of its holds needs; what a limit left, or what fell due meanwhile, is no hold."""
        return self.plan.needs if self.plan else Needs.NOBODY

    @property
    def stops(self) -> tuple[KeyrotaError, ...]:
        """The targets that a limit left to a later run."""
        return tuple(single for error in self.errors for single in flatten(error) if retry_at(single) is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One change in a report: the small steps of a rotation are one, a sync is one for each target."""

    action: str
    key: AccessKeyId | None
    target: str | None
    reason: str
    due: datetime
    new_key: AccessKeyId | None = None


def lines(actions: Iterable[Action]) -> Iterator[Line]:
    """Put actions into the words of a report."""
    actions = tuple(action for action in actions if not isinstance(action, act.LOOKS))
    is_rollback = any(isinstance(action, act.Promote) and action.is_rollback for action in actions)
    is_rotation_told = False
    for action in actions:
        if action.shown == "rotate" or _is_part_of_rotation(action):
            if not is_rotation_told:
                yield replace(_line(action), action="rollback" if is_rollback else "rotate")
            is_rotation_told = True
        elif isinstance(action, act.Sync):
            yield from (
                replace(_line(action, target), reason=action.reason_for(target)) for target in action.targets or (None,)
            )
        else:
            yield _line(action)


def _is_part_of_rotation(action: Action) -> bool:
    """Labelling the key that was there before is a step of its rotation; finding out whose key is stored is not."""
    return isinstance(action, act.Adopt) and action.key is not None


def _line(action: Action, target: str | None = None) -> Line:
    return Line(action=action.shown, key=action.key, target=target, reason=action.reason, due=action.due)


def list_done(done: Iterable[Done]) -> Iterator[tuple[Line, datetime]]:
    """Put what was done into the words of a report; a rotation counts as done when its key is AWSCURRENT."""
    old: AccessKeyId | None = None
    for item in done:
        action = item.action
        if isinstance(action, act.CreateKey):
            old = action.key
        elif isinstance(action, act.Promote):
            word = "rollback" if action.is_rollback else "rotate"
            line = Line(action=word, key=old, target=None, reason=action.reason, due=action.due, new_key=action.key)
            yield line, item.at
        elif isinstance(action, act.Sync):
            for target in action.targets or (None,):
                reason = action.reason_for(target)
                yield Line(action="sync", key=item.key, target=target, reason=reason, due=action.due), item.at
        elif isinstance(action, act.LOOKS):
            continue
        elif action.shown not in {"rotate", act.RemoveLabel.shown} and not _is_part_of_rotation(action):
            yield Line(action=action.shown, key=item.key, target=None, reason=action.reason, due=action.due), item.at


@dataclass(frozen=True, slots=True, kw_only=True)
class NotRead:
    """What a run of many credentials took from lists, and what it did not look at: it is not known to be fine."""

    credentials: int
    """Credentials at rest by the lists of their account, which were not read one by one."""
    places: int
    """Places that were not read."""
    as_of: datetime | None
    """The oldest of these lists."""

    @staticmethod
    def of(reports: Iterable[CredentialReport]) -> NotRead:
        """Count it."""
        seen = [report.observation for report in reports if report.observation is not None]
        ages = [one.keys_as_of for one in seen if one.keys_as_of is not None]
        places = sum(len(one.unread) for one in seen)
        return NotRead(credentials=len(ages), places=places, as_of=min(ages, default=None))


def document(
    reports: Iterable[CredentialReport], *, with_done: bool = False, notes: Iterable[str] = ()
) -> dict[str, Any]:
    """Make the JSON document of `plan`, `status`, `apply`, `sync`, `revoke` and `rollback`."""
    reports = tuple(reports)
    left_out = NotRead.of(reports)
    return {
        "version": VERSION,
        "not_read": {
            "credentials": left_out.credentials,
            "places": left_out.places,
            "as_of": stamp(left_out.as_of),
        },
        "notes": list(notes),
        "credentials": [_credential(report, with_done=with_done) for report in reports],
        "errors": [error for report in reports for error in _errors(report)],
    }


def _credential(report: CredentialReport, *, with_done: bool) -> dict[str, Any]:
    seen, planned = report.observation, report.plan or Plan()
    fields: dict[str, Any] = {
        "user": report.user,
        "account": report.account,
        "secret": report.secret_name,
        "keys": [_key(key, seen, report.now) for key in seen.keys] if seen else [],
        "targets": [_describe_target(target, seen) for target in seen.targets] if seen else [],
        "served": _describe_served(seen),
        "actions": [_action(line) for line in lines(planned.actions)],
        "holds": [hold_fields(hold) for hold in planned.holds],
        "next": [_describe_upcoming(later) for later in planned.upcoming],
        "notices": [_notice(notice) for notice in planned.notices],
        "left_behind": [_target(target) for target in seen.left_behind] if seen else [],
        "as_of": stamp(seen.keys_as_of) if seen else None,
        "unread": list(seen.unread) if seen else [],
    }
    if with_done:
        fields["done"] = [_describe_done(line, at) for line, at in list_done(report.done)]
        fields["left"] = [_action(line) for line in lines(report.left)]
    return fields


def _key(key: AccessKey, seen: Observation, now: datetime) -> dict[str, Any]:
    return {
        "id": key.id,
        "status": key.status_word or key.status.value,
        "state": interpret(seen).state_of(key).value,
        "created": stamp(key.created),
        "age_days": (now - key.created).days,
        "last_used": _last_used(key.last_use),
    }


def _last_used(use: LastUse) -> dict[str, Any]:
    return {
        "evidence": use.evidence.value,
        "at": stamp(use.at),
        "service": use.service or None,
        "region": use.region or None,
    }


def _describe_target(target: TargetState, seen: Observation) -> dict[str, Any]:
    """Add what a place is, and what a first write would do to its variables."""
    known = interpret(seen)
    return _target(target) | {
        "place": str(target.place) if target.place else None,
        "archived": target.is_archived,
        "first_write": is_first_write(known, target),
        "variables": [
            {"name": change.name, "change": change.change.value, "key": change.key, "whose": change.whose or None}
            for change in changes(known, target)
        ],
    }


def _target(target: TargetState) -> dict[str, Any]:
    return {
        "target": target.address,
        "evidence": target.evidence.value,
        "key": target.key,
        "changed": stamp(target.changed_at),
        "detail": target.detail or None,
    }


def _describe_served(seen: Observation | None) -> dict[str, Any] | None:
    known = interpret(seen) if seen else None
    if known is None or known.synced is None or not known.is_synced():
        return None
    return {
        "key": known.current_key,
        "since": stamp(known.synced.since),
        "confirmed": stamp(known.synced.confirmed),
    }


def _action(line: Line) -> dict[str, Any]:
    return {
        "action": line.action,
        "key": line.key,
        "target": line.target,
        "reason": line.reason,
        "due": stamp(line.due),
    }


def _describe_done(line: Line, at: datetime) -> dict[str, Any]:
    return _action(line) | {"new_key": line.new_key, "at": stamp(at)}


def hold_fields(hold: Hold) -> dict[str, Any]:
    """Put a hold into the form of a document."""
    return {
        "key": hold.key,
        "target": hold.target,
        "reason": hold.reason,
        "remedy": hold.remedy,
        "until": stamp(hold.until),
        "needs": hold.needs.value,
        "torn": hold.is_torn,
    }


def _notice(notice: Notice) -> dict[str, Any]:
    return {"target": notice.target, "reason": notice.reason, "remedy": notice.remedy or None}


def _describe_upcoming(later: Upcoming) -> dict[str, Any]:
    return {"action": later.shown, "key": later.key, "due": stamp(later.due), "reason": later.reason}


def _errors(report: CredentialReport) -> Iterator[dict[str, Any]]:
    for error in report.errors:
        for single in flatten(error):
            yield {"user": report.user, "account": report.account} | error_fields(single)


def flatten(error: KeyrotaError) -> tuple[KeyrotaError, ...]:
    """Take a bundle of errors apart."""
    if isinstance(error, PartialFailure):
        return tuple(single for failure in error.failures for single in flatten(failure))
    if isinstance(error, ConfigError):
        return tuple(KeyrotaError(fault.what, where=fault.where, remedy=fault.remedy) for fault in error.faults)
    return (error,)


def retry_at(error: KeyrotaError) -> datetime | None:
    """Return when a run continues with what a limit left; None: it is a failure."""
    return error.retry_at if isinstance(error, LeftByLimit) else None


def is_stop(error: KeyrotaError) -> bool:
    """Return whether a limit left all that it is about to a later run, so that nothing of it failed."""
    return all(retry_at(single) is not None for single in flatten(error))


def error_fields(error: KeyrotaError) -> dict[str, Any]:
    """Put one error into JSON's words."""
    told = {"message": error.what, "where": error.where or None, "remedy": error.remedy or None}
    return told | {"retry_at": stamp(retry_at(error))}


def stamp(instant: datetime | None) -> str | None:
    """Write an instant for machines: ISO 8601, UTC, whole seconds."""
    return f"{instant:%Y-%m-%dT%H:%M:%SZ}" if instant else None
