"""Actors that take turns at every call: a greenlet each, so that two runs can overlap in any way."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from greenlet import GreenletExit, getcurrent, greenlet

from keyrota.executor.parallel import Parallel
from keyrota_sandbox.simulation import Timeline

T = TypeVar("T")
R = TypeVar("R")


class Greenlets:
    """Lanes in which every wait is a turn; the timeline says whose turn comes next."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._hub = getcurrent()

    @property
    def parallel(self) -> Parallel:
        """A lane for each thing."""
        return self._each

    def start(self, do: Callable[[], object]) -> None:
        """Let an actor begin at the next turn."""
        lane = greenlet(do, parent=self._hub)
        self._timeline.after(0, lane.switch)

    def wait(self, seconds: float) -> None:
        """Give the turn away, and take it back later."""
        self._timeline.after(seconds, getcurrent().switch)
        self._hub.switch()

    def _each(self, do: Callable[[T], R], things: Iterable[T], workers: int) -> list[R]:  # noqa: ARG002
        """Do the same with several things, interleaved; one that dies takes the others along."""
        things = tuple(things)
        if len(things) < 2:
            return [do(thing) for thing in things]
        results: dict[int, R] = {}
        died: list[BaseException] = []
        me, left = getcurrent(), [len(things)]

        def one(number: int, thing: T) -> None:
            try:
                results[number] = do(thing)
            except GreenletExit:
                raise
            except BaseException as error:  # noqa: BLE001  # whatever ends one of them is raised in the one who waits
                died.append(error)
            left[0] -= 1
            if not left[0]:
                self._timeline.after(0, me.switch)

        for number, thing in enumerate(things):
            lane = greenlet(lambda number=number, thing=thing: one(number, thing), parent=self._hub)
            self._timeline.after(0, lane.switch)
        self._hub.switch()
        if died:
            raise died[0]
        return [results[number] for number in range(len(things))]
