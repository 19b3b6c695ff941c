"""What `keyrota check` finds, and the calendar: as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from keyrota.core.model import CredentialId
from keyrota.core.policy import CalendarEntry
from keyrota.errors import KeyrotaError, printable
from keyrota.report.data import error_fields, stamp
from keyrota.report.paint import Paint


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    what: str
    is_good: bool | None
    """None: it cannot be told."""
    detail: str = ""
    remedy: str = ""
    is_warning: bool = False
    """Nothing is wrong yet, and it should be changed all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dated:
    """One date of one credential."""

    credential: CredentialId
    """Its account is empty where it could not be entered."""
    label: str
    """How a report names it."""
    entry: CalendarEntry


_AUDIT = "fails AWS Config access-keys-rotated, Security Hub IAM.3, CIS and PCI DSS"


def format_findings(findings: list[Finding], dates: tuple[Dated, ...], colour: Paint) -> Iterator[str]:
    """Write findings and calendar for people."""
    for finding in findings:
        mark = {True: colour("good", "✓"), False: colour("bad", "✗"), None: colour("quiet", "?")}[finding.is_good]
        mark = colour("held", "!") if finding.is_warning else mark
        yield f"{mark} {printable(finding.what)}" + (f": {printable(finding.detail)}" if finding.detail else "")
        if finding.remedy:
            yield colour("quiet", f"    {printable(finding.remedy)}")
    if not dates:
        return
    yield ""
    yield "Calendar, if every run is on time:"
    for dated in dates:
        entry = dated.entry
        if entry.until is not None:
            until = f"{_AUDIT} until {entry.until:%Y-%m-%d} (preset strict avoids it)"
            yield colour("held", f"  {entry.at:%Y-%m-%d}  {dated.label:<20} key {entry.key}: {until}")
        else:
            yield f"  {entry.at:%Y-%m-%d}  {dated.label:<20} key {entry.key}: {entry.what}"


def make_document(findings: list[Finding], dates: tuple[Dated, ...]) -> dict[str, Any]:
    """Make the document of `check --json`."""
    return {
        "version": 1,
        "checks": [
            {
                "what": item.what,
                "ok": item.is_good,
                "warning": item.is_warning,
                "detail": item.detail or None,
                "remedy": item.remedy or None,
            }
            for item in findings
        ],
        "calendar": [
            {
                "user": dated.credential.user,
                "account": dated.credential.account or None,
                "key": dated.entry.key,
                "at": stamp(dated.entry.at),
                "what": dated.entry.what,
                "until": stamp(dated.entry.until),
            }
            for dated in dates
        ],
        "errors": [
            {"user": None, "account": None}
            | error_fields(KeyrotaError(item.detail, where=item.what, remedy=item.remedy))
            for item in findings
            if item.is_good is False
        ],
    }
