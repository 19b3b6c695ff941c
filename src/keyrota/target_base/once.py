"""What is asked for once, and kept: records and UUIDs that do not change while a run lasts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Once(Generic[K, V]):
    """
    Answers by key, each asked for once by whichever thread comes first.

    There is a lock for each key beside the one of the table: the targets of a run are read in parallel, and a
    repository that does not answer must hold up no other one.
    """

    def __init__(self) -> None:
        self._known: dict[K, V] = {}
        self._locks: dict[K, threading.Lock] = {}
        self._lock = threading.Lock()

    def ask(self, key: K, question: Callable[[], V]) -> V:
        """Return what is known, or ask; a question that raises is asked again next time."""
        with self._lock:
            its_own = self._locks.setdefault(key, threading.Lock())
        with its_own:
            if key not in self._known:
                self._known[key] = question()
            return self._known[key]

    def note(self, key: K, value: V) -> None:
        """Keep what was learned in another way."""
        with self._lock:
            self._known[key] = value

    def forget(self, *keys: K) -> None:
        """Let the next question about these be asked anew."""
        with self._lock:
            for key in keys:
                self._known.pop(key, None)
