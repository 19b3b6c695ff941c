"""The world itself: what is in it, what people do to it, and the one door through which every call comes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from keyrota.core.model import (
    AWSCURRENT,
    AWSPENDING,
    AccessKey,
    AccessKeyId,
    Evidence,
    KeyPair,
    KeyStatus,
    LastUse,
    UserName,
    VersionId,
)
from keyrota.core.secret import Secret
from keyrota.errors import NotThere
from keyrota_sandbox.memory.clock import WorldClock
from keyrota_sandbox.memory.contents import StoredSecret, Variables, Version
from keyrota_sandbox.memory.iam import WorldAccessKeys
from keyrota_sandbox.memory.lags import Lags
from keyrota_sandbox.memory.past import Past
from keyrota_sandbox.memory.secrets import WorldSecrets
from keyrota_sandbox.memory.sts import WorldIdentity

T = TypeVar("T")

_NOT_IN_LISTS = LastUse(evidence=Evidence.UNKNOWN, why="not read yet")
RECOVERY_DAYS = 30
"""A deleted secret can be restored for so long, unless someone says otherwise (API Reference, DeleteSecret)."""
_REMEMBERED = timedelta(hours=1)
"""So long an older list of keys may still be shown."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call on its way."""

    name: str
    """As IAM names the action: `iam:CreateAccessKey`; targets' calls name the target."""
    by: str
    """Who makes it."""
    about: str
    """What it asks for, without a secret."""


Hook = Callable[[str, "World"], None]


class Road(Protocol):
    """What lies between a caller and a service: delays, faults, other people's steps."""

    def __call__(self, call: Call, effect: Callable[[], T]) -> T:
        """Let one call happen, or not, and give its answer, or not."""
        ...


class World:
    """Everything that keyrota touches, for one account. Implements all ports by way of small views."""

    def __init__(self, clock: WorldClock | None = None) -> None:
        self.clock = clock or WorldClock()
        self.users: dict[UserName, dict[AccessKeyId, AccessKey]] = {}
        self.secrets: dict[str, StoredSecret] = {}
        self.values: dict[AccessKeyId, Secret] = {}
        self.elsewhere: dict[AccessKeyId, str] = {}
        """Keys of other accounts, with their account's ID."""
        self.places: dict[str, Variables] = {}
        self.journal: list[str] = []
        self.before: Hook | None = None
        """Called before each call takes effect, with its name."""
        self.after: Hook | None = None
        """Called after each call took effect, before its answer arrives."""
        self.road: Road | None = None
        """Takes every call instead, where it is set."""
        self.propagation = timedelta(seconds=8)
        self.lags: Lags | None = None
        self.is_id_first = False
        """Which half of a pair arrives first: both are on their way at once."""
        self.quarantine: dict[UserName, tuple[str, ...]] = {}
        self.denied: dict[UserName, datetime] = {}
        self.user_tags: dict[UserName, dict[str, str]] = {}
        self.unreadable_use: set[AccessKeyId] = set()
        self.makers: dict[AccessKeyId, str] = {}
        """Who made each key; nobody is a person."""
        self.uses: dict[AccessKeyId, list[LastUse]] = {}
        self.off_since: dict[AccessKeyId, datetime] = {}
        self.switched: dict[AccessKeyId, datetime] = {}
        """When someone last changed the status of a key."""
        self.reports: dict[str, tuple[datetime, dict[UserName, tuple[datetime, ...]]]] = {}
        """The last credential report of each account."""
        self._past: dict[UserName, list[tuple[datetime, tuple[AccessKey, ...]]]] = {}
        self._past_secrets = Past()
        self.shown_as_of = self.clock.instant
        """The instant as of which Secrets Manager has answered last."""
        self.is_shown_old = False
        """Secrets Manager has shown last what was there before a change."""
        self.numbered = 0
        self.placed = 0
        """How many places there ever were: each has a number of its own."""

    def call(self, name: str, effect: Callable[[], T], *, by: str = "", about: str = "") -> T:
        """Let one call happen."""
        if self.road is not None:
            return self.road(Call(name, by, about), effect)
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
        self.remember(name)
        return tuple(self.add_key(name, age_days=age, status=status).id for age in ages_days)

    def delete_user(self, user: UserName) -> None:
        """Delete a user with all keys, as someone with a console would."""
        self.users.pop(user, None)
        self.user_tags.pop(user, None)
        self._past.pop(user, None)

    def add_key(
        self, user: UserName, *, age_days: float = 0, status: KeyStatus = KeyStatus.ACTIVE, by: str = ""
    ) -> KeyPair:
        """Make a key, as someone with a console would; no quota holds them back."""
        self.numbered += 1
        number = self.numbered
        key = AccessKey(
            id=AccessKeyId(f"AKIA{number:016d}"),
            status=status,
            status_word=status.value,
            created=self.clock.now() - timedelta(days=age_days),
            last_use=LastUse(evidence=Evidence.NEVER),
        )
        self.users[user][key.id] = key
        self.values[key.id] = Secret(f"secret-of-{key.id}")
        self.makers[key.id] = by
        self.remember(user)
        return KeyPair(id=key.id, secret=self.values[key.id])

    def find(self, key: AccessKeyId) -> tuple[UserName, AccessKey] | None:
        """Find a key and its user."""
        return next(((user, keys[key]) for user, keys in self.users.items() if key in keys), None)

    def change(self, key: AccessKeyId, **changes: Any) -> None:
        """Change a key behind keyrota's back."""
        found = self.find(key)
        if found is None:
            raise KeyError(key)
        self.users[found[0]][key] = replace(found[1], **changes)
        if "status" in changes:
            self.switched[key] = self.clock.now()
            if changes["status"] is KeyStatus.ACTIVE:
                self.off_since.pop(key, None)
            else:
                self.off_since.setdefault(key, self.clock.now())
            self.remember(found[0])

    def remove_key(self, user: UserName, key: AccessKeyId) -> None:
        """Delete a key; a key that is gone is gone."""
        self.users[user].pop(key, None)
        self.remember(user)

    def remember(self, user: UserName) -> None:
        """Keep the list of keys as it is now, for those who will be shown an old one."""
        now, past = self.clock.now(), self._past.setdefault(user, [])
        past.append((now, tuple(self.users[user].values())))
        while len(past) > 1 and past[1][0] < now - _REMEMBERED:
            past.pop(0)

    def list_keys(self, user: UserName) -> tuple[AccessKey, ...]:
        """
        Return the user's keys as IAM shows them.

        Raises:
            NotThere: There is no such user.
        """
        if user not in self.users:
            raise NotThere(f"the IAM user {user} does not exist", remedy="correct `user`")
        keys, lag = tuple(self.users[user].values()), self.lags.draw_list_lag() if self.lags else timedelta()
        if lag:
            at = self.clock.now() - lag
            past = self._past.get(user, [])
            keys = next((keys for then, keys in reversed(past) if then <= at), past[0][1] if past else ())
        return tuple(replace(key, last_use=_NOT_IN_LISTS) for key in keys)

    def refusal(self, pair: KeyPair | None) -> str:
        """Say why AWS does not accept a pair at this moment; empty if it does."""
        if pair is None:
            return "no pair"
        found = self.find(pair.id)
        if pair.secret != self.values.get(pair.id):
            return "torn pair"
        if found is None:
            return "dead key"
        age = self.clock.now() - found[1].created
        if not (self.lags.is_usable(pair.id, age) if self.lags else age >= self.propagation):
            return "not yet usable"
        if found[1].status is KeyStatus.ACTIVE:
            return ""
        since = self.off_since.get(pair.id)
        is_still = since is not None and self.lags is not None and self.clock.now() - since < self.lags.off()
        return "" if is_still else "dead key"

    def use(self, pair: KeyPair | None, *, service: str = "s3", region: str = "eu-central-1") -> bool:
        """Use a pair as a pipeline does; tell whether AWS accepts it."""
        if pair is None or self.refusal(pair):
            return False
        used = LastUse(evidence=Evidence.USED, at=self.clock.now(), service=service, region=region)
        self.change(pair.id, last_use=used)
        self.uses.setdefault(pair.id, []).append(used)
        return True

    def show_use(self, key: AccessKeyId) -> LastUse:
        """Return the last use of a key as IAM shows it."""
        found = self.find(key)
        if found is None or key in self.unreadable_use:
            return LastUse(evidence=Evidence.UNKNOWN, why="the read was throttled")
        lag = self.lags.last_use() if self.lags else timedelta()
        if not lag:
            return found[1].last_use
        at = self.clock.now() - lag
        uses = reversed(self.uses.get(key, ()))
        return next((use for use in uses if use.at and use.at <= at), LastUse(evidence=Evidence.NEVER))

    def deploy(self, address: str) -> bool:
        """Run a pipeline with what a target holds."""
        return self.use(self.places[address].pair)

    def secret(self, name: str) -> StoredSecret | None:
        """Find a secret; the end of its recovery window is its end."""
        stored = self.secrets.get(name)
        if stored is not None and stored.gone_at is not None and self.clock.now() >= stored.gone_at:
            del self.secrets[name]
            return None
        return stored

    def show_secret(self, name: str) -> StoredSecret | None:
        """Find a secret as Secrets Manager shows it, which may be as it was some seconds ago."""
        stored, lag = self.secret(name), self.lags.secret() if self.lags else timedelta()
        self.shown_as_of = self.clock.now() - lag
        shown = self._past_secrets.show(name, stored, self.shown_as_of) if lag else stored
        self.is_shown_old = shown is not stored
        return shown

    def show_listed_secret(self, name: str) -> StoredSecret | None:
        """Find a secret as a list of all of them shows it, which may be as it was some minutes ago."""
        stored, lag = self.secret(name), self.lags.draw_secrets_lag() if self.lags else timedelta()
        return self._past_secrets.show(name, stored, self.clock.now() - lag) if lag else stored

    def remember_secret(self, name: str) -> None:
        """Keep a secret as it is now, for those who will be shown an old one."""
        self._past_secrets.note(name, self.secrets.get(name), self.clock.now())

    def make_secret(self, name: str, tags: Mapping[str, str] | None = None) -> StoredSecret:
        """Make a secret without a value, as Terraform does."""
        self._past_secrets.note_birth(name)
        self.secrets[name] = StoredSecret(versions={}, tags=dict(tags or {}), changed_at=self.clock.now())
        self.remember_secret(name)
        return self.secrets[name]

    def begin_rotation(self, name: str, token: str) -> VersionId:
        """Begin a rotation as Secrets Manager does: AWSPENDING on a version that has no value yet."""
        stored, version = self.secrets[name], VersionId(token)
        stored.rotates_itself = True
        for other in stored.versions.values():
            other.labels -= {AWSPENDING}
        empty = Version(labels=set(), made_at=self.clock.now(), is_empty=True)
        stored.versions.setdefault(version, empty).labels.add(AWSPENDING)
        return version

    def person_puts(
        self,
        name: str,
        pair: KeyPair | None,
        fields: Mapping[str, str] | None = None,
        *,
        is_broken: bool = False,
        labels: Collection[str] = (AWSCURRENT,),
    ) -> VersionId:
        """Store a value as someone with a console would: it becomes AWSCURRENT, or wears the labels they name."""
        self.numbered += 1
        version = VersionId(f"by-hand-{self.numbered:024d}")
        stored = self.secret(name) or self.make_secret(name)
        made = Version(labels=set(labels), pair=pair, fields=dict(fields or {}), is_broken=is_broken)
        stored.put(version, made, self.clock.now())
        self.remember_secret(name)
        return version

    def person_moves_label(self, name: str, label: str, to: VersionId | None) -> None:
        """Move a label, or take it off, naming the version that wears it."""
        stored = self.secrets[name]
        stored.move(label, to=to, remove_from=stored.find_labelled(label), now=self.clock.now())
        self.remember_secret(name)

    def person_tags(self, name: str, tags: Mapping[str, str]) -> None:
        """Set tags, as someone with a console would."""
        stored = self.secrets[name]
        stored.tags.update(tags)
        stored.changed_at = self.clock.now()
        self.remember_secret(name)

    def person_untags(self, name: str, key: str) -> None:
        """Take a tag off; one that is not there is no error."""
        stored = self.secrets[name]
        stored.tags.pop(key, None)
        stored.changed_at = self.clock.now()
        self.remember_secret(name)

    def person_deletes_secret(self, name: str, *, days: int = RECOVERY_DAYS, is_forced: bool = False) -> None:
        """Schedule a secret's deletion (DeleteSecret), or delete it without a way back."""
        if is_forced:
            self.secrets.pop(name, None)
            self.remember_secret(name)
            return
        stored = self.secrets[name]
        stored.deleted_at = stored.gone_at = self.clock.now() + timedelta(days=days)
        self.remember_secret(name)

    def person_restores_secret(self, name: str) -> None:
        """Cancel the deletion (RestoreSecret): all versions, labels and tags are as they were."""
        stored = self.secret(name)
        if stored is None:
            raise NotThere(f"the secret {name} does not exist")
        stored.deleted_at = stored.gone_at = None
        self.remember_secret(name)

    def person_sets(self, address: str, pair: KeyPair | None) -> None:
        """Change the variables of a place as someone with a browser would."""
        place = self.places[address]
        place.pair, place.by_hand, place.torn_since, place.half = pair, True, None, ""
        place.changed_at, place.was_ahead = self.clock.now(), place.clock_ahead

    def place_at(self, address: str) -> Variables:
        """Make a place, as someone with a browser would; what had this name keeps its own number."""
        self.placed += 1
        self.places[address] = Variables(number=self.placed)
        return self.places[address]

    def person_renames(self, address: str, to: str) -> None:
        """Give a place another name; the old one leads to it until something else has it."""
        self.places[to] = self.places[address]

    @staticmethod
    def move_current(stored: StoredSecret, to: VersionId) -> None:
        """Move AWSCURRENT; AWSPREVIOUS goes to where it was."""
        stored.move(AWSCURRENT, to=to, remove_from=stored.find_labelled(AWSCURRENT), now=stored.changed_at)

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
