"""A service that hangs, as all callers of one client know it: each of them alone would wait for the whole patience."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

from keyrota.ports import Clock

_REMEMBERED = timedelta(minutes=5)
_QUICK_S = 2.0
"""Only an answer within this time ends what is known of a service that answers too slowly."""
_GLANCE_S = 10.0
"""So long an exchange may take while the service is known to hang."""


class Slowness:
    """Whether the service hung lately; shared by threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._since: datetime | None = None
        self._cost: datetime | None = None
        """When it had cost a credential all of its time."""

    def note(self) -> None:
        """Note a call that was not answered in time."""
        with self._lock:
            self._since = self._clock.now()

    def end(self, took_s: float = 0.0) -> None:
        """Note an answer."""
        with self._lock:
            self._since = None
            if took_s <= _QUICK_S:
                self._cost = None

    def note_cost(self) -> None:
        """Note that a credential has used up its time here: the next one waits less."""
        with self._lock:
            self._cost = self._clock.now()

    def is_costly(self) -> bool:
        """Return whether another credential has used up its time here within the last minutes."""
        with self._lock:
            return self._cost is not None and self._clock.now() - self._cost < _REMEMBERED

    def is_known(self) -> bool:
        """Return whether it hung within the last minutes, and has not answered since."""
        with self._lock:
            return self._since is not None and self._clock.now() - self._since < _REMEMBERED

    def bound_s(self, usual_s: float) -> float:
        """Return how long an exchange may take now."""
        return min(usual_s, _GLANCE_S) if self.is_known() else usual_s
