"""Scenes with keyrota as it is: what was to happen happens, and no promise breaks."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from datetime import timedelta
from importlib import import_module
from pathlib import Path

import pytest
from mistakes import MISTAKES
from scenes import SCENES, play_scene

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs/explanation/proof.md"
BUG = "no bug"
"""Whatever is a bug in keyrota's own words breaks this one, so that no mistake of a kind stands for it."""


@pytest.mark.parametrize("name", SCENES)
def test_no_promise_breaks_in_a_scene(name: str) -> None:
    """Each of them brings about on purpose what histories seldom meet."""
    assert play_scene(name) == ()


def _judged() -> Iterator[str]:
    """Read the names of all promises that the judge can find broken from its own text."""
    for path in (*sorted(HERE.glob("promises*.py")), HERE / "play.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "breaks":
                named = [one for one in ast.walk(node.args[0]) if isinstance(one, ast.Constant)]
                yield from (str(one.value) for one in named)


JUDGES = (
    "limits",
    "record",
    "promises",
    "promises_of_keepers",
    "promises_of_keys",
    "promises_of_places",
    "promises_of_reports",
    "promises_of_runs",
    "promises_of_waves",
)


def _numbers(judge: str) -> Iterator[str]:
    """Find the numbers and times that a module of the judge takes from keyrota; the world's are not keyrota's."""
    for node in ast.walk(ast.parse((HERE / f"{judge}.py").read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or node.module is None:
            continue
        if not node.module.startswith("keyrota."):
            continue
        found = {alias.name: vars(import_module(node.module)).get(alias.name) for alias in node.names}
        yield from (name for name, value in found.items() if isinstance(value, (int, float, timedelta)))
        yield from (name for name in found if name in {"CLASSIC", "Settings"})  # whose defaults are numbers


@pytest.mark.parametrize("judge", JUDGES)
def test_the_judge_takes_no_number_from_keyrota(judge: str) -> None:
    """Or it would excuse what keyrota's own windows allow, whatever they become."""
    assert list(_numbers(judge)) == []


def test_all_of_the_judge_is_looked_at() -> None:
    assert {path.stem for path in HERE.glob("promises*.py")} <= set(JUDGES)


JUDGED = sorted({*_judged(), "converges"} - {BUG})


@pytest.mark.parametrize("promise", JUDGED)
def test_a_judged_promise_is_broken_by_a_deliberate_mistake(promise: str) -> None:
    """A predicate that no mistake breaks may be blind."""
    assert promise in {mistake.breaks for mistake in MISTAKES}


@pytest.mark.parametrize("promise", JUDGED)
def test_a_judged_promise_is_on_the_page(promise: str) -> None:
    """The page says what is judged."""
    assert any(promise in line.split("|")[1] for line in PAGE.read_text(encoding="utf-8").splitlines() if "|" in line)
