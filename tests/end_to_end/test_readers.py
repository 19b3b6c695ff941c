"""A secret that exists before the first run, and that someone outside the account may read: with the real command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_rig import SECRET, USER, Sandbox, a_sandbox

from keyrota.sandbox.faults import Fault

THEIRS = "999999999999"


@pytest.fixture
def sandbox(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Sandbox]:
    """A user with a key of 91 days, and a secret with our tag that someone made before keyrota ran."""
    with a_sandbox(tmp_path, capsys) as made:
        aws = made.admin("secretsmanager")
        aws.create_secret(Name=SECRET, SecretString="{}", Tags=[{"Key": "keyrota:user", "Value": USER}])
        yield made


def share(sandbox: Sandbox) -> None:
    """Let another account read the secret."""
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{THEIRS}:root"},
        "Action": "secretsmanager:GetSecretValue",
        "Resource": "*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sandbox.admin("secretsmanager").put_resource_policy(SecretId=SECRET, ResourcePolicy=policy)


def makes(sandbox: Sandbox) -> int:
    return [call.operation for call in sandbox.cloud.aws.journal].count("iam:CreateAccessKey")


COMMANDS = {3: ["apply"], 1: [f"rotate {USER} --yes", f"revoke {USER} --yes"]}
"""By exit code: a command that was asked for one key, and did not replace it, has failed."""


@pytest.mark.parametrize(("expected", "command"), [(code, one) for code, those in COMMANDS.items() for one in those])
def test_no_key_is_stored_into_a_secret_that_another_account_reads(
    sandbox: Sandbox, expected: int, command: str
) -> None:
    """E6: the tag `keyrota:user` proves nothing; the secret received the key."""
    share(sandbox)
    code, out, err = sandbox.run(*command.split())
    assert code == expected, out + err
    assert f"its resource policy allows secretsmanager:GetSecretValue to arn:aws:iam::{THEIRS}:root" in out + err
    assert makes(sandbox) == 0
    assert list(sandbox.keys()) == [sandbox.old.id]
    sandbox.admin("secretsmanager").delete_resource_policy(SecretId=SECRET)
    assert sandbox.run("apply")[0] == 0
    assert sandbox.held()["AWS_ACCESS_KEY_ID"] != sandbox.old.id


def test_a_policy_that_may_not_be_read_is_unknown(sandbox: Sandbox) -> None:
    sandbox.cloud.faults.add(
        Fault(operation="secretsmanager:GetResourcePolicy", status=400, code="AccessDeniedException", times=-1)
    )
    code, out, err = sandbox.run("apply")
    assert code == 3, err
    assert "who else may read it is not known" in out + err
    assert "secretsmanager:GetResourcePolicy" in out + err
    assert makes(sandbox) == 0
