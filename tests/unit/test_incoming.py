"""Events of AWS: which of them can mean a new value or somebody's change of a key, and whose."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from keyrota.app.functions.aws_events import KeyEvent, SecretRef, ValueEvent, key_event, value_event

ACCOUNT, REGION, NAME = "123456789012", "eu-central-1", "keyrota/ci-deploy"
ARN = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{NAME}-a1b2c3"
AT = datetime(2026, 1, 1, 6, tzinfo=UTC)
EVENT = {"id": "e1", "account": ACCOUNT, "region": REGION, "time": "2026-01-01T06:00:00Z"}
QUARANTINE = "arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3"


def labelled(**detail: Any) -> dict[str, Any]:
    told = {"name": NAME, "labelUpdated": "AWSCURRENT", **detail}
    return {**EVENT, "detail-type": "Secret Label Updated", "resources": [ARN], "detail": told}


def called(name: str, asked: Any = None, **detail: Any) -> dict[str, Any]:
    told = {"eventName": name, "requestParameters": asked, **detail}
    return {**EVENT, "detail-type": "AWS API Call via CloudTrail", "detail": told}


def named(event: Mapping[str, Any]) -> tuple[str, ...] | None:
    found = value_event(event)
    return None if found is None else tuple(secret.text for secret in found.secrets)


def test_all_that_an_event_says_of_a_value() -> None:
    assert value_event(labelled()) == ValueEvent(
        secrets=(SecretRef(text=ARN),), account=ACCOUNT, region=REGION, at=AT, id="e1"
    )
    assert value_event(called("PutSecretValue", {"secretId": NAME})) == ValueEvent(
        secrets=(SecretRef(text=NAME),), account=ACCOUNT, region=REGION, at=AT, id="e1"
    )
    bare = {"detail-type": "Secret Label Updated", "detail": {"name": NAME}}
    assert value_event(bare) == ValueEvent(secrets=(SecretRef(text=NAME),), account="", region="", at=None, id="")


@pytest.mark.parametrize(
    ("event", "secrets"),
    [
        (labelled(labelUpdated="AWSPREVIOUS"), None),
        (labelled(labelUpdated="keyrota:pending"), None),
        ({**labelled(), "resources": None}, (NAME,)),
        ({**labelled(), "resources": [7]}, (NAME,)),
        ({**labelled(name=None), "resources": []}, None),
        ({**labelled(), "detail": "x"}, (ARN,)),
        (called("PutSecretValue", {"secretId": NAME}, errorCode="AccessDenied"), None),
        (called("PutSecretValue", {"secretId": NAME, "versionStages": ["AWSCURRENT"]}), (NAME,)),
        (called("PutSecretValue", {"secretId": NAME, "versionStages": ["keyrota:claim"]}), None),
        (called("UpdateSecretVersionStage", {"secretId": NAME}), (NAME,)),
        (called("UpdateSecretVersionStage", {"secretId": NAME, "versionStage": "AWSCURRENT"}), (NAME,)),
        (called("UpdateSecretVersionStage", {"secretId": NAME, "versionStage": "keyrota:pending"}), None),
        (called("UpdateSecret", {"secretId": NAME, "versionStages": ["x"]}), (NAME,)),
        (called("CreateSecret", {"name": NAME}, responseElements={"arn": ARN}), (ARN,)),
        (called("CreateSecret", {"name": NAME}, responseElements={"aRN": ARN}), (ARN,)),
        (called("CreateSecret", {"name": NAME}, responseElements={"ARN": ARN}), (ARN,)),
        (called("UpdateSecret", {"secretId": NAME}, responseElements={"arn": ARN}), (ARN,)),
        (called("RotationSucceeded", additionalEventData={"SecretId": ARN}), (ARN,)),
        (called("RotationSucceeded", serviceEventDetails={"secretId": NAME}), (NAME,)),
        (called("RotationSucceeded"), None),
        (called("PutSecretValue", {"secretId": ["x"]}), None),
        (called("GetSecretValue", {"secretId": NAME}), None),
        (called("TagResource", {"secretId": NAME}), None),
        ({}, None),
    ],
)
def test_which_secrets_an_event_is_about(event: Mapping[str, Any], secrets: tuple[str, ...] | None) -> None:
    assert named(event) == secrets


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (ARN, True),
        (ARN.removesuffix("-a1b2c3"), True),
        (NAME, True),
        (ARN.replace("arn:aws:", "arn:aws-cn:"), True),
        (ARN.replace("arn:aws:", "arn:aws-us-gov:"), True),
        (f"{NAME}-a1b2c3", False),
        (ARN.replace("ci-deploy", "ci-deploy2"), False),
        (ARN.replace("-a1b2c3", "-a1b2c34"), False),
        (ARN.replace(ACCOUNT, "12345"), False),
        ("", False),
    ],
)
def test_which_secret_is_meant(text: str, meant: bool) -> None:
    assert SecretRef(text=text).means(NAME) is meant


@pytest.mark.parametrize(
    ("text", "account", "region"),
    [
        (ARN, ACCOUNT, REGION),
        (ARN.replace("arn:aws:", "arn:aws-cn:").replace(REGION, "cn-north-1"), ACCOUNT, "cn-north-1"),
        (NAME, "", ""),
        (f"x{ARN}", "", ""),
        (ARN.replace("secretsmanager", "ssm"), "", ""),
    ],
)
def test_what_an_arn_says(text: str, account: str, region: str) -> None:
    assert (SecretRef(text=text).account, SecretRef(text=text).region) == (account, region)


def test_all_that_an_event_says_of_a_key() -> None:
    by = f"arn:aws:iam::{ACCOUNT}:user/admin"
    event = called("UpdateAccessKey", {"userName": "ci"}, userIdentity={"arn": by}, eventTime="2026-01-01T05:59:00Z")
    assert key_event(event) == KeyEvent(
        user="ci", account=ACCOUNT, call="UpdateAccessKey", by=by, at=datetime(2026, 1, 1, 5, 59, tzinfo=UTC), id="e1"
    )


@pytest.mark.parametrize(
    ("event", "user", "account"),
    [
        (called("CreateAccessKey", {"userName": "ci"}), "ci", ACCOUNT),
        (called("DeleteAccessKey", {"userName": "ci"}, recipientAccountId="222222222222"), "ci", "222222222222"),
        (called("CreateAccessKey", userIdentity={"type": "IAMUser", "userName": "ci"}), "ci", ACCOUNT),
        (
            called("CreateAccessKey", {"userName": "ci"}, userIdentity={"type": "IAMUser", "userName": "x"}),
            "ci",
            ACCOUNT,
        ),
        (called("AttachUserPolicy", {"userName": "ci", "policyArn": QUARANTINE}), "ci", ACCOUNT),
    ],
)
def test_whose_key_an_event_is_about(event: Mapping[str, Any], user: str, account: str) -> None:
    found = key_event(event)
    assert found is not None
    assert (found.user, found.account, found.at) == (user, account, AT)


@pytest.mark.parametrize(
    "event",
    [
        called("CreateAccessKey", {"userName": "ci"}, errorCode="LimitExceeded"),
        called("CreateAccessKey"),
        called("CreateAccessKey", userIdentity={"type": "AssumedRole", "userName": "x"}),
        called("ListAccessKeys", {"userName": "ci"}),
        called("AttachUserPolicy", {"userName": "ci", "policyArn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}),
        called("AttachUserPolicy", {"userName": "ci", "policyArn": f"{QUARANTINE}-not"}),
        called("DetachUserPolicy", {"userName": "ci", "policyArn": QUARANTINE}),
        {"detail": "x"},
    ],
)
def test_what_is_about_nobodys_key(event: Mapping[str, Any]) -> None:
    assert key_event(event) is None


@pytest.mark.parametrize("policy", [QUARANTINE, QUARANTINE.replace("arn:aws:", "arn:aws-cn:")])
def test_a_quarantine_in_any_partition_is_one_where_it_was_attached(policy: str) -> None:
    found = [
        key_event(called(call, {"userName": "ci", "policyArn": policy}))
        for call in ("AttachUserPolicy", "CreateAccessKey")
    ]
    assert [one.is_quarantine for one in found if one is not None] == [True, False]


@pytest.mark.parametrize(
    ("time", "at"),
    [("2026-01-01T06:00:00", AT), ("2026-01-01T07:00:00+01:00", AT), ("yesterday", None), (None, None), (7, None)],
)
def test_an_events_time(time: Any, at: datetime | None) -> None:
    found = value_event({**labelled(), "time": time})
    assert found is not None
    assert found.at == at
