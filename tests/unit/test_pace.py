"""How fast calls are sent: against a token bucket like AWS's, counted in simulated time."""

from __future__ import annotations

import heapq
from random import Random

import pytest

from keyrota.aws import pace as module
from keyrota.aws.pace import FIRST_RATE, Pace, get_pace


@pytest.fixture(autouse=True)
def it_begins_as_it_does(no_call_waits_for_its_turn: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001  # after that
    """Pace calls as outside of tests."""
    monkeypatch.setattr(module, "FIRST_RATE", FIRST_RATE)


class Service:
    """A token bucket of a second's calls that eight workers ask, one call after the other."""

    def __init__(self, rate: float, seed: int) -> None:
        self.now = 0.0
        self.calls = self.refused = 0
        self._rate, self._tokens, self._at = rate, rate, 0.0
        self._random = Random(seed)  # noqa: S311  # latencies

    def monotonic(self) -> float:
        return self.now

    def ask(self) -> bool:
        """Answer one call; False: it is refused."""
        self._tokens = min(self._rate, self._tokens + (self.now - self._at) * self._rate)
        self._at = self.now
        self.calls += 1
        is_good = self._tokens >= 1
        self._tokens -= is_good
        self.refused += not is_good
        return is_good

    def run(self, pace: Pace, calls: int, workers: int = 8) -> float:
        """Let workers make so many calls, each again until it is answered; returns when the last one was."""
        left, number, events = calls - workers, 0, [(0.0, worker, "take", 0.0) for worker in range(workers)]
        while events:
            self.now, worker, what, sent_at = heapq.heappop(events)
            number += 1
            if what == "take":
                heapq.heappush(events, (self.now + pace.take(), worker, "send", 0.0))
            elif what == "send":
                word = "answered" if self.ask() else "refused"
                heapq.heappush(events, (self.now + self._random.uniform(0.04, 0.07), worker, word, self.now))
            else:
                pace.note(sent_at=sent_at, is_refused=what == "refused")
                if what == "refused" or left > 0:
                    left -= what == "answered"
                    again = self._random.uniform(0, 1) if what == "refused" else 0.0
                    heapq.heappush(events, (self.now + again, worker, "take", 0.0))
        return self.now


@pytest.mark.parametrize("seed", range(5))
def test_under_ten_calls_a_second_hardly_any_is_refused_and_hardly_any_time_is_lost(seed: int) -> None:
    service = Service(10, seed)
    took = service.run(Pace(service.monotonic), 300)
    assert service.refused / service.calls <= 0.02
    assert took <= 1.1 * (300 - 10) / 10


def test_where_nothing_is_refused_nothing_is_held_back_for_long() -> None:
    service = Service(100_000, 1)
    pace = Pace(service.monotonic)
    assert service.run(pace, 10) < 0.2
    assert service.run(pace, 2_000) < 20
    assert pace.take() == 0


def test_a_service_that_slows_down_is_followed_and_one_that_recovers_too() -> None:
    service = Service(20, 1)
    pace = Pace(service.monotonic)
    service.run(pace, 400)
    assert 15 < pace.rate < 25
    service._rate = 5
    service.run(pace, 200)
    assert pace.rate < 8
    service._rate = 1_000
    service.run(pace, 2_000)
    assert pace.rate > 8


def test_all_clients_of_an_account_and_service_share_one_pace() -> None:
    assert get_pace("role", "iam") is get_pace("role", "iam")
    assert get_pace("role", "iam") is not get_pace("role", "sts")
    assert get_pace("role", "iam") is not get_pace("other", "iam")
