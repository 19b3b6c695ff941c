"""
The template, narrowed to one configuration: the very users, secrets and tokens that it names.

The template as it is published takes patterns for them, because it does not know them. What `keyrota deploy` brings
to CloudFormation knows them, so its roles are allowed these users and secrets by name.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keyrota.app.config import Configuration
from keyrota.app.config.trust import refuse_local
from keyrota.errors import ConfigError, Fault

TEMPLATE = Path(__file__).with_name("template.json")
IAM_EVENTS_TEMPLATE = Path(__file__).with_name("template-iam-events.json")
MEMBER_TEMPLATE = Path(__file__).with_name("template-member.json")
FLEET_TEMPLATE = Path(__file__).with_name("template-fleet.json")
_LONGEST_NAMES = 1_500
"""EventBridge takes patterns of 2,048 characters."""
_LARGEST_POLICY = 9_000
"""IAM takes 10,240 characters for the inline policies of a role; the rest is for what every function may do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What the functions may touch."""

    users: tuple[str, ...]
    """ARNs of the users."""
    secrets: tuple[str, ...]
    """ARN patterns of their secrets."""
    secret_names: tuple[str, ...]
    """For the patterns of events."""
    token_secrets: tuple[str, ...]
    token_parameters: tuple[str, ...]
    member_roles: tuple[str, ...]
    target_parameters: tuple[str, ...] = ()
    """Parameters that are targets themselves."""
    kms_keys: tuple[str, ...] = ()
    """Keys of the secrets, as ARNs."""


def check_references(configuration: Configuration) -> None:
    """
    Refuse what a function cannot read.

    Raises:
        ConfigError: A token lies in a variable or a file of this machine, or a profile is named.
    """
    refuse_local(configuration.references)
    if configuration.profile:
        what = "`aws: profile:` names a profile of this machine"
        raise ConfigError([Fault(where=str(configuration.path), what=what, remedy="leave it out")])


def beyond_events(configuration: Configuration, region: str) -> tuple[str, ...]:
    """Name the places from which Secrets Manager's events do not come to this stack: other regions, other accounts."""
    places = (
        f"account {entry.account or entry.role}" if entry.role else f"region {entry.region}"
        for entry in configuration.credentials
        if entry.role or (entry.region or region) != region
    )
    return tuple(dict.fromkeys(places))


def scope_of(
    configuration: Configuration,
    users: Iterable[str],
    *,
    partition: str,
    account: str,
    region: str,
    kms_keys: Iterable[str] = (),
) -> Scope:
    """
    Find what a configuration needs.

    Args:
        configuration: Checked.
        users: ARNs of the users of this account, as IAM tells them (with their paths).
        partition: `aws`, `aws-cn`, …
        account: 12 digits.
        region: Of the stack.
        kms_keys: ARNs of the keys that secrets are encrypted with.
    """
    here = [entry for entry in configuration.credentials if not entry.role]
    tokens = [reference.text for reference in configuration.references]
    heads = tuple(f"arn:{partition}:secretsmanager:{entry.region or region}:{account}:secret:" for entry in here)
    return Scope(
        users=tuple(users),
        kms_keys=tuple(kms_keys),
        target_parameters=tuple(
            f"arn:{partition}:ssm:{target.settings.get('region') or region}:{account}:parameter/"
            + str(target.settings["parameter"]).lstrip("/")
            for entry in configuration.credentials
            for target in entry.targets
            if target.kind == "ssm"
        ),
        secrets=tuple(f"{head}{entry.secret_name}-??????" for entry, head in zip(here, heads, strict=True)),
        secret_names=tuple(entry.secret_name for entry in here),
        token_secrets=tuple(
            _token_arn(reference.removeprefix("secretsmanager:"), partition, account, region)
            for reference in tokens
            if reference.startswith("secretsmanager:")
        ),
        token_parameters=tuple(
            f"arn:{partition}:ssm:{region}:{account}:parameter/{reference.removeprefix('ssm:').lstrip('/')}"
            for reference in tokens
            if reference.startswith("ssm:")
        ),
        member_roles=tuple(
            dict.fromkeys(
                _role_arn(entry.role, entry.account or "", partition)
                for entry in configuration.credentials
                if entry.role
            )
        ),
    )


def _token_arn(reference: str, partition: str, account: str, region: str) -> str:
    name = reference.partition("#")[0]
    return (
        name if name.startswith("arn:") else f"arn:{partition}:secretsmanager:{region}:{account}:secret:{name}-??????"
    )


def _role_arn(role: str, account: str, partition: str) -> str:
    arn = role if role.startswith("arn:") else f"arn:{partition}:iam::{account}:role/{role}"
    return arn.replace("{duty}", "*")


def narrowed(scope: Scope, *, is_fleet: bool, config: str | None = None) -> dict[str, Any]:
    """
    Narrow the template.

    Args:
        scope: What the functions may touch.
        is_fleet: With the state machine.
        config: The object's reference if the configuration lies in S3 instead of a parameter.
    """
    made: dict[str, Any] = json.loads((FLEET_TEMPLATE if is_fleet else TEMPLATE).read_text("utf-8"))
    fits = sum(len(arn) for arn in (*scope.users, *scope.secrets)) < _LARGEST_POLICY
    for name, resource in made["Resources"].items():
        if resource["Type"] == "AWS::IAM::Policy":
            document = resource["Properties"]["PolicyDocument"]
            document["Statement"] = [
                *_statements(document["Statement"], scope, fits=fits, config=config),
                *_more_statements(name, document["Statement"], scope),
            ]
        if resource["Type"] == "AWS::Events::Rule":
            _narrow_rule(resource["Properties"], scope, fits=fits)
        if resource["Type"] == "AWS::Lambda::Function" and config:
            resource["Properties"]["Environment"]["Variables"]["KEYROTA_CONFIG"] = config
    if fits:
        for name in ("UserPattern", "SecretPrefix"):
            del made["Parameters"][name]
    for name in ("TokenSecretPrefix", "MemberRoleName", *(["ConfigParameter"] if config else [])):
        del made["Parameters"][name]
    del made["Conditions"]["WithMembers"]
    return made


def _statements(
    statements: Iterable[dict[str, Any]], scope: Scope, *, fits: bool, config: str | None
) -> Iterator[dict[str, Any]]:
    for statement in statements:
        text = json.dumps(statement.get("Resource", ""))
        if "Fn::If" in statement and "WithMembers" in statement["Fn::If"]:
            if scope.member_roles:
                yield {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": list(scope.member_roles)}
        elif "TokenSecretPrefix" in text:
            yield from _token_statements(statement, scope)
        elif fits and "UserPattern" in text:
            if scope.users:
                yield {**statement, "Resource": list(scope.users)}
        elif fits and "SecretPrefix" in text:
            if scope.secrets:
                yield {**statement, "Resource": list(scope.secrets)}
        elif config and "ConfigParameter" in text:
            bucket, _, key = config.removeprefix("s3://").partition("/")
            resource = {"Fn::Sub": f"arn:${{AWS::Partition}}:s3:::{bucket}/{key}"}
            yield {"Effect": "Allow", "Action": "s3:GetObject", "Resource": resource}
        else:
            yield statement


def _more_statements(name: str, statements: list[dict[str, Any]], scope: Scope) -> Iterator[dict[str, Any]]:
    """Allow what only some configurations need: KMS keys of their own, and parameters as targets."""
    of_secrets = {
        action
        for one in statements
        if "SecretPrefix" in json.dumps(one.get("Resource", "")) and "TokenSecretPrefix" not in json.dumps(one)
        for action in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"])
    }
    if scope.kms_keys and "secretsmanager:GetSecretValue" in of_secrets:
        makes = ["kms:GenerateDataKey"] if "secretsmanager:PutSecretValue" in of_secrets else []
        yield {"Effect": "Allow", "Action": ["kms:Decrypt", *makes], "Resource": list(scope.kms_keys)}
    if scope.target_parameters and of_secrets:
        writes = re.match("Rotation(Sync|Emergency)Role", name) is not None
        actions = ["ssm:ListTagsForResource"]
        actions += ["ssm:PutParameter", "ssm:AddTagsToResource"] if writes else []
        yield {"Effect": "Allow", "Action": actions, "Resource": list(scope.target_parameters)}
        yield {"Effect": "Allow", "Action": "ssm:DescribeParameters", "Resource": "*"}  # takes no resource


def _token_statements(statement: dict[str, Any], scope: Scope) -> Iterator[dict[str, Any]]:
    if scope.token_secrets:
        yield {**statement, "Resource": list(scope.token_secrets)}
    if scope.token_parameters:
        yield {"Effect": "Allow", "Action": "ssm:GetParameter", "Resource": list(scope.token_parameters)}


def _narrow_rule(properties: dict[str, Any], scope: Scope, *, fits: bool) -> None:
    if not fits:
        return
    detail = properties["EventPattern"]["detail"]
    if "labelUpdated" in detail:
        _match(detail, "name", _called(scope, _LONGEST_NAMES, with_arns=False))
    if "secretId" in detail.get("requestParameters", {}):
        called = _called(scope, _LONGEST_NAMES)
        _match(detail, "requestParameters", called and {"secretId": called})
    if "$or" in detail:
        called = _called(scope, _LONGEST_NAMES // 2)
        places = [{name: dict.fromkeys(inner, called)} for one in detail["$or"] for name, inner in one.items()]
        _match(detail, "$or", called and places)
    if properties["EventPattern"]["source"] == ["aws.iam"]:
        names = [arn.rpartition("/")[2] for arn in scope.users]
        if len(json.dumps(names)) <= _LONGEST_NAMES:
            detail.setdefault("requestParameters", {})["userName"] = names or ["none"]


def _match(detail: dict[str, Any], name: str, wanted: Any) -> None:
    """Let a field match what is wanted; whatever it has if that is nothing."""
    detail[name] = wanted
    if not wanted:
        del detail[name]


def _called(scope: Scope, room: int, *, with_arns: bool = True) -> list[Any] | None:
    """
    List what the secrets are called in events: by name, by ARN, or by an ARN without its last six characters.

    Returns:
        The secrets themselves if there is room, otherwise what all their names begin with; None if there is nothing
        such: the function knows its secrets.
    """
    arns = [arn.removesuffix("-??????") for arn in scope.secrets] if with_arns else []
    exact = [*scope.secret_names, *({"prefix": arn} for arn in arns)] or ["none"]
    if len(json.dumps(exact)) <= room:
        return exact
    begin = os.path.commonprefix(scope.secret_names)  # noqa: RUF071  # names, not paths: character by character
    heads = dict.fromkeys(arn.rpartition(":")[0] for arn in arns)
    alike = [{"prefix": begin}, *({"prefix": f"{head}:{begin}"} for head in heads)]
    return alike if begin and len(json.dumps(alike)) <= room else None
