"""The proof notices mistakes: each deliberate one breaks a promise within a stated number of histories."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mistakes import MISTAKES, Mistake

import keyrota

HERE, PACKAGE = Path(__file__).parent, Path(keyrota.__file__).parent
LIMIT = 250
"""No mistake takes more histories than this."""


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name.replace(" ", "-"))
def test_a_mistake_is_noticed(mistake: Mistake, tmp_path: Path, figure: Callable[[str], None]) -> None:
    """Made in a copy of the package, and played in a process of its own."""
    copy = tmp_path / "keyrota"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for edit in mistake.edits:
        edit.make(copy)

    told = subprocess.run(
        [sys.executable, "sabotaged.py", str(LIMIT)],
        cwd=HERE,
        env=os.environ | {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert told.returncode == 0, told.stderr[-2000:]
    found = json.loads(told.stdout)
    assert found["package"] == str(copy)  # or the mistake was made elsewhere
    assert found["seed"] is not None, f"{LIMIT} histories did not notice: {mistake.name}"
    figure(f"{mistake.name}: seed {found['seed']}, {found['broken'][0].partition(' at 20')[0]}")
    assert any(broken.startswith(mistake.breaks) for broken in found["broken"]), found["broken"]


def test_without_a_mistake_nothing_breaks(tmp_path: Path) -> None:
    """The copy itself is sound, so that it is the mistake that is noticed."""
    shutil.copytree(PACKAGE, tmp_path / "keyrota", ignore=shutil.ignore_patterns("__pycache__"))
    told = subprocess.run(
        [sys.executable, "sabotaged.py", "10"],
        cwd=HERE,
        env=os.environ | {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(told.stdout)["seed"] is None
