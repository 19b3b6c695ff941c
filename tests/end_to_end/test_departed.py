"""A credential that left the configuration is reported until it is released, or none of its keys is Active."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_rig import SECRET, USER, Sandbox, a_sandbox

from keyrota.core.model import OWNER_TAG, STACK_TAG

ACCOUNT = "123456789012"
SAID = f"{ACCOUNT}:{USER} is not in the configuration"


@pytest.fixture
def box(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Sandbox]:
    """A user whose rotation is under way, and who is then taken out of the configuration for another one."""
    with a_sandbox(tmp_path, capsys) as made:
        made.run("apply")
        assert len(made.keys()) == 2
        made.cloud.admin.add_user("ci-other")
        made.configure(f"user: {USER}", "user: ci-other")
        made.configure(f"secret: {SECRET}", "secret: keyrota/ci-other")
        made.configure("environment: Production", "environment: Staging")
        yield made


@pytest.mark.parametrize("command", ["plan", "apply"])
def test_it_is_reported_beside_what_the_command_does(box: Sandbox, command: str) -> None:
    _, _, err = box.run(command)
    assert f"warning: {SAID}" in err
    for key in tuple(box.keys()):
        assert key in err
    assert f"keyrota release {ACCOUNT}:{USER}" in err


def test_check_names_it_and_release_ends_it(box: Sandbox) -> None:
    _, out, _ = box.run("check")
    assert SAID in out
    before = box.keys()
    code, out, _ = box.run("release", USER, "--yes")
    assert (code, f"released: {ACCOUNT}:{USER}" in out) == (0, True)
    assert box.keys() == before
    assert SAID not in box.run("check")[1]
    assert SAID not in box.run("plan")[2]
    code, _, err = box.run("release", USER, "--yes")
    assert code == 1
    assert "is not a credential that left the configuration" in err


@pytest.mark.parametrize("name", [[USER], [f"{ACCOUNT}:{USER}"], [USER, "--account", ACCOUNT]])
def test_release_takes_a_name_like_every_command(box: Sandbox, name: list[str]) -> None:
    """The other account first: nothing of it left the configuration."""
    code, _, err = box.run("release", USER, "--account", "222222222222", "--yes")
    assert (code, "is not a credential that left the configuration" in err) == (1, True)
    for odd, said in (
        ([f"{ACCOUNT}:{USER}", "--account", "222222222222"], "name the account once"),
        (
            ["a:b"],
            "does not name a credential",
        ),
    ):
        code, _, err = box.run("release", *odd, "--yes")
        assert (code, said in err) == (1, True), err
    assert box.run("release", *name, "--yes")[0] == 0


def test_a_served_key_that_is_not_active_is_named(box: Sandbox) -> None:
    """The other key is Active, so the state is not final; what the targets hold works nowhere."""
    iam, store = box.admin("iam"), box.admin("secretsmanager")
    stages = store.describe_secret(SecretId=SECRET)["VersionIdsToStages"].values()
    (served,) = {label for labels in stages if "AWSCURRENT" in labels for label in labels} & set(box.keys())
    assert "is not Active" not in box.run("plan")[2]
    iam.update_access_key(UserName=USER, AccessKeyId=served, Status="Inactive")
    assert f"{served}, which its targets held last, is not Active" in box.run("plan")[2]
    assert f"{served}, which its targets held last, is not Active" in box.run("release", USER, "--yes")[2]


def test_a_final_state_is_not_reported(box: Sandbox) -> None:
    iam = box.admin("iam")
    for key in tuple(box.keys()):
        iam.update_access_key(UserName=USER, AccessKeyId=key, Status="Inactive")
    assert SAID not in box.run("plan")[2]
    assert SAID not in box.run("check")[1]


def test_what_another_stack_keeps_is_that_stack_s_to_report(box: Sandbox) -> None:
    box.admin("secretsmanager").tag_resource(SecretId=SECRET, Tags=[{"Key": STACK_TAG, "Value": "other@x/1"}])
    assert SAID not in box.run("plan")[2]


def test_all_pages_are_read(box: Sandbox) -> None:
    """ListSecrets gives 100 at most; a secret that has another tag of a like name is none of ours."""
    manager = box.admin("secretsmanager")
    for number in range(101):
        name = f"a/{number:03}"
        manager.create_secret(Name=name, Tags=[{"Key": OWNER_TAG + "x", "Value": "nobody"}])
    _, _, err = box.run("plan")
    assert SAID in err
    assert "nobody" not in err


def test_a_list_that_is_refused_is_unknown(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    from keyrota.errors import ProviderRefused  # noqa: PLC0415  # beside its only use

    def refuse(_: object) -> None:
        raise ProviderRefused("not allowed: secretsmanager:ListSecrets")

    monkeypatch.setattr("keyrota.aws.kept.list_kept_secrets", refuse)
    _, out, _ = box.run("check")
    assert "whether a credential left the configuration is not known" in out
    code, _, err = box.run("release", USER, "--yes")
    assert (code, "secretsmanager:ListSecrets" in err) == (1, True)
