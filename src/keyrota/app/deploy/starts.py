"""What starts a deployed stack's functions: schedules, event rules, the queue."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

from keyrota.app.deploy.deployed import Deployed, Seen, or_nothing
from keyrota.aws._translate import aws_call


def schedules(stack: Deployed) -> Iterator[Seen]:
    """Look whether each schedule is enabled, and starts a function of the stack by a role of the stack."""
    client, faults = stack.account.client("scheduler"), []
    found = stack.of("AWS::Scheduler::Schedule")
    for one in found:
        ask = functools.partial(client.get_schedule, Name=one.physical)
        schedule = or_nothing("scheduler:GetSchedule", f"schedule {one.physical}", ask)
        faults += [f"{one.logical} {fault}" for fault in _schedule_faults(stack, schedule)]
    if not found:
        faults.append("there is none")
    yield stack.report(
        f"schedules: {'; '.join(faults) or f'{len(found)} enabled, each with its function and role'}",
        f"keyrota deploy --stack {stack.name} makes them as they should be",
        is_good=not faults,
    )


def _schedule_faults(stack: Deployed, schedule: Mapping[str, Any]) -> Iterator[str]:
    if not schedule:
        yield "is deleted"
        return
    if schedule.get("State", "ENABLED") != "ENABLED":
        yield f"is {schedule['State']}"
    target = schedule.get("Target") or {}
    if not _is_in(stack, str(target.get("Arn", ""))):
        yield f"starts {target.get('Arn')}, which is not in the stack"
    if not _is_in(stack, str(target.get("RoleArn", ""))):
        yield f"uses the role {target.get('RoleArn')}, which is not in the stack"


def rules(stack: Deployed) -> Iterator[Seen]:
    """Look whether each event rule is enabled, and has targets in the stack."""
    client, faults = stack.account.client("events"), []
    found = stack.of("AWS::Events::Rule")
    for one in found:
        bus, _, name = one.physical.rpartition("|")
        where = {"EventBusName": bus} if bus else {}
        ask = functools.partial(client.describe_rule, Name=name, **where)
        rule = or_nothing("events:DescribeRule", f"rule {one.physical}", ask)
        if not rule:
            faults.append(f"{one.logical} is deleted")
            continue
        if rule.get("State") == "DISABLED":
            faults.append(f"{one.logical} is DISABLED")
        with aws_call("events:ListTargetsByRule", f"rule {one.physical}"):
            arns = [
                str(target["Arn"]) for target in client.list_targets_by_rule(Rule=name, **where).get("Targets") or ()
            ]
        if not arns:
            faults.append(f"{one.logical} has no target")
        faults += [
            f"{one.logical} has the target {arn}, which is not in the stack" for arn in arns if not _is_in(stack, arn)
        ]
    yield stack.report(
        f"event rules: {'; '.join(faults) or f'{len(found)} enabled, each with its targets'}",
        f"keyrota deploy --stack {stack.name}; or enable them: aws events enable-rule --name …",
        is_good=not faults,
    )


def mappings(stack: Deployed) -> Iterator[Seen]:
    """Look whether Lambda takes the messages of the queue."""
    client = stack.account.client("lambda")
    for one in stack.of("AWS::Lambda::EventSourceMapping"):
        with aws_call("lambda:GetEventSourceMapping", one.logical):
            state = str(client.get_event_source_mapping(UUID=one.physical).get("State", ""))
        is_well = state in {"Enabled", "Enabling", "Creating", "Updating"}
        yield stack.report(
            f"the queue's events reach sync: {state}",
            f"aws lambda update-event-source-mapping --uuid {one.physical} --enabled",
            is_good=is_well,
        )


def _is_in(stack: Deployed, arn: str) -> bool:
    """Return whether an ARN is of a resource of the stack: it ends in the resource's name, or is its physical ID."""
    name = arn.rpartition(":")[2].rpartition("/")[2]
    return bool(name) and any(
        arn == one.physical or name == one.physical.rpartition("/")[2].rpartition(":")[2] for one in stack.resources
    )
