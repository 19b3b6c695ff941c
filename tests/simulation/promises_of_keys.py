"""When a key may be made, go off, and be deleted; and whose."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from limits import TOLERANCE, USED_LATELY
from record import Record, current_pair, labelled

from keyrota.core.emergency import Revoke
from keyrota.core.model import AWSCURRENT, AccessKey, AccessKeyId, Evidence, KeyStatus
from keyrota.core.policy import OnStillUsed
from keyrota_sandbox.memory import SIGNATURE_LASTS, Call
from keyrota_sandbox.simulation import RunInfo, SimulatedCredential


@dataclass(frozen=True, slots=True)
class KeyPromises:
    """Judges what becomes of keys."""

    record: Record

    def _owner(self, key: AccessKeyId, run: RunInfo) -> SimulatedCredential:
        found = self.record.history.world.find(key)
        user = found[0] if found else run.users[0]
        return self.record.history.credentials[user]

    # --- the ages that are configured are the ages that run -------------------------------------------------------

    def made(self, key: AccessKeyId, run: RunInfo) -> None:
        """Judge a new key: its predecessor has reached its age, where there is one that works."""
        self.record.statistics["keys made"] += 1
        keeping = self._owner(key, run)
        old = self._in_use(keeping)
        if isinstance(run.intent, Revoke) or old is None or self.record.is_moved_since(keeping.user, run.name):
            return
        age = self._now - old.created
        if age < keeping.policy.rotate_after - TOLERANCE:
            self.record.breaks("plan-is-honest", f"{run.name} replaces {old.id} after {age}, sooner than configured")

    @property
    def _now(self) -> datetime:
        return self.record.history.world.clock.instant

    def _in_use(self, keeping: SimulatedCredential) -> AccessKey | None:
        """Find the Active key in AWSCURRENT; where that holds no pair yet, the one that it stands for."""
        for version in labelled(self.record.stored(keeping.user)):
            if AWSCURRENT in version.labels and not version.is_broken:
                names = [version.pair.id] if version.pair else [AccessKeyId(label) for label in version.labels]
                keys = [found[1] for name in names if (found := self.record.history.world.find(name))]
                return next((key for key in keys if key.status is KeyStatus.ACTIVE), None)
        return None

    # --- keys that go ---------------------------------------------------------------------------------------------

    def switched_off(self, call: Call, run: RunInfo) -> None:
        """Judge a key that goes off."""
        key = AccessKeyId(call.about.split()[0])
        world, keeping, now = self.record.history.world, self._owner(key, run), self.record.history.world.clock.instant
        if self._is_taken_for_lost(key, keeping):
            return
        self._hands_off(key, keeping, call)
        was = self.record.keys.get(key, KeyStatus.ACTIVE)
        if was is not KeyStatus.ACTIVE:
            return  # somebody switched it off before: only noted
        self.record.off_seen.pop(key, None)
        self.record.statistics["keys switched off"] += 1
        if key not in self.record.history.jobs.spoiled:
            for address, place in world.places.items():
                is_archived = place.is_archived or address in self.record.history.awakened  # it runs nothing
                if place.ours == key and not place.by_hand and place.pair is not None and not is_archived:
                    self.record.breaks("served-key-lives", f"{address} holds {key}, which {run.name} switches off")
        if isinstance(run.intent, Revoke):
            return
        self._proof_before_off(key, keeping, run, now)

    def _is_taken_for_lost(self, key: AccessKeyId, keeping: SimulatedCredential) -> bool:
        """
        Judge a key that no version names: it may only be deactivated, and only if nothing and nobody uses it.

        What a lost answer left, and what a person made in the same minutes and has not used for a day, look alike. A
        person's own key is back on as soon as they miss it, and is never deleted: `deleted` excuses nothing.
        """
        world = self.record.history.world
        stored = world.secrets.get(keeping.secret)
        if any(key in version.labels for version in labelled(stored)):
            return False
        held = {place.pair.id for place in world.places.values() if place.pair is not None and place.is_id_readable}
        if self._is_in_use(key) or key in held:
            self.record.breaks("seen-key-lives", f"{key} is deactivated, and it is used or shown")
        elif not world.makers.get(key):
            self.record.statistics["a person's unused key was deactivated as an orphan"] += 1
        return True

    def _is_in_use(self, key: AccessKeyId) -> bool:
        """Return whether a key was ever used or served; one that a person has released may have been, a day ago."""
        history = self.record.history
        uses = history.world.uses.get(key, [])
        if key not in history.released:
            return bool(uses) or key in self.record.served
        return any(use.at is not None and history.world.clock.instant - use.at < USED_LATELY for use in uses[-1:])

    def _proof_before_off(self, key: AccessKeyId, keeping: SimulatedCredential, run: RunInfo, now: datetime) -> None:
        world, policy = self.record.history.world, keeping.policy
        successor = current_pair(world.secrets.get(keeping.secret))
        if self.record.moved_by_hand.get(keeping.user, 0) > self.record.described.get(run.name, 0):
            self.record.statistics["AWSCURRENT moved by somebody on the way from the proof to the call"] += 1
            return
        if successor is None or successor == key:
            self.record.breaks("proof-before-off", f"{key} goes off, and AWSCURRENT is {successor}")
            return
        found = world.find(successor)
        is_working = found is not None and found[1].status is KeyStatus.ACTIVE
        if not is_working and successor not in self.record.history.jobs.spoiled:
            self.record.breaks("proof-before-off", f"{key} goes off, and its successor {successor} is not Active")
        for place in keeping.places:
            held = world.places[place.address]
            if held.is_archived or self.record.is_renamed_just_now(place.address):
                continue  # it runs nothing, and is written as soon as it does again; or nobody could read it yet
            is_there = held.pair is not None and held.pair.id == successor and held.torn_since is None
            is_changed = self.record.is_change_seen(keeping.user, held)
            is_to_be_seen = is_changed and (held.changed_at or run.began) < run.began
            if not is_there and (is_to_be_seen or not held.by_hand):
                self.record.breaks("proof-before-off", f"{key} goes off, and {place.address} does not hold {successor}")
            since = self.record.last_held.get((place.address, key))
            if since is not None and now - since < policy.overlap - TOLERANCE:
                self.record.breaks("proof-before-off", f"{key} goes off {now - since} after {place.address} held it")
        self._came_back(key, keeping, run, now)
        use = self.record.read_use.get((run.name, key))
        if use is None or use.evidence is Evidence.UNKNOWN:
            self.record.breaks("proof-before-off", f"{key} goes off, and {run.name} could not read its last use")
        elif use.evidence is Evidence.USED and policy.on_still_used is OnStillUsed.HOLD:
            is_recent = use.at is None or now - use.at < min(policy.unused_for, policy.overlap) - TOLERANCE
            if is_recent:
                self.record.breaks("proof-before-off", f"{key} goes off, used {use.at}")

    def _came_back(self, key: AccessKeyId, keeping: SimulatedCredential, run: RunInfo, now: datetime) -> None:
        """Whom keyrota had switched off, and somebody needs again, stays for another overlap."""
        back, off = self.record.history.switched_on.get(key), self.record.noted_off.pop(key, None)
        if back is None or off is None or not off < back < run.began:
            return
        if now - back < keeping.policy.overlap - TOLERANCE:
            self.record.breaks("proof-before-off", f"{key} goes off {now - back} after somebody switched it on again")

    def deleted(self, call: Call, run: RunInfo) -> None:
        """Judge a key that is deleted."""
        key = AccessKeyId(call.about)
        if key not in self.record.keys:
            return  # it was gone
        world, now = self.record.history.world, self.record.history.world.clock.instant
        keeping = self.record.history.credentials[run.users[0]] if len(run.users) == 1 else self._keeper_of(key)
        self.record.statistics["keys deleted"] += 1
        since = world.off_since.get(key)
        is_just_now = since is not None and key in self.record.history.jobs.spoiled and now - since < SIGNATURE_LASTS
        came_back = self.record.history.switched_on.get(key)
        if since is None and came_back is not None and now - came_back < SIGNATURE_LASTS:
            self.record.statistics["switched on by somebody on the way from the proof to the call"] += 1
            return
        is_moved = self.record.moved_by_hand.get(keeping.user, 0) > self.record.described.get(call.by, 0)
        if since is None and is_moved and world.makers.get(key):
            self.record.statistics["AWSCURRENT moved by somebody on the way from the proof to the call"] += 1
            return
        if since is None or is_just_now:  # a person's hand on the way changes nothing
            if world.makers.get(key) == run.name and key not in self.record.served:
                return  # its maker drops it, because another run was first, or because it could not be stored
            promise = "off-before-gone" if world.makers.get(key) else "hands-off"
            self.record.breaks(promise, f"{run.name} deletes the Active key {key}")
            return
        self._hands_off(key, keeping, call)
        if now - since < keeping.policy.grace - TOLERANCE:
            if now - self.record.off_seen.get(key, since) >= keeping.policy.grace - TOLERANCE:
                self.record.statistics["on and off again by hand, while no run could note it"] += 1
                return
            self.record.breaks("off-before-gone", f"{run.name} deletes {key}, Inactive for {now - since}")

    def _keeper_of(self, key: AccessKeyId) -> SimulatedCredential:
        for keeping in self.record.history.credentials.values():
            stored = self.record.history.world.secrets.get(keeping.secret)
            if any(key in version.labels for version in labelled(stored)):
                return keeping
        return next(iter(self.record.history.credentials.values()))

    def _hands_off(self, key: AccessKeyId, keeping: SimulatedCredential, call: Call) -> None:
        world = self.record.history.world
        stored = world.secrets.get(keeping.secret)
        is_adopted = any(key in version.labels for version in labelled(stored))
        is_released = key in self.record.history.released
        if not world.makers.get(key) and not is_adopted and not is_released:
            self.record.breaks("hands-off", f"{call.by}: {call.name} {key}, a key of somebody else's")
