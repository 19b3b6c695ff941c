"""
SIGINT and SIGTERM: nothing breaks off in the middle of a pair (promise whole-pair).

While a pair is being written, or a key that was made is not stored yet, a signal is noted and reported, and the run
ends as soon as that is whole: it is finished, or the old pair is put back, without long waits. A second signal changes
nothing about that: it would leave a place at which every pipeline fails. SIGKILL does, and the next run repairs it.
At any other moment the run ends at once.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from keyrota.app import words
from keyrota.app.cli.common import eprint
from keyrota.stop import STOP


class Terminated(BaseException):
    """SIGTERM, at a moment at which nothing is half-done; what KeyboardInterrupt is for SIGINT."""


_received: list[int] = []


@contextmanager
def defer() -> Iterator[None]:
    """Handle both signals so while a command runs; only the main thread may."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    STOP.forget()
    _received.clear()
    before = {number: signal.signal(number, _receive) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        STOP.forget()


def _receive(number: int, _: FrameType | None) -> None:
    is_first = not _received
    _received.append(number)
    if STOP.ask():
        if is_first:
            raise (KeyboardInterrupt if number == signal.SIGINT else Terminated)
        return
    eprint(words.STOPPING if is_first else words.STILL_STOPPING)


def exit_code() -> int | None:
    """Choose the exit code of a command that was told to stop; None: it was not."""
    if not _received:
        return None
    return words.EXIT_INTERRUPTED if _received[0] == signal.SIGINT else words.EXIT_TERMINATED
