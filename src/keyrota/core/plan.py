"""
What a plan is made of: actions, holds and things that are not due yet. Plain values, each with its reason in words.

An action says what to do, never how; the executor does it and observes again. `follows` marks an action that becomes
possible only when the one before it in the list is done.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from keyrota.core.model import AccessKeyId, VersionId


class Duty(StrEnum):
    """What a single-purpose run is for."""

    ROTATE = "rotate"
    SYNC = "sync"
    DEACTIVATE = "deactivate"
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Base:
    """What every action carries."""

    shown: ClassVar[str]
    """Its word in reports and `--json`; the small steps of one rotation are all `rotate` there."""
    done: ClassVar[str]
    """What a running command says of it, after the name and the key, once it is done; empty: nothing."""
    duties: ClassVar[frozenset[Duty]] = frozenset()
    """The single-purpose runs that do it, or their part of it; none: only what a person asked for does."""
    is_question: ClassVar[bool] = False
    """It changes nothing: a plan is made with its answer."""
    is_bookkeeping: ClassVar[bool] = False
    """It changes no key and no target: it is done also where the plan that was shown did not name it."""
    marks_user: ClassVar[bool] = False
    """The first of these in a run sets the tag `keyrota:secret` of an IAM user that has none."""
    needs_ownership: ClassVar[bool] = False
    """Only the secret that keeps the user's keys may do it."""
    needs_fresh_proof: ClassVar[bool] = False
    """After it, what still uses the key fails: its proof is read once more in the same step, targets included."""
    precedes_switch_off: ClassVar[bool] = False
    """`revoke --now` does it before it asks any provider, so that nothing delays the deactivation."""
    is_emergency_only: ClassVar[bool] = False
    """A part of `revoke` that harms no other configuration: it is done whatever the user's tag says."""
    acts_on: ClassVar[tuple[str, ...]] = ("key",)
    """
    The fields that say what it acts on: two actions of one kind that differ in one of them are two actions.

    The other fields say why, when and how; they may change from one look to the next while the action is the same.
    """
    reason: str
    due: datetime
    """When it fell due; not later than the instant that was planned for."""
    follows: bool = False

    @property
    def identity(self) -> tuple[object, ...]:
        """Identify this action among all others: by its kind and what it acts on."""
        return (type(self).__name__, *(getattr(self, name) for name in self.acts_on))


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateSecret(_Base):
    """Make the secret, with a placeholder version that holds no secret access key."""

    shown: ClassVar[str] = "rotate"
    done: ClassVar[str] = ""
    duties: ClassVar[frozenset[Duty]] = frozenset({Duty.ROTATE})
    marks_user: ClassVar[bool] = True
    needs_ownership: ClassVar[bool] = True
    precedes_switch_off: ClassVar[bool] = True
    key: None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopt(_Base):
    """Label the current version with the key that it stands for, so that later runs know this key as ours."""

    shown: ClassVar[str] = "adopt"
    done: ClassVar[str] = "adopted"
    duties: ClassVar[frozenset[Duty]] = frozenset({Duty.ROTATE, Duty.SYNC})
    marks_user: ClassVar[bool] = True
    needs_ownership: ClassVar[bool] = True
    precedes_switch_off: ClassVar[bool] = True
    acts_on: ClassVar[tuple[str, ...]] = ("key", "version")
    version: VersionId | None
    """None: the version is not there yet when the plan is made."""
    key: AccessKeyId | None
    """None: the version's value has to be read to know."""
    is_labelled: bool = True
    """False: the run only takes note of the key for itself; a run that may move labels puts the label on later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight(_Base):
    """Ask every target whether it would accept a write; changes nothing."""

    shown: ClassVar[str] = "rotate"
    done: ClassVar[str] = ""
    duties: ClassVar[frozenset[Duty]] = frozenset({Duty.ROTATE})
    is_question: ClassVar[bool] = True
    key: AccessKeyId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeClaim(_Base):
    """Write down, before it happens, that this run makes a key: compare-and-swap and write-ahead record in one."""

    shown: ClassVar[str] = "rotate"
    done: ClassVar[str] = "claimed"
    duties: ClassVar[frozenset[Duty]] = frozenset({Duty.ROTATE})
    marks_user: ClassVar[bool] = True
    needs_ownership: ClassVar[bool] = True
    key: AccessKeyId | None = None
    keys_seen: frozenset[AccessKeyId] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateKey(_Base):
    """Make the new key, once, and store it under `keyrota:pending` and its own ID."""

    shown: ClassVar[str] = "rotate"
    done: ClassVar[str] = "made and stored"
    duties: ClassVar[frozenset[Duty]] = frozenset({Duty.ROTATE})
    needs_ownership: ClassVar[bool] = True
    key: AccessKeyId | None = None
    """The key that is being replaced; None for a user's first."""
    base: VersionId | None = None
    """AWSCURRENT as it was observed; None while the secret does not exist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verify(_Base):
    """Ask STS until it accepted the key as the right user several times in a row."""

    shown: ClassVar[str] = "rotate"
    done: ClassVar[str] = "accepted by STS"
    duties: ClassVar[frozenset[Duty]] = frozenset({Duty.ROTATE})
    key: AccessKeyId | None
    """None in a plan that is made before the key exists."""
    version: VersionId | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore(_Base):
    """Store an older pair once more, in a version of its own beside today's other fields, under its key's label."""

    shown: ClassVar[str] = "rotate"
    done: ClassVar[str] = ""
    needs_ownership: ClassVar[bool] = True
    key: AccessKeyId
    version: VersionId
    """Which holds the pair."""
    base: VersionId
    """AWSCURRENT as it was observed: which holds today's other fields."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promote(_Base):
    """Move AWSCURRENT to a version, away from exactly the version that was observed."""

    shown: ClassVar[str] = "rotate"
    done: ClassVar[str] = "is AWSCURRENT"
    duties: ClassVar[frozenset[Duty]] = frozenset({Duty.ROTATE})
    needs_ownership: ClassVar[bool] = True
    key: AccessKeyId | None
    version: VersionId | None
    remove_from: VersionId | None
    is_rollback: bool = False
    """The previous key becomes current again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveLabel(_Base):
    """Take a label off that has done its duty."""

    shown: ClassVar[str] = "tidy"
    done: ClassVar[str] = ""
    duties: ClassVar[frozenset[Duty]] = frozenset({Duty.ROTATE})
    is_bookkeeping: ClassVar[bool] = True
    acts_on: ClassVar[tuple[str, ...]] = ("key", "label", "version")
    key: AccessKeyId | None = None
    label: str
    version: VersionId


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync(_Base):
    """Write AWSCURRENT to targets, and note it in `keyrota:synced` once all of them have it."""

    shown: ClassVar[str] = "sync"
    done: ClassVar[str] = "is on its targets"
    duties: ClassVar[frozenset[Duty]] = frozenset({Duty.SYNC})
    acts_on: ClassVar[tuple[str, ...]] = ("key", "is_rewrite", "is_repair")
    key: AccessKeyId | None
    targets: tuple[str, ...]
    """Addresses of the targets to write."""
    is_rewrite: bool = False
    """Written again although nothing differs, because half of what is there cannot be read back."""
    is_repair: bool = False
    """Only targets that differ; not a walk over all of them."""
    is_urgent: bool = False
    """Waits for no pipeline: a key has leaked."""
    not_before: datetime | None = None
    """Of a rewrite: only a walk that began then or later counts."""
    kept_out: frozenset[str] = frozenset()
    """Addresses that are not written, whatever AWSCURRENT becomes meanwhile (`places.find_unwritable`)."""
    details: tuple[str, ...] = ()
    """Of a repair: what each target holds instead, in the order of `targets`."""

    def reason_for(self, target: str | None) -> str:
        """Return why one target is written."""
        said = dict(zip(self.targets, self.details, strict=False)).get(target or "", self.reason)
        return said.removeprefix(f"{target} ")


@dataclass(frozen=True, slots=True, kw_only=True)
class AskRuns(_Base):
    """Ask targets whether runs are under way that were queued with an older key; changes nothing."""

    shown: ClassVar[str] = "deactivate"
    done: ClassVar[str] = ""
    duties: ClassVar[frozenset[Duty]] = frozenset({Duty.DEACTIVATE})
    is_question: ClassVar[bool] = True
    key: AccessKeyId
    before: datetime
    """When the successor was on every target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAround(_Base):
    """Ask targets which keys other scopes and levels of their projects show; changes nothing."""

    shown: ClassVar[str] = "look"
    done: ClassVar[str] = ""
    duties: ClassVar[frozenset[Duty]] = frozenset({Duty.DEACTIVATE, Duty.DELETE})
    is_question: ClassVar[bool] = True
    key: AccessKeyId | None = None
    """The key that is to be deactivated or deleted; None where another question is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskFirst(_Base):
    """Ask, before a first write, what surrounds places, whose keys they show, or who reads the secret; no changes."""

    shown: ClassVar[str] = "look"
    done: ClassVar[str] = ""
    duties: ClassVar[frozenset[Duty]] = frozenset({Duty.ROTATE, Duty.SYNC})
    is_question: ClassVar[bool] = True
    is_bookkeeping: ClassVar[bool] = True
    key: None = None
    targets: tuple[str, ...] = ()
    """Addresses of the places whose surroundings are read."""
    keys: tuple[AccessKeyId, ...] = ()
    """Keys whose owner AWS is asked for."""
    asks_readers: bool = False
    """Ask who besides the own account may read the secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskOwner(_Base):
    """Read the IAM user's tag `keyrota:secret`: whether another secret keeps the user's keys; changes nothing."""

    shown: ClassVar[str] = "look"
    done: ClassVar[str] = ""
    duties: ClassVar[frozenset[Duty]] = frozenset({Duty.ROTATE, Duty.SYNC, Duty.DEACTIVATE, Duty.DELETE})
    is_question: ClassVar[bool] = True
    is_bookkeeping: ClassVar[bool] = True
    precedes_switch_off: ClassVar[bool] = True
    key: None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AskValue(_Base):
    """Read what someone else put into AWSCURRENT, and ask whose key it is, once; changes nothing."""

    shown: ClassVar[str] = "look"
    done: ClassVar[str] = ""
    duties: ClassVar[frozenset[Duty]] = frozenset({Duty.ROTATE, Duty.SYNC})
    is_question: ClassVar[bool] = True
    is_bookkeeping: ClassVar[bool] = True
    key: None = None
    version: VersionId


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeOver(_Base):
    """Set the IAM user's tag `keyrota:secret` to this secret, because a person said so."""

    shown: ClassVar[str] = "adopt"
    done: ClassVar[str] = "its keys are kept by this secret now"
    needs_ownership: ClassVar[bool] = True
    key: None = None
    secret: str
    """How the tag names this secret from now on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deactivate(_Base):
    """Set a key Inactive and note since when."""

    shown: ClassVar[str] = "deactivate"
    done: ClassVar[str] = "is Inactive"
    duties: ClassVar[frozenset[Duty]] = frozenset({Duty.DEACTIVATE})
    needs_ownership: ClassVar[bool] = True
    needs_fresh_proof: ClassVar[bool] = True
    precedes_switch_off: ClassVar[bool] = True
    key: AccessKeyId
    is_emergency: bool = False
    """Asked for by `revoke`: not after an overlap, but at once; the key never takes over again by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteActive(_Base):
    """Note that someone switched a deactivated key on again: its overlap starts anew, a discarded key is theirs."""

    shown: ClassVar[str] = "tidy"
    done: ClassVar[str] = ""
    duties: ClassVar[frozenset[Duty]] = frozenset({Duty.DEACTIVATE})
    is_bookkeeping: ClassVar[bool] = True
    key: AccessKeyId


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteStack(_Base):
    """Note which deployed stack keeps the credential, so that a second one leaves it alone."""

    shown: ClassVar[str] = "tidy"
    done: ClassVar[str] = ""
    duties: ClassVar[frozenset[Duty]] = frozenset({Duty.ROTATE})
    is_bookkeeping: ClassVar[bool] = True
    key: None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteOrphan(_Base):
    """Note that a key is proven lost: its claim may be replaced, and who deactivates and deletes cannot read it."""

    shown: ClassVar[str] = "tidy"
    done: ClassVar[str] = ""
    duties: ClassVar[frozenset[Duty]] = frozenset({Duty.ROTATE})
    is_bookkeeping: ClassVar[bool] = True
    key: AccessKeyId


@dataclass(frozen=True, slots=True, kw_only=True)
class Choose(_Base):
    """Note which key a person chose: it is adopted as if it were the user's only one."""

    shown: ClassVar[str] = "adopt"
    done: ClassVar[str] = "is chosen: keyrota replaces it when it is due"
    marks_user: ClassVar[bool] = True
    needs_ownership: ClassVar[bool] = True
    key: AccessKeyId | None
    """None: none of those that are there; a first key is made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release(_Base):
    """Note that a person released a key that keyrota did not make: it is deactivated, and deleted after the grace."""

    shown: ClassVar[str] = "release"
    done: ClassVar[str] = "is released: it is deactivated, and deleted after the grace"
    marks_user: ClassVar[bool] = True
    needs_ownership: ClassVar[bool] = True
    needs_fresh_proof: ClassVar[bool] = True
    key: AccessKeyId


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkRevoked(_Base):
    """Mark a key as revoked, before anything else, so that no later run lets it take over again."""

    shown: ClassVar[str] = "tidy"
    done: ClassVar[str] = ""
    is_bookkeeping: ClassVar[bool] = True
    is_emergency_only: ClassVar[bool] = True
    precedes_switch_off: ClassVar[bool] = True
    key: AccessKeyId


@dataclass(frozen=True, slots=True, kw_only=True)
class Reactivate(_Base):
    """Set a key Active again: the way back."""

    shown: ClassVar[str] = "reactivate"
    done: ClassVar[str] = "is Active again"
    needs_ownership: ClassVar[bool] = True
    key: AccessKeyId


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete(_Base):
    """Delete an Inactive key whose grace is over, and take its label off."""

    shown: ClassVar[str] = "delete"
    done: ClassVar[str] = "is deleted"
    duties: ClassVar[frozenset[Duty]] = frozenset({Duty.DELETE})
    needs_ownership: ClassVar[bool] = True
    needs_fresh_proof: ClassVar[bool] = True
    key: AccessKeyId
    version: VersionId | None
    """None: whoever may move labels takes it off in another run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOrphan(_Base):
    """Delete a discarded key after its grace, or what this very run made and could not bring home."""

    shown: ClassVar[str] = "delete-orphan"
    done: ClassVar[str] = "(an orphan) is deleted"
    duties: ClassVar[frozenset[Duty]] = frozenset({Duty.DELETE})
    needs_ownership: ClassVar[bool] = True
    needs_fresh_proof: ClassVar[bool] = True
    key: AccessKeyId


@dataclass(frozen=True, slots=True, kw_only=True)
class DenySessions(_Base):
    """Deny temporary credentials that were issued before now; they outlive the key that made them."""

    shown: ClassVar[str] = "deny-sessions"
    done: ClassVar[str] = "older sessions are denied"
    is_emergency_only: ClassVar[bool] = True
    key: None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseQuarantine(_Base):
    """Detach the quarantine policy that AWS attached, and take our own denial of sessions off."""

    shown: ClassVar[str] = "release-quarantine"
    done: ClassVar[str] = "the quarantine is detached"
    is_emergency_only: ClassVar[bool] = True
    acts_on: ClassVar[tuple[str, ...]] = ("policy_arn",)
    key: None = None
    policy_arn: str


Action = (
    CreateSecret
    | Adopt
    | Preflight
    | TakeClaim
    | CreateKey
    | Verify
    | Restore
    | Promote
    | RemoveLabel
    | Sync
    | AskRuns
    | LookAround
    | AskFirst
    | AskOwner
    | AskValue
    | TakeOver
    | Deactivate
    | NoteActive
    | NoteOrphan
    | NoteStack
    | Choose
    | Release
    | MarkRevoked
    | Reactivate
    | Delete
    | DeleteOrphan
    | DenySessions
    | ReleaseQuarantine
)


Ending = Deactivate | Delete | DeleteOrphan | Release
"""Actions after which what still uses a key fails."""

LOOKS = AskRuns | LookAround | AskFirst | AskOwner | AskValue
"""Questions that a plan asks before it can be made; they change nothing."""


class Needs(StrEnum):
    """Who has to act on a hold; the exit code follows from it (promise says-broken)."""

    NOBODY = "nobody"
    """It ends by itself, and nothing is wrong meanwhile: a slot that is free later, a freeze window, another run."""
    PERSON = "person"
    """It waits until a person has decided or changed something; every place continues working meanwhile."""
    REPAIR = "repair"
    """Something does not work now: a place that holds a dead key, half a pair, or a key that was deactivated."""


class HoldKind(StrEnum):
    """What a hold is about, where that has an event and an alarm of its own."""

    ORDINARY = "ordinary"
    VALUE_REFUSED = "value refused"
    """Someone put a value into the secret that is not a valid key of this user: pipelines do not get it."""
    TORN = "torn"
    """A place holds half a pair, or may: every pipeline there fails until it is written."""
    UNWRITTEN = "unwritten"
    """A place was not given the current key, because it did not answer."""
    TURN = "turn"
    """A new key is due, and waits for its turn among those of the fleet: information, and nothing is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Something that would be done, or that ought to be looked at, and is not done: why, and what a person can do."""

    reason: str
    remedy: str = ""
    key: AccessKeyId | None = None
    target: str | None = None
    until: datetime | None = None
    """When it ends by itself; None: not by time alone."""
    needs: Needs = Needs.PERSON
    kind: HoldKind = HoldKind.ORDINARY

    @property
    def is_torn(self) -> bool:
        """Whether the place holds half a pair, or may."""
        return self.kind is HoldKind.TORN


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that a person should know; nothing waits for it."""

    reason: str
    remedy: str = ""
    target: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Upcoming:
    """Something that is not due yet: what, when, and on what condition."""

    shown: str
    due: datetime
    reason: str
    key: AccessKeyId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one credential needs at one instant."""

    actions: tuple[Action, ...] = ()
    """In the order in which they are safe."""
    holds: tuple[Hold, ...] = ()
    upcoming: tuple[Upcoming, ...] = field(default=())
    """Soonest first."""
    notices: tuple[Notice, ...] = ()

    @property
    def needs(self) -> Needs:
        """The most that any of its holds needs."""
        worst = {hold.needs for hold in self.holds}
        return next((needs for needs in (Needs.REPAIR, Needs.PERSON) if needs in worst), Needs.NOBODY)

    @property
    def broken(self) -> tuple[Hold, ...]:
        """What does not work now."""
        return tuple(hold for hold in self.holds if hold.needs is Needs.REPAIR)

    @property
    def makes_key(self) -> bool:
        """Whether a new access key would be made: what waves count."""
        return any(isinstance(action, CreateKey) for action in self.actions)
