"""Keys that people make, deactivate and delete beside keyrota, with the real commands over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cli_rig import USER, Sandbox, a_sandbox


@pytest.fixture
def sandbox(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Sandbox]:
    """A user with a key of 91 days that its pipeline holds."""
    with a_sandbox(tmp_path, capsys) as started:
        yield started


def test_a_key_that_a_target_shows_is_adopted_and_the_other_one_released(sandbox: Sandbox) -> None:
    """C3: two keys, none stored. No report tells how to delete the used one, check fails, adopt leads out of it."""
    sandbox.cloud.admin.add_key(USER, age=timedelta(days=900), status="Inactive")
    (other,) = sandbox.keys().keys() - {sandbox.old.id}
    code, out, _ = sandbox.run("plan")
    assert "delete-access-key" not in out
    assert f"--release {sandbox.old.id}" not in out
    assert f"keyrota adopt {USER} --release {other}" in out
    assert f"keyrota adopt {USER} --key {sandbox.old.id}" in out
    code, document = sandbox.json("check")
    failed = [item for item in document["checks"] if item["ok"] is False]
    assert (code, any("cannot be rotated" in item["detail"] for item in failed)) == (1, True)
    code, _, err = sandbox.run("adopt", USER, "--release", sandbox.old.id, "--yes")
    assert code != 0
    assert sandbox.keys()[sandbox.old.id] == "Active"
    code, _, err = sandbox.run("adopt", USER, "--release", other, "--yes")
    assert (code, f"{other} (Inactive): made" in err) == (0, True)
    code, _, err = sandbox.run("adopt", USER, "--yes")
    assert (code, f"{sandbox.old.id} is chosen" in err) == (0, True)
    sandbox.json("apply")
    assert set(sandbox.keys()) == {sandbox.old.id, other}, "its grace has only begun"
    sandbox.travel(days=10, hours=1)
    code, document = sandbox.json("apply")
    actions = [action["action"] for action in document["credentials"][0]["done"]]
    assert (code, actions) == (0, ["delete-orphan", "rotate", "sync"])
    assert other not in set(sandbox.keys())
    assert sandbox.deploys()


def test_adopt_does_not_guess(sandbox: Sandbox) -> None:
    """Two Active keys, and the targets show neither: the evidence is listed, and a person names one."""
    sandbox.bitbucket.set_variable("acme", "shop", "Production", "AWS_ACCESS_KEY_ID", "x", secured=True)
    second = sandbox.cloud.admin.add_key(USER, age=timedelta(days=30))
    code, _, err = sandbox.run("adopt", USER, "--yes")
    assert code == 1
    assert "which key to keep is not clear" in err
    assert f"{second.id} (Active): made" in err
    assert "--key" in err


def test_a_deactivated_only_key_is_left_to_a_person(sandbox: Sandbox) -> None:
    """C5: security deactivates the only key, which keyrota has not adopted: no new key goes to Production."""
    sandbox.admin("iam").update_access_key(UserName=USER, AccessKeyId=sandbox.old.id, Status="Inactive")
    code, document = sandbox.json("apply")
    assert code in {1, 3}
    assert set(sandbox.keys()) == {sandbox.old.id}
    holds = document["credentials"][0]["holds"]
    assert any("someone deactivated it" in hold["reason"] and "--new-key" in hold["remedy"] for hold in holds)
    code, _, _ = sandbox.run("adopt", USER, "--new-key", "--yes")
    assert code == 0
    sandbox.json("apply")
    assert len(sandbox.keys()) == 2
    assert sandbox.deploys()


def test_a_deleted_only_key_is_left_to_a_person(sandbox: Sandbox) -> None:
    """C5, its sibling: the key is deleted, and Production shows it still."""
    sandbox.admin("iam").delete_access_key(UserName=USER, AccessKeyId=sandbox.old.id)
    code, document = sandbox.json("apply")
    assert code in {1, 3}
    assert sandbox.keys() == {}
    assert any("someone deleted the key" in hold["reason"] for hold in document["credentials"][0]["holds"])
