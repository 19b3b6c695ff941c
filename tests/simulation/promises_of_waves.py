"""
Waves: no new key waits beyond its deadline, canaries come first, and a day brings no more than it may.

Judged by the ages of keys in the world and by the calls that made keys, in histories that have waves. What a run says
of whose turn it is, is its own opinion.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from math import ceil

from record import Record

from keyrota.core.model import KeyStatus, UserName
from keyrota_sandbox.memory import Call
from keyrota_sandbox.simulation import RunInfo

_A_DAY = timedelta(days=1)
_YIELDS = timedelta(days=6)
"""So near to its deadline a credential need not wait for a canary: five days, and the day of the run."""

_PATIENCE = timedelta(days=3)
"""So long the others wait for the use of a canary's new key at most."""


@dataclass(slots=True)
class WavePromises:
    """Judges how the new keys of a fleet come."""

    record: Record
    made: Counter[date] = field(default_factory=Counter)
    """New keys of each day (UTC)."""

    def look(self, call: Call, answer: object) -> None:
        """Judge a call that made a key."""
        run = self.record.history.runs[call.by]
        if call.name != "iam:CreateAccessKey" or isinstance(answer, Exception) or run.intent is not None:
            return
        if self.record.history.setup.rollout is None:
            return
        now = self.record.history.world.clock.instant
        self.made[now.date()] += 1
        self._canaries_first(call, run.users[0], now)
        self._is_enough(call, now)

    def look_at_run(self, info: RunInfo) -> None:
        """Judge who has no successor although its deadline is over, and nothing but its turn is in the way."""
        now = self.record.history.world.clock.instant
        if self.record.history.setup.rollout is None or info.is_plan_only:
            return
        for user in info.users:
            deadline = self._deadline(user)
            if deadline is not None and deadline < now:
                self.record.breaks("waves-end", f"{user} has no new key, and should have had one by {deadline}")

    def _canaries_first(self, call: Call, user: UserName, now: datetime) -> None:
        canaries = self.record.history.setup.canaries
        own = self._deadline(user, made=call)
        if user in canaries or own is None or own - now < _YIELDS:
            return
        for canary in sorted(canaries):
            if self._deadline(canary) is not None:
                self.record.breaks("canaries-first", f"{call.by} makes a key of {user}, and {canary} has none yet")
            elif not self._is_proven(canary, now):
                self.record.breaks("canaries-first", f"{call.by} makes a key of {user}; nothing has used {canary}'s")

    def _is_proven(self, canary: UserName, now: datetime) -> bool:
        """Return whether somebody else than keyrota has used the newest key, or no one has to wait any longer."""
        world = self.record.history.world
        newest = max(world.users[canary].values(), key=lambda key: key.created)
        return now >= newest.created + _PATIENCE or any(use.service != "sts" for use in world.uses.get(newest.id, ()))

    def _is_enough(self, call: Call, now: datetime) -> None:
        """A day brings as many as the configuration says, or as it takes to be in time."""
        history = self.record.history
        left = sorted(deadline for user in history.credentials if (deadline := self._deadline(user)) is not None)
        days = [max(1, (deadline - now) // _A_DAY) for deadline in left]
        pressing = max((ceil((place + 1) / many) for place, many in enumerate(days)), default=0)
        come_round = sum(_A_DAY / keeping.policy.rotate_after for keeping in history.credentials.values())
        most = max(history.setup.rollout.per_run if history.setup.rollout else 0, pressing + 1, ceil(come_round))
        if self.made[now.date()] > most:
            self.record.breaks("in-waves", f"{call.by} makes key {self.made[now.date()]} of a day; {most} do")

    def _deadline(self, user: UserName, *, made: Call | None = None) -> datetime | None:
        """Tell until when a user's key needs a successor; None: it is not due, or has one."""
        history, policy = self.record.history, self.record.history.credentials[user].policy
        active = [key for key in history.world.users[user].values() if key.status is KeyStatus.ACTIVE]
        oldest = min((key.created for key in active), default=None)
        newest = max((key.created for key in active), default=None)
        if oldest is None or newest is None or (newest > oldest and made is None):
            return None
        is_due = history.world.clock.instant >= oldest + policy.rotate_after
        return oldest + policy.deactivate_after if is_due else None
