"""Secrets Manager as the world has it (docs/facts/aws.md, Secrets Manager)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from keyrota.core.model import (
    AWSCURRENT,
    AWSPENDING,
    CLAIM,
    PENDING,
    PLACEHOLDER,
    Claim,
    KeyPair,
    SecretState,
    SecretVersion,
    VersionId,
    placeholder_token,
)
from keyrota.core.secret import Secret
from keyrota.core.variables import other_pair
from keyrota.errors import LostRace, NotThere, ProviderRefused, SecretUnusable
from keyrota_sandbox.memory.stored import (
    MAX_VALUE_BYTES,
    SHORTEST_TOKEN,
    StoredSecret,
    Version,
    check_tags,
)
from keyrota_sandbox.memory.sts import ACCOUNT, in_world
from keyrota_sandbox.memory.view import View

_USUAL = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_ROOM = len(json.dumps({"AWS_ACCESS_KEY_ID": "x" * 128, "AWS_SECRET_ACCESS_KEY": "x" * 128}))
"""Characters that a pair takes at most, as the adapter counts them before a key is made."""


class WorldSecrets(View):
    """Secrets Manager, behind the port SecretStore."""

    def _find(self, name: str) -> StoredSecret | None:
        return self._world.secret(in_world(self._account or ACCOUNT, name))

    def _get(self, name: str) -> StoredSecret:
        return self._usable(name, self._find(name))

    def _show(self, name: str) -> StoredSecret | None:
        return self._world.show_secret(in_world(self._account or ACCOUNT, name))

    def _usable(self, name: str, stored: StoredSecret | None) -> StoredSecret:
        if stored is None:
            raise NotThere(f"the secret {name} does not exist")
        if stored.deleted_at:
            raise ProviderRefused(
                f"the secret {name} is scheduled for deletion",
                remedy=f"aws secretsmanager restore-secret --secret-id {name}",
            )
        return stored

    def _read(self, name: str) -> StoredSecret:
        """Give a secret as Secrets Manager shows it."""
        return self._usable(name, self._show(name))

    def _version(self, name: str, version: VersionId, stored: StoredSecret) -> Version:
        found = stored.versions.get(version)
        if found is None or found.is_empty:
            raise NotThere(f"the secret {name} has no value for the version {version}")
        if found.is_broken:
            raise SecretUnusable(f"the version {version} of {name} is no JSON object")
        return found

    def describe(self, name: str) -> SecretState | None:
        """Return the secret without a value."""

        def effect() -> SecretState | None:
            stored = self._show(name)
            return None if stored is None else state_of(name, stored, self._account or ACCOUNT)

        return self._call("secretsmanager:DescribeSecret", effect, name)

    def resource_policy(self, name: str) -> str | None:
        """Return the secret's resource policy."""
        return self._call("secretsmanager:GetResourcePolicy", lambda: self._read(name).resource_policy, name)

    def create(self, name: str, tags: Mapping[str, str]) -> None:
        """Make the secret with its placeholder, then label that: the adapter's calls, one by one."""
        first = placeholder_token(name)
        try:
            self._call("secretsmanager:CreateSecret", lambda: self._create(name, tags, first), name)
        except ProviderRefused:
            state = self.describe(name)
            if state is None or state.deleted_at:
                raise
            if not state.versions:
                placeholder = Version(labels={AWSCURRENT})
                self._call(
                    "secretsmanager:PutSecretValue",
                    lambda: self._put(name, first, placeholder),
                    f"{AWSCURRENT} {first}",
                )
            elif not any(version.id == first for version in state.versions):
                raise
        known = self.describe(name)
        if not any(PLACEHOLDER in version.labels for version in (known.versions if known else ())):
            self.move_label(name, PLACEHOLDER, to=first, remove_from=None)

    def _create(self, name: str, tags: Mapping[str, str], first: VersionId) -> None:
        check_tags(tags)
        if self._find(name) is None:
            made = self._world.make_secret(in_world(self._account or ACCOUNT, name), tags)
            made.put(first, Version(labels={AWSCURRENT}), self._world.clock.now())
            self._remember(name)
            return
        born = self._get(name).versions.get(first)
        if born is None or not born.is_same_value(Version(labels=set())):
            raise ProviderRefused(f"the secret {name} exists")

    def read(self, name: str, version: VersionId) -> KeyPair | None:
        """Return the pair of a version."""
        _check_id(version)

        def effect() -> KeyPair | None:
            found = self._version(name, version, self._read(name))
            other = other_pair(found.fields, *_USUAL) if found.pair is None else None
            if other is not None:
                raise SecretUnusable(other.what, where=f"secret {name}", remedy=other.remedy)
            return found.pair

        return self._call("secretsmanager:GetSecretValue", effect, name)

    def current(self, name: str) -> tuple[VersionId, KeyPair]:
        """Return AWSCURRENT."""

        def effect() -> tuple[VersionId, KeyPair]:
            stored = self._read(name)
            current = stored.find_labelled(AWSCURRENT)
            if current is None:
                raise NotThere(f"no version of {name} is {AWSCURRENT}")
            pair = self._version(name, current, stored).pair
            if pair is None:
                raise SecretUnusable(f"{AWSCURRENT} of {name} holds no pair")
            return current, pair

        return self._call("secretsmanager:GetSecretValue", effect, name)

    def claim(self, name: str, version: VersionId | None = None) -> Claim | None:
        """Return the claim in force, or that of a version."""

        def effect() -> Claim | None:
            contents = self._read(name).versions
            if version is not None:
                return contents[version].claim if version in contents else None
            return next((content.claim for content in contents.values() if CLAIM in content.labels), None)

        try:
            return self._call("secretsmanager:GetSecretValue", effect, name)
        except NotThere:
            return None

    def _put(self, name: str, version: VersionId, content: Version) -> None:
        if content.size > MAX_VALUE_BYTES:
            raise ProviderRefused(f"a value has at most {MAX_VALUE_BYTES} characters")
        self._get(name).put(version, content, self._world.clock.now())
        self._remember(name)

    def _remember(self, name: str) -> None:
        self._world.remember_secret(in_world(self._account or ACCOUNT, name))

    def put_claim(self, name: str, claim: Claim) -> None:
        """Store the claim."""
        _check_id(claim.version)
        content = Version(labels={CLAIM}, claim=claim)
        self._call(
            "secretsmanager:PutSecretValue",
            lambda: self._put(name, claim.version, content),
            f"{CLAIM} {claim.version} by {claim.run}",
        )

    def other_fields(self, name: str, version: VersionId) -> Secret:
        """Return the user's own fields."""
        _check_id(version)

        def effect() -> Secret:
            found = self._version(name, version, self._read(name))
            text = json.dumps(_encode_claim(found.claim) if found.claim else found.fields)
            if len(text) + _ROOM > MAX_VALUE_BYTES:
                raise SecretUnusable(f"the secret {name} has no room for a pair")
            return Secret(text)

        return self._call("secretsmanager:GetSecretValue", effect, name)

    def put_pending(self, name: str, version: VersionId, credential: KeyPair, *, beside: Secret) -> None:
        """Store a new pair."""
        _check_id(version)

        def effect() -> None:
            content = Version(labels={PENDING, credential.id}, pair=credential, fields=json.loads(beside.reveal()))
            self._put(name, version, content)

        self._call("secretsmanager:PutSecretValue", effect, f"{credential.id} {version}")

    def put_restored(self, name: str, version: VersionId, credential: KeyPair, *, beside: Secret) -> None:
        """Store an older pair again."""
        _check_id(version)

        def effect() -> None:
            content = Version(labels={credential.id}, pair=credential, fields=json.loads(beside.reveal()))
            self._put(name, version, content)

        self._call("secretsmanager:PutSecretValue", effect, f"{credential.id} {version}")

    def put_rotating(
        self,
        name: str,
        version: VersionId,
        credential: KeyPair,
        *,
        beside: Secret,
        rotation_token: str | None,  # noqa: ARG002  # the port's signature
    ) -> None:
        """Store a new pair in the version of Secrets Manager's own rotation."""
        _check_id(version)

        def effect() -> None:
            content = Version(labels={AWSPENDING, credential.id}, pair=credential, fields=json.loads(beside.reveal()))
            self._put(name, version, content)

        self._call("secretsmanager:PutSecretValue", effect, f"{credential.id} {version}")

    def move_label(self, name: str, label: str, *, to: VersionId | None, remove_from: VersionId | None) -> None:
        """Compare and swap a label."""
        for named in filter(None, (to, remove_from)):
            _check_id(named)

        def effect() -> None:
            try:
                stored = self._get(name)
            except NotThere:
                raise LostRace(f"{label} is nowhere: the secret {name} does not exist") from None
            stored.move(label, to=to, remove_from=remove_from, now=self._world.clock.now())
            self._remember(name)

        self._call("secretsmanager:UpdateSecretVersionStage", effect, f"{label} from {remove_from} to {to}")

    def tag(self, name: str, tags: Mapping[str, str]) -> None:
        """Set tags, all of them with one call."""

        def effect() -> None:
            check_tags(tags)  # what a request says is judged before what it names is looked for
            stored = self._get(name)
            check_tags(tags, stored.tags)
            stored.tags.update(tags)
            stored.changed_at = self._world.clock.now()
            self._remember(name)

        self._call("secretsmanager:TagResource", effect, " ".join(f"{tag}={value}" for tag, value in tags.items()))


def state_of(name: str, stored: StoredSecret, account: str) -> SecretState:
    """Tell of a secret what DescribeSecret and ListSecrets tell: no value."""
    return SecretState(
        arn=f"arn:aws:secretsmanager:eu-central-1:{account}:secret:{name}-AbCdEf",
        name=name,
        versions=tuple(
            SecretVersion(id=version, labels=frozenset(content.labels))
            for version, content in sorted(stored.versions.items())
            if content.labels
        ),
        tags=tuple(stored.tags.items()),
        deleted_at=stored.deleted_at,
        changed_at=stored.changed_at,
        rotates_itself=stored.rotates_itself,
        other_kms_key=stored.kms_key,
    )


def _check_id(version: VersionId) -> None:
    """The SDK sends no ID that is too short for one."""
    if len(version) < SHORTEST_TOKEN:
        raise ProviderRefused(f"a version's ID has at least {SHORTEST_TOKEN} characters")


def _encode_claim(claim: Claim) -> dict[str, Any]:
    return {
        "run": claim.run,
        "at": claim.at.isoformat(),
        "lease_until": claim.lease_until.isoformat(),
        "keys_seen": sorted(claim.keys_seen),
    }
