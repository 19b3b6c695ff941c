"""What the commands that change something share: live progress, the summary, the exit code."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from keyrota.app import words
from keyrota.app.cli import signals
from keyrota.app.cli.common import Options, echo_notes, eprint, say_json, style
from keyrota.app.cli.screen import show
from keyrota.app.cli.watch import Watch
from keyrota.app.session import Planned, Session
from keyrota.core.plan import Hold, Needs
from keyrota.executor import Event, EventKind
from keyrota.report.data import CredentialReport, document, flatten, is_stop
from keyrota.report.halfway import format_halfway, without_stop
from keyrota.report.text import apply_text, describe_remaining, needs_somebody, quiet_text


def open_session(options: Options) -> Session:
    """Open a session whose long work shows its progress."""
    return Session(options.config, watch=Watch(options))


class Progress:
    """Reports each step on stderr as it happens; several credentials may report at once."""

    def __init__(self, options: Options, watch: object = None) -> None:
        self._is_silent = options.is_quiet
        self._watch = watch if isinstance(watch, Watch) else None
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Report one step."""
        if self._watch is not None:
            self._watch.note(event)
        if self._is_silent or event.kind is EventKind.DOING:
            return
        if event.kind is EventKind.DONE and not event.action.done:
            return
        with self._lock:
            (self._watch.print if self._watch is not None else eprint)(self._line(event))

    def _line(self, event: Event) -> str:
        at = f"{event.at:%H:%M:%S}"
        if event.kind is EventKind.FAILED and event.error:
            if is_stop(event.error):
                left = describe_remaining(flatten(event.error))
                return f"{at} {event.name}: {event.action.shown} stopped at a limit: {left}"
            return f"{at} {event.name}: {event.action.shown} failed: {event.error}"
        key = f" {event.key}" if event.key else ""
        return f"{at} {event.name}:{key} {event.action.done}"


def carry_out(
    session: Session,
    planned: Planned,
    options: Options,
    *,
    is_request: bool = False,
    is_choice: bool = False,
    events: Path | None = None,
) -> int:
    """
    Do what was planned, report it, and return the exit code.

    A request is one thing that a person asked for; a choice is one that is only noted, for the next run to act on.
    """
    with _announced(session, events), signals.drain():
        outcomes = session.apply(planned, emit=Progress(options, session.watch))
    reports = session.outcome_reports(planned, outcomes)
    code = (exit_code_of_choice if is_choice else exit_code_of_request if is_request else exit_code)(reports)
    emit(reports, options, code, notes=planned.notes)
    return code


@contextmanager
def _announced(session: Session, events: Path | None) -> Iterator[None]:
    """Write the events of each credential to a file while the run lasts."""
    if events is None or not isinstance(session.watch, Watch):
        yield
        return
    from keyrota.app.cli.events import EventsFile  # noqa: PLC0415  # only where it is asked for

    file = EventsFile(events, session)
    session.watch.on_outcome = file
    try:
        yield
    finally:
        file.close()


def emit(reports: tuple[CredentialReport, ...], options: Options, code: int, *, notes: tuple[str, ...] = ()) -> None:
    """Sum a run up; who wants only what needs someone is still told why a command did not do what it was asked."""
    if options.is_json:
        say_json(document(reports, with_done=True, notes=notes))
    else:
        told = tuple(map(without_stop, reports))
        is_told = code == words.EXIT_DONE or any(needs_somebody(report) for report in told)
        show((quiet_text if options.is_quiet and is_told else apply_text)(told, style()))
        show(format_halfway(reports, style()))
    echo_notes(notes)


def exit_code(reports: Iterable[CredentialReport]) -> int:
    """Choose what is worst: broken or failed, then what waits for a person or another run, then done."""
    reports = tuple(reports)
    if any(report.is_broken for report in reports):
        return words.EXIT_FAILED
    if any(report.stops or report.left or report.needs is Needs.PERSON for report in reports):
        return words.EXIT_HELD
    return words.EXIT_DONE


def exit_code_of_choice(reports: Iterable[CredentialReport]) -> int:
    """Choose the exit code of a choice that is noted: what waits at a place is not its own, what is broken counts."""
    is_noted = all(
        not report.is_broken and report.plan and all(_is_of_place(hold) for hold in report.plan.holds)
        for report in reports
    )
    return words.EXIT_DONE if is_noted else words.EXIT_FAILED


def _is_of_place(hold: Hold) -> bool:
    return hold.target is not None and hold.needs is not Needs.NOBODY


def exit_code_of_request(reports: Iterable[CredentialReport]) -> int:
    """Choose the exit code of a command that a person asked for one thing: whatever holds it, it is not complete."""
    reports = tuple(reports)
    is_complete = exit_code(reports) == words.EXIT_DONE and not any(
        report.plan and report.plan.holds for report in reports
    )
    return words.EXIT_DONE if is_complete else words.EXIT_FAILED
