"""
A budget of calls that all targets of one token share, so that a service never has to refuse.

A call waits until it fits. A run that would have to wait beyond its bound stops there, says when it can continue, and
the next run continues with what is left.
"""

from __future__ import annotations

import bisect
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from keyrota.errors import LeftByLimit, ProviderUnavailable
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
        self._most = max((limit.calls for limit in self._limits), default=1)
        self._slots: list[datetime] = []
        self._made = clock.now()
        self._began: datetime | None = None
        self._last = self._made
        self._seen: dict[str, datetime] = {}

    def take(self, where: str, calls: int = 1) -> None:
        """
        Wait for the turn of so many calls, which may then be made at the same moment.

        Raises:
            LeftByLimit: It would come after the bound; nothing was sent.
        """
        with self._lock:
            now = self._clock.now()
            if self._began is None or now - self._last > _IDLE:
                self._began = now
            turn = self._turn(now, calls)
            if turn > max(now, self._began + self._bound):
                again = _whole_second_after(turn)  # reports show seconds; a run that starts then finds its turn
                raise LeftByLimit(
                    f"{self._name} is used up until {again:%Y-%m-%d %H:%M:%S} UTC",
                    where=where,
                    retry_after_s=(again - now).total_seconds(),
                    retry_at=again,
                )
            # Within the lock, and before the wait: whoever comes meanwhile gets a later turn, so that waiting needs no
            # order of its own.
            self._slots.extend(turn + number * self._gap for number in range(calls))
            del self._slots[: -self._most]
            self._last = self._slots[-1]
        if turn > now:
            self._clock.sleep((turn - now).total_seconds())

    def stay(self) -> None:
        """Note that someone waited for the service itself: the burst continues, and so does its bound."""
        with self._lock:
            self._last = max(self._last, self._clock.now())

    def repeat(self) -> None:
        """Count a call that is made again, without waiting for its turn."""
        with self._lock:
            bisect.insort(self._slots, self._clock.now())
            del self._slots[: -self._most]

    def note(self, what: str, at: datetime) -> None:
        """Count, once, a call that an earlier run made, as the time of a thing's last change tells it."""
        with self._lock:
            # What this run writes it counts itself. Only what was there before it began is news.
            if at >= self._made or self._seen.get(what) == at:
                return
            self._seen[what] = at
            bisect.insort(self._slots, at)
            del self._slots[: -self._most]

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
    longer than the patience of one, also where it comes and goes. What only writes met, only a write ends.
    """

    def __init__(self, clock: Clock, patience_s: float, name: str) -> None:
        self._clock = clock
        self._patience = timedelta(seconds=patience_s)
        self._name = name
        self._lock = threading.Lock()
        self._since: datetime | None = None
        self._until: datetime | None = None
        self._ended: datetime | None = None
        self._is_of_writes = False

    def begin(self, pause_s: float, *, is_write: bool) -> None:
        """Note a refusal, or one to come, and how long nobody should call."""
        with self._lock:
            now = self._clock.now()
            # A limit that returns within this time is the same one: else a service that lets one call through every
            # minute would never use the patience up.
            is_new = self._since is None or (self._ended is not None and now - self._ended > _IDLE)
            self._is_of_writes = is_write if is_new or self._until is None else self._is_of_writes and is_write
            self._since = now if is_new else self._since
            self._until, self._ended = max(self._until or now, now + timedelta(seconds=pause_s)), None

    def end(self, *, is_write: bool) -> None:
        """Note that a call went through."""
        with self._lock:
            if self._until is not None and (is_write or not self._is_of_writes):
                self._until, self._ended = None, self._clock.now()

    def wait(self, where: str, *, is_write: bool, is_begun: bool = False) -> bool:
        """
        Wait until someone may call again.

        Args:
            where: For errors.
            is_write: It changes something.
            is_begun: It is half of a pair whose other half may be there already: it waits, but is not given up here.

        Returns:
            Whether it had to wait.

        Raises:
            LeftByLimit: The limit has lasted, or would last, longer than the patience; nothing was sent.
            ProviderUnavailable: The same in the middle of a pair.
        """
        with self._lock:
            since, until, now = self._since, self._until, self._clock.now()
            if until is not None and now - until > self._patience:
                self._since = self._until = self._ended = since = until = None  # long over: nobody has asked since
            is_free = self._is_of_writes and not is_write
        if since is None or until is None or (until <= now and (is_free or is_begun or now < since + self._patience)):
            return False
        latest = now + self._patience if is_begun else since + self._patience
        if max(until, now) > latest:
            again = max(until, now)
            what = f"{self._name} limits this token until {again:%Y-%m-%d %H:%M:%S} UTC"
            after_s = max(1.0, (again - now).total_seconds())
            if is_begun:
                remedy = "the next run tries again"
                raise ProviderUnavailable(what, where=where, remedy=remedy, retry_after_s=after_s, is_undone=True)
            raise LeftByLimit(what, where=where, retry_after_s=after_s, retry_at=again)
        self._clock.sleep((until - now).total_seconds())
        return True


def _whole_second_after(instant: datetime) -> datetime:
    return instant + timedelta(microseconds=-instant.microsecond % 1_000_000)
