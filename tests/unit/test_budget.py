"""Limits of a service: when a call may be made, when a run stops at one, and what half a pair may do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from keyrota.errors import LeftByLimit, ProviderRefused, ProviderUnavailable
from keyrota.http.budget import Budget, Limit, SharedLimit
from keyrota.target_base.look import Look, RecentLists
from keyrota_sandbox.memory.clock import WorldClock

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def seconds(clock: WorldClock) -> float:
    return (clock.now() - NOW).total_seconds()


def a_budget(clock: WorldClock, *limits: Limit, bound_s: float = 600, gap_s: float = 0) -> Budget:
    return Budget(clock, limits, bound=timedelta(seconds=bound_s), name="the write budget", gap_s=gap_s)


@pytest.mark.parametrize(
    ("limits", "gap_s", "takes", "turns"),
    [
        ([Limit(calls=2, seconds=10)], 0, [1, 1, 1, 1], [0, 0, 10, 10]),
        ([Limit(calls=2, seconds=10)], 0, [2, 1], [0, 10]),
        ([Limit(calls=3, seconds=10)], 0, [2, 2], [0, 10]),
        ([Limit(calls=3, seconds=10)], 0, [2, 1], [0, 0]),
        ([Limit(calls=1, seconds=10)], 0, [2, 2], [0, 10]),
        ([Limit(calls=2, seconds=1), Limit(calls=3, seconds=60)], 0, [1, 1, 1, 1], [0, 0, 1, 60]),
        ([Limit(calls=3, seconds=60), Limit(calls=2, seconds=1)], 0, [1, 1, 1, 1], [0, 0, 1, 60]),
        ([], 2, [1, 1, 2, 1], [0, 2, 4, 8]),
        ([], 0, [1, 1], [0, 0]),
    ],
)
def test_a_call_waits_until_it_fits(
    limits: Sequence[Limit], gap_s: float, takes: Sequence[int], turns: Sequence[float]
) -> None:
    clock = WorldClock(NOW)
    budget = a_budget(clock, *limits, gap_s=gap_s)
    found = []
    for calls in takes:
        budget.take("where", calls)
        found.append(seconds(clock))
    assert found == turns


@pytest.mark.parametrize(("bound_s", "is_left"), [(10, False), (9, True), (0, True)])
def test_a_run_stops_at_its_bound_and_says_when_it_can_go_on(bound_s: float, is_left: bool) -> None:
    clock = WorldClock(NOW + timedelta(milliseconds=300))
    budget = a_budget(clock, Limit(calls=1, seconds=10), bound_s=bound_s)
    budget.take("where")
    if not is_left:
        budget.take("where")
        return
    with pytest.raises(LeftByLimit) as caught:
        budget.take("where")
    assert caught.value.retry_at == NOW + timedelta(seconds=11)
    assert caught.value.retry_after_s == pytest.approx(10.7)
    assert clock.now() == NOW + timedelta(milliseconds=300)


@pytest.mark.parametrize(("idle_s", "is_new"), [(601, True), (600, False)])
@pytest.mark.parametrize("stays", [False, True])
def test_a_burst_has_a_bound_of_its_own_after_ten_minutes_of_rest(idle_s: float, is_new: bool, stays: bool) -> None:
    clock = WorldClock(NOW)
    budget = a_budget(clock, Limit(calls=1, seconds=1000), bound_s=500)
    budget.take("where")
    clock.sleep(idle_s)
    if stays:
        budget.stay()
    if is_new and not stays:
        budget.take("where")
        assert seconds(clock) == 1000
    else:
        with pytest.raises(LeftByLimit):
            budget.take("where")


def test_what_others_did_and_what_is_repeated_counts() -> None:
    clock = WorldClock(NOW)
    budget = a_budget(clock, Limit(calls=2, seconds=100))
    for at, what in ((-40, "a variable"), (-40, "a variable"), (0, "made meanwhile"), (1, "later")):
        budget.note(what, NOW + timedelta(seconds=at))
    budget.take("where")
    assert seconds(clock) == 0
    budget.take("where")
    assert seconds(clock) == 60
    other = a_budget(clock, Limit(calls=2, seconds=100))
    other.take("where")
    other.repeat()
    other.take("where")
    assert seconds(clock) == 160


def limited(clock: WorldClock, pause_s: float, *, is_write: bool = True) -> SharedLimit:
    limit = SharedLimit(clock, 60, "GitHub")
    limit.begin(pause_s, is_write=is_write)
    return limit


@pytest.mark.parametrize(("pause_s", "is_waited"), [(30, True), (60, True), (61, False)])
def test_everyone_waits_for_a_limit_no_longer_than_the_patience(pause_s: float, is_waited: bool) -> None:
    clock = WorldClock(NOW)
    limit = limited(clock, pause_s)
    if is_waited:
        assert limit.wait("where", is_write=True)
        assert seconds(clock) == pause_s
        assert not limit.wait("where", is_write=False)
        return
    with pytest.raises(LeftByLimit) as caught:
        limit.wait("where", is_write=True)
    assert (caught.value.retry_at, seconds(clock)) == (NOW + timedelta(seconds=pause_s), 0)


def test_half_of_a_pair_has_patience_of_its_own() -> None:
    clock = WorldClock(NOW)
    limit = limited(clock, 60)
    clock.sleep(50)
    limit.begin(50, is_write=True)
    with pytest.raises(LeftByLimit):
        limit.wait("where", is_write=True)
    assert limit.wait("where", is_write=True, is_begun=True)
    assert seconds(clock) == 100
    limit.begin(61, is_write=True)
    with pytest.raises(ProviderUnavailable) as caught:
        limit.wait("where", is_write=True, is_begun=True)
    assert not isinstance(caught.value, LeftByLimit)
    assert (caught.value.is_undone, caught.value.retry_after_s) == (True, 61)


@pytest.mark.parametrize(
    ("of_writes", "ends_with_write", "is_over"),
    [(True, True, True), (True, False, False), (False, False, True), (False, True, True)],
)
def test_what_only_writes_met_only_a_write_ends(of_writes: bool, ends_with_write: bool, is_over: bool) -> None:
    clock = WorldClock(NOW)
    limit = limited(clock, 30, is_write=of_writes)
    limit.end(is_write=ends_with_write)
    assert limit.wait("where", is_write=True) is not is_over


def test_without_a_limit_nobody_waits() -> None:
    limit = SharedLimit(WorldClock(NOW), 60, "GitHub")
    limit.end(is_write=True)
    assert not limit.wait("where", is_write=True)


@pytest.mark.parametrize(("after_s", "asked"), [(0, 1), (59, 1), (60, 2)])
def test_a_list_is_kept_for_a_minute(after_s: float, asked: int) -> None:
    clock = WorldClock(NOW)
    lists, asks = RecentLists[str](clock), list[str]()

    def ask() -> tuple[str, ...]:
        asks.append("asked")
        return ("a",)

    assert lists.read(("x",), ask) == ("a",)
    clock.sleep(after_s)
    assert lists.read(("x",), ask) == ("a",)
    assert len(asks) == asked
    lists.drop(("x",))
    lists.drop(("never kept",))
    assert lists.read(("x",), ask) == ("a",)
    assert lists.read(("y",), ask) == ("a",)
    assert len(asks) == asked + 2


def test_what_cannot_be_looked_at_is_noted_and_the_rest_is_read() -> None:
    def refused() -> tuple[()]:
        raise ProviderRefused("no")

    look = Look()
    assert look.attempt("the group", refused) is None
    assert look.attempt("the project", lambda: 7) == 7
    assert look.unread == ["the group: no"]
