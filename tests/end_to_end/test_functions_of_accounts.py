"""The functions with two accounts whose users have equal names: an event concerns its own account only."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cli_rig import USER
from several_rig import OTHER, OWN, Two, two_accounts

from keyrota.app.functions import emergency, rotate, rotation, sync, watch
from keyrota.app.functions.invocation import RunFailed
from keyrota_sandbox.cloud import REGION

SECRET = "keyrota/ci-deploy/access-key"
QUARANTINE = "arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3"


class Context:
    """What Lambda passes beside the event."""

    aws_request_id = "request-1"

    def get_remaining_time_in_millis(self) -> int:
        """Return how long the function may still run."""
        return 900_000


@dataclass(slots=True, kw_only=True)
class Fleet:
    """Two accounts, rotated once, with the configuration stored for the functions."""

    two: Two
    alarms: list[tuple[str, str]]

    def held(self) -> tuple[str, str]:
        """Return the key that each account's place holds."""
        box = self.two.box
        return box.held()["AWS_ACCESS_KEY_ID"], box.bitbucket.values("acme", "web", None)["AWS_ACCESS_KEY_ID"]


@pytest.fixture
def fleet(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    """Start it."""
    with two_accounts(tmp_path, capsys) as two:
        token = os.environ["BITBUCKET_TOKEN"]
        two.box.admin("secretsmanager").create_secret(Name="keyrota-tokens/bitbucket", SecretString=token)
        text = two.box.file.read_text("utf-8").replace("env:BITBUCKET_TOKEN", "secretsmanager:keyrota-tokens/bitbucket")
        text = text.replace("role: keyrota", "role: keyrota-{duty}")
        for duty in ("rotate", "sync", "watch", "emergency", "rotation"):
            two.other.add_role(f"keyrota-{duty}", trusts=f"arn:aws:iam::{OWN}:root")
        two.box.admin("ssm").put_parameter(Name="/keyrota/config", Value=text, Type="String")
        topic = two.box.admin("sns").create_topic(Name="alarms")["TopicArn"]
        for name, value in {"CONFIG": "ssm:/keyrota/config", "STACK": "s", "ALARM_TOPIC": topic}.items():
            monkeypatch.setenv(f"KEYROTA_{name}", value)
        alarms: list[tuple[str, str]] = []
        monkeypatch.setattr("keyrota.aws.notices.publish", lambda _, __, subject, text: alarms.append((subject, text)))
        two.rotate()
        yield Fleet(two=two, alarms=alarms)


def _quarantine(fleet: Fleet, account: str, **more: Any) -> dict[str, Any]:
    at = f"{fleet.two.box.cloud.clock.now():%Y-%m-%dT%H:%M:%SZ}"
    detail = {
        "eventName": "AttachUserPolicy",
        "eventTime": at,
        "userIdentity": {"arn": "arn:aws:iam::aws:root"},
        "recipientAccountId": account,
        "requestParameters": {"userName": USER, "policyArn": QUARANTINE},
    }
    return {"id": "e", "source": "aws.iam", "account": account, "region": "us-east-1", "detail": detail, **more}


@pytest.mark.parametrize("place", [0, 1])
def test_a_quarantine_concerns_only_the_account_of_its_event(
    fleet: Fleet, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both accounts' keys were replaced."""
    monkeypatch.setenv("KEYROTA_EMERGENCY", "auto")
    account, before = (OWN, OTHER)[place], fleet.held()
    answer = emergency.handler(_quarantine(fleet, account), Context())
    assert answer["safe"] == [f"{account}:{USER}"]
    after = fleet.held()
    assert after[place] != before[place]
    assert after[1 - place] == before[1 - place]
    assert f"{account}:{USER}" in fleet.alarms[0][0]
    assert f"keyrota revoke {account}:{USER} --release" in fleet.alarms[0][1]


def test_a_quarantine_in_an_account_that_is_not_configured_concerns_nobody(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYROTA_EMERGENCY", "auto")
    before = fleet.held()
    assert emergency.handler(_quarantine(fleet, "333333333333"), Context()) == {"safe": [], "open": []}
    assert fleet.held() == before


def test_the_alarm_of_watch_names_the_account(fleet: Fleet) -> None:
    watch.handler(_quarantine(fleet, OTHER), Context())
    ((subject, text),) = fleet.alarms
    assert f"{OTHER}:{USER}" in subject
    assert f"keyrota revoke {OTHER}:{USER} --sessions" in text


def test_an_event_without_an_account_is_of_the_function_s_own(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYROTA_EMERGENCY", "auto")
    event = _quarantine(fleet, "")
    assert emergency.handler(event, Context())["safe"] == [f"{OWN}:{USER}"]


def _value(account: str, *, with_arn: bool) -> dict[str, Any]:
    arn = f"arn:aws:secretsmanager:{REGION}:{account}:secret:{SECRET}-a1b2c3"
    event = {
        "id": "v",
        "detail-type": "Secret Label Updated",
        "source": "aws.secretsmanager",
        "account": account,
        "region": REGION,
        "time": "2026-01-01T06:00:00Z",
        "resources": [arn] if with_arn else [],
        "detail": {"name": SECRET, "labelUpdated": "AWSCURRENT"},
    }
    return {"Records": [{"messageId": "m", "body": json.dumps(event)}]}


@pytest.mark.parametrize("with_arn", [True, False])
@pytest.mark.parametrize("place", [0, 1])
def test_a_new_value_concerns_only_the_account_of_its_event(fleet: Fleet, place: int, *, with_arn: bool) -> None:
    """An event that names no ARN counted for every account with a secret of that name."""
    aws, account = fleet.two.box.cloud.aws, (OWN, OTHER)[place]
    since = fleet.two.now
    assert sync.handler(_value(account, with_arn=with_arn), Context())["credentials"] == 1
    looked = (call for call in aws.journal[since:] if call.operation == "secretsmanager:DescribeSecret")
    assert {aws._account_of(call.key) for call in looked} == {account}


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize("account", [OWN, OTHER])
def test_a_step_of_a_rotation_is_of_the_secret_s_own_account(account: str) -> None:
    """The first user whose secret had that name was taken, in whatever account."""
    arn = f"arn:aws:secretsmanager:{REGION}:{account}:secret:{SECRET}-a1b2c3"
    event = {"Step": "setSecret", "SecretId": arn, "ClientRequestToken": "0" * 32}
    answer = rotation.handler(event, Context())
    assert (answer["account"], answer["user"]) == (account, USER)


@pytest.mark.usefixtures("fleet")
def test_users_of_a_call_by_hand_may_name_their_account() -> None:
    event = {"users": [f"{OTHER}:{USER}"], "report": True}
    assert rotate.handler(event, Context())["credentials"] == 1
    assert rotate.handler({"users": [USER], "account": OTHER}, Context())["credentials"] == 1
    assert rotate.handler({"account": OTHER}, Context())["credentials"] == 1
    with pytest.raises(RunFailed, match="is configured for 2 accounts"):
        rotate.handler({"users": [USER]}, Context())


def test_what_is_overdue_is_measured_for_each_credential(fleet: Fleet) -> None:
    """The two users' ages and policies were mixed."""
    fleet.two.box.travel(days=100)
    fleet.two.box.capsys.readouterr()
    sync.handler({}, Context())
    told = [json.loads(line) for line in fleet.two.box.capsys.readouterr().out.splitlines() if line.startswith("{")]
    overdue = {(line.get("Account"), line.get("User")) for line in told if "DaysOverdue" in line}
    assert overdue == {(None, None), (OWN, USER), (OTHER, USER)}
