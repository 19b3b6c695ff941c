"""Who hears of it when a deployed stack does not do its work: alarms, their actions, their topic."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keyrota.app.deploy.deployed import Deployed, Seen
from keyrota.aws._translate import aws_call

_NAMES_AT_ONCE = 100
"""DescribeAlarms takes at most 100 names (CloudWatch API Reference)."""


def alarms(stack: Deployed) -> Iterator[Seen]:
    """Name the alarms that ring, that are deleted, and that no one would hear."""
    names = [one.physical for one in stack.of("AWS::CloudWatch::Alarm")]
    found: list[dict[str, Any]] = []
    for at in range(0, len(names), _NAMES_AT_ONCE):
        with aws_call("cloudwatch:DescribeAlarms", f"stack {stack.name}"):
            pages = stack.account.client("cloudwatch").get_paginator("describe_alarms")
            for page in pages.paginate(AlarmNames=names[at : at + _NAMES_AT_ONCE], AlarmTypes=["MetricAlarm"]):
                found += page["MetricAlarms"]
    ringing = [
        f"{one['AlarmName']} ({one.get('AlarmDescription', '')})" for one in found if one.get("StateValue") == "ALARM"
    ]
    mute = [str(one["AlarmName"]) for one in found if not one.get("AlarmActions") or one.get("ActionsEnabled") is False]
    missing = sorted(set(names) - {str(one["AlarmName"]) for one in found})
    if ringing:
        yield stack.report(
            f"alarms that ring now: {'; '.join(ringing)}",
            "docs/reference/alarms.md says what each means",
            is_good=False,
        )
    if missing:
        yield stack.report(
            f"alarms that are deleted: {', '.join(missing)}", f"keyrota deploy --stack {stack.name}", is_good=False
        )
    if mute or not names:
        what = f"alarms without an action: {', '.join(mute)}" if mute else "there is no alarm"
        yield stack.report(f"{what}; no one hears of them", f"keyrota deploy --stack {stack.name}", is_good=False)
    else:
        yield from _listeners(stack, {arn for one in found for arn in one.get("AlarmActions", ())}, len(found))


def _listeners(stack: Deployed, topics: set[str], count: int) -> Iterator[Seen]:
    heard = False
    for topic in sorted(arn for arn in topics if ":sns:" in arn):
        with aws_call("sns:ListSubscriptionsByTopic", topic):
            pages = stack.account.client("sns").get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
            arns = [str(one["SubscriptionArn"]) for page in pages for one in page["Subscriptions"]]
        heard = heard or any(arn.startswith("arn:") for arn in arns)
        if arns and not any(arn.startswith("arn:") for arn in arns):
            yield stack.report(
                f"no one has confirmed the subscription of {topic}",
                "confirm it from the mail that AWS sent",
                is_good=False,
            )
            return
    is_elsewhere = any(":sns:" not in arn for arn in topics)
    yield stack.report(
        f"{count} alarms, each with an action" + ("" if heard or is_elsewhere else "; no one listens to their topic"),
        f"keyrota deploy --stack {stack.name} --email ops@example.com",
        is_good=heard or is_elsewhere,
    )
