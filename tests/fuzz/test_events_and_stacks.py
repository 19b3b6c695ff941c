"""Whatever an event or CloudFormation, S3 and IAM say: it is read, passed over, or a clear error; nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from fuzz_rig import ANYTHING, CANARY, TEXTS, bent, examples, is_clean, tried
from hostile_aws import Reply, as_xml, aws_that_says
from hypothesis import given
from hypothesis import strategies as st

from keyrota.app.choice import Name
from keyrota.app.deploy.stack import line_of
from keyrota.app.functions import scheduled, sync
from keyrota.app.functions.aws_events import KeyEvent, SecretRef, ValueEvent, key_event, value_event
from keyrota.aws import stacks
from keyrota.aws.account import Account
from keyrota.aws.objects import read_object, write_object
from keyrota.aws.permissions import simulate
from keyrota.aws.stacks import Stacks
from keyrota.errors import KeyrotaError
from keyrota_sandbox.memory import WorldClock

NAME = "keyrota/ci-deploy/access-key"
ARN = f"arn:aws:secretsmanager:eu-central-1:123456789012:secret:{NAME}-AbCdEf"
ABOUT = {"id": "1", "account": "123456789012", "region": "eu-central-1", "time": "2026-06-01T00:00:00Z"}
WHO = {"type": "IAMUser", "userName": "eve", "arn": "arn:aws:iam::123456789012:user/eve"}
EVENTS: dict[str, Any] = {
    "native": {
        **ABOUT,
        "detail-type": "Secret Label Updated",
        "resources": [ARN],
        "detail": {"name": NAME, "labelUpdated": "AWSCURRENT", "versionId": "v"},
    },
    "call": {
        **ABOUT,
        "detail-type": "AWS API Call via CloudTrail",
        "detail": {
            "eventName": "PutSecretValue",
            "userIdentity": WHO,
            "requestParameters": {"secretId": NAME, "versionStages": ["AWSCURRENT"]},
            "responseElements": {"arn": ARN},
        },
    },
    "rotated": {**ABOUT, "detail": {"eventName": "RotationSucceeded", "additionalEventData": {"SecretId": ARN}}},
    "key": {
        **ABOUT,
        "detail": {
            "eventName": "AttachUserPolicy",
            "eventTime": "2026-06-01T00:00:00Z",
            "recipientAccountId": "123456789012",
            "userIdentity": WHO,
            "requestParameters": {"userName": "ci-deploy", "policyArn": "x/AWSCompromisedKeyQuarantineV3"},
        },
    },
}
HUGE = st.sampled_from(["x" * 300_000, ["x"] * 10_000, "arn:aws:secretsmanager:" + ":" * 50_000, "-" * 100_000])
BODIES = st.one_of(
    TEXTS,
    ANYTHING.map(json.dumps),
    st.sampled_from(["[" * 200_000, '{"a":' * 100_000, "9" * 5_000, '{"detail": NaN}', ""]),
    st.integers(0, 400).map(lambda end: json.dumps(EVENTS["call"])[:end]),
)


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
@examples(150)
@given(data=st.data())
def test_an_event_is_read_or_passed_over(event: Any, data: st.DataObject) -> None:
    """What is read has the types that it says."""
    odd = data.draw(bent(event, st.one_of(ANYTHING, HUGE)))
    if not isinstance(odd, dict):
        return  # the functions ask for that first
    value, key = value_event(odd), key_event(odd)
    if isinstance(value, ValueEvent):
        assert all(isinstance(secret.text, str) for secret in value.secrets)
        assert isinstance(value.secrets[0].means(NAME), bool)
        assert value.at is None or value.at.tzinfo
    if isinstance(key, KeyEvent):
        assert isinstance(key.is_quarantine, bool)
        assert all(isinstance(text, str) for text in (key.user, key.account, key.call, key.by, key.id, key.policy))


@examples(150)
@given(body=BODIES, message=st.one_of(st.none(), ANYTHING))
def test_a_message_that_is_no_event_is_dropped(body: str, message: Any) -> None:
    """It would come back for ever otherwise, and the messages beside it with it."""
    assert sync._event_of({"body": body, "messageId": "1"}) is None or isinstance(body, str)
    assert sync._event_of(message) is None


@pytest.mark.parametrize("body", ["[" * 200_000, '{"a":' * 100_000, "9" * 5_000, "{", "", "null", "[]"])
def test_a_message_without_end_is_dropped(body: str) -> None:
    """Thousands of brackets were a RecursionError, which no message may be."""
    assert sync._event_of({"body": body}) is None


@examples(150)
@given(event=st.one_of(ANYTHING, bent({"users": ["ci-deploy"], "account": "1", "report": True}, ANYTHING)))
def test_who_is_meant_by_an_event_is_a_list_of_names_or_an_error(event: Any) -> None:
    found = tried(lambda: scheduled.read_wanted(event))
    if not isinstance(found, KeyrotaError):
        wanted, is_read = found
        assert all(isinstance(name, Name) for name in wanted.names)
        assert isinstance(is_read, bool)
        assert wanted.account is None or wanted.account == "" or len(wanted.account) == 12


@examples(150)
@given(text=st.one_of(TEXTS, st.just(ARN), st.just(ARN + "\n"), TEXTS.map(lambda text: ARN[:-7] + text)))
def test_a_reference_means_itself(text: str) -> None:
    ref = SecretRef(text=text)
    assert ref.means(text)
    assert isinstance(ref.account, str)


# --- CloudFormation, S3, IAM ------------------------------------------------------------------------------------------

STACK = {
    "Stacks": [
        {
            "StackName": "keyrota",
            "StackId": "arn:aws:cloudformation:x",
            "StackStatus": "CREATE_COMPLETE",
            "CreationTime": "2026-06-01T00:00:00Z",
            "Outputs": [{"OutputKey": "a", "OutputValue": "b"}],
            "Parameters": [{"ParameterKey": "Trigger", "ParameterValue": "both"}],
        }
    ]
}
CHANGE = {"Id": "x", "StackId": "y", "Status": "CREATE_COMPLETE"}
HAPPENED = {
    "StackEvents": [
        {
            "StackId": "x",
            "EventId": "1",
            "StackName": "keyrota",
            "LogicalResourceId": "Queue",
            "ResourceType": "AWS::SQS::Queue",
            "ResourceStatus": "CREATE_COMPLETE",
            "Timestamp": "2026-06-01T00:00:00Z",
        }
    ]
}
ALLOWED = {"EvaluationResults": [{"EvalActionName": "iam:ListUsers", "EvalDecision": "allowed"}]}
ODD = st.one_of(ANYTHING, st.sampled_from(["yesterday", "1e400", "0001-01-01T00:00:00+14:00", "2026-02-30"]))
BROKEN = st.one_of(
    st.builds(
        lambda body, status: Reply(body=body, status=status), st.binary(max_size=30), st.sampled_from([200, 400])
    ),
    st.sampled_from([b"", b"{", b"<html>", b"<a><b></a>", b"<a/>", b"\xff\xfe"]).map(lambda body: Reply(body=body)),
    st.sampled_from([400, 403, 500, 503]).map(lambda status: Reply(body=b"", status=status, is_echo=True)),
)
Road = Callable[[Account], Any]
ROADS: dict[str, tuple[str, Any, Road]] = {
    "status": ("DescribeStacks", STACK, lambda account: Stacks(account, WorldClock()).status("keyrota")),
    "outputs": ("DescribeStacks", STACK, lambda account: Stacks(account, WorldClock()).outputs("keyrota")),
    "parameters": ("DescribeStacks", STACK, lambda account: Stacks(account, WorldClock()).parameters("keyrota")),
    "events": (
        "DescribeStackEvents",
        HAPPENED,
        lambda account: list(Stacks(account, WorldClock())._follow("x", WorldClock().now())),
    ),
    "change": (
        "DescribeChangeSet",
        CHANGE,
        lambda account: list(Stacks(account, WorldClock()).change("keyrota", "{}", {})),
    ),
    "delete": ("DescribeStacks", STACK, lambda account: list(Stacks(account, WorldClock()).delete("keyrota"))),
    "simulate": ("SimulatePrincipalPolicy", ALLOWED, lambda account: simulate(account, ["iam:ListUsers"])),
}
BEFORE = {
    "change": (as_xml("DescribeStacks", STACK), as_xml("CreateChangeSet", {"Id": "x"})),
    "delete": (as_xml("DescribeStacks", STACK), as_xml("DeleteStack", {})),
    "events": (as_xml("DescribeStacks", STACK),),
}
"""What is answered as it should be, so that the road leads to what is bent."""


@pytest.mark.parametrize("name", ROADS)
@examples(60)
@given(data=st.data())
def test_an_answer_is_read_or_a_clear_error(name: str, data: st.DataObject) -> None:
    operation, content, road = ROADS[name]
    bodies = st.one_of(bent(content, ODD).map(lambda found: as_xml(operation, found)), BROKEN)
    replies = [*BEFORE.get(name, ()), *data.draw(st.lists(bodies, min_size=1, max_size=3))]
    with pytest.MonkeyPatch.context() as patch, aws_that_says(*replies) as (account, _):
        patch.setattr(stacks, "_AT_MOST_S", 20.0)
        patch.setattr(Account, "caller", lambda _: "arn:aws:iam::123456789012:user/me")
        found = tried(lambda: road(account))
    if name in {"events", "change", "delete"} and not isinstance(found, KeyrotaError):
        assert all(is_clean(line_of(event)) for event in found)
    if name in {"outputs", "parameters"} and not isinstance(found, KeyrotaError):
        assert all(isinstance(text, str) for pair in found.items() for text in pair)
    if name == "simulate" and not isinstance(found, KeyrotaError):
        assert found["iam:ListUsers"] in (True, False, None)


def test_a_reason_that_moves_the_cursor_is_written_out() -> None:
    """What CloudFormation quotes comes from whoever made the resource."""
    event = stacks.StackEvent(
        at=WorldClock().now(), resource="Queue", kind="x", status="y", reason="\x1b[31mred\x1b[0m"
    )
    assert is_clean(line_of(event))
    assert "red" in line_of(event)


@examples(60)
@given(replies=st.lists(BROKEN, min_size=1, max_size=3))
def test_an_object_is_read_or_a_clear_error(replies: list[Reply]) -> None:
    with aws_that_says(*replies) as (account, _):
        found = tried(lambda: read_object(account, "bucket", "key", at_most=10))
        tried(lambda: write_object(account, "bucket", "key", CANARY.encode()))
    assert isinstance(found, (bytes, KeyrotaError))
