"""
What the executor asks of the world. Implementations are in `aws/` and `targets/`; only `app` builds them.

Every implementation **must** turn each foreign exception into one of `keyrota.errors`, return values instead of lazy
iterators, read all pages, and be usable from several threads. None may log or keep a secret value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from keyrota.core.model import (
    AccessKey,
    AccessKeyId,
    CarriedRuns,
    Claim,
    CreatedKey,
    KeyPair,
    LastUse,
    PlaceId,
    Readiness,
    SecretState,
    Surroundings,
    TargetState,
    UserName,
    VersionId,
)
from keyrota.core.secret import Secret
from keyrota.errors import Half


class Clock(Protocol):
    """The only source of time."""

    def now(self) -> datetime:
        """Return the time: aware, UTC."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let that much time pass (a sandbox moves its time machine instead of waiting)."""
        ...


class AccessKeys(Protocol):
    """IAM, seen from one account. Every call names its user (without UserName, IAM acts on the caller)."""

    def list(self, user: UserName) -> tuple[AccessKey, ...]:
        """Return all keys, oldest first, without last use. `NotThere` if the user does not exist."""
        ...

    def last_use(self, key: AccessKeyId) -> LastUse:
        """Return the evidence; a refused or failed read is `unknown`, never an exception."""
        ...

    def user_of(self, key: AccessKeyId) -> UserName | None:
        """Return which user of this account a key belongs to; None where IAM does not say, and never raises."""
        ...

    def create(self, user: UserName) -> CreatedKey:
        """
        Make a key with exactly one request.

        Must not be sent twice: a lost answer is `ProviderUnavailable`, and a key may exist then.
        """
        ...

    def deactivate(self, user: UserName, key: AccessKeyId) -> None:
        """Set the key Inactive."""
        ...

    def reactivate(self, user: UserName, key: AccessKeyId) -> None:
        """Set the key Active."""
        ...

    def delete(self, user: UserName, key: AccessKeyId) -> bool:
        """Delete the key; a key that is gone already is success. Returns whether this call deleted it."""
        ...

    def secret_tag(self, user: UserName) -> str:
        """
        Return the value of the user's tag `keyrota:secret`; empty if it has none.

        `NotThere` if the user does not exist; a refused or failed read is `ProviderRefused` or `ProviderUnavailable`.
        """
        ...

    def set_secret_tag(self, user: UserName, secret: str) -> None:
        """Set the user's tag `keyrota:secret`; whoever writes last wins, so read it again."""
        ...

    def remove_secret_tag(self, user: UserName) -> None:
        """Remove the user's tag `keyrota:secret`; one that is gone already is success."""
        ...

    def quarantine_policies(self, user: UserName) -> tuple[str, ...]:
        """Return the ARNs of the policies `AWSCompromisedKeyQuarantine*` that are attached to the user."""
        ...

    def release_quarantine(self, user: UserName, policy_arn: str) -> None:
        """Detach such a policy."""
        ...

    def deny_sessions_before(self, user: UserName, instant: datetime) -> None:
        """Attach an inline policy that denies everything to sessions issued before the instant."""
        ...


class Identity(Protocol):
    """STS."""

    def whoami(self, credential: KeyPair) -> Sequence[str | None]:
        """
        Ask each regional endpoint once who the credential is.

        Returns:
            One ARN per endpoint; None where the key is not accepted (yet). `ProviderUnavailable` if STS is down.
        """
        ...

    def account_of(self, key: AccessKeyId) -> str | None:
        """
        Return to which account a key belongs, whoever made it (sts:GetAccessKeyInfo).

        None where AWS does not say, or the question is refused or fails: then it is not known, and never raises.
        """
        ...


class SecretStore(Protocol):
    """Secrets Manager, seen from one account and region."""

    def describe(self, name: str) -> SecretState | None:
        """Return the secret's versions, labels and tags, no value; None if it does not exist."""
        ...

    def resource_policy(self, name: str) -> str | None:
        """Return the secret's resource policy, JSON text (secretsmanager:GetResourcePolicy); None if it has none."""
        ...

    def create(self, name: str, tags: Mapping[str, str]) -> None:
        """
        Make the secret with its placeholder version (AWSCURRENT and `keyrota:placeholder`).

        A secret that exists by now is success.
        """
        ...

    def read(self, name: str, version: VersionId) -> KeyPair | None:
        """
        Return the pair that a version holds; None if it is a JSON object without a pair (a placeholder).

        `SecretUnusable` if it is binary, no JSON object, or holds half a pair.
        """
        ...

    def current(self, name: str) -> tuple[VersionId, KeyPair]:
        """Return AWSCURRENT, its ID and its pair, read as one."""
        ...

    def claim(self, name: str, version: VersionId | None = None) -> Claim | None:
        """
        Return the claim in the version labelled `keyrota:claim`, or in the one named, whatever labels it has.

        None if there is none that we understand.
        """
        ...

    def put_claim(self, name: str, claim: Claim) -> None:
        """Store the claim under its version as ClientRequestToken. `LostRace` if that token has other content."""
        ...

    def other_fields(self, name: str, version: VersionId) -> Secret:
        """
        Return the fields of a version that are not the pair's, as one opaque value for `put_pending`.

        Read before a key is made, so that nothing stands between its creation and its storage.
        """
        ...

    def put_pending(self, name: str, version: VersionId, credential: KeyPair, *, beside: Secret) -> None:
        """
        Store a new pair under the stages `keyrota:pending` and its key ID, beside the user's own fields.

        Storing the same again is success; `LostRace` if the version has another content.
        """
        ...

    def put_restored(self, name: str, version: VersionId, credential: KeyPair, *, beside: Secret) -> None:
        """
        Store an older pair again, under its key ID alone, beside the user's own fields; that label moves with it.

        Storing the same again is success; `LostRace` if the version has another content.
        """
        ...

    def put_rotating(
        self, name: str, version: VersionId, credential: KeyPair, *, beside: Secret, rotation_token: str | None
    ) -> None:
        """
        Store a new pair for Secrets Manager's own rotation: under AWSPENDING and its key ID, in the version it named.

        Storing the same again is success; `LostRace` if the version has another content.
        """
        ...

    def move_label(self, name: str, label: str, *, to: VersionId | None, remove_from: VersionId | None) -> None:
        """
        UpdateSecretVersionStage: a compare-and-swap on `remove_from`.

        `LostRace` if the label is not on `remove_from` (any more).
        """
        ...

    def tag(self, name: str, tags: Mapping[str, str]) -> None:
        """Set tags, all of them with one call."""
        ...


class Target(Protocol):
    """
    One place where a pipeline finds its key: a scope of variables at a CI provider.

    Must read all pages, keep variables that are not its own, encode names, refuse redirects to other hosts,
    wait as the service says within a bound, and name variable, missing scope and remedy in each refusal.
    """

    @property
    def address(self) -> str:
        """Provider and scope in words, stable, unique in a configuration."""
        ...

    @property
    def has_separate_variables(self) -> bool:
        """ID and secret are two variables, so that a job that starts between two writes reads half a pair."""
        ...

    @property
    def is_id_readable(self) -> bool:
        """The key ID can be read back."""
        ...

    def preflight(self) -> Readiness:
        """Return whether a write would be accepted, without writing; never raises for a refusal."""
        ...

    def read(self) -> TargetState:
        """Return what is there; a failed read is the value FAILED, not an exception."""
        ...

    def place_now(self) -> PlaceId | None:
        """
        Say which place the name means now, asked anew; None where the provider does not say.

        Asked before a write that comes some time after the last read: the name may have been given to something else.
        """
        ...

    def write(self, credential: KeyPair) -> None:
        """Create or update the pair; safe to repeat."""
        ...

    @property
    def wait_for_idle(self) -> timedelta:
        """How long a write waits at most for runs that are in progress; zero: it does not wait."""
        ...

    def is_busy(self) -> bool | None:
        """Return whether a run that uses these variables is in progress; None if it cannot be told; never raises."""
        ...

    def runs_with_old_key(self, before: datetime) -> CarriedRuns:
        """
        Return whether runs are under way that were queued before an instant and carry the values of that time.

        Asked only while `TargetState.carried_for` lasts; a refusal is the value UNKNOWN, not an exception.
        """
        ...

    def surroundings(self) -> Surroundings:
        """
        Read which key IDs other scopes and levels of the same project show, where the token can read them.

        Asked before the first write to a place, and before a key is deactivated or deleted. A scope that cannot be
        read is named in `unread`; never raises.
        """
        ...

    def clear(self, keys: frozenset[AccessKeyId]) -> tuple[str, ...]:
        """
        Delete the variables, and return their names; what is gone already is success.

        Args:
            keys: Only what holds one of these, or what cannot be read, is ours to delete. `ProviderRefused` else.
        """
        ...

    def delete_half(self, half: Half) -> None:
        """
        Delete one of two variables: a half that was just written into an empty place, and whose other half was refused.

        What is gone already is success. The caller has seen that it is ours and alone there.
        """
        ...


SecretReader = Callable[[str], Secret]
"""Resolves a reference of the configuration (`env:NAME`, `file:path`, …) when the value is first needed."""
