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

from keyrota.app.config import CredentialConfig
from keyrota.app.functions.incoming import SecretRef, ValueEvent, value_event
from keyrota.app.functions.measures import gauges, lag
from keyrota.app.functions.scheduled import users_of
from keyrota.app.functions.settings import Trigger
from keyrota.app.functions.telling import log
from keyrota.app.functions.work import Work, fail_if_any_failed, invoke, summary
from keyrota.core.duty import Duty
from keyrota.core.planner import Only
from keyrota.report.data import CredentialReport


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Sync what a batch of messages is about, or the users that the event names, or all."""
    is_batch = isinstance(event, Mapping) and isinstance(event.get("Records"), list)
    answer: dict[str, Any] = invoke("sync", context, lambda work: (_batch if is_batch else _all)(work, event))
    return answer


def _all(work: Work, event: Any) -> dict[str, Any]:
    users, is_read, account = users_of(event)
    reports = work.carry_out(Only(duty=Duty.SYNC), users, account=account)
    if not users or is_read:  # a slice of a fleet: the alarms take the largest and the smallest of all slices
        policies = {entry.user: entry.policy for entry in work.session.configuration.credentials}
        work.measures += gauges(reports, policies)
        if _is_first_slice(work, users, account):
            _look_for_trail(work)
    if not is_read or (reports and all(report.errors for report in reports)):
        fail_if_any_failed(reports)
    return summary(reports)


def _is_first_slice(work: Work, users: tuple[str, ...], account: str | None) -> bool:
    """Tell whether this is the whole, or that slice of it which says what is to be said once."""
    first = work.session.configuration.credentials[0]
    return not users or (first.user in users and account in (None, first.account or ""))


def _look_for_trail(work: Work) -> None:
    """Say so where events by CloudTrail are waited for and no trail sends them."""
    if work.settings.trigger is Trigger.NATIVE:
        return
    from keyrota.aws.trails import missing_trail  # noqa: PLC0415  # only with that trigger

    missing = missing_trail(work.session.wiring.own_account())
    if missing is not None:
        work.alarm("keyrota: events by CloudTrail will never come", f"{missing.what}. {missing.remedy}")


# --- a batch of the queue -------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Batch:
    """What a batch is about: each user once, however many messages name it."""

    messages: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    """Account and user of each message's credentials."""
    moments: list[datetime | None] = field(default_factory=list)

    def by_account(self) -> dict[str, list[str]]:
        """Group the users: one name may be a user of several accounts."""
        groups: dict[str, list[str]] = {}
        for account, user in sorted(set().union(*self.messages.values())):
            groups.setdefault(account, []).append(user)
        return groups


def _batch(work: Work, event: Mapping[str, Any]) -> dict[str, Any]:
    """
    Work on a batch; messages whose credential failed are given back to the queue, and only they.

    Source: Lambda developer guide, reporting batch item failures for Amazon SQS.
    """
    batch = _Batch()
    for message in event["Records"]:
        found = _event_of(message)
        users = _users(work, found) if found else set()
        batch.messages[str(message.get("messageId", ""))] = users
        if users and found:
            batch.moments.append(found.at)
        else:
            log.info("not about a secret of ours", extra={"event": found.id if found else None})
    failed: set[tuple[str, str]] = set()
    for account, names in batch.by_account().items():
        reports = work.carry_out(Only(duty=Duty.SYNC), names, account=account)
        failed |= {(account, report.user) for report in reports if report.errors or report.left}
        if any(_wrote(report) for report in reports):
            work.measures += lag(work.session.clock.now(), batch.moments)
    again = [name for name, users in batch.messages.items() if users & failed]
    return {"batchItemFailures": [{"itemIdentifier": name} for name in again]}


def _wrote(report: CredentialReport) -> bool:
    return any(line.action.shown == "sync" for line in report.done)


def _event_of(message: Any) -> ValueEvent | None:
    """Read the event in a message; what is no event of ours is dropped, or it would come back for ever."""
    try:
        event = json.loads(message["body"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return value_event(event) if isinstance(event, Mapping) else None


def _users(work: Work, event: ValueEvent) -> set[tuple[str, str]]:
    credentials = work.session.configuration.credentials
    found = (entry for entry in credentials if any(_is_of(work, entry, secret) for secret in event.secrets))
    return {(entry.account or "", entry.user) for entry in found}


def _is_of(work: Work, entry: CredentialConfig, secret: SecretRef) -> bool:
    """Tell whether a secret is a credential's; the same name in another account or region is another secret."""
    if not secret.means(entry.secret_name):
        return False
    if not secret.account:
        return True  # an event that names no ARN is about this account and region
    own = work.session.wiring.own_account()
    account = entry.account or _account_of(entry.role) or own.entered(work.session.clock)
    return secret.account == account and secret.region == (entry.region or own.region)


def _account_of(role: str | None) -> str:
    return role.split(":")[4] if role and role.startswith("arn:") else ""
