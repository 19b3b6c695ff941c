"""
The same calls on both sides: the world in memory, and the real adapters over moto behind the strict layer.

IDs differ between the sides, so each side gives every key and version the name under which the test knows it, and
answers are told in those names. Moments are compared roughly: moto lives in a clock that ticks.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from aws_rig import client

from keyrota.aws.account import Account
from keyrota.aws.iam import IamAccessKeys
from keyrota.aws.secretsmanager import SecretsManagerStore
from keyrota.aws.sts import StsIdentity
from keyrota.core.model import (
    AWSCURRENT,
    AccessKey,
    AccessKeyId,
    Claim,
    CreatedKey,
    KeyPair,
    KeyStatus,
    LastUse,
    SecretState,
    UserName,
    VersionId,
)
from keyrota.core.secret import Secret
from keyrota.errors import KeyrotaError
from keyrota.ports import AccessKeys, Identity, SecretStore
from keyrota_sandbox.cloud import REGION, Cloud
from keyrota_sandbox.memory import World

STEP = timedelta(minutes=11)
"""Time between two calls; so long that the seconds which a call takes here do not count."""
SAME = timedelta(minutes=3)
PROPAGATION = timedelta(minutes=28)
"""A new key is refused for so long, on both sides: for two calls."""


@dataclass(frozen=True, slots=True)
class Moment:
    """An instant, equal to one that is moments away."""

    at: datetime

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Moment) and abs(self.at - other.at) < SAME

    __hash__ = None  # type: ignore[assignment]  # near moments would need one bucket


class Hands(Protocol):
    """What people do with a console."""

    def make_user(self, user: UserName) -> None: ...
    def delete_user(self, user: UserName) -> None: ...
    def make_key(self, user: UserName) -> KeyPair: ...
    def set_status(self, user: UserName, key: AccessKeyId, status: KeyStatus) -> None: ...
    def delete_key(self, user: UserName, key: AccessKeyId) -> None: ...
    def quarantine(self, user: UserName, arn: str) -> None: ...
    def make_secret(self, name: str, tags: Mapping[str, str]) -> None: ...
    def put(self, name: str, value: Value, labels: Sequence[str]) -> VersionId: ...
    def update(self, name: str, value: Value) -> VersionId: ...
    def move_label(self, name: str, label: str, to: VersionId | None) -> None: ...
    def begin_rotation(self, name: str, token: str) -> VersionId: ...
    def tag(self, name: str, tags: Mapping[str, str]) -> None: ...
    def untag(self, name: str, key: str) -> None: ...
    def delete_secret(self, name: str, days: int, *, is_forced: bool) -> None: ...
    def restore_secret(self, name: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Value:
    """What a person stores: a pair beside fields, or what is no JSON object."""

    pair: KeyPair | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    is_broken: bool = False

    def text(self) -> str:
        """Write it as people do."""
        if self.is_broken:
            return "no JSON"
        pair = self.pair
        mine = {"AWS_ACCESS_KEY_ID": pair.id, "AWS_SECRET_ACCESS_KEY": pair.secret.reveal()} if pair else {}
        return json.dumps({**self.fields, **mine}, ensure_ascii=False)


@dataclass(slots=True)
class Side:
    """One side: its ports, its people, and its names."""

    access_keys: AccessKeys
    store: SecretStore
    identity: Identity
    hands: Hands
    calls: Callable[[], Sequence[str]]
    """Names the calls that were made so far."""
    ids: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, Secret] = field(default_factory=dict)

    def know(self, name: str, own: str) -> None:
        """Name a key or a version."""
        self.ids[name], self.names[own] = own, name

    def key(self, name: str) -> AccessKeyId:
        """Find a key; one that neither side has is called as it is."""
        return AccessKeyId(self.ids.get(name, name))

    def version(self, name: str) -> VersionId:
        """Find a version."""
        return VersionId(self.ids.get(name, name))

    def pair(self, name: str) -> KeyPair:
        """Find a key with its secret."""
        return KeyPair(id=self.key(name), secret=self.secrets[name])

    def learn_pair(self, name: str, pair: KeyPair) -> str:
        """Name a key and remember its secret."""
        self.know(name, pair.id)
        self.secrets[name] = pair.secret
        return name

    def told(self, answer: Any) -> Any:  # noqa: PLR0911  # a table in the form of code
        """Return an answer in the names of the test."""
        match answer:
            case str():
                return self.renamed(answer)
            case datetime():
                return Moment(answer)
            case Secret():
                return self._told_fields(json.loads(answer.reveal()))
            case KeyPair(id=key, secret=secret):
                return ("pair", self.told(key), self.secrets.get(self.told(key)) == secret)
            case CreatedKey(credential=pair, created=created):
                return ("created", self.told(pair), Moment(created))
            case AccessKey():
                return (self.told(answer.id), answer.status, answer.status_word, Moment(answer.created))
            case LastUse():
                return (answer.evidence, answer.service, answer.region, self.told(answer.at))
            case SecretState():
                return self._told_state(answer)
            case Claim():
                seen = sorted(self.told(key) for key in answer.keys_seen)
                return (self.told(answer.version), answer.run, answer.at, answer.lease_until, seen)
            case tuple() | list():
                return [self.told(one) for one in answer]
        return answer

    def _told_fields(self, fields: dict[str, Any]) -> list[Any]:
        """Fields have an order; the keys of a claim, sorted by IDs, are sorted by their names here."""
        return [(name, sorted(self.told(value)) if name == "keys_seen" else value) for name, value in fields.items()]

    def _told_state(self, state: SecretState) -> dict[str, Any]:
        return {
            "versions": {
                self.told(version.id): sorted(self.told(label) for label in version.labels)
                for version in state.versions
            },
            "tags": {key: self.told(value) for key, value in state.tags},
            "deleted": self.told(state.deleted_at),
            "changed": self.told(state.changed_at),
            "rotates": state.rotates_itself,
        }

    def renamed(self, text: str) -> str:
        """Write the test's names for a side's own IDs."""
        if text in self.names:
            return self.names[text]
        for own, name in self.names.items():
            text = text.replace(own, name)
        return text

    def outcome(self, call: Callable[[Side], Any]) -> tuple[Any, ...]:
        """Make a call and tell what came of it, the requests that it took included."""
        before = len(self.calls())
        try:
            told: tuple[Any, ...] = ("answer", self.told(call(self)))
        except KeyrotaError as error:
            told = ("error", type(error).__name__, "restore-secret" in error.remedy)
        return (*told, _once(self.calls()[before:]) if told[0] == "error" else list(self.calls()[before:]))


def _once(requests: Sequence[str]) -> list[str]:
    """A request that is refused may be repeated: to the SDK, a quota that is used up (LimitExceeded…) is throttling."""
    return [request for request, _ in itertools.groupby(requests)]


# --- the world ------------------------------------------------------------------------------------------------------


class WorldHands:
    """People in the world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def make_user(self, user: UserName) -> None:
        self._world.add_user(user)

    def delete_user(self, user: UserName) -> None:
        self._world.delete_user(user)

    def make_key(self, user: UserName) -> KeyPair:
        return self._world.add_key(user)

    def set_status(self, user: UserName, key: AccessKeyId, status: KeyStatus) -> None:
        assert user in self._world.users
        self._world.change(key, status=status, status_word=status.value)

    def delete_key(self, user: UserName, key: AccessKeyId) -> None:
        self._world.remove_key(user, key)

    def quarantine(self, user: UserName, arn: str) -> None:
        self._world.quarantine[user] = (*self._world.quarantine.get(user, ()), arn)

    def make_secret(self, name: str, tags: Mapping[str, str]) -> None:
        self._world.make_secret(name, tags)

    def put(self, name: str, value: Value, labels: Sequence[str]) -> VersionId:
        return self._world.person_puts(name, value.pair, value.fields, is_broken=value.is_broken, labels=labels)

    def update(self, name: str, value: Value) -> VersionId:
        return self._world.person_puts(name, value.pair, value.fields, is_broken=value.is_broken)

    def move_label(self, name: str, label: str, to: VersionId | None) -> None:
        self._world.person_moves_label(name, label, to)

    def begin_rotation(self, name: str, token: str) -> VersionId:
        return self._world.begin_rotation(name, token)

    def tag(self, name: str, tags: Mapping[str, str]) -> None:
        self._world.person_tags(name, tags)

    def untag(self, name: str, key: str) -> None:
        self._world.person_untags(name, key)

    def delete_secret(self, name: str, days: int, *, is_forced: bool) -> None:
        self._world.person_deletes_secret(name, days=days, is_forced=is_forced)

    def restore_secret(self, name: str) -> None:
        self._world.person_restores_secret(name)


def world_side(world: World) -> Side:
    """Take the world as one side."""
    return Side(
        access_keys=world.access_keys,
        store=world.store,
        identity=world.identity,
        hands=WorldHands(world),
        calls=lambda: world.journal,
    )


# --- moto -----------------------------------------------------------------------------------------------------------


class CloudHands:
    """People in the embedded cloud, as they would ask AWS."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._iam = client(cloud, "iam")
        self._sm = client(cloud, "secretsmanager")
        self._policies = itertools.count()

    def make_user(self, user: UserName) -> None:
        self._iam.create_user(UserName=user)

    def delete_user(self, user: UserName) -> None:
        for key in self._iam.list_access_keys(UserName=user)["AccessKeyMetadata"]:
            self._iam.delete_access_key(UserName=user, AccessKeyId=key["AccessKeyId"])
        for policy in self._iam.list_attached_user_policies(UserName=user)["AttachedPolicies"]:
            self._iam.detach_user_policy(UserName=user, PolicyArn=policy["PolicyArn"])
        for policy in self._iam.list_user_policies(UserName=user)["PolicyNames"]:
            self._iam.delete_user_policy(UserName=user, PolicyName=policy)
        self._iam.delete_user(UserName=user)

    def make_key(self, user: UserName) -> KeyPair:
        made = self._iam.create_access_key(UserName=user)["AccessKey"]
        return KeyPair(id=AccessKeyId(made["AccessKeyId"]), secret=Secret(made["SecretAccessKey"]))

    def set_status(self, user: UserName, key: AccessKeyId, status: KeyStatus) -> None:
        self._iam.update_access_key(UserName=user, AccessKeyId=key, Status=status.value)

    def delete_key(self, user: UserName, key: AccessKeyId) -> None:
        self._iam.delete_access_key(UserName=user, AccessKeyId=key)

    def quarantine(self, user: UserName, arn: str) -> None:
        assert self._cloud.admin.quarantine(user) == arn

    def make_secret(self, name: str, tags: Mapping[str, str]) -> None:
        self._sm.create_secret(Name=name, Tags=[{"Key": key, "Value": value} for key, value in tags.items()])

    def put(self, name: str, value: Value, labels: Sequence[str]) -> VersionId:
        made = self._sm.put_secret_value(SecretId=name, SecretString=value.text(), VersionStages=list(labels))
        return VersionId(made["VersionId"])

    def update(self, name: str, value: Value) -> VersionId:
        return VersionId(self._sm.update_secret(SecretId=name, SecretString=value.text())["VersionId"])

    def move_label(self, name: str, label: str, to: VersionId | None) -> None:
        found = self._sm.describe_secret(SecretId=name).get("VersionIdsToStages", {})
        wearing = next((version for version, labels in found.items() if label in labels), None)
        where = {"RemoveFromVersionId": wearing, "MoveToVersionId": to}
        self._sm.update_secret_version_stage(
            SecretId=name, VersionStage=label, **{key: value for key, value in where.items() if value}
        )

    def begin_rotation(self, name: str, token: str) -> VersionId:
        """Do what RotateSecret does before it calls the function; moto would make the version AWSCURRENT."""
        from moto.secretsmanager.models import secretsmanager_backends  # noqa: PLC0415  # an extra

        secret = secretsmanager_backends[self._cloud.admin.account_id][REGION].secrets[name]
        secret.remove_version_stages_from_old_versions(["AWSPENDING"])
        empty = {"version_id": token, "version_stages": [], "createdate": int(self._cloud.clock.now().timestamp())}
        secret.versions.setdefault(token, empty)["version_stages"].append("AWSPENDING")
        secret.rotation_requested = secret.rotation_enabled = True
        return VersionId(token)

    def tag(self, name: str, tags: Mapping[str, str]) -> None:
        self._sm.tag_resource(SecretId=name, Tags=[{"Key": key, "Value": value} for key, value in tags.items()])

    def untag(self, name: str, key: str) -> None:
        self._sm.untag_resource(SecretId=name, TagKeys=[key])

    def delete_secret(self, name: str, days: int, *, is_forced: bool) -> None:
        how: dict[str, Any] = {"ForceDeleteWithoutRecovery": True} if is_forced else {"RecoveryWindowInDays": days}
        self._sm.delete_secret(SecretId=name, **how)

    def restore_secret(self, name: str) -> None:
        self._sm.restore_secret(SecretId=name)


def cloud_side(cloud: Cloud, account: Account) -> Side:
    """Take the real adapters over moto as the other side."""
    return Side(
        access_keys=IamAccessKeys(account),
        store=SecretsManagerStore(account),
        identity=StsIdentity(account),
        hands=CloudHands(cloud),
        # how IAM spells the name of a user without keys is asked of AWS alone: the world knows one spelling
        calls=lambda: [call.operation for call in cloud.aws.journal if call.operation != "iam:GetUser"],
    )


# --- both -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Both:
    """Both sides in one time."""

    cloud: Cloud
    world: World
    here: Side
    there: Side
    calls: int = 0

    def call(self, call: Callable[[Side], Any]) -> tuple[Any, ...]:
        """Make a port's call on both sides; the answers must be the same."""
        self.tick(STEP)
        here, there = self.here.outcome(call), self.there.outcome(call)
        assert here == there, f"\nthe world: {here}\nmoto:      {there}"
        self.calls += 1
        return here

    def by_hand(self, do: Callable[[Side], Any]) -> tuple[Any, Any]:
        """Let a person do something on both sides."""
        self.tick(STEP)
        return do(self.here), do(self.there)

    def tick(self, span: timedelta) -> None:
        """Let time pass on both sides."""
        self.cloud.clock.travel(span)
        self.world.clock.instant = self.cloud.clock.now()

    def version(self, name: str, made: tuple[VersionId, VersionId]) -> str:
        """Name a version."""
        for side, own in zip((self.here, self.there), made, strict=True):
            side.know(name, own)
        return name


def both_sides(cloud: Cloud, account: Account) -> Both:
    """Begin with nothing on either side."""
    cloud.aws.reset()
    world = World()
    world.propagation = cloud.aws.propagation = PROPAGATION
    world.clock.instant = cloud.clock.now().astimezone(UTC)
    return Both(cloud=cloud, world=world, here=world_side(world), there=cloud_side(cloud, account))


CURRENT_ONLY = (AWSCURRENT,)
