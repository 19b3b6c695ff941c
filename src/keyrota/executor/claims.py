"""The claim on a rotation, and the one call that is made under it: CreateAccessKey."""

from __future__ import annotations

from datetime import timedelta

from keyrota.core import plan as act
from keyrota.core.lifecycle import CLOCKS_DIFFER, CREATED_WITHIN, SIGNED_WITHIN
from keyrota.core.model import (
    CLAIM,
    FORCED_TAG,
    OWNER_TAG,
    AccessKey,
    Claim,
    CreatedKey,
    Evidence,
    KeyStatus,
    LastUse,
    Observation,
    SecretState,
    VersionId,
    claim_token,
)
from keyrota.core.naming import owner_tag
from keyrota.errors import LostRace, ProviderRefused, ProviderUnavailable
from keyrota.executor.labels import find_current, find_labelled, take_off
from keyrota.executor.own_writes import MAX_LAG
from keyrota.executor.run_state import RunState
from keyrota.executor.subject import CredentialContext, Settings

_THROTTLED_S = (1.0, 2.0, 4.0, 8.0)
"""Pauses after a CreateAccessKey that was refused before any effect."""
_GENERATIONS = 1024
"""So many claims on one current version are tried; each stands for a run that died or a rollback."""


def take_claim(
    subject: CredentialContext, action: act.TakeClaim, observation: Observation, settings: Settings
) -> Claim:
    """
    Take the first generation of the claim that nobody has used.

    A refused token is either someone's claim right now (then its version wears the claim label, and we lost), or one
    that was used up by an earlier rotation of the same current version (then the next generation is tried). Which it
    is, is not known before Secrets Manager must show the label: two claims at once would take it from each other. A
    claim that was taken since the plan was made is someone's as well, whatever its generation: only the one that the
    plan saw, and found to be over, may be superseded.
    """
    state = subject.store.describe(subject.secret_name)
    if state is None:
        raise LostRace(f"the secret {subject.secret_name} is gone")
    if (taken := _find_claim(state)) is not None and taken != _find_claim(observation.secret):
        raise LostRace(f"another run has claimed {subject.secret_name} meanwhile")
    # Whoever may not write tags could make and promote a key, and never note where it is served. To write one that is
    # there already changes nothing, and tells. The function of Secrets Manager's own rotation writes none, and may not.
    if not state.rotates_itself:
        forced = {FORCED_TAG: observation.turn.record} if observation.turn and observation.turn.record else {}
        subject.store.tag(subject.secret_name, {OWNER_TAG: owner_tag(subject.user), **forced})
    current = find_current(subject)
    known = {version.id for version in state.versions}
    for generation in range(_GENERATIONS):
        token = claim_token(state.arn, current, generation)
        # Asking again for a token whose version exists would succeed only with the same content, which another run's is
        # not.
        if token in known:
            continue
        now = settings.clock.now()
        claim = Claim(
            version=token,
            run=settings.run,
            at=now,
            lease_until=now + settings.lease,
            keys_seen=action.keys_seen,
        )
        try:
            subject.store.put_claim(subject.secret_name, claim)
        except LostRace:
            if _is_in_force(subject, token, settings):
                raise
        else:
            return claim
    raise ProviderRefused(
        f"{_GENERATIONS} claims on one version of the secret are used up",
        where=f"secret {subject.secret_name}",
        remedy="runs die one after the other while they make a key: look at their errors first",
    )


def _is_in_force(subject: CredentialContext, token: VersionId, settings: Settings) -> bool:
    """Return whether a claim that was there before ours is some run's right now; what cannot be read counts as such."""
    claim = subject.store.claim(subject.secret_name, token)
    if claim is None:
        return True
    shown_by = claim.at + MAX_LAG
    if find_labelled(subject, CLAIM) == token:
        return True
    if (late := shown_by - settings.clock.now()) <= timedelta(0):
        return False
    # once, not again and again: each look is a moment at which another run may act, and the rarest wait of all is this
    settings.clock.sleep(late.total_seconds())
    return find_labelled(subject, CLAIM) == token


def _find_claim(state: SecretState | None) -> VersionId | None:
    versions = state.versions if state else ()
    return next((version.id for version in versions if CLAIM in version.labels), None)


def create_under_claim(subject: CredentialContext, settings: Settings, memory: RunState) -> CreatedKey:
    """
    Make a key while this run's claim lasts, so that no other run can take it for lost while this one stores it.

    A machine may stand still at any call. What is sent takes effect within the life of its signature, or never; so a
    run that asks its clock before it sends knows by when: the key is made early enough to be told from anybody else's,
    and stored before another run may delete it.

    Raises:
        LostRace: The claim is too old by now. Nothing was made; or it was, and this run drops it, or a later one.
    """
    claim = memory.claim
    if claim is None or settings.clock.now() >= claim.at + CREATED_WITHIN:
        raise LostRace(
            f"the claim on {subject.secret_name} is too old to make a key under it: this run was held up for too long",
            remedy="no key was made; run the same command again",
        )
    created = _create_under_claim(subject, claim, settings)
    memory.made[created.credential.id] = AccessKey(
        id=created.credential.id,
        status=KeyStatus.ACTIVE,
        created=created.created,
        last_use=LastUse(evidence=Evidence.NEVER),
        status_word=KeyStatus.ACTIVE.value,
    )
    if settings.clock.now() >= claim.lease_until - SIGNED_WITHIN - 2 * CLOCKS_DIFFER:
        raise LostRace(
            f"the claim on {subject.secret_name} is too old to store {created.credential.id} under it",
            remedy="the key was given to no one and is removed by this run or a later one; run the same command again",
        )
    return created


def _create_under_claim(subject: CredentialContext, claim: Claim, settings: Settings) -> CreatedKey:
    """
    Make the key; a refusal before any effect (throttling) is tried again under the same claim, while it lasts.

    What is refused for good, or for that long, ends the claim: no key of ours can come of it, one that a person makes
    now is not ours, and no other run is kept out. Only an outcome that is not known leaves it in force.
    """
    for pause in (*_THROTTLED_S, None):
        try:
            return subject.access_keys.create(subject.user)
        except ProviderRefused:
            take_off(subject, CLAIM, claim.version)
            raise
        except ProviderUnavailable as error:
            if not error.is_undone:
                raise
            is_over = pause is None or settings.clock.now() + timedelta(seconds=pause) >= claim.at + CREATED_WITHIN
            if pause is None or is_over:
                take_off(subject, CLAIM, claim.version)
                raise
        settings.clock.sleep(pause)
    raise RuntimeError("the last pause is none")
