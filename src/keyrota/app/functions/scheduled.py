"""A handler for one duty: all credentials, or the users that the event names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from keyrota.app.functions.work import Work, fail_if_any_failed, invoke, summary
from keyrota.core.duty import Duty
from keyrota.core.planner import Only
from keyrota.errors import UsageError
from keyrota.report.data import CredentialReport


def scheduled(duty: Duty) -> Callable[[Any, Any], dict[str, Any]]:
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
    users, is_read, account = users_of(event)
    reports = work.carry_out(Only(duty=duty), users, account=account)
    if not is_read or _is_all_lost(reports):
        fail_if_any_failed(reports)
    return summary(reports)


def _is_all_lost(reports: list[CredentialReport]) -> bool:
    """Tell whether nothing could be done at all: the map then counts the item as failed."""
    return bool(reports) and all(report.errors for report in reports)


def users_of(event: Any) -> tuple[tuple[str, ...], bool, str | None]:
    """
    Read `{"users": [...], "account": "…", "report": true}`; anything else, a schedule's event, means all users.

    Raises:
        UsageError: `users` is no list of names.
    """
    if not isinstance(event, Mapping):
        return (), False, None
    users = event.get("users", [])
    if not isinstance(users, list) or not all(isinstance(user, str) and user for user in users):
        raise UsageError('"users" must be a list of user names', remedy='{"users": ["ci-deploy"]}, or {} for all')
    account = event.get("account")
    is_slice = event.get("report") is True and isinstance(account, str)
    return tuple(users), event.get("report") is True, account if is_slice else None
