"""`keyrota check --offline`: what a proposed change is checked with, without credentials, network or secrets."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from keyrota.app.cli import main

CANARY = "canary-of-the-machine-77aa"
GOOD = """\
version: 1
providers:
  github: {{auth: {{token: "env:CI_SECRET", read_token: "file:{file}"}}}}
  gitlab: {{base_url: "https://gitlab.example.com/api/v4", auth: {{token: "secretsmanager:tokens/gitlab"}}}}
credentials:
  - {{user: ci, targets: [{{github: {{repository: acme/shop}}}}, {{gitlab: {{project: acme/shop}}}}]}}
"""
WATCHER = """\
import sys
import urllib3  # when imported, it binds a socket to ::1 to see whether this machine has IPv6
seen = []
def hook(event, arguments):
    if event.startswith(("socket.", "subprocess.", "os.exec", "os.posix_spawn", "urllib.")):
        seen.append(event)
    if event == "open" and str(arguments[0]) == sys.argv[1]:
        seen.append("the secret file")
sys.addaudithook(hook)
import os
class Environment(dict):
    def __getitem__(self, name):
        if name == "CI_SECRET": seen.append("the variable")
        return super().__getitem__(name)
    def get(self, name, default=None):
        if name == "CI_SECRET": seen.append("the variable")
        return super().get(name, default)
os.environ = Environment(os.environ)
from keyrota.app.cli import main
code = main(sys.argv[2:])
assert seen == [], seen
sys.exit(code)
"""


def write(tmp_path: Path) -> tuple[Path, Path]:
    """Write a configuration, and the file that it refers to."""
    secret, file = tmp_path / "token", tmp_path / "keyrota.yaml"
    secret.write_text(CANARY, "utf-8")
    secret.chmod(0o600)
    file.write_text(GOOD.format(file=secret), "utf-8")
    return file, secret


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_it_opens_no_socket_and_reads_no_secret(tmp_path: Path, more: tuple[str, ...]) -> None:
    """Seen by an audit hook of the interpreter, with a variable and a file that would hold secrets."""
    file, secret = write(tmp_path)
    environment = {"CI_SECRET": CANARY, "KEYROTA_ALLOWED_HOSTS": "gitlab.example.com", "PATH": "/usr/bin:/bin"}
    environment |= {"AWS_ACCESS_KEY_ID": "AKIAX", "AWS_SECRET_ACCESS_KEY": CANARY, "HOME": str(tmp_path)}
    command = [sys.executable, "-c", WATCHER, str(secret), "--config", str(file), "check", "--offline", *more]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert CANARY not in done.stdout + done.stderr
    assert "gitlab.example.com" in done.stdout
    if more:
        assert all(check["ok"] for check in json.loads(done.stdout)["checks"])


@pytest.mark.parametrize(
    "change",
    [
        ("gitlab.example.com", "gitlab.example.org", "gitlab.example.org is not the provider's own host"),
        ("env:CI_SECRET", "env:AWS_SESSION_TOKEN", "may hold AWS credentials"),
        ("secretsmanager:tokens/gitlab", "secretsmanager:keyrota/ci/access-key", "that keyrota manages"),
        ("repository: acme/shop", "repository: shop", "repository"),
        ("version: 1", "version: 2", "version"),
    ],
)
def test_it_finds_what_can_be_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, change: tuple[str, str, str]
) -> None:
    """With file and line, and exit 1."""
    monkeypatch.setenv("KEYROTA_ALLOWED_HOSTS", "gitlab.example.com")
    old, new, words = change
    file, _ = write(tmp_path)
    file.write_text(file.read_text("utf-8").replace(old, new), "utf-8")
    assert main(["--config", str(file), "check", "--offline"]) == 1
    err = capsys.readouterr().err
    assert words in err
    assert f"{file}:" in err


ELSEWHERE = (("--config", "ssm:/x", "check"), ("--config", "s3://b/x", "check"), ("check", "--stack", "k"))


@pytest.mark.parametrize("arguments", ELSEWHERE)
def test_what_is_not_here_is_refused(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--offline"]) == 1
    assert "cannot be checked offline" in capsys.readouterr().err
