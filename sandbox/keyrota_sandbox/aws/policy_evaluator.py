"""
Policies, enforced: who may call what on what, for principals that were given statements.

moto's own access control looks at actions and not at resources; AWS looks at both. This is the part of IAM's logic
that identity policies of roles need: Allow and Deny, wildcards, resources. Of conditions, only `aws:TagKeys` is
evaluated, which limits the tags that a call may set; a statement with another one counts as it stands, which no policy
of ours depends on (they narrow uses of a KMS key; the sandbox has none).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from keyrota_sandbox.aws.signature import Signed
from keyrota_sandbox.server import Request

_FREE = {"sts:GetCallerIdentity"}
"""What needs no permission (Service Authorization Reference)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One call, as a policy sees it."""

    principal: str
    action: str
    resource: str


@dataclass(slots=True)
class Rights:
    """The statements of each principal, and every call that was judged by them."""

    statements: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)
    principals: dict[str, str] = field(default_factory=dict)
    """Access key ID to principal; a key that is not here belongs to the administrator, or to a user of the sandbox."""
    uses: list[Use] = field(default_factory=list)
    denied: list[Use] = field(default_factory=list)

    def grant(self, principal: str, key: str, statements: Iterable[Mapping[str, Any]]) -> None:
        """Let a key act as a principal that is allowed these statements and no more."""
        self.principals[key] = principal
        self.statements[principal] = list(statements)

    def permits(self, key: str, action: str, resource: str, tags: Iterable[str] = ()) -> bool:
        """Judge a call, and note it; `tags` are the keys of the tags that it sets or removes."""
        principal = self.principals.get(key)
        if principal is None or action in _FREE:
            return True
        return self.judge(principal, action, resource, tags)

    def judge(self, principal: str, action: str, resource: str, tags: Iterable[str] = ()) -> bool:
        """Judge a call of a principal, and note it."""
        use = Use(principal=principal, action=action, resource=resource)
        is_allowed = allows(self.statements[principal], action, resource, tags)
        (self.uses if is_allowed else self.denied).append(use)
        return is_allowed


def allows(statements: Iterable[Mapping[str, Any]], action: str, resource: str, tags: Iterable[str] = ()) -> bool:
    """Return whether statements allow an action on a resource: a Deny wins, and what nobody allows is denied."""
    tags = frozenset(tags)
    matching = [one for one in statements if _covers(one, action, resource) and _allows_tags(one, tags)]
    return bool(matching) and all(one["Effect"] == "Allow" for one in matching)


def _covers(statement: Mapping[str, Any], action: str, resource: str) -> bool:
    actions = any(_pattern(word.lower()).fullmatch(action.lower()) for word in _as_list(statement["Action"]))
    return actions and any(_pattern(word).fullmatch(resource) for word in _as_list(statement["Resource"]))


def _allows_tags(statement: Mapping[str, Any], tags: frozenset[str]) -> bool:
    """Evaluate `ForAllValues:StringEquals` on `aws:TagKeys` (IAM User Guide, multivalued context keys)."""
    tests = (statement.get("Condition") or {}).get("ForAllValues:StringEquals", {})
    return "aws:TagKeys" not in tests or tags <= set(_as_list(tests["aws:TagKeys"]))


def _as_list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


@cache
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile("".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in text), re.DOTALL)


# --- what a call is about ---------------------------------------------------------------------------------------------


class Resources:
    """Finds the ARN that a call is about, as IAM does before it judges."""

    def __init__(self, account: str, iam: Any, secrets: Any) -> None:
        self._account = account
        self._iam = iam
        self._secrets = secrets

    def of(self, request: Request, signed: Signed, action: str, form: Mapping[str, str]) -> str:
        """Name the resource of a call."""
        content = request.json() if signed.service in {"secretsmanager", "ssm", "events", "cloudtrail"} else None
        asked: Mapping[str, Any] = content if isinstance(content, dict) else form
        head = f"{signed.region}:{self._account}"
        match signed.service:
            case "iam":
                return self._user(action, asked)
            case "secretsmanager":
                return self._secret(str(asked.get("SecretId") or asked.get("Name") or ""), head)
            case "ssm":
                return f"arn:aws:ssm:{head}:parameter/{str(asked.get('Name', '')).lstrip('/')}"
            case "events":
                buses = {str(entry.get("EventBusName") or "default") for entry in asked.get("Entries", [])}
                return f"arn:aws:events:{head}:event-bus/{'+'.join(sorted(buses)) or 'default'}"
            case "sns":
                return str(asked.get("TopicArn", ""))
            case "s3":
                return f"arn:aws:s3:::{request.path.lstrip('/')}"
            case "sts":
                return str(asked.get("RoleArn", "*"))
            case _:
                return str(asked.get("Name", "*"))

    def _user(self, action: str, asked: Mapping[str, Any]) -> str:
        name = str(asked.get("UserName", ""))
        if action == "GetAccessKeyLastUsed":
            record = self._iam.access_keys.get(str(asked.get("AccessKeyId", "")))
            name = record.user_name if record is not None else ""
        user = self._iam.users.get(name)
        return str(user.arn) if user is not None else f"arn:aws:iam::{self._account}:user/{name}"

    def _secret(self, name: str, head: str) -> str:
        if name.startswith("arn:"):
            return name
        region = head.partition(":")[0]
        found = self._secrets[self._account][region].secrets.get(name)
        return str(found.arn) if found is not None else f"arn:aws:secretsmanager:{head}:secret:{name}-AbCdEf"


def action_of(request: Request, service: str, action: str) -> str:
    """Name the IAM action of a call: S3 has methods instead of action names."""
    if service != "s3":
        return f"{service}:{action}"
    words = {"GET": "GetObject", "PUT": "PutObject", "DELETE": "DeleteObject", "HEAD": "GetObject"}
    return f"s3:{words.get(request.method, request.method)}"


def denial(principal: str, action: str, resource: str) -> str:
    """Say it as AWS does."""
    return f"User: {principal} is not authorized to perform: {action} on resource: {resource}"


def statements_of(document: str | Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Take the statements out of a policy document."""
    content = json.loads(document) if isinstance(document, str) else document
    found = content["Statement"]
    return [found] if isinstance(found, Mapping) else list(found)
