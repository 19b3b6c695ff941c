"""
A world in memory: IAM, STS, Secrets Manager and targets behind the ports, with exact semantics and no network.

The real planner and executor run against it unmodified. Every call passes `World.call`, where a test can cut in:
crash before or after the effect, lose an answer, refuse, or let another run go first. The effect of a call is atomic,
as the services' single calls are.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

from keyrota.core.model import (
    AWSCURRENT,
    AWSPENDING,
    AWSPREVIOUS,
    CLAIM,
    PENDING,
    PLACEHOLDER,
    AccessKey,
    AccessKeyId,
    CarriedRuns,
    Claim,
    CreatedKey,
    Credential,
    Evidence,
    KeyStatus,
    LastUse,
    Readiness,
    RunsEvidence,
    SecretState,
    SecretVersion,
    TargetEvidence,
    TargetState,
    UserName,
    VersionId,
)
from keyrota.core.secret import Secret
from keyrota.errors import KeyrotaError, LostRace, NotThere, ProviderRefused

T = TypeVar("T")

ACCOUNT = "123456789012"
SLOTS = 2
"""IAM's quota of access keys a user."""


_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


class Crash(BaseException):
    """The run ends here, as if its machine had died. No `except Exception` may catch it."""


@dataclass(slots=True)
class WorldClock:
    """A clock that moves only when it is told to, or when somebody sleeps."""

    instant: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        """Return the time: aware, UTC."""
        return self.instant

    def sleep(self, seconds: float) -> None:
        """Move on."""
        self.instant += timedelta(seconds=seconds)

    def travel(self, span: timedelta) -> None:
        """Move on."""
        self.instant += span


@dataclass(slots=True)
class _Version:
    """A version of the secret with its value."""

    labels: set[str]
    pair: Credential | None = None
    claim: Claim | None = None
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _StoredSecret:
    """A secret."""

    versions: dict[VersionId, _Version]
    tags: dict[str, str]
    changed_at: datetime
    deleted_at: datetime | None = None
    rotates_itself: bool = False


@dataclass(slots=True)
class Variables:
    """What a target holds."""

    pair: Credential | None = None
    is_id_readable: bool = True
    is_down: bool = False
    is_ready: bool = True
    writes: int = 0
    changed_at: datetime | None = None
    is_change_told: bool = False
    """The provider tells when the variables were changed last."""
    quiet_for: timedelta = timedelta()
    busy_until: datetime = _LONG_AGO
    carried_for: timedelta = timedelta()
    queued: list[datetime] = field(default_factory=list)
    """Runs that wait for an approval, with the pair of the moment at which they were queued."""


Hook = Callable[[str, "World"], None]


class World:
    """Everything that keyrota touches, for one account. Implements all ports by way of small views."""

    def __init__(self, clock: WorldClock | None = None) -> None:
        self.clock = clock or WorldClock()
        self.users: dict[UserName, dict[AccessKeyId, AccessKey]] = {}
        self.secrets: dict[str, _StoredSecret] = {}
        self.values: dict[AccessKeyId, Secret] = {}
        self.places: dict[str, Variables] = {}
        self.journal: list[str] = []
        self.before: Hook | None = None
        """Called before each call takes effect, with its name."""
        self.after: Hook | None = None
        """Called after each call took effect, before its answer arrives."""
        self.propagation = timedelta(seconds=8)
        self.is_id_first = False
        """Which half of a pair arrives first: both are on their way at once."""
        self.quarantine: dict[UserName, tuple[str, ...]] = {}
        self.denied: dict[UserName, datetime] = {}
        self.unreadable_use: set[AccessKeyId] = set()
        self._numbers = itertools.count(1)

    def call(self, name: str, effect: Callable[[], T]) -> T:
        """Let one call happen."""
        if self.before:
            self.before(name, self)
        self.journal.append(name)
        result = effect()
        if self.after:
            self.after(name, self)
        return result

    # --- what people do -----------------------------------------------------------------------------------------

    def add_user(self, user: str, *ages_days: float, status: KeyStatus = KeyStatus.ACTIVE) -> tuple[AccessKeyId, ...]:
        """Make a user with keys of these ages."""
        name = UserName(user)
        self.users.setdefault(name, {})
        return tuple(self.add_key(name, age_days=age, status=status).id for age in ages_days)

    def add_key(self, user: UserName, *, age_days: float = 0, status: KeyStatus = KeyStatus.ACTIVE) -> Credential:
        """Make a key, as somebody with a console would; no quota holds them back."""
        number = next(self._numbers)
        key = AccessKey(
            id=AccessKeyId(f"AKIA{number:016d}"),
            status=status,
            status_word=status.value,
            created=self.clock.now() - timedelta(days=age_days),
            last_use=LastUse(evidence=Evidence.NEVER),
        )
        self.users[user][key.id] = key
        self.values[key.id] = Secret(f"secret-of-{key.id}")
        return Credential(id=key.id, secret=self.values[key.id])

    def find(self, key: AccessKeyId) -> tuple[UserName, AccessKey] | None:
        """Find a key and its user."""
        return next(((user, keys[key]) for user, keys in self.users.items() if key in keys), None)

    def change(self, key: AccessKeyId, **changes: object) -> None:
        """Change a key behind keyrota's back."""
        found = self.find(key)
        if found is None:
            raise KeyError(key)
        self.users[found[0]][key] = replace(found[1], **changes)  # type: ignore[arg-type]  # fields by name

    def use(self, pair: Credential | None, *, service: str = "s3", region: str = "eu-central-1") -> bool:
        """Use a pair as a pipeline does; tell whether AWS accepts it."""
        found = self.find(pair.id) if pair else None
        if pair is None or found is None or found[1].status is not KeyStatus.ACTIVE:
            return False
        if pair.secret != self.values[pair.id] or self.clock.now() - found[1].created < self.propagation:
            return False
        used = LastUse(evidence=Evidence.USED, at=self.clock.now(), service=service, region=region)
        self.change(pair.id, last_use=used)
        return True

    def deploy(self, address: str) -> bool:
        """Run a pipeline with what a target holds."""
        return self.use(self.places[address].pair)

    def begin_rotation(self, name: str, token: str) -> VersionId:
        """Begin a rotation as Secrets Manager does: AWSPENDING on a version that has no value yet."""
        stored = self.secrets[name]
        stored.rotates_itself = True
        for other in stored.versions.values():
            other.labels -= {AWSPENDING}
        stored.versions.setdefault(VersionId(token), _Version(labels=set())).labels.add(AWSPENDING)
        return VersionId(token)

    def person_puts(self, name: str, pair: Credential | None, fields: Mapping[str, str] | None = None) -> VersionId:
        """Store a value as somebody with a console would: it becomes AWSCURRENT."""
        version = VersionId(f"by-hand-{next(self._numbers):024d}")
        now = self.clock.now()
        stored = self.secrets.setdefault(name, _StoredSecret(versions={}, tags={}, changed_at=now))
        stored.versions[version] = _Version(labels=set(), pair=pair, fields=dict(fields or {}))
        self._move_current(stored, version)
        stored.changed_at = now
        return version

    def _move_current(self, stored: _StoredSecret, to: VersionId) -> None:
        for version in stored.versions.values():
            if AWSCURRENT in version.labels:
                for other in stored.versions.values():
                    other.labels.discard(AWSPREVIOUS)
                version.labels.discard(AWSCURRENT)
                version.labels.add(AWSPREVIOUS)
        stored.versions[to].labels.discard(AWSPREVIOUS)
        stored.versions[to].labels.add(AWSCURRENT)

    # --- views ----------------------------------------------------------------------------------------------------

    @property
    def access_keys(self) -> WorldAccessKeys:
        """IAM."""
        return WorldAccessKeys(self)

    @property
    def identity(self) -> WorldIdentity:
        """STS."""
        return WorldIdentity(self)

    @property
    def store(self) -> WorldSecrets:
        """Secrets Manager."""
        return WorldSecrets(self)

    def target(self, address: str) -> WorldTarget:
        """Name a place at a CI provider; it is empty when it is new."""
        self.places.setdefault(address, Variables())
        return WorldTarget(self, address)


class WorldAccessKeys:
    """IAM, behind the port AccessKeys."""

    def __init__(self, world: World) -> None:
        self._world = world

    def _user(self, user: UserName) -> dict[AccessKeyId, AccessKey]:
        if user not in self._world.users:
            raise NotThere(f"the IAM user {user} does not exist", remedy="correct `user`")
        return self._world.users[user]

    def list(self, user: UserName) -> tuple[AccessKey, ...]:
        """Return all keys, oldest first."""
        keys = self._world.call("iam:ListAccessKeys", lambda: tuple(self._user(user).values()))
        return tuple(sorted(keys, key=lambda key: (key.created, key.id)))

    def last_use(self, key: AccessKeyId) -> LastUse:
        """Return the evidence."""

        def effect() -> LastUse:
            found = self._world.find(key)
            if found is None or key in self._world.unreadable_use:
                return LastUse(evidence=Evidence.UNKNOWN, why="the read was throttled")
            return found[1].last_use

        try:
            return self._world.call("iam:GetAccessKeyLastUsed", effect)
        except KeyrotaError as error:
            return LastUse(evidence=Evidence.UNKNOWN, why=str(error))

    def create(self, user: UserName) -> CreatedKey:
        """Make a key."""

        def effect() -> CreatedKey:
            if len(self._user(user)) >= SLOTS:
                raise ProviderRefused("Cannot exceed quota for AccessKeysPerUser: 2")
            made = self._world.add_key(user)
            return CreatedKey(credential=made, created=self._world.clock.now())

        return self._world.call("iam:CreateAccessKey", effect)

    def _set(self, name: str, user: UserName, key: AccessKeyId, status: KeyStatus) -> None:
        def effect() -> None:
            if key not in self._user(user):
                raise NotThere(f"the access key {key} does not exist")
            self._world.change(key, status=status, status_word=status.value)

        self._world.call(name, effect)

    def deactivate(self, user: UserName, key: AccessKeyId) -> None:
        """Set the key Inactive."""
        self._set("iam:UpdateAccessKey", user, key, KeyStatus.INACTIVE)

    def reactivate(self, user: UserName, key: AccessKeyId) -> None:
        """Set the key Active."""
        self._set("iam:UpdateAccessKey", user, key, KeyStatus.ACTIVE)

    def delete(self, user: UserName, key: AccessKeyId) -> None:
        """Delete the key."""
        self._world.call("iam:DeleteAccessKey", lambda: self._user(user).pop(key, None))

    def quarantine_policies(self, user: UserName) -> tuple[str, ...]:
        """Return the quarantine policies."""
        return self._world.call("iam:ListAttachedUserPolicies", lambda: self._world.quarantine.get(user, ()))

    def release_quarantine(self, user: UserName, policy_arn: str) -> None:
        """Detach one."""

        def effect() -> None:
            left = tuple(arn for arn in self._world.quarantine.get(user, ()) if arn != policy_arn)
            self._world.quarantine[user] = left

        self._world.call("iam:DetachUserPolicy", effect)

    def deny_sessions_before(self, user: UserName, instant: datetime) -> None:
        """Note the denial."""
        self._world.call("iam:PutUserPolicy", lambda: self._world.denied.update({user: instant}))


class WorldIdentity:
    """STS, behind the port Identity."""

    def __init__(self, world: World) -> None:
        self._world = world

    def whoami(self, credential: Credential) -> Sequence[str | None]:
        """Answer from one endpoint."""

        def effect() -> Sequence[str | None]:
            if not self._world.use(credential, service="sts"):
                return (None,)
            found = self._world.find(credential.id)
            return (f"arn:aws:iam::{ACCOUNT}:user/{found[0]}" if found else None,)

        return self._world.call("sts:GetCallerIdentity", effect)


class WorldSecrets:
    """Secrets Manager, behind the port SecretStore."""

    def __init__(self, world: World) -> None:
        self._world = world

    def _get(self, name: str) -> _StoredSecret:
        stored = self._world.secrets.get(name)
        if stored is None:
            raise NotThere(f"the secret {name} does not exist")
        if stored.deleted_at:
            raise ProviderRefused(f"the secret {name} is scheduled for deletion")
        return stored

    def describe(self, name: str) -> SecretState | None:
        """Return the secret without a value."""

        def effect() -> SecretState | None:
            stored = self._world.secrets.get(name)
            if stored is None:
                return None
            return SecretState(
                arn=f"arn:aws:secretsmanager:eu-central-1:{ACCOUNT}:secret:{name}-AbCdEf",
                name=name,
                versions=tuple(
                    SecretVersion(id=version, labels=frozenset(content.labels))
                    for version, content in stored.versions.items()
                    if content.labels
                ),
                tags=tuple(stored.tags.items()),
                deleted_at=stored.deleted_at,
                changed_at=stored.changed_at,
                rotates_itself=stored.rotates_itself,
            )

        return self._world.call("secretsmanager:DescribeSecret", effect)

    def create(self, name: str, tags: Mapping[str, str]) -> None:
        """Make the secret with its placeholder."""

        def effect() -> None:
            version = VersionId("placeholder-0000000000000000000000000000")
            now = self._world.clock.now()
            stored = self._world.secrets.setdefault(name, _StoredSecret(versions={}, tags=dict(tags), changed_at=now))
            if not stored.versions:
                stored.versions[version] = _Version(labels={AWSCURRENT, PLACEHOLDER})

        self._world.call("secretsmanager:CreateSecret", effect)

    def read(self, name: str, version: VersionId) -> Credential | None:
        """Return the pair of a version."""

        def effect() -> Credential | None:
            return self._get(name).versions[version].pair

        return self._world.call("secretsmanager:GetSecretValue", effect)

    def current(self, name: str) -> tuple[VersionId, Credential]:
        """Return AWSCURRENT."""

        def effect() -> tuple[VersionId, Credential]:
            for version, content in self._get(name).versions.items():
                if AWSCURRENT in content.labels and content.pair is not None:
                    return version, content.pair
            raise ProviderRefused(f"AWSCURRENT of {name} holds no pair")

        return self._world.call("secretsmanager:GetSecretValue", effect)

    def claim(self, name: str) -> Claim | None:
        """Return the content of the claim."""

        def effect() -> Claim | None:
            contents = self._get(name).versions.values()
            return next((content.claim for content in contents if CLAIM in content.labels), None)

        return self._world.call("secretsmanager:GetSecretValue", effect)

    def _put(self, name: str, version: VersionId, content: _Version) -> None:
        stored = self._get(name)
        before = stored.versions.get(version)
        is_empty = before is not None and before.pair is None and before.labels == {AWSPENDING}
        if before is not None and not is_empty:
            if (before.pair, before.claim) != (content.pair, content.claim):
                raise LostRace(f"the version {version} has another content")
            return
        for other in stored.versions.values():
            other.labels -= content.labels
        stored.versions[version] = content
        stored.changed_at = self._world.clock.now()

    def put_claim(self, name: str, claim: Claim) -> None:
        """Store the claim."""
        content = _Version(labels={CLAIM}, claim=claim)
        self._world.call("secretsmanager:PutSecretValue", lambda: self._put(name, claim.version, content))

    def other_fields(self, name: str, version: VersionId) -> Secret:
        """Return the user's own fields."""

        def effect() -> Secret:
            return Secret(json.dumps(self._get(name).versions[version].fields))

        return self._world.call("secretsmanager:GetSecretValue", effect)

    def put_pending(self, name: str, version: VersionId, credential: Credential, *, beside: Secret) -> None:
        """Store a new pair."""

        def effect() -> None:
            content = _Version(labels={PENDING, credential.id}, pair=credential, fields=json.loads(beside.reveal()))
            self._put(name, version, content)

        self._world.call("secretsmanager:PutSecretValue", effect)

    def put_rotating(
        self,
        name: str,
        version: VersionId,
        credential: Credential,
        *,
        beside: Secret,
        rotation_token: str | None,  # noqa: ARG002  # the port's signature
    ) -> None:
        """Store a new pair in the version of Secrets Manager's own rotation."""

        def effect() -> None:
            content = _Version(labels={AWSPENDING, credential.id}, pair=credential, fields=json.loads(beside.reveal()))
            self._put(name, version, content)

        self._world.call("secretsmanager:PutSecretValue", effect)

    def move_label(self, name: str, label: str, *, to: VersionId | None, remove_from: VersionId | None) -> None:
        """Compare and swap a label."""

        def effect() -> None:
            stored = self._get(name)
            wearing = next((version for version, content in stored.versions.items() if label in content.labels), None)
            if wearing != remove_from:
                raise LostRace(f"{label} is on {wearing}, not on {remove_from}")
            if label == AWSCURRENT and to is not None:
                self._move_current(stored, to)
            else:
                if wearing is not None:
                    stored.versions[wearing].labels.discard(label)
                if to is not None:
                    stored.versions[to].labels.add(label)
            stored.changed_at = self._world.clock.now()

        self._world.call("secretsmanager:UpdateSecretVersionStage", effect)

    def _move_current(self, stored: _StoredSecret, to: VersionId) -> None:
        self._world._move_current(stored, to)  # noqa: SLF001  # a view of the same world

    def tag(self, name: str, tags: Mapping[str, str]) -> None:
        """Set tags, all of them with one call."""

        def effect() -> None:
            stored = self._get(name)
            stored.tags.update(tags)
            stored.changed_at = self._world.clock.now()

        self._world.call("secretsmanager:TagResource", effect)


class WorldTarget:
    """A place at a CI provider, behind the port Target. A pair is two writes, as at every provider."""

    def __init__(self, world: World, address: str) -> None:
        self._world = world
        self._address = address

    @property
    def address(self) -> str:
        """Where it is."""
        return self._address

    @property
    def is_torn_possible(self) -> bool:
        """Two variables."""
        return True

    @property
    def is_id_readable(self) -> bool:
        """Whether the ID can be read back."""
        return self._place.is_id_readable

    @property
    def _place(self) -> Variables:
        return self._world.places[self._address]

    def preflight(self) -> Readiness:
        """Tell whether it would take a write."""

        def effect() -> Readiness:
            is_ready = self._place.is_ready and not self._place.is_down
            detail = "" if is_ready else "it does not answer"
            return Readiness(address=self._address, is_ready=is_ready, detail=detail)

        return self._world.call(f"target:preflight {self._address}", effect)

    def read(self) -> TargetState:
        """Tell what is there."""

        def effect() -> TargetState:
            place = self._place
            if place.is_down:
                return TargetState(address=self._address, evidence=TargetEvidence.FAILED, detail="it does not answer")
            if place.pair is None:
                detail = json.dumps(["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
                return TargetState(address=self._address, evidence=TargetEvidence.ABSENT, detail=detail, is_empty=True)
            return TargetState(
                address=self._address,
                evidence=TargetEvidence.HOLDS if place.is_id_readable else TargetEvidence.CANNOT_TELL,
                key=place.pair.id if place.is_id_readable else None,
                changed_at=place.changed_at if place.is_change_told else None,
                carried_for=place.carried_for,
            )

        return self._world.call(f"target:read {self._address}", effect)

    def write(self, credential: Credential) -> None:
        """Write both halves, the secret first."""

        def half(pair: Credential) -> None:
            if self._place.is_down:
                raise ProviderRefused(f"{self._address} does not answer", where=self._address)
            self._place.pair = pair
            self._place.changed_at = self._world.clock.now()
            self._place.writes += 1

        before = self._place.pair
        torn = Credential(id=before.id if before else credential.id, secret=credential.secret)
        halves = [("secret", torn), ("id", credential)]
        if self._world.is_id_first:
            torn = Credential(id=credential.id, secret=before.secret if before else credential.secret)
            halves = [("id", torn), ("secret", credential)]
        for name, pair in halves:
            self._world.call(f"target:write {name} {self._address}", partial(half, pair))

    @property
    def quiet_for(self) -> timedelta:
        """How long a write waits for runs."""
        return self._place.quiet_for

    def is_busy(self) -> bool | None:
        """Tell whether a run is in progress."""
        return self._world.call(
            f"target:busy {self._address}", lambda: self._world.clock.now() < self._place.busy_until
        )

    def carried_runs(self, before: datetime) -> CarriedRuns:
        """Tell whether runs that were queued before an instant are under way."""

        def effect() -> CarriedRuns:
            waiting = [queued for queued in self._place.queued if queued < before]
            evidence = RunsEvidence.SOME if waiting else RunsEvidence.NONE
            return CarriedRuns(address=self._address, evidence=evidence, detail=f"{len(waiting)} runs")

        return self._world.call(f"target:runs {self._address}", effect)

    def clear(self, keys: frozenset[AccessKeyId]) -> tuple[str, ...]:
        """Delete the pair, if it is one of these."""

        def effect() -> tuple[str, ...]:
            place = self._place
            if place.pair is not None and place.is_id_readable and place.pair.id not in keys:
                raise ProviderRefused(f"{self._address} holds a key of somebody else's", where=self._address)
            place.pair = None
            return ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID")

        return self._world.call(f"target:clear {self._address}", effect)
