"""What one run remembers, and joins with what it observes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from keyrota.core.model import (
    AccessKey,
    AccessKeyId,
    CarriedRuns,
    Claim,
    CredentialId,
    DeactivationRecord,
    KeyOwner,
    KeyStatus,
    Observation,
    Readiness,
    RefusedValue,
    SecretReaders,
    Surroundings,
    Turn,
    UserTag,
    VersionId,
)
from keyrota.executor.adoption import add_labels


@dataclass(slots=True, kw_only=True)
class RunState:
    """What a run knows beyond what can be observed; lost with it, and nothing depends on that."""

    claim: Claim | None = None
    """The claim that this run took."""
    made: dict[AccessKeyId, AccessKey] = field(default_factory=dict)
    """Keys that this run made, and did not delete again."""
    promoted: set[AccessKeyId] = field(default_factory=set)
    """Keys that this run made AWSCURRENT, or may have: whoever asked since then was given them."""
    switched: dict[AccessKeyId, KeyStatus] = field(default_factory=dict)
    """What this run switched off or on."""
    deleted: set[AccessKeyId] = field(default_factory=set)
    seen_gone: set[AccessKeyId] = field(default_factory=set)
    """Keys that the secret named and IAM did not have any more, whenever this run looked."""
    verified: set[AccessKeyId] = field(default_factory=set)
    readiness: tuple[Readiness, ...] | None = None
    carried: tuple[CarriedRuns, ...] | None = None
    surroundings: tuple[Surroundings, ...] | None = None
    first_looks: tuple[Surroundings, ...] | None = None
    owners: tuple[KeyOwner, ...] = ()
    readers: SecretReaders | None = None
    user_tag: UserTag | None = None
    neighbours: tuple[tuple[AccessKeyId, CredentialId], ...] = ()
    shared: tuple[tuple[str, str], ...] = ()
    turn: Turn | None = None
    """What the wave says of a new key."""
    labels: dict[str, VersionId] = field(default_factory=dict)
    """Which version holds which key, as this run read it; another run may still have to put the label on."""
    refused: RefusedValue | None = None
    """A value of AWSCURRENT that cannot be served."""
    value_asked: VersionId | None = None
    are_sessions_denied: bool = False
    made_whole: set[str] = field(default_factory=set)
    """Addresses to which this run wrote a whole pair."""
    noted: dict[AccessKeyId, DeactivationRecord] = field(default_factory=dict)
    """What this run wrote into the tag `keyrota:deactivated`."""

    def add_to(self, observation: Observation) -> Observation:
        """Join what was observed with what is remembered; IAM's list may lag behind what this run has done."""
        listed = {key.id for key in observation.keys}
        keys = (*observation.keys, *(key for key in self.made.values() if key.id not in listed))
        return replace(
            observation,
            keys=tuple(self._as_left(key) for key in keys if key.id not in self.deleted),
            made_here=frozenset(self.made.keys() - self.promoted),
            seen_gone=frozenset(self.seen_gone),
            verified=frozenset(self.verified),
            readiness=self.readiness,
            carried=self.carried,
            surroundings=self.surroundings,
            first_looks=self.first_looks,
            owners=self.owners,
            readers=self.readers,
            user_tag=self.user_tag,
            neighbours=self.neighbours,
            shared=self.shared,
            secret=add_labels(observation.secret, self.labels),
            refused=self.refused,
            value_asked=self.value_asked,
            are_sessions_denied=self.are_sessions_denied,
            made_whole=frozenset(self.made_whole),
            turn=self.turn,
        )

    def _as_left(self, key: AccessKey) -> AccessKey:
        status = self.switched.get(key.id, key.status)
        return key if status is key.status else replace(key, status=status, status_word=status.value)
