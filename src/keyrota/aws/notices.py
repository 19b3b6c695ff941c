"""Events on a bus, and messages to a topic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keyrota.aws._translate import aws_call
from keyrota.aws.account import Account

_LONGEST_SUBJECT = 100
"""SNS takes at most 100 ASCII characters (SNS API Reference, Publish)."""


def put_events(account: Account, entries: Sequence[dict[str, Any]]) -> int:
    """
    Send at most ten events.

    Returns:
        How many of them the bus did not take.
    """
    with aws_call("events:PutEvents", "event bus"):
        answer = account.client("events").put_events(Entries=list(entries))
    return int(answer.get("FailedEntryCount", 0))


def publish(account: Account, topic: str, subject: str, text: str) -> None:
    """Send a message to everybody who listens to a topic."""
    short = subject.encode("ascii", "replace").decode()[:_LONGEST_SUBJECT]
    with aws_call("sns:Publish", topic):
        account.client("sns", region=topic.split(":")[3] or None).publish(TopicArn=topic, Subject=short, Message=text)
