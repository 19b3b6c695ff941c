"""
What goes wrong, by lot: faults of single calls, and how far AWS lies behind itself.

What can happen, with sources, is in docs/facts/aws.md: the quota can be exceeded, new keys are not known everywhere at
once, keys that are deactivated are accepted for some seconds, last use is shown late, events repeat and get lost.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import timedelta
from enum import StrEnum
from random import Random

from keyrota.core.model import AccessKeyId


class FaultKind(StrEnum):
    """What happens to a single call."""

    THROTTLED = "throttled"
    SERVER_ERROR = "server error"
    LOST_BEFORE = "time-out, nothing happened"
    LOST_AFTER = "time-out, it happened"
    CRASH_BEFORE = "crash before"
    CRASH_AFTER = "crash after"
    STALL = "stall of minutes"


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultProfile:
    """How often things go wrong: shares of calls, and bounds of delays."""

    throttled: float = 0.0
    server_error: float = 0.0
    lost_before: float = 0.0
    lost_after: float = 0.0
    crash_before: float = 0.0
    crash_after: float = 0.0
    stall: float = 0.0
    unreadable_use: float = 0.0
    """Share of reads of last use that fail."""
    list_lag_s: float = 0.0
    """A list of keys is so old at most."""
    propagation_s: float = 8.0
    """A new key is known everywhere after this time at most; until then it flaps."""
    secret_lag_s: float = 0.0
    """What Secrets Manager shows of a secret is so old at most."""
    use_lag_s: float = 0.0
    """Last use is shown so late at most."""
    off_lag_s: float = 0.0
    """A key that is deactivated is accepted for so long at most."""
    event_lost: float = 0.0
    event_twice: float = 0.0
    event_late: float = 0.0
    """Shares of events."""
    skew_s: float = 0.0
    """Clocks of runs differ by so much at most."""
    outages: float = 0.0
    """Outages of a target, a month."""
    passed_over: float = 0.0
    """Share of lists of variables whose pages shift while they are read, so that one is in none of them."""
    clock_jumps: float = 0.0
    """Share of keyrota's steps in the midst of which the machine's clock is set anew."""
    signals: float = 0.0
    """Share of keyrota's steps in the midst of which the run is told to stop."""
    people: float = 0.0
    """Acts of people that nobody announced, a month."""
    meanwhile: float = 0.0
    """Share of keyrota's steps in the midst of which someone acts, a target goes down, or another run begins."""

    def times(self, factor: float) -> FaultProfile:
        """Return a climate in which calls fail so many times as often."""
        shares = {field.name: min(0.3, getattr(self, field.name) * factor) for field in fields(self)[:7]}
        rest = {field.name: getattr(self, field.name) for field in fields(self)[7:]}
        return FaultProfile(**shares, **rest)


FAULT_PROFILES = {
    "none": FaultProfile(),
    "usual": FaultProfile(
        throttled=0.004,
        server_error=0.001,
        lost_before=0.0005,
        lost_after=0.0005,
        crash_before=0.0003,
        crash_after=0.0003,
        stall=0.0005,
        unreadable_use=0.01,
        list_lag_s=5,
        propagation_s=15,
        use_lag_s=900,
        off_lag_s=4,
        event_lost=0.01,
        event_twice=0.02,
        event_late=0.05,
        skew_s=5,
        outages=0.3,
        passed_over=0.0005,
        clock_jumps=0.0002,
        signals=0.0002,
        people=0.1,
        meanwhile=0.0005,
    ),
    "brutal": FaultProfile(
        throttled=0.01,
        server_error=0.01,
        lost_before=0.01,
        lost_after=0.01,
        crash_before=0.01,
        crash_after=0.01,
        stall=0.01,
        unreadable_use=0.1,
        list_lag_s=30,
        propagation_s=30,
        use_lag_s=4 * 3600,
        off_lag_s=4,
        event_lost=0.2,
        event_twice=0.2,
        event_late=0.3,
        skew_s=40,
        outages=4,
        passed_over=0.02,
        clock_jumps=0.01,
        signals=0.01,
        people=4,
        meanwhile=0.02,
    ),
}
"""What `keyrota simulate --faults` offers."""


_LISTED_LAG_S = 300.0
"""A list of secrets may be five minutes old (Secrets Manager API Reference, ListSecrets)."""
_MOST = 0.7
"""No step fails more often than this, however rare it is: it has to be done one day."""


class Weather:
    """The chance of one history; behind the port Lags of the world."""

    def __init__(self, rng: Random, climate: FaultProfile) -> None:
        self._lots = rng
        self._usable_from: dict[AccessKeyId, float] = {}
        self._is_passed_over = False
        self.climate = climate

    def clear_up(self) -> None:
        """Let nothing go wrong any more."""
        self.climate = FAULT_PROFILES["none"]

    def fault(self, times: float = 1.0) -> FaultKind | None:
        """Draw what happens to a call; so many times as likely as usual."""
        climate = self.climate
        shares = (
            (FaultKind.THROTTLED, climate.throttled),
            (FaultKind.SERVER_ERROR, climate.server_error),
            (FaultKind.LOST_BEFORE, climate.lost_before),
            (FaultKind.LOST_AFTER, climate.lost_after),
            (FaultKind.CRASH_BEFORE, climate.crash_before),
            (FaultKind.CRASH_AFTER, climate.crash_after),
            (FaultKind.STALL, climate.stall),
        )
        total = sum(share for _, share in shares)
        lot = self._lots.random()
        if not total:
            return None
        lot /= min(times, _MOST / total)
        for kind, share in shares:
            if lot < share:
                return kind
            lot -= share
        return None

    def is_drawn(self, share: float) -> bool:
        """Draw whether something happens that happens in this share of cases."""
        return share > 0 and self._lots.random() < share

    def latency_s(self) -> float:
        """Draw how long a request, or an answer, is on its way."""
        return self._lots.expovariate(10)

    def stall_s(self) -> float:
        """Draw how long a run stands still: up to twice the lease of a claim."""
        return self._lots.uniform(30, 1200)

    def skew(self) -> timedelta:
        """Draw by how much a run's clock differs."""
        return timedelta(seconds=round(self._lots.uniform(-self.climate.skew_s, self.climate.skew_s), 3))

    def is_usable(self, key: AccessKeyId, age: timedelta) -> bool:
        """Return whether the endpoint that answers knows a new key; more of them do as time goes by."""
        if key not in self._usable_from:
            self._usable_from[key] = self._lots.uniform(0, self.climate.propagation_s)
        seconds, everywhere = age.total_seconds(), self._usable_from[key]
        return seconds >= everywhere or self._lots.random() < 0.5 * seconds / everywhere

    def draw_list_lag(self) -> timedelta:
        """Draw how old a list of keys is."""
        return self._lag(self.climate.list_lag_s)

    def secret(self) -> timedelta:
        """Draw how old a secret is that is shown."""
        return self._lag(self.climate.secret_lag_s)

    def draw_secrets_lag(self) -> timedelta:
        """Draw how old a secret is in a list of all of them."""
        return self._lag(_LISTED_LAG_S if self.climate.secret_lag_s else 0.0)

    def last_use(self) -> timedelta:
        """Draw how old a last use is."""
        return self._lag(self.climate.use_lag_s)

    def off(self) -> timedelta:
        """Draw how long a key that was deactivated keeps working."""
        return self._lag(self.climate.off_lag_s)

    def is_passed_over(self) -> bool:
        """Return what `shift_pages` has drawn last."""
        return self._is_passed_over

    def shift_pages(self) -> bool:
        """Draw whether the next list of variables misses what is there."""
        self._is_passed_over = self.is_drawn(self.climate.passed_over)
        return self._is_passed_over

    def _lag(self, most_s: float) -> timedelta:
        return timedelta(seconds=self._lots.uniform(0, most_s)) if most_s else timedelta()
