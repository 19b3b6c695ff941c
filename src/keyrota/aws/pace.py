"""
How fast calls are sent to one service of one account, so that it hardly ever has to refuse.

AWS limits each account and API by a token bucket and publishes no figures (docs/facts/aws.md), and every call that is
refused is sent again, which makes the limit worse for all. So whoever calls takes a token first, and all workers share
them. The rate begins moderate, doubles while nothing is refused, falls to what was let through where something is, and
creeps up again from there.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable

from keyrota.stop import STOP

BURST = 10.0
"""So many calls may be sent at once at the beginning: what one credential needs, and some."""
FIRST_RATE = 10.0
"""Calls a second at the beginning; figures of five to twenty are reported for IAM."""
FREE_RATE = 400.0
"""Beyond this rate nothing is held back: no run of keyrota sends as many."""
SLOWEST = 0.5
_DOUBLES_S = 1.0
_WINDOW_S = 2.0
_CUT, _HALF = 0.96, 0.7
_CREEP, _RECOVER = 0.004, 0.15
"""Shares of the rate by which it grows in a second: near the last refusal, and well below it."""
_NEAR = 0.96
_GLANCE_S = 0.5


class Pace:
    """Shared by threads; counts real seconds, whatever a sandbox's clock says."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._rate = FIRST_RATE
        self._tokens = BURST
        self._at = self._began = now()
        self._refused_at_rate: float | None = None
        self._cut_at = float("-inf")
        self._passed: deque[float] = deque()

    @property
    def rate(self) -> float:
        """Calls a second, now."""
        return self._rate

    def take(self) -> float:
        """Take a token; returns for how many seconds the call has to wait for it."""
        with self._lock:
            self._refill(self._now())
            self._tokens -= 1
            if self._rate >= FREE_RATE:
                self._tokens = max(0.0, self._tokens)
            return max(0.0, -self._tokens / self._rate)

    def wait(self) -> None:
        """Take a token, and wait for it; a process that is told to stop waits no longer."""
        until = self._now() + self.take()
        while (left := until - self._now()) > 0 and not STOP.is_asked:
            time.sleep(min(left, _GLANCE_S))  # noqa: TID251  # real time: AWS counts it, whatever a sandbox's clock says

    def note(self, *, sent_at: float, is_refused: bool) -> None:
        """Note the answer to a call that was sent at that time; refusals that were on their way count as one."""
        now = self._now()
        with self._lock:
            self._refill(now)
            if not is_refused:
                self._passed.append(now)
            elif sent_at >= self._cut_at:
                self._cut(now)

    def _refill(self, now: float) -> None:
        span, self._at = now - self._at, now
        self._tokens = min(max(1.0, min(BURST, self._rate)), self._tokens + span * self._rate)
        if self._refused_at_rate is None:
            self._rate = min(FREE_RATE, self._rate * 2 ** (span / _DOUBLES_S))
        elif now >= self._cut_at + 1:
            growth = _RECOVER if self._rate < _NEAR * self._refused_at_rate else _CREEP
            self._rate = min(FREE_RATE, self._rate * (1 + growth * min(span, 1.0)))

    def _cut(self, now: float) -> None:
        """Fall to what was let through in the last seconds, or by a share where that is not known yet."""
        while self._passed and self._passed[0] < now - _WINDOW_S:
            self._passed.popleft()
        let_through = len(self._passed) / _WINDOW_S if now - self._began >= _WINDOW_S else self._rate
        self._refused_at_rate = min(self._rate, let_through)
        is_known = let_through < self._rate
        self._rate = max(SLOWEST, self._refused_at_rate * (_CUT if is_known else _HALF))
        self._tokens = min(self._tokens, 0.0)
        self._cut_at = now


_paces: defaultdict[tuple[str, str], Pace] = defaultdict(Pace)
_lock = threading.Lock()


def get_pace(account: str, service: str) -> Pace:
    """Return the pace of one service as one account's credentials see it, whatever client asks."""
    with _lock:
        return _paces[account, service]
