"""
A fixed budget of histories, and every seed that ever found something.

The rest is `make soak SECONDS=…`. A history that fails is told by `python tests/simulation/play.py SEED`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from play import Verdict, play
from soak import Sum

BUDGET, CHUNK = 100, 10

FOUND = (
    *(2, 15, 143, 431, 581, 626, 693, 803, 882, 915, 1134, 1722, 2748, 3367, 3987, 10277, 11166),
    *(105, 3130, 3881, 5342, 9191, 40485, 101640, 101767, 103058),
    *(295, 331, 399, 585, 1035, 1281, 1358),
)
"""Seeds that broke a promise once, when the world was as it was then; docs/explanation/proof.md tells of what."""


def _judged(verdicts: list[Verdict]) -> None:
    broken = [f"seed {verdict.seed}: {fault}" for verdict in verdicts for fault in verdict.broken]
    assert not broken, broken


@pytest.mark.parametrize("first", range(1, BUDGET + 1, CHUNK))
def test_no_promise_breaks(first: int, figure: Callable[[str], None]) -> None:
    """Histories of about two rotations each, in which faults, people and other runs come between any two calls."""
    verdicts = [play(seed) for seed in range(first, first + CHUNK)]

    total = Sum()
    for verdict in verdicts:
        total.add(verdict)
    figure(f"seeds {first} to {first + CHUNK - 1}: {total.steps} calls, {total.lifetimes} keys from making to end")
    _judged(verdicts)
    assert total.lifetimes > CHUNK  # nothing is proven by histories in which nothing happens


@pytest.mark.parametrize("seed", FOUND)
def test_what_was_found_stays_mended(seed: int) -> None:
    """Each of these was a bug of the protocol, or of the world that judged it."""
    _judged([play(seed)])


def test_a_seed_is_one_history() -> None:
    """The same seed plays the same history in another process, whatever the order of its sets and dictionaries."""
    here = Path(__file__).parent
    code = (
        "from play import play; verdict = play(7); print(verdict.end, verdict.steps, sorted(verdict.covered.items()))"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=here,
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(told) == 1
    assert "AKIA" in told.pop()
