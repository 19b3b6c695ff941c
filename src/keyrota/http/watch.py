"""
A deadline for a whole exchange: connection, headers and body together.

The time-outs of urllib3 and of sockets are for each read: a service that sends one byte of a header every few seconds
never meets them. So a timer shuts the socket down when the time is over, and whoever waits on it meets an end.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

_here = threading.local()
_hurry: ContextVar[float | None] = ContextVar("hurry", default=None)


@contextmanager
def hurry(seconds: float) -> Iterator[None]:
    """Bound everything that is asked meanwhile together: an emergency does not wait for what it can do without."""
    token = _hurry.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _hurry.reset(token)


def hurry_left_s() -> float | None:
    """Return how many seconds are left of a hurry, zero once it is over; None where there is none."""
    end = _hurry.get()
    return None if end is None else max(0.0, end - time.monotonic())


class Deadline:
    """The end of one exchange; knows the connection that it is made on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: Any = None
        self.is_over = False
        self._began = time.monotonic()

    @property
    def took_s(self) -> float:
        """Real seconds since it began, whatever a sandbox's clock says."""
        return time.monotonic() - self._began

    def watch(self, connection: Any) -> None:
        """Name the connection; one that comes after the end is shut down at once."""
        with self._lock:
            self._connection = connection
            if self.is_over:
                _shut_down(connection)

    def end(self) -> None:
        """Let whoever waits meet an end."""
        with self._lock:
            self.is_over = True
            if self._connection is not None:
                _shut_down(self._connection)


def _shut_down(connection: Any) -> None:
    sock: Any = connection.sock
    with contextlib.suppress(OSError, AttributeError):  # closed by now, or never opened
        # Not `close`: another thread may be reading, and a closed number may belong to another connection the next
        # moment.
        sock.shutdown(socket.SHUT_RDWR)


@contextmanager
def deadline(seconds: float) -> Iterator[Deadline]:
    """Bound the exchange that this thread makes meanwhile; nothing is left running afterwards."""
    made = Deadline()
    timer = threading.Timer(seconds, made.end)
    # A process that has ended its work must not wait for a timer.
    timer.daemon = True
    timer.start()
    _here.deadline = made
    try:
        yield made
    finally:
        timer.cancel()
        _here.deadline = None


def _note(connection: Any) -> None:
    made: Deadline | None = getattr(_here, "deadline", None)
    if made is not None:
        made.watch(connection)


class Watched:
    """A connection that tells its exchange of itself; mixed in before a connection of urllib3."""

    def connect(self) -> None:
        """Connect; the end may come before there is a socket that it could shut down, so it is looked at once more."""
        _note(self)
        super().connect()  # type: ignore[misc]  # of the connection that this is mixed in before
        _note(self)

    def request(self, *given: Any, **named: Any) -> None:
        """Send."""
        _note(self)
        super().request(*given, **named)  # type: ignore[misc]  # as above


class _Plain(Watched, HTTPConnection):
    pass


class _Secure(Watched, HTTPSConnection):
    pass


class _PlainPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Secure


def watch(manager: urllib3.PoolManager) -> urllib3.PoolManager:
    """Let a manager make connections that a deadline can end."""
    manager.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}
    return manager
