"""
A process that is told to stop: nothing more is begun, and what must be whole is finished first (promise whole-pair).

Signals belong to the process, so there is one `STOP`; whoever handles them asks it, and whoever begins something that
must not break off in the middle does so within `whole()`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from keyrota.errors import Stopped

_is_within: ContextVar[bool] = ContextVar("keyrota_is_within_whole", default=False)


def is_within_whole() -> bool:
    """Return whether this thread does something that must not break off in the middle."""
    return _is_within.get()


class Stop:
    """
    Whether the process was told to stop, and what is not whole yet.

    `ask` may be called from a signal handler: a plain attribute and a re-entrant lock, because a handler runs in the
    midst of whatever the main thread does (an Event's own lock may be held by it).
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._is_asked = False
        self._open = 0

    def ask(self) -> bool:
        """Ask for the end; returns whether nothing is open, so that the process may end at once."""
        with self._lock:
            self._is_asked = True
            return self._open == 0

    def forget(self) -> None:
        """Begin anew: another command in the same process."""
        with self._lock:
            self._is_asked = False

    @property
    def is_asked(self) -> bool:
        """Whether the process was told to stop."""
        return self._is_asked

    def demand_no_stop(self) -> None:
        """
        Refuse to begin or to wait, unless it is for something that must become whole.

        Raises:
            Stopped: The process was told to stop.
        """
        if self._is_asked and not _is_within.get():
            raise Stopped("keyrota was told to stop", remedy="what was begun is whole; the next run continues")

    @contextmanager
    def whole(self) -> Iterator[None]:
        """
        Do something that must not break off in the middle.

        Threads that are started within take part if they run in a copy of the context.

        Raises:
            Stopped: The process was told to stop before it began.
        """
        with self._lock:
            self.demand_no_stop()
            self._open += 1
        token = _is_within.set(True)
        try:
            yield
        finally:
            _is_within.reset(token)
            with self._lock:
                self._open -= 1


STOP = Stop()
"""Of this process."""
