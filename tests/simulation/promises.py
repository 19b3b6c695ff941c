"""
The promises of DESIGN.md, section 2, as predicates over the world, looked at after every single call.

Nothing here asks keyrota what it believes: who did what is taken from the calls themselves, and what is true from the
world. Times are compared with a tolerance of twice the clock skew that keyrota accepts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta

from keyrota.core import plan as act
from keyrota.core.duty import Duty
from keyrota.core.emergency import Revoke, Rollback
from keyrota.core.lifecycle import CLOCKS_DIFFER, CREATED_WITHIN, SIGNED_WITHIN
from keyrota.core.model import (
    AWSCURRENT,
    CLAIM,
    DEACTIVATED_TAG,
    PENDING,
    SYNCED_TAG,
    AccessKeyId,
    Claim,
    Evidence,
    KeyStatus,
    LastUse,
    UserName,
    VersionId,
    key_token,
)
from keyrota.core.planner import Only
from keyrota.core.policy import OnStillUsed
from keyrota.core.records import DeactivationNote, parse_deactivated, parse_synced
from keyrota.executor import Outcome, Settings
from keyrota.sandbox.simulation import History, Keeping, RunInfo
from keyrota.sandbox.world import Call, StoredSecret, Version

TOLERANCE = timedelta(seconds=100)
VERIFIED: int = next(field.default for field in fields(Settings) if field.name == "verify_times")  # type: ignore[assignment]
CANARY = "secret-of-"
_UNREAD = LastUse(evidence=Evidence.UNKNOWN, why="the read failed")

WRITES = (
    "iam:CreateAccessKey",
    "iam:UpdateAccessKey",
    "iam:DeleteAccessKey",
    "iam:PutUserPolicy",
    "iam:DetachUserPolicy",
    "secretsmanager:CreateSecret",
    "secretsmanager:PutSecretValue",
    "secretsmanager:UpdateSecretVersionStage",
    "secretsmanager:TagResource",
    "target:write",
    "target:clear",
)
FORBIDDEN: dict[Duty, tuple[str, ...]] = {
    Duty.ROTATE: ("iam:UpdateAccessKey", "iam:DeleteAccessKey", "target:write"),
    Duty.SYNC: ("iam:CreateAccessKey", "iam:UpdateAccessKey", "iam:DeleteAccessKey", "secretsmanager:PutSecretValue"),
    Duty.DEACTIVATE: ("iam:CreateAccessKey", "iam:DeleteAccessKey", "secretsmanager:GetSecretValue", "target:write"),
    Duty.DELETE: ("iam:CreateAccessKey", "iam:UpdateAccessKey", "secretsmanager:GetSecretValue", "target:write"),
}


@dataclass(slots=True)
class Promises:
    """Watches one history."""

    history: History
    broken: list[str] = field(default_factory=list)
    accepted: Counter[tuple[str, AccessKeyId]] = field(default_factory=Counter)
    """How often in a row STS has accepted a key, by run."""
    read_use: dict[tuple[str, AccessKeyId], LastUse] = field(default_factory=dict)
    """What a run was last told of a key's use."""
    unstored: dict[str, AccessKeyId] = field(default_factory=dict)
    """Keys that a run has made, and not yet tried to store."""
    last_held: dict[tuple[str, AccessKeyId], datetime] = field(default_factory=dict)
    """When a place last held a key, before another one came."""
    served: set[AccessKeyId] = field(default_factory=set)
    has_held: set[tuple[str, AccessKeyId]] = field(default_factory=set)
    """Which places have held the whole pair of which key at some time."""
    lost: Counter[str] = field(default_factory=Counter)
    statistics: Counter[str] = field(default_factory=Counter)
    torn_for: list[float] = field(default_factory=list)
    """Seconds during which a place held half a pair."""
    _held: dict[str, tuple[AccessKeyId | None, datetime | None, bool]] = field(default_factory=dict)
    """What each place held after the last call, since when torn, and whether nobody but a person could know."""
    _keys: dict[AccessKeyId, KeyStatus] = field(default_factory=dict)
    _noted_off: dict[AccessKeyId, datetime] = field(default_factory=dict)
    """When keyrota noted that a key is off."""
    _made_at: dict[AccessKeyId, datetime] = field(default_factory=dict)
    _claims: dict[VersionId, tuple[str, Claim]] = field(default_factory=dict)
    """All claims that were ever made, with the name of their secret."""
    _looks: int = 0
    _current: dict[UserName, VersionId | None] = field(default_factory=dict)
    _moved: dict[UserName, int] = field(default_factory=dict)
    """Before which call AWSCURRENT was moved last."""
    _moved_by_hand: dict[UserName, int] = field(default_factory=dict)
    _described: dict[str, int] = field(default_factory=dict)
    """The call by which a run looked at the secret last."""
    _pair: dict[UserName, AccessKeyId | None] = field(default_factory=dict)
    _base: dict[UserName, VersionId | None] = field(default_factory=dict)
    """The version that wore AWSCURRENT before."""
    _before: dict[UserName, AccessKeyId | None] = field(default_factory=dict)
    """The key in AWSCURRENT, and the one before it."""
    _wrote: dict[str, int] = field(default_factory=dict)
    """The call by which a run wrote to a target last."""

    def __post_init__(self) -> None:
        """Watch."""
        self.history.attempts.append(self.attempted)
        self.history.watchers.append(self.look)
        self.history.listeners.append(self.hear)
        self.history.after_run.append(self.look_at_run)

    # --- after every call -----------------------------------------------------------------------------------------

    def look(self, call: Call, answer: object) -> None:
        """Judge one call."""
        run = self.history.runs[call.by]
        self._note_current(call)
        if call.name.startswith(WRITES):
            self._plan_only(call, run)
        self._least_privilege(call, run)
        if isinstance(answer, Exception):
            return
        match call.name:
            case "secretsmanager:DescribeSecret":
                self._described[call.by] = self._looks
            case "iam:CreateAccessKey":
                self.unstored[call.by] = answer.credential.id  # type: ignore[attr-defined]  # a CreatedKey
                self.statistics["keys made"] += 1
            case "iam:UpdateAccessKey" if call.about.endswith("Inactive"):
                self._switched_off(call, run)
            case "iam:DeleteAccessKey":
                self._deleted(call, run)
            case "secretsmanager:UpdateSecretVersionStage" | "secretsmanager:PutSecretValue":
                self._nothing_dropped()
                self._goes_forward(call, run)
                self._note_claims()
            case "secretsmanager:TagResource":
                self._no_canary(call.about, call.name)
                self._record_is_true(call, run)
            case name if name.startswith("target:write"):
                self._written(call)
        self._note_places()

    def _note_claims(self) -> None:
        for secret, stored in self.history.world.secrets.items():
            for name, version in stored.versions.items():
                if version.claim is not None:
                    self._claims[name] = (secret, version.claim)

    def _note_current(self, call: Call | None = None) -> None:
        """Count calls, and note before which of them AWSCURRENT was moved last, by whomever, or by people."""
        self._looks += 1
        is_ours = call is not None and call.name.startswith(("secretsmanager:Update", "secretsmanager:Put"))
        for user, keeping in self.history.credentials.items():
            current = _current_version(self.history.world.secrets.get(keeping.secret))
            before = self._current.get(user)
            if before != current:
                self._current[user], self._moved[user] = current, self._looks
                pair = current_pair(self.history.world.secrets.get(keeping.secret))
                self._before[user], self._pair[user] = self._pair.get(user), pair
                self._base[user] = before
                if not is_ours:
                    self._moved_by_hand[user] = self._looks

    def hear(self, call: Call, answer: object) -> None:
        """Note what a run was told: nothing else is a proof."""
        match call.name:
            case "sts:GetCallerIdentity":
                self._count_accepted(call, answer)
            case "iam:GetAccessKeyLastUsed":
                self.read_use[call.by, AccessKeyId(call.about)] = answer if isinstance(answer, LastUse) else _UNREAD

    def _break(self, promise: str, what: str) -> None:
        self.broken.append(f"{promise}: {what} at {self.history.world.clock.instant:%Y-%m-%d %H:%M:%S}")
        self.history.say("PROMISE BROKEN", f"{promise}: {what}")

    def _count_accepted(self, call: Call, answer: object) -> None:
        key = AccessKeyId(call.about)
        is_accepted = isinstance(answer, tuple) and bool(answer) and all(answer)
        self.accepted[call.by, key] = self.accepted[call.by, key] + 1 if is_accepted else 0

    def attempted(self, call: Call) -> None:
        """A run that has made a key stores it with its very next call."""
        key = self.unstored.pop(call.by, None)
        if key is None or (call.by, "iam:CreateAccessKey") in self.history.unanswered:
            return  # the one window that cannot be closed
        is_stored = call.name == "secretsmanager:PutSecretValue" and call.about.startswith(key)
        if not is_stored and call.name != "iam:DeleteAccessKey" and not self._stood_still(call.by):
            self._break("secret-never-lost", f"{call.by} made {key} and then called {call.name}")

    def _stood_still(self, by: str) -> bool:
        """A run that comes too late to store a key under its claim lets the key go: another run may delete it now."""
        now = self.history.world.clock.instant
        return any(
            now >= version.claim.lease_until - SIGNED_WITHIN - 4 * CLOCKS_DIFFER
            for keeping in self.history.credentials.values()
            if (stored := self.history.world.secrets.get(keeping.secret)) is not None
            for version in stored.versions.values()
            if version.claim is not None and by.split(maxsplit=1)[0] == version.claim.run
        )

    def _plan_only(self, call: Call, run: RunInfo) -> None:
        if run.is_plan_only:
            self._break("plan-is-honest", f"a plan called {call.name}")

    def _least_privilege(self, call: Call, run: RunInfo) -> None:
        if isinstance(run.intent, Only) and call.name.startswith(FORBIDDEN[run.intent.duty]):
            self._break("least-privilege", f"{run.intent.duty.value} called {call.name}")

    def _no_canary(self, text: str, where: str) -> None:
        if CANARY in text:
            self._break("nothing-leaks", where)

    def _record_is_true(self, call: Call, run: RunInfo) -> None:
        """Where keyrota notes that all targets have held a version, they have."""
        written = dict(part.partition("=")[::2] for part in call.about.split(" "))
        off, note = parse_deactivated(written.get(DEACTIVATED_TAG, ""))
        if off is not None and note is DeactivationNote.ROUTINE:
            self._noted_off[off.key] = self.history.world.clock.instant
        record = parse_synced(written.get(SYNCED_TAG, ""))
        if record is None:
            return
        for user in run.users:
            stored = self.history.world.secrets.get(self.history.credentials[user].secret)
            version = stored.versions.get(record.version) if stored else None
            key = version.pair.id if version and version.pair else None
            for address in run.addresses if key else ():
                if key and (address, key) not in self.has_held:
                    self._break("proof-before-off", f"{call.by} notes that {address} holds {key}, and it never did")

    def _goes_forward(self, call: Call, run: RunInfo) -> None:
        """Nothing but a rollback, or a revocation without a free slot, makes an older key AWSCURRENT again."""
        is_other = not call.about.startswith(AWSCURRENT) or isinstance(run.intent, (Revoke, Rollback))
        for user in run.users:
            if is_other or self._moved.get(user) != self._looks:
                continue
            now, before = self._pair.get(user), self._before.get(user)
            if now is not None and before is not None and now < before:  # IDs of the world count up
                self._break("newest-wins", f"{call.by} goes back from {before} to {now}")
            base = self._base.get(user)
            if now is not None and self.history.world.makers.get(now) and self._current[user] != key_token(now, base):
                self._break("one-winner", f"{call.by} promotes {now} over {base}, for which it was not made")

    def _nothing_dropped(self) -> None:
        """The secret of a key that targets hold is in a version, unless a person took it away."""
        world = self.history.world
        for keeping in self.history.credentials.values():
            stored = world.secrets.get(keeping.secret)
            if stored is None:
                continue
            kept = {version.pair.id for version in stored.versions.values() if version.pair and version.labels}
            for place in keeping.places:
                held = world.places[place.address]
                if held.ours is None or held.by_hand or world.find(held.ours) is None:
                    continue
                if held.ours not in kept and world.makers.get(held.ours):
                    self._break("secret-never-lost", f"no version of {keeping.secret} holds {held.ours} any more")

    # --- keys that go ---------------------------------------------------------------------------------------------

    def _owner(self, key: AccessKeyId, run: RunInfo) -> Keeping:
        found = self.history.world.find(key)
        user = found[0] if found else run.users[0]
        return self.history.credentials[user]

    def _switched_off(self, call: Call, run: RunInfo) -> None:
        key = AccessKeyId(call.about.split()[0])
        world, keeping, now = self.history.world, self._owner(key, run), self.history.world.clock.instant
        self._hands_off(key, keeping, call)
        was = self._keys.get(key, KeyStatus.ACTIVE)
        if was is not KeyStatus.ACTIVE:
            return  # somebody switched it off before: only noted
        self.statistics["keys switched off"] += 1
        if key not in self.history.jobs.spoiled:
            for address, place in world.places.items():
                if place.ours == key and not place.by_hand and place.pair is not None:
                    self._break("served-key-lives", f"{address} holds {key}, which {run.name} switches off")
        if isinstance(run.intent, Revoke):
            return
        self._proof_before_off(key, keeping, run, now)

    def _proof_before_off(self, key: AccessKeyId, keeping: Keeping, run: RunInfo, now: datetime) -> None:
        world, policy = self.history.world, keeping.policy
        successor = current_pair(world.secrets.get(keeping.secret))
        if self._moved_by_hand.get(keeping.user, 0) > self._described.get(run.name, 0):
            self.statistics["AWSCURRENT moved by somebody on the way from the proof to the call"] += 1
            return
        if successor is None or successor == key:
            self._break("proof-before-off", f"{key} goes off, and AWSCURRENT is {successor}")
            return
        found = world.find(successor)
        is_working = found is not None and found[1].status is KeyStatus.ACTIVE
        if not is_working and successor not in self.history.jobs.spoiled:
            self._break("proof-before-off", f"{key} goes off, and its successor {successor} is not Active")
        for place in keeping.places:
            held = world.places[place.address]
            is_there = held.pair is not None and held.pair.id == successor and held.torn_since is None
            is_to_be_seen = held.by_hand and held.is_id_readable and (held.changed_at or run.began) < run.began
            if not is_there and (is_to_be_seen or not held.by_hand):
                self._break("proof-before-off", f"{key} goes off, and {place.address} does not hold {successor}")
            since = self.last_held.get((place.address, key))
            if since is not None and now - since < policy.overlap - TOLERANCE:
                self._break("proof-before-off", f"{key} goes off {now - since} after {place.address} held it")
        self._came_back(key, keeping, run, now)
        use = self.read_use.get((run.name, key))
        if use is None or use.evidence is Evidence.UNKNOWN:
            self._break("proof-before-off", f"{key} goes off, and {run.name} could not read its last use")
        elif use.evidence is Evidence.USED and policy.on_still_used is OnStillUsed.HOLD:
            is_recent = use.at is None or now - use.at < min(policy.quiet_for, policy.overlap) - TOLERANCE
            if is_recent:
                self._break("proof-before-off", f"{key} goes off, used {use.at}")

    def _came_back(self, key: AccessKeyId, keeping: Keeping, run: RunInfo, now: datetime) -> None:
        """Whom keyrota had switched off, and somebody needs again, stays for another overlap."""
        back, off = self.history.switched_on.get(key), self._noted_off.pop(key, None)
        if back is None or off is None or not off < back < run.began:
            return
        if now - back < keeping.policy.overlap - TOLERANCE:
            self._break("proof-before-off", f"{key} goes off {now - back} after somebody switched it on again")

    def _deleted(self, call: Call, run: RunInfo) -> None:
        key = AccessKeyId(call.about)
        if key not in self._keys:
            return  # it was gone
        world, now = self.history.world, self.history.world.clock.instant
        keeping = self.history.credentials[run.users[0]] if len(run.users) == 1 else self._keeper_of(key)
        self.statistics["keys deleted"] += 1
        since = world.off_since.get(key)
        stored = world.secrets.get(keeping.secret)
        is_stored = any(version.pair and version.pair.id == key for version in _labelled(stored))
        is_just_now = since is not None and key in self.history.jobs.spoiled and now - since < SIGNED_WITHIN
        came_back = self.history.switched_on.get(key)
        if since is None and came_back is not None and now - came_back < SIGNED_WITHIN:
            self.statistics["switched on by somebody on the way from the proof to the call"] += 1
            return
        if since is None or is_just_now:  # a person's hand on the way changes nothing
            is_lost = key not in self.served and (not is_stored or world.makers.get(key) == run.name)
            if not (is_lost and world.makers.get(key)):
                self._orphan_of_a_person(key, run)
            else:
                self._lease_is_over(key, run, now)
            return
        self._hands_off(key, keeping, call)
        if now - since < keeping.policy.grace - TOLERANCE:
            self._break("off-before-gone", f"{run.name} deletes {key}, Inactive for {now - since}")

    def _orphan_of_a_person(self, key: AccessKeyId, run: RunInfo) -> None:
        """A key of a person's, made in the time of a claim and never seen used, cannot be told from a lost one."""
        is_unused = not self.history.world.uses.get(key) and key not in self.served
        made = self._made_at[key]
        is_of_a_claim = any(
            claim.at - CLOCKS_DIFFER - TOLERANCE
            <= made
            <= claim.at + CREATED_WITHIN + SIGNED_WITHIN + CLOCKS_DIFFER + TOLERANCE
            for _, claim in self._claims.values()
        )
        if is_unused and is_of_a_claim and not self.history.world.makers.get(key):
            self.statistics["a person's key taken for an orphan"] += 1
            return
        self._break(
            "hands-off" if not self.history.world.makers.get(key) else "off-before-gone",
            f"{run.name} deletes the Active key {key}",
        )

    def _lease_is_over(self, key: AccessKeyId, run: RunInfo, now: datetime) -> None:
        """Nobody but its maker deletes a key that its maker may still be about to store."""
        maker, secret = self.history.world.makers[key], self.history.credentials[run.users[0]].secret
        for name, claim in self._claims.values():
            if (
                name == secret
                and claim.run == maker.split(maxsplit=1)[0]
                and maker != run.name
                and now < claim.lease_until - TOLERANCE
            ):
                self._break(
                    "off-before-gone", f"{run.name} deletes {key}, which {maker} claims until {claim.lease_until}"
                )

    def _keeper_of(self, key: AccessKeyId) -> Keeping:
        for keeping in self.history.credentials.values():
            stored = self.history.world.secrets.get(keeping.secret)
            if any(key in version.labels for version in _labelled(stored)):
                return keeping
        return next(iter(self.history.credentials.values()))

    def _hands_off(self, key: AccessKeyId, keeping: Keeping, call: Call) -> None:
        world = self.history.world
        stored = world.secrets.get(keeping.secret)
        is_adopted = any(key in version.labels for version in _labelled(stored))
        if not world.makers.get(key) and not is_adopted:
            self._break("hands-off", f"{call.by}: {call.name} {key}, a key of somebody else's")

    # --- targets --------------------------------------------------------------------------------------------------

    def _written(self, call: Call) -> None:
        key = AccessKeyId(call.about)
        self.served.add(key)
        self._wrote[call.by] = self._looks
        if self.accepted[call.by, key] < VERIFIED:
            self._break("verified-before-served", f"{call.by} writes {key}, accepted {self.accepted[call.by, key]}x")

    def _note_places(self) -> None:
        """Remember until when each place held which key, and how long half a pair was there."""
        world, now = self.history.world, self.history.world.clock.instant
        for address, place in world.places.items():
            key = place.pair.id if place.pair else None
            if key is not None and place.torn_since is None:
                self.has_held.add((address, key))
            before, torn, was_hidden = self._held.get(address, (None, None, False))
            if before is not None and before != key and not was_hidden:
                self.last_held[address, before] = now
            if torn is not None and place.torn_since is None and not place.by_hand:
                self.torn_for.append((now - torn).total_seconds())
            is_hidden = place.by_hand and not place.is_id_readable
            self._held[address] = (key, place.torn_since, is_hidden or (was_hidden and before == key))
        self._keys = {key.id: key.status for keys in world.users.values() for key in keys.values()}
        self._made_at |= {key.id: key.created for keys in world.users.values() for key in keys.values()}

    # --- after every run ------------------------------------------------------------------------------------------

    def look_at_run(self, info: RunInfo) -> None:
        """Judge what a run reported: nothing leaks, and what was done had been planned."""
        self.statistics["runs"] += 1
        for preview, outcome in zip(info.previews, info.outcomes, strict=False):
            for error in outcome.errors:
                self._no_canary(f"{error} {error.where} {error.remedy}", "an error")
                if type(error).__name__ == "Bug":
                    self._break("no bug", str(error) + str(error.where))
            self._no_canary(repr(outcome.done) + repr(outcome.plan), "an outcome")
            if isinstance(info.intent, (Revoke, Rollback)) or preview.plan is None:
                continue
            self._ended_with_the_newest(info, outcome)
            promised = {(action.shown, action.key) for action in preview.plan.actions}
            kinds = {action.shown for action in preview.plan.actions}
            for done in outcome.done:
                is_named = isinstance(done.action, (act.Deactivate, act.Delete))
                if is_named and (done.action.shown, done.action.key) not in promised:
                    self._break("plan-is-honest", f"{info.name} did what was not planned: {done.action}")
                if isinstance(done.action, act.CreateKey) and done.action.shown not in kinds:
                    self._break("plan-is-honest", f"{info.name} made a key that was not planned")

    def _ended_with_the_newest(self, info: RunInfo, outcome: Outcome) -> None:
        """A sync that is content has written what was AWSCURRENT after its last write."""
        wrote = self._wrote.get(info.name if len(info.users) == 1 else f"{info.name} {outcome.user}")
        synced = [done.key for done in outcome.done if isinstance(done.action, act.Sync)]
        self._note_current()
        if wrote is None or not synced or outcome.errors or self._moved.get(outcome.user, 0) > wrote:
            return
        keeping = self.history.credentials[outcome.user]
        current = current_pair(self.history.world.secrets.get(keeping.secret))
        if current is not None and synced[-1] != current:
            self._break("newest-wins", f"{info.name} wrote {synced[-1]} last, and AWSCURRENT was {current} by then")

    # --- in the end -----------------------------------------------------------------------------------------------

    def check_newest(self) -> None:
        """Judge that every target holds AWSCURRENT, and that it works."""
        world = self.history.world
        for keeping in self.history.credentials.values():
            current = current_pair(world.secrets.get(keeping.secret))
            for place in keeping.places:
                held = world.places[place.address]
                pair = held.pair
                if held.by_hand and not held.is_id_readable:
                    continue  # nothing can tell that somebody changed it; the next rotation writes it again
                if current is not None and (pair is None or pair.id != current):
                    self._break("newest-wins", f"{place.address} holds {pair and pair.id}, AWSCURRENT is {current}")
                elif pair is not None and (why := world.refusal(pair)):
                    self._break("newest-wins", f"{place.address} holds {pair.id}: {why}")

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
        for version in _labelled(stored):
            if left := version.labels & {CLAIM, PENDING}:
                yield f"left over: {sorted(left)}"

    def failures(self) -> Iterator[str]:
        """Name the pipeline runs that failed for a reason that keyrota could have prevented."""
        for failure in self.history.jobs.failures:
            if failure.is_ours:
                yield f"{failure.address} failed at {failure.at:%Y-%m-%d %H:%M:%S} with {failure.key}: {failure.cause}"


def current_pair(stored: StoredSecret | None) -> AccessKeyId | None:
    """Find the key in AWSCURRENT."""
    for version in _labelled(stored):
        if AWSCURRENT in version.labels and version.pair is not None:
            return version.pair.id
    return None


def _current_version(stored: StoredSecret | None) -> VersionId | None:
    versions = stored.versions if stored else {}
    return next((name for name, version in versions.items() if AWSCURRENT in version.labels), None)


def _labelled(stored: StoredSecret | None) -> Iterator[Version]:
    yield from (version for version in stored.versions.values() if version.labels) if stored else ()
