"""A second configuration names the same IAM user with another secret: with the real command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_rig import SECRET, USER, Sandbox, a_sandbox

from keyrota.core.model import SECRET_TAG
from keyrota_sandbox.cloud import REGION
from keyrota_sandbox.faults import Fault

SECOND = "ci/second"
SAID = f"the secret {REGION}:{SECRET} keeps the keys of {USER}"
WRITES = ("Create", "Update", "Delete", "Put", "Tag", "Untag")


@pytest.fixture
def box(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Sandbox]:
    """A first configuration serves the user's only key, which is due again; a second one names another secret."""
    with a_sandbox(tmp_path, capsys) as made:
        assert made.run("apply")[0] == 0
        for _ in range(2):
            made.travel(days=15)
            assert made.run("apply")[0] == 0
        assert len(made.keys()) == 1, "the key before it is deleted"
        made.travel(days=65)
        second(made)
        yield made


def second(box: Sandbox) -> None:
    """Go to the machine of the second configuration, whose pipeline is another one."""
    box.configure(f"secret: {SECRET}", f"secret: {SECOND}")
    box.configure("environment: Production", "environment: Staging")


def first(box: Sandbox) -> None:
    """Go back to the first one."""
    box.configure(f"secret: {SECOND}", f"secret: {SECRET}")
    box.configure("environment: Staging", "environment: Production")


def tag(box: Sandbox) -> str:
    tags = box.admin("iam").list_user_tags(UserName=USER)["Tags"]
    return next((one["Value"] for one in tags if one["Key"] == SECRET_TAG), "")


def written(box: Sandbox, before: int) -> list[str]:
    """Name what was changed since the journal had so many calls."""
    calls = [call.operation for call in box.cloud.aws.journal[before:]]
    return [name for name in calls if name.partition(":")[2].startswith(WRITES)]


COMMANDS = {
    "apply": 3,
    "sync": 0,
    f"rotate {USER} --yes": 1,
    f"revoke {USER} --yes": 1,
    f"adopt {USER} --yes": 1,
    f"adopt {USER} --new-key --yes": 1,
    f"adopt {USER} --release KEY --yes": 1,
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_second_configuration_holds_before_it_writes_anything(box: Sandbox, command: str) -> None:
    """It adopted the key that the first one serves, deactivated and deleted it."""
    before, keys = len(box.cloud.aws.journal), box.keys()
    (key,) = keys
    code, out, err = box.run(*command.replace("KEY", key).split())
    assert code == COMMANDS[command], out + err
    if command != "sync":  # nothing is there that it could serve
        assert SAID in out + err
        assert f"keyrota adopt {USER} --take-over" in out + err
    assert written(box, before) == []
    assert box.keys() == keys


def test_plan_and_check_say_so(box: Sandbox) -> None:
    code, out, _ = box.run("plan")
    assert SAID in out
    assert code in {0, 3}
    code, out, _ = box.run("check")
    assert code == 1
    assert SAID in out


def test_the_other_secret_may_be_in_another_region(box: Sandbox) -> None:
    """The tag is on the user, and IAM has no regions: the same name in another region is another secret."""
    first(box)
    box.configure("version: 1", "version: 1\naws: {region: us-east-1}")
    before = len(box.cloud.aws.journal)
    code, out, err = box.run("apply")
    assert (code, SAID in out) == (3, True), out + err
    assert written(box, before) == []


def test_a_value_that_someone_put_into_the_second_secret_is_not_served(box: Sandbox) -> None:
    """The first configuration would deactivate it under the second one's pipelines."""
    pair = box.cloud.admin.add_key(USER)
    box.travel(minutes=1)
    text = json.dumps({"AWS_ACCESS_KEY_ID": pair.id, "AWS_SECRET_ACCESS_KEY": pair.secret.reveal()})
    box.admin("secretsmanager").create_secret(Name=SECOND, SecretString=text)
    for command in ("sync", "apply"):
        before = len(box.cloud.aws.journal)
        _, out, err = box.run(command)
        assert SAID in out + err, command
        assert written(box, before) == []


def test_a_person_moves_the_user(box: Sandbox) -> None:
    """`adopt --take-over` names the new secret; the first configuration leaves the user alone from then on."""
    code, out, err = box.run("adopt", USER, "--take-over", "--yes")
    assert code == 0, out + err
    assert "configure all of them first" in err
    assert tag(box) == f"{REGION}:{SECOND}"
    assert box.run("adopt", USER, "--take-over", "--yes")[0] == 0, "again is nothing to do"
    first(box)
    before = len(box.cloud.aws.journal)
    code, out, _ = box.run("apply")
    assert code == 3
    assert f"the secret {REGION}:{SECOND} keeps the keys of {USER}" in out
    assert written(box, before) == []


def test_release_lets_go_of_the_user(box: Sandbox) -> None:
    """A credential that left the first configuration is released: the second one needs no `--take-over`."""
    first(box)
    box.cloud.admin.add_user("ci-other")
    box.configure(f"user: {USER}", "user: ci-other")
    box.configure(f"secret: {SECRET}", "secret: keyrota/ci-other")
    assert box.run("release", USER, "--yes")[0] == 0
    assert tag(box) == ""


def test_without_the_permission_to_tag_the_first_one_rotates_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with a_sandbox(tmp_path, capsys) as box:
        box.cloud.faults.add(Fault(operation="iam:TagUser", status=403, code="AccessDenied", times=-1))
        code, out, err = box.run("apply")
        assert code == 0, out + err
        assert "iam:TagUser" in out + err
        assert box.held()["AWS_ACCESS_KEY_ID"] != box.old.id
        assert tag(box) == ""


def test_without_the_permission_to_read_tags_nothing_is_begun(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whether another secret keeps the keys is unknown then; where this one has kept them, the rotation goes on."""
    with a_sandbox(tmp_path, capsys) as box:
        denied = Fault(operation="iam:ListUserTags", status=403, code="AccessDenied", times=-1)
        box.cloud.faults.add(denied)
        before = len(box.cloud.aws.journal)
        code, out, err = box.run("apply")
        assert code == 3, out + err
        assert "is not known" in out
        assert "iam:ListUserTags" in out
        assert written(box, before) == []
        box.cloud.faults.clear()
        assert box.run("apply")[0] == 0
        box.travel(days=15)
        box.cloud.faults.add(Fault(operation="iam:ListUserTags", status=403, code="AccessDenied", times=-1))
        code, out, _ = box.run("apply")
        assert box.keys()[box.old.id] == "Active", "what cannot be taken back waits"
        assert "is not known" in out
