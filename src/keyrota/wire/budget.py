"""
A budget of calls that all targets of one token share, so that a service never has to refuse.

A call waits until it fits. A run that would have to wait beyond its bound stops there, says when it can go on, and
the next run goes on with what is left.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from keyrota.errors import ProviderUnavailable
from keyrota.ports import Clock

_IDLE = timedelta(minutes=10)
"""After so long without a call another burst begins, with a bound of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """So many calls in any span of so many seconds."""

    calls: int
    seconds: float


class Budget:
    """
    Shared by threads.

    Args:
        limits: All of them hold at once.
        bound: How long after its first call a burst may still be waiting.
        name: Of the service and what is counted, for people: `GitHub's write budget`.
    """

    def __init__(self, clock: Clock, limits: Sequence[Limit], *, bound: timedelta, name: str) -> None:
        self._clock = clock
        self._limits = tuple(limits)
        self._bound = bound
        self._name = name
        self._lock = threading.Lock()
        longest = max((limit.calls for limit in self._limits), default=0)
        self._slots: deque[datetime] = deque(maxlen=max(1, longest))
        self._began: datetime | None = None

    def take(self, where: str) -> None:
        """
        Wait for a call's turn.

        Raises:
            ProviderUnavailable: It would come after the bound; nothing was sent.
        """
        with self._lock:
            now = self._clock.now()
            if self._began is None or not self._slots or now - self._slots[-1] > _IDLE:
                self._began = now
            turn = max((self._turn(limit) for limit in self._limits), default=now)
            if turn > max(now, self._began + self._bound):
                raise ProviderUnavailable(
                    f"{self._name} is used up until {turn:%Y-%m-%d %H:%M:%S} UTC",
                    where=where,
                    remedy="nothing is lost: a run after that time goes on where this one stopped",
                    retry_after_s=(turn - now).total_seconds(),
                )
            turn = max(now, turn)
            self._slots.append(turn)
        if turn > now:
            self._clock.sleep((turn - now).total_seconds())

    def _turn(self, limit: Limit) -> datetime:
        if len(self._slots) < limit.calls:
            return datetime.min.replace(tzinfo=self._clock.now().tzinfo)
        return self._slots[-limit.calls] + timedelta(seconds=limit.seconds)
