"""The IAM policies that one configuration needs where keyrota runs without its stack: a laptop, cron, a pipeline."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from keyrota.app.config import Configuration, CredentialConfig, Selection
from keyrota.app.deploy.template import Scope, scope_of
from keyrota.aws.permissions import DUTIES, LISTS, READING, SELECTING, allow

_VERSION = "2012-10-17"


@dataclass(frozen=True, slots=True, kw_only=True)
class Permissions:
    """What keyrota needs in one account."""

    account: str
    """12 digits."""
    document: Mapping[str, Any]
    """The IAM policy: of the caller in its own account, of the member role in another one."""
    trust: Mapping[str, Any] | None = None
    """The trust policy of the member role; None in the caller's own account."""
    role: str = ""
    """The member role as the configuration names it."""


def permissions(
    configuration: Configuration, *, account: str, partition: str, region: str, caller: str, duties: Iterable[str]
) -> tuple[Permissions, ...]:
    """
    Write the policies: of the account that keyrota runs in, and of each member role.

    Args:
        configuration: Checked.
        account: That keyrota runs in; 12 digits.
        partition: `aws`, `aws-cn`, …
        region: For secrets whose entry names none.
        caller: ARN of the principal that keyrota runs as; only it is trusted by member roles.
        duties: Of `keyrota.aws.permissions.DUTIES`; any other word means reading alone.
    """
    actions = tuple(dict.fromkeys(action for duty in duties for action in DUTIES.get(duty, READING)))
    here = [entry for entry in configuration.credentials if not entry.role]
    scope = scope_of(configuration, (), partition=partition, account=account, region=region)
    selected = [one for one in configuration.selections if not one.entrance.role]
    on_users = _on_users(actions, (here, selected), partition, account, region)
    own = [*on_users, *_beside(scope, actions)]
    found = [Permissions(account=account, document=_document(own))]
    members: dict[tuple[str, str, str], _Users] = {}
    for entry in configuration.credentials:
        if entry.role:
            members.setdefault(_member(entry, account), ([], []))[0].append(entry)
    for selection in configuration.selections:
        if selection.entrance.role:
            members.setdefault(_member(selection.entrance, account), ([], []))[1].append(selection)
    for (member, role, external_id), users in members.items():
        document = _document(list(_on_users(actions, users, partition, member, region)))
        trust = _trust(caller, external_id)
        found.append(Permissions(account=member, document=document, trust=trust, role=role))
    return tuple(found)


_Users = tuple[list[CredentialConfig], list[Selection]]
"""Users that are named, and users that are selected, of one account."""


def _member(entry: CredentialConfig, own: str) -> tuple[str, str, str]:
    return _account_of(entry, own), entry.role or "", entry.external_id or ""


def _account_of(entry: CredentialConfig, own: str) -> str:
    if entry.account:
        return entry.account
    return entry.role.split(":")[4] if entry.role and entry.role.startswith("arn:") else own


def _on_users(
    actions: Iterable[str], of: _Users, partition: str, account: str, region: str
) -> Iterator[dict[str, Any]]:
    """
    Allow what is done to users and their secrets; the path of a named user is not known, so any is allowed.

    Whoever a selector will find is not known either: users and secrets are allowed by patterns, and the list of users.
    """
    entries, selections = of
    if not entries and not selections:
        return
    users = [f"arn:{partition}:iam::{account}:user/{path}{entry.user}" for entry in entries for path in ("", "*/")]
    users += [f"arn:{partition}:iam::{account}:user{one}" for it in selections for one in it.selector.arn_patterns]
    named = [(entry.region, entry.secret_name) for entry in entries]
    named += [(one.entrance.region, one.secret_pattern) for one in selections]
    head = f"arn:{partition}:secretsmanager"
    secrets = [f"{head}:{one or region}:{account}:secret:{name}-??????" for one, name in dict.fromkeys(named)]
    every = [*entries, *(one.entrance for one in selections)]
    keys = [entry.kms_key for entry in every if entry.kms_key and entry.kms_key.startswith("arn:")]
    names = sorted(actions)
    for prefix, resources in (("iam:", users), ("secretsmanager:", secrets)):
        yield from allow([name for name in names if name.startswith(prefix)], resources)
    others = [name for name in names if not name.startswith(("iam:", "secretsmanager:"))]
    if others:
        yield _allow(others, ["*"])  # they act on no resource: sts:GetAccessKeyInfo
    yield _allow(list(LISTS), ["*"])  # what a whole account shows, and what left the configuration; takes no resource
    if selections:
        yield _allow(list(SELECTING), ["*"])  # takes no resource
    if keys and "secretsmanager:GetSecretValue" in names:
        writes = ["kms:GenerateDataKey"] if "secretsmanager:PutSecretValue" in names else []
        yield _allow(["kms:Decrypt", *writes], list(dict.fromkeys(keys)))


def _beside(scope: Scope, actions: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Allow what a configuration needs beside: tokens of providers, parameters as targets, roles of other accounts."""
    if scope.tokens.secrets:
        yield _allow(["secretsmanager:GetSecretValue"], list(scope.tokens.secrets))
    if scope.tokens.parameters:
        yield _allow(["ssm:GetParameter"], list(scope.tokens.parameters))
    if scope.target_parameters:
        writes = ["ssm:AddTagsToResource", "ssm:PutParameter"] if "secretsmanager:GetSecretValue" in actions else []
        yield _allow(["ssm:ListTagsForResource", *writes], list(scope.target_parameters))
        yield _allow(["ssm:DescribeParameters"], ["*"])  # lists metadata, and takes no resource
    if scope.member_roles:
        yield _allow(["sts:AssumeRole"], [arn.replace("{duty}", "operator") for arn in scope.member_roles])


def _trust(caller: str, external_id: str) -> dict[str, Any]:
    """Trust exactly the caller; with an external ID where the configuration has one."""
    statement: dict[str, Any] = {"Effect": "Allow", "Principal": {"AWS": caller}, "Action": "sts:AssumeRole"}
    if external_id:
        statement["Condition"] = {"StringEquals": {"sts:ExternalId": external_id}}
    return {"Version": _VERSION, "Statement": [statement]}


def _allow(actions: list[str], resources: list[str]) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resources}


def _document(statements: list[dict[str, Any]]) -> dict[str, Any]:
    return {"Version": _VERSION, "Statement": statements}


def terraform(found: Iterable[Permissions]) -> Iterator[str]:
    """Write all policies as Terraform resources, line by line; a member account needs a provider of its own."""
    for one in found:
        name = f"keyrota_{one.account}" + (f"_{_identifier(one.role)}" if one.role else "")
        where = [f"  provider = aws.account_{one.account}"] if one.role else []
        yield from (f"# account {one.account}", f'resource "aws_iam_policy" "{name}" {{', *where)
        yield from (
            f'  name   = "{_role_name(one.role) or "keyrota"}"',
            f"  policy = {_encode(one.document)}",
            "}",
            "",
        )
        if one.trust is not None:
            yield from (f'resource "aws_iam_role" "{name}" {{', *where, f'  name = "{_role_name(one.role)}"')
            yield from (f"  assume_role_policy = {_encode(one.trust)}", "}", "")
            yield from (f'resource "aws_iam_role_policy_attachment" "{name}" {{', *where)
            yield from (
                f"  role       = aws_iam_role.{name}.name",
                f"  policy_arn = aws_iam_policy.{name}.arn",
                "}",
                "",
            )


def _role_name(role: str) -> str:
    """Return the name of a role that is given as a name or as an ARN (with a path), for the operator's duty."""
    return role.rpartition("/")[2].replace("{duty}", "operator")


def _identifier(role: str) -> str:
    return "".join(char if char.isascii() and char.isalnum() else "_" for char in _role_name(role))


def _encode(document: Mapping[str, Any]) -> str:
    """Write `jsonencode(…)`: an object in JSON is one in Terraform's language, but for `${` and `%{` in texts."""
    text = json.dumps(document, indent=2).replace("${", "$${").replace("%{", "%%{")
    first, *rest = text.splitlines()
    return "\n".join([f"jsonencode({first}", *(f"  {line}" for line in rest)]) + ")"
