"""What a person in a hurry does to `discover`, `forget` and `revoke --served-by`."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_rig import USER, Sandbox, a_sandbox

from keyrota.app import files
from keyrota.app.config import load
from keyrota_sandbox.faults import Fault

ID, SECRET = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
SHOP = "bitbucket acme/shop Production"


@pytest.fixture
def sandbox(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Sandbox]:
    """A user whose key lies at Bitbucket, and providers for more."""
    with a_sandbox(tmp_path, capsys) as made:
        made.gitlab.add_project("acme/shop")
        providers = (
            f"  github: {{base_url: '{made.cloud.url('github')}', "
            "max_wait: 15s, auth: {token: 'env:GITHUB_TOKEN'}}\n"
            f"  gitlab: {{base_url: '{made.cloud.url('gitlab')}/api/v4', auth: {{token: 'env:GITLAB_TOKEN'}}}}\n"
        )
        made.configure("credentials:\n", providers + "credentials:\n")
        yield made


# --- discover ---------------------------------------------------------------------------------------------------------


def _plant(sandbox: Sandbox, projects: int = 30) -> None:
    for number in range(projects):
        sandbox.gitlab.add_project(f"acme/p{number}")
    sandbox.gitlab.set_variable(("project", "acme/shop"), ID, sandbox.old.id)
    sandbox.gitlab.set_variable(("project", "acme/shop"), SECRET, sandbox.old.secret.reveal())


def _discover(sandbox: Sandbox, *more: str, output: str = "found.yaml") -> tuple[int, Path, str]:
    file = sandbox.file.parent / output
    found = sandbox.run("discover", "--provider", "gitlab", "--group", "acme", "--output", str(file), *more)
    return found[0], file, found[1] + found[2]


def _lists(sandbox: Sandbox) -> int:
    return sum(1 for operation, _ in sandbox.gitlab.journal if operation == "GET variables")


def test_a_folder_that_is_not_there_is_told_before_the_walk(sandbox: Sandbox) -> None:
    """An hour of walking would end with nothing."""
    _plant(sandbox)
    code, _, told = _discover(sandbox, output="nowhere/found.yaml")
    assert code == 1
    assert "nothing can be written" in told
    assert _lists(sandbox) == 0


def test_a_walk_is_not_lost_where_aws_fails_after_it(sandbox: Sandbox) -> None:
    """IAM throttles when the owners are asked for: the same command asks no place again."""
    _plant(sandbox)
    fault = Fault(
        operation="iam:GetAccessKeyLastUsed", status=400, code="Throttling", message="Rate exceeded", times=-1
    )
    sandbox.cloud.faults.add(fault)
    code, file, _ = _discover(sandbox)
    assert (code, file.exists()) == (1, False)
    walked = _lists(sandbox)
    sandbox.cloud.faults.clear()
    code, file, told = _discover(sandbox)
    assert code == 0
    assert _lists(sandbox) == walked
    assert "32 of 32 places were looked at by an earlier run" in told
    assert load(file).credentials[0].user == USER
    assert not list(file.parent.glob("*.partial"))


def test_a_walk_that_is_killed_is_not_all_lost(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that is ended writes nothing down any more; what was written on the way counts."""
    _plant(sandbox)

    limit = Fault(operation="GET variables", status=429, headers=(("Retry-After", "7200"),), skip=25)
    sandbox.cloud.faults.add(limit)
    kept: list[str] = []
    real = files.replace

    def replace(path: Path, data: bytes) -> None:
        if path.name.endswith(".partial"):
            kept.append(data.decode())
        real(path, data)

    monkeypatch.setattr("keyrota.app.discovery.replace", replace)
    code, file, _ = _discover(sandbox)
    assert code == 1
    assert len(kept) == 2
    partial = file.with_name(file.name + ".partial")
    partial.write_text(kept[0], "utf-8")
    partial.chmod(0o600)
    _, _, told = _discover(sandbox)
    assert "20 of 32 places" in told


def test_what_was_found_at_one_instance_is_not_told_of_another(sandbox: Sandbox) -> None:
    """The walk that stopped was somewhere else."""
    _plant(sandbox)
    sandbox.cloud.faults.add(Fault(operation="GET variables", status=429, headers=(("Retry-After", "7200"),), skip=9))
    other = f"{sandbox.cloud.url('gitlab')}/other/api/v4"
    assert _discover(sandbox)[0] == 1
    code, _, told = _discover(sandbox, "--base-url", other)
    assert code == 1
    assert "going on from" not in told


# --- forget -----------------------------------------------------------------------------------------------------------


def _move(sandbox: Sandbox) -> None:
    """Give the target to another user, whose key is then written there."""
    assert sandbox.run("apply")[0] == 0
    sandbox.cloud.admin.add_user("ci-new")
    sandbox.gitlab.add_project("acme/own")
    sandbox.configure(
        "      - bitbucket: {workspace: acme, repository: shop, environment: Production}\n",
        "      - gitlab: {project: acme/own}\n"
        "  - user: ci-new\n    targets:\n"
        "      - bitbucket: {workspace: acme, repository: shop, environment: Production}\n",
    )
    sandbox.run("apply")
    assert sandbox.run("confirm", SHOP, "--yes")[0] == 0  # it shows the other user's key: a person confirms
    assert (
        sandbox.run("adopt", "ci-new", "--new-key", "--yes")[0] == 0
    )  # and wants a first key, although a pair is there
    sandbox.run("apply")


def test_a_target_that_was_given_to_another_user_can_be_forgotten(sandbox: Sandbox) -> None:
    """It is left behind by the one and configured for the other: its variables are the other's."""
    _move(sandbox)
    held = sandbox.held()
    assert (held[ID], "Active") in sandbox.cloud.admin.keys("ci-new")
    assert "removed from the configuration" in sandbox.run("status", "--user", USER)[1]
    code, _, err = sandbox.run("forget", SHOP, "--delete-variables", "--yes")
    assert code == 1
    assert f"{SHOP} is ci-new's now" in err
    assert sandbox.held() == held
    assert sandbox.run("forget", SHOP, "--yes")[0] == 0
    assert sandbox.held() == held
    assert "removed from the configuration" not in sandbox.run("status")[1]
    code, _, err = sandbox.run("forget", SHOP, "--yes")
    assert (code, "is in the configuration" in err) == (1, True)


def test_who_could_not_be_asked_is_named_when_a_target_is_forgotten(sandbox: Sandbox) -> None:
    """It may remember the same target."""
    gone = "  - user: ci-gone\n    targets: [{gitlab: {project: acme/shop}}]\n"
    sandbox.configure("credentials:\n", f"credentials:\n{gone}")
    sandbox.run("apply")
    sandbox.configure(
        "      - bitbucket: {workspace: acme, repository: shop, environment: Production}\n",
        "      - gitlab: {project: acme/shop, environment_scope: production}\n",
    )
    code, out, err = sandbox.run("forget", SHOP, "--yes")
    assert code == 0
    assert "forgotten" in out
    assert f"whether it remembers {SHOP} as well is not known" in err
    assert "ci-gone" in err


# --- revoke --served-by -----------------------------------------------------------------------------------------------


def test_a_breach_that_stops_at_a_limit_says_so_in_one_line_and_its_command_finishes_it(sandbox: Sandbox) -> None:
    """Twenty repositories, two writes each, one a second, 15 s a run; the configuration is named in the command."""
    targets = ""
    for number in range(20):
        sandbox.github.add_repository("acme", f"r{number}")
        targets += f"      - github: {{repository: acme/r{number}}}\n"
    assert sandbox.run("apply")[0] == 0
    sandbox.travel(days=11)
    assert sandbox.run("apply")[0] == 0
    sandbox.travel(days=11)
    assert sandbox.run("apply")[0] == 0
    sandbox.configure("    targets:\n", "    targets:\n" + targets)
    for _ in range(9):
        sandbox.travel(minutes=5)
        if sandbox.run("apply")[0] == 0:
            break
    ((exposed, _),) = sandbox.keys().items()
    code, out, _ = sandbox.run("revoke", "--served-by", "github", "--yes")
    assert code == 1
    (line,) = [line for line in out.splitlines() if "✗" in line]
    assert "targets are left: a run after" in line
    assert "used up until" not in line
    again = shlex.split(out.partition("to continue: ")[2])
    assert again[:3] == ["keyrota", "--config", str(sandbox.file)]
    keys = set(sandbox.keys())
    for _ in range(9):
        sandbox.travel(minutes=5)
        assert sandbox.keys()[exposed] == "Active" or code == 0
        code, out, _ = sandbox.run(*again[3:], "--yes")
        if code == 0:
            break
    assert code == 0, out
    assert set(sandbox.keys()) == keys
    assert sandbox.keys()[exposed] == "Inactive"
    now = {sandbox.github.values("acme", f"r{number}")[ID] for number in range(20)}
    assert now == keys - {exposed}
