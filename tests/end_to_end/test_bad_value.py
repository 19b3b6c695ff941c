"""A value in the secret that cannot be served: who looks is told, and the printed commands lead out of it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cli_rig import SECRET, USER, Sandbox, a_sandbox

from keyrota.core.model import REVOKED

ID = "AWS_ACCESS_KEY_ID"
ROADS = re.compile(
    r"keyrota (?:rollback|revoke|adopt|apply|sync)(?: --user)? (?:\d{12}:)?ci-deploy(?: --new-key)?"
    r"|aws secretsmanager put-secret-value .*'"
)


def _junk(_: Sandbox) -> str:
    return "oops"


def _half(box: Sandbox) -> str:
    return json.dumps({ID: box.held()[ID]})


def _another_user_s(box: Sandbox) -> str:
    box.cloud.admin.add_user("ci-other")
    pair = box.cloud.admin.add_key("ci-other", age=timedelta(days=1))
    return json.dumps({ID: pair.id, "AWS_SECRET_ACCESS_KEY": pair.secret.reveal()})


def _no_pair(_: Sandbox) -> str:
    return json.dumps({"DB_PASSWORD": "x"})


def _wrong_secret(box: Sandbox) -> str:
    return json.dumps({ID: box.held()[ID], "AWS_SECRET_ACCESS_KEY": "x" * 40})


VALUES = (_junk, _half, _another_user_s, _no_pair, _wrong_secret)


@pytest.fixture
def box(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Sandbox]:
    """A user whose one key keyrota made and serves."""
    with a_sandbox(tmp_path, capsys) as made:
        made.pass_a_rotation()
        assert len(made.keys()) == 1
        yield made


def put(box: Sandbox, value: str) -> None:
    """Put a value into the secret, as a person does."""
    box.admin("secretsmanager").put_secret_value(SecretId=SECRET, SecretString=value)


@pytest.mark.parametrize("value", VALUES)
def test_who_looks_is_told(box: Sandbox, value: Callable[[Sandbox], str]) -> None:
    """`plan` and `status` said "adopt, sync" and exit 0, and `check` found nothing wrong."""
    put(box, value(box))
    for command, code in (
        (("plan", "--exit-code"), 3),
        (("status",), 3),
        (("check",), 1),
        (("sync",), 3),
        (("apply",), 3),
    ):
        found, out, err = box.run(*command)
        assert (found, "is not served" in out) == (code, True), (command, out, err)
        assert "→ adopt" not in out
    assert box.deploys(), "the places hold what works"


def test_another_user_s_key_is_not_used_to_find_out(box: Sandbox) -> None:
    """Asked with it, STS would show it as used; its owner's old key would then never go."""
    put(box, _another_user_s(box))
    ((theirs, _),) = box.cloud.admin.keys("ci-other")
    since = len(box.cloud.aws.journal)
    assert box.run("status")[0] == 3
    assert not [call for call in box.cloud.aws.journal[since:] if call.key == theirs]


def test_a_value_that_is_fine_is_planned_as_before(box: Sandbox) -> None:
    pair = box.cloud.admin.add_key(USER, age=timedelta(hours=1))
    put(box, json.dumps({ID: pair.id, "AWS_SECRET_ACCESS_KEY": pair.secret.reveal()}))
    code, out, _ = box.run("plan")
    assert (code, "→ adopt" in out) == (0, True)
    assert box.run("apply")[0] == 0
    assert box.held()[ID] == pair.id


def _off(box: Sandbox, key: str) -> None:
    box.admin("iam").update_access_key(UserName=USER, AccessKeyId=key, Status="Inactive")


def _on(_: Sandbox, __: str) -> None:
    """Nobody touched it."""


def _revoked(box: Sandbox, key: str) -> None:
    """As `revoke --now` left it that found no way on."""
    versions = box.admin("secretsmanager").describe_secret(SecretId=SECRET)["VersionIdsToStages"]
    (version,) = [one for one, labels in versions.items() if key in labels]
    box.admin("secretsmanager").update_secret_version_stage(
        SecretId=SECRET, VersionStage=REVOKED + key, MoveToVersionId=version
    )
    _off(box, key)


def _deleted(box: Sandbox, key: str) -> None:
    box.admin("iam").delete_access_key(UserName=USER, AccessKeyId=key)
    box.travel(days=1)


def walk(box: Sandbox, start: tuple[str, ...]) -> list[str]:
    """Go on with the first command that each answer names, until nothing is wrong."""
    walked: list[str] = []
    command = start
    for _ in range(8):
        code, out, err = box.run(*command)
        if box.run("status")[0] == 0:
            return walked
        found = ROADS.search(out + err)
        if found is None and code == 0:
            command = ("status",)  # done, and it is not all
            continue
        assert found is not None, out + err
        walked.append(found[0])
        words = shlex.split(found[0])
        if words[0] == "aws":
            put(box, words[words.index("--secret-string") + 1])
            command = start
        else:
            command = (*words[1:], *(["--yes"] if words[1] in {"rollback", "revoke", "adopt"} else []))
    raise AssertionError(walked)


STARTS = (("status",), ("revoke", USER, "--yes"), ("rollback", USER, "--yes"), ("adopt", USER, "--yes"))


@pytest.mark.parametrize("state", [_on, _off, _revoked, _deleted])
@pytest.mark.parametrize(("value", "start"), [*((_junk, start) for start in STARTS), (_another_user_s, STARTS[0])])
def test_the_printed_commands_lead_out(
    box: Sandbox, value: Callable[[Sandbox], str], state: Callable[[Sandbox, str], None], start: tuple[str, ...]
) -> None:
    """With the key off and revoked, a second `revoke`, `rollback` and `adopt` refused, and named `sync`."""
    (key,) = box.keys()
    put(box, value(box))
    state(box, key)
    walked = walk(box, start)
    assert box.deploys(), walked
    assert not any(road.startswith("keyrota sync") for road in walked), walked
    assert len(box.keys()) <= 2  # IAM's quota of two
