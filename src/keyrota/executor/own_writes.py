"""
A run trusts what it wrote itself: Secrets Manager may answer for some seconds as if it had not been written.

Without that, a run would take the key that it has just stored for one that could not be stored, and delete it. Only
an answer that shows exactly what was there before our write is taken for an old one, and only for a short time: what
someone else wrote since then stands. Labels of our own, tags and the claim are put into such an answer. AWSCURRENT is
not, since people move it back: it is asked for again, until the answer is younger than our move or a minute has passed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

from keyrota.core.model import (
    AWSCURRENT,
    AWSPENDING,
    AWSPREVIOUS,
    CLAIM,
    PENDING,
    Claim,
    KeyPair,
    SecretState,
    SecretVersion,
    VersionId,
)
from keyrota.core.secret import Secret
from keyrota.errors import LostRace, NotThere
from keyrota.ports import Clock, SecretStore

T = TypeVar("T")

MAX_LAG = timedelta(seconds=60)
"""An answer may be so old; AWS names no figure, and seconds are what is seen."""
_AGAIN_S = 2.0
_TRIES = 40
"""More than come into that time: it ends by the clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moved:
    """A label that this run moved, or that came with a version that it wrote."""

    label: str
    before: VersionId | None
    to: VersionId | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tagged:
    """A tag that this run wrote."""

    key: str
    before: str | None
    value: str
    at: datetime


@dataclass(slots=True)
class OwnWrites:
    """A secret's store, as one run sees it: the port SecretStore, with the run's own writes in every answer."""

    store: SecretStore
    clock: Clock
    _shown: SecretState | None = None
    """The last answer, without our own writes in it."""
    _seen: SecretState | None = None
    _wrote_at: datetime | None = None
    """When this run last made the secret, or a version of it."""
    _moved: list[_Moved] = field(default_factory=list)
    _tagged: list[_Tagged] = field(default_factory=list)
    _claim: Claim | None = None

    # --- reads ------------------------------------------------------------------------------------------------------

    def describe(self, name: str) -> SecretState | None:
        """Return the secret, as it is at least since this run's last write."""
        state = self._settle(lambda: self.store.describe(name), self._may_be_old)
        self._shown = state
        self._seen = self._with_own(state) if state is not None else None
        return self._seen

    def resource_policy(self, name: str) -> str | None:
        """Return the secret's resource policy."""
        return self._settle(lambda: self.store.resource_policy(name))

    def read(self, name: str, version: VersionId) -> KeyPair | None:
        """Return the pair that a version holds."""
        return self._settle(lambda: self.store.read(name, version))

    def current(self, name: str) -> tuple[VersionId, KeyPair]:
        """Return AWSCURRENT, as it is at least since this run's own move of it."""
        return self._settle(lambda: self.store.current(name), lambda found: self._is_where_it_was(found[0]))

    def claim(self, name: str, version: VersionId | None = None) -> Claim | None:
        """
        Return the claim; this run's own where the answer does not show it yet.

        Where the label was shown on our own claim, that is not read again: a version's content never changes.
        """
        if version is None and self._claim is not None and self._is_shown(self._claim):
            return self._claim
        found = self.store.claim(name, version)
        if version is not None:
            return found
        own = self._claim
        # After that no answer lags any more: a claim that is still missing was removed by someone else, and may be
        # taken again.
        is_young = own is not None and self.clock.now() < own.at + MAX_LAG
        return own if own is not None and is_young and found is None else found

    def other_fields(self, name: str, version: VersionId) -> Secret:
        """Return the fields of a version that are not the pair's."""
        return self._settle(lambda: self.store.other_fields(name, version))

    # --- writes -----------------------------------------------------------------------------------------------------

    def create(self, name: str, tags: Mapping[str, str]) -> None:
        """Make the secret."""
        self.store.create(name, tags)
        self._wrote_at = self.clock.now()

    def put_claim(self, name: str, claim: Claim) -> None:
        """Store a claim."""
        self.store.put_claim(name, claim)
        self._claim = claim
        self._note_version(claim.version, CLAIM)

    def put_pending(self, name: str, version: VersionId, credential: KeyPair, *, beside: Secret) -> None:
        """Store a new pair."""
        self.store.put_pending(name, version, credential, beside=beside)
        self._note_version(version, PENDING, credential.id)

    def put_restored(self, name: str, version: VersionId, credential: KeyPair, *, beside: Secret) -> None:
        """Store an older pair again."""
        self.store.put_restored(name, version, credential, beside=beside)
        self._note_version(version, credential.id)

    def put_rotating(
        self, name: str, version: VersionId, credential: KeyPair, *, beside: Secret, rotation_token: str | None
    ) -> None:
        """Store a new pair for Secrets Manager's own rotation."""
        self.store.put_rotating(name, version, credential, beside=beside, rotation_token=rotation_token)
        self._note_version(version, AWSPENDING, credential.id)

    def move_label(self, name: str, label: str, *, to: VersionId | None, remove_from: VersionId | None) -> None:
        """Move a label; a refusal tells that it is not where this run has put it: someone else has moved it on."""
        try:
            self.store.move_label(name, label, to=to, remove_from=remove_from)
        except LostRace:
            self._forget(label, remove_from)
            raise
        if label == CLAIM:
            self._claim = None
        now = self.clock.now()
        if label == AWSCURRENT:
            self._moved.append(
                # Secrets Manager moves AWSPREVIOUS by itself to where AWSCURRENT was (API Reference,
                # UpdateSecretVersionStage).
                _Moved(label=AWSPREVIOUS, before=self._find_labelled(AWSPREVIOUS), to=remove_from, at=now)
            )
        self._moved.append(_Moved(label=label, before=remove_from, to=to, at=now))

    def tag(self, name: str, tags: Mapping[str, str]) -> None:
        """Set tags."""
        self.store.tag(name, tags)
        # What was there before tells an old answer from one that shows someone else's change: only the former is
        # corrected.
        before = dict(self._seen.tags) if self._seen else {}
        now = self.clock.now()
        for key, value in tags.items():
            self._tagged.append(_Tagged(key=key, before=before.get(key), value=value, at=now))

    def _settle(self, read: Callable[[], T], may_be_old: Callable[[T], bool] = lambda _: False) -> T:
        """
        Read again while an answer may be older than what this run has just made, or than its last move of AWSCURRENT.

        Where it stays so for a minute, it is no old answer: what is missing is not there, or AWSCURRENT was moved back
        outside keyrota, and the places get what it is now.
        """
        for _ in range(_TRIES):
            try:
                found = read()
            except NotThere:
                if not self._may_lag():
                    raise
            else:
                if not may_be_old(found):
                    return found
            # Also before the last read: it is the answer that is believed whatever it says.
            self.clock.sleep(_AGAIN_S)
        return read()

    def _may_be_old(self, state: SecretState | None) -> bool:
        if state is None:
            return self._may_lag()
        current = next((version.id for version in state.versions if AWSCURRENT in version.labels), None)
        return self._is_where_it_was(current)

    def _is_where_it_was(self, current: VersionId | None) -> bool:
        """Return whether AWSCURRENT is shown where it was before this run moved it, within the last minute."""
        moved = next((one for one in reversed(self._young(self._moved)) if one.label == AWSCURRENT), None)
        return moved is not None and moved.before != moved.to and current == moved.before

    def _is_shown(self, claim: Claim) -> bool:
        versions = self._shown.versions if self._shown else ()
        return any(version.id == claim.version and CLAIM in version.labels for version in versions)

    def _may_lag(self) -> bool:
        return self._wrote_at is not None and self.clock.now() < self._wrote_at + MAX_LAG

    # --- what was written -------------------------------------------------------------------------------------------

    def _forget(self, label: str, version: VersionId | None) -> None:
        self._moved = [one for one in self._moved if (one.label, one.to) != (label, version)]
        if label == CLAIM:
            self._claim = None

    def _note_version(self, version: VersionId, *labels: str) -> None:
        now = self._wrote_at = self.clock.now()
        for label in labels:
            self._moved.append(_Moved(label=label, before=self._find_labelled(label), to=version, at=now))

    def _find_labelled(self, label: str) -> VersionId | None:
        versions = self._seen.versions if self._seen else ()
        return next((version.id for version in versions if label in version.labels), None)

    def _young(self, written: list[_Moved]) -> list[_Moved]:
        now = self.clock.now()
        return [one for one in written if now < one.at + MAX_LAG]

    def _with_own(self, state: SecretState) -> SecretState:
        now = self.clock.now()
        labels = {version.id: set(version.labels) for version in state.versions}
        for moved in self._young(self._moved):
            wearing = next((version for version, worn in labels.items() if moved.label in worn), None)
            # Exactly the state of before our move. Any other place of the label is someone else's later move, and stays
            # as it is.
            if wearing == moved.before and wearing != moved.to:
                if wearing is not None:
                    labels[wearing].discard(moved.label)
                if moved.to is not None:
                    labels.setdefault(moved.to, set()).add(moved.label)
        tags = dict(state.tags)
        for tagged in self._tagged:
            if now < tagged.at + MAX_LAG and tags.get(tagged.key) == tagged.before:
                tags[tagged.key] = tagged.value
        versions = (SecretVersion(id=name, labels=frozenset(worn)) for name, worn in sorted(labels.items()) if worn)
        return replace(state, versions=tuple(versions), tags=tuple(tags.items()))
