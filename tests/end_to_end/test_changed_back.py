"""A controller that puts the old value back ends in one hold; what a configuration names wrongly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_rig import CANARY_TOKEN, Sandbox, a_sandbox
from moto.secretsmanager.models import secretsmanager_backends

from keyrota_sandbox.cloud import REGION
from keyrota_sandbox.faults import Fault


@pytest.fixture
def sandbox(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Sandbox]:
    """One for each test."""
    with a_sandbox(tmp_path, capsys) as made:
        yield made


def put_back(sandbox: Sandbox, patch: pytest.MonkeyPatch) -> None:
    """Let a controller put the old pair back after every write."""
    bitbucket, where = type(sandbox.bitbucket), ("acme", "shop", "Production")
    original = bitbucket.__call__

    def controlled(self: Any, request: Any) -> Any:
        answer = original(self, request)
        if request.method == "PUT":
            self.set_variable(*where, "AWS_ACCESS_KEY_ID", sandbox.old.id)
            self.set_variable(*where, "AWS_SECRET_ACCESS_KEY", sandbox.old.secret.reveal(), secured=True)
        return answer

    patch.setattr(bitbucket, "__call__", controlled)


def test_a_controller_that_puts_the_old_value_back_ends_in_one_hold(sandbox: Sandbox) -> None:
    with pytest.MonkeyPatch.context() as patch:
        put_back(sandbox, patch)
        code, document = sandbox.json("apply")
    (credential,) = document["credentials"]
    assert "a bug in keyrota" not in str(document)
    (hold,) = [hold for hold in credential["holds"] if "changed back right after our write" in hold["reason"]]
    assert (code, hold["target"]) == (3, "bitbucket acme/shop Production")
    writes = [operation for operation, _ in sandbox.bitbucket.journal if operation.startswith("PUT")]
    assert len(writes) == 2
    assert sandbox.run("apply")[0] == 0
    assert sandbox.held()["AWS_ACCESS_KEY_ID"] != sandbox.old.id


def test_a_tag_that_somebody_removes_each_time_is_no_bug_of_keyrota(sandbox: Sandbox) -> None:
    """The same with the bookkeeping in Secrets Manager."""
    sandbox.run("apply")
    sandbox.travel(days=1)
    aws = sandbox.cloud.aws
    stored, known = secretsmanager_backends[sandbox.cloud.admin.account_id][REGION], aws.on_call

    def removed(operation: str, *more: Any) -> None:
        known(operation, *more)
        if operation == "secretsmanager:TagResource":
            stored.untag_resource(secret_id="keyrota/ci-deploy", tag_keys=["keyrota:synced", "keyrota:sync-pass"])

    aws.on_call = removed
    code, document = sandbox.json("apply")
    assert code in {1, 3}
    assert "a bug in keyrota" not in str(document)
    assert len([operation for operation, _ in sandbox.bitbucket.journal if operation.startswith("PUT")]) <= 2 * 7


def test_a_region_that_is_not_enabled_is_named_at_once(sandbox: Sandbox) -> None:
    """It refuses every key, as if the new one were not known there yet."""
    sandbox.file.write_text(sandbox.file.read_text("utf-8") + "verify: {regions: [me-south-1]}\n", "utf-8")
    off = Fault(operation="sts:GetCallerIdentity", status=403, code="InvalidClientTokenId", skip=1, times=-1)
    sandbox.cloud.faults.add(off)
    code, out, _ = sandbox.run("check")
    assert code == 1
    assert "verify.regions: me-south-1: the region me-south-1 accepts no key of this account" in out
    sandbox.cloud.faults.clear()
    again = Fault(operation="sts:GetCallerIdentity", status=403, code="InvalidClientTokenId", skip=1, times=-1)
    sandbox.cloud.faults.add(again)
    before = sandbox.cloud.clock.now()
    code, out, _ = sandbox.run("apply")
    assert code == 1
    assert "me-south-1" in out
    assert (sandbox.cloud.clock.now() - before).total_seconds() < 60


@pytest.mark.parametrize(
    ("reference", "remedy"),
    [
        ("secretsmanager:keyrota-tokens/bitbucket", "create the secret in the account and region that keyrota runs in"),
        ("secretsmanager:keyrota-tokens/bitbucket#token", "create the secret"),
        ("ssm:/ci/bitbucket", "create the parameter in the account and region that keyrota runs in"),
        ("ssm:/ci/bitbucket:3", "create the parameter"),
        ("env:BITBUCKET_TOKEN_OF_NOBODY", "export BITBUCKET_TOKEN_OF_NOBODY=…"),
        ("file:/nowhere/bitbucket-token", "correct the path"),
    ],
)
def test_a_reference_that_leads_nowhere_is_named_once(sandbox: Sandbox, reference: str, remedy: str) -> None:
    """With its remedy, and not once for each target; a variable and a file were not named at all."""
    sandbox.configure('token: "env:BITBUCKET_TOKEN"', f'token: "{reference}"')
    sandbox.configure(
        "environment: Production}",
        "environment: Production}\n      - bitbucket: {workspace: acme, repository: shop, environment: Test}",
    )
    code, out, _ = sandbox.run("check")
    assert (code, CANARY_TOKEN in out) == (1, False)
    assert out.count("cannot be resolved") == 1
    assert f"✗ {reference}: the token reference {reference} cannot be resolved: " in out
    assert remedy in out
    for command in ("plan", "apply", "status"):
        _, out, _ = sandbox.run(command)
        assert f"the token reference {reference} cannot be resolved" in out, command
        assert out.count("cannot be resolved") == 2, out  # what could not be read, and what is not rotated
        assert "  ‖ held       2 targets: the token reference" in out, out
