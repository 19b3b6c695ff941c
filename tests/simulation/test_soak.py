"""The soak's table: its rows and columns are all that can happen and all that keyrota does, and no cell is left out."""

from __future__ import annotations

from collections import Counter
from typing import get_args

import pytest
from play import _HARDLY, _SELDOM, _SOMETIMES, drawn
from soak import ENOUGH, ONLY_LOOKS, ROWS, Sum, is_possible

from keyrota.core import plan as act
from keyrota_sandbox.memory import Outage
from keyrota_sandbox.simulation import LOOKING, STEPS, TROUBLES, FaultKind
from keyrota_sandbox.simulation.strikes import BEFALLS, QUESTIONS, Strikes


def full() -> Sum:
    cells = ((trouble, step) for trouble in ROWS for step in STEPS if is_possible(trouble, step))
    return Sum(histories=ENOUGH, covered=Counter(dict.fromkeys(cells, 1)))


def test_the_columns_are_all_that_keyrota_does() -> None:
    """An action that is added to the plan is a column by that, or a question, at which a run only looks."""
    assert {*STEPS, *QUESTIONS} == {LOOKING, *(kind.__name__ for kind in get_args(act.Action))}


def test_the_rows_are_all_that_can_go_wrong() -> None:
    assert {*FaultKind, *Outage} <= set(ROWS)
    assert set(BEFALLS) < set(TROUBLES) < set(ROWS)


def test_what_is_left_out_is_said_in_the_table() -> None:
    told = "\n".join(full().table())
    assert told.count("           -") == len(ONLY_LOOKS) * (len(STEPS) - 1)
    assert all(f"- {trouble}: {reason}" in told for trouble, reason in ONLY_LOOKS.items())


@pytest.mark.parametrize("cell", [("crash after", "Choose"), ("told to stop", "Delete"), ("token ended", "TakeOver")])
def test_an_empty_cell_is_a_gap(cell: tuple[str, str]) -> None:
    total = full()
    assert total.gaps() == []
    del total.covered[cell]
    assert total.gaps() == [cell]


@pytest.mark.parametrize("cell", [("pages shift", "Sync"), ("a flood", LOOKING), ("throttled", "Dance")])
def test_a_cell_that_was_left_out_and_is_met_is_wrong(cell: tuple[str, str]) -> None:
    total = full()
    assert total.wrong() == []
    total.covered[cell] += 1
    assert total.wrong() == [cell]


def test_enough_histories_aim_at_every_step_with_everything() -> None:
    """As often as `play` expects a history to take the step that it aims at."""
    struck: set[tuple[str, str]] = set()
    for aim in filter(None, (drawn(seed).aim for seed in range(1, ENOUGH + 1))):
        strikes = Strikes(aim)
        for _ in range(_HARDLY if aim.step in _SELDOM else _SOMETIMES):
            struck.add((strikes.at(aim.step) or "", aim.step))
            strikes.hit()
    assert struck == {(what, step) for what in BEFALLS for step in STEPS[1:]}
