"""
Waves: which of the new keys that are due are made in this run, and when it is the turn of the others.

A run makes at most so many (`rollout.per_run`), oldest first, and the runs of one day (UTC) share that number: what was
made today is seen in IAM. Nothing is stored, so every run, and every part of a fleet, comes to the same answer:

- Canaries come first. The others wait until a canary's new key was seen used, or a time has passed.
- More are made only where keys would otherwise miss their deadline (`find_new_key_deadline`), and the plan says so.
  They are spread evenly over the days that are left.
- A key whose deadline is over gains nothing by haste: it waits for its turn, however many there are. That is what
  protects a fleet from a wrong age in the configuration that makes everything due at once.
- A run that sees a part of the fleet has its share of the day's new keys: the shares of all parts add up to the number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from math import ceil

from keyrota.core.lifecycle import KeyRing
from keyrota.core.model import CredentialId, Turn
from keyrota.core.plan import Plan
from keyrota.core.policy import DAY, Rollout, RotationPolicy
from keyrota.core.retirement import is_used_by_others

_LATE_RUN = timedelta(hours=6)
"""A daily run may come so much later than the day before: one that is nearer to a deadline is not counted on."""
_CANARY_YIELDS = 5
"""Nothing waits for a canary whose deadline has so few runs before it: what is left over is spread over these."""
_STEPS, _STRIDE = 100_003, 61_803
"""The share of a part begins elsewhere each day: the golden ratio of a prime spreads the days evenly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """The part of a fleet that a run sees: the positions of its credentials in the whole configuration."""

    positions: tuple[int, ...]
    total: int

    def count(self, number: int, day: int) -> int:
        """Return how many of a day's new keys are this part's; the shares of all parts of a day are that number."""
        whole, shift = self.total * _STEPS, day * _STRIDE % _STEPS * self.total
        each = number * _STEPS
        return sum(((at + 1) * each + shift) // whole - (at * each + shift) // whole for at in self.positions)

    @property
    def size(self) -> float:
        """Which part of the fleet it is, 1 for all of it."""
        return len(self.positions) / self.total


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A credential whose key is due, or will be."""

    credential: CredentialId
    created: datetime | None
    """Of the key that is replaced; None: it is the user's first one."""
    by: datetime | None
    """The deadline of its successor; None for a first key."""
    runs: int | None
    """Daily runs that come after this one and before the deadline; None: it has no deadline that can still be kept."""
    is_due: bool
    """Its successor would be made now."""
    policy: RotationPolicy
    is_canary: bool = False


def count_later_runs(by: datetime, policy: RotationPolicy, now: datetime) -> int | None:
    """Return how many daily runs come after this one and before a deadline; None: it is over."""
    if by <= now:
        return None
    most = max(0, (by - _LATE_RUN - now) // DAY)
    if not any(window.holds_new_keys for window in policy.freezes):
        return most
    return sum(policy.find_new_key_freeze_end(now + day * DAY) is None for day in range(1, most + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """What is known of a canary's new key."""

    holds: bool
    """The others wait for it."""
    until: datetime | None = None
    """When they do no longer, whatever becomes of it; None: that is not known."""
    proven: datetime | None = None
    """When its current key was created, where pipelines have used it."""


def judge_canary(view: KeyRing | None, planned: Plan | None, rollout: Rollout, now: datetime) -> Canary:
    """
    Judge one canary.

    One whose key is not due, and was not made within the last days, has nothing to prove: nobody waits for it.

    Args:
        view: What was observed; None: it could not be read.
        planned: What a run that may rotate would do.
        rollout: How long others wait.
        now: Aware, UTC.
    """
    if view is None or planned is None:
        return Canary(holds=True)
    if not any(later.shown == "rotate" for later in planned.upcoming):
        return Canary(holds=True)
    key = view.key(view.current_key)
    if key is not None and is_used_by_others(view, key):
        return Canary(holds=False, proven=key.created)
    until = key.created + rollout.canary_wait if key is not None else now
    return Canary(holds=now < until, until=until)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """What decides how many new keys a run makes."""

    rollout: Rollout
    needed: int = 0
    """New keys a day that it takes to replace every configured key once in its `rotate_after`."""
    share: Share | None = None
    """None: the run sees all of the fleet, or what a person named."""
    limit: int | None = None
    """What a person said for this one run; nothing exceeds it."""
    made_today: int = 0

    def assign_turns(
        self, everyone: Sequence[Candidate], canaries: Mapping[CredentialId, Canary], now: datetime
    ) -> dict[CredentialId, Turn]:
        """
        Say of each credential that is due whether it waits; of those that do not, only what a person should know.

        Args:
            everyone: The credentials of the run that have a key to replace, now or later.
            canaries: Those of the whole fleet.
            now: Aware, UTC.
        """
        level = _find_level(everyone, self._size)
        pace = max(self.rollout.per_run, self.needed, level)
        ready: list[Candidate] = []
        told: dict[CredentialId, Turn] = {}
        for one in self._line_up([one for one in everyone if one.is_due], level, now):
            if _waits_for_canary(one, canaries):
                told[one.credential] = _wait_for_canary(canaries)
            else:
                ready.append(one)
        chosen = self._choose(ready, pace, now)
        usual = self._count_left_today(self.rollout.per_run, now)
        if self.limit is None:
            told |= {one.credential: self._note_excess() for one in chosen[usual:] if not one.is_canary}
        known = {one.credential for one in chosen}
        behind = [one for one in ready if one.credential not in known]
        return told | {one.credential: self._make_wait(place, one, pace, now) for place, one in enumerate(behind)}

    def _line_up(self, due: Sequence[Candidate], level: int, now: datetime) -> list[Candidate]:
        """Put canaries first, then first keys, then what has to be made today so that no deadline is missed."""
        oldest = sorted(due, key=lambda one: (one.by or now, one.credential))
        live = [one for one in oldest if one.runs is not None]
        pressing = {one.credential for one in live[: self._count_left_today(level, now)]}
        pressing |= {one.credential for one in live if one.runs == 0}
        return sorted(
            oldest, key=lambda one: (not one.is_canary, one.created is not None, one.credential not in pressing)
        )

    def _choose(self, ready: Sequence[Candidate], pace: int, now: datetime) -> list[Candidate]:
        if self.limit is not None:
            return list(ready[: self.limit])
        first, quota = self.rollout.per_run, self._count_left_today(pace, now)
        return [
            one
            for place, one in enumerate(ready)
            if place < quota or one.runs == 0 or (one.is_canary and place < first)
        ]

    @property
    def _size(self) -> float:
        return self.share.size if self.share is not None else 1.0

    def _count_left_today(self, number: int, now: datetime) -> int:
        share = number if self.share is None else self.share.count(number, now.toordinal())
        return max(0, share - self.made_today)

    def _note_excess(self) -> Turn:
        usual = f"{_count_keys(self.rollout.per_run)} (`rollout.per_run`)"
        usual = usual if self.share is None else f"this part's share of {usual}"
        return Turn(
            waits=False,
            reason=f"more than {usual} are made today: with fewer, keys would become older than their policy allows",
        )

    def _make_wait(self, place: int, one: Candidate, pace: int, now: datetime) -> Turn:
        """Say when it is its turn, if every day brings as many as today."""
        days = 1 + int(place / (pace * self._size))
        until = datetime.combine(now.date() + days * DAY, time(), tzinfo=now.tzinfo)
        until = one.policy.find_new_key_freeze_end(until) or until
        part = "" if self.share is None else " in all parts of the fleet"
        most = f"a day brings {_count_keys(pace)}{part}"
        if self.limit is not None:
            most = f"this run makes at most {_count_keys(self.limit)} (`--max`)"
        before = f"{place} others wait before it" if place else "it is the next one"
        return Turn(
            waits=True,
            until=until,
            reason=f"a new key is due, and waits for its turn: {most}, and {before}",
            remedy=f"nothing to do: its turn comes about {until:%Y-%m-%d}",
        )


def _waits_for_canary(one: Candidate, canaries: Mapping[CredentialId, Canary]) -> bool:
    if one.is_canary or not any(canary.holds for canary in canaries.values()):
        return False
    if one.runs is not None and one.runs < _CANARY_YIELDS:
        return False
    proven = (canary.proven for canary in canaries.values() if canary.proven is not None)
    return not any(one.created is None or at > one.created for at in proven)


def _wait_for_canary(canaries: Mapping[CredentialId, Canary]) -> Turn:
    held = {one: canary for one, canary in canaries.items() if canary.holds}
    known = [canary.until for canary in held.values() if canary.until is not None]
    until = max(known) if len(known) == len(held) else None
    names = ", ".join(str(one) for one in sorted(held))
    return Turn(
        waits=True,
        until=until,
        reason=f"a new key is due, and waits until pipelines have used the new key of a canary ({names})",
        remedy="nothing to do" if until else "look at the canary first: keyrota plan says what it waits for",
    )


def _find_level(everyone: Iterable[Candidate], size: float) -> int:
    """Return how many a day of the whole fleet are enough for every deadline that can still be kept."""
    runs = sorted(one.runs for one in everyone if one.runs is not None)
    return max((ceil(count / (size * (left + 1))) for count, left in enumerate(runs, 1)), default=0)


def find_head_start(credential: CredentialId, spread: timedelta, *, is_canary: bool) -> timedelta:
    """
    Return how much earlier than `rotate_after` a credential's key is replaced.

    It follows from the credential's name alone, so that it never changes; a canary comes before all others.
    """
    if is_canary:
        return spread
    digest = hashlib.sha256(f"{credential.account}:{credential.user}".encode()).digest()
    return timedelta(minutes=spread // timedelta(minutes=1) * int.from_bytes(digest[:8]) // 2**64)


def count_needed(policies: Iterable[RotationPolicy]) -> int:
    """Return how many new keys a day it takes to replace the keys of all these policies in time."""
    return ceil(round(sum(DAY / policy.rotates_after for policy in policies), 6))  # 90 times 1/90 is one


def _count_keys(number: int) -> str:
    return f"{number} new key" + ("s" if number != 1 else "")
