"""
The promises of docs/design.md as predicates over the world, looked at after every single call.

Here: where the secret and the targets are. `promises_of_keys` judges what becomes of keys, `promises_of_runs` what a
run does and says; all of them look at the `record` of the history.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime

from limits import ACCEPTED_TIMES, LATE_IN_A_LEASE
from promises_of_keepers import KeeperPromises
from promises_of_keys import KeyPromises
from promises_of_places import PlacePromises
from promises_of_reports import ReportPromises
from promises_of_runs import RunPromises
from promises_of_waves import WavePromises
from record import Record, current_pair, labelled

from keyrota.core.emergency import Revoke, Rollback
from keyrota.core.model import (
    AWSCURRENT,
    CLAIM,
    DEACTIVATED_TAG,
    PENDING,
    SYNCED_TAG,
    AccessKeyId,
    DeactivationNote,
    UserName,
    key_token,
)
from keyrota.core.planner import Only
from keyrota.core.policy import Drift
from keyrota.core.records import parse_deactivated, parse_synced
from keyrota_sandbox.memory import Call
from keyrota_sandbox.simulation import RunInfo, Simulation


@dataclass(slots=True)
class Promises:
    """Watches one history."""

    history: Simulation
    record: Record = field(init=False)
    unstored: dict[str, AccessKeyId] = field(default_factory=dict)
    """Keys that a run has made, and not yet tried to store."""
    _changed: dict[str, tuple[datetime, AccessKeyId | None]] = field(default_factory=dict)
    """When somebody changed a place that tells its key, and to what; while keyrota has not written it again."""
    _of_keys: KeyPromises = field(init=False)
    _of_runs: RunPromises = field(init=False)

    def __post_init__(self) -> None:
        """Watch."""
        self.record = Record(self.history)
        self._of_keys, self._of_runs = KeyPromises(self.record), RunPromises(self.record)
        of_reports, of_places = ReportPromises(self.record), PlacePromises(self.record)
        of_keepers, of_waves = KeeperPromises(self.record), WavePromises(self.record)
        self.history.attempts += [self.attempted, self._of_runs.attempted, of_places.attempted]
        # The last one notes what is there after a call, and the others compare with what was there before it.
        self.history.watchers += [of_keepers.look, of_waves.look, of_places.look, self.look]
        self.history.listeners += [self.record.hear, of_places.hear, of_keepers.hear]
        self.history.on_event.append(self._of_runs.hear_event)
        self.history.after_run += [self._of_runs.look_at_run, of_reports.look_at_run, of_waves.look_at_run]

    @property
    def broken(self) -> list[str]:
        """What broke."""
        return self.record.broken

    @property
    def statistics(self) -> Counter[str]:
        """How often what happened."""
        return self.record.statistics

    @property
    def torn_for(self) -> list[float]:
        """Seconds during which a place held half a pair."""
        return self.record.torn_for

    @property
    def served(self) -> set[AccessKeyId]:
        """Keys that targets were given."""
        return self.record.served

    def listening(self) -> AbstractContextManager[None]:
        """Read what is logged meanwhile."""
        return self._of_runs.listening()

    # --- after every call -----------------------------------------------------------------------------------------

    def look(self, call: Call, answer: object) -> None:
        """Judge one call."""
        run = self.history.runs[call.by]
        self.record.note_current(call)
        self._of_runs.look(call, run)
        if isinstance(answer, Exception):
            return
        match call.name:
            case "secretsmanager:DescribeSecret":
                self.record.note_described(call, run, answer)
            case "iam:CreateAccessKey":
                self.unstored[call.by] = answer.credential.id  # type: ignore[attr-defined]  # a CreatedKey
                self._of_keys.made(self.unstored[call.by], run)
            case "iam:UpdateAccessKey" if call.about.endswith("Inactive"):
                self._of_keys.switched_off(call, run)
            case "iam:UpdateAccessKey":
                self.record.off_seen.pop(AccessKeyId(call.about.split()[0]), None)
            case "iam:DeleteAccessKey":
                self._of_keys.deleted(call, run)
            case "secretsmanager:UpdateSecretVersionStage" | "secretsmanager:PutSecretValue":
                self._nothing_dropped()
                self._goes_forward(call, run)
                self._keeps_fields(call, run)
                self.record.note_claims()
            case "secretsmanager:TagResource":
                self._record_is_true(call, run)
            case name if name.startswith("target:write"):
                self._written(call, run)
        self.record.note_places()
        self._note_changes()

    def attempted(self, call: Call) -> None:
        """A run that has made a key stores it with its very next call."""
        key = self.unstored.pop(call.by, None)
        if key is None or (call.by, "iam:CreateAccessKey") in self.history.unanswered:
            return  # the one window that cannot be closed
        is_stored = call.name == "secretsmanager:PutSecretValue" and call.about.startswith(key)
        if not is_stored and call.name != "iam:DeleteAccessKey" and not self._stood_still(call.by):
            self.record.breaks("secret-never-lost", f"{call.by} made {key} and then called {call.name}")

    def _stood_still(self, by: str) -> bool:
        """A run that comes too late to store a key under its claim lets the key go: another run may delete it now."""
        now = self.history.world.clock.instant
        return any(
            now >= version.claim.lease_until - LATE_IN_A_LEASE
            for stored in self.history.world.secrets.values()
            for version in stored.versions.values()
            if version.claim is not None and by.split(maxsplit=1)[0] == version.claim.run
        )

    def _record_is_true(self, call: Call, run: RunInfo) -> None:
        """Where keyrota notes that all targets have held a version, they have."""
        written = dict(part.partition("=")[::2] for part in call.about.split(" "))
        for off in parse_deactivated(written.get(DEACTIVATED_TAG, ""))[:1]:  # the first is what this call is about
            if off.note is DeactivationNote.ROUTINE:
                self.record.noted_off[off.key] = self.history.world.clock.instant
        record = parse_synced(written.get(SYNCED_TAG, ""))
        if record is None:
            return
        for user in run.users:
            if self.record.is_kept_by(run, user):
                self.record.noted_sync[user] = self.history.world.clock.instant
            stored = self.record.stored_by(run, user)
            version = stored.versions.get(record.version) if stored else None
            key = version.pair.id if version and version.pair else None
            for address in run.addresses if key else ():
                is_archived = self.history.world.places[address].is_archived  # it is not counted
                if key and (address, key) not in self.record.has_held and not is_archived:
                    self.record.breaks(
                        "proof-before-off", f"{call.by} notes that {address} holds {key}, and it never did"
                    )

    def _goes_forward(self, call: Call, run: RunInfo) -> None:
        """Nothing but a rollback, or a revocation without a free slot, makes an older key AWSCURRENT again."""
        is_other = not call.about.startswith(AWSCURRENT) or isinstance(run.intent, (Revoke, Rollback))
        for user in run.users:
            if is_other or self.record.moved.get(user) != self.record.looks:
                continue
            now, before = self.record.pair.get(user), self.record.before.get(user)
            if now is not None and before is not None and now < before:  # IDs of the world count up
                self.record.breaks("newest-wins", f"{call.by} goes back from {before} to {now}")
            base = self.record.base.get(user)
            if (
                now is not None
                and self.history.world.makers.get(now)
                and self.record.current[user] != key_token(now, base)
            ):
                self.record.breaks("one-winner", f"{call.by} promotes {now} over {base}, for which it was not made")

    def _keeps_fields(self, call: Call, run: RunInfo) -> None:
        """What people keep in the secret beside the pair is the same before and after keyrota moves AWSCURRENT."""
        for user in run.users if call.about.startswith(AWSCURRENT) else ():
            stored, before = self.record.stored(user), self.record.base.get(user)
            is_disturbed = self.record.moved_by_hand.get(user, 0) > self.record.described.get(call.by, 0)
            if stored is None or before is None or self.record.moved.get(user) != self.record.looks or is_disturbed:
                continue
            was, now = stored.versions.get(before), self.record.current[user]
            if was is None or was.is_broken or now is None:
                continue
            if stored.versions[now].fields != was.fields:
                self.record.breaks("hands-off", f"{call.by} changes fields beside the pair in {user}'s secret")

    def _nothing_dropped(self) -> None:
        """The secret of a key that targets hold is in a version, unless a person took it away."""
        world = self.history.world
        for keeping in self.history.credentials.values():
            if world.secrets.get(keeping.secret) is None:
                continue
            secrets = [world.secrets.get(name) for name in self.history.deployments.secrets_of(keeping.user)]
            kept = {version.pair.id for stored in secrets for version in labelled(stored) if version.pair}
            for place in keeping.places:
                held = world.places[place.address]
                if held.ours is None or held.by_hand or world.find(held.ours) is None:
                    continue
                if held.ours not in kept and world.makers.get(held.ours):
                    self.record.breaks(
                        "secret-never-lost", f"no version of {keeping.secret} holds {held.ours} any more"
                    )

    def _written(self, call: Call, run: RunInfo) -> None:
        key, address = AccessKeyId(call.about), call.name.split(" ", 2)[2]
        self._held_by_somebody(address, call, run)
        self.record.note_half(address, call)
        self.record.served.add(key)
        self.record.wrote[call.by] = self.record.looks
        times = self.record.accepted[call.by, key]
        if times < ACCEPTED_TIMES:
            self.record.breaks("verified-before-served", f"{call.by} writes {key}, accepted {times}x")

    def _note_changes(self) -> None:
        for address, place in self.history.world.places.items():
            is_seen = place.by_hand and place.is_id_readable and place.changed_at is not None
            if is_seen and place.changed_at is not None:
                self._changed[address] = (place.changed_at, place.pair.id if place.pair else None)
            else:
                self._changed.pop(address, None)

    def _held_by_somebody(self, address: str, call: Call, run: RunInfo) -> None:
        """Where the policy says `drift: hold`, what somebody puts over a key that keyrota has brought there stays."""
        user, place = run.users[0], self.history.world.places[address]
        keeping, before = self.history.credentials[user], self._changed.get(address)
        if keeping.policy.drift is not Drift.HOLD or before is None or place.changed_at is None:
            return
        since, key = before
        is_routine = run.intent is None or isinstance(run.intent, Only)
        current = self.record.current.get(user)
        record = parse_synced(self.record.believed.get(call.by, ""))
        is_synced = record is not None and record.version == current
        is_theirs = key is not None and key not in self.history.world.makers
        if (
            is_routine
            and is_synced
            and is_theirs
            and since < run.began
            and not self.record.is_moved_since(user, call.by)
        ):
            self.record.breaks("hands-off", f"{call.by} writes over {key}, which somebody put into {address}")

    def check_newest(self) -> None:
        """Judge that every target holds AWSCURRENT, and that it works."""
        world = self.history.world
        for keeping in self.history.credentials.values():
            current = current_pair(world.secrets.get(keeping.secret))
            for place in keeping.places:
                held = world.places[place.address]
                pair = held.pair
                if held.by_hand and not self.record.is_change_seen(keeping.user, held):
                    continue  # nothing can tell that somebody changed it; the next rotation writes it again
                if current is not None and (pair is None or pair.id != current):
                    self.record.breaks(
                        "newest-wins", f"{place.address} holds {pair and pair.id}, AWSCURRENT is {current}"
                    )
                elif pair is not None and (why := world.refusal(pair)):
                    self.record.breaks("newest-wins", f"{place.address} holds {pair.id}: {why}")

    def not_at_rest(self, user: UserName) -> Iterator[str]:
        """Say what is left over where nothing should be: one-winner."""
        world, keeping = self.history.world, self.history.credentials[user]
        stored = world.secrets.get(keeping.secret)
        keys = world.users[user]
        if stored is None:
            yield "there is no secret"
            return
        current = current_pair(stored)
        if current not in keys:
            yield f"AWSCURRENT is {current}, which IAM does not have"
        if len(keys) != 1:
            yield f"{len(keys)} keys: " + ", ".join(f"{key.id} {key.status.value}" for key in keys.values())
        for version in labelled(stored):
            if left := version.labels & {CLAIM, PENDING}:
                yield f"left over: {sorted(left)}"

    def failures(self) -> Iterator[str]:
        """Name the pipeline runs that failed for a reason that keyrota could have prevented."""
        for failure in self.history.jobs.failures:
            if failure.is_ours:
                yield f"{failure.address} failed at {failure.at:%Y-%m-%d %H:%M:%S} with {failure.key}: {failure.cause}"
