"""The commands of the pages run as they stand: in a sandbox, in their order, in one folder."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyrota.app.config import load

ROOT = Path(__file__).parents[2]
TUTORIAL = (ROOT / "docs/tutorial.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
_BLOCK = re.compile(r"<!-- run: (\w+) -->\n```console\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Start the sandbox as the tutorial says, and put the command on the PATH."""
    place = tmp_path_factory.mktemp("tutorial")
    command = place / "bin" / "keyrota"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m keyrota "$@"\n', "utf-8")
    command.chmod(0o755)
    begin = [str(command), "sandbox", "--write", "."]
    with subprocess.Popen(begin, cwd=place, stdout=subprocess.PIPE, text=True) as sandbox:
        try:
            assert sandbox.stdout
            assert sandbox.stdout.readline().startswith("# keyrota sandbox on "), "told when its files are written"
            yield place
            sandbox.send_signal(signal.SIGTERM)
            assert sandbox.wait(timeout=60) == 0
        finally:
            sandbox.kill()


def _shell(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "KEYROTA_"))}
    environment["PATH"] = f"{folder / 'bin'}:{environment['PATH']}"
    script = f"source sandbox.env\n{line}"
    return subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def _lines(block: str) -> list[str]:
    return [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]


LEFT_TO_THE_NEXT_RUN = {("rotate", "keyrota apply")}
"""The tutorial says of this one that it exits with 3."""


def test_the_tutorial_runs_from_top_to_bottom(folder: Path) -> None:
    """Each line succeeds, or fails as the page says; pipelines pass all the way."""
    blocks = _BLOCK.findall(TUTORIAL)
    assert [name for name, _ in blocks] == ["first", "rotate", "again", "time", "emergency"]
    for name, block in blocks:
        for line in _lines(block):
            done = _shell(folder, line)
            expected = 3 if (name, line) in LEFT_TO_THE_NEXT_RUN else 0
            assert done.returncode == expected, f"{name}: {line}\n{done.stdout}\n{done.stderr}"
            assert "FAILED" not in done.stdout


def test_the_readme_s_commands_run(folder: Path) -> None:
    """`keyrota …` lines run against the sandbox; `make …` lines are what CI runs."""
    lines = [line.split("#")[0].strip() for line in re.findall(r"^\$ (.*)$", README, re.MULTILINE)]
    in_ci = {
        word
        for line in re.findall(r"^make (.*)$", (ROOT / ".ci/run").read_text("utf-8"), re.MULTILINE)
        for word in line.split()
    }
    for line in lines:
        if line.startswith("make "):
            assert line.removeprefix("make ") in in_ci
        elif line.startswith("keyrota "):
            assert _shell(folder, line).returncode in {0, 3}, line
        else:
            assert line == 'pip install "keyrota[sandbox]"'


def test_the_sandbox_s_example_takes_our_own_advice(folder: Path) -> None:
    """The first line of the tutorial's first command once warned of the name that it came with."""
    told = _shell(folder, "keyrota check").stdout
    assert "keyrota.yaml: 4 credentials\n" in told


def test_the_readme_s_configuration_is_valid(tmp_path: Path) -> None:
    """The example is what the schema and all further checks accept."""
    (example,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    file = tmp_path / "keyrota.yaml"
    file.write_text(example, "utf-8")
    assert [credential.user for credential in load(file).credentials] == ["ci-deploy"]


def test_pages_link_to_pages_that_exist() -> None:
    """No relative link leads nowhere."""
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            assert (page.parent / link).exists(), f"{page}: {link}"


def test_code_names_pages_that_exist() -> None:
    """A reason that a comment refers to can be read, and is in this repository."""
    folders = ("src", "sandbox", "tests", "constructs/src", "website", "bench")
    files = [file for folder in folders for file in (ROOT / folder).rglob("*.*") if "node_modules" not in file.parts]
    sources = [file for file in files if file.suffix in {".py", ".ts"}]
    named = {name for file in sources for name in re.findall(r"docs/[\w/-]+\.md", file.read_text("utf-8"))}
    assert "docs/facts/aws.md" in named, "the search finds something"
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_generated_parts_are_up_to_date() -> None:
    """What the pages compute is what the code says."""
    done = subprocess.run(
        [sys.executable, ROOT / "docs/generate.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_the_readme_is_short() -> None:
    """At most 100 lines: problem, picture, commands, links."""
    assert len(README.splitlines()) <= 100
