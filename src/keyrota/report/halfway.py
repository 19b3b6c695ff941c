"""What a run that was told to stop leaves: what is half-way, and how many credentials were not begun."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from keyrota.errors import Stopped, printable
from keyrota.report.data import CredentialReport, Line, flatten, lines, list_done
from keyrota.report.paint import Paint, plain
from keyrota.report.text import count


def is_stopped(report: CredentialReport) -> bool:
    """Return whether a run was told to stop before it had finished a credential."""
    return any(isinstance(single, Stopped) for error in report.errors for single in flatten(error))


def without_stop(report: CredentialReport) -> CredentialReport:
    """Leave out that the run was told to stop: it is no failure of the credential, and is reported once."""
    if not is_stopped(report):
        return report
    others = (single for error in report.errors for single in flatten(error) if not isinstance(single, Stopped))
    return replace(report, errors=tuple(others), left=())


def format_halfway(reports: Iterable[CredentialReport], style: Paint = plain) -> Iterator[str]:
    """Report what is half-way, credential by credential, and count what was not begun; nothing if none was stopped."""
    stopped = [report for report in reports if is_stopped(report)]
    if not stopped:
        return
    begun = [report for report in stopped if report.done]
    waiting = len(stopped) - len(begun)
    for report in begun:
        done = _join(line for line, _ in list_done(report.done)) or "it was begun"
        still = _join(lines(report.plan.actions)) if report.plan else ""
        more = f"; still to do: {still}" if still else "; nothing is left to do"
        yield f"{style('held', '‖ half-way')} {printable(report.name)}: done: {done}{more}"
    yield f"stopped: {len(begun)} half-way, {count(waiting, 'credential')} not begun; the next run continues"


def _join(every: Iterable[Line]) -> str:
    told = (" ".join(filter(None, [line.action, line.new_key or line.key, line.target])) for line in every)
    return printable(", ".join(told))
