"""Deactivate a key with IAM alone: the first step of an emergency where the secret cannot be read."""

from __future__ import annotations

from datetime import datetime

from keyrota.core import own_key as own
from keyrota.core.model import AccessKey, AccessKeyId, KeyStatus, Observation
from keyrota.core.plan import Hold
from keyrota.executor.subject import CredentialContext


def keys_of(subject: CredentialContext) -> tuple[AccessKey, ...]:
    """List the user's keys."""
    return subject.access_keys.list(subject.user)


def only_active(subject: CredentialContext, before: datetime | None = None) -> AccessKeyId | None:
    """
    Find the key to deactivate where nobody has named one: the only Active key.

    Args:
        subject: Whose keys.
        before: A key that was made later is not meant.

    Returns:
        None if several are Active, or none: nothing but the secret says which of them targets hold.
    """
    active = [key for key in keys_of(subject) if key.status is KeyStatus.ACTIVE]
    is_meant = len(active) == 1 and (before is None or active[0].created <= before)
    return active[0].id if is_meant else None


def own_key(subject: CredentialContext, key: AccessKeyId) -> Hold | None:
    """Return why the key stays Active, where it is the one that keyrota runs with (promise right-credential)."""
    return own.refusal(observe_alone(subject, ()), key)


def observe_alone(subject: CredentialContext, keys: tuple[AccessKey, ...]) -> Observation:
    """Return what IAM alone shows of a credential."""
    return Observation(
        user=subject.user,
        account=subject.account,
        keys=keys,
        secret=None,
        targets=(),
        fingerprint="",
        runs_as=subject.runs_as,
    )


def turn_off(subject: CredentialContext, key: AccessKeyId) -> str:
    """
    Deactivate a key, and return its status as IAM lists it afterwards.

    Without the secret it is unknown whether keyrota manages the key, so what a person has named or confirmed applies.
    """
    subject.access_keys.deactivate(subject.user, key)
    return next((known.status_word or known.status.value for known in keys_of(subject) if known.id == key), "gone")
