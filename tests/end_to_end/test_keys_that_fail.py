"""A place that shows a key which is Inactive, deleted, or nobody's that is known: never exit code 0."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cli_rig import USER, Sandbox, a_sandbox

ID = "AWS_ACCESS_KEY_ID"
PRODUCTION = ("acme", "shop", "Production")


@pytest.fixture
def box(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Sandbox]:
    """A user whose one key keyrota made and serves."""
    with a_sandbox(tmp_path, capsys) as made:
        made.configure("credentials:\n", "policy: {drift: hold}\ncredentials:\n")
        made.pass_a_rotation()
        yield made


def another_user_s(box: Sandbox) -> str:
    box.cloud.admin.add_user("ci-other")
    return box.cloud.admin.add_key("ci-other", age=timedelta(days=1)).id


def another_user_s_inactive(box: Sandbox) -> str:
    key = another_user_s(box)
    box.admin("iam").update_access_key(UserName="ci-other", AccessKeyId=key, Status="Inactive")
    return key


def another_user_s_deleted(box: Sandbox) -> str:
    key = another_user_s(box)
    box.admin("iam").delete_access_key(UserName="ci-other", AccessKeyId=key)
    return key


def own_inactive(box: Sandbox) -> str:
    pair = box.cloud.admin.add_key(USER, age=timedelta(days=1))
    box.admin("iam").update_access_key(UserName=USER, AccessKeyId=pair.id, Status="Inactive")
    return pair.id


def own_deleted(box: Sandbox) -> str:
    return box.old.id


def another_account_s(_: Sandbox) -> str:
    return "AKIA6ODU5DHTQQQQQQQQ"


def no_key(_: Sandbox) -> str:
    return "hello"


SHOWN = {
    another_user_s_inactive: (1, "a key of the user ci-other, which is Inactive"),
    own_inactive: (1, "which is Inactive"),
    another_user_s_deleted: (3, "of a user that IAM does not name"),
    own_deleted: (3, "of a user that IAM does not name"),
    another_account_s: (3, "a key of the account 992382622183"),
    another_user_s: (3, "a key of the user ci-other"),
    no_key: (3, "something that is not a key ID"),
}


@pytest.mark.parametrize("key", SHOWN)
def test_a_change_that_is_held_is_no_all_clear(box: Sandbox, key: Callable[[Sandbox], str]) -> None:
    """With `drift: hold` nothing is written over; `status` and `check` ended with 0 while every pipeline failed."""
    box.bitbucket.set_variable(*PRODUCTION, ID, key(box))
    code, said = SHOWN[key]
    for command in (("status",), ("plan", "--exit-code"), ("apply",), ("check",)):
        found, out, err = box.run(*command)
        assert found == (1 if command == ("check",) else code), (command, out, err)
        assert said in out, (command, out)


@pytest.mark.parametrize("key", [another_user_s_inactive, another_user_s_deleted, own_deleted, another_account_s])
def test_a_change_that_is_mended_is_none_before(box: Sandbox, key: Callable[[Sandbox], str]) -> None:
    """With `drift: overwrite` who only looks says what fails now; the run that mends it ends well."""
    box.configure("drift: hold", "drift: overwrite")
    box.bitbucket.set_variable(*PRODUCTION, ID, key(box))
    code, said = SHOWN[key]
    found, out, err = box.run("status")
    assert (found, said in out) == (code, True), out + err
    assert box.run("apply")[0] == 0
    assert box.run("status")[0] == 0
    assert box.deploys()
