"""Events on a bus, and messages to a topic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keyrota.aws._translate import aws_call
from keyrota.aws.account import Account

_MAX_SUBJECT_LENGTH = 100
"""SNS takes at most 100 ASCII characters (SNS API Reference, Publish)."""


def put_events(account: Account, entries: Sequence[dict[str, Any]]) -> tuple[tuple[dict[str, Any], str], ...]:
    """
    Send at most ten events, once.

    Returns:
        Those that the bus did not take, each with its error code. An answer that counts refusals and does not say which
        entries it means is taken for a refusal of all: an event that comes twice is better than one that never comes.

    Source: EventBridge API Reference, PutEvents: the results are in the order of the entries.
    """
    with aws_call("events:PutEvents", "event bus"):
        answer = account.client("events").put_events(Entries=list(entries))
        codes = [str(result.get("ErrorCode") or "") for result in answer.get("Entries") or ()]
        failed = int(answer.get("FailedEntryCount") or 0)
    if failed != sum(map(bool, codes)) or len(codes) != len(entries):
        codes = ["not said"] * len(entries) if failed else [""] * len(entries)
    return tuple((entry, code) for entry, code in zip(entries, codes, strict=True) if code)


def publish(account: Account, topic: str, subject: str, text: str) -> None:
    """Send a message to everybody who listens to a topic."""
    short = subject.encode("ascii", "replace").decode()[:_MAX_SUBJECT_LENGTH]
    with aws_call("sns:Publish", topic):
        account.client("sns", region=topic.split(":")[3] or None).publish(TopicArn=topic, Subject=short, Message=text)
