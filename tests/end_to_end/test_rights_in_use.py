"""Functions with their own roles' policies, judged by the sandbox: what they see with them, and without."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from cfn import REGION, Stack
from cli_rig import SECRET, USER
from function_rig import ACCOUNT, STACK, Context, Rig, rig

from keyrota.app.config import load_text
from keyrota.app.deploy.template import narrow_template, scope_of
from keyrota.app.functions import rotate, sync
from keyrota_sandbox.aws.policy_evaluator import Rights, statements_of

pytestmark = pytest.mark.usefixtures("rig")
__all__ = ["rig"]

LEFT = "Credential Left"
UNKNOWN = "whether a credential left the configuration is not known"
Choice = Callable[[str], bool]


def statements(rig: Rig, duty: str) -> list[Mapping[str, Any]]:
    """The policies of a function's role, as `keyrota deploy` narrows them to the configuration."""
    configured = load_text("x", rig.stored_text())
    users = [f"arn:aws:iam::{ACCOUNT}:user/{entry.user}" for entry in configured.credentials]
    scope = scope_of(configured, users, partition="aws", account=ACCOUNT, region=REGION)
    stack = Stack(template=narrow_template(scope, is_fleet=False), parameters={"CodeBucket": "b", "Emergency": "auto"})
    role = next(
        one["Role"].rpartition("/")[2]
        for one in stack.resources("AWS::Lambda::Function").values()
        if one["Handler"].split(".")[-2] == duty
    )
    return [
        statement
        for policy in stack.resources("AWS::IAM::Policy").values()
        if role in policy["Roles"]
        for statement in statements_of(policy["PolicyDocument"])
    ]


@contextmanager
def acting_as(rig: Rig, duty: str, *, without: str = "") -> Iterator[Rights]:
    """Let what happens within have the rights of a duty, perhaps without an action."""
    allowed = [one for one in statements(rig, duty) if without not in str(one["Action"]) or not without]
    allowed += [
        {**one, "Action": [action for action in one["Action"] if action != without]}
        for one in statements(rig, duty)
        if without and without in one["Action"] and not isinstance(one["Action"], str)
    ]
    iam = rig.box.admin("iam")
    iam.create_user(UserName=f"acts-as-{duty}{len(without)}")
    key = iam.create_access_key(UserName=f"acts-as-{duty}{len(without)}")["AccessKey"]
    rig.box.travel(minutes=1)  # IAM is eventually consistent
    rights = rig.box.cloud.aws.rights
    rights.grant(duty, key["AccessKeyId"], [one for one in allowed if one["Action"]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        patch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
        yield rights


def leave(rig: Rig) -> None:
    """A user in the middle of a rotation leaves the configuration for another one."""
    rotate.handler({}, Context())
    rotate.handler({}, Context())
    rig.box.cloud.admin.add_user("ci-other")
    rig.box.configure(f"user: {USER}", "user: ci-other")
    rig.box.configure(f"secret: {SECRET}", "secret: keyrota/ci-other")
    rig.box.configure("environment: Production", "environment: Staging")
    rig.store()
    rig.lines()


def departed(rig: Rig) -> list[float]:
    """The metric of the lines since the last time."""
    return [line["Departed"][0] for line in rig.lines() if "Departed" in line]


def test_the_daily_function_reports_a_credential_that_left(rig: Rig) -> None:
    """Each day, until a person releases it; not when an event comes."""
    leave(rig)
    for day in (1, 2):
        with acting_as(rig, "sync", without="x" * day):
            sync.handler({}, Context())
        (*_, told) = rig.told(LEFT)
        assert len(rig.told(LEFT)) == day
        assert (told["user"], told["account"], told["secret"]) == (USER, ACCOUNT, SECRET)
        release = told["remedy"].partition("keyrota release ")[2].split()
        assert departed(rig) == [1.0]
    assert release == [f"{ACCOUNT}:{USER}", "--stack", STACK]
    assert rig.box.run("release", *release, "--yes")[0] == 0
    with acting_as(rig, "sync"):
        sync.handler({}, Context())
    assert (len(rig.told(LEFT)), departed(rig)) == (2, [0.0])


def test_without_the_right_it_is_unknown_and_said(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """A role that was deployed before: no zero in the metric, and the log says what to do."""
    leave(rig)
    with acting_as(rig, "sync", without="secretsmanager:ListSecrets"):
        sync.handler({}, Context())
    (record,) = [record for record in caplog.records if record.message == UNKNOWN]
    assert record.levelname == "ERROR"
    assert "ListSecrets" in vars(record)["error"]
    assert vars(record)["remedy"]
    assert departed(rig) == []


@pytest.mark.parametrize("without", ["", "sts:GetAccessKeyInfo"])
@pytest.mark.parametrize("duty", ["rotate", "sync"])
def test_a_first_write_names_the_account_of_another_ones_key(
    rig: Rig, duty: str, without: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Only with the right: the hold is there either way."""
    if duty == "sync":
        rotate.handler({}, Context())
        rotate.handler({}, Context())
    rig.box.bitbucket.set_variable("acme", "shop", "Production", "AWS_ACCESS_KEY_ID", "AKIAQYLPMN5HHHFPZAM2")
    caplog.clear()
    with acting_as(rig, duty, without=without) as rights:
        {"rotate": rotate, "sync": sync}[duty].handler({}, Context())
    held = " ".join(str(vars(record)["reason"]) for record in caplog.records if record.message == "held")
    assert "AKIAQYLPMN5HHHFPZAM2" in held
    assert ("a key of the account 052310077262" in held) is not bool(without), held
    used = {use.action for use in rights.uses}
    assert ("sts:GetAccessKeyInfo" in used) is not bool(without)
