"""
The life of an access key: one table, and the reading of an observation in its terms.

Theory. A key's state is not stored; it follows from three facts that IAM and Secrets Manager keep for us:
whether IAM lists the key and with which status, which version of the secret wears the key's ID as a staging label,
and which version wears AWSCURRENT. So a crash leaves no state behind that could be wrong: the next run reads the
same facts and finds the key in one of these states.

    no key ──create──▶ pending ──promote──▶ current ──(its successor is promoted)──▶ superseded
                                               ▲                                        │ deactivate
                                               └────────promote (rollback)──────┐       ▼
                                                           superseded ◀─reactivate── retired ──delete──▶ gone

A version's ID tells for which base its key was made (`model.key_token`): a pending key counts as pending only while
that base is still AWSCURRENT. After that it is superseded without ever having been served, and takes the slow, safe
road out; only the run that made it may drop it at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache

from keyrota.core import plan as act
from keyrota.core.model import (
    ADOPT_TAG,
    AWSCURRENT,
    AWSPREVIOUS,
    CLAIM,
    DEACTIVATED_TAG,
    ORPHAN_TAG,
    OWNER_TAG,
    PAIRS_TAG,
    PENDING,
    PLACEHOLDER,
    REVOKED,
    STACK_TAG,
    SYNC_PASS_TAG,
    SYNCED_TAG,
    AccessKey,
    AccessKeyId,
    DeactivationNote,
    DeactivationRecord,
    Evidence,
    KeyStatus,
    Observation,
    PairDoubt,
    PairsRecord,
    SecretVersion,
    SyncPass,
    SyncRecord,
    VersionId,
    key_token,
    make_restored_token,
    placeholder_token,
)
from keyrota.core.naming import owner_tag
from keyrota.core.records import (
    DiscardNote,
    Index,
    parse_choice,
    parse_deactivated,
    parse_discard,
    parse_index,
    parse_pairs,
    parse_pass,
    parse_synced,
    place_digest,
)

KEY_ID = re.compile(r"[A-Z0-9]{16,128}")
_MAX_KEPT = 4096
"""Sets of labels that were looked at before: one version's are asked for many times in a plan."""
"""An access key ID, as a staging label (IAM API Reference, AccessKey: 16 to 128 word characters)."""

CREATED_WITHIN = timedelta(seconds=60)
"""A key is made within this time of its claim, or the run claims again; so an orphan's age says whose it is."""

CLOCKS_DIFFER = timedelta(seconds=60)
"""How far IAM's CreateDate and the clock of a claim may lie apart before a key no longer counts as that claim's."""

SIGNED_WITHIN = timedelta(minutes=5)
"""AWS refuses a request whose signature is older (Signature Version 4): so late can a call take effect at most."""

JUST_NOW = timedelta(minutes=15)
"""IAM's lists can lag behind; within this time a key that is not listed is waited for."""


USE_IS_SHOWN_WITHIN = timedelta(hours=24)
"""
A key that is younger proves nothing by never having been used.

GetAccessKeyLastUsed shows a use with a delay that is not documented; AWS's other reports of last use (credential
report, last accessed information) lag by four hours. A day covers that several times over.
"""


class KeyState(StrEnum):
    """Where in its life a key is."""

    NONE = "no key"
    ADOPTABLE = "adoptable"
    FOREIGN = "foreign"
    STRANGE = "unknown status"
    ORPHAN = "orphan"
    RELEASED = "released"
    DISCARDED = "discarded"
    LOSER = "loser"
    PENDING = "pending"
    CURRENT = "current"
    CURRENT_OFF = "current, Inactive"
    SUPERSEDED = "superseded"
    RETIRED = "retired"
    GONE = "gone"


MEANING = {
    KeyState.NONE: "a free slot: IAM lets a user have two keys",
    KeyState.ADOPTABLE: "Active, not in the secret: the user's only key, or the one that a person chose with `adopt`",
    KeyState.FOREIGN: "not made and not adopted by keyrota: named, and left alone",
    KeyState.STRANGE: "its status is a word that keyrota does not know: named, and left alone",
    KeyState.ORPHAN: "made under a claim whose run did not come to store it: its secret is lost",
    KeyState.RELEASED: "not made by keyrota; a person said with `keyrota adopt --release` that nothing needs it",
    KeyState.DISCARDED: "an orphan or a released key, Inactive: the grace, in which a person can switch it on again",
    KeyState.LOSER: "made by this run, and another run was first, or it could not be stored: nobody ever had it",
    KeyState.PENDING: "stored, not yet served anywhere",
    KeyState.CURRENT: "AWSCURRENT, the key that targets hold",
    KeyState.CURRENT_OFF: "AWSCURRENT, but Inactive: it was deactivated outside keyrota, or by `revoke --now`",
    KeyState.SUPERSEDED: "still Active beside its successor: the overlap",
    KeyState.RETIRED: "Inactive: the grace, in which it can come back",
    KeyState.GONE: "deleted",
}


class Road(StrEnum):
    """Which command may take a transition."""

    ROUTINE = "apply"
    REVOKE = "revoke"
    ROLLBACK = "rollback"
    ADOPT = "adopt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One line of the table."""

    source: KeyState
    action: type[act.Action]
    target: KeyState
    when: str
    road: Road = Road.ROUTINE


def _line(
    source: KeyState, action: type[act.Action], target: KeyState, when: str, road: Road = Road.ROUTINE
) -> Transition:
    return Transition(source=source, action=action, target=target, when=when, road=road)


_S = KeyState
TRANSITIONS: tuple[Transition, ...] = (
    _line(_S.NONE, act.CreateKey, _S.PENDING, "the current key is due, targets are ready, this run has the claim"),
    _line(_S.ADOPTABLE, act.Adopt, _S.CURRENT, "the key is due (or `adopt: now`)"),
    _line(_S.FOREIGN, act.Adopt, _S.CURRENT, "AWSCURRENT holds this key, written outside keyrota"),
    _line(_S.FOREIGN, act.Choose, _S.ADOPTABLE, "a person chose it, and no other key is in use", Road.ADOPT),
    _line(_S.FOREIGN, act.Release, _S.RELEASED, "a person said that nothing needs it", Road.ADOPT),
    _line(_S.ORPHAN, act.NoteOrphan, _S.ORPHAN, "the claim's lease is over; the claim proves it, and may be replaced"),
    _line(_S.ORPHAN, act.Deactivate, _S.DISCARDED, "noted, a day old, never used, and no place shows it"),
    _line(_S.ORPHAN, act.NoteActive, _S.FOREIGN, "activated outside keyrota: it is no longer ours"),
    _line(_S.RELEASED, act.Deactivate, _S.DISCARDED, "unused for `unused_for`, and no place shows it"),
    _line(_S.RELEASED, act.NoteActive, _S.FOREIGN, "activated outside keyrota: it is no longer ours"),
    _line(
        _S.DISCARDED, act.Deactivate, _S.DISCARDED, "Inactive before it was noted: its grace starts when that is seen"
    ),
    _line(_S.DISCARDED, act.DeleteOrphan, _S.GONE, "Inactive and unused for the whole grace, and no place shows it"),
    _line(_S.LOSER, act.DeleteOrphan, _S.GONE, "at once, by the run that made it"),
    _line(_S.PENDING, act.Verify, _S.PENDING, "STS has not yet accepted it often enough in a row"),
    _line(_S.PENDING, act.Promote, _S.CURRENT, "STS accepts it as the right user"),
    _line(_S.CURRENT, act.Promote, _S.SUPERSEDED, "its successor is promoted"),
    _line(_S.SUPERSEDED, act.Deactivate, _S.RETIRED, "proof: successor on every target, overlap over, not used since"),
    _line(_S.SUPERSEDED, act.NoteActive, _S.SUPERSEDED, "activated outside keyrota: its overlap starts again"),
    _line(_S.RETIRED, act.Deactivate, _S.RETIRED, "deactivated outside keyrota: its grace starts when that is seen"),
    _line(_S.RETIRED, act.Delete, _S.GONE, "Inactive and unused for the whole grace"),
    _line(_S.CURRENT, act.MarkRevoked, _S.CURRENT, "first of all, but for `--now`", Road.REVOKE),
    _line(_S.CURRENT_OFF, act.MarkRevoked, _S.CURRENT_OFF, "first of all", Road.REVOKE),
    _line(_S.SUPERSEDED, act.MarkRevoked, _S.SUPERSEDED, "first of all, but for `--now`", Road.REVOKE),
    _line(_S.RETIRED, act.MarkRevoked, _S.RETIRED, "first of all", Road.REVOKE),
    _line(_S.PENDING, act.MarkRevoked, _S.PENDING, "first of all, but for `--now`", Road.REVOKE),
    _line(_S.CURRENT, act.Deactivate, _S.CURRENT_OFF, "`revoke --now`", Road.REVOKE),
    _line(_S.SUPERSEDED, act.Deactivate, _S.RETIRED, "its successor is on every target", Road.REVOKE),
    _line(_S.PENDING, act.Deactivate, _S.RETIRED, "named with `--key`", Road.REVOKE),
    _line(_S.RETIRED, act.Reactivate, _S.SUPERSEDED, "no slot is free: the previous key takes over", Road.REVOKE),
    _line(_S.SUPERSEDED, act.Restore, _S.SUPERSEDED, "stored again, beside today's other fields", Road.REVOKE),
    _line(_S.SUPERSEDED, act.Verify, _S.SUPERSEDED, "before it is served again", Road.REVOKE),
    _line(_S.SUPERSEDED, act.Promote, _S.CURRENT, "no slot is free: the previous key takes over", Road.REVOKE),
    _line(_S.RETIRED, act.Reactivate, _S.SUPERSEDED, "asked for", Road.ROLLBACK),
    _line(_S.CURRENT_OFF, act.Reactivate, _S.CURRENT, "asked for, and there is no previous key", Road.ROLLBACK),
    _line(_S.SUPERSEDED, act.NoteActive, _S.SUPERSEDED, "requested: it is not deactivated meanwhile", Road.ROLLBACK),
    _line(_S.SUPERSEDED, act.Restore, _S.SUPERSEDED, "stored again, beside today's other fields", Road.ROLLBACK),
    _line(_S.SUPERSEDED, act.Verify, _S.SUPERSEDED, "before it is served again", Road.ROLLBACK),
    _line(_S.SUPERSEDED, act.Promote, _S.CURRENT, "STS accepts it as the right user", Road.ROLLBACK),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRing:
    """An observation, read in the terms of the table."""

    observation: Observation
    current: SecretVersion | None
    """The version with AWSCURRENT."""
    current_key: AccessKeyId | None
    """The key whose ID that version wears; None for a placeholder, or a version that someone else wrote."""
    is_stored: bool
    """The current version holds a secret access key (a placeholder does not)."""
    previous: SecretVersion | None
    synced: SyncRecord | None
    sync_pass: SyncPass | None
    pairs: PairsRecord | None
    """Places whose pair was begun and is not known to be whole."""
    index: Index
    deactivated: tuple[DeactivationRecord, ...]
    """One for each key that was deactivated; IAM gives a user two."""
    owner: str | None
    stack: str
    """The deployed stack that keeps the credential, as its tag says."""
    discard: DiscardNote | None
    """A key that a run which could read its claim has proven to be lost, or that a person released."""
    chosen: AccessKeyId | None
    """The key that a person chose to be adopted, whatever other keys the user has."""

    @property
    def keys(self) -> tuple[AccessKey, ...]:
        """All keys that IAM lists."""
        return self.observation.keys

    def key(self, key_id: AccessKeyId | None) -> AccessKey | None:
        """Find a key by its ID."""
        return next((key for key in self.keys if key.id == key_id), None)

    def version_of(self, key_id: AccessKeyId) -> SecretVersion | None:
        """Find the version that wears the key's ID."""
        return next((version for version in self.versions if key_id in version.labels), None)

    @property
    def versions(self) -> tuple[SecretVersion, ...]:
        """All versions of the secret; none while it does not exist."""
        return self.observation.secret.versions if self.observation.secret else ()

    @property
    def current_id(self) -> VersionId | None:
        """The ID of the version with AWSCURRENT."""
        return self.current.id if self.current else None

    @property
    def recorded(self) -> SecretVersion | None:
        """The version that every target was last found or made to hold, whatever AWSCURRENT is now."""
        return next((one for one in self.versions if self.synced and one.id == self.synced.version), None)

    @property
    def key_before_move(self) -> AccessKeyId | None:
        """
        The key that the targets hold, where someone moved AWSCURRENT away from it to what cannot be served.

        That is a version without a secret access key, or one of an older key that is Inactive. None: that did not
        happen. A successor that was deactivated before it reached every target, or a rollback, is no such move.
        """
        held = self.key(key_label(self.recorded)) if self.recorded else None
        if held is None or self.recorded is None or held.id == self.current_key:
            return None
        # Going back to a key that is off, or that leaked, would be worse than what is there now.
        if held.status is not KeyStatus.ACTIVE or self.is_revoked(held.id):
            return None
        if self.current is not None and not self.is_stored:
            return held.id
        now = self.key(self.current_key)
        # An older key that is Active works: someone went back on purpose, and it is served as any other value.
        if now is None or now.status is not KeyStatus.INACTIVE or now.created >= held.created:
            return None
        return None if self.current_id == make_restored_token(now.id, self.recorded.id) else held.id

    @property
    def is_foreign_version(self) -> bool:
        """Whether AWSCURRENT was written outside keyrota: neither a placeholder nor labelled with a key."""
        return self.current is not None and self.current_key is None and self.holds_secret(self.current)

    @property
    def is_of_another_user(self) -> bool:
        """Whether the secret is marked as another user's: this user's keys say nothing about the keys in it."""
        return bool(self.owner) and self.owner != owner_tag(self.observation.user)

    @property
    def is_refused(self) -> bool:
        """Whether this run has read AWSCURRENT, put there by someone else, and it cannot be served."""
        refused = self.observation.refused
        return self.is_foreign_version and refused is not None and refused.version == self.current_id

    @property
    def is_empty_of_others(self) -> bool:
        """Whether the secret is someone's, has no value yet, and the configuration does not name it."""
        seen = self.observation
        return seen.secret is not None and self.current is None and not (seen.is_secret_named or self.owner)

    def holds_secret(self, version: SecretVersion) -> bool:
        """Whether a version holds a secret access key."""
        return not _is_placeholder(self.observation, version)

    def is_revoked(self, key_id: AccessKeyId) -> bool:
        """Return whether a key leaked, or may have: it goes after its grace, and never takes over again by itself."""
        return any(REVOKED + key_id in version.labels for version in self.versions)

    def find_off_since(self, key_id: AccessKeyId) -> datetime | None:
        """Since when the record says that the key is Inactive; None: it says no such thing."""
        return self._find_note(key_id, DeactivationNote.ROUTINE)

    def find_on_since(self, key_id: AccessKeyId) -> datetime | None:
        """Since when the record says that the key, once off, is wanted again; None: it says no such thing."""
        return self._find_note(key_id, DeactivationNote.SEEN_ACTIVE)

    def _find_note(self, key_id: AccessKeyId, note: DeactivationNote) -> datetime | None:
        return next((it.at for it in self.deactivated if (it.key, it.note) == (key_id, note)), None)

    def find_wait_end(self, key_id: AccessKeyId, now: datetime) -> datetime | None:
        """
        Return how long to wait for a key that the secret names and IAM does not list; None: it is gone.

        A key is named within moments of its creation, so a list can only lag behind one that the secret came to name
        just now. The run's own writes renew that moment; what it saw before its first one stays seen.
        """
        secret = self.observation.secret
        if secret is None or secret.changed_at is None or key_id in self.observation.seen_gone:
            return None
        # Of the whole secret, because DescribeSecret gives versions no date that could be trusted for this: at worst it
        # waits too long.
        until = secret.changed_at + JUST_NOW
        return until if now < until else None

    def hidden_claim_until(self, now: datetime) -> datetime | None:
        """
        Return until when a claim whose content is not shown may be in force; None: there is none, or it is readable.

        Secrets Manager may show the label and not yet the version. Later, what cannot be read is no claim of ours.
        """
        secret = self.observation.secret
        is_worn = any(CLAIM in version.labels for version in self.versions)
        if self.observation.claim is not None or not is_worn or secret is None or secret.changed_at is None:
            return None
        until = secret.changed_at + JUST_NOW
        return until if now < until else None

    def is_long_served(self, key_id: AccessKeyId, now: datetime) -> bool:
        """Return whether every target has long held the key: what changed the secret since is no reason to wait."""
        is_recorded = self.recorded is not None and key_id in self.recorded.labels
        return is_recorded and self.synced is not None and now - self.synced.since > JUST_NOW

    def doubt_of(self, address: str) -> PairDoubt | None:
        """Return what is known of a place whose pair was begun and is not known to be whole; None: it is whole."""
        if self.pairs is None or address in self.observation.made_whole:
            return None
        doubt = dict(self.pairs.places).get(place_digest(address))
        # The same pair written twice cannot be torn: whichever half arrived last is the same.
        return None if doubt is PairDoubt.SAME else doubt

    def rewrite_begun(self, address: str) -> datetime | None:
        """Return when a run began to write the pair that is there already once more, where it has not noted the end."""
        doubts = dict(self.pairs.places) if self.pairs is not None else {}
        is_begun = doubts.get(place_digest(address)) is PairDoubt.SAME
        return self.pairs.at if self.pairs is not None and is_begun else None

    def is_synced(self) -> bool:
        """Whether the record says that all targets of the configuration have held the current version."""
        return (
            self.synced is not None
            and self.current is not None
            and self.synced.version == self.current.id
            and self.synced.fingerprint == self.observation.fingerprint
        )

    def active_sync_pass(self, not_before: datetime | None) -> SyncPass | None:
        """Find the walk over all targets that continues: with this version, these targets, begun late enough."""
        walk = self.sync_pass
        if walk is None or walk.version != self.current_id or walk.fingerprint != self.observation.fingerprint:
            return None
        is_over = self.is_synced() and self.synced is not None and self.synced.confirmed >= walk.began
        return None if is_over or (not_before and walk.began < not_before) else walk

    def state_of(self, key: AccessKey) -> KeyState:
        """Find the state of a key in the table."""
        if key.status is KeyStatus.OTHER:
            return KeyState.STRANGE
        version = self.version_of(key.id)
        if version is None:
            return self._state_without_version(key)
        is_active = key.status is KeyStatus.ACTIVE
        if version is self.current:
            return KeyState.CURRENT if is_active else KeyState.CURRENT_OFF
        if is_active and PENDING in version.labels and version.id == key_token(key.id, self.current_id):
            return KeyState.PENDING
        if is_active and key.id in self.observation.made_here and AWSPREVIOUS not in version.labels:
            return KeyState.LOSER
        return KeyState.SUPERSEDED if is_active else KeyState.RETIRED

    def _state_without_version(self, key: AccessKey) -> KeyState:
        if key.id in self.observation.made_here:
            return KeyState.LOSER
        if self.is_foreign_version:  # which may hold the very key
            return KeyState.FOREIGN
        if discarded := self._state_of_discarded(key):
            return discarded
        others = [other for other in self.keys if other.id != key.id and not self.is_noted(other.id)]
        if (key.id == self.chosen or not others) and key.status is KeyStatus.ACTIVE and self.current_key is None:
            return KeyState.ADOPTABLE
        return KeyState.FOREIGN

    def _state_of_discarded(self, key: AccessKey) -> KeyState | None:
        """Return whether a key is on its way out: lost, or released. A key that was used since is someone's."""
        note, is_active = self.discard, key.status is KeyStatus.ACTIVE
        if note is not None and self.is_noted(key.id):
            if not note.is_released and key.last_use.evidence is Evidence.USED:
                return None
            return (KeyState.RELEASED if note.is_released else KeyState.ORPHAN) if is_active else KeyState.DISCARDED
        return KeyState.ORPHAN if is_active and self._is_orphan(key) else None

    def is_noted(self, key_id: AccessKeyId) -> bool:
        """Return whether a key is noted as lost or released."""
        return self.discard is not None and self.discard.key == key_id

    def _is_orphan(self, key: AccessKey) -> bool:
        """Return whether a key can only come from a CreateAccessKey whose answer was lost (docs/design.md)."""
        claim = self.observation.claim
        if claim is None or key.id in claim.keys_seen or key.last_use.evidence is Evidence.USED:
            return False
        was_fulfilled = any(other.id not in claim.keys_seen and self._is_made_by_us(other.id) for other in self.keys)
        latest = claim.at + CREATED_WITHIN + SIGNED_WITHIN + CLOCKS_DIFFER
        is_of_its_time = claim.at - CLOCKS_DIFFER <= key.created <= latest
        return is_of_its_time and not was_fulfilled

    def _is_made_by_us(self, key_id: AccessKeyId) -> bool:
        """Return whether a run stored the key, for one of the versions that are there; people store keys as well."""
        version = self.version_of(key_id)
        return version is not None and any(version.id == key_token(key_id, base.id) for base in self.versions)

    def in_state(self, *states: KeyState) -> tuple[AccessKey, ...]:
        """Find the keys in any of these states, oldest first."""
        return tuple(key for key in self.keys if self.state_of(key) in states)


def interpret(observation: Observation) -> KeyRing:
    """Read an observation in the terms of the table."""
    versions = observation.secret.versions if observation.secret else ()
    tags = dict(observation.secret.tags) if observation.secret else {}
    current = _find_labelled(versions, AWSCURRENT)
    return KeyRing(
        observation=observation,
        current=current,
        current_key=key_label(current) if current else None,
        is_stored=current is not None and not _is_placeholder(observation, current),
        previous=_find_labelled(versions, AWSPREVIOUS),
        synced=parse_synced(tags.get(SYNCED_TAG, "")),
        pairs=parse_pairs(tags.get(PAIRS_TAG, "")),
        sync_pass=parse_pass(tags.get(SYNC_PASS_TAG, ""), (target.address for target in observation.targets)),
        index=parse_index(tags),
        deactivated=parse_deactivated(tags.get(DEACTIVATED_TAG, "")),
        owner=tags.get(OWNER_TAG),
        stack=tags.get(STACK_TAG, ""),
        discard=parse_discard(tags.get(ORPHAN_TAG, "")),
        chosen=parse_choice(tags.get(ADOPT_TAG, "")),
    )


def _is_placeholder(observation: Observation, version: SecretVersion) -> bool:
    """Return by its label or, where the run died before the label was on, by its ID."""
    name = observation.secret.name if observation.secret else ""
    return PLACEHOLDER in version.labels or version.id == placeholder_token(name)


def _find_labelled(versions: Iterable[SecretVersion], label: str) -> SecretVersion | None:
    return next((version for version in versions if label in version.labels), None)


def key_label(version: SecretVersion) -> AccessKeyId | None:
    """Find the key ID among a version's labels."""
    return _key_among(version.labels)


@lru_cache(_MAX_KEPT)
def _key_among(labels: frozenset[str]) -> AccessKeyId | None:
    ids = sorted(label for label in labels if KEY_ID.fullmatch(label))
    return AccessKeyId(ids[0]) if ids else None


def find_named_and_gone(observation: Observation, now: datetime) -> frozenset[AccessKeyId]:
    """Find the keys that the secret names and that IAM does not have any more, for certain."""
    seen = interpret(observation)
    named = {label.removeprefix(REVOKED) for version in seen.versions for label in version.labels}
    keys = {AccessKeyId(name) for name in named if KEY_ID.fullmatch(name)} - {key.id for key in seen.keys}
    return frozenset(key for key in keys if seen.find_wait_end(key, now) is None)
