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
        gap_s: The pace: so many seconds between calls on average. Calls that are taken together go together, and the
            next ones wait for all of them.
    """

    def __init__(
        self, clock: Clock, limits: Sequence[Limit], *, bound: timedelta, name: str, gap_s: float = 0.0
    ) -> None:
        self._clock = clock
        self._limits = tuple(limits)
        self._bound = bound
        self._name = name
        self._gap = timedelta(seconds=gap_s)
        self._lock = threading.Lock()
        longest = max((limit.calls for limit in self._limits), default=0)
        self._slots: deque[datetime] = deque(maxlen=max(1, longest))
        self._began: datetime | None = None

    def take(self, where: str, calls: int = 1) -> None:
        """
        Wait for the turn of so many calls, which may then be made at the same moment.

        Raises:
            ProviderUnavailable: It would come after the bound; nothing was sent.
        """
        with self._lock:
            now = self._clock.now()
            if self._began is None or not self._slots or now - self._slots[-1] > _IDLE:
                self._began = now
            turn = self._turn(now, calls)
            if turn > max(now, self._began + self._bound):
                raise ProviderUnavailable(
                    f"{self._name} is used up until {turn:%Y-%m-%d %H:%M:%S} UTC",
                    where=where,
                    remedy="nothing is lost: a run after that time goes on where this one stopped",
                    retry_after_s=(turn - now).total_seconds(),
                )
            self._slots.extend(turn + number * self._gap for number in range(calls))
        if turn > now:
            self._clock.sleep((turn - now).total_seconds())

    def _turn(self, now: datetime, calls: int) -> datetime:
        """Find the first moment at which so many calls fit into all limits."""
        turn = max(now, self._slots[-1] + self._gap) if self._slots else now
        for limit in self._limits:
            before = max(0, limit.calls - calls)  # so many may lie within the span already
            if len(self._slots) > before:
                turn = max(turn, self._slots[-before - 1] + timedelta(seconds=limit.seconds))
        return turn


class SharedLimit:
    """
    A limit that the service spoke of once, for every caller that shares its client.

    Whoever calls while it lasts waits as well, instead of being refused in turn; and all of them together wait no
    longer than the patience of one.
    """

    def __init__(self, clock: Clock, patience_s: float, name: str) -> None:
        self._clock = clock
        self._patience = timedelta(seconds=patience_s)
        self._name = name
        self._lock = threading.Lock()
        self._since: datetime | None = None
        self._until: datetime | None = None

    def begin(self, pause_s: float) -> None:
        """Note a refusal, and how long nobody should call."""
        with self._lock:
            now = self._clock.now()
            self._since = self._since or now
            self._until = max(self._until or now, now + timedelta(seconds=pause_s))

    def end(self) -> None:
        """Note that a call went through."""
        with self._lock:
            self._since = self._until = None

    def wait(self, where: str) -> None:
        """
        Wait until somebody may call again.

        Raises:
            ProviderUnavailable: The limit has lasted, or would last, longer than the patience.
        """
        with self._lock:
            since, until, now = self._since, self._until, self._clock.now()
            if since is not None and until is not None and now - until > self._patience:
                self._since = self._until = since = until = None  # long over: nobody has asked since
        if since is None or until is None or until <= now < since + self._patience:
            return
        if max(until, now) > since + self._patience:
            raise ProviderUnavailable(
                f"{self._name} limits this token until {max(until, now):%Y-%m-%d %H:%M:%S} UTC",
                where=where,
                remedy="nothing is lost: a run after that time goes on where this one stopped",
                retry_after_s=max(1.0, (until - now).total_seconds()),
            )
        self._clock.sleep((until - now).total_seconds())
