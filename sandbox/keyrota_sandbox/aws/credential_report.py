"""
The credential report of an account, as old as AWS lets it be.

Source: IAM User Guide, getting credential reports: a report that is less than four hours old is given out again; it has
no key IDs; the date of a key's last rotation is that of its creation or last change, and `N/A` while the key is not
Active.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from keyrota_sandbox.aws.secrets import Refused
from keyrota_sandbox.server import Response

KEPT = timedelta(hours=4)
ACTIONS = frozenset({"GenerateCredentialReport", "GetCredentialReport"})
_COLUMNS = (
    "user,arn,user_creation_time,password_enabled,password_last_used,password_last_changed,password_next_rotation,"
    "mfa_active,access_key_1_active,access_key_1_last_rotated,access_key_1_last_used_date,"
    "access_key_1_last_used_region,access_key_1_last_used_service,access_key_2_active,access_key_2_last_rotated,"
    "access_key_2_last_used_date,access_key_2_last_used_region,access_key_2_last_used_service,cert_1_active,"
    "cert_1_last_rotated,cert_2_active,cert_2_last_rotated"
)


@dataclass(slots=True)
class CredentialReports:
    """One report for each account."""

    _kept: dict[str, tuple[datetime, str]] = field(default_factory=dict)

    def answer(self, action: str, account: str, iam: Any, now: datetime) -> Response:
        """
        Answer one of the two calls.

        Raises:
            Refused: There is no report, or it is too old.
        """
        at, content = self._kept.get(account, (datetime.min.replace(tzinfo=UTC), ""))
        is_young = at <= now < at + KEPT
        if action == "GenerateCredentialReport":
            if not is_young:
                self._kept[account] = now.replace(microsecond=0), _content(account, iam)
            return _xml(action, f"<State>{'COMPLETE' if is_young else 'STARTED'}</State>")
        if not content:
            raise Refused("ReportNotPresent", "No report exists. Call GenerateCredentialReport.", status=410)
        if not is_young:
            raise Refused("ReportExpired", "The report expired. Call GenerateCredentialReport.", status=410)
        encoded = base64.b64encode(content.encode()).decode()
        told = f"<GeneratedTime>{_stamp(at)}</GeneratedTime><ReportFormat>text/csv</ReportFormat>"
        return _xml(action, f"<Content>{encoded}</Content>{told}")


def _content(account: str, iam: Any) -> str:
    root = f"<root_account>,arn:aws:iam::{account}:root,2020-01-01T00:00:00+00:00,not_supported{',N/A' * 18}"
    return "\n".join([_COLUMNS, root, *(_row(user) for user in iam.users.values())])


def _row(user: Any) -> str:
    keys = [_key(key) for key in user.access_keys[:2]]
    keys += [["false", "N/A", "N/A", "N/A", "N/A"]] * (2 - len(keys))
    created = _stamp(user.create_date)
    parts = [user.name, user.arn, created, "false", "N/A", "N/A", "N/A", "false"]
    return ",".join([*parts, *keys[0], *keys[1], "false", "N/A", "false", "N/A"])


def _key(key: Any) -> list[str]:
    if key.status != "Active":
        return ["false", "N/A", "N/A", "N/A", "N/A"]
    used = key.last_used.timestamp if key.last_used else None
    return ["true", _stamp(key.create_date), _stamp(used) if used else "N/A", "N/A", "N/A"]


def _stamp(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S}+00:00"


def _xml(action: str, result: str) -> Response:
    body = (
        f'<{action}Response xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><{action}Result>{result}</{action}Result>'
        f"<ResponseMetadata><RequestId>sandbox</RequestId></ResponseMetadata></{action}Response>"
    )
    return Response(status=200, body=body.encode(), headers={"Content-Type": "text/xml"})
