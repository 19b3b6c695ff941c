"""The credential report of an account: every user's keys, without their IDs, up to four hours old."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from botocore.exceptions import ClientError

from keyrota.aws._translate import aws_call, code_of
from keyrota.aws.account import Account
from keyrota.core.model import UserName
from keyrota.core.timestamps import parse, require_sane_utc
from keyrota.errors import ProviderUnavailable
from keyrota.ports import Clock

_PAUSES_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Between the questions whether the report is ready; an account of 5,000 users takes seconds."""
_NOT_READY = {"ReportInProgress", "CredentialReportNotReadyException", "NotReady"}
_COLUMNS = ("user", "access_key_1_active", "access_key_1_last_rotated", "access_key_2_active")


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialReport:
    """What the report says of access keys."""

    at: datetime
    """When AWS made it."""
    active: Mapping[UserName, tuple[datetime, ...]]
    """For each user, when each of its Active keys was created or last changed."""


def credential_report(account: Account, clock: Clock) -> CredentialReport:
    """
    Let AWS make the report, or take the one that it still has, and read it.

    Source: IAM API Reference, GenerateCredentialReport: one that is less than four hours old is given out again.

    Raises:
        ProviderRefused: It may not be made or read.
        ProviderUnavailable: It is not ready in time, throttled, or not understood.
    """
    for pause in (*_PAUSES_S, None):
        with aws_call("iam:GenerateCredentialReport", _where(account)):
            state = account.client("iam").generate_credential_report().get("State")
        if state == "COMPLETE" and (found := _read(account)) is not None:
            return found
        if pause is not None:
            clock.sleep(pause)
    raise ProviderUnavailable("iam:GetCredentialReport: the report is not ready in time", where=_where(account))


def _where(account: Account) -> str:
    return f"account {account.id()}"


def _read(account: Account) -> CredentialReport | None:
    """Read the report; None where it has ended, or another one is being made, since it was asked for."""
    with aws_call("iam:GetCredentialReport", _where(account)):
        try:
            answer = account.client("iam").get_credential_report()
        except ClientError as error:
            if code_of(error) in {*_NOT_READY, "ReportExpired", "ReportNotPresent"}:
                return None
            raise
        text = answer["Content"].decode("utf-8")
        return CredentialReport(at=require_sane_utc(answer["GeneratedTime"]), active=dict(_rows(text)))


def _rows(text: str) -> Iterator[tuple[UserName, tuple[datetime, ...]]]:
    """
    Read the rows.

    Raises:
        ValueError: A column that is needed is missing, or a field is not what it has to be.
    """
    rows = csv.DictReader(io.StringIO(text))
    if not set(_COLUMNS) <= set(rows.fieldnames or ()):
        raise ValueError("no credential report")
    for row in rows:
        yield UserName(row["user"]), tuple(_active_keys(row))


def _active_keys(row: Mapping[str, str]) -> Iterator[datetime]:
    for number in (1, 2):
        if row[f"access_key_{number}_active"].lower() == "true":
            yield parse(row[f"access_key_{number}_last_rotated"])
