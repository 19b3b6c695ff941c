"""
A fleet: the state machine's Distributed Map over 500 credentials in five accounts, on the independent emulator.

The members' roles come from the template for StackSets; the configuration is too large for a parameter and lies in S3;
EventBridge Scheduler starts the executions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from built import the_package
from ministack_rig import ACCOUNT, Ministack, a_ministack

from keyrota.app.deploy.template import MEMBER_TEMPLATE

MEMBERS = tuple(str(number) * 12 for number in range(2, 7))
EACH, DUE = 100, 2
START = datetime(2026, 1, 1, 8, tzinfo=UTC)


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the zip as it is deployed, for this machine."""
    return the_package(tmp_path_factory)


@pytest.fixture
def fleet(tmp_path: Path, package: Path) -> Iterator[Ministack]:
    """Five accounts with 100 users each, two of which have a key of 95 days."""
    with a_ministack(tmp_path, START - timedelta(days=95)) as stack:
        (tmp_path / "package.zip").symlink_to(package)
        lines = ["version: 1", "verify: {times: 1, within: 0s}", "credentials:"]
        for account in MEMBERS:
            iam = stack.client("iam", account)
            parameters = {
                "RotationAccount": ACCOUNT,
                "ExternalId": "acme",
                "UserPattern": "ci-*",
                "FunctionRolePrefix": "keyrota-eu-central-1-",
            }
            stack.client("cloudformation", account).create_stack(
                StackName="keyrota-member",
                TemplateBody=MEMBER_TEMPLATE.read_text("utf-8"),
                Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
                Capabilities=["CAPABILITY_NAMED_IAM"],
            )
            for number in range(EACH):
                user = f"ci-{account[:2]}-{number}"
                iam.create_user(UserName=user)
                if number < DUE:
                    iam.create_access_key(UserName=user)
                about = f"user: {user}, account: '{account}', role: 'keyrota-{{duty}}', external_id: acme, targets: []"
                lines.append(f"  - {{{about}}}")
        stack.travel(START)
        for account in MEMBERS:
            iam = stack.client("iam", account)
            for number in range(DUE, EACH):
                iam.create_access_key(UserName=f"ci-{account[:2]}-{number}")
        (tmp_path / "keyrota.yaml").write_text("\n".join(lines), "utf-8")
        yield stack


def test_a_map_over_500_credentials_in_five_accounts(fleet: Ministack) -> None:
    """One item an account; each enters its account by the role of its duty; results lie in S3."""
    done = fleet.keyrota(
        "deploy", "--yes", "--package", "package.zip", "--fleet", "--encryption-key", "create", cwd=fleet.folder
    )
    assert done.returncode == 0, done.stderr
    assert "stored the configuration as s3://" in done.stderr
    machines = fleet.client("stepfunctions")
    (machine,) = machines.list_state_machines()["stateMachines"]
    arn = machine["stateMachineArn"]
    fleet.travel(START + timedelta(days=1))

    def executions() -> list[Any]:
        return list(machines.list_executions(stateMachineArn=arn)["executions"])

    fleet.wait_until(lambda: len(executions()) >= 4, "four schedules start an execution each")
    fleet.wait_until(
        lambda: all(one["status"] != "RUNNING" for one in executions()), "the executions end", timeout_s=600
    )
    assert {one["status"] for one in executions()} == {"SUCCEEDED"}
    duties = {
        json.loads(machines.describe_execution(executionArn=one["executionArn"])["input"])["duty"]
        for one in executions()
    }
    assert duties == {"rotate", "sync", "deactivate", "delete"}
    for account in MEMBERS:
        iam = fleet.client("iam", account)
        counts = [
            len(iam.list_access_keys(UserName=f"ci-{account[:2]}-{number}")["AccessKeyMetadata"])
            for number in (0, 1, 2, EACH - 1)
        ]
        assert counts == [2, 2, 1, 1], account
    objects = fleet.client("s3").list_objects_v2(Bucket=_bucket(fleet))["Contents"]
    manifests = [one["Key"] for one in objects if one["Key"].startswith("manifests/rotate/")]
    body = fleet.client("s3").get_object(Bucket=_bucket(fleet), Key=manifests[0])["Body"].read()
    items = json.loads(body)
    assert [(item["account"], len(item["users"])) for item in items] == [(account, EACH) for account in MEMBERS]
    definition = machines.describe_state_machine(stateMachineArn=arn)["definition"]
    writer = json.loads(definition)["States"]["EachShard"]["ResultWriter"]  # which the emulator does not carry out
    assert writer["Parameters"]["Prefix"] == "results"


def _bucket(stack: Ministack) -> str:
    buckets: list[str] = [one["Name"] for one in stack.client("s3").list_buckets()["Buckets"]]
    return next(name for name in buckets if "fleetbucket" in name.lower().replace("-", ""))
