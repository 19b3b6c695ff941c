"""What a run may do, and what it may say: its own verbs, what was planned, no secret, and nothing kept from others."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from record import Record, current_pair

from keyrota.aws.permissions import ANYWHERE, FUNCTIONS
from keyrota.core import plan as act
from keyrota.core.emergency import Revoke, Rollback
from keyrota.core.model import AccessKeyId, UserName
from keyrota.core.outcome import Outcome
from keyrota.core.plan import Duty
from keyrota.core.planner import Only
from keyrota.executor import Event, Preview
from keyrota_sandbox.memory import Call, Variables, in_world
from keyrota_sandbox.simulation import RunInfo, owner_of

CANARY = "secret-of-"
A_DAY = timedelta(days=1)
READS = (
    "iam:GenerateCredentialReport",
    "iam:Get",
    "iam:List",
    "secretsmanager:Describe",
    "secretsmanager:GetSecretValue",
    "secretsmanager:GetResourcePolicy",
    "secretsmanager:ListSecrets",
    "sts:",
)
TARGET_READS = ("target:preflight", "target:read", "target:busy", "target:runs", "target:surroundings")
TARGET_VERBS = {
    Duty.ROTATE: ("target:preflight", "target:read", "target:surroundings"),
    Duty.SYNC: ("target:read", "target:busy", "target:write", "target:delete", "target:surroundings"),
    Duty.DEACTIVATE: ("target:read", "target:runs", "target:surroundings"),
    Duty.DELETE: ("target:read", "target:surroundings"),
}
"""What each function asks of targets; what it asks of AWS is in the policy of its role."""
_BOOKS = (
    act.AskFirst,
    act.AskOwner,
    act.AskValue,
    act.LookAround,
    act.RemoveLabel,
    act.NoteActive,
    act.NoteOrphan,
    act.NoteStack,
    act.MarkRevoked,
)
"""Actions that keep the books: no key and no target changes."""
_NAMED = (act.Deactivate, act.Delete, act.DeleteOrphan)
"""Actions that are promised for one key only."""


@dataclass(slots=True)
class RunPromises:
    """Judges runs."""

    record: Record
    tried: dict[str, set[str]] = field(default_factory=dict)
    """Which targets each run has tried to write."""
    read: set[tuple[str, str]] = field(default_factory=set)
    """Of which users each run has read the keys, one by one."""

    def look(self, call: Call, run: RunInfo) -> None:
        """Judge who makes a call."""
        if call.name == "iam:ListAccessKeys":
            self.read.add((call.by.partition(" ")[0], call.about))
        if run.is_plan_only and not call.name.startswith((*READS, *TARGET_READS)):
            self.record.breaks("plan-is-honest", f"a plan called {call.name}")
        if isinstance(run.intent, Only) and not _is_allowed(run.intent.duty, call):
            self.record.breaks("least-privilege", f"{run.intent.duty.value} called {call.name}")

    def attempted(self, call: Call) -> None:
        """Look at a call before anything can befall it: what it names is in the logs of whoever is asked."""
        self._no_canary(f"{call.name} {call.about}", call.name.partition(" ")[0])
        if call.name.startswith("target:write"):
            self.tried.setdefault(call.by, set()).add(call.name.split(" ", 2)[2])

    def hear_event(self, event: Event) -> None:
        """Look at what a run tells while it is at work."""
        self._no_canary(repr(event), "an event")

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Read every line that is logged meanwhile, down to those of --debug."""
        logger, ear = logging.getLogger("keyrota"), _Ear(self)
        level = logger.level
        logger.addHandler(ear)
        logger.setLevel(logging.DEBUG)
        try:
            yield
        finally:
            logger.removeHandler(ear)
            logger.setLevel(level)

    def hear_log(self, line: str) -> None:
        """Look at one line."""
        self._no_canary(line, "a line of the log")

    def _no_canary(self, text: str, where: str) -> None:
        if CANARY in text:
            self.record.breaks("nothing-leaks", where)

    # --- after every run ------------------------------------------------------------------------------------------

    def look_at_run(self, info: RunInfo) -> None:
        """Judge what a run reported: nothing leaks, what was done had been planned, and each one fails alone."""
        self.record.statistics["runs"] += 1
        does_all = info.intent is None or (isinstance(info.intent, Only) and info.intent.duty is Duty.DEACTIVATE)
        if does_all and not info.is_plan_only:
            content = [owner_of(one) for one in info.outcomes if not one.errors and one.plan and not one.plan.holds]
            kept = tuple(user for user in content if self.record.is_kept_by(info, user))
            self.record.note_seen_on(kept, info.began)
        for preview in info.previews:
            self._is_due_read(info, preview)
        for preview, outcome in zip(info.previews, info.outcomes, strict=False):
            for error in outcome.errors:
                self._no_canary(f"{error} {error.where} {error.remedy}", "an error")
                if type(error).__name__ == "Bug":
                    self.record.breaks("no bug", str(error) + str(error.where))
            self._no_canary(repr(outcome.done) + repr(outcome.plan), "an outcome")
            if isinstance(info.intent, (Revoke, Rollback)) or preview.plan is None:
                continue
            if not self.record.is_kept_by(info, owner_of(outcome)):
                continue
            by = info.name if len(info.users) == 1 else f"{info.name} {owner_of(outcome)}"
            self._ended_with_the_newest(by, outcome)
            self._was_planned(by, preview, outcome)
            self._failed_alone(by, preview, outcome)
            self._targets_fail_alone(by, info, outcome)

    def _is_due_read(self, info: RunInfo, preview: Preview) -> None:
        """What has been due for a day is read one by one, whatever the lists of the account say of it."""
        user = UserName(in_world(preview.subject.account, preview.subject.user))
        is_routine = info.intent is None or isinstance(info.intent, Only)
        if not is_routine or preview.error is not None or (info.name, user) in self.read:
            return
        if self.record.is_kept_by(info, user) and (due := self._due(info, user)):
            self.record.breaks("due-is-read", f"{info.name} does not look at {user}, and {due}")

    def _due(self, info: RunInfo, user: UserName) -> str:
        """Say what has been due for a day; empty where nothing has."""
        world, stored, policy = self.record.history.world, self.record.stored_by(info, user), info.keepings[user].policy
        current, keys = current_pair(stored), world.users.get(user, {})
        if stored is None or current not in keys:
            return ""
        age = world.clock.instant - keys[current].created
        labels = {label for version in stored.versions.values() for label in version.labels}
        if age > policy.rotate_after + A_DAY:
            return f"{current} is {age} old"
        old = [key for key in sorted(keys) if key in labels and key != current]
        return f"{old[0]} is to retire" if old and age > A_DAY else ""

    def _ended_with_the_newest(self, by: str, outcome: Outcome) -> None:
        """A sync that is content has written what was AWSCURRENT after its last write."""
        wrote = self.record.wrote.get(by)
        synced = [done.key for done in outcome.done if isinstance(done.action, act.Sync)]
        self.record.note_current()
        known = min(wrote or 0, self.record.described.get(by, 0))  # Secrets Manager may have shown what was before
        if wrote is None or not synced or outcome.errors or self.record.moved.get(owner_of(outcome), 0) > known:
            return
        current = current_pair(self.record.stored(owner_of(outcome)))
        if current is not None and synced[-1] != current:
            self.record.breaks("newest-wins", f"{by} wrote {synced[-1]} last, and AWSCURRENT was {current} by then")

    def _was_planned(self, by: str, preview: Preview, outcome: Outcome) -> None:
        """What was done is of a kind that was planned, and about the key that was planned; but for the books."""
        planned = preview.plan.actions if preview.plan else ()
        kinds, promised = {action.shown for action in planned}, {(action.shown, action.key) for action in planned}
        for done in outcome.done:
            action = done.action
            is_own = isinstance(action, act.DeleteOrphan) and self.record.history.world.makers.get(action.key) == by
            if is_own or isinstance(action, _BOOKS):
                continue
            is_planned = (action.shown, action.key) in promised if isinstance(action, _NAMED) else action.shown in kinds
            if not is_planned:
                self.record.breaks("plan-is-honest", f"{by} did what was not planned: {action}")

    def _failed_alone(self, by: str, preview: Preview, outcome: Outcome) -> None:
        """What was planned, and is possible still, was left undone for a reason of this credential's own."""
        if outcome.errors or outcome.done:  # it was not kept back: what it leaves half-done is another promise's matter
            return
        if outcome.plan is None:
            self.record.breaks("one-fails-alone", f"{by} did nothing for {owner_of(outcome)}, and does not say why")
            return
        planned = {(action.shown, action.key) for action in preview.plan.actions} if preview.plan else set()
        for action in outcome.plan.actions:
            if not action.follows and (action.shown, action.key) in planned:
                self.record.breaks("one-fails-alone", f"{by} left undone, and does not say why: {action}")

    def _targets_fail_alone(self, by: str, info: RunInfo, outcome: Outcome) -> None:
        """A target that waits for the new key is written, whatever ails another."""
        user, record = owner_of(outcome), self.record
        is_writing = info.intent is None or (isinstance(info.intent, Only) and info.intent.duty is Duty.SYNC)
        if not is_writing or any(not error.target for error in outcome.errors):
            return
        current = record.sendable(user)
        is_left = any(isinstance(action, act.Sync) for action in outcome.left)  # due only since the run began
        if current is None or is_left or record.is_moved_since(user, by):
            return
        if record.was_dead(current, info.began):
            return  # a key that works nowhere is brought to no place
        places = record.history.world.places
        addresses = record.history.runs[by].addresses
        ailing = [address for address in addresses if places[address].is_down]
        for address in addresses if ailing else ():
            since = record.history.named_since.get(address)
            is_same = since is None or places[address].ours is not None  # another place is a first write, and asks
            is_waiting = address not in ailing and is_same and self._waits(places[address], current, info)
            if self._asks_first(user, places[address]):
                continue
            if is_waiting and address not in self.tried.get(by, set()):
                record.breaks("one-fails-alone", f"{by} left {address} alone while {ailing[0]} was down")

    def _asks_first(self, user: UserName, place: Variables) -> bool:
        """Return whether a first write waits for a person: the place shows a key that the user does not have."""
        key = place.pair.id if place.pair is not None else None
        return place.ours is None and key is not None and key not in self.record.history.world.users.get(user, {})

    @staticmethod
    def _waits(place: Variables, current: AccessKeyId, info: RunInfo) -> bool:
        """Return whether keyrota has yet to bring AWSCURRENT to a place, and had when the run began."""
        is_ours = not place.by_hand and place.ours != current and not place.is_archived
        return is_ours and (place.changed_at is None or place.changed_at < info.began)


def _is_allowed(duty: Duty, call: Call) -> bool:
    name = call.name.partition(" ")[0]
    allowed = (*FUNCTIONS[duty.value], *ANYWHERE.get(duty.value, ()), *TARGET_VERBS[duty])
    return name.startswith("sts:") or name in allowed


class _Ear(logging.Handler):
    """Hears what is logged."""

    def __init__(self, promises: RunPromises) -> None:
        super().__init__(logging.DEBUG)
        self._promises = promises

    def emit(self, record: logging.LogRecord) -> None:
        """Hear one line."""
        self._promises.hear_log(record.getMessage())
