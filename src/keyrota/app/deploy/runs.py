"""What a deployed stack's functions did: their code, their last runs, and the messages that wait or failed."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from keyrota.app.deploy.deployed import Deployed, Resource, Seen
from keyrota.aws._translate import aws_call
from keyrota.core.plan import Duty

SILENT_AFTER = timedelta(hours=36)
"""Each duty runs once a day, within a flexible window; the stack's heartbeat alarms ring after the same time."""


def queues(stack: Deployed) -> Iterator[Seen]:
    """Count the messages that wait, and those that failed for good."""
    client = stack.account.client("sqs")
    names = ["ApproximateNumberOfMessages", "RedrivePolicy"]
    for one in stack.of("AWS::SQS::Queue"):
        with aws_call("sqs:GetQueueAttributes", f"queue {one.logical}"):
            found = client.get_queue_attributes(QueueUrl=one.physical, AttributeNames=names)["Attributes"]
        count = int(found.get("ApproximateNumberOfMessages", 0))
        if "RedrivePolicy" in found:
            yield stack.report(
                f"messages that wait for sync: {count}", "look again in a minute", is_good=True if not count else None
            )
        else:
            yield stack.report(
                f"messages in the dead-letter queue: {count}",
                "docs/how-to/dead-letters.md says what each is, and how to send it again",
                is_good=not count,
            )


def functions(stack: Deployed) -> Iterator[Seen]:
    """Compare the functions' code with one another and with the package that the stack was deployed with."""
    client = stack.account.client("lambda")
    codes: dict[str, list[str]] = {}
    for one in stack.of("AWS::Lambda::Function"):
        with aws_call("lambda:GetFunctionConfiguration", f"function {one.physical}"):
            found: dict[str, Any] = client.get_function_configuration(FunctionName=one.physical)
        codes.setdefault(str(found.get("CodeSha256", "")), []).append(one.logical)
    wanted = _package_of(stack)
    strange = [
        name for code, names in codes.items() for name in names if wanted and not _hexadecimal(code).startswith(wanted)
    ]
    if len(codes) > 1 or strange:
        what = (
            f"{', '.join(sorted(strange))} run other code than was deployed" if strange else "they run different code"
        )
        yield stack.report(f"functions: {what}", f"keyrota deploy --stack {stack.name}", is_good=False)
    elif codes:
        yield stack.report(f"functions: {sum(map(len, codes.values()))} with the code that was deployed", is_good=True)


def _package_of(stack: Deployed) -> str:
    """Return how the SHA-256 of the deployed package begins, by its name in the bucket; empty if that does not say."""
    with aws_call("cloudformation:DescribeStacks", f"stack {stack.name}"):
        (found,) = stack.account.client("cloudformation").describe_stacks(StackName=stack.name)["Stacks"]
    given = {one["ParameterKey"]: one["ParameterValue"] for one in found.get("Parameters") or ()}
    name = given.get("CodeKey", "").rpartition("/")[2].removesuffix(".zip")
    return name if len(name) == 32 and not set(name) - set("0123456789abcdef") else ""  # noqa: PLR2004  # as deploy names it


def _hexadecimal(code: str) -> str:
    try:
        return base64.b64decode(code).hex()
    except (ValueError, binascii.Error):
        return ""


def last_runs(stack: Deployed) -> Iterator[Seen]:
    """Ask CloudWatch when each duty ran last; `sync` by what its daily run measures, since events start it too."""
    functions = {duty: _function_of(stack, duty) for duty in Duty}
    silent, ran = [], []
    for duty, function in functions.items():
        if function is None:
            continue
        last = _last_daily_sync(stack) if duty is Duty.SYNC else _last_invocation(stack, function.physical)
        if last is None or stack.now - last > SILENT_AFTER:
            silent.append(f"{duty.value} has not run for {SILENT_AFTER // timedelta(hours=1)} hours")
        else:
            ran.append(f"{duty.value} {last:%Y-%m-%d %H:%M}")
    is_young = stack.made is not None and stack.now - stack.made < SILENT_AFTER
    if silent:
        when = "; the stack is younger than that" if is_young else ""
        yield stack.report(
            f"last runs: {'; '.join([*silent, *ran])}{when}",
            "look at the schedules above, and at the functions' logs",
            is_good=None if is_young else False,
        )
    elif ran:
        yield stack.report(f"last runs (UTC): {', '.join(ran)}", is_good=True)


def _function_of(stack: Deployed, duty: Duty) -> Resource | None:
    begin = f"Rotation{duty.value.capitalize()}Function"
    return next((one for one in stack.of("AWS::Lambda::Function") if one.logical.startswith(begin)), None)


def _last_invocation(stack: Deployed, function: str) -> datetime | None:
    return _last_data(stack, "AWS/Lambda", "Invocations", {"FunctionName": function})


def _last_daily_sync(stack: Deployed) -> datetime | None:
    region = stack.account.region or ""
    kept_by = f"{stack.name}@{region}/{stack.account.caller().split(':')[4]}"
    return _last_data(stack, "keyrota", "Credentials", {"Stack": kept_by, "Function": "sync"})


def _last_data(stack: Deployed, namespace: str, metric: str, dimensions: Mapping[str, str]) -> datetime | None:
    with aws_call("cloudwatch:GetMetricStatistics", f"metric {metric}"):
        points = stack.account.client("cloudwatch").get_metric_statistics(
            Namespace=namespace,
            MetricName=metric,
            Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
            StartTime=stack.now - 2 * SILENT_AFTER,
            EndTime=stack.now,
            Period=3600,
            Statistics=["SampleCount"],
        )["Datapoints"]
    return max((point["Timestamp"] for point in points if point.get("SampleCount", 0) > 0), default=None)
