"""
`emergency`, on AWS's quarantine of a managed user, where `emergency: auto`: new key first, then the leaked ones off.

It waits for no overlap, and it breaks no pipeline: the successor is on every target before a key goes off. Keys that
were made after the event are safe, so the same event twice, or late, replaces nothing twice.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from keyrota.app.breach import Exposed, Verdict, keys_before, replace_all
from keyrota.app.choice import Wanted
from keyrota.app.functions.announce import Teller
from keyrota.app.functions.incoming import key_event
from keyrota.app.functions.matching import managed
from keyrota.app.functions.settings import Emergency
from keyrota.app.functions.telling import log, tell_log
from keyrota.app.functions.work import RunFailed, Work, invoke


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Revoke what a quarantined user had."""
    answer: dict[str, Any] = invoke("emergency", context, lambda work: _revoke(work, event))
    return answer


def _revoke(work: Work, event: Any) -> dict[str, Any]:
    found = key_event(event) if isinstance(event, dict) else None
    entry = managed(work, found) if found and found.is_quarantine else None
    if found is None or entry is None or work.settings.emergency is not Emergency.AUTO:
        log.info("no quarantine of a managed user", extra={"event": found.id if found else None})
        return {"safe": [], "open": []}
    before = found.at or work.session.clock.now()
    verdicts = _replaced(work, Wanted.only(entry), before)
    still_open = [verdict for verdict in verdicts if not verdict.is_safe]
    _report(work, verdicts, Wanted.only(entry))
    if still_open:
        raise RunFailed("; ".join(reason for verdict in still_open for reason in verdict.reasons) or "not safe yet")
    return {"safe": [verdict.user for verdict in verdicts], "open": []}


def _replaced(work: Work, wanted: Wanted, before: datetime) -> tuple[Verdict, ...]:
    planned = work.session.plan(wanted)
    for preview in planned.previews:
        if preview.error:
            raise preview.error
    for missing in planned.unreachable:
        raise missing.error
    every = tuple(
        Exposed(preview=preview, keys=keys_before(preview.observation, before))
        for preview in planned.previews
        if preview.observation is not None
    )
    return replace_all(work.session, every, tell_log(work.run), lambda _: None)


def _report(work: Work, verdicts: tuple[Verdict, ...], wanted: Wanted) -> None:
    reports = work.session.reports(work.session.plan(wanted))
    work.tell(reports)
    teller = Teller(stack=work.settings.stack, run=work.run)
    made = [verdict for verdict in verdicts if verdict.new_key and verdict.new_key not in verdict.keys]
    work.announce(
        teller.rotated(report, key=verdict.keys[0], new_key=verdict.new_key, reason="AWS found its key in public")
        for report in reports
        for verdict in made
        if verdict.keys
    )
    for verdict in verdicts:
        state = "its keys are replaced" if verdict.is_safe else "not safe yet: " + "; ".join(verdict.reasons)
        remedies = "; ".join(verdict.remedies)
        work.alarm(
            f"keyrota: {'revoked' if verdict.is_safe else 'could not revoke'} the keys of {verdict.user}",
            f"{state}. {remedies} Pipelines keep failing until the quarantine is detached: "
            f"keyrota revoke {verdict.user} --release",
        )
