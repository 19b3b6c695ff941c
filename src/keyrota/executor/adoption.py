"""A value that someone else put into the secret: whose key it holds, and whether it can be served."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from keyrota.core.candidates import list_kept_keys
from keyrota.core.lifecycle import JUST_NOW, interpret
from keyrota.core.model import (
    AccessKey,
    AccessKeyId,
    KeyPair,
    KeyStatus,
    Observation,
    RefusedValue,
    SecretState,
    VersionId,
)
from keyrota.errors import KeyrotaError, NotThisUsersKey, NotVerified, SecretUnusable
from keyrota.executor.subject import CredentialContext, Settings
from keyrota.executor.verify import verify

_LOOK_AGAIN_S = 2.0
"""IAM's list of keys can lag behind CreateAccessKey by some seconds; STS may know the key before."""
_PATIENCE_S = 60.0
"""Maximum wait for STS to accept a key that was made just now; 3 to 15 s are reported (docs/facts/aws.md)."""
_MARGIN_S = 10.0
"""The proof itself is spread over `verify_span_s`; this much more for its calls."""


def recognize(
    subject: CredentialContext,
    version: VersionId,
    observation: Observation,
    settings: Settings,
    verified: set[AccessKeyId],
) -> AccessKeyId | None:
    """
    Find out which key a version holds; changes nothing.

    Returns:
        The ID of an Active key of this user that STS accepts; None if the secret never held a key, and holds none now.

    Raises:
        SecretUnusable: The value is not a pair: binary, not JSON, half a pair, or without one where one was before.
        NotThisUsersKey: The key is another user's, or Inactive; or STS does not accept the pair.
        KeyrotaError: Secrets Manager or STS did not answer, or refused this run.
    """
    pair = subject.store.read(subject.secret_name, version)
    if pair is None:
        _refuse_loss(subject, observation, settings.clock.now())
        return None
    verified.discard(pair.id)  # what is asked again is not known until it is answered
    _refuse_inactive(subject, pair.id, observation.keys)
    _prove(subject, pair, observation.keys, settings)
    _wait_for_list(subject, pair.id, observation.keys, settings)
    verified.add(pair.id)
    return pair.id


def judge(
    subject: CredentialContext, version: VersionId, observation: Observation, settings: Settings
) -> tuple[RefusedValue | None, bool]:
    """
    Tell, for a plan, that a value cannot be served; None where it can, or where that is proven only by waiting.

    The second answer is whether it holds no pair at all, where none is missing.

    A key that is another user's is told by IAM and by its ID: to ask STS with it would show it as used just now.
    """
    try:
        pair = subject.store.read(subject.secret_name, version)
        if pair is None:
            _refuse_loss(subject, observation, settings.clock.now())
            return None, True
        _refuse(subject, pair, observation, settings)
    except (SecretUnusable, NotThisUsersKey) as error:
        return refusal(version, error), False
    except KeyrotaError:
        pass  # whoever serves the value asks again, and says what was refused
    return None, False


def _refuse(subject: CredentialContext, pair: KeyPair, observation: Observation, settings: Settings) -> None:
    keys = observation.keys
    _refuse_inactive(subject, pair.id, keys)
    _refuse_other_owner(subject, pair.id, keys)
    if not _is_settled(pair.id, observation, settings):
        return
    try:
        verify(subject, pair, replace(settings, verify_times=1, verify_give_up_s=-1.0))
    except NotVerified:
        raise _not_accepted(subject, pair.id, keys) from None


def _refuse_other_owner(subject: CredentialContext, key: AccessKeyId, keys: tuple[AccessKey, ...]) -> None:
    if key in {known.id for known in keys}:
        return
    account, user = subject.identity.account_of(key), subject.access_keys.user_of(key)
    is_elsewhere = account is not None and account != subject.account
    if not is_elsewhere and user in {None, subject.user}:
        return
    whose = f"the account {account}" if is_elsewhere else f"the user {user}"
    raise NotThisUsersKey(
        f"the key {key} belongs to {whose}, not to user {subject.user} of account {subject.account}",
        where=f"secret {subject.secret_name}",
        remedy="correct `user`, `account` or `secret` in the configuration; nothing was written",
    )


def _is_settled(key: AccessKeyId, observation: Observation, settings: Settings) -> bool:
    """Return whether STS would know the key by now, if it were one that works."""
    found = next((known for known in observation.keys if known.id == key), None)
    changed = observation.secret.changed_at if observation.secret else None
    since = found.created if found is not None else changed
    return since is not None and settings.clock.now() - since > JUST_NOW


def _refuse_loss(subject: CredentialContext, observation: Observation, now: datetime) -> None:
    """Refuse a value without a pair where the secret has held a key that the user has; any other may be empty."""
    if list_kept_keys(interpret(observation), now):
        raise SecretUnusable(
            "AWSCURRENT holds no access key, and the version before it did",
            where=f"secret {subject.secret_name}",
            remedy="put a key of this user into it, or move AWSCURRENT back to the version before: "
            f"aws secretsmanager update-secret-version-stage --secret-id {subject.secret_name} "
            "--version-stage AWSCURRENT --move-to-version-id … --remove-from-version-id …",
        )


def _refuse_inactive(subject: CredentialContext, key: AccessKeyId, keys: tuple[AccessKey, ...]) -> None:
    found = next((known for known in keys if known.id == key), None)
    if found is not None and found.status is not KeyStatus.ACTIVE:
        raise NotThisUsersKey(
            f"AWSCURRENT holds the key {key}, which is {found.status_word or found.status.value}",
            where=f"secret {subject.secret_name}",
            remedy=f"put an Active key of {subject.user} into the secret, or activate this one: aws iam "
            f"update-access-key --user-name {subject.user} --access-key-id {key} --status Active",
        )


def _prove(subject: CredentialContext, pair: KeyPair, keys: tuple[AccessKey, ...], settings: Settings) -> None:
    """Have STS accept the pair; only a key that may be new is waited for."""
    found = next((known for known in keys if known.id == pair.id), None)
    is_old = found is not None and settings.clock.now() - found.created > JUST_NOW
    patience_s = settings.verify_span_s + (_MARGIN_S if is_old else _PATIENCE_S)
    try:
        verify(subject, pair, replace(settings, verify_give_up_s=patience_s))
    except NotVerified:
        raise _not_accepted(subject, pair.id, keys) from None


def _not_accepted(subject: CredentialContext, key: AccessKeyId, keys: tuple[AccessKey, ...]) -> NotThisUsersKey:
    is_listed = key in {known.id for known in keys}
    whose = f"a key of {subject.user}" if is_listed else f"not among the keys of {subject.user} in IAM"
    return NotThisUsersKey(
        f"AWSCURRENT holds the key {key}, which is {whose}, and STS does not accept the pair",
        where=f"secret {subject.secret_name}",
        remedy=f"put an Active key of {subject.user} with its own secret access key into the secret",
    )


def _wait_for_list(
    subject: CredentialContext, key: AccessKeyId, keys: tuple[AccessKey, ...], settings: Settings
) -> None:
    """Wait until IAM lists a key that STS accepts already, up to a minute."""
    give_up = settings.clock.now().timestamp() + _PATIENCE_S
    while key not in {known.id for known in keys}:
        if settings.clock.now().timestamp() > give_up:
            return  # the plan waits for it, and says so
        settings.clock.sleep(_LOOK_AGAIN_S)
        keys = subject.access_keys.list(subject.user)


def refusal(version: VersionId, error: KeyrotaError, key: AccessKeyId | None = None) -> RefusedValue:
    """Put into words that a value is not served, whatever the targets hold now."""
    return RefusedValue(
        version=version,
        key=key,
        reason=f"the value that was put into the secret is not served: {error}",
        remedy=error.remedy,
    )


def add_labels(secret: SecretState | None, labels: Mapping[str, VersionId]) -> SecretState | None:
    """Let a secret look as it will once the labels that this run knows of are on."""
    if secret is None or not labels:
        return secret
    versions = tuple(
        replace(
            version,
            labels=version.labels.difference(labels)
            | {label for label, wearer in labels.items() if wearer == version.id},
        )
        for version in secret.versions
    )
    return replace(secret, versions=versions)
