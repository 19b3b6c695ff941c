"""
What is known of a history so far: what runs were told, what places held when, who moved AWSCURRENT; and what broke.

Nothing here asks keyrota what it believes: who did what is taken from the calls themselves, and what is true from the
world.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from limits import LISTS_LAG, ON_THE_WAY, SHOWN_AFTER, TOLD_APART, TOLERANCE

from keyrota.core.model import (
    AWSCURRENT,
    SYNCED_TAG,
    AccessKeyId,
    Claim,
    Evidence,
    KeyStatus,
    LastUse,
    SecretState,
    TargetEvidence,
    TargetState,
    UserName,
    VersionId,
)
from keyrota_sandbox.memory import Call, StoredSecret, Variables, Version
from keyrota_sandbox.simulation import RunInfo, Simulation

LOOKING = "look"
_UNREAD = LastUse(evidence=Evidence.UNKNOWN, why="the read failed")


@dataclass(slots=True)
class Record:
    """The record of one history."""

    history: Simulation
    broken: list[str] = field(default_factory=list)
    statistics: Counter[str] = field(default_factory=Counter)
    accepted: Counter[tuple[str, AccessKeyId]] = field(default_factory=Counter)
    """How often in a row STS has accepted a key, by run."""
    read_use: dict[tuple[str, AccessKeyId], LastUse] = field(default_factory=dict)
    """What a run was last told of a key's use."""
    last_held: dict[tuple[str, AccessKeyId], datetime] = field(default_factory=dict)
    """When a place last held a key, before another one came."""
    served: set[AccessKeyId] = field(default_factory=set)
    has_held: set[tuple[str, AccessKeyId]] = field(default_factory=set)
    """Which places have held the whole pair of which key at some time, or were given both halves by one run."""
    halves: dict[tuple[str, str, AccessKeyId], set[str]] = field(default_factory=dict)
    """What of a key's pair a run has written to a place; another run may write between two halves."""
    wrote_last: dict[str, str] = field(default_factory=dict)
    """Which run wrote half a pair to a place last."""
    off_seen: dict[AccessKeyId, datetime] = field(default_factory=dict)
    """Since when a key is off for keyrota: what nobody could note between two switchings by hand is not known."""
    torn_for: list[float] = field(default_factory=list)
    """Seconds during which a place held half a pair."""
    keys: dict[AccessKeyId, KeyStatus] = field(default_factory=dict)
    noted_off: dict[AccessKeyId, datetime] = field(default_factory=dict)
    """When keyrota noted that a key is off."""
    owners: dict[AccessKeyId, UserName] = field(default_factory=dict)
    """Whose each key is, also of those that are gone."""
    claims: dict[VersionId, tuple[str, Claim]] = field(default_factory=dict)
    """All claims that were ever made, with the name of their secret."""
    looks: int = 0
    """Calls so far."""
    looked_at: list[datetime] = field(default_factory=list)
    """When each of them was made."""
    current: dict[UserName, VersionId | None] = field(default_factory=dict)
    moved: dict[UserName, int] = field(default_factory=dict)
    """Before which call AWSCURRENT was moved last."""
    moved_by_hand: dict[UserName, int] = field(default_factory=dict)
    described: dict[str, int] = field(default_factory=dict)
    """The call by which a run looked at the secret last."""
    pair: dict[UserName, AccessKeyId | None] = field(default_factory=dict)
    base: dict[UserName, VersionId | None] = field(default_factory=dict)
    """The version that wore AWSCURRENT before."""
    before: dict[UserName, AccessKeyId | None] = field(default_factory=dict)
    """The key in AWSCURRENT, and the one before it."""
    believed: dict[str, str] = field(default_factory=dict)
    """What a run read in the tag keyrota:synced, while it looked for what is due."""
    wrote: dict[str, int] = field(default_factory=dict)
    """The call by which a run wrote to a target last."""
    told: dict[str, AccessKeyId | None] = field(default_factory=dict)
    """Which key a run was last told that a place holds."""
    shown: dict[tuple[str, str], TargetState] = field(default_factory=dict)
    """What a run was last told of a place."""
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How many writes of a run to a place failed, as far as the run was told."""
    noted_sync: dict[UserName, datetime] = field(default_factory=dict)
    """When keyrota noted last what targets hold."""
    down_seen: dict[str, datetime] = field(default_factory=dict)
    """When a place was last found not to answer."""
    gone_since: dict[AccessKeyId, datetime] = field(default_factory=dict)
    """By which call a key was deleted."""
    back_since: dict[AccessKeyId, datetime] = field(default_factory=dict)
    """When a key that was Inactive was last found Active again, whoever switched it on."""
    _held: dict[str, tuple[AccessKeyId | None, datetime | None, bool]] = field(default_factory=dict)
    """What each place held after the last call, since when torn, and whether any run could know."""

    def breaks(self, promise: str, what: str) -> None:
        """Note that a promise broke."""
        self.broken.append(f"{promise}: {what} at {self.history.world.clock.instant:%Y-%m-%d %H:%M:%S}")
        self.history.echo("PROMISE BROKEN", f"{promise}: {what}")

    def is_moved_since(self, user: UserName, run: str) -> bool:
        """Return whether AWSCURRENT was moved, by whomever, since a run looked at the secret last."""
        return self.moved.get(user, 0) > self.described.get(run, 0)

    def stored(self, user: UserName) -> StoredSecret | None:
        """Find the secret of the configuration that keeps a user."""
        return self.history.world.secrets.get(self.history.credentials[user].secret)

    def stored_by(self, run: RunInfo, user: UserName) -> StoredSecret | None:
        """Find the secret of a user that a run's configuration names."""
        return self.history.world.secrets.get(run.keepings[user].secret)

    def is_renamed_just_now(self, address: str) -> bool:
        """Return whether a name was given to another place so shortly before that a run may have read the first one."""
        since = self.history.named_since.get(address)
        return since is not None and self.history.world.clock.instant - since < ON_THE_WAY

    def is_change_seen(self, user: UserName, place: Variables) -> bool:
        """Return whether a run can see that somebody changed a place: the key there, or the time, is not keyrota's."""
        if place.by_hand and place.is_id_readable:
            return True
        noted, is_clock_set = self.noted_sync.get(user), place.was_ahead != place.clock_ahead
        if not (place.by_hand and place.is_change_told) or is_clock_set or place.changed_at is None:
            return False
        return noted is not None and place.changed_at > noted + TOLD_APART

    def dead_since(self, key: AccessKeyId) -> datetime | None:
        """Tell since when a key works nowhere: Inactive, or deleted; None: it is Active, or nobody ever had it."""
        return self.history.world.off_since.get(key) or self.gone_since.get(key)

    def was_dead(self, key: AccessKeyId, since: datetime) -> bool:
        """Return whether a key that is Active now may have been listed as Inactive at some time since then."""
        back = self.back_since.get(key)
        return back is not None and back + SHOWN_AFTER > since

    def stored_keys(self, user: UserName) -> set[AccessKeyId]:
        """Find the keys that a version of the user's secret holds."""
        return {version.pair.id for version in labelled(self.stored(user)) if version.pair is not None}

    def named(self, secret: str) -> set[str]:
        """Find what the labels of a secret name: its keys among others."""
        return {label for version in labelled(self.history.world.secrets.get(secret)) for label in version.labels}

    def is_kept_by(self, run: RunInfo, user: UserName) -> bool:
        """Return whether a run's configuration is the one that keeps a user."""
        return run.keepings[user].secret == self.history.credentials[user].secret

    def sendable(self, user: UserName) -> AccessKeyId | None:
        """Find the key in AWSCURRENT, where it is Active and keyrota's to send."""
        stored = self.stored(user)
        if stored is None or stored.deleted_at:
            return None
        current = current_pair(stored)
        is_labelled = any({AWSCURRENT, current} <= version.labels for version in stored.versions.values())
        found = self.history.world.find(current) if current and is_labelled else None
        return current if found is not None and found[1].status is KeyStatus.ACTIVE else None

    def note_claims(self) -> None:
        """Remember claims beyond their end."""
        for secret, stored in self.history.world.secrets.items():
            for name, version in stored.versions.items():
                if version.claim is not None:
                    self.claims[name] = (secret, version.claim)

    def note_current(self, call: Call | None = None) -> None:
        """Count calls, and note before which of them AWSCURRENT was moved last, by whomever, or by people."""
        self.looks += 1
        self.looked_at.append(self.history.world.clock.instant)
        is_ours = call is not None and call.name.startswith(("secretsmanager:Update", "secretsmanager:Put"))
        for user, keeping in self.history.credentials.items():
            current = current_version(self.history.world.secrets.get(keeping.secret))
            before = self.current.get(user)
            if before != current:
                self.current[user], self.moved[user] = current, self.looks
                pair = current_pair(self.history.world.secrets.get(keeping.secret))
                self.before[user], self.pair[user] = self.pair.get(user), pair
                self.base[user] = before
                if not is_ours:
                    self.moved_by_hand[user] = self.looks

    def note_described(self, call: Call, run: RunInfo, shown: object) -> None:
        """Note that a run has looked at the secret, and was shown it as it was before one of the last calls."""
        as_of, now = self.history.world.shown_as_of, self.history.world.clock.instant
        self.described[call.by] = self.looks if as_of == now else bisect_left(self.looked_at, as_of)
        if run.step == LOOKING and isinstance(shown, SecretState):
            self.believed[call.by] = dict(shown.tags).get(SYNCED_TAG, "")

    def hear(self, call: Call, answer: object) -> None:
        """Note what a run was told: nothing else is a proof."""
        match call.name:
            case "sts:GetCallerIdentity":
                self._count_accepted(call, answer)
            case "iam:GetAccessKeyLastUsed":
                self.read_use[call.by, AccessKeyId(call.about)] = answer if isinstance(answer, LastUse) else _UNREAD
            case name if isinstance(answer, Exception) and name.startswith("target:write"):
                self.refused[call.by, name.split(" ", 2)[2]] += 1
            case _ if isinstance(answer, TargetState):
                self.shown[call.by, answer.address] = answer
                if answer.evidence is TargetEvidence.HOLDS:
                    self.told[answer.address] = answer.key

    def _count_accepted(self, call: Call, answer: object) -> None:
        key = AccessKeyId(call.about)
        is_accepted = isinstance(answer, tuple) and bool(answer) and all(answer)
        self.accepted[call.by, key] = self.accepted[call.by, key] + 1 if is_accepted else 0

    def note_half(self, address: str, call: Call) -> None:
        """Note what a run has written of a pair; the second half makes it whole."""
        key = AccessKeyId(call.about)
        written = self.halves.setdefault((call.by, address, key), set())
        written.add(call.name.split(" ", 2)[1])
        self.wrote_last[address] = call.by
        if len(written) > 1:
            self.has_held.add((address, key))

    def forget_halves(self, by: str, address: str) -> None:
        """Note that a run has deleted the half that it wrote: the place is as it was before."""
        self.halves = {known: halves for known, halves in self.halves.items() if known[:2] != (by, address)}

    def note_seen_on(self, users: tuple[UserName, ...], began: datetime) -> None:
        """Note which keys a run that did its work must have seen Active, and noted so, if they had been off."""
        for user in users:
            for key_id, key in self.history.world.users.get(user, {}).items():
                off = self.off_seen.get(key_id)
                back = self.history.switched_on.get(key_id)
                is_old = off is not None and back is not None and max(off, back) + LISTS_LAG + TOLERANCE < began
                if key.status is KeyStatus.ACTIVE and is_old:
                    del self.off_seen[key_id]

    def note_places(self) -> None:
        """Remember until when each place held which key, and how long half a pair was there."""
        world, now = self.history.world, self.history.world.clock.instant
        for address, place in world.places.items():
            if place.is_down:
                self.down_seen[address] = now
            key = place.pair.id if place.pair else None
            if key is not None and place.torn_since is None:
                self.has_held.add((address, key))
            before, torn, was_known = self._held.get(address, (None, None, False))
            was_known = was_known or (before is not None and self.told.get(address) == before)
            if before != key:
                self.told.pop(address, None)
                if before is not None and was_known:
                    self.last_held[address, before] = now
            if torn is not None and place.torn_since is None and not place.by_hand:
                self.torn_for.append((now - torn).total_seconds())
            is_ours = not place.by_hand and place.torn_since is None
            is_known = is_ours or (was_known and before == key)
            self._held[address] = (key, place.torn_since, is_known)
        for key_id, since in world.off_since.items():
            self.off_seen.setdefault(key_id, since)
        keys = {key.id: key.status for keys in world.users.values() for key in keys.values()}
        for key, status in keys.items():
            if status is KeyStatus.ACTIVE and self.keys.get(key) is KeyStatus.INACTIVE:
                self.back_since[key] = now
        if keys.keys() != self.keys.keys():
            self.gone_since |= dict.fromkeys(self.keys.keys() - keys.keys(), now)
            for user, theirs in world.users.items():
                self.owners |= dict.fromkeys(theirs, user)
        self.keys = keys


def current_pair(stored: StoredSecret | None) -> AccessKeyId | None:
    """Find the key in AWSCURRENT."""
    for version in labelled(stored):
        if AWSCURRENT in version.labels and version.pair is not None:
            return version.pair.id
    return None


def current_version(stored: StoredSecret | None) -> VersionId | None:
    """Find the version that wears AWSCURRENT."""
    versions = stored.versions if stored else {}
    return next((name for name, version in versions.items() if AWSCURRENT in version.labels), None)


def labelled(stored: StoredSecret | None) -> Iterator[Version]:
    """Go through the versions that are not about to vanish."""
    yield from (version for version in stored.versions.values() if version.labels) if stored else ()
