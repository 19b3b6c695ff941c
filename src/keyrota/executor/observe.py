"""Join IAM, the secret and the targets into one observation."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timedelta

from keyrota.core.model import (
    CLAIM,
    AccessKey,
    AccessKeyId,
    Claim,
    LastUse,
    Observation,
    SecretState,
    TargetEvidence,
    TargetState,
)
from keyrota.core.records import Index, format_index, parse_index
from keyrota.core.removed import Removed, find_removed
from keyrota.errors import KeyrotaError
from keyrota.executor.subject import CredentialContext, Settings
from keyrota.http import hurry
from keyrota.ports import Target

URGENT_S = 3.0
"""So long what an emergency needs of Secrets Manager may take, all calls together."""
_READ_JUST_NOW = timedelta(seconds=10)


def was_read_just_now(state: TargetState, now: datetime) -> bool:
    """Return whether a place was read so recently that it is not asked again before a write."""
    return state.read_at is not None and now < state.read_at + _READ_JUST_NOW


def observe(
    subject: CredentialContext,
    settings: Settings,
    *,
    known_targets: tuple[TargetState, ...] | None = None,
    known_left: tuple[TargetState, ...] | None = None,
    with_claim: bool = True,
    known_uses: Mapping[AccessKeyId, LastUse] | None = None,
    is_urgent: bool = False,
) -> Observation:
    """
    Look at one credential. Reads only; no secret value is read (what someone else put there is: `plan.AskValue`).

    Args:
        subject: The credential and its ports.
        settings: The ID of this run, and how targets are read at once.
        known_targets: What was read of the targets earlier in this run; None reads them.
        known_left: The same of targets that the configuration names no more.
        known_uses: Last uses that this run has read, where no proof rests on this look; None reads them all.
        with_claim: Read the content of a claim; without it, what only a claim proves is not known.
        is_urgent: A key is to be deactivated: Secrets Manager, which that does not need, is waited for `URGENT_S` long.

    Raises:
        NotThere: The IAM user does not exist.
        ProviderRefused, ProviderUnavailable: IAM or Secrets Manager did not answer; nothing can be planned then.
    """
    uses = known_uses or {}
    # Keys first, then the secret: a key that another run makes in between is in no version yet, and its claim is seen.
    # The other way round it would be in IAM's list alone, and look like someone else's.
    keys = tuple(
        replace(key, last_use=uses[key.id]) if key.id in uses else _with_last_use(subject, key)
        for key in subject.access_keys.list(subject.user)
    )
    with hurry(URGENT_S) if is_urgent else nullcontext():
        secret, claim = _secret(subject, with_claim=with_claim)
    targets = read_targets(subject, settings) if known_targets is None else known_targets
    return Observation(
        user=subject.user,
        account=subject.account,
        keys=keys,
        secret=secret,
        targets=targets,
        fingerprint=subject.fingerprint,
        left_behind=_read_removed_targets(subject, secret, settings, targets) if known_left is None else known_left,
        claim=claim,
        run=settings.run,
        tags_to_come=_tags_to_come(subject, secret),
        is_secret_named=subject.is_secret_named,
        stack=subject.stack,
        first_writes=subject.first_writes,
        runs_as=subject.runs_as,
        secret_mark=subject.secret_mark,
        label=subject.label,
    )


def _secret(subject: CredentialContext, *, with_claim: bool) -> tuple[SecretState | None, Claim | None]:
    secret = subject.store.describe(subject.secret_name)
    # The one value that is read in order to plan. It holds no key, and whoever may not read secrets (deactivate,
    # delete) plans without it.
    is_claimed = with_claim and secret is not None and any(CLAIM in version.labels for version in secret.versions)
    return secret, subject.store.claim(subject.secret_name) if is_claimed else None


def _tags_to_come(subject: CredentialContext, secret: SecretState | None) -> frozenset[str]:
    """Name the tags that the index needs once today's targets are in it, and those of a secret that is made anew."""
    index = parse_index(dict(secret.tags)) if secret else Index()
    own = frozenset() if secret else frozenset(subject.tags)
    return own.union(format_index(index.join(subject.index)))


def _read_removed_targets(
    subject: CredentialContext, secret: SecretState | None, settings: Settings, targets: tuple[TargetState, ...]
) -> tuple[TargetState, ...]:
    """Read what targets hold that got a key once and are not configured any more."""
    index = parse_index(dict(secret.tags)) if secret else Index()
    return tuple(settings.each(lambda gone: read_removed(subject, gone), find_removed(index, targets)))


def read_removed(subject: CredentialContext, gone: Removed) -> TargetState:
    """Read a place that no configured target means; what answers at its address may be another place by now."""
    entry = gone.entry
    target = subject.reach(entry) if subject.reach else None
    if target is None or isinstance(target, KeyrotaError):
        detail = target.what if target else "it cannot be reached"
        return TargetState(address=gone.name, evidence=TargetEvidence.FAILED, detail=detail)
    state = target.read()
    # Reading on would report someone else's place as ours, and its key as the one that still holds ours back.
    if entry.is_at(state.place) is False:
        detail = f"keyrota wrote to {entry.origin} {entry.place}, and another place answers to that name now"
        return TargetState(address=gone.name, evidence=TargetEvidence.FAILED, detail=detail)
    return replace(state, address=gone.name)


def _with_last_use(subject: CredentialContext, key: AccessKey) -> AccessKey:
    return replace(key, last_use=subject.access_keys.last_use(key.id))


def list_unasked(subject: CredentialContext) -> tuple[TargetState, ...]:
    """Name the targets without asking them anything."""
    return tuple(
        TargetState(address=target.address, evidence=TargetEvidence.FAILED, detail="not asked yet")
        for target in subject.targets
    )


def read_targets(subject: CredentialContext, settings: Settings) -> tuple[TargetState, ...]:
    """Read every target, several at once, in their order."""

    def read(target: Target) -> TargetState:
        # Taken before the read: `read_at` must not be later than what was read.
        began = settings.clock.now()
        return replace(target.read(), read_at=began)

    return tuple(settings.each(read, subject.targets))
