"""
A secret with its versions: what Secrets Manager does to them, and what it refuses.

Refusals are those of the port SecretStore, as the adapter translates them. That the answers are AWS's is held against
moto and against botocore's service model by tests/simulation/test_parity.py.

Source: Secrets Manager API Reference, PutSecretValue and UpdateSecretVersionStage; docs/facts/aws.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from keyrota.core.model import AWSCURRENT, AWSPENDING, AWSPREVIOUS, Claim, KeyPair, VersionId
from keyrota.errors import LostRace, ProviderRefused

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)

MAX_LABELS = 20
"""Staging labels attached across all versions of a secret."""
MAX_TAGS = 50
"""Tags of a secret (AWS General Reference, tag quotas)."""
MAX_VERSIONS = 100
"""About so many versions a secret has at most."""
KEPT = timedelta(days=1)
"""A version without a label lives so long at least. Secrets Manager may remove it from then on; here, it does."""
MAX_VALUE_BYTES = 65_536
"""Characters of a version's value."""
SHORTEST_TOKEN, LONGEST_TOKEN = 32, 64
"""Characters of a ClientRequestToken, and so of a version's ID."""
MAX_TAG_KEY_LENGTH, MAX_TAG_VALUE_LENGTH = 128, 256
_TAG = re.compile(r"[\w \t_.:/=+\-@]*")


@dataclass(slots=True)
class Version:
    """A version of the secret with its value."""

    labels: set[str]
    pair: KeyPair | None = None
    claim: Claim | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    made_at: datetime = LONG_AGO
    is_broken: bool = False
    """Someone stored what is no JSON object."""
    is_empty: bool = False
    """It has an ID and a label, and no value: what Secrets Manager's own rotation begins with."""

    def is_same_value(self, other: Version) -> bool:
        """Return whether both hold the same text: the same fields in the same order, too."""
        mine, theirs = list(self.fields.items()), list(other.fields.items())
        return (self.pair, self.claim, self.is_broken, mine) == (other.pair, other.claim, other.is_broken, theirs)

    @property
    def size(self) -> int:
        """Count the characters of its JSON as the adapter writes it; a person's may be shorter or longer."""
        return len(json.dumps(self.fields | _name_fields(self.pair)))

    def is_deprecated(self, now: datetime) -> bool:
        """Return whether Secrets Manager may remove it."""
        return not self.labels and now - self.made_at > KEPT


@dataclass(slots=True)
class StoredSecret:
    """A secret."""

    versions: dict[VersionId, Version]
    tags: dict[str, str]
    changed_at: datetime
    deleted_at: datetime | None = None
    """DeletedDate, while it is scheduled for deletion."""
    gone_at: datetime | None = None
    """The end of its recovery window: nothing is left of it from then on."""
    rotates_itself: bool = False
    resource_policy: str | None = None
    kms_key: str = ""

    def find_labelled(self, label: str) -> VersionId | None:
        """Name the version that a label is on."""
        return next((version for version, content in self.versions.items() if label in content.labels), None)

    def put(self, version: VersionId, content: Version, now: datetime) -> None:
        """
        Make a version (PutSecretValue); its ID is the ClientRequestToken. A label comes off wherever it was.

        Raises:
            LostRace: That token has another value. With the same one, nothing happens at all, to labels neither.
            ProviderRefused: The token is too long, or a quota of the secret is used up.
        """
        before = self.versions.get(version)
        is_awaited = before is not None and before.is_empty and AWSPENDING in before.labels
        if before is not None and not is_awaited:
            if before.is_empty or not before.is_same_value(content):
                raise LostRace(f"the version {version} has another content")
            return
        if len(version) > LONGEST_TOKEN:
            raise ProviderRefused(f"a ClientRequestToken has at most {LONGEST_TOKEN} characters")
        labels = content.labels if self.versions else content.labels | {AWSCURRENT}
        self._check_quotas(labels, is_new=before is None, now=now)
        self._remove_deprecated(now)
        current = self.find_labelled(AWSCURRENT)
        for other in self.versions.values():
            other.labels -= labels
        if AWSCURRENT in labels and current is not None:
            self._set_previous(current)
        content.labels, content.made_at = set(labels), now
        self.versions[version] = content
        self.changed_at = now

    def move(self, label: str, *, to: VersionId | None, remove_from: VersionId | None, now: datetime) -> None:
        """
        Move a label (UpdateSecretVersionStage), if it is where it was seen.

        Raises:
            LostRace: It is not; or the version is gone; or AWSCURRENT would be nowhere.
            ProviderRefused: There are too many labels.
        """
        wearing = self.find_labelled(label)
        if to is not None and to not in self.versions:
            raise LostRace(f"there is no version {to} for {label}")
        if label == AWSCURRENT and to is None:
            raise LostRace(f"{AWSCURRENT} can be moved, not removed")
        seen = None if remove_from == to else remove_from  # as the adapter asks: it names no version twice
        if wearing != seen and (seen is not None or wearing != to):
            raise LostRace(f"{label} is on {wearing}, not on {remove_from}")
        if to == wearing:
            return
        self._check_quotas({label} if to else set(), is_new=False, now=now)
        if wearing is not None:
            self.versions[wearing].labels.discard(label)
        if to is not None:
            self.versions[to].labels.add(label)
        if label == AWSCURRENT and wearing is not None:
            self._set_previous(wearing)
        self.changed_at = now

    def _set_previous(self, version: VersionId) -> None:
        """AWSPREVIOUS follows AWSCURRENT by itself."""
        for other in self.versions.values():
            other.labels.discard(AWSPREVIOUS)
        self.versions[version].labels.add(AWSPREVIOUS)

    def _check_quotas(self, labels: set[str], *, is_new: bool, now: datetime) -> None:
        worn = labels.union(*(content.labels for content in self.versions.values()))
        if len(worn) > MAX_LABELS:
            raise ProviderRefused(f"a secret has at most {MAX_LABELS} staging labels, across all its versions")
        kept = sum(not content.is_deprecated(now) for content in self.versions.values())
        if is_new and kept >= MAX_VERSIONS:
            raise ProviderRefused(f"a secret has at most {MAX_VERSIONS} versions, and keeps those of the last 24 hours")

    def _remove_deprecated(self, now: datetime) -> None:
        for version in [name for name, content in self.versions.items() if content.is_deprecated(now)]:
            del self.versions[version]


def check_tags(tags: Mapping[str, str], there: Mapping[str, str] | None = None) -> None:
    """
    Look at the characters, the lengths and the number of tags, with those that are there.

    Raises:
        ProviderRefused: Secrets Manager would not take them.
    """
    if len({*tags, *(there or {})}) > MAX_TAGS:
        raise ProviderRefused(f"a secret has at most {MAX_TAGS} tags")
    for key, value in tags.items():
        is_legal = _TAG.fullmatch(key) and _TAG.fullmatch(value)
        if not is_legal or not 1 <= len(key) <= MAX_TAG_KEY_LENGTH or len(value) > MAX_TAG_VALUE_LENGTH:
            raise ProviderRefused("a tag has characters or a length that are not allowed")


def _name_fields(pair: KeyPair | None) -> dict[str, str]:
    return {"AWS_ACCESS_KEY_ID": pair.id, "AWS_SECRET_ACCESS_KEY": pair.secret.reveal()} if pair else {}
