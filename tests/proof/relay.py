"""
What carries events from AWS's calls to the functions: the shapes of events, patterns, rules, and a queue.

Shapes: docs/facts/aws.md, Events. Delivery is what AWS promises and no better: each event twice, late, in any order.
"""

from __future__ import annotations

import json
import random
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cfn import ACCOUNT, REGION

Deliver = Callable[[Any], bool]
"""Hands an event to a target; False if the target failed."""


# --- the shapes -------------------------------------------------------------------------------------------------------


def native(at: datetime, arn: str, name: str, label: str, version: str) -> dict[str, Any]:
    """Make Secrets Manager's own event, which is sent for every label but AWSPENDING and AWSPREVIOUS."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Secret Label Updated",
        "source": "aws.secretsmanager",
        "account": ACCOUNT,
        "time": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "region": REGION,
        "resources": [arn],
        "detail": {"name": name, "labelUpdated": label, "versionId": version},
    }


def cloudtrail(
    at: datetime, *, service: str, call: str, asked: Mapping[str, Any], answered: Mapping[str, Any] | None, by: str
) -> dict[str, Any]:
    """Make an event by CloudTrail; values of secrets are kept out of it, as there."""
    hidden = {"SecretString", "SecretBinary", "RotationToken"}
    region = "us-east-1" if service == "iam" else REGION
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "AWS API Call via CloudTrail",
        "source": f"aws.{service}",
        "account": ACCOUNT,
        "time": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "region": region,
        "resources": [],
        "detail": {
            "eventVersion": "1.09",
            "eventTime": f"{at:%Y-%m-%dT%H:%M:%SZ}",
            "eventSource": f"{service}.amazonaws.com",
            "eventName": call,
            "awsRegion": region,
            "userIdentity": {"type": "AssumedRole", "arn": by},
            "requestParameters": {
                name[0].lower() + name[1:]: value for name, value in asked.items() if name not in hidden
            },
            "responseElements": dict(answered) if answered else None,
            "eventType": "AwsApiCall",
            "recipientAccountId": ACCOUNT,
        },
    }


def rotated(at: datetime, where: Mapping[str, Any]) -> dict[str, Any]:
    """Make the event of Secrets Manager's own rotation, which names its secret in one of two places."""
    made = cloudtrail(at, service="secretsmanager", call="RotationSucceeded", asked={}, answered=None, by="")
    made["detail-type"] = "AWS Service Event via CloudTrail"
    made["detail"] |= {"eventType": "AwsServiceEvent", "requestParameters": None, **where}
    return made


# --- patterns ---------------------------------------------------------------------------------------------------------


def matches(pattern: Mapping[str, Any], event: Any) -> bool:
    """Return whether an event fits a pattern (EventBridge user guide, event patterns)."""
    if not isinstance(event, Mapping):
        return False
    for name, wanted in pattern.items():
        if name == "$or":
            if not any(matches(one, event) for one in wanted):
                return False
        elif isinstance(wanted, Mapping):
            if not matches(wanted, event.get(name)):
                return False
        elif not _any(wanted, event, name):
            return False
    return True


def _any(wanted: list[Any], event: Mapping[str, Any], name: str) -> bool:
    found = event.get(name)
    values = found if isinstance(found, list) else [found]
    return any(_one(rule, value, is_there=name in event) for rule in wanted for value in values)


def _one(rule: Any, value: Any, *, is_there: bool) -> bool:
    if not isinstance(rule, Mapping):
        return bool(rule == value)
    ((kind, argument),) = rule.items()
    match kind:
        case "exists":
            return is_there is argument
        case "prefix":
            return isinstance(value, str) and value.startswith(argument)
        case "suffix":
            return isinstance(value, str) and value.endswith(argument)
        case "wildcard":
            return isinstance(value, str) and _wild(argument).fullmatch(value) is not None
        case "anything-but":
            return is_there and value not in (argument if isinstance(argument, list) else [argument])
    raise NotImplementedError(kind)


def _wild(text: str) -> re.Pattern[str]:
    r"""Only `*` stands for anything, and `\` takes its meaning away."""
    parts = re.findall(r"\\.|\*|[^\\*]+", text)
    return re.compile("".join(".*" if part == "*" else re.escape(part.removeprefix("\\")) for part in parts), re.DOTALL)


# --- delivery ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class Queue:
    """SQS as an event source: at least once, batches with partial failures, dead letters."""

    deliver: Callable[[dict[str, Any]], Any]
    """Invokes the function with a batch; returns its answer, or None if it failed as a whole."""
    most: int
    """maxReceiveCount."""
    messages: list[tuple[str, str, int]] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)

    def send(self, event: Any) -> bool:
        """Take a message."""
        self.messages.append((str(uuid.uuid4()), json.dumps(event), 0))
        return True

    def drain(self, *, batch: int = 10) -> None:
        """Deliver each message once; those that failed wait for the next time."""
        waiting, self.messages = self.messages, []
        for at in range(0, len(waiting), batch):
            piece = waiting[at : at + batch]
            answer = self.deliver({"Records": [{"messageId": name, "body": body} for name, body, _ in piece]})
            failed = (
                {name for name, _, _ in piece}
                if answer is None
                else {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
            )
            for name, body, count in piece:
                if name in failed and count + 1 >= self.most:
                    self.dead.append(body)
                elif name in failed:
                    self.messages.append((name, body, count + 1))


@dataclass(slots=True, kw_only=True)
class Relay:
    """Rules with their targets; what is on its way to them."""

    seed: int = 0
    rules: list[tuple[Mapping[str, Any], Deliver]] = field(default_factory=list)
    on_the_way: list[tuple[Deliver, Any]] = field(default_factory=list)
    chance: random.Random = field(init=False)
    matched: int = 0

    def __post_init__(self) -> None:
        """Seed the chance."""
        self.chance = random.Random(self.seed)  # noqa: S311  # a seed makes a history, no secret

    def put(self, event: Mapping[str, Any]) -> None:
        """Match an event with the rules; each match is under way twice."""
        for pattern, deliver in self.rules:
            if matches(pattern, event):
                self.matched += 1
                self.on_the_way += [(deliver, event), (deliver, event)]

    def drain(self, *, all_of_it: bool = False) -> None:
        """Deliver about half of what is under way, in any order; the rest is late."""
        self.chance.shuffle(self.on_the_way)
        count = len(self.on_the_way) if all_of_it else (len(self.on_the_way) + 1) // 2
        now, self.on_the_way = self.on_the_way[:count], self.on_the_way[count:]
        for deliver, event in now:
            deliver(event)
