"""What a function is told by its environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from keyrota.errors import UsageError


class Trigger(StrEnum):
    """Which events announce a new secret value."""

    NATIVE = "native"
    CLOUDTRAIL = "cloudtrail"
    BOTH = "both"


class Emergency(StrEnum):
    """What happens when AWS quarantines a managed user."""

    AUTO = "auto"
    ALARM = "alarm"


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSettings:
    """The environment variables of a function, read once an invocation."""

    config: str
    """`ssm:NAME` or `s3://BUCKET/KEY`."""
    stack: str
    """The stack's name, region and account: who keeps a credential."""
    bus: str
    """The event bus for our own events; empty: none are sent."""
    topic: str
    """The ARN of the SNS topic for alarms; empty: there is none."""
    trigger: Trigger
    emergency: Emergency
    config_sha256: str = ""
    """The fingerprint of the configuration that was deployed; empty: any is taken."""
    roles: tuple[str, ...]
    """Names of our own roles, so that `watch` tells others from us."""


def settings(environment: Mapping[str, str] = os.environ) -> FunctionSettings:
    """
    Read the environment.

    Raises:
        UsageError: KEYROTA_CONFIG is not set, or a word is not one of those that are known.
    """
    config = environment.get("KEYROTA_CONFIG", "")
    if not config:
        raise UsageError("KEYROTA_CONFIG is not set", remedy="set it to ssm:NAME or s3://BUCKET/KEY")
    return FunctionSettings(
        config=config,
        stack=environment.get("KEYROTA_STACK", ""),
        bus=environment.get("KEYROTA_EVENT_BUS", ""),
        topic=environment.get("KEYROTA_ALARM_TOPIC", ""),
        trigger=Trigger(_word(Trigger, environment, "KEYROTA_TRIGGER", Trigger.NATIVE)),
        emergency=Emergency(_word(Emergency, environment, "KEYROTA_EMERGENCY", Emergency.ALARM)),
        config_sha256=environment.get("KEYROTA_CONFIG_SHA256", ""),
        roles=tuple(name for name in environment.get("KEYROTA_ROLES", "").split(",") if name),
    )


def _word(kind: type[StrEnum], environment: Mapping[str, str], name: str, usual: StrEnum) -> StrEnum:
    text = environment.get(name, "") or usual.value
    try:
        return kind(text)
    except ValueError:
        known = ", ".join(word.value for word in kind)
        raise UsageError(f"{name} is {text!r}", remedy=f"set it to one of: {known}") from None
