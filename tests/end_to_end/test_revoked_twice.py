"""Two people revoke the same key: each is told the truth, the key is off, and pipelines have one that works."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_rig import USER, Sandbox, a_sandbox


@pytest.fixture
def box(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Sandbox]:
    """A user whose one key keyrota made and serves."""
    with a_sandbox(tmp_path, capsys) as made:
        made.pass_a_rotation()
        yield made


def ends_well(box: Sandbox, leaked: str) -> None:
    """The leaked key is off, one other is Active, and every place works with it."""
    statuses = box.keys()
    assert statuses.pop(leaked) == "Inactive"
    assert list(statuses.values()) == ["Active"]
    assert box.deploys()
    assert box.run("status")[0] == 0


@pytest.mark.parametrize("is_named", [True, False])
@pytest.mark.parametrize("how", [(), ("--now",)])
def test_two_at_once(box: Sandbox, how: tuple[str, ...], *, is_named: bool) -> None:
    (leaked,) = box.keys()
    named = ("--key", leaked) if is_named else ()
    command = [sys.executable, "-m", "keyrota", "--config", str(box.file), "revoke", USER, *named, *how, "--yes"]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # our own
        for _ in range(2)
    ]
    told = [each.communicate(timeout=120) for each in both]
    codes = [each.returncode for each in both]
    assert 0 in codes, told
    assert set(codes) <= {0, 1}, told
    for (out, err), code in zip(told, codes, strict=True):
        assert "Traceback" not in err
        assert "a bug in keyrota" not in out + err
        assert code == 0 or "claim" in out or "was revoked just now" in err, (out, err)
    ends_well(box, leaked)


@pytest.mark.parametrize("how", [(), ("--now",)])
def test_one_after_the_other(box: Sandbox, how: tuple[str, ...]) -> None:
    """The second meant the same key and named none: it took the new one off, and no slot was left for another."""
    (leaked,) = box.keys()
    assert box.run("revoke", USER, *how, "--yes")[0] == 0
    code, _, err = box.run("revoke", USER, *how, "--yes")
    (new,) = box.keys().keys() - {leaked}
    assert (code, f"{leaked} of 123456789012:{USER} was revoked just now, and {new} took its place" in err) == (1, True)
    assert f"--key {new}" in err
    ends_well(box, leaked)
    assert box.run("revoke", USER, "--key", new, "--now", "--yes")[0] == 1
    assert box.keys()[new] == "Inactive", "who names it means it"


def test_a_key_that_leaks_later_is_meant_without_its_name(box: Sandbox) -> None:
    assert box.run("revoke", USER, "--yes")[0] == 0
    box.travel(days=15)
    assert box.run("apply")[0] == 0
    (leaked,) = box.keys()
    assert box.run("revoke", USER, "--yes")[0] == 0
    ends_well(box, leaked)
