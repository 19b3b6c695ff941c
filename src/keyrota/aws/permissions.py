"""What keyrota asks of AWS, by duty: data for `check`, for the documentation and for least-privilege policies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from keyrota.aws._translate import aws_call
from keyrota.aws.account import Account
from keyrota.core.model import SECRET_TAG
from keyrota.errors import KeyrotaError

LOOK = ("iam:ListAccessKeys", "iam:GetAccessKeyLastUsed", "secretsmanager:DescribeSecret")
"""What every duty needs to observe; no secret value is read."""

_ASK_OWNER = "iam:ListUserTags"
"""Whether another secret keeps the user's keys: asked before a key is made, taken in, deactivated or deleted."""

TAGGING = ("iam:TagUser", "iam:UntagUser")
"""Allowed for one tag only: other tags of a user may decide what it is allowed (attribute-based access control)."""
TAGGING_CONDITION: Mapping[str, Any] = {"ForAllValues:StringEquals": {"aws:TagKeys": [SECRET_TAG]}}
"""Beside `TAGGING` in every policy."""

READING = (*LOOK, _ASK_OWNER, "secretsmanager:GetResourcePolicy")
"""
What `plan` needs to say exactly what `apply` would do.

With secretsmanager:GetSecretValue, which it can do without, it also judges a value that someone else has put into a
secret; without, `sync` and `apply` are the first to say that it cannot be served.
"""

SELECTING = ("iam:GetAccountAuthorizationDetails",)
"""
What every duty needs where a configuration selects users, beside secretsmanager:ListSecrets; neither takes a resource.

It shows policies as well; IAM has no other call that lists users with their tags.
"""

DUTIES: Mapping[str, tuple[str, ...]] = {
    "rotate": (
        *LOOK,
        _ASK_OWNER,
        "iam:CreateAccessKey",
        "iam:TagUser",
        "secretsmanager:CreateSecret",
        "secretsmanager:GetResourcePolicy",
        "secretsmanager:GetSecretValue",
        "secretsmanager:PutSecretValue",
        "secretsmanager:UpdateSecretVersionStage",
        "secretsmanager:TagResource",
    ),
    "sync": (*LOOK, _ASK_OWNER, "secretsmanager:GetSecretValue", "secretsmanager:TagResource"),
    "deactivate": (*LOOK, _ASK_OWNER, "iam:UpdateAccessKey", "secretsmanager:TagResource"),
    "delete": (*LOOK, _ASK_OWNER, "iam:DeleteAccessKey"),
    "revoke": (
        "iam:UpdateAccessKey",
        "iam:PutUserPolicy",
        "iam:ListAttachedUserPolicies",
        "iam:DetachUserPolicy",
    ),
    "release": ("iam:UntagUser", "secretsmanager:TagResource"),
}
"""`status` needs LOOK, `plan` and `check` READING. sts:GetCallerIdentity needs no permission."""


FUNCTIONS: Mapping[str, tuple[str, ...]] = {
    "rotate": DUTIES["rotate"],
    "sync": DUTIES["sync"],
    "deactivate": DUTIES["deactivate"],
    "delete": DUTIES["delete"],
    "watch": LOOK,
    "rotation": tuple(
        action
        for action in DUTIES["rotate"]
        if action not in {"secretsmanager:CreateSecret", "secretsmanager:TagResource"}
    ),
    "emergency": (
        *DUTIES["rotate"],
        "iam:UpdateAccessKey",
        "iam:ListAttachedUserPolicies",
    ),
}
"""What the role of each Lambda function is allowed on users and their secrets."""

LISTS = ("iam:GenerateCredentialReport", "iam:GetCredentialReport", "secretsmanager:ListSecrets")
"""
What whole accounts show at once: with it, a run of many credentials reads only those that something is due for.

Without it, each is read by itself.
"""

ANYWHERE: Mapping[str, tuple[str, ...]] = {
    "rotate": ("sts:GetAccessKeyInfo", *LISTS),
    "sync": ("sts:GetAccessKeyInfo", *LISTS),
    "deactivate": LISTS,
    "delete": LISTS,
    "emergency": ("sts:GetAccessKeyInfo",),
}
"""
What some functions are allowed besides, of actions that take no resource (Service Authorization Reference).

Who writes to a place for the first time asks whose account a key is that it shows; `sync`, which looks at all
credentials once a day, also lists secrets (names and tags, no values): to report those that left the configuration, and
to compare the places that are written with those of other credentials.
"""


def all_actions() -> tuple[str, ...]:
    """Name every action, once."""
    return tuple(dict.fromkeys(action for actions in DUTIES.values() for action in actions))


def policy_document(duty: str, *, account: str, user: str, secret_name: str, partition: str = "aws") -> dict[str, Any]:
    """Write the least-privilege policy of one duty for one user and one secret."""
    user_arn = f"arn:{partition}:iam::{account}:user/{user}"
    secret_arn = f"arn:{partition}:secretsmanager:*:{account}:secret:{secret_name}-*"
    statements = []
    for prefix, resource in (("iam:", user_arn), ("secretsmanager:", secret_arn)):
        actions = sorted(action for action in DUTIES[duty] if action.startswith(prefix))
        statements += allow(actions, resource)
    return {"Version": "2012-10-17", "Statement": statements}


def allow(actions: Iterable[str], resources: str | list[str]) -> list[dict[str, Any]]:
    """Write the statements that allow actions on resources; tagging in a statement of its own, for one tag."""
    statements = []
    actions = tuple(actions)
    for chosen, condition in (
        ([action for action in actions if action not in TAGGING], {}),
        ([action for action in actions if action in TAGGING], {"Condition": dict(TAGGING_CONDITION)}),
    ):
        if chosen:
            statements.append({"Effect": "Allow", "Action": chosen, "Resource": resources, **condition})
    return statements


def simulate(account: Account, actions: Iterable[str]) -> dict[str, bool | None]:
    """
    Ask IAM which actions the caller is allowed, on any resource.

    Returns:
        For each action True or False; None where it cannot be told (iam:SimulatePrincipalPolicy is not allowed, or
        its answer cannot be read).
    """
    names = list(actions)
    unknown: dict[str, bool | None] = dict.fromkeys(names)
    try:
        with aws_call("iam:SimulatePrincipalPolicy", "the caller"):
            answer = account.client("iam").simulate_principal_policy(
                PolicySourceArn=principal(account.caller()), ActionNames=names
            )
            results = [(result["EvalActionName"], result["EvalDecision"]) for result in answer["EvaluationResults"]]
    except KeyrotaError:
        return unknown
    return unknown | {name: decision == "allowed" for name, decision in results if name in unknown}


def principal(arn: str) -> str:
    """Return the ARN of a session's role (IAM simulates and trusts roles, not sessions); any other ARN as it is."""
    head, _, rest = arn.partition(":assumed-role/")
    if not rest:
        return arn
    return f"{head.replace(':sts:', ':iam:')}:role/{rest.split('/')[0]}"
