"""The proof notices mistakes: each deliberate one breaks a promise within a stated number of histories."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from mistakes import MISTAKES, Mistake
from sabotage import LIMIT, a_copy, find, run_in

WITHOUT = 25
"""So many histories show that the copy itself is sound."""


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name.replace(" ", "-"))
def test_a_mistake_is_noticed(mistake: Mistake, tmp_path: Path, figure: Callable[[str], None]) -> None:
    """Made in a copy of the package, and played in a process of its own."""
    found = find(mistake, tmp_path)

    assert found.broken, f"{LIMIT} histories did not notice: {mistake.name}"
    figure(f"mistake: {mistake.name}: {found.where}: {found.promises}")
    assert found.is_noticed, found.broken


@pytest.mark.parametrize("mistake", [mistake for mistake in MISTAKES if mistake.is_searched])
def test_the_search_notices_a_mistake_too(mistake: Mistake, tmp_path: Path) -> None:
    """A search that finds nothing may be blind."""
    found = find(replace(mistake, scene=""), tmp_path)
    assert found.search
    assert found.is_noticed, found.broken


def test_without_a_mistake_nothing_breaks(tmp_path: Path) -> None:
    """The copy itself is sound, so that it is the mistake that is noticed."""
    assert run_in(a_copy(tmp_path), "sabotaged.py", str(WITHOUT), "1")["broken"] == []
