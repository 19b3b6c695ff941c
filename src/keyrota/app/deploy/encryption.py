"""The KMS key that a stack is encrypted with: which one it is, and whether the services that have to use it may."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from keyrota.aws._translate import aws_call
from keyrota.aws.account import Account
from keyrota.errors import ProviderRefused

CREATE = "create"
"""In place of a key: the stack makes one."""


def key_arn(account: Account, name: str) -> str:
    """Find a key's ARN; it may be named by ID, alias or ARN."""
    with aws_call("kms:DescribeKey", f"KMS key {name}"):
        return str(account.client("kms").describe_key(KeyId=name)["KeyMetadata"]["Arn"])


def find_denied_services(account: Account, arn: str) -> tuple[str, ...] | None:
    """
    Name the services that a key's policy does not speak of and that have to use it; None if it cannot be read.

    Conditions are not looked at: whom the policy names may still be kept out by one.
    """
    try:
        with aws_call("kms:GetKeyPolicy", f"KMS key {arn}"):
            text = account.client("kms").get_key_policy(KeyId=arn, PolicyName="default")["Policy"]
        principals = set(_principals(json.loads(text)))
    except (ProviderRefused, ValueError, AttributeError, TypeError):
        return None
    services = ("cloudwatch.amazonaws.com", "events.amazonaws.com", f"logs.{account.region}.amazonaws.com")
    return () if "*" in principals else tuple(service for service in services if service not in principals)


def _principals(policy: dict[str, Any]) -> Iterator[str]:
    statements = policy.get("Statement") or []
    for statement in statements if isinstance(statements, list) else [statements]:
        if statement.get("Effect") == "Allow":
            who = statement.get("Principal")
            named = who.get("Service", []) if isinstance(who, dict) else who
            yield from [named] if isinstance(named, str) else (named or [])
