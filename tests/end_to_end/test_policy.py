"""`keyrota policy`: what a configuration needs, no more, judged by the sandbox's own evaluator of policies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cli_rig import Sandbox, a_sandbox

CALLER = "arn:aws:iam::111111111111:role/pipelines/keyrota"
CONFIG = """\
version: 1
aws: {region: eu-west-1}
providers:
  github: {auth: {token: "secretsmanager:tokens/github"}}
  gitlab: {auth: {token: "ssm:/tokens/gitlab"}}
  ssm: {}
credentials:
  - user: ci-deploy
    targets: [{github: {repository: acme/shop, marker: true}}, {ssm: {parameter: /ci/key}}]
  - user: ci-deploy
    account: "222222222222"
    role: keyrota
    external_id: "ours ${not} yours"
    region: us-east-1
    targets: [{gitlab: {project: acme/web}}]
"""


@pytest.fixture
def sandbox(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Sandbox]:
    """A sandbox of its own."""
    with a_sandbox(tmp_path, capsys) as made:
        yield made


class Done(NamedTuple):
    """What the command did."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def run(sandbox: Sandbox, tmp_path: Path) -> Any:
    """Run the command on the configuration above; AWS is not asked."""
    (tmp_path / "two-accounts.yaml").write_text(CONFIG)

    def call(*words: str) -> Done:
        return Done(*sandbox.run("policy", "--caller", CALLER, *words, "--config", str(tmp_path / "two-accounts.yaml")))

    return call


def _allowed(document: dict[str, Any]) -> dict[str, list[str]]:
    return {
        resource: sorted(
            action for one in document["Statement"] if resource in one["Resource"] for action in one["Action"]
        )
        for one in document["Statement"]
        for resource in one["Resource"]
    }


def test_the_policy_of_the_account_that_keyrota_runs_in(run: Any) -> None:
    done = run()
    allowed = _allowed(json.loads(done.stdout))
    assert "iam:CreateAccessKey" in allowed["arn:aws:iam::111111111111:user/ci-deploy"]
    assert "iam:CreateAccessKey" in allowed["arn:aws:iam::111111111111:user/*/ci-deploy"]
    secret = allowed["arn:aws:secretsmanager:eu-west-1:111111111111:secret:keyrota/ci-deploy/access-key-??????"]
    assert "secretsmanager:PutSecretValue" in secret
    assert allowed["arn:aws:secretsmanager:eu-west-1:111111111111:secret:tokens/github-??????"] == [
        "secretsmanager:GetSecretValue"
    ]
    assert allowed["arn:aws:ssm:eu-west-1:111111111111:parameter/tokens/gitlab"] == ["ssm:GetParameter"]
    assert "ssm:PutParameter" in allowed["arn:aws:ssm:eu-west-1:111111111111:parameter/ci/key"]
    assert "ssm:GetParameter" not in allowed["arn:aws:ssm:eu-west-1:111111111111:parameter/ci/key"]
    assert allowed["arn:aws:iam::222222222222:role/keyrota"] == ["sts:AssumeRole"]
    assert not any("222222222222" in resource and "user" in resource for resource in allowed)
    assert "keyrota policy --account 222222222222" in done.stderr


def test_a_plan_needs_no_right_to_change_or_to_read_a_secret(run: Any) -> None:
    document = json.loads(run("--duty", "plan").stdout)
    for resource, actions in _allowed(document).items():
        verbs = {action.partition(":")[2] for action in actions}
        allowed = {"AssumeRole", "GetAccessKeyInfo", "GenerateCredentialReport", "GetCredentialReport"} | (
            {"GetSecretValue", "GetParameter"} if "tokens" in resource else set()
        )
        assert all(
            verb in allowed or verb.startswith(("List", "Describe", "GetAccessKey", "GetResource")) for verb in verbs
        )


def test_the_member_role(run: Any) -> None:
    allowed = _allowed(json.loads(run("--account", "222222222222").stdout))
    assert "iam:CreateAccessKey" in allowed["arn:aws:iam::222222222222:user/ci-deploy"]
    assert "arn:aws:secretsmanager:us-east-1:222222222222:secret:keyrota/ci-deploy/access-key-??????" in allowed
    assert not any("111111111111" in resource or "tokens" in resource for resource in allowed)
    trust = json.loads(run("--account", "222222222222", "--trust").stdout)
    assert trust["Statement"] == [
        {
            "Effect": "Allow",
            "Principal": {"AWS": CALLER},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"sts:ExternalId": "ours ${not} yours"}},
        }
    ]


def test_as_terraform(run: Any) -> None:
    text = run("--format", "terraform").stdout
    assert text.count('resource "aws_iam_policy"') == 2
    assert text.count('resource "aws_iam_role" ') == 1
    assert "ours $${not} yours" in text
    assert "provider = aws.account_222222222222" in text


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--account", "333333333333"), "no credential is reached through a role in account 333333333333"),
        (("--trust",), "needs no trust policy"),
    ],
)
def test_what_it_cannot_print_is_refused(run: Any, words: tuple[str, ...], what: str) -> None:
    done = run(*words)
    assert done.returncode == 1
    assert what in done.stderr


def test_a_caller_that_is_not_an_arn_is_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "two-accounts.yaml").write_text(CONFIG)
    done = Done(*sandbox.run("policy", "--caller", "me", "--config", str(tmp_path / "two-accounts.yaml")))
    assert done.returncode == 1
    assert "'me' is not the ARN of a principal" in done.stderr


def test_the_caller_is_asked_from_sts(sandbox: Sandbox) -> None:
    done = Done(*sandbox.run("policy", "--duty", "plan"))
    assert f":{sandbox.cloud.admin.account_id}:user/" in done.stdout
