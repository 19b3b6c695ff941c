"""How much is asked of AWS, how long an answer takes, and how many calls a second are answered at all."""

from __future__ import annotations

import threading
import time
from collections import Counter

BURST_S = 1.0
"""So many seconds' worth of calls may come at once before the limit holds."""


class Meter:
    """
    Counts calls by action, and may slow them down or refuse them.

    AWS limits each account and API by a token bucket and publishes no figures (docs/facts/aws.md); `rate` is for each
    service. Both dials are in real time, because it is what a bench measures.
    """

    def __init__(self, *, latency_s: float = 0.0, rate: float | None = None) -> None:
        self.latency_s = latency_s
        self.rate = rate
        """Calls a second of one service; None: as many as come."""
        self.calls: Counter[str] = Counter()
        """By action, `iam:ListAccessKeys`; refused ones as well."""
        self.refused: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._tokens: dict[str, tuple[float, float]] = {}

    def admits(self, action: str) -> bool:
        """Count a call, let its time pass, and return whether it is answered."""
        with self._lock:
            self.calls[action] += 1
            is_admitted = self._takes_token(action.partition(":")[0])
            self.refused[action] += not is_admitted
        if self.latency_s:
            time.sleep(self.latency_s)  # noqa: TID251  # real time: it is what is measured
        return is_admitted

    def reset(self) -> None:
        """Forget what was counted."""
        with self._lock:
            self.calls.clear()
            self.refused.clear()
            self._tokens.clear()

    def _takes_token(self, service: str) -> bool:
        if self.rate is None:
            return True
        now = time.monotonic()
        left, at = self._tokens.get(service, (self.rate * BURST_S, now))
        left = min(self.rate * BURST_S, left + (now - at) * self.rate)
        self._tokens[service] = (left - 1 if left >= 1 else left, now)
        return left >= 1
