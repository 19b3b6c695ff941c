"""What a shell offers: users and `ACCOUNT:USER` of the local configuration; AWS is not asked."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

CONFIGURATION = """\
version: 1
providers:
  bitbucket: {auth: {token: "env:B"}}
  github: {auth: {token: "env:G"}}
credentials:
  - user: ci-deploy
    targets:
      - bitbucket: {workspace: acme, repository: shop}
      - github: {repository: acme/web}
  - {user: ci-deploy, account: "222222222222", role: keyrota}
  - {user: ci-web, role: "arn:aws:iam::333333333333:role/keyrota"}
"""
BOTH = ["222222222222:ci-deploy", "333333333333:ci-web"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a configuration, and the command on the PATH."""
    (tmp_path / "keyrota.yaml").write_text(CONFIGURATION, "utf-8")
    command = tmp_path / "bin" / "keyrota"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m keyrota "$@"\n', "utf-8")
    command.chmod(0o755)
    return tmp_path


def _offered(folder: Path, line: str) -> list[str]:
    """Ask as bash does: the line up to the cursor; the completion's answers."""
    script = (
        'source <(keyrota completion bash)\nCOMP_LINE="$1" COMP_POINT=${#1}\n'
        '_keyrota_completion keyrota\nprintf "%s\\n" "${COMPREPLY[@]}"'
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "KEYROTA_"))}
    environment["PATH"] = f"{folder / 'bin'}:{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script, "bash", line],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stderr == ""
    return [line for line in done.stdout.split("\n") if line]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("keyrota plan ", ["ci-deploy", "ci-web", *BOTH]),
        ("keyrota apply --user ci-w", ["ci-web"]),
        ("keyrota revoke 2", ["222222222222:ci-deploy"]),
        ("keyrota rollback 222222222222:", ["ci-deploy"]),
        ("keyrota status 222222222222:ci", ["ci-deploy"]),
        ("keyrota check --account ", ["222222222222", "333333333333"]),
        ("keyrota status --target b", ["bitbucket acme/shop"]),
        ("keyrota status --only torn,h", ["torn,held"]),
        ("keyrota --config other.yaml plan ", []),
    ],
)
def test_bash_is_offered_the_names_of_credentials(folder: Path, line: str, offered: list[str]) -> None:
    """Bash takes a colon for a separator of words: only what comes behind it is answered."""
    assert _offered(folder, line) == offered
