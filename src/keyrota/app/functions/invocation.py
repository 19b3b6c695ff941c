"""What every function does: look, act within its duty, tell logs, metrics and the event bus, and fail loudly."""

from __future__ import annotations

import signal
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from keyrota.app.choice import EVERYTHING, Wanted
from keyrota.app.config.trust import refuse_local, refuse_shared_roles
from keyrota.app.functions.bus import send
from keyrota.app.functions.logs import log, make_log_listener, record
from keyrota.app.functions.metrics import Measure, counts
from keyrota.app.functions.own_events import Announcement, Announcer
from keyrota.app.functions.settings import FunctionSettings, settings
from keyrota.app.session import Session
from keyrota.app.waves import Asked
from keyrota.core.plan import Hold, HoldKind, Needs
from keyrota.core.planner import Intent
from keyrota.errors import KeyrotaError, printable
from keyrota.http import STOP
from keyrota.report.data import CredentialReport, NotRead, flatten, list_done, retry_at, stamp

_SPARE_S = 90.0
"""So long before the function's end no credential is begun: proving a key takes 20 s, and targets have time-outs."""


class RunFailed(Exception):
    """
    Something failed: Lambda counts the invocation as an error, and a schedule or a queue does what it is set to.

    What still holds: every credential that did not fail continued; the log names each that did.
    """


@dataclass(slots=True, kw_only=True)
class Work:
    """One invocation."""

    session: Session
    settings: FunctionSettings
    function: str
    until: datetime | None
    """When the function has to have ended; None: nobody says."""
    measures: list[Measure] = field(default_factory=list)

    @property
    def run(self) -> str:
        """The run's ID."""
        return self.session.wiring.settings.run

    def carry_out(
        self, intent: Intent, wanted: Wanted = EVERYTHING, *, is_part: bool = False
    ) -> list[CredentialReport]:
        """
        Plan and act; one credential that fails holds back nothing but itself.

        Args:
            intent: What was asked for.
            wanted: Only these credentials.
            is_part: The fleet is cut into parts, and this is one of them: it makes its share of a day's new keys.

        Raises:
            UsageError: What is wanted is not configured, or means several credentials.
        """
        if self.is_late():
            log.error(
                "too little time to begin anything",
                extra={
                    "until": stamp(self.until),
                    "needs_s": _SPARE_S,
                    "remedy": f"set the function's time limit to more than {_SPARE_S:.0f} s; keyrota deploy sets 900",
                },
            )
        planned = self.session.plan(wanted, intent, Asked(is_part=is_part))
        for note in planned.notes:
            log.warning("note", extra={"reason": note})
        outcomes = self.session.apply(planned, emit=make_log_listener(self.run), is_late=self.is_late)
        reports = list(self.session.outcome_reports(planned, outcomes))
        self.emit(reports)
        return reports

    def is_late(self) -> bool:
        """Return whether too little time is left to begin another credential."""
        return self.until is not None and self.session.clock.now() > self.until - timedelta(seconds=_SPARE_S)

    def emit(self, reports: Sequence[CredentialReport]) -> None:
        """Report logs, metrics and the event bus what became of each credential."""
        for report in reports:
            _log_report(self.run, report)
        self.measures += counts(reports)
        self.announce(Announcer(stack=self.settings.stack, run=self.run).announcements(reports))

    def announce(self, announcements: Iterable[Announcement]) -> None:
        """Send events; a bus that does not take them is logged and counted, and holds nothing back."""
        entries = [announcement.entry(self.settings.bus) for announcement in announcements]
        if not self.settings.bus or not entries:
            return
        lost = send(self.session, entries)
        self.measures.append(Measure(name="EventsLost", unit="Count", value=lost))

    def alarm(self, subject: str, text: str) -> None:
        """Raise an alarm for people; without a topic the log has it."""
        log.error(subject, extra={"alarm": text})
        if self.settings.topic:
            from keyrota.aws.notices import publish  # noqa: PLC0415  # only where there is something to tell

            publish(self.session.wiring.own_account(), self.settings.topic, subject, text)


def invoke(function: str, context: Any, do: Callable[[Work], Any]) -> Any:
    """
    Do one invocation.

    Raises:
        RunFailed: Configuration, permissions, or a credential; the message says what and what to do, without a secret.
    """
    try:
        work = _begin(function, context)
        try:
            with _heed_the_end():
                return do(work)
        finally:
            record(function, work.settings.stack, work.measures)
    except KeyrotaError as error:
        texts = [f"{single}" + (f" ({single.remedy})" if single.remedy else "") for single in flatten(error)]
        log.error("failed", extra={"errors": texts})
        # `from None`: Lambda logs the whole chain, and an inner exception may quote an answer.
        raise RunFailed("; ".join(texts)) from None
    except RunFailed:
        raise
    except Exception as error:  # noqa: BLE001  # the last resort: Lambda logs an exception's text, which may hold anything
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{where.name}, line {where.lineno}"
        log.error("a bug in keyrota", extra={"kind": type(error).__name__, "where": place})  # as above
        raise RunFailed(f"a bug in keyrota: {type(error).__name__} in {place}") from None


@contextmanager
def _heed_the_end() -> Iterator[None]:
    """On SIGTERM (Lambda ends an environment, a container is stopped), begin no more pair and finish the one begun."""
    # Lambda keeps the process for the next invocation, and the module's state with it.
    STOP.forget()
    # Python allows signal handlers in the main thread only; tests, and some runtimes, call a handler from another one.
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, lambda *_: STOP.ask()) if is_main else None
    try:
        yield
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, before)


def _begin(function: str, context: Any) -> Work:
    known = settings()
    log.append_keys(function=function, request=str(getattr(context, "aws_request_id", "")))
    left = context.get_remaining_time_in_millis() if hasattr(context, "get_remaining_time_in_millis") else None
    span = timedelta(milliseconds=left) if left is not None else None
    session = Session(known.config, sha256=known.config_sha256, stack=known.stack, duty=function, ends_in=span)
    refuse_local(session.configuration.references)
    refuse_shared_roles(session.configuration)
    until = session.wiring.settings.until
    return Work(session=session, settings=known, function=function, until=until)


def summary(reports: Iterable[CredentialReport]) -> dict[str, Any]:
    """Sum a run up, as the function's answer."""
    reports = tuple(reports)
    left_out = NotRead.of(reports)
    return {
        "credentials": len(reports),
        "notRead": {"credentials": left_out.credentials, "places": left_out.places},
        "done": [
            _name(report) | {"action": line.action, "key": line.key, "newKey": line.new_key, "target": line.target}
            for report in reports
            for line, _ in list_done(report.done)
        ],
        "held": [
            _name(report) | {"reason": hold.reason, "until": stamp(hold.until)}
            for report in reports
            for hold in _holds(report)
            if hold.kind is not HoldKind.TURN
        ],
        "waiting": sum(hold.kind is HoldKind.TURN for report in reports for hold in _holds(report)),
        "left": [_name(report) for report in reports if report.left or report.stops],
        "failed": [_name(report) | {"reason": _texts(report)} for report in reports if report.is_broken],
    }


def _holds(report: CredentialReport) -> tuple[Hold, ...]:
    return report.plan.holds if report.plan else ()


def _name(report: CredentialReport) -> dict[str, Any]:
    return {"user": report.user, "account": report.account or None}


def fail_if_any_failed(reports: Iterable[CredentialReport]) -> None:
    """
    Let the invocation fail if a credential did, or a place does not work now: an alarm counts failed invocations.

    Raises:
        RunFailed: With each user and reason.
    """
    failed = [f"{report.name}: {_texts(report)}" for report in reports if report.is_broken]
    if failed:
        raise RunFailed("; ".join(failed)[:2000])


def _texts(report: CredentialReport) -> str:
    broken = [hold.reason for hold in report.plan.broken] if report.plan else []
    return printable("; ".join([*broken, *(str(failure) for failure in report.failures)]))


def _log_report(run: str, report: CredentialReport) -> None:
    about = {"run": run, "user": report.user, "account": report.account}
    for hold in report.plan.holds if report.plan else ():
        held = {"key": hold.key, "target": hold.target, "reason": hold.reason, "remedy": hold.remedy}
        is_turn = hold.kind is HoldKind.TURN
        report_line = log.info if is_turn else log.error if hold.needs is Needs.REPAIR else log.warning
        report_line("held", extra={**about, **held, "until": stamp(hold.until), "needs": hold.needs.value})
    for notice in report.plan.notices if report.plan else ():
        log.warning("notice", extra={**about, "target": notice.target, "reason": notice.reason})
    if report.left:
        log.warning("left to the next run", extra={**about, "actions": [action.shown for action in report.left]})
    for error in report.failures:
        log.error("credential failed", extra={**about, **_describe(error)})
    for stop in report.stops:
        log.warning(
            "left to a later run by a limit", extra={**about, **_describe(stop), "until": stamp(retry_at(stop))}
        )


def _describe(error: KeyrotaError) -> dict[str, Any]:
    return {"error": error.what, "where": error.where or None, "remedy": error.remedy or None}
