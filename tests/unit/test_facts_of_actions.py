"""Each action states the facts that reports, duties and the executor go by: nothing else lists the actions."""

from __future__ import annotations

from typing import get_args

import pytest

from keyrota.core import plan as act
from keyrota.core.plan import Duty

KINDS: tuple[type[act.Action], ...] = get_args(act.Action)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_action_has_a_word_and_says_what_is_told_when_it_is_done(kind: type[act.Action]) -> None:
    assert kind.shown
    assert isinstance(vars(kind)["done"], str), "empty where nothing is told"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_question_changes_nothing(kind: type[act.Action]) -> None:
    if kind.is_question:
        assert not any((kind.done, kind.marks_user, kind.needs_ownership, kind.needs_fresh_proof))


def test_every_action_of_the_module_is_in_the_union() -> None:
    classes = {kind for kind in vars(act).values() if isinstance(kind, type) and hasattr(kind, "shown")}
    assert {kind for kind in classes if kind not in {act.Upcoming, act._Base}} == set(KINDS)


def test_what_ends_a_key_is_proven_afresh_and_belongs_to_one_secret() -> None:
    ending = set(get_args(act.Ending))
    assert {kind for kind in KINDS if kind.needs_fresh_proof} == ending
    assert all(kind.needs_ownership for kind in ending)


def test_each_duty_has_its_changes() -> None:
    """Those who change keys share no change, so that a role needs no right of another's (promise least-privilege)."""
    changes = {duty: {kind for kind in KINDS if duty in kind.duties and not kind.is_question} for duty in Duty}
    assert all(changes.values())
    shared = {kind for kind in KINDS if len(kind.duties) > 1 and not kind.is_question}
    assert shared == {act.Adopt}, "sync reads and proves the value, and moves no label"


def test_nothing_delays_a_deactivation_at_once() -> None:
    first = {kind.__name__ for kind in KINDS if kind.precedes_switch_off}
    assert first == {"AskOwner", "CreateSecret", "Adopt", "MarkRevoked", "Deactivate"}
