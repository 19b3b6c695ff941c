"""`apply` asks on a terminal, and does exactly a plan that was reviewed, or nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_rig import USER, Sandbox, a_sandbox

from keyrota.app.cli import main


@pytest.fixture
def sandbox(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Sandbox]:
    with a_sandbox(tmp_path, capsys) as box:
        yield box


def test_a_reviewed_plan_is_done_once_and_exactly(sandbox: Sandbox, tmp_path: Path) -> None:
    file = tmp_path / "tonight.plan"
    code, out, err = sandbox.run("plan", "--out", str(file))
    assert (code, "→ rotate" in out, f"keyrota apply {file}" in err) == (0, True, True)
    code, out, _ = sandbox.run("apply", str(file))
    assert (code, "✓ rotate" in out) == (0, True)
    assert sandbox.deploys()
    code, out, err = sandbox.run("apply", str(file))
    assert (code, out) == (1, "")
    assert f"error: ci-deploy: not due any more: rotate {sandbox.old.id}" in err
    assert "nothing was changed" in err
    assert len(sandbox.keys()) == 2


def test_a_plan_of_another_configuration_or_world_changes_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    file = tmp_path / "tonight.plan"
    sandbox.run("plan", "--out", str(file))
    before = sandbox.held()
    sandbox.configure("Production", "Staging")
    assert "the configuration says something else" in sandbox.run("apply", str(file))[2]
    sandbox.configure("Staging", "Production")
    sandbox.bitbucket.set_variable("acme", "shop", "Production", "AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    code, _, err = sandbox.run("apply", str(file))
    assert (code, "ci-deploy: not " in err) == (1, True)
    assert list(sandbox.keys()) == [sandbox.old.id]
    assert sandbox.held() == {**before, "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE"}


def test_what_names_the_plan_is_never_ambiguous(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("other").write_text("no plan", "utf-8")
    sandbox.run("plan", "--out", USER)
    for arguments, words in (
        ([USER], f"{USER} is a user, and a file as well"),
        ([f"./{USER}", "--only", "rotate"], "a plan says itself what is done"),
        ([f"./{USER}", "--user", USER], "a plan says itself what is done"),
        ([f"./{USER}", "./other"], "two plans are given"),
        (["./other"], "this is not a plan of keyrota"),
        (["./none"], "there is no such plan"),
        (["other"], "other is not configured"),
    ):
        code, out, err = sandbox.run("apply", *arguments)
        assert (code, out, words in err) == (1, "", True), (arguments, err)
    assert list(sandbox.keys()) == [sandbox.old.id]


class _Terminal:
    """A terminal on which a person has typed something already."""

    def __init__(self, patch: pytest.MonkeyPatch, typed: str) -> None:
        self._master, slave = os.openpty()
        os.write(self._master, typed.encode())
        self._files = [os.fdopen(os.dup(slave), "r"), os.fdopen(slave, "w")]
        patch.setattr(sys, "stdin", self._files[0])
        patch.setattr(sys, "stdout", self._files[1])

    def shown(self) -> str:
        """Return what was printed."""
        for file in self._files:
            file.close()
        text = b""
        while True:
            try:
                text += os.read(self._master, 65536)
            except OSError:  # the other end is closed, and all is read
                os.close(self._master)
                return text.decode()


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no terminals here")
@pytest.mark.parametrize(
    ("typed", "options", "code"),
    [("n\n", (), 130), ("y\n", (), 0), ("", ("--yes",), 0), ("", ("--json",), 0)],
    ids=["no", "yes", "--yes", "--json"],
)
def test_apply_asks_on_a_terminal(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, typed: str, options: tuple[str, ...], code: int
) -> None:
    with monkeypatch.context() as patch:
        terminal = _Terminal(patch, typed)
        assert main(["--config", str(sandbox.file), "apply", *options]) == code
        shown = terminal.shown()
    assert ("→ \x1b" in shown or "→ rotate" in shown) is bool(typed), "the plan is shown before the question"
    told = sandbox.capsys.readouterr().err
    assert ("Do this now?" in told) is bool(typed)
    assert ("not confirmed: nothing more is done" in told) is bool(code)
    assert len(sandbox.keys()) == (1 if code else 2)
