"""boto3 and the AWS CLI against the sandbox's AWS."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator

import pytest
from client_rig import PYTHON, demand, run_python

from keyrota_sandbox.cloud import Cloud


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """A sandbox."""
    with Cloud() as made:
        yield made


def test_boto3(cloud: Cloud) -> None:
    account = cloud.admin.account_id
    assert run_python("boto3_aws", cloud.environment()) == {
        "caller": f"arn:aws:iam::{account}:user/administrator",
        "users": ["u0", "u1", "u2"],
        "pages": [1, 1],
        "third key": "LimitExceeded",
        "user with keys": "DeleteConflict",
        "no such user": "NoSuchEntity",
        "status": "ValidationError",
        "stages": ["AWSCURRENT", "mine"],
        "current": "one",
        "mine": "two",
        "no such secret": "ResourceNotFoundException",
        "parameter": "v",
        "too large": "ValidationException",
        "inactive": "InvalidClientTokenId",
    }


def _aws(cloud: Cloud, *words: str) -> subprocess.CompletedProcess[str]:
    demand(PYTHON.exists(), "the AWS CLI is not installed: make clients")
    environment = {"PATH": os.environ["PATH"], "AWS_PAGER": "", **cloud.environment()}
    return subprocess.run(
        [PYTHON.with_name("aws"), *words], env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_aws_cli(cloud: Cloud) -> None:
    cloud.admin.add_user("ci-deploy")
    made = {cloud.admin.add_key("ci-deploy").id, cloud.admin.add_key("ci-deploy").id}
    assert json.loads(_aws(cloud, "sts", "get-caller-identity").stdout)["Arn"].endswith(":user/administrator")
    listed = _aws(cloud, "iam", "list-access-keys", "--user-name", "ci-deploy", "--page-size", "1")
    assert {key["AccessKeyId"] for key in json.loads(listed.stdout)["AccessKeyMetadata"]} == made
    refused = _aws(cloud, "iam", "create-access-key", "--user-name", "ci-deploy")
    assert refused.returncode != 0
    assert "LimitExceeded" in refused.stderr
    value = json.dumps({"AWS_ACCESS_KEY_ID": "AKIA" + "X" * 16, "AWS_SECRET_ACCESS_KEY": "x"})
    stored = _aws(cloud, "secretsmanager", "create-secret", "--name", "s", "--secret-string", value)
    assert stored.returncode == 0, stored.stderr
    changed = _aws(cloud, "secretsmanager", "put-secret-value", "--secret-id", "s", "--secret-string", value)
    assert json.loads(changed.stdout)["VersionStages"] == ["AWSCURRENT"]
