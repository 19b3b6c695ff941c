"""
`watch`, on events of IAM: someone else changed a managed user's keys, or AWS put a user into quarantine.

Changes nothing: it looks, reports, and raises the alarm with the command to run. IAM's events arrive in one region of
the partition only (us-east-1 in the commercial one).
"""

from __future__ import annotations

import re
from typing import Any

from keyrota.app.choice import Wanted
from keyrota.app.config import CredentialConfig
from keyrota.app.functions.aws_events import KeyEvent, key_event
from keyrota.app.functions.invocation import Work, invoke, summary
from keyrota.app.functions.logs import log
from keyrota.app.functions.matching import find_managed
from keyrota.app.functions.own_events import Announcer
from keyrota.app.functions.settings import Emergency
from keyrota.report.data import CredentialReport

_SESSION = re.compile(r"arn:[a-z0-9-]+:sts::(?P<account>[0-9]{12}):assumed-role/(?P<role>[^/:]+)/[^/:]+")
"""The ARN of a role's session (IAM User Guide, IAM identifiers); a role of another account may have the same name."""


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Look at the user of an event of IAM, and report."""
    answer: dict[str, Any] = invoke("watch", context, lambda work: _watch(work, event))
    return answer


def _watch(work: Work, event: Any) -> dict[str, Any]:
    found = key_event(event) if isinstance(event, dict) else None
    entry = find_managed(work, found) if found else None
    if found is None or entry is None or _is_ours(work, found):
        log.info("not about others' changes to a managed user", extra={"event": found.id if found else None})
        return summary(())
    reports = list(work.session.reports(work.session.plan(Wanted.only(entry))))
    work.emit(reports)
    announcer = Announcer(stack=work.settings.stack, run=work.run)
    work.announce(announcer.announce_change(report, by=found.by, call=found.call) for report in reports)
    if found.is_quarantine:
        _alarm(work, entry, found)
    elif found.call != "CreateAccessKey" or _has_trouble(reports):
        name = work.session.wiring.credential(entry)
        work.alarm(f"keyrota: {found.call} on {name}", f"{found.call} by {found.by}; {_state(reports)}")
    return summary(reports)


def _is_ours(work: Work, found: KeyEvent) -> bool:
    """Return whether one of our own functions made the call: by its role, for a session's name can be anything."""
    session = _SESSION.fullmatch(found.by)
    if session is None or session["role"] not in work.settings.roles:
        return False
    return session["account"] == work.session.wiring.own_account().resolve_id(work.session.clock)


def _alarm(work: Work, entry: CredentialConfig, found: KeyEvent) -> None:
    is_begun = work.settings.emergency is Emergency.AUTO
    what = (
        "the function emergency has begun to replace its keys, and reports when they are off"
        if is_begun
        else "nothing was changed yet"
    )
    name = work.session.wiring.credential(entry)
    work.alarm(
        f"keyrota: a key of {name} is public",
        f"AWS attached {found.policy.rpartition('/')[2]} to the IAM user {name.user} in account {name.account}: one of "
        f"its access keys was found in public; {what}. Run: keyrota revoke {name} --sessions, and when the leak is "
        f"dealt with: keyrota revoke {name} --release",
    )


def _has_trouble(reports: list[CredentialReport]) -> bool:
    return any(report.errors or (report.plan and report.plan.holds) for report in reports)


def _state(reports: list[CredentialReport]) -> str:
    holds = [hold.reason for report in reports for hold in (report.plan.holds if report.plan else ())]
    return "; ".join(holds) or "nothing is held"
