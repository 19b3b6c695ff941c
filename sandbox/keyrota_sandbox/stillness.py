"""When may a clock that only waiting moves go forward? When everything that works has come to wait, too."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

A = TypeVar("A")
R = TypeVar("R")

STILL_S = 0.02
"""Real seconds without a call, and with none under way, after which whoever works in the sandbox counts as waiting:
between two calls a worker computes for some milliseconds."""
MAX_BUSY_S = 5.0
"""Real seconds after which a wait ends although calls never stop: a service that hangs must not stop the clock."""


class Activity:
    """
    The calls that are under way in a sandbox.

    Several workers share its clock. Were it moved as soon as one of them waits, the others, which are in the middle
    of a call that takes 0.2 real seconds, would find the wait of the first added to their own: real time does not
    add up. So a wait lasts until no call is under way any more.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._under_way = 0
        self._last = 0.0

    def count(self, service: Callable[[A], R]) -> Callable[[A], R]:
        """Count the calls of a service."""

        def call(request: A) -> R:
            self._move(1)
            try:
                return service(request)
            finally:
                self._move(-1)

        return call

    def note(self) -> None:
        """Note that a worker has just begun to work: its first call is about to come."""
        self._move(0)

    def wait_until_still(self) -> None:
        """Wait, in real time, until nothing has happened for `STILL_S`; for `MAX_BUSY_S` at most."""
        give_up = time.monotonic() + MAX_BUSY_S
        with self._changed:
            while (left := self._get_remaining_s()) > 0 and time.monotonic() < give_up:
                self._changed.wait(left)

    def _get_remaining_s(self) -> float:
        """Return the real seconds after which it may be still."""
        return STILL_S if self._under_way else self._last + STILL_S - time.monotonic()

    def _move(self, change: int) -> None:
        with self._changed:
            self._under_way += change
            self._last = time.monotonic()
