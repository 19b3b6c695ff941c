"""
How long one credential waits for a service in one run, all calls together (promise one-fails-alone).

The deadline of an exchange does not bound a service that answers each call slowly, within that deadline, a hundred
times; nor one that answers each of a hundred calls with 503, which is repeated. So the time is added up: of answers
that are slow, and of pauses after failures. When it is used up, nothing more is asked of that service for this
credential in this run. What must be whole (a pair) is never cut: the bound is looked at before a pair is begun.
"""

from __future__ import annotations

import math
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta

from keyrota.errors import LeftByLimit, ProviderUnavailable
from keyrota.ports import Clock
from keyrota.stop import is_within_whole

SLOW_S = 5.0
"""An answer that takes longer counts; a large page of a busy service takes up to two seconds."""
MAX_S = 300.0
"""So long one credential waits for one service …"""
MAX_AGAIN_S = 30.0
"""… and for one at which another credential has waited that long just now, or all of them would wait in turn."""
_SPARE = timedelta(seconds=20)
"""Before the end of a function's time: what is left is for logs, metrics and events."""


class Waiting:
    """
    The time that one credential has waited, for each service; shared by its threads.

    Args:
        clock: Of the run.
        until: When the process is ended from outside (the time limit of a function); None: nobody says.
    """

    def __init__(self, clock: Clock, until: datetime | None = None) -> None:
        self._clock = clock
        self._end = until - _SPARE if until is not None else None
        self._until = until
        self._lock = threading.Lock()
        self._waited: defaultdict[object, float] = defaultdict(float)
        self._is_used_up = False

    def note(self, service: object, seconds: float) -> None:
        """Add the time of a pause after a failure."""
        with self._lock:
            self._waited[service] += seconds

    def note_answer(self, service: object, took_s: float) -> None:
        """Add the time that an answer took, if it was slow."""
        if took_s > SLOW_S:
            self.note(service, took_s)

    @property
    def is_used_up(self) -> bool:
        """Whether the time for any service is used up, or the time of the run nearly over."""
        return self._is_used_up or self._time_left_s() <= 0

    def get_remaining_s(self, service: object, *, is_known: bool = False) -> float:
        """
        Return how long may still be waited for a service; without an end for what must not break off in the middle.

        Args:
            service: Whom the time is counted for.
            is_known: It has cost another credential its time.
        """
        # Half a pair is worse than a run that takes too long: once begun it is finished, whatever that takes (promise
        # whole-pair).
        if is_within_whole():
            return math.inf
        with self._lock:
            left = (MAX_AGAIN_S if is_known else MAX_S) - self._waited[service]
        return min(left, self._time_left_s())

    def _time_left_s(self) -> float:
        return (self._end - self._clock.now()) / timedelta(seconds=1) if self._end is not None else MAX_S

    def refusal(self, name: str, where: str, *, is_undone: bool) -> ProviderUnavailable:
        """Say why nothing more is asked; `is_undone`: no earlier attempt may have been done."""
        self._is_used_up = True
        if self._until is not None and self._time_left_s() <= 0 and is_undone:
            return LeftByLimit(
                f"the time of this run ends at {self._until:%Y-%m-%d %H:%M:%S} UTC: {name} is not asked any more",
                where=where,
                retry_at=self._until,
            )
        return ProviderUnavailable(
            f"{name} answers too slowly or not at all: the {MAX_S / 60:.0f} minutes that one credential waits for it "
            "in one run are used up",
            where=where,
            remedy="the next run continues with what is left",
            is_undone=is_undone,
        )


_current: ContextVar[Waiting | None] = ContextVar("keyrota_waiting", default=None)


def current_waiting() -> Waiting | None:
    """Return the account of the credential that this thread works on; None: outside of a run."""
    return _current.get()


@contextmanager
def bound_waits(clock: Clock, until: datetime | None) -> Iterator[None]:
    """Let what happens within, in threads with a copy of the context too, be of one credential."""
    token = _current.set(Waiting(clock, until))
    try:
        yield
    finally:
        _current.reset(token)
