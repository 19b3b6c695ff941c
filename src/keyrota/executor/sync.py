"""Bring AWSCURRENT to the targets, so that the newest wins whatever order runs and events come in."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from keyrota.core.lifecycle import format_synced, view
from keyrota.core.model import AWSCURRENT, SYNCED_TAG, AccessKeyId, Credential, Observation, SyncRecord, VersionId
from keyrota.core.plan import Sync
from keyrota.errors import KeyrotaError, PartialFailure, ProviderUnavailable
from keyrota.executor.observe import in_parallel
from keyrota.executor.subject import Settings, Subject
from keyrota.executor.verify import verify
from keyrota.ports import Target

_ROUNDS = 5
"""AWSCURRENT moves once in 90 days; if it moves five times while one sync runs, something else is wrong."""


def sync(
    subject: Subject,
    action: Sync,
    observation: Observation,
    settings: Settings,
    verified: set[AccessKeyId],
) -> AccessKeyId:
    """
    Write AWSCURRENT to the targets of the action, and to all of them if it moves meanwhile; then note it.

    Returns:
        The ID of the key that the targets hold now.

    Raises:
        PartialFailure: Some targets were not written; the others were.
        ProviderRefused, NotVerified: The key is not the user's or not accepted; nothing was written.
    """
    chosen: tuple[Target, ...] = tuple(target for target in subject.targets if target.address in action.targets)
    began = settings.clock.now()
    for _ in range(_ROUNDS):
        version, credential = subject.store.current(subject.secret_name)
        if credential.id not in verified:
            verify(subject, credential, settings)
            verified.add(credential.id)
        _disown_record(subject, observation, version)
        _write(chosen, credential, settings)
        if _current_version(subject) == version:
            is_whole = len(chosen) == len(subject.targets)
            _note(subject, observation, version, settings.clock.now(), began=began, is_whole=is_whole)
            return credential.id
        chosen = subject.targets  # what was just written may be the last word at any of them
    raise ProviderUnavailable(
        f"AWSCURRENT of {subject.secret_name} moved {_ROUNDS} times while it was sent to the targets",
        remedy="find out who writes this secret; the next run sends it again",
    )


def _disown_record(subject: Subject, observation: Observation, version: VersionId) -> None:
    """
    Make the record untrue before the first write of another version.

    A write that breaks off in the middle of a pair leaves targets that hold neither version: a rollback to the
    version of the record would otherwise find nothing to send.
    """
    known = view(observation).synced
    if known is not None and known.version != version:
        subject.store.tag(subject.secret_name, SYNCED_TAG, f"{version}@begun")


def _current_version(subject: Subject) -> VersionId | None:
    state = subject.store.describe(subject.secret_name)
    versions = state.versions if state else ()
    return next((version.id for version in versions if AWSCURRENT in version.labels), None)


def _write(targets: Iterable[Target], credential: Credential, settings: Settings) -> None:
    def attempt(target: Target) -> KeyrotaError | None:
        try:
            target.write(credential)
        except KeyrotaError as error:
            return error
        return None

    results = in_parallel(attempt, targets, settings.writers)
    failures = [error for error in results if error is not None]
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise PartialFailure(f"{len(failures)} targets were not written", failures)


def _note(
    subject: Subject,
    observation: Observation,
    version: VersionId,
    now: datetime,
    *,
    began: datetime,
    is_whole: bool,
) -> None:
    """
    Write the tag `keyrota:synced`.

    `since` stays when the same version is sent again, or the overlap would never end; `confirmed` moves only when all
    targets were written, and it is the time before the first write.
    """
    before = view(observation)
    known = before.synced if before.is_synced() and before.synced and before.synced.version == version else None
    record = SyncRecord(
        version=version,
        since=known.since if known else now,
        confirmed=began if is_whole and known else (known.confirmed if known else now),
        fingerprint=subject.fingerprint,
    )
    subject.store.tag(subject.secret_name, SYNCED_TAG, format_synced(record))
