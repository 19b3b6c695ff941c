"""`status`, `plan` and `check` as people use them, and the commands of their page."""

from __future__ import annotations

import csv
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_rig import USER, Sandbox, a_sandbox

PAGE = (Path(__file__).parents[2] / "docs/how-to/every-day.md").read_text("utf-8")
MORE = """\
  - user: ci-web
    targets:
      - bitbucket: {workspace: acme, repository: shop, environment: Test}
"""


@pytest.fixture
def sandbox(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Sandbox]:
    """Two users; the key of one is due."""
    with a_sandbox(tmp_path, capsys) as box:
        box.cloud.admin.add_user("ci-web")
        box.cloud.admin.add_key("ci-web")
        box.file.write_text(box.file.read_text("utf-8") + MORE, "utf-8")
        yield box


def test_the_commands_of_the_page_run(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^\$ keyrota (.*)$", PAGE, re.MULTILINE)
    assert len(commands) == 10
    for line in commands:
        words = shlex.split(line.partition("#")[0].partition(">")[0])
        code, _, err = sandbox.run(*words)
        assert (code in {0, 3}, "error:" in err) == (True, False), (line, err)


def test_status_of_several_has_a_line_for_each_and_can_be_narrowed(sandbox: Sandbox) -> None:
    code, out, _ = sandbox.run("status")
    assert code == 0
    assert [line.split()[1:4] for line in out.splitlines() if line.startswith("123456789012")] == [
        [USER, "91d", "overdue"],
        ["ci-web", "0d", "ok"],
    ]
    for narrowed in (["--target", "sh*Prod"], ["--only", "overdue"], [USER], ["--target", "bitbucket", "--user", USER]):
        _, out, _ = sandbox.run("status", *narrowed, "--output", "csv")
        assert [row["user"] for row in csv.DictReader(out.splitlines())] == [USER], narrowed
    _, document = sandbox.json("status", "--provider", "bitbucket", "--only", "overdue,ok")
    assert [one["state"] for one in document["credentials"]] == ["overdue", "ok"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--provider", "gitlab"], "no credential has a target at gitlab"),
        (["--target", "nowhere"], "no credential has a target like nowhere"),
        (["--only", "helt"], "'helt' is not a state; there are torn, broken"),
        (["--wide", "--summary"], "--wide and --summary are two ways to print"),
        (["--details", "--output", "csv"], "--details and --output csv are two ways to print"),
    ],
)
def test_what_cannot_be_shown_is_refused(sandbox: Sandbox, arguments: list[str], words: str) -> None:
    code, out, err = sandbox.run("status", *arguments)
    assert (code, out) == (1, "")
    assert words in err


def test_a_narrowed_report_does_not_hide_that_something_is_broken(sandbox: Sandbox) -> None:
    """The exit code is that of everything that was asked (promise says-broken)."""
    sandbox.run("apply")
    key = sandbox.held()["AWS_ACCESS_KEY_ID"]
    sandbox.admin("iam").update_access_key(UserName=USER, AccessKeyId=key, Status="Inactive")
    code, out, _ = sandbox.run("status", "--only", "ok")
    assert code == 1
    assert USER not in out
