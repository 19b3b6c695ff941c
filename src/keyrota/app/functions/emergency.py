"""
`emergency`, on AWS's quarantine of a managed user, where `emergency: auto`: the keys are deactivated, then replaced.

A key that is in public is deactivated before any provider is waited for (promise emergency-first): pipelines fail from
then on until the new key is at their target. Keys that were made after the event are not replaced, so the same event
twice, or late, replaces nothing twice. It fails until every key that the user had was read as Inactive or deleted, and
until every target holds the new key: a key that keyrota does not manage is a person's to deactivate, and until then
nothing here says that all is well.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from keyrota.app.choice import Wanted
from keyrota.app.functions.aws_events import key_event
from keyrota.app.functions.invocation import RunFailed, Work, invoke
from keyrota.app.functions.logs import log, make_log_listener
from keyrota.app.functions.matching import find_managed
from keyrota.app.functions.own_events import Announcer
from keyrota.app.functions.settings import Emergency
from keyrota.app.provider_breach import Verdict, glance, replace_all


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Revoke what a quarantined user had."""
    answer: dict[str, Any] = invoke("emergency", context, lambda work: _revoke(work, event))
    return answer


def _revoke(work: Work, event: Any) -> dict[str, Any]:
    found = key_event(event) if isinstance(event, dict) else None
    entry = find_managed(work, found) if found and found.is_quarantine else None
    if found is None or entry is None or work.settings.emergency is not Emergency.AUTO:
        log.info("no quarantine of a managed user", extra={"event": found.id if found else None})
        return {"safe": [], "open": []}
    # The event may come late, and come twice: a key that was made after it is the replacement, and is not revoked in
    # turn.
    before = found.at or work.session.clock.now()
    verdicts = _replace(work, Wanted.only(entry), before)
    still_open = [verdict for verdict in verdicts if not verdict.is_done]
    _report(work, verdicts, Wanted.only(entry))
    if still_open:
        raise RunFailed("not yet: " + ("; ".join(_why_not(verdict) for verdict in still_open)))
    return {"safe": [str(verdict.credential) for verdict in verdicts], "open": []}


def _replace(work: Work, wanted: Wanted, before: datetime) -> tuple[Verdict, ...]:
    every, errors = glance(work.session, wanted, before)
    for error in errors:
        raise error
    return replace_all(work.session, every, make_log_listener(work.run), off_first=True)


def _report(work: Work, verdicts: tuple[Verdict, ...], wanted: Wanted) -> None:
    for verdict in verdicts:
        work.alarm(
            f"keyrota: {_describe_done(verdict)} the keys of {verdict.credential}",
            f"{_state(verdict, work)} Pipelines keep failing until the quarantine is detached: "
            f"keyrota revoke {verdict.credential} --release",
        )
    reports = work.session.reports(work.session.plan(wanted))  # reads the targets: later than the alarm
    work.emit(reports)
    announcer = Announcer(stack=work.settings.stack, run=work.run)
    made = [verdict for verdict in verdicts if verdict.new_key and verdict.new_key not in verdict.keys]
    work.announce(
        announcer.announce_rotation(
            report, key=verdict.keys[0], new_key=verdict.new_key, reason="AWS found its key in public"
        )
        for report in reports
        for verdict in made
        if verdict.keys and verdict.credential == report.credential
    )


def _describe_done(verdict: Verdict) -> str:
    if verdict.is_done:
        return "revoked"
    return "deactivated, NOT YET replaced:" if verdict.is_safe else "NOT YET: could not revoke"


def _state(verdict: Verdict, work: Work) -> str:
    """Say safe only of what was read after everything was done (promise all-clear-is-seen)."""
    at = f"{work.session.clock.now():%Y-%m-%d %H:%M:%S} UTC"
    off = f"Read at {at}: every key that the user had is Inactive or deleted ({', '.join(verdict.keys) or 'none'})."
    if verdict.is_done:
        return off
    what = f"{off} Not replaced yet" if verdict.is_safe else "Not yet"
    return f"{what}: {_why_not(verdict)}. This function fails until then, and is invoked again."


def _why_not(verdict: Verdict) -> str:
    said = [*verdict.reasons, *map(str, verdict.stops), *verdict.remedies]
    return "; ".join(said) or f"the keys of {verdict.credential} were not read as Inactive"
