"""A secret that exists before the first run, and that someone outside the account may read: with the real command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_rig import SECRET, USER, Sandbox, a_sandbox

from keyrota_sandbox.faults import Fault

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
    """The tag `keyrota:user` proves nothing; the secret received the key."""
    share(sandbox)
    code, out, err = sandbox.run(*command.split())
    assert code == expected, out + err
    assert f"its resource policy allows secretsmanager:GetSecretValue to arn:aws:iam::{THEIRS}:root" in out + err
    assert makes(sandbox) == 0
    assert list(sandbox.keys()) == [sandbox.old.id]
    sandbox.admin("secretsmanager").delete_resource_policy(SecretId=SECRET)
    sandbox.run("apply")  # adopts the empty value; the rotation is left to the next run
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


def put(sandbox: Sandbox) -> None:
    """Let a person store the user's key in the secret, with the plain command."""
    text = json.dumps({"AWS_ACCESS_KEY_ID": sandbox.old.id, "AWS_SECRET_ACCESS_KEY": sandbox.old.secret.reveal()})
    sandbox.admin("secretsmanager").put_secret_value(SecretId=SECRET, SecretString=text)


def test_a_value_that_a_person_put_is_not_adopted_where_another_account_reads_it(sandbox: Sandbox) -> None:
    """It was adopted without the question, and the rotation after it went to the other account."""
    put(sandbox)
    share(sandbox)
    code, out, err = sandbox.run("apply")
    assert code == 3, out + err
    assert f"no key is adopted from {SECRET}: its resource policy allows" in out
    assert makes(sandbox) == 0


def test_a_policy_that_comes_later_holds_the_next_rotation(sandbox: Sandbox) -> None:
    """Not only the first key: labels and tags of the secret prove nothing, and a policy may come at any time."""
    sandbox.run("apply")  # adopts the empty value; the rotation is left to the next run
    assert sandbox.run("apply")[0] == 0
    for _ in range(3):
        sandbox.travel(days=15)
        sandbox.run("apply")
    share(sandbox)
    sandbox.travel(days=50)
    before = makes(sandbox)
    code, out, _ = sandbox.run("apply")
    assert code == 3
    assert "its resource policy allows" in out
    assert makes(sandbox) == before
    sandbox.configure(f"    secret: {SECRET}\n", f'    secret: {SECRET}\n    secret_readers: ["{THEIRS}"]\n')
    assert sandbox.run("apply")[0] == 0
    assert makes(sandbox) == before + 1


def test_a_label_that_looks_like_a_key_id_does_not_answer_the_question(sandbox: Sandbox) -> None:
    """Whoever makes the secret sets labels as well."""
    aws = sandbox.admin("secretsmanager")
    (version,) = aws.describe_secret(SecretId=SECRET)["VersionIdsToStages"]
    aws.update_secret_version_stage(SecretId=SECRET, VersionStage=sandbox.old.id, MoveToVersionId=version)
    share(sandbox)
    code, out, err = sandbox.run("apply")
    assert code != 0, out + err
    assert makes(sandbox) == 0
