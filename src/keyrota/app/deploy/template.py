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

from keyrota.app.config import Configuration, Reference
from keyrota.app.config.trust import refuse_local, refuse_shared_roles
from keyrota.app.tokens import choose_reading, leave_out_reading
from keyrota.aws.permissions import SELECTING
from keyrota.core.naming import ARN_LIKE_END
from keyrota.errors import ConfigError, Fault

TEMPLATE = Path(__file__).with_name("template.json")
IAM_EVENTS_TEMPLATE = Path(__file__).with_name("template-iam-events.json")
MEMBER_TEMPLATE = Path(__file__).with_name("template-member.json")
FLEET_TEMPLATE = Path(__file__).with_name("template-fleet.json")
_MAX_NAMES_LENGTH = 1_500
"""EventBridge takes patterns of 2,048 characters."""
_MAX_POLICY_LENGTH = 9_000
"""IAM takes 10,240 characters for the inline policies of a role; the rest is for what every function may do."""


_READING = ("deactivate", "delete", "watch")
"""Duties that write to no target."""
_WRITING = ("sync", "emergency")
"""Duties that write to targets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """The providers' tokens, as ARN patterns."""

    secrets: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What the functions may touch."""

    users: tuple[str, ...]
    """ARNs of the users."""
    secrets: tuple[str, ...]
    """ARN patterns of their secrets."""
    secret_names: tuple[str, ...]
    """For the patterns of events."""
    tokens: Tokens
    """What functions that write to targets use."""
    read_tokens: Tokens
    """What functions that only read use: the `read_token` of a provider where one is given."""
    member_roles: tuple[str, ...]
    """Roles in other accounts; `{duty}` in them is not replaced yet."""
    target_parameters: tuple[str, ...] = ()
    """Parameters that are targets themselves."""
    target_keys: tuple[str, ...] = ()
    """KMS keys of such parameters, as ARNs."""
    kms_keys: tuple[str, ...] = ()
    """Keys of the secrets, as ARNs."""
    is_selecting: bool = False
    """Users of this account are selected when a function runs, so that none is named here."""


def check_references(configuration: Configuration) -> None:
    """
    Refuse what a function cannot read.

    Raises:
        ConfigError: A token lies in a variable or a file of this machine, or a profile is named.
    """
    refuse_local(configuration.references)
    refuse_shared_roles(configuration)
    if configuration.profile or any("profile" in settings for settings in configuration.of_kind("ssm").values()):
        what = "`profile:` names a profile of this machine"
        raise ConfigError([Fault(where=str(configuration.path), what=what, remedy="leave it out")])


def beyond_events(configuration: Configuration, region: str) -> tuple[str, ...]:
    """Name the places from which Secrets Manager's events do not come to this stack: other regions, other accounts."""
    places = (
        f"account {entry.account or entry.role}" if entry.role else f"region {entry.region}"
        for entry in configuration.entrances
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
    target_keys: Iterable[str] = (),
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
        target_keys: ARNs of the keys that parameters are encrypted with.
    """
    here = [entry for entry in configuration.credentials if not entry.role]
    heads = tuple(f"arn:{partition}:secretsmanager:{entry.region or region}:{account}:secret:" for entry in here)
    stores = configuration.of_kind("ssm")
    away = tuple(str(settings["role"]) for settings in stores.values() if "role" in settings)
    return Scope(
        users=tuple(users),
        kms_keys=tuple(kms_keys),
        target_keys=tuple(target_keys) if len(away) < len(stores) else (),
        target_parameters=tuple(
            parameter_arn(str(target.settings["parameter"]), partition, account, store.get("region") or region)
            for entry in configuration.credentials
            for target in entry.targets
            if target.kind == "ssm"
            for store in (stores[target.provider],)
            if "role" not in store  # parameters of another account are that role's
        ),
        secrets=tuple(f"{head}{entry.secret_name}-??????" for entry, head in zip(here, heads, strict=True)),
        secret_names=tuple(entry.secret_name for entry in here),
        is_selecting=any(not one.entrance.role for one in configuration.selections),
        tokens=_tokens(leave_out_reading(configuration.references), partition, account, region),
        read_tokens=_tokens(choose_reading(configuration.references), partition, account, region),
        member_roles=tuple(
            dict.fromkeys(
                [
                    *(
                        _role_arn(entry.role, entry.account or "", partition)
                        for entry in configuration.entrances
                        if entry.role
                    ),
                    *away,
                ]
            )
        ),
    )


def _tokens(references: Iterable[Reference], partition: str, account: str, region: str) -> Tokens:
    secrets, parameters = [], []
    for reference in references:
        kind, _, rest = reference.text.partition(":")
        if kind == "secretsmanager":
            secrets.append(secret_arn(rest, partition, account, region))
        if kind == "ssm":
            parameters.append(parameter_arn(rest, partition, account, region))
    return Tokens(secrets=tuple(dict.fromkeys(secrets)), parameters=tuple(dict.fromkeys(parameters)))


def secret_arn(reference: str, partition: str, account: str, region: str) -> str:
    """
    Write the ARN pattern of the secret that a reference resolves to.

    Secrets Manager appends a hyphen and six characters to the name, and takes an ARN without them too; an ARN that
    ends so is taken for a whole one (Secrets Manager user guide, determine the ARN; API Reference, GetSecretValue).
    """
    name = reference.partition("#")[0].strip()
    if not name.startswith("arn:"):
        return f"arn:{partition}:secretsmanager:{region}:{account}:secret:{name}-??????"
    return name if ARN_LIKE_END.search(name) else f"{name}-??????"


def parameter_arn(name: str, partition: str, account: str, region: str) -> str:
    """
    Write the ARN of a parameter: with or without a leading slash it is the same, a version or label is no part of it.

    Source: Systems Manager API Reference, GetParameter; Service Authorization Reference.
    """
    head, colon, rest = name.partition(":parameter/") if name.startswith("arn:") else ("", "", name)
    path = rest.lstrip("/").partition(":")[0]
    return f"{head or f'arn:{partition}:ssm:{region}:{account}'}{colon or ':parameter/'}{path}"


def _role_arn(role: str, account: str, partition: str) -> str:
    return role if role.startswith("arn:") else f"arn:{partition}:iam::{account}:role/{role}"


def narrow_template(scope: Scope, *, is_fleet: bool, config: str | None = None) -> dict[str, Any]:
    """
    Narrow the template.

    Args:
        scope: What the functions may touch.
        is_fleet: With the state machine.
        config: The object's reference if the configuration lies in S3 instead of a parameter.
    """
    made: dict[str, Any] = json.loads((FLEET_TEMPLATE if is_fleet else TEMPLATE).read_text("utf-8"))
    fits = not scope.is_selecting and sum(map(len, (*scope.users, *scope.secrets))) < _MAX_POLICY_LENGTH
    for name, resource in made["Resources"].items():
        if resource["Type"] == "AWS::IAM::Policy":
            document, duty = resource["Properties"]["PolicyDocument"], _duty_of(name)
            document["Statement"] = [
                *_statements(document["Statement"], scope, duty, fits=fits, config=config),
                *_more_statements(duty, document["Statement"], scope),
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


def _duty_of(policy: str) -> str:
    """Read the duty out of a policy's logical ID; empty for the policies of schedules and of the state machine."""
    match = re.fullmatch("Rotation(?:Fleet)?(?P<duty>[A-Z][a-z]+)?RoleDefaultPolicy[0-9A-F]{8}", policy)
    return (match["duty"] or "Rotation").lower() if match else ""


def _statements(
    statements: Iterable[dict[str, Any]], scope: Scope, duty: str, *, fits: bool, config: str | None
) -> Iterator[dict[str, Any]]:
    for statement in statements:
        text = json.dumps(statement.get("Resource", ""))
        if "Fn::If" in statement and "WithMembers" in statement["Fn::If"]:
            if scope.member_roles:
                yield _assume(scope.member_roles, duty)
        elif "TokenSecretPrefix" in text:
            yield from _token_statements(statement, scope.read_tokens if duty in _READING else scope.tokens)
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


def _assume(roles: Iterable[str], duty: str) -> dict[str, Any]:
    """
    Allow a function the roles of its own duty, by name, and in an organization only those of that organization.

    Where the account of such a role, or our own, is in no organization, there is nothing to compare.
    """
    return {
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Resource": [role.replace("{duty}", duty) for role in roles],
        "Condition": {"StringEqualsIfExists": {"aws:ResourceOrgID": "${aws:PrincipalOrgID}"}},
    }


def _more_statements(duty: str, statements: list[dict[str, Any]], scope: Scope) -> Iterator[dict[str, Any]]:
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
    if scope.is_selecting and duty:
        yield {"Effect": "Allow", "Action": [*SELECTING, "secretsmanager:ListSecrets"], "Resource": "*"}
    if scope.target_parameters and of_secrets:
        yield from _parameter_statements(duty, scope)


def _parameter_statements(duty: str, scope: Scope) -> Iterator[dict[str, Any]]:
    """
    Allow metadata to every function, and the write to those that write; nobody reads the value, which is a pair.

    DescribeParameters takes no resource (Service Authorization Reference, Systems Manager); it returns no values.
    """
    parameters = list(scope.target_parameters)
    yield {"Effect": "Allow", "Action": "ssm:DescribeParameters", "Resource": "*"}
    writes = ["ssm:PutParameter", "ssm:AddTagsToResource"] if duty in _WRITING else []
    yield {"Effect": "Allow", "Action": ["ssm:ListTagsForResource", *writes], "Resource": parameters}
    if writes and scope.target_keys:
        actions = ["kms:Encrypt", "kms:GenerateDataKey"]  # standard and advanced parameters (SSM user guide, KMS)
        yield {"Effect": "Allow", "Action": actions, "Resource": list(scope.target_keys)}


def _token_statements(statement: dict[str, Any], tokens: Tokens) -> Iterator[dict[str, Any]]:
    if tokens.secrets:
        yield {**statement, "Resource": list(tokens.secrets)}
    if tokens.parameters:
        yield {"Effect": "Allow", "Action": "ssm:GetParameter", "Resource": list(tokens.parameters)}


def _narrow_rule(properties: dict[str, Any], scope: Scope, *, fits: bool) -> None:
    if not fits:
        return
    detail = properties["EventPattern"]["detail"]
    if "labelUpdated" in detail:
        _match(detail, "name", _list_names(scope, _MAX_NAMES_LENGTH, with_arns=False))
    if "secretId" in detail.get("requestParameters", {}):
        called = _list_names(scope, _MAX_NAMES_LENGTH)
        _match(detail, "requestParameters", called and {"secretId": called})
    if "$or" in detail:
        called = _list_names(scope, _MAX_NAMES_LENGTH // 2)
        places = [{name: dict.fromkeys(inner, called)} for one in detail["$or"] for name, inner in one.items()]
        _match(detail, "$or", called and places)
    if properties["EventPattern"]["source"] == ["aws.iam"]:
        names = [arn.rpartition("/")[2] for arn in scope.users]
        if len(json.dumps(names)) <= _MAX_NAMES_LENGTH:
            detail.setdefault("requestParameters", {})["userName"] = names or ["none"]


def _match(detail: dict[str, Any], name: str, wanted: Any) -> None:
    """Let a field match what is wanted; whatever it has if that is nothing."""
    detail[name] = wanted
    if not wanted:
        del detail[name]


def _list_names(scope: Scope, room: int, *, with_arns: bool = True) -> list[Any] | None:
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
