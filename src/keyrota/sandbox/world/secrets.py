"""Secrets Manager as the world has it (FACTS-AWS.md, 2.2 and 2.3)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta

from keyrota.core.model import (
    AWSCURRENT,
    AWSPENDING,
    CLAIM,
    PENDING,
    PLACEHOLDER,
    Claim,
    Credential,
    SecretState,
    SecretVersion,
    VersionId,
)
from keyrota.core.secret import Secret
from keyrota.errors import LostRace, NotThere, ProviderRefused, SecretUnusable
from keyrota.sandbox.world.contents import StoredSecret, Version
from keyrota.sandbox.world.sts import ACCOUNT
from keyrota.sandbox.world.view import View

_KEPT = timedelta(days=1)
"""A version without a label lives so long at least; here, no longer."""
_LABELS = 20
"""Staging labels a version."""


class WorldSecrets(View):
    """Secrets Manager, behind the port SecretStore."""

    def _get(self, name: str) -> StoredSecret:
        stored = self._world.secrets.get(name)
        if stored is None:
            raise NotThere(f"the secret {name} does not exist")
        if stored.deleted_at:
            raise ProviderRefused(f"the secret {name} is scheduled for deletion")
        return stored

    def _version(self, name: str, version: VersionId) -> Version:
        found = self._get(name).versions.get(version)
        if found is None:
            raise NotThere(f"the secret {name} has no version {version}")
        if found.is_broken:
            raise SecretUnusable(f"the version {version} of {name} is no JSON object")
        return found

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

        return self._call("secretsmanager:DescribeSecret", effect, name)

    def create(self, name: str, tags: Mapping[str, str]) -> None:
        """Make the secret with its placeholder."""

        def effect() -> None:
            version = VersionId("placeholder-0000000000000000000000000000")
            now = self._world.clock.now()
            stored = self._world.secrets.setdefault(name, StoredSecret(versions={}, tags=dict(tags), changed_at=now))
            if not stored.versions:
                stored.versions[version] = Version(labels={AWSCURRENT, PLACEHOLDER}, made_at=now)

        self._call("secretsmanager:CreateSecret", effect, name)

    def read(self, name: str, version: VersionId) -> Credential | None:
        """Return the pair of a version."""

        def effect() -> Credential | None:
            return self._version(name, version).pair

        return self._call("secretsmanager:GetSecretValue", effect, name)

    def current(self, name: str) -> tuple[VersionId, Credential]:
        """Return AWSCURRENT."""

        def effect() -> tuple[VersionId, Credential]:
            for version, content in self._get(name).versions.items():
                if AWSCURRENT in content.labels and (pair := self._version(name, version).pair) is not None:
                    return version, pair
            raise ProviderRefused(f"AWSCURRENT of {name} holds no pair")

        return self._call("secretsmanager:GetSecretValue", effect, name)

    def claim(self, name: str) -> Claim | None:
        """Return the content of the claim."""

        def effect() -> Claim | None:
            contents = self._get(name).versions.values()
            return next((content.claim for content in contents if CLAIM in content.labels), None)

        return self._call("secretsmanager:GetSecretValue", effect, name)

    def _put(self, name: str, version: VersionId, content: Version) -> None:
        stored = self._get(name)
        before = stored.versions.get(version)
        is_empty = before is not None and before.pair is None and before.labels == {AWSPENDING}
        if before is not None and not is_empty:
            if (before.pair, before.claim) != (content.pair, content.claim):
                raise LostRace(f"the version {version} has another content")
            return
        now = self._world.clock.now()
        for other in stored.versions.values():
            other.labels -= content.labels
        for old, other in tuple(stored.versions.items()):
            if not other.labels and now - other.made_at > _KEPT:
                del stored.versions[old]
        content.made_at = now
        stored.versions[version] = content
        stored.changed_at = now

    def put_claim(self, name: str, claim: Claim) -> None:
        """Store the claim."""
        content = Version(labels={CLAIM}, claim=claim)
        self._call(
            "secretsmanager:PutSecretValue",
            lambda: self._put(name, claim.version, content),
            f"{CLAIM} {claim.version} by {claim.run}",
        )

    def other_fields(self, name: str, version: VersionId) -> Secret:
        """Return the user's own fields."""

        def effect() -> Secret:
            return Secret(json.dumps(self._version(name, version).fields))

        return self._call("secretsmanager:GetSecretValue", effect, name)

    def put_pending(self, name: str, version: VersionId, credential: Credential, *, beside: Secret) -> None:
        """Store a new pair."""

        def effect() -> None:
            content = Version(labels={PENDING, credential.id}, pair=credential, fields=json.loads(beside.reveal()))
            self._put(name, version, content)

        self._call("secretsmanager:PutSecretValue", effect, f"{credential.id} {version}")

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
            content = Version(labels={AWSPENDING, credential.id}, pair=credential, fields=json.loads(beside.reveal()))
            self._put(name, version, content)

        self._call("secretsmanager:PutSecretValue", effect, f"{credential.id} {version}")

    def move_label(self, name: str, label: str, *, to: VersionId | None, remove_from: VersionId | None) -> None:
        """Compare and swap a label."""

        def effect() -> None:
            stored = self._get(name)
            wearing = next((version for version, content in stored.versions.items() if label in content.labels), None)
            if wearing != remove_from:
                raise LostRace(f"{label} is on {wearing}, not on {remove_from}")
            if to is not None and to not in stored.versions:
                raise NotThere(f"the secret {name} has no version {to}")
            if to is not None and len(stored.versions[to].labels | {label}) > _LABELS:
                raise ProviderRefused(f"the version {to} would have more than {_LABELS} labels")
            if label == AWSCURRENT and to is not None:
                self._world.move_current(stored, to)
            else:
                if wearing is not None:
                    stored.versions[wearing].labels.discard(label)
                if to is not None:
                    stored.versions[to].labels.add(label)
            stored.changed_at = self._world.clock.now()

        self._call("secretsmanager:UpdateSecretVersionStage", effect, f"{label} from {remove_from} to {to}")

    def tag(self, name: str, tags: Mapping[str, str]) -> None:
        """Set tags, all of them with one call."""

        def effect() -> None:
            stored = self._get(name)
            stored.tags.update(tags)
            stored.changed_at = self._world.clock.now()

        self._call("secretsmanager:TagResource", effect, " ".join(f"{tag}={value}" for tag, value in tags.items()))
