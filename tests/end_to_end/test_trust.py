"""A configuration alone sends no secret anywhere: commands and functions, with a host that listens for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_rig import Sandbox, a_sandbox

from keyrota_sandbox.server import Request, Server, json_response

CANARY = "canary-of-the-machine"


@pytest.fixture
def sandbox(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Sandbox]:
    with a_sandbox(tmp_path, capsys) as made:
        yield made


@pytest.fixture
def evil() -> Iterator[tuple[str, list[Request]]]:
    """Another origin on loopback, that listens and believes everything."""
    heard: list[Request] = []

    def listen(request: Request) -> Any:
        heard.append(request)
        return json_response([])

    server = Server({"/": listen})
    yield server.url.removeprefix("http://"), heard
    server.close()


def point_to(sandbox: Sandbox, host: str, reference: str) -> None:
    """Let the configuration send a reference to a host, as a pull request could."""
    provider = f"  forgejo:\n    base_url: http://{host}/api/v1\n    auth: {{token: '{reference}'}}\n"
    sandbox.configure("credentials:\n", f"{provider}credentials:\n")
    with sandbox.file.open("a", encoding="utf-8") as file:
        file.write("      - forgejo: {repository: acme/shop}\n")


COMMANDS = (
    ("plan",),
    ("check",),
    ("apply",),
    ("status",),
    ("sync",),
    ("revoke", "ci-deploy", "--yes"),
    ("rollback", "ci-deploy", "--yes"),
    ("forget", "forgejo acme/shop", "--yes"),
)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_no_command_sends_a_secret_to_a_host_of_the_file(
    sandbox: Sandbox, evil: tuple[str, list[Request]], monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    """Refused with file and line before anything is read; AWS hears nothing either."""
    host, heard = evil
    monkeypatch.setenv("CI_SECRET", CANARY)
    point_to(sandbox, host, "env:CI_SECRET")
    before = len(sandbox.cloud.aws.journal)
    code, out, err = sandbox.run(*command)
    assert code == 1
    assert f"keyrota.yaml:7:15: {host} is not the provider's own host" in err
    assert f"--allow-host {host}" in err
    assert heard == []
    assert len(sandbox.cloud.aws.journal) == before
    assert CANARY not in out + err


def test_aws_credentials_go_nowhere_even_where_the_host_is_allowed(
    sandbox: Sandbox, evil: tuple[str, list[Request]]
) -> None:
    host, heard = evil
    point_to(sandbox, host, "env:AWS_SECRET_ACCESS_KEY")
    code, _, err = sandbox.run("plan", "--allow-host", host)
    assert code == 1
    assert "keyrota.yaml:8:19: env:AWS_SECRET_ACCESS_KEY may hold AWS credentials" in err
    assert heard == []


@pytest.mark.parametrize("how", ["option", "variable"])
def test_a_host_that_was_allowed_is_reported_once(
    sandbox: Sandbox, evil: tuple[str, list[Request]], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    host, heard = evil
    monkeypatch.setenv("CI_SECRET", CANARY)
    point_to(sandbox, host, "env:CI_SECRET")
    more = ("--allow-host", host) if how == "option" else ()
    if how == "variable":
        monkeypatch.setenv("KEYROTA_ALLOWED_HOSTS", f"gitlab.example.com, {host}")
    _, _, err = sandbox.run("plan", *more)
    assert err.count(f"host {host} receives tokens and keys for forgejo") == 1
    assert heard
    _, out, _ = sandbox.run("check", *more)
    assert out.count(f"host: {host} receives tokens and keys for forgejo") == 1
    if how == "option":
        heard.clear()
        assert sandbox.run("plan")[0] == 1, "the option counts for one command"
        assert heard == []


def test_the_account_whose_parameters_receive_keys_is_reported_once(sandbox: Sandbox) -> None:
    """The file alone names the role, and with it another account: nothing said that the new key goes there."""
    sandbox.cloud.add_account("666666666666")
    role = "arn:aws:iam::666666666666:role/keyrota"
    sandbox.configure("credentials:\n", f"  ssm: {{role: '{role}'}}\ncredentials:\n")
    sandbox.configure("    targets:\n", "    targets:\n      - ssm: {parameter: /ci/acme/deploy}\n")
    said = f"666666666666 receives keys for ssm (by the role {role} of the configuration)"
    _, _, err = sandbox.run("plan")
    assert err.count(f"account {said}") == 1
    for more in ([], ["--offline"]):
        _, out, _ = sandbox.run("check", *more)
        assert out.count(f"account: {said}") == 1, more
    sandbox.configure(f"role: '{role}'", "profile: other")
    _, out, _ = sandbox.run("check", "--offline")
    assert "account: of the AWS profile other receives keys for ssm" in out


def test_the_sandboxs_variable_opens_no_other_port(sandbox: Sandbox, evil: tuple[str, list[Request]]) -> None:
    """`source sandbox.env` lets tokens go to that sandbox, and to no other program of this machine."""
    host, heard = evil
    sandbox.configure(f"{sandbox.cloud.url('bitbucket')}/2.0", f"http://{host}/2.0")
    assert sandbox.run("plan")[0] == 1
    assert heard == []


@pytest.mark.parametrize("option", ["--base-url", "--token"])
def test_discover_is_no_way_around(
    sandbox: Sandbox, evil: tuple[str, list[Request]], tmp_path: Path, option: str
) -> None:
    host, heard = evil
    given = {"--base-url": f"http://{host}/api/v4", "--token": "env:AWS_SECRET_ACCESS_KEY"}[option]
    code, _, err = sandbox.run(
        "discover", "--provider", "gitlab", option, given, "--output", str(tmp_path / "found.yaml")
    )
    assert code == 1
    assert ("not the provider's own host" if option == "--base-url" else "AWS credentials") in err
    assert heard == []
