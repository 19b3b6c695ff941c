"""The end of an exchange that comes while its connection is made."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from keyrota.http import watch
from keyrota.http.watch import Deadline, Watched, deadline


class _Socket:
    """A socket that is open until it is shut down."""

    def __init__(self) -> None:
        self.is_shut = False

    def shutdown(self, _: int) -> None:
        self.is_shut = True


class _Base:
    """A connection whose deadline ends before it has a socket, or just after."""

    def __init__(self, made: Deadline, *, ends_first: bool) -> None:
        self._made, self._ends_first = made, ends_first
        self.sock: _Socket | None = None

    def connect(self) -> None:
        if self._ends_first:
            self._made.end()
        self.sock = _Socket()
        if not self._ends_first:
            self._made.end()


class _Connection(Watched, _Base):
    pass


@pytest.mark.parametrize("ends_first", [True, False])
def test_a_connection_is_shut_down_whenever_its_end_comes(ends_first: bool) -> None:
    """Without a socket there is nothing to shut down; whoever reads from it afterwards would wait without end."""
    with deadline(3600) as made:
        connection = _Connection(made, ends_first=ends_first)
        connection.connect()
        assert connection.sock is not None
        assert connection.sock.is_shut


def test_what_comes_after_the_exchange_is_not_shut_down() -> None:
    with deadline(3600) as made:
        pass
    made.end()
    connection = _Connection(Deadline(), ends_first=True)
    connection.connect()
    assert connection.sock is not None
    assert not connection.sock.is_shut
    watch._note(SimpleNamespace(sock=None))
