"""What happens when, and who waits for what."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from keyrota.executor.parallel import Parallel
from keyrota_sandbox.memory import WorldClock

T = TypeVar("T")
R = TypeVar("R")


class Timeline:
    """Events in the order of their time; what falls on the same instant keeps the order in which it was announced."""

    def __init__(self, clock: WorldClock) -> None:
        self.clock = clock
        self._events: list[tuple[datetime, int, Callable[[], object]]] = []
        self._numbers = itertools.count()

    def at(self, when: datetime, do: Callable[[], object]) -> None:
        """Announce an event; one that lies in the past happens next."""
        heapq.heappush(self._events, (max(when, self.clock.instant), next(self._numbers), do))

    def after(self, seconds: float, do: Callable[[], object]) -> None:
        """Announce an event."""
        self.at(self.clock.instant + timedelta(seconds=seconds), do)

    def play(self, until: datetime) -> None:
        """Let everything happen that is due until then."""
        while self._events and self._events[0][0] <= until:
            when, _, do = heapq.heappop(self._events)
            self.clock.instant = max(self.clock.instant, when)
            do()
        self.clock.instant = max(self.clock.instant, until)


class Scheduler(Protocol):
    """How several actors take turns."""

    @property
    def parallel(self) -> Parallel:
        """How one actor does several things at once."""
        ...

    def start(self, do: Callable[[], object]) -> None:
        """Let an actor begin now."""
        ...

    def wait(self, seconds: float) -> None:
        """Let the actor who calls wait, and others continue."""
        ...


class NestedScheduler:
    """
    Actors on one stack: whoever's time comes while another waits goes through whole.

    Needs nothing but Python. Histories in which two actors overlap without one lying within the other are not among
    those that it can play; the tests bring lanes that can.
    """

    _DEPTH = 3

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._running = 0

    @property
    def parallel(self) -> Parallel:
        """One after the other: a stack has no other way."""
        return one_by_one

    def start(self, do: Callable[[], object]) -> None:
        """Let an actor go through whole; later, if too many are under way."""
        if self._running >= self._DEPTH:
            self._timeline.after(60, lambda: self.start(do))
            return
        self._running += 1
        try:
            do()
        finally:
            self._running -= 1

    def wait(self, seconds: float) -> None:
        """Let others continue meanwhile."""
        self._timeline.play(self._timeline.clock.instant + timedelta(seconds=seconds))


def one_by_one(do: Callable[[T], R], things: Iterable[T], workers: int) -> list[R]:  # noqa: ARG001  # as Parallel has it
    """Do the same with several things, one after the other."""
    return [do(thing) for thing in things]
