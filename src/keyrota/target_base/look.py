"""What targets share when they look around a place: levels that are read one by one, and lists kept for a minute."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from keyrota.core.levels import Level, Side, Written, keys_shown, level_conflicts
from keyrota.core.model import Surroundings
from keyrota.core.variables import Listed
from keyrota.errors import KeyrotaError
from keyrota.ports import Clock

Path = tuple[str, ...]
T = TypeVar("T")
_RECENT = timedelta(minutes=1)
"""The targets of one repository are read together, and looked around together: of 1,000 calls an hour each counts."""


class RecentLists(Generic[T]):
    """The latest list of each scope, kept for a minute; a write to the scope drops it. Holds no value."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[Path, tuple[datetime, tuple[T, ...]]] = {}
        self._lock = threading.Lock()

    def keep(self, path: Path, variables: tuple[T, ...]) -> None:
        """Keep what a list showed just now."""
        with self._lock:
            self._known[path] = (self._clock.now(), variables)

    def drop(self, path: Path) -> None:
        """Forget a list, because something in it is about to change."""
        with self._lock:
            self._known.pop(path, None)

    def read(self, path: Path, ask: Callable[[], tuple[T, ...]]) -> tuple[T, ...]:
        """Return what a list showed within the last minute, or ask for it."""
        with self._lock:
            at, variables = self._known.get(path, (None, ()))
        if at is None or self._clock.now() - at >= _RECENT:
            variables = ask()
            self.keep(path, variables)
        return variables


class Look:
    """One look around a place: what cannot be read is noted, and the rest is read."""

    def __init__(self) -> None:
        self.unread: list[str] = []
        self._levels: list[Level] = []

    def attempt(self, name: str, ask: Callable[[], T]) -> T | None:
        """Ask for something that is called `name`; a refusal, or no answer, is noted, and None."""
        try:
            return ask()
        except KeyrotaError as error:
            self.unread.append(f"{name}: {error.what}")
            return None

    def level(self, name: str, side: Side, ask: Callable[[], tuple[Listed, ...]], *, noun: str = "variable") -> None:
        """Read one level."""
        try:
            variables = ask()
        except KeyrotaError as error:
            self.unread.append(f"{name}: {error.what}")
        else:
            self.add(name, side, variables, noun=noun)

    def add(self, name: str, side: Side, variables: tuple[Listed, ...], *, noun: str = "variable") -> None:
        """Add a level that was read already."""
        self._levels.append(Level(name=name, side=side, variables=variables, noun=noun))

    def conclude(self, address: str, written: Written, *, remedy: str = "") -> Surroundings:
        """Say what all levels show, and what they make of a write."""
        return Surroundings(
            address=address,
            shown=keys_shown(self._levels),
            conflicts=level_conflicts(written, self._levels, remedy=remedy),
            unread=tuple(self.unread),
        )
