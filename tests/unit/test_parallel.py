"""Several things at once: what waits for time to pass holds no worker."""

from __future__ import annotations

import threading

import pytest

from keyrota.executor.parallel import give_up_turn, in_parallel, in_turns

MANY = 40


def test_all_wait_at_once_and_few_work_at_once() -> None:
    """Forty meet at a barrier while they wait, with three workers: none of them holds one."""
    together = threading.Barrier(MANY, timeout=30)
    lock, working, most = threading.Lock(), 0, 0

    def work() -> None:
        nonlocal working, most
        with lock:
            working += 1
            most = max(most, working)

    def rest() -> None:
        nonlocal working
        with lock:
            working -= 1

    def one(number: int) -> int:
        work()
        rest()
        with give_up_turn():
            together.wait()
        work()
        rest()
        return number

    assert in_turns(one, range(MANY), 3) == list(range(MANY))
    assert most <= 3


def test_the_first_failure_is_raised_when_all_are_done() -> None:
    done: list[int] = []

    def one(number: int) -> None:
        if number == 1:
            raise ValueError(number)
        done.append(number)

    with pytest.raises(ValueError, match="1"):
        in_turns(one, range(4), 2)
    assert sorted(done) == [0, 2, 3]


def test_a_turn_is_given_up_by_its_own_thread_only() -> None:
    """Targets are written by threads of their own: what waits there leaves the turn of its credential alone."""
    seen: list[int] = []

    def inner(number: int) -> None:
        with give_up_turn():
            seen.append(number)

    def one(number: int) -> None:
        in_parallel(inner, (number, number), 2)
        in_parallel(inner, (number,), 2)

    in_turns(one, range(5), 1)
    assert sorted(seen) == sorted(number for number in range(5) for _ in range(3))


def test_without_turns_nothing_is_given_up() -> None:
    with give_up_turn():
        assert in_parallel(abs, (-1, -2), 2) == [1, 2]
