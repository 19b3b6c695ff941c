"""
Secrets Manager's own rotation, step by step: the same road as `rotate` (claim, create, verify, promote).

Secrets Manager calls a function four times with one ClientRequestToken, and calls all of it again after a failure, so
each step looks first and does nothing twice. The version's ID is its token, and its staging label AWSPENDING; beside
that the version wears the key's ID, as every version of ours does. Its schedule decides when, not `rotate_after`.

Source: Secrets Manager user guide, rotation function; API Reference, RotateSecret.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from keyrota.core import plan as act
from keyrota.core.lifecycle import KeyRing, interpret, key_label
from keyrota.core.model import AWSCURRENT, AWSPENDING, AccessKeyId, KeyPair, SecretVersion, VersionId
from keyrota.core.native import NativeRotation
from keyrota.core.plan import Plan
from keyrota.core.planner import plan_native
from keyrota.core.secret import Secret
from keyrota.errors import NotThere, ProviderRefused
from keyrota.executor.actions import perform
from keyrota.executor.claims import create_under_claim
from keyrota.executor.observe import observe
from keyrota.executor.own_writes import OwnWrites
from keyrota.executor.run_state import RunState
from keyrota.executor.subject import CredentialContext, Settings
from keyrota.executor.verify import verify


class Step(StrEnum):
    """What Secrets Manager asks for, in this order."""

    CREATE = "createSecret"
    SET = "setSecret"
    TEST = "testSecret"
    FINISH = "finishSecret"


def rotate(
    subject: CredentialContext, settings: Settings, step: Step, token: VersionId, *, rotation_token: str | None = None
) -> AccessKeyId | None:
    """
    Do one step.

    Args:
        subject: The credential whose secret is rotated.
        settings: Of this run.
        step: Which step.
        token: ClientRequestToken: the ID of the version that this rotation makes.
        rotation_token: RotationToken, which PutSecretValue needs where the secret is another account's.

    Returns:
        The ID of the new key; None for `setSecret`, which has nothing to do: IAM knows the key already.

    Raises:
        KeyrotaError: The step was not done; what pipelines use continues, and the next attempt looks again.
    """
    if step is Step.SET:
        return None
    subject = replace(subject, store=OwnWrites(subject.store, settings.clock))
    rotation = _Rotation(subject=subject, settings=settings, token=token, rotation_token=rotation_token)
    now = settings.clock.now()  # before the look: what is seen is at least as new
    known = rotation.look()
    version = _version(known, token)
    key = key_label(version)
    if step is Step.CREATE:
        return key or rotation.create(known, now)
    if key is None:
        raise ProviderRefused(f"the version {token} has no key yet", where=_where(subject), remedy=_RETRY)
    if known.current is not version:
        rotation.prove(key, version)
        if step is Step.FINISH:
            subject.store.move_label(
                subject.secret_name, AWSCURRENT, to=version.id, remove_from=known.current.id if known.current else None
            )
    return key


_RETRY = "Secrets Manager begins again by itself; or: aws secretsmanager rotate-secret"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rotation:
    """One step's subject, and the version that it is about."""

    subject: CredentialContext
    settings: Settings
    token: VersionId
    rotation_token: str | None
    memory: RunState = field(default_factory=RunState)

    def look(self) -> KeyRing:
        """Look at the credential."""
        seen = observe(self.subject, self.settings)
        return interpret(self.memory.add_to(seen))

    def prove(self, key: AccessKeyId, version: SecretVersion) -> None:
        """Ask STS until it accepts what the version holds."""
        credential = self.subject.store.read(self.subject.secret_name, version.id)
        if credential is None or credential.id != key:
            raise ProviderRefused(
                f"the version {version.id} does not hold {key}", where=_where(self.subject), remedy=_RETRY
            )
        verify(self.subject, credential, self.settings)

    def create(self, known: KeyRing, now: datetime) -> AccessKeyId:
        """Make a key and store it, as of `now`, when the look began; one that was left over is taken on."""
        planned = self._plan(known, now, NativeRotation())
        if any(action.is_question for action in planned.actions):
            for question in planned.actions:
                if question.is_question:
                    self._perform(question, known)
            known = interpret(self.memory.add_to(known.observation))
            planned = self._plan(known, now, NativeRotation(is_asked=True))
        for hold in planned.holds:
            raise ProviderRefused(hold.reason, where=_where(self.subject), remedy=hold.remedy)
        match planned.actions:
            case (act.Restore(version=version),):
                return self._take_over(version)
            case (act.TakeClaim() as claim, act.CreateKey(base=str(base))):
                self._refuse_unready(known)
                self._perform(claim, known)
                return self._create(base)
        raise RuntimeError(f"Secrets Manager's own rotation has no road for {planned.actions}")

    def _plan(self, known: KeyRing, now: datetime, intent: NativeRotation) -> Plan:
        return plan_native(known.observation, self.subject.policy, now, intent)

    def _create(self, base: VersionId) -> AccessKeyId:
        beside = self.subject.store.other_fields(self.subject.secret_name, base)
        with self.settings.stop.whole():
            created = create_under_claim(self.subject, self.settings, self.memory)
            self._store(created.credential, beside)
        return created.credential.id

    def _perform(self, action: act.Action, known: KeyRing) -> None:
        perform(self.subject, action, known.observation, self.settings, self.memory)

    def _refuse_unready(self, known: KeyRing) -> None:
        """Refuse what could not come to its end: nothing is begun then."""
        archived = {target.address for target in known.observation.targets if target.is_archived}
        for answer in self.settings.each(lambda target: target.preflight(), self.subject.targets):
            if not answer.is_ready and answer.address not in archived:
                raise ProviderRefused(
                    f"{answer.address} would not take the new key: {answer.detail}",
                    where=answer.address,
                    remedy=answer.remedy,
                )

    def _take_over(self, version: VersionId) -> AccessKeyId:
        credential = self.subject.store.read(self.subject.secret_name, version)
        if credential is None:
            raise ProviderRefused(f"the version {version} holds no key", where=_where(self.subject), remedy=_RETRY)
        self._store(credential, self.subject.store.other_fields(self.subject.secret_name, version))
        return credential.id

    def _store(self, credential: KeyPair, beside: Secret) -> None:
        self.subject.store.put_rotating(
            self.subject.secret_name, self.token, credential, beside=beside, rotation_token=self.rotation_token
        )


def _version(known: KeyRing, token: VersionId) -> SecretVersion:
    """
    Find the version that is to be made: Secrets Manager has labelled its ID before it calls.

    Raises:
        ProviderRefused: It has not: someone called the function by hand.
    """
    version = next((version for version in known.versions if version.id == token), None)
    secret = known.observation.secret
    if secret is None:
        raise NotThere(f"{known.observation.user} has no secret to rotate")
    if not secret.rotates_itself:
        raise ProviderRefused(f"rotation is not switched on for {secret.name}", where=secret.arn)
    if version is None or not version.labels & {AWSPENDING, AWSCURRENT}:
        raise ProviderRefused(f"the version {token} is not AWSPENDING", where=secret.arn)
    return version


def _where(subject: CredentialContext) -> str:
    return f"secret {subject.secret_name}"
