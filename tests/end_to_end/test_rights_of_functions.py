"""The narrowed templates, judged by the sandbox's policy evaluator: each duty by its own verbs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cfn import ACCOUNT, REGION, Stack

from keyrota.app.config import load_text
from keyrota.app.deploy.template import MEMBER_TEMPLATE, narrow_template, parameter_arn, scope_of, secret_arn
from keyrota.aws.permissions import FUNCTIONS
from keyrota.targets import kinds
from keyrota_sandbox.aws.policy_evaluator import allows, statements_of

UUID = "0d5cd3ca-6c0d-4f0c-9d5c-0a3c5a1f0001"
PLACES = {
    "azure_devops": "{project: shop, group: aws}",
    "bitbucket": "{workspace: acme, repository: shop}",
    "buildkite": f"{{organization: acme, cluster: {UUID}}}",
    "circleci": "{project: gh/acme/shop}",
    "codespaces": "{repository: acme/shop}",
    "forgejo": "{repository: acme/shop}",
    "gitea": "{repository: acme/shop}",
    "github": "{repository: acme/shop}",
    "gitlab": "{project: acme/shop}",
    "kubernetes": "{namespace: ci, secret: aws}",
    "ssm": "{parameter: /ci/pair}",
    "terraform": "{organization: acme, workspace: shop}",
}
DUTIES = ("rotate", "sync", "deactivate", "delete", "watch", "rotation", "emergency")
READERS = {"deactivate", "delete", "watch"}
WRITERS = {"sync", "emergency"}
SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:keyrota/ci/access-key-AbCdEf"
PAIR = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/ci/pair"
TOKEN = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:keyrota-tokens/write-AbCdEf"
READ_TOKEN = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:keyrota-tokens/read-AbCdEf"
VALUES = ("GetParameter", "GetParameters", "GetParametersByPath", "GetParameterHistory")


def test_every_kind_is_here() -> None:
    assert set(PLACES) == set(kinds())


def roles(kind: str, *, has_read_token: bool = True, more: str = "", is_fleet: bool = False) -> dict[str, list[Any]]:
    """Narrow the template for a target of a kind; returns the statements of each duty's role."""
    auth = "token: 'secretsmanager:keyrota-tokens/write'"
    auth += ", read_token: 'secretsmanager:keyrota-tokens/read#token'" if has_read_token else ""
    needs_url = "base_url" in kinds()[kind].provider_schema.get("required", ())
    provider = "{}" if kind == "ssm" else f"{{{'base_url: https://x.example, ' if needs_url else ''}auth: {{{auth}}}}}"
    entry = f"  - {{user: ci, targets: [{{{kind}: {PLACES[kind]}}}]}}\n"
    text = f"version: 1\nproviders: {{{kind}: {provider}}}\ncredentials:\n{entry}{more}"
    users = [f"arn:aws:iam::{ACCOUNT}:user/ci"]
    scope = scope_of(load_text("x", text), users, partition="aws", account=ACCOUNT, region=REGION)
    stack = Stack(
        template=narrow_template(scope, is_fleet=is_fleet), parameters={"Emergency": "auto", "CodeBucket": "b"}
    )
    handlers = {
        one["Role"].rpartition("/")[2]: one["Handler"].split(".")[-2]
        for one in stack.resources("AWS::Lambda::Function").values()
    }
    found: dict[str, list[Any]] = {duty: [] for duty in handlers.values()}
    for policy in stack.resources("AWS::IAM::Policy").values():
        for role in policy["Roles"]:
            if role in handlers:
                found[handlers[role]] += statements_of(policy["PolicyDocument"])
    return found


@pytest.mark.parametrize("kind", sorted(PLACES))
def test_who_only_reads_reads_no_pair(kind: str) -> None:
    """Neither from the secret nor from a target; and writes to none."""
    for duty, statements in roles(kind).items():
        for call in VALUES:
            assert not allows(statements, f"ssm:{call}", PAIR), (duty, call)
        assert allows(statements, "ssm:PutParameter", PAIR) is (kind == "ssm" and duty in WRITERS), duty
        assert allows(statements, "ssm:AddTagsToResource", PAIR) is (kind == "ssm" and duty in WRITERS), duty
        assert allows(statements, "ssm:ListTagsForResource", PAIR) is (kind == "ssm" and duty in DUTIES), duty
        assert not allows(statements, "ssm:DeleteParameter", PAIR), duty
        if duty in READERS:
            assert not allows(statements, "secretsmanager:GetSecretValue", SECRET), duty
            assert not allows(statements, "kms:Decrypt", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1"), duty


@pytest.mark.parametrize("kind", sorted(set(PLACES) - {"ssm"}))
@pytest.mark.parametrize("has_read_token", [True, False])
def test_each_duty_reads_its_own_token(kind: str, has_read_token: bool) -> None:
    """Where a reading token is given, those who only read get that one alone, and nobody else gets it."""
    for duty, statements in roles(kind, has_read_token=has_read_token).items():
        if duty not in DUTIES:
            continue
        reads = duty in READERS and has_read_token
        assert allows(statements, "secretsmanager:GetSecretValue", TOKEN) is not reads, duty
        assert allows(statements, "secretsmanager:GetSecretValue", READ_TOKEN) is reads, duty
        other = TOKEN.replace("write", "other")
        assert not allows(statements, "secretsmanager:GetSecretValue", other), duty


@pytest.mark.parametrize("is_fleet", [True, False])
def test_each_duty_enters_its_own_role_in_another_account(is_fleet: bool) -> None:
    more = "  - {user: far, account: '210987654321', role: 'keyrota-{duty}', targets: []}\n"
    for duty, statements in roles("github", more=more, is_fleet=is_fleet).items():
        entered = {
            other
            for other in DUTIES
            if allows(statements, "sts:AssumeRole", f"arn:aws:iam::210987654321:role/keyrota-{other}")
        }
        assert entered == ({duty} & set(DUTIES)), duty
        assert not allows(statements, "sts:AssumeRole", "arn:aws:iam::333333333333:role/keyrota-delete")
        conditions = [one["Condition"] for one in statements if one["Action"] == "sts:AssumeRole"]
        for condition in conditions:
            assert condition == {"StringEqualsIfExists": {"aws:ResourceOrgID": "${aws:PrincipalOrgID}"}}


HEAD = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:"


@pytest.mark.parametrize(
    ("reference", "resolved", "is_matched"),
    [
        ("t/bitbucket", f"{HEAD}t/bitbucket-AbCdEf", True),
        ("t/bitbucket#token", f"{HEAD}t/bitbucket-AbCdEf", True),
        (f"{HEAD}t/bitbucket-AbCdEf", f"{HEAD}t/bitbucket-AbCdEf", True),
        (f"{HEAD}t/bitbucket-AbCdEf#token", f"{HEAD}t/bitbucket-AbCdEf", True),
        (f"{HEAD}t/bitbucket", f"{HEAD}t/bitbucket-AbCdEf", True),
        (f"{HEAD}t/bitbucket#token", f"{HEAD}t/bitbucket-AbCdEf", True),
        (
            f"{HEAD}t/bitbucket".replace(REGION, "us-east-1"),
            f"{HEAD}t/bitbucket-AbCdEf".replace(REGION, "us-east-1"),
            True,
        ),
        (
            f"{HEAD}t/bitbucket".replace(ACCOUNT, "210987654321"),
            f"{HEAD}t/bitbucket-AbCdEf".replace(ACCOUNT, "210987654321"),
            True,
        ),
        ("t/bitbucket", f"{HEAD}t/bitbucket-two-AbCdEf", False),
        (f"{HEAD}t/bitbucket", f"{HEAD}t/bitbucket-two-AbCdEf", False),
        ("t/bitbucket", f"{HEAD}t/bitbucket-AbCdEf".replace(REGION, "us-east-1"), False),
        (f"{HEAD}t/bitbucket-AbCdEf", f"{HEAD}t/bitbucket-GhIjKl", False),
    ],
)
def test_a_policy_matches_what_a_reference_to_a_secret_resolves_to(
    reference: str, resolved: str, is_matched: bool
) -> None:
    pattern = secret_arn(reference, "aws", ACCOUNT, REGION)
    statement = {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": pattern}
    assert allows([statement], "secretsmanager:GetSecretValue", resolved) is is_matched


@pytest.mark.parametrize(
    "name",
    ["/ci/token", "ci/token", "/ci/token:3", "ci/token:prod", f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/ci/token"],
)
def test_a_policy_matches_what_a_reference_to_a_parameter_resolves_to(name: str) -> None:
    assert parameter_arn(name, "aws", ACCOUNT, REGION) == f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/ci/token"


def test_a_parameter_elsewhere_is_named_there() -> None:
    there = "arn:aws:ssm:us-east-1:210987654321:parameter/ci/token"
    assert parameter_arn(there, "aws", ACCOUNT, REGION) == there


# --- actions that take no resource ------------------------------------------------------------------------------------

ANYWHERE = {
    "sts:GetAccessKeyInfo": {"rotate", "sync", "emergency"},
    "iam:GenerateCredentialReport": {"rotate", "sync", "deactivate", "delete"},
    "iam:GetCredentialReport": {"rotate", "sync", "deactivate", "delete"},
    "secretsmanager:ListSecrets": {"rotate", "sync", "deactivate", "delete"},
}


@pytest.mark.parametrize("is_fleet", [True, False])
@pytest.mark.parametrize("action", sorted(ANYWHERE))
def test_only_who_asks_may_ask(is_fleet: bool, action: str) -> None:
    """What a whole account shows, and whose account a key is: exactly the duties that need it."""
    found = roles("github", is_fleet=is_fleet)
    assert {duty for duty, statements in found.items() if allows(statements, action, "*")} == ANYWHERE[action]
    for duty, statements in found.items():
        assert not allows(statements, "secretsmanager:BatchGetSecretValue", "*"), duty
        assert not allows(statements, "sts:AssumeRole", "*"), duty


# --- who may act as a role --------------------------------------------------------------------------------------------

MEMBER: dict[str, Any] = json.loads(MEMBER_TEMPLATE.read_text("utf-8"))
GIVEN = {
    "RotationAccount": "210987654321",
    "ExternalId": "acme",
    "UserPattern": "ci-*",
    "FunctionRolePrefix": "keyrota-eu-central-1-",
}


@pytest.mark.parametrize("organization", ["", "o-a1b2c3d4e5"])
def test_each_role_of_a_member_trusts_one_role_with_the_external_id(organization: str) -> None:
    """The trust document as CloudFormation would make it, whole: one thing less, and others get in."""
    stack = Stack(template=MEMBER, parameters=GIVEN | ({"OrganizationId": organization} if organization else {}))
    made = {one["RoleName"]: one["AssumeRolePolicyDocument"] for one in stack.resources("AWS::IAM::Role").values()}
    assert set(made) == {f"keyrota-{duty}" for duty in DUTIES}
    in_organization = {"aws:PrincipalOrgID": organization} if organization else {}
    for name, document in made.items():
        duty = name.removeprefix("keyrota-")
        (statement,) = document["Statement"]
        assert statement == {
            "Effect": "Allow",
            "Action": "sts:AssumeRole",
            "Principal": {"AWS": "arn:aws:iam::210987654321:root"},
            "Condition": {
                "StringEquals": {"sts:ExternalId": "acme"} | in_organization,
                "ArnEquals": {"aws:PrincipalArn": f"arn:aws:iam::210987654321:role/keyrota-eu-central-1-{duty}"},
            },
        }


def test_a_member_s_roles_have_the_rights_of_their_duty_and_no_more() -> None:
    stack = Stack(template=MEMBER, parameters=GIVEN)
    names = {f"keyrota-{name}": one["RoleName"] for name, one in stack.resources("AWS::IAM::Role").items()}
    for policy in stack.resources("AWS::IAM::Policy").values():
        (role,) = policy["Roles"]
        duty = names[role].removeprefix("keyrota-")
        statements = statements_of(policy["PolicyDocument"])
        for action, duties in ANYWHERE.items():
            assert allows(statements, action, "*") is (duty in duties), (duty, action)
        for action in ("iam:CreateAccessKey", "iam:UpdateAccessKey", "iam:DeleteAccessKey"):
            user = f"arn:aws:iam::{ACCOUNT}:user/ci-deploy"
            assert allows(statements, action, user) is (action in FUNCTIONS[duty]), (duty, action)
            assert not allows(statements, action, f"arn:aws:iam::{ACCOUNT}:user/boss"), (duty, action)


@pytest.mark.parametrize("is_fleet", [True, False])
def test_the_stack_s_own_roles_are_assumed_by_services_of_aws_alone(is_fleet: bool) -> None:
    text = "version: 1\nproviders: {github: {auth: {token: 'ssm:/t'}}}\ncredentials:\n  - {user: ci, targets: []}\n"
    scope = scope_of(load_text("x", text), [], partition="aws", account=ACCOUNT, region=REGION)
    stack = Stack(
        template=narrow_template(scope, is_fleet=is_fleet), parameters={"Emergency": "auto", "CodeBucket": "b"}
    )
    services = set()
    for name, one in stack.resources("AWS::IAM::Role").items():
        for statement in one["AssumeRolePolicyDocument"]["Statement"]:
            assert set(statement["Principal"]) == {"Service"}, name
            assert statement["Action"] == "sts:AssumeRole"
            services.add(statement["Principal"]["Service"])
    assert services == {"lambda.amazonaws.com", "scheduler.amazonaws.com"} | (
        {"states.amazonaws.com"} if is_fleet else set()
    )
