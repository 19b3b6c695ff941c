"""Deactivate a key with IAM alone: the first step of `revoke --now` where the secret cannot be read."""

from __future__ import annotations

from keyrota.core import own_key as own
from keyrota.core.model import AccessKey, AccessKeyId, Observation
from keyrota.core.plan import Hold
from keyrota.executor.subject import CredentialContext


def keys_of(subject: CredentialContext) -> tuple[AccessKey, ...]:
    """List the user's keys."""
    return subject.access_keys.list(subject.user)


def own_key(subject: CredentialContext, key: AccessKeyId) -> Hold | None:
    """Return why the key stays Active, where it is the one that keyrota runs with (promise right-credential)."""
    seen = Observation(
        user=subject.user,
        account=subject.account,
        keys=(),
        secret=None,
        targets=(),
        fingerprint="",
        runs_as=subject.runs_as,
    )
    return own.refusal(seen, key)


def turn_off(subject: CredentialContext, key: AccessKeyId) -> str:
    """
    Deactivate a key that a person has named, and return its status as IAM lists it afterwards.

    Without the secret it is unknown whether keyrota manages the key, so the person's decision applies.
    """
    subject.access_keys.deactivate(subject.user, key)
    return next((known.status_word or known.status.value for known in keys_of(subject) if known.id == key), "gone")
