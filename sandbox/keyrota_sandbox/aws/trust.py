"""Who may assume a role: moto lets anybody assume any role, also one that is not there; AWS asks its trust policy."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from keyrota_sandbox.aws.secrets import Refused


def check(form: Mapping[str, str], role: Any, caller: str) -> None:
    """
    Judge a call of AssumeRole.

    Args:
        form: Of the call.
        role: Moto's record of the role; None: there is none.
        caller: The ARN of whoever asks.

    Raises:
        Refused: AccessDenied, which AWS also answers where there is no such role.
    """
    if role is not None and any(_trusts(one, form, caller) for one in _statements(role)):
        return
    message = f"User: {caller} is not authorized to perform: sts:AssumeRole on resource: {form.get('RoleArn', '')}"
    raise Refused("AccessDenied", message, status=403)


def _statements(role: Any) -> Iterator[Mapping[str, Any]]:
    found = json.loads(role.assume_role_policy_document).get("Statement", [])
    yield from [found] if isinstance(found, dict) else found


def _trusts(statement: Mapping[str, Any], form: Mapping[str, str], caller: str) -> bool:
    """Judge one statement: principals of AWS, and the external ID; other conditions are not evaluated here."""
    account = caller.split(":")[4]
    principal = statement.get("Principal", {})
    named = _as_list(principal.get("AWS", [])) if isinstance(principal, dict) else _as_list(principal)
    is_named = bool({"*", account, f"arn:aws:iam::{account}:root", caller} & set(named))
    wanted = statement.get("Condition", {}).get("StringEquals", {}).get("sts:ExternalId")
    is_known = wanted is None or form.get("ExternalId") in _as_list(wanted)
    is_about = bool({"sts:AssumeRole", "sts:*", "*"} & set(_as_list(statement.get("Action", []))))
    return statement.get("Effect") == "Allow" and is_named and is_known and is_about


def _as_list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
