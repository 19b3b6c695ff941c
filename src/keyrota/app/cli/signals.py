"""
SIGINT and SIGTERM: nothing breaks off in the middle of a pair (promise whole-pair).

While a command changes something (`drain`), the first signal begins nothing more and waits for the calls in flight, so
that the report says what is half-way; a second one ends at once where nothing must be whole.
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
_draining: list[bool] = []


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


@contextmanager
def drain() -> Iterator[None]:
    """Let the first signal end what happens within at its next step, so that it returns what it did."""
    _draining.append(True)
    try:
        yield
    finally:
        _draining.pop()


def _receive(number: int, _: FrameType | None) -> None:
    is_first = not _received
    _received.append(number)
    may_end = STOP.ask()
    if may_end and not (_draining and is_first):
        if is_first or _draining:
            raise (KeyboardInterrupt if number == signal.SIGINT else Terminated)
        return
    if may_end:
        eprint(words.DRAINING)
    else:
        eprint(words.STOPPING if is_first else words.STILL_STOPPING)


def exit_code() -> int | None:
    """Choose the exit code of a command that was told to stop; None: it was not."""
    if not _received:
        return None
    return words.EXIT_INTERRUPTED if _received[0] == signal.SIGINT else words.EXIT_TERMINATED
