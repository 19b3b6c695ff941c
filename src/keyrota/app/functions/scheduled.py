"""A handler for one duty: all credentials, or the users that the event names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from keyrota.app.choice import Name, Wanted, account_id
from keyrota.app.functions.invocation import Work, fail_if_any_failed, invoke, summary
from keyrota.app.functions.metrics import overdue
from keyrota.core.plan import Duty
from keyrota.core.planner import Only
from keyrota.errors import UsageError
from keyrota.report.data import CredentialReport


def make_handler(duty: Duty) -> Callable[[Any, Any], dict[str, Any]]:
    """Make the handler of a duty."""

    def handler(event: Any, context: Any) -> dict[str, Any]:
        return invoke(duty.value, context, lambda work: carry_out(work, duty, event))  # type: ignore[no-any-return]

    return handler


def carry_out(work: Work, duty: Duty, event: Any) -> dict[str, Any]:
    """
    Do a duty for the users that the event names, or for all.

    A fleet's map reads the answer (`"report": true`); a schedule reads nothing, so there the invocation fails.

    Raises:
        RunFailed: A credential failed, and nobody reads the answer.
    """
    wanted, is_read = read_wanted(event)
    reports = work.carry_out(Only(duty=duty), wanted, is_part=is_read)
    if wanted.is_everything or is_read:
        work.measures += overdue(reports)
    if not is_read or _is_all_lost(reports):
        fail_if_any_failed(reports)
    return summary(reports)


def _is_all_lost(reports: list[CredentialReport]) -> bool:
    """Return whether nothing could be done at all: the map then counts the item as failed."""
    return bool(reports) and all(report.errors for report in reports)


def read_wanted(event: Any) -> tuple[Wanted, bool]:
    """
    Read `{"users": [...], "account": "…", "report": true}`; a schedule's own event has none of them, and means all.

    Returns:
        What is asked for, and whether the answer is read (by the map over a fleet).

    Raises:
        UsageError: `users` is not a list of names (USER or ACCOUNT:USER), or `account` is not an account ID. An empty
            account means the caller's own. EventBridge's events carry the account of their rule: that narrows nothing.
    """
    if not isinstance(event, Mapping):
        return Wanted(), False
    users = event.get("users", [])
    if not isinstance(users, list) or not all(isinstance(user, str) and user for user in users):
        raise UsageError('"users" must be a list of user names', remedy='{"users": ["ci-deploy"]}, or {} for all')
    is_read = event.get("report") is True
    names = tuple(Name.read(user) for user in users)
    account = event.get("account") if "detail-type" not in event else None
    if account is not None and not isinstance(account, str):
        raise UsageError('"account" must be an account ID in quotes', remedy='{"account": "123456789012"}')
    return Wanted(names=names, account=account_id(account) if account else account), is_read
