"""Our own events on the event bus: what happened to which key, for people's own rules; no secret in them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from keyrota.core.plan import Hold, HoldKind
from keyrota.errors import KeyrotaError, printable
from keyrota.report.data import CredentialReport, Line, flatten, list_done, stamp

SOURCE = "keyrota"
_DONE = {
    "adopt": "Access Key Adopted",
    "rotate": "Access Key Rotated",
    "rollback": "Access Key Rotated",
    "sync": "Access Key Synced",
    "deactivate": "Access Key Deactivated",
    "delete": "Access Key Deleted",
    "delete-orphan": "Access Key Deleted",
}
HELD, VALUE_REFUSED, TORN, TARGET_FAILED, FAILED, CHANGED, LEFT = (
    "Access Key Held",
    "Secret Value Refused",
    "Access Key Pair Torn",
    "Target Failed",
    "Access Key Failed",
    "Access Key Changed By Others",
    "Credential Left",
)
DETAIL_TYPES = tuple(dict.fromkeys((*_DONE.values(), HELD, VALUE_REFUSED, TORN, TARGET_FAILED, FAILED, CHANGED, LEFT)))
_HELD_AS = {
    HoldKind.ORDINARY: HELD,
    HoldKind.VALUE_REFUSED: VALUE_REFUSED,
    HoldKind.TORN: TORN,
    HoldKind.UNWRITTEN: TARGET_FAILED,
}
_TEXT = {"type": ["string", "null"]}
SCHEMA: Mapping[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "The detail of keyrota's events",
    "description": f"source: {SOURCE}; detail-type: {', '.join(DETAIL_TYPES)}. No secret is in them.",
    "type": "object",
    "additionalProperties": False,
    "required": ["version", "stack", "account", "user", "secret", "run", "at"],
    "properties": {
        "version": {"const": 1, "description": "Raised when a field changes its meaning or goes."},
        "stack": {
            "type": "string",
            "description": "Name, region and account of the stack that sent it: NAME@REGION/ACCOUNT.",
        },
        "run": {"type": "string", "description": "The ID of the run, as in its log lines."},
        "account": {"type": "string", "description": "The account of the IAM user."},
        "user": {"type": "string", "description": "The IAM user's name."},
        "secret": {"type": "string", "description": "The secret's name or ARN."},
        "at": {"type": "string", "description": "When it happened: ISO 8601, UTC."},
        "key": {**_TEXT, "description": "The ID of the access key that it is about."},
        "newKey": {**_TEXT, "description": "Rotated: the ID of its successor."},
        "target": {**_TEXT, "description": "Synced, Failed, Held: the target's address."},
        "reason": {**_TEXT, "description": "Why, in words."},
        "remedy": {**_TEXT, "description": "Held and failed: what a person can do."},
        "until": {**_TEXT, "description": "Held: when it ends by itself; null: not by time alone."},
        "needs": {**_TEXT, "description": "Held: who has to act: nobody, person, or repair (it does not work now)."},
        "by": {**_TEXT, "description": "Changed By Others: the ARN of who did it."},
        "call": {**_TEXT, "description": "Changed By Others: the call of IAM."},
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """One event for the bus."""

    detail_type: str
    detail: Mapping[str, Any]

    def entry(self, bus: str) -> dict[str, str]:
        """Write it as PutEvents takes it."""
        return {
            "Source": SOURCE,
            "DetailType": self.detail_type,
            "EventBusName": bus,
            "Detail": json.dumps(self.detail, ensure_ascii=False),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcer:
    """Puts what a run did into events."""

    stack: str
    run: str

    def announcements(self, reports: Iterable[CredentialReport]) -> Iterator[Announcement]:
        """Make an event of each thing that was done, is held or failed."""
        for report in reports:
            for line, at in list_done(report.done):
                if line.action in _DONE:
                    yield self._make(_DONE[line.action], report, at=stamp(at), **_of_line(line))
            for hold in report.plan.holds if report.plan else ():
                if hold.kind is HoldKind.TURN:
                    continue  # most of a fleet may wait for days, and nothing is wrong
                yield self._make(_HELD_AS[hold.kind], report, **_of_hold(hold))
            for error in report.errors:
                for single in flatten(error):
                    yield self._failure(report, single)

    def announce_change(self, report: CredentialReport, *, by: str, call: str) -> Announcement:
        """Make the event for a change by someone else."""
        return self._make(CHANGED, report, by=printable(by), call=call, reason=f"{call} by {printable(by)}")

    def announce_departure(self, report: CredentialReport, *, reason: str, remedy: str) -> Announcement:
        """Make the event for a credential that left the configuration."""
        return self._make(LEFT, report, reason=printable(reason), remedy=printable(remedy))

    def announce_rotation(
        self, report: CredentialReport, *, new_key: str | None, reason: str, key: str | None = None
    ) -> Announcement:
        """Make the event for a rotation that is no routine."""
        return self._make(_DONE["rotate"], report, key=key, newKey=new_key, reason=reason)

    def _failure(self, report: CredentialReport, error: KeyrotaError) -> Announcement:
        kind = TARGET_FAILED if error.target else FAILED
        return self._make(kind, report, target=error.target or None, reason=str(error), remedy=error.remedy or None)

    def _make(self, detail_type: str, report: CredentialReport, **fields: Any) -> Announcement:
        detail = {
            "version": 1,
            "stack": self.stack,
            "run": self.run,
            "account": report.account,
            "user": report.user,
            "secret": report.secret_name,
            "at": stamp(report.now),
        }
        return Announcement(detail_type=detail_type, detail=detail | fields)


def _of_line(line: Line) -> dict[str, Any]:
    return {"key": line.key, "newKey": line.new_key, "target": line.target, "reason": line.reason}


def _of_hold(hold: Hold) -> dict[str, Any]:
    return {
        "key": hold.key,
        "target": hold.target,
        "reason": hold.reason,
        "remedy": hold.remedy or None,
        "until": stamp(hold.until),
        "needs": hold.needs.value,
    }
