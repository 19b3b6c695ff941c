"""
`sync`, on events through a queue, once a day, or by hand: brings AWSCURRENT to every target. Touches no key of IAM.

An event only says which secret to look at. What is sent is always AWSCURRENT as it is read then, so events that are
repeated, late or out of order do no harm, and the daily run finds what never came.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from keyrota.app.choice import Name, Wanted
from keyrota.app.departed import Departed, find_departed
from keyrota.app.functions.aws_events import ValueEvent, value_event
from keyrota.app.functions.invocation import Work, fail_if_any_failed, invoke, summary
from keyrota.app.functions.logs import log
from keyrota.app.functions.matching import of_secret
from keyrota.app.functions.metrics import Measure, gauges, lag
from keyrota.app.functions.own_events import Announcer
from keyrota.app.functions.scheduled import read_wanted
from keyrota.app.functions.settings import Trigger
from keyrota.core.lifecycle import interpret
from keyrota.core.model import CredentialId
from keyrota.core.plan import Duty, HoldKind
from keyrota.core.planner import Only
from keyrota.report.data import CredentialReport


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Serve what a batch of messages is about, or the users that the event names, or all."""
    is_batch = isinstance(event, Mapping) and isinstance(event.get("Records"), list)
    answer: dict[str, Any] = invoke("sync", context, lambda work: (_batch if is_batch else _all)(work, event))
    return answer


def _all(work: Work, event: Any) -> dict[str, Any]:
    wanted, is_read = read_wanted(event)
    reports = work.carry_out(Only(duty=Duty.SYNC), wanted)
    if wanted.is_everything or is_read:  # of a shard too: alarms take the largest and the smallest of all shards
        work.measures += gauges(reports)
        if _is_first_shard(work, wanted):
            _look_for_trail(work)
            _look_for_departed(work)
    if not is_read or (reports and all(report.errors for report in reports)):
        fail_if_any_failed(reports)
    return summary(reports)


def _is_first_shard(work: Work, wanted: Wanted) -> bool:
    """Return whether this is the whole, or that shard of it which says what is to be said once."""
    every = work.session.configuration.credentials
    return not every or every[0] in work.session.wiring.chooser.choose(wanted)


def _look_for_trail(work: Work) -> None:
    """Say so where events by CloudTrail are waited for and no trail sends them."""
    if work.settings.trigger is Trigger.NATIVE:
        return
    from keyrota.aws.trails import find_missing_trail  # noqa: PLC0415  # only with that trigger

    missing = find_missing_trail(work.session.wiring.own_account())
    if missing is not None:
        work.alarm("keyrota: events by CloudTrail will never come", f"{missing.what}. {missing.remedy}")


def _look_for_departed(work: Work) -> None:
    """Report each credential that left the configuration, every day until it is released; nobody else sees it."""
    found, errors = find_departed(work.session)
    for error in errors:
        log.error(
            "whether a credential left the configuration is not known",
            extra={"error": str(error), "remedy": error.remedy or "keyrota deploy renews the functions' roles"},
        )
    for one in found:
        about = {"user": one.user, "account": one.account.id(), "secret": one.secret.name}
        log.error(
            "a credential left the configuration", extra={**about, "reason": one.describe(), "remedy": one.remedy}
        )
    announcer = Announcer(stack=work.settings.stack, run=work.run)
    work.announce(
        announcer.announce_departure(_report(work, one), reason=one.describe(), remedy=one.remedy) for one in found
    )
    if found or not errors:
        work.measures.append(Measure(name="Departed", unit="Count", value=len(found)))


def _report(work: Work, one: Departed) -> CredentialReport:
    return CredentialReport(
        user=one.user, account=one.account.id(), secret_name=one.secret.name, now=work.session.clock.now()
    )


# --- a batch of the queue -------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Batch:
    """What a batch is about: each user once, however many messages name it."""

    messages: dict[str, frozenset[CredentialId]] = field(default_factory=dict)
    """Each message's credentials."""
    moments: list[datetime | None] = field(default_factory=list)

    @property
    def wanted(self) -> Wanted:
        """All of them, each once."""
        every = sorted(frozenset().union(*self.messages.values()))
        return Wanted(names=tuple(Name(user=one.user, account=one.account) for one in every))


def _batch(work: Work, event: Mapping[str, Any]) -> dict[str, Any]:
    """
    Work on a batch; messages whose credential failed are given back to the queue, and only they.

    Source: Lambda developer guide, reporting batch item failures for Amazon SQS.
    """
    batch = _Batch()
    for message in event["Records"]:
        found = _event_of(message)
        credentials = _credentials(work, found) if found else frozenset()
        batch.messages[str(message.get("messageId", ""))] = credentials
        if credentials and found:
            batch.moments.append(found.at)
        else:
            log.info("not about a secret of ours", extra={"event": found.id if found else None})
    failed: set[CredentialId] = set()
    reports: list[CredentialReport] = []
    if batch.wanted.names:
        reports = work.carry_out(Only(duty=Duty.SYNC), batch.wanted)
        failed |= {report.credential for report in reports if _comes_back(report)}
        if any(_wrote(report) for report in reports):
            work.measures += lag(work.session.clock.now(), batch.moments)
    # Only these: a batch that fails as a whole would bring the others back until they are in the dead-letter queue.
    again = [name for name, credentials in batch.messages.items() if credentials & failed]
    return {**summary(reports), "batchItemFailures": [{"itemIdentifier": name} for name in again]}


def _comes_back(report: CredentialReport) -> bool:
    """Return whether a message is tried again: a failure, work that was left, a silent place, a key not listed yet."""
    holds = report.plan.holds if report.plan else ()
    served = interpret(report.observation).current_key if report.observation else None
    # IAM does not list the new key yet. No later event will come for it, so this one has to.
    is_awaited = any(hold.key is not None and hold.key == served and hold.until is not None for hold in holds)
    is_unwritten = any(hold.kind is HoldKind.UNWRITTEN for hold in holds)
    return bool(report.errors or report.left) or is_awaited or is_unwritten


def _wrote(report: CredentialReport) -> bool:
    return any(line.action.shown == "sync" for line in report.done)


def _event_of(message: Any) -> ValueEvent | None:
    """Read the event in a message; what is no event of ours is dropped, or it would come back for ever."""
    try:
        event = json.loads(message["body"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return value_event(event) if isinstance(event, Mapping) else None


def _credentials(work: Work, event: ValueEvent) -> frozenset[CredentialId]:
    found = (
        entry
        for secret in event.secrets
        for entry in of_secret(work, secret, account=event.account, region=event.region)
    )
    return frozenset(work.session.wiring.credential(entry) for entry in found)
