"""
Every interleaving of two runs, not a sample: one rotation with a crash at any point; one sync with a secret change.

`explore.py` tells what a state is, and why following each of them once is enough.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from searches import SEARCHES, a_sync

AT_LEAST = {"a rotation": (20, 50_000)}
"""Ends and states below which a search has not seen much."""


@pytest.mark.parametrize("name", SEARCHES)
def test_no_interleaving_breaks_a_promise(name: str, figure: Callable[[str], None]) -> None:
    """With a crash at any point."""
    found = SEARCHES[name]().run()

    figure(f"exhaustive, {name}, two runs, one crash: {found}")
    assert not found.broken, found.broken[:5]
    ends, states = AT_LEAST.get(name, (5, 1_000))
    assert found.ends > ends
    assert found.states > states


def test_the_search_sees_a_sync_that_forgets_its_note(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search can fail: where nothing tells of a pair that broke off half-way, it stays torn for ever."""
    forgets = "keyrota.executor.sync._SyncPass.begin"
    monkeypatch.setattr(forgets, lambda sync, version, _: setattr(sync, "version", version))

    assert a_sync(is_forward=False).run().broken
