"""`keyrota init`: a first file from a few answers, checked before it is written, and never over another."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from keyrota.app.cli import main
from keyrota.app.config import load
from keyrota.app.first_file import Answers, place_fields, takes_token, write_first_file
from keyrota.errors import UsageError
from keyrota.targets import kinds


def test_it_writes_what_was_given_for_its_owner_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "keyrota.yaml"
    given = ["--provider", "bitbucket", "--user", "a", "--user", "b", "--account", "111111111111", "--role", "keyrota"]
    place = ["--place", "workspace=acme", "--place", "repository={user}"]
    assert main(["init", *given, *place, "--output", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["file"] == str(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    found = load(file)
    assert [(entry.user, entry.account, entry.role) for entry in found.credentials] == [
        ("a", "111111111111", "keyrota"),
        ("b", "111111111111", "keyrota"),
    ]
    assert [entry.targets[0].settings["repository"] for entry in found.credentials] == ["a", "b"]
    assert [reference.text for reference in found.references] == ["env:BITBUCKET_TOKEN"]


@pytest.mark.parametrize("is_link", [False, True])
def test_nothing_is_overwritten_and_no_link_is_followed(tmp_path: Path, is_link: bool) -> None:
    file = tmp_path / "keyrota.yaml"
    if is_link:
        file.symlink_to(tmp_path / "elsewhere")
    else:
        file.write_text("mine", "utf-8")
    assert main(["init", "--provider", "ssm", "--user", "a", "--place", "parameter=/a", "--output", str(file)]) == 1
    answers = Answers(provider="ssm", users=["a"], token="", base_url="", place={"parameter": "/a"})
    with pytest.raises(UsageError, match="exists"):
        write_first_file(file, answers)
    assert not (tmp_path / "elsewhere").exists()
    assert is_link or file.read_text("utf-8") == "mine"


WRONG = [
    (["--provider", "nope", "--user", "a"], "unknown provider 'nope'"),
    (["--user", "a"], "--provider"),
    (["--provider", "github"], "--user NAME"),
    (["--provider", "forgejo", "--user", "a"], "--base-url URL"),
    (["--provider", "bitbucket", "--user", "a"], "--place workspace="),
    (["--provider", "github", "--user", "a"], "give either `repository: OWNER/NAME` or `organization`"),
    (["--provider", "github", "--user", "a", "--place", "repository"], "write FIELD=VALUE"),
    (["--provider", "github", "--user", "a", "--place", "repositry=a/b"], "did you mean 'repository'?"),
    (["--provider", "github", "--user", "a b", "--place", "repository=a/b"], "user has characters"),
    (["--provider", "github", "--user", "a", "--place", "repository=a/b", "--token", "ghp_x"], "must not be written"),
]


@pytest.mark.parametrize(("given", "what"), WRONG, ids=[row[1] for row in WRONG])
def test_what_makes_no_configuration_is_refused_and_nothing_is_written(
    given: list[str], what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "keyrota.yaml"
    assert main(["init", *given, "--output", str(file)]) == 1
    told = capsys.readouterr().err
    assert what in told
    assert "ghp_x" not in told
    assert not file.exists()


def test_every_kind_says_what_is_asked() -> None:
    """The fields of a place come from the schema; all that a target must have are among them."""
    for kind in kinds().values():
        assert set(kind.target_schema.get("required", ())) <= set(place_fields(kind))
    assert [name for name, kind in kinds().items() if not takes_token(kind)] == ["ssm"]


def test_on_a_terminal_it_asks_for_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = {"Provider": "bitbucket", "IAM users": "a, b", "workspace": "acme", "repository": "shop"}
    asked: list[str] = []

    def prompt(question: str, **_: Any) -> str:
        asked.append(question)
        return next((answer for begin, answer in answers.items() if question.startswith(begin)), "")

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("click.prompt", prompt)
    file = tmp_path / "keyrota.yaml"
    assert main(["init", "--output", str(file)]) == 1  # two users would write one place
    assert "claimed twice" in capsys.readouterr().err
    answers["repository"] = "{user}"
    assert main(["init", "--output", str(file)]) == 0
    assert [entry.user for entry in load(file).credentials] == ["a", "b"]
    assert "environment (may be empty)" in asked
    assert f"wrote {file}" in capsys.readouterr().out
