"""What `keyrota check` finds, and the calendar: as text and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from keyrota.core.model import CredentialId
from keyrota.core.policy import CalendarEntry
from keyrota.errors import KeyrotaError, printable
from keyrota.report.data import error_fields, stamp
from keyrota.report.paint import Paint
from keyrota.report.text import count

_MAX_ALIKE = 3
"""So many things with the same fault are named; of more, their number."""
_MAX_GOOD = 10
"""So much that is in order is listed: whoever has few credentials reads it as a list of what was looked at."""


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
    is_always_shown: bool = False
    """Someone has to see it although it is good: where secrets are sent (promise trusted-hosts)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dated:
    """One date of one credential."""

    credential: CredentialId
    """Its account is empty where it could not be entered."""
    label: str
    """How a report names it."""
    entry: CalendarEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How much is printed."""

    is_full: bool = False
    """What is in order is listed as well."""
    is_dated: bool = False
    """The calendar has each date."""
    is_paged: bool = False


USUAL = Shape()
_AUDIT = "fails AWS Config access-keys-rotated, Security Hub IAM.3, CIS and PCI DSS"
_WHATS = ("rotate", "deactivate", "delete", "audit")


def format_findings(findings: Sequence[Finding], dates: Sequence[Dated], colour: Paint, shape: Shape) -> Iterator[str]:
    """Report what was looked at, then the calendar."""
    if shape.is_full or sum(finding.is_good is True for finding in findings[1:]) <= _MAX_GOOD:
        for finding in findings:
            yield from _describe([finding], colour)
    else:
        yield from _list_faults(findings, colour)
    if dates:
        yield ""
        yield from _calendar(dates, colour) if shape.is_dated else _months(dates, colour)


def _list_faults(findings: Sequence[Finding], colour: Paint) -> Iterator[str]:
    """Report the file, then whatever is not in order, and the number of what is."""
    shown = [one for one in findings[1:] if one.is_good is not True or one.is_warning or one.is_always_shown]
    for group in ([one] for one in findings[:1]):
        yield from _describe(group, colour)
    for group in _group_alike(shown):
        yield from _describe(group, colour)
    good = len(findings[1:]) - len(shown)
    if good:
        yield f"{colour('good', '✓')} {good} more in order (keyrota check --all lists them)"


def _group_alike(findings: Iterable[Finding]) -> Iterable[list[Finding]]:
    """Put together what is said in the same words of several things."""
    groups: dict[object, list[Finding]] = {}
    for finding in findings:
        same = (finding.is_good, finding.is_warning, finding.detail, finding.remedy)
        groups.setdefault(same, []).append(finding)
    return groups.values()


def _describe(group: Sequence[Finding], colour: Paint) -> Iterator[str]:
    finding = group[0]
    mark = {True: colour("good", "✓"), False: colour("bad", "✗"), None: colour("quiet", "?")}[finding.is_good]
    mark = colour("held", "!") if finding.is_warning else mark
    names = ", ".join(dict.fromkeys(printable(one.what) for one in group[:_MAX_ALIKE]))
    more = f" and {len(group) - _MAX_ALIKE} more" if len(group) > _MAX_ALIKE else ""
    yield f"{mark} {names}{more}" + (f": {printable(finding.detail)}" if finding.detail else "")
    if finding.remedy:
        yield colour("quiet", f"    {printable(finding.remedy)}")


def _calendar(dates: Sequence[Dated], colour: Paint) -> Iterator[str]:
    yield "Calendar, if every run is on time:"
    for dated in dates:
        entry = dated.entry
        if entry.until is not None:
            until = f"{_AUDIT} until {entry.until:%Y-%m-%d} (preset strict avoids it)"
            yield colour("held", f"  {entry.at:%Y-%m-%d}  {dated.label:<20} key {entry.key}: {until}")
        else:
            yield f"  {entry.at:%Y-%m-%d}  {dated.label:<20} key {entry.key}: {entry.what}"


def _months(dates: Sequence[Dated], colour: Paint) -> Iterator[str]:
    """Count what comes in each month."""
    yield "What comes in each month, if every run is on time (keyrota check --calendar lists the dates):"
    counts = Counter((f"{dated.entry.at:%Y-%m}", dated.entry.what) for dated in dates)
    yield colour("title", "  month    rotate  deactivate  delete  audit")
    for month in sorted({month for month, _ in counts}):
        numbers = "  ".join(f"{counts[month, what] or '-':>{len(what)}}" for what in _WHATS)
        yield f"  {month}  {numbers}"
    red = sum(number for (_, what), number in counts.items() if what == "audit")
    if red:
        yield colour(
            "held", f"audit: {count(red, 'time')} {_AUDIT} until a key is deactivated (preset strict avoids it)"
        )


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
