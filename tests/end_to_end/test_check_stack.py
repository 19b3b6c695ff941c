"""`keyrota check --stack`: a stack that does nothing any more is found, whatever made it silent."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from aws_by_model import ACCOUNT, Answer, ModelAccount, refusal

from keyrota.app.deploy.deployed import Deployed, resources_of
from keyrota.app.deploy.inspect import _reference
from keyrota.app.deploy.liveness import alive
from keyrota.aws.account import Account
from keyrota_sandbox.cloud import REGION

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
CODE = hashlib.sha256(b"the package")
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:keyrota-Alarms"
DUTIES = ("Rotate", "Sync", "Deactivate", "Delete")
ALARM = "keyrota-Overdue"


def arn(service: str, rest: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{rest}"


RESOURCES = [
    *((f"Rotation{duty}Function0A1B2C3D", "AWS::Lambda::Function", f"keyrota-{duty}") for duty in DUTIES),
    *((f"RotationSchedules{duty}", "AWS::Scheduler::Schedule", f"keyrota-Schedules{duty}") for duty in DUTIES),
    ("RotationSchedulesRole", "AWS::IAM::Role", "keyrota-SchedulesRole"),
    ("RotationEventsNewValue", "AWS::Events::Rule", "keyrota-NewValue"),
    ("RotationEventsQueue", "AWS::SQS::Queue", f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/keyrota-Queue"),
    ("RotationDeadLetters", "AWS::SQS::Queue", f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/keyrota-Dead"),
    ("RotationMapping", "AWS::Lambda::EventSourceMapping", "0f8c7e1a-0000-4000-8000-000000000001"),
    ("RotationAlarmsOverdue", "AWS::CloudWatch::Alarm", ALARM),
]


def summaries(params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Two pages."""
    rest = RESOURCES[10:] if params.get("NextToken") else RESOURCES[:10]
    more = {} if params.get("NextToken") else {"NextToken": "2"}
    return {
        "StackResourceSummaries": [
            {
                "LogicalResourceId": logical,
                "ResourceType": kind,
                "PhysicalResourceId": physical,
                "LastUpdatedTimestamp": NOW,
                "ResourceStatus": "CREATE_COMPLETE",
            }
            for logical, kind, physical in rest
        ],
        **more,
    }


def schedule(params: Mapping[str, Any], **more: Any) -> Mapping[str, Any]:
    duty = params["Name"].removeprefix("keyrota-Schedules")
    target = {
        "Arn": arn("lambda", f"function:keyrota-{duty}"),
        "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/keyrota-SchedulesRole",
    }
    return {"Name": params["Name"], "State": "ENABLED", "Target": target, **more}


def attributes(params: Mapping[str, Any], dead: int = 0, waiting: int = 0) -> Mapping[str, Any]:
    if params["QueueUrl"].endswith("Dead"):
        return {"Attributes": {"ApproximateNumberOfMessages": str(dead)}}
    return {"Attributes": {"ApproximateNumberOfMessages": str(waiting), "RedrivePolicy": "{}"}}


def ran(hours_ago: float) -> Answer:
    points = [{"Timestamp": NOW - timedelta(hours=hours_ago), "SampleCount": 1.0, "Unit": "Count"}]
    return lambda _: {"Label": "x", "Datapoints": points}


def alarm(**more: Any) -> Answer:
    found = {"AlarmName": ALARM, "AlarmActions": [TOPIC], "ActionsEnabled": True, "StateValue": "OK", **more}
    return lambda _: {"MetricAlarms": [found]}


def functions(**more: Any) -> Answer:
    found = {"CodeSha256": base64.b64encode(CODE.digest()).decode(), **more}
    return lambda _: found


HEALTHY: dict[str, Answer] = {
    "cloudformation:ListStackResources": summaries,
    "cloudformation:DescribeStacks": lambda _: {
        "Stacks": [
            {
                "StackName": "keyrota",
                "CreationTime": NOW,
                "StackStatus": "CREATE_COMPLETE",
                "Parameters": [{"ParameterKey": "CodeKey", "ParameterValue": f"keyrota/{CODE.hexdigest()[:32]}.zip"}],
            }
        ]
    },
    "scheduler:GetSchedule": schedule,
    "events:DescribeRule": lambda params: {"Name": params["Name"], "State": "ENABLED"},
    "events:ListTargetsByRule": lambda _: {"Targets": [{"Id": "1", "Arn": arn("sqs", "keyrota-Queue")}]},
    "sqs:GetQueueAttributes": attributes,
    "lambda:GetEventSourceMapping": lambda params: {"UUID": params["UUID"], "State": "Enabled"},
    "lambda:GetFunctionConfiguration": functions(),
    "cloudwatch:GetMetricStatistics": ran(5),
    "cloudwatch:DescribeAlarms": alarm(),
    "sns:ListSubscriptionsByTopic": lambda _: {"Subscriptions": [{"SubscriptionArn": f"{TOPIC}:1"}]},
}


def looked(more: Mapping[str, Answer], made_days_ago: float = 30) -> list[tuple[bool | None, str, str]]:
    account = cast("Account", ModelAccount({**HEALTHY, **more}))
    stack = Deployed(
        account=account,
        name="keyrota",
        now=NOW,
        made=NOW - timedelta(days=made_days_ago),
        resources=resources_of(account, "keyrota"),
    )
    return [(seen.is_good, seen.detail, seen.remedy) for seen in alive(stack)]


def test_a_stack_that_runs_is_good() -> None:
    found = looked({})
    assert [is_good for is_good, _, _ in found] == [True] * len(found), found
    said = " ".join(detail for _, detail, _ in found)
    for word in ("4 enabled", "1 enabled", "dead-letter queue: 0", "rotate 2026-05-01 07:00", "1 alarms"):
        assert word in said


BAD: dict[str, tuple[Mapping[str, Answer], str]] = {
    "a schedule is disabled": (
        {"scheduler:GetSchedule": lambda params: schedule(params, State="DISABLED")},
        "RotationSchedulesRotate is DISABLED",
    ),
    "a schedule is deleted": ({"scheduler:GetSchedule": refusal("ResourceNotFoundException")}, "is deleted"),
    "a schedule starts something else": (
        {
            "scheduler:GetSchedule": lambda params: schedule(
                params,
                Target={"Arn": arn("lambda", "function:other"), "RoleArn": "arn:aws:iam::1:role/keyrota-SchedulesRole"},
            )
        },
        "function:other, which is not in the stack",
    ),
    "a schedule uses another role": (
        {
            "scheduler:GetSchedule": lambda params: schedule(
                params,
                Target={
                    "Arn": arn("lambda", "function:keyrota-Rotate"),
                    "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/gone",
                },
            )
        },
        "role/gone, which is not in the stack",
    ),
    "a rule is disabled": (
        {"events:DescribeRule": lambda _: {"Name": "keyrota-NewValue", "State": "DISABLED"}},
        "RotationEventsNewValue is DISABLED",
    ),
    "a rule is deleted": (
        {"events:DescribeRule": refusal("ResourceNotFoundException")},
        "RotationEventsNewValue is deleted",
    ),
    "a rule has no target": ({"events:ListTargetsByRule": lambda _: {}}, "has no target"),
    "a rule has another target": (
        {"events:ListTargetsByRule": lambda _: {"Targets": [{"Id": "1", "Arn": arn("sqs", "other")}]}},
        "other, which is not in the stack",
    ),
    "messages lie in the dead-letter queue": (
        {"sqs:GetQueueAttributes": lambda params: attributes(params, dead=7)},
        "messages in the dead-letter queue: 7",
    ),
    "the queue is not read": (
        {"lambda:GetEventSourceMapping": lambda params: {"UUID": params["UUID"], "State": "Disabled"}},
        "the queue's events reach sync: Disabled",
    ),
    "a function runs other code": (
        {"lambda:GetFunctionConfiguration": functions(CodeSha256=base64.b64encode(b"x" * 32).decode())},
        "run other code than was deployed",
    ),
    "functions run different code": (
        {"lambda:GetFunctionConfiguration": lambda params: functions(CodeSha256=params["FunctionName"])(params)},
        "run other code than was deployed",
    ),
    "nothing ran": (
        {"cloudwatch:GetMetricStatistics": lambda _: {"Label": "x", "Datapoints": []}},
        "delete has not run for 36 hours",
    ),
    "nothing ran lately": ({"cloudwatch:GetMetricStatistics": ran(37)}, "rotate has not run for 36 hours"),
    "an alarm has no action": ({"cloudwatch:DescribeAlarms": alarm(AlarmActions=[])}, "alarms without an action"),
    "an alarm's actions are off": (
        {"cloudwatch:DescribeAlarms": alarm(ActionsEnabled=False)},
        "alarms without an action",
    ),
    "an alarm is deleted": ({"cloudwatch:DescribeAlarms": lambda _: {"MetricAlarms": []}}, "alarms that are deleted"),
    "an alarm rings": ({"cloudwatch:DescribeAlarms": alarm(StateValue="ALARM")}, "alarms that ring now"),
    "no one listens": ({"sns:ListSubscriptionsByTopic": lambda _: {"Subscriptions": []}}, "no one listens"),
    "no one confirmed": (
        {"sns:ListSubscriptionsByTopic": lambda _: {"Subscriptions": [{"SubscriptionArn": "PendingConfirmation"}]}},
        "no one has confirmed",
    ),
}


@pytest.mark.parametrize(("more", "why"), BAD.values(), ids=BAD)
def test_what_is_wrong_is_said_with_its_remedy(more: Mapping[str, Answer], why: str) -> None:
    bad = [(detail, remedy) for is_good, detail, remedy in looked(more) if is_good is False]
    assert any(why in detail for detail, _ in bad), bad
    assert all(remedy for _, remedy in bad)


@pytest.mark.parametrize("operation", [name for name in HEALTHY if not name.startswith("cloudformation:List")])
def test_what_may_not_be_asked_is_unknown_and_not_good(operation: str) -> None:
    found = looked({operation: refusal("AccessDeniedException")})
    unknown = [detail for is_good, detail, _ in found if is_good is None]
    assert len(unknown) == 1, found
    assert "cannot be told" in unknown[0]


def test_a_young_stack_has_not_run_yet() -> None:
    silent: Answer = lambda _: {"Label": "x", "Datapoints": []}  # noqa: E731  # as the others of the table
    (found,) = [
        one for one in looked({"cloudwatch:GetMetricStatistics": silent}, made_days_ago=1) if "last runs" in one[1]
    ]
    assert found[0] is None
    assert "younger" in found[1]


def test_the_daily_run_of_sync_counts_and_an_event_does_not() -> None:
    """Events invoke sync, too: only its daily run measures all credentials."""

    def answer(params: Mapping[str, Any]) -> Mapping[str, Any]:
        if params["Namespace"] == "keyrota":
            dimensions = {one["Name"]: one["Value"] for one in params["Dimensions"]}
            assert dimensions == {"Stack": f"keyrota@{REGION}/{ACCOUNT}", "Function": "sync"}
            return {"Label": "x", "Datapoints": []}
        return ran(1)(params)

    (runs,) = [detail for is_good, detail, _ in looked({"cloudwatch:GetMetricStatistics": answer}) if is_good is False]
    assert "sync has not run" in runs
    assert "rotate has not run" not in runs


def test_a_configuration_in_s3_is_found_where_the_functions_read_it() -> None:
    """A stack with a large one has no parameter that names it."""
    answers = {
        **HEALTHY,
        "lambda:GetFunctionConfiguration": functions(Environment={"Variables": {"KEYROTA_CONFIG": "s3://b/k"}}),
    }
    account = cast("Account", ModelAccount(answers))
    stack = Deployed(account=account, name="keyrota", now=NOW, made=None, resources=resources_of(account, "keyrota"))
    assert _reference(stack, {}) == "s3://b/k"
    assert _reference(stack, {"ConfigParameter": "/keyrota/config"}) == "ssm:/keyrota/config"
