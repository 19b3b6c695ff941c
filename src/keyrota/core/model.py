"""
The words that everything else is written in: plain, frozen values without behaviour of their own.

All times are aware datetimes in UTC. Names follow the services' documents (IAM, Secrets Manager).
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import NewType

from keyrota.core.secret import Secret

UserName = NewType("UserName", str)
AccessKeyId = NewType("AccessKeyId", str)
VersionId = NewType("VersionId", str)

AWSCURRENT = "AWSCURRENT"
AWSPREVIOUS = "AWSPREVIOUS"
AWSPENDING = "AWSPENDING"
"""The label of Secrets Manager's own rotation."""
PENDING = "keyrota:pending"
"""Our own label, because AWSPENDING left behind would block RotateSecret (API reference, RotateSecret)."""
CLAIM = "keyrota:claim"
PLACEHOLDER = "keyrota:placeholder"
"""Marks the version that a secret is born with: it holds no secret access key."""

REVOKED = "keyrota:revoked:"
"""Begins the label of a revoked key's version; the key's ID ends it, because a label sits on one version only."""

SYNCED_TAG = "keyrota:synced"
SYNC_PASS_TAG = "keyrota:sync-pass"  # noqa: S105  # a name
PAIRS_TAG = "keyrota:pairs"
DEACTIVATED_TAG = "keyrota:deactivated"
CREATED_TAG = "keyrota:created"
FORCED_TAG = "keyrota:forced"
INDEX_TAG = "keyrota:targets"
STACK_TAG = "keyrota:stack"
RELEASED_TAG = "keyrota:released"
"""When a person released a credential that left the configuration: it is not reported any more."""
ORPHAN_TAG = "keyrota:orphan"
ADOPT_TAG = "keyrota:adopt"
OWNER_TAG = "keyrota:user"
SECRET_TAG = "keyrota:secret"  # noqa: S105  # a name
"""On the IAM user, not on a secret: which secret keeps the user's keys."""

_MAX_MARK = 24
"""A provider's ID of at most so many characters is stored as it is."""

_NAMESPACE = uuid.UUID("8f5ac1a4-5d0f-5f0e-9a55-1d1a2b0c7e11")
_MAX_KEPT = 4096
"""Names that were made before: a run asks for the same ones at each look."""


class KeyStatus(StrEnum):
    """Status of an access key as IAM says it; OTHER is a word that we do not know (then: report, touch nothing)."""

    ACTIVE = "Active"
    INACTIVE = "Inactive"
    OTHER = "Other"


class Evidence(StrEnum):
    """What is known of a key's use. UNKNOWN (the read failed) is never taken for NEVER."""

    USED = "used"
    NEVER = "never"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class LastUse:
    """
    The last use of an access key.

    Source: IAM API Reference, GetAccessKeyLastUsed. IAM records only the first use within 15 minutes
    (IAM User Guide, credential report), and shows it with a delay that is not documented.
    """

    evidence: Evidence
    at: datetime | None = None
    service: str = ""
    region: str = ""
    why: str = ""
    """For UNKNOWN: why it could not be read."""


NEVER_USED = LastUse(evidence=Evidence.NEVER)


def unknown_use(why: str) -> LastUse:
    """Say that the last use could not be read, and why; it blocks whatever needs proof."""
    return LastUse(evidence=Evidence.UNKNOWN, why=why)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class CredentialId:
    """
    The one identity of a managed credential: an IAM user of one account.

    Two accounts may have users of the same name (promise right-credential), so nothing is keyed by a user name alone.
    """

    account: str
    """The account ID, 12 digits."""
    user: UserName

    def __str__(self) -> str:
        """Write it as the command line takes it: `ACCOUNT:USER`."""
        return f"{self.account}:{self.user}" if self.account else self.user


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whom keyrota itself runs as, as far as it matters for what it may switch off (promise right-credential)."""

    keys: frozenset[AccessKeyId] = frozenset()
    """The access keys behind its credentials: their own, and those that its roles were assumed with."""
    session_of: CredentialId | None = None
    """The IAM user whose temporary credentials it has; AWS does not tell which of the user's keys made them."""

    def runs_with(self, credential: CredentialId, key: AccessKeyId) -> bool:
        """Return whether a key of a credential is, or may be, one that keyrota is running with."""
        return key in self.keys or credential == self.session_of


NOBODY = Caller()


@dataclass(frozen=True, slots=True, kw_only=True)
class OfCredential:
    """What belongs to one credential: whose it is, and how people read its name."""

    user: UserName
    account: str
    """The account ID, 12 digits."""
    label: str = ""
    """How commands and reports name it: with its account, where several accounts are configured; empty: the user."""

    @property
    def credential(self) -> CredentialId:
        """The credential's one identity."""
        return CredentialId(account=self.account, user=self.user)

    @property
    def name(self) -> str:
        """Name the credential as the command line takes it."""
        return self.label or self.user


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKey:
    """IAM's record of an access key: never its secret."""

    id: AccessKeyId
    status: KeyStatus
    created: datetime
    last_use: LastUse = field(default_factory=lambda: unknown_use("not read yet"))
    status_word: str = ""
    """The status as IAM wrote it, for reports of a word that we do not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """The access key ID and the secret access key that a pipeline needs."""

    id: AccessKeyId
    secret: Secret

    def as_file(self) -> Secret:
        """Write the pair as the text of an AWS credentials file, for AWS_SHARED_CREDENTIALS_FILE."""
        return Secret(f"[default]\naws_access_key_id = {self.id}\naws_secret_access_key = {self.secret.reveal()}\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedKey:
    """The answer of CreateAccessKey, the only moment at which IAM tells the secret access key."""

    credential: KeyPair
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretVersion:
    """A version of the secret, as DescribeSecret names it: its ID and its staging labels, not its value."""

    id: VersionId
    labels: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncRecord:
    """The tag `keyrota:synced`: which version every target was found or made to hold, since when."""

    version: VersionId
    since: datetime
    """When the targets first held this version, all of them; the overlap counts from here."""
    confirmed: datetime
    """When this version was last written to every target, or read back from it in full."""
    fingerprint: str
    """Of the set of targets: a target added, removed or moved changes it."""
    ended: datetime | None = None
    """When our last write to any of them ended; a later change is someone else's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncPass:
    """
    The tag `keyrota:sync-pass`: how far one walk over all targets has come.

    A run that has to stop (a limit, an outage) leaves it, and the next run writes only what is left.
    """

    version: VersionId
    began: datetime
    fingerprint: str
    written: frozenset[str]
    """Addresses of targets to which this version was written since `began`."""


class PairDoubt(StrEnum):
    """What is known of a place whose pair is not whole; the word of the tag `keyrota:pairs`."""

    BEGUN = "b"
    """A write to it began, and no run has reported its end: it was killed, or it is writing right now."""
    ID_IS_NEW = "i"
    """The ID is that of the version of the record, the secret is not."""
    SECRET_IS_NEW = "s"  # noqa: S105  # a letter
    """The other way round."""
    UNSURE = "u"
    """One half was written, or may have been; which one is not known."""
    SAME = "w"
    """None: the pair that is there is being written once more, and the time of the place's last change will be ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairsRecord:
    """The tag `keyrota:pairs`: the places whose pair was begun and is not known to be whole."""

    version: VersionId
    """Whose pair was being written."""
    at: datetime
    places: tuple[tuple[str, PairDoubt], ...]
    """By the digest of the place's address (`records.place_digest`)."""
    is_cut: bool = False
    """There are more places than the tag can hold: any place with two variables may be one."""


class DeactivationNote(StrEnum):
    """What the tag `keyrota:deactivated` says beside key and time."""

    ROUTINE = ""
    SEEN_ACTIVE = "on"
    """Someone, or `rollback`, switched the key on again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeactivationRecord:
    """A key in the tag `keyrota:deactivated`: since when it is Inactive, as far as keyrota knows, or Active again."""

    key: AccessKeyId
    at: datetime
    note: DeactivationNote = DeactivationNote.ROUTINE


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretState:
    """The secret as DescribeSecret tells it."""

    arn: str
    name: str
    versions: tuple[SecretVersion, ...]
    tags: tuple[tuple[str, str], ...] = ()
    deleted_at: datetime | None = None
    """When its deletion was scheduled (DeletedDate); None: it is not."""
    changed_at: datetime | None = None
    """LastChangedDate: the last change of any kind."""
    problem: str = ""
    """Filled where a record of ours could not be read (a tag that someone edited); it is then ignored."""
    rotates_itself: bool = False
    """RotationEnabled: Secrets Manager calls a function on a schedule of its own."""
    other_kms_key: str = ""
    """KmsKeyId, where it is not the key that the configuration names; empty: that one, or Secrets Manager's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretReaders:
    """Who besides the own account may read the secret, as its resource policy says."""

    others: tuple[str, ...] = ()
    """What is allowed, and to whom, in words."""
    why_unknown: str = ""
    """Filled where the policy could not be read; unknown is never taken for none."""
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserTag:
    """What the IAM user's tag `keyrota:secret` says: which secret keeps the user's keys."""

    secret: str = ""
    """As `secret_mark` writes it; empty: the user has no such tag."""
    why_unknown: str = ""
    """Filled where the tag could not be read; unknown is never taken for none."""
    why_not_written: str = ""
    """Filled where the user has no such tag, and this run may not set it."""
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The content of a claim version: the write-ahead record that a run is about to make a key."""

    version: VersionId
    run: str
    at: datetime
    lease_until: datetime
    keys_seen: frozenset[AccessKeyId]


class TargetEvidence(StrEnum):
    """What a target says when it is read."""

    HOLDS = "holds"
    """The key ID is readable: `TargetState.key`."""
    CANNOT_TELL = "cannot tell"
    """The variables are there, their values are not readable."""
    ABSENT = "absent"
    """At least one variable is missing."""
    FAILED = "failed"
    """It could not be read: `TargetState.detail`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceId:
    """
    What a place is, whatever it is called (promise a-place-is-an-id).

    A name can be given to something else: a repository is renamed and a new one takes its name, `base_url` points to
    another host. The origin and the provider's own ID cannot.
    """

    kind: str
    """Name of the provider, as in `keyrota.targets`: `github`."""
    origin: str
    """Scheme, host, port and base path; for `ssm` account and region; for Kubernetes the cluster."""
    id: str
    """The provider's own IDs of the scope that holds the variables, outermost first: `repository 12 environment 7`."""

    def __str__(self) -> str:
        """Write it for reports."""
        return f"{self.kind} {self.origin} {self.id}"

    @property
    def identity(self) -> tuple[str, str]:
        """What tells places apart: a Forgejo may be configured as `gitea` as well, and is the same place."""
        return self.origin, self.id

    @property
    def mark(self) -> str:
        """Write the ID as the index stores it: 48 bits of its hash where it is long, so that 400 places have room."""
        return self.id if len(self.id) <= _MAX_MARK else f"~{_shorten(self.id)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What one place was last found or made to hold, as the index remembers it."""

    version: str
    """The secret's version, shortened by `version_mark`."""
    since: datetime
    """When the place first held that version; aware, UTC."""
    is_first: bool = False
    """It never held an older key: it was empty, or held nobody's key of ours, when this version was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """A person's word that keyrota may write into a place, whatever it holds."""

    by: str
    """ARN of the caller of `keyrota confirm`."""
    at: datetime
    """Aware, UTC."""
    seen: str
    """What the place held then, shortened; once it holds something else, the question is asked again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexEntry:
    """A target to which keys were written, with what is needed to reach it again when the configuration drops it."""

    address: str
    kind: str
    """Name of the provider in the configuration."""
    settings: str
    """The entry of the configuration, as JSON."""
    origin: str = ""
    """`PlaceId.origin` of the place that was written; empty where it is not known."""
    place: str = ""
    """`PlaceId.mark` of the place that was written; empty where it is not known."""
    variables: tuple[str, ...] = ()
    """Names of the variables that were written; empty where they are not known."""
    written: Written | None = None
    """None: a write was begun, and is not known to have come to its end."""
    confirmed: Confirmation | None = None
    is_begun: bool = True
    """A write was begun there; False: it is still to come, because a person has confirmed it, or it was archived."""

    @property
    def position(self) -> tuple[str, str, str]:
        """What tells it from other entries, in the order in which the index keeps them."""
        return self.address, self.origin, self.place

    def is_at(self, place: PlaceId | None) -> bool | None:
        """Return whether this is the place that was written; None where one of the two is not known."""
        if place is None or not self.place:
            return None
        return (self.origin, self.place) == (place.origin, place.mark)


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableState:
    """One variable of a target, as it was read: what a write would replace."""

    name: str
    is_present: bool
    key: AccessKeyId | None = None
    """The key ID that it shows; None where it is absent, unreadable, or not a key ID."""
    is_readable: bool = False
    is_marker: bool = False
    """It only names the key beside secrets that cannot be read: no half of the pair, and no job needs it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownKey:
    """
    A key ID that a place shows, under whatever name (promise seen-key-lives).

    Found in readable variables beside the pair, in other scopes and at other levels of the same project.
    """

    key: AccessKeyId
    where: str
    """In words: `variable DEPLOY_KEY_ID of bitbucket acme/shop Production`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """Something at a place that would make a write harmful, or useless: half a pair, a pair under other names."""

    what: str
    remedy: str
    is_lasting: bool = False
    """Harmful also after the first write: a plain pair that shadows the bundle. Otherwise only the first one asks."""
    key: AccessKeyId | None = None
    """The key of a pair under other names: one that keyrota keeps for another configured user is no conflict."""
    is_of_others: bool = False
    """No write of keyrota leaves it, not even one that broke off: it is asked about until a write came to its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What other scopes and levels of a target's project show; read before a first write, and before a key goes."""

    address: str
    """Of the target that was asked."""
    shown: tuple[ShownKey, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    """What makes a first write harmful: the other half of the pair at another level."""
    unread: tuple[str, ...] = ()
    """Scopes that the token could not read, each with the reason, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetState:
    """One target, as it was read in this observation."""

    address: str
    """Provider, scope and variable in words: `bitbucket acme/shop Production`."""
    evidence: TargetEvidence
    key: AccessKeyId | None = None
    changed_at: datetime | None = None
    detail: str = ""
    """For ABSENT: which variables; for FAILED: what the provider said."""
    remedy: str = ""
    is_empty: bool = False
    """For ABSENT: nothing of ours is left there, not even half a pair."""
    notice: str = ""
    """Something that a person should know, though nothing failed: it was renamed, it is archived."""
    token_expires: datetime | None = None
    """When the provider's own token ends, where the provider tells it."""
    place: PlaceId | None = None
    """What the place is, whatever its name; None where the read failed, or the provider tells no ID."""
    variables: tuple[VariableState, ...] = ()
    """The variables that a write would create or replace, present or not; empty where the read failed."""
    shown: tuple[ShownKey, ...] = ()
    """Key IDs that the read showed beside the pair's own."""
    conflicts: tuple[Conflict, ...] = ()
    """What makes a write harmful, as far as this one read shows."""
    is_gone: bool = False
    """The place itself is deleted, not only its variables (with FAILED)."""
    is_archived: bool = False
    """The place exists and runs nothing; it refuses writes."""
    carried_for: timedelta = timedelta()
    """So long after a write, runs that were queued before it may still carry the old value; zero: they do not."""
    read_at: datetime | None = field(default=None, compare=False)
    """When the read began; aware, UTC. Not a part of what was found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyOwner:
    """Whose key an ID is that a place shows, as far as AWS says."""

    key: AccessKeyId
    account: str | None = None
    """From sts:GetAccessKeyInfo; None: AWS does not say (no such key, or the question is not allowed)."""
    user: UserName | None = None
    """The IAM user, where the key is of the credential's own account."""
    status: KeyStatus | None = None
    """Of a key of another user; None: that is not known, or the key is none of another user's."""


class FirstWrite(StrEnum):
    """What is asked before keyrota writes into a place for the first time."""

    CHECK = "check"
    """A person is asked where the write is not harmless, as far as the place can be read."""
    ASK = "ask"
    """A person is asked wherever a pair is there that cannot be read, too."""
    CONFIRMED = "confirmed"
    """Of a single target: a person has answered, in the configuration."""


class RunsEvidence(StrEnum):
    """Whether runs are under way that carry an older value. UNKNOWN is never taken for NONE."""

    NONE = "none"
    SOME = "some"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedRuns:
    """A target's answer to whether runs that were queued before an instant are still under way."""

    address: str
    evidence: RunsEvidence
    detail: str = ""
    remedy: str = ""
    needs_person: bool = False
    """The runs do not end by themselves, or cannot be seen until someone grants the right to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundKey:
    """A place at a provider that holds an AWS key, or looks as if it did."""

    place: str
    """In words."""
    settings: Mapping[str, object] | None
    """As the configuration would name it; None where keyrota has no kind of target for it."""
    variable: str
    """The variable that holds, or seems to hold, the key ID."""
    key: AccessKeyId | None
    """The key ID, where it is readable."""
    remark: str = ""
    """What a person should know: a pair without its other half, a schedule that overrides the project."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """A target's answer to preflight: whether it would accept a write. Nothing was written to find out."""

    address: str
    is_ready: bool
    detail: str = ""
    remedy: str = ""
    token_expires: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedValue:
    """An AWSCURRENT that someone put into the secret and that cannot be served: why, and what a person can do."""

    version: VersionId
    reason: str
    remedy: str = ""
    key: AccessKeyId | None = None
    """The key ID in it, where it is readable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What a wave says of a new key that is due (`waves`)."""

    waits: bool
    """It is made in another run."""
    reason: str
    remedy: str = ""
    until: datetime | None = None
    """When it is its turn; aware, UTC; None: that is not known."""
    record: str = ""
    """Who had it made out of turn, and why, as the tag `keyrota:forced` keeps it; empty: it is made in its turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation(OfCredential):
    """Everything that is known of one credential at one moment: IAM, the secret, the targets."""

    keys: tuple[AccessKey, ...]
    secret: SecretState | None
    """None: the secret does not exist yet."""
    targets: tuple[TargetState, ...]
    fingerprint: str
    """Of the set of targets that the configuration names now."""
    claim: Claim | None = None
    run: str = ""
    """The ID of the run that observes; a claim with this ID is its own."""
    made_here: frozenset[AccessKeyId] = frozenset()
    """Keys that this very run created: only their maker may drop them early."""
    seen_gone: frozenset[AccessKeyId] = frozenset()
    """Keys that IAM did not list although the secret, which names them, had long been still when this run came."""
    verified: frozenset[AccessKeyId] = frozenset()
    """Keys that this very run saw accepted by STS, often enough in a row."""
    readiness: tuple[Readiness, ...] | None = None
    """What preflight said in this run; None: not asked yet."""
    left_behind: tuple[TargetState, ...] = ()
    """Targets that the configuration names no more, and that were not forgotten: what they hold now."""
    carried: tuple[CarriedRuns, ...] | None = None
    """What targets say of runs that carry an older key; None: not asked yet."""
    surroundings: tuple[Surroundings, ...] | None = None
    """What other scopes and levels of the targets' projects show; None: not asked yet (`plan.LookAround` asks)."""
    first_looks: tuple[Surroundings, ...] | None = None
    """What surrounds the places that are written for the first time; None: not asked yet (`plan.AskFirst` asks)."""
    owners: tuple[KeyOwner, ...] = ()
    """Whose keys such places show."""
    readers: SecretReaders | None = None
    """Who else may read the secret; None: not asked yet (`plan.AskFirst` asks before a key is stored)."""
    user_tag: UserTag | None = None
    """Which secret keeps the user's keys, as the user's own tag says; None: not asked yet (`plan.AskOwner` asks)."""
    secret_mark: str = ""
    """How that tag names the secret of this configuration."""
    first_writes: tuple[tuple[str, FirstWrite], ...] = ()
    """What the configuration says of first writes to single targets, by address."""
    neighbours: tuple[tuple[AccessKeyId, CredentialId], ...] = ()
    """Keys that other configured credentials serve, as far as this run has read them."""
    shared: tuple[tuple[str, str], ...] = ()
    """Addresses of targets that another configured credential writes as well, each with what is wrong in words."""
    quarantine: tuple[str, ...] = ()
    """ARNs of quarantine policies that AWS attached to the user; read only on the road of `revoke`."""
    made_whole: frozenset[str] = frozenset()
    """Addresses to which this very run has written a whole pair, last of all."""
    refused: RefusedValue | None = None
    """A value of AWSCURRENT that this run read and that is not a pair of this user's; None: no such value was read."""
    value_asked: VersionId | None = None
    """A version whose value this run has asked about before it was adopted (`plan.AskValue`); None: none."""
    keys_as_of: datetime | None = None
    """When AWS made the credential report that the keys come from; None: they were read for this observation."""
    unread: tuple[str, ...] = ()
    """Addresses of configured targets that this run did not read: what they hold is not known."""
    are_sessions_denied: bool = False
    """This run has attached the policy that denies sessions issued before it."""
    stack: str = ""
    """The deployed stack that looks; empty for a person."""
    tags_to_come: frozenset[str] = frozenset()
    """Keys of the tags that the configuration's targets and its own `tags:` need on the secret."""
    is_secret_named: bool = False
    """The configuration names the secret itself (then an existing one is adopted), instead of deriving its name."""
    runs_as: Caller = NOBODY
    """Whom keyrota itself runs as."""
    turn: Turn | None = None
    """What the wave of this run says of a new key; None: nothing."""

    def owner_of(self, key: AccessKeyId | None) -> KeyOwner | None:
        """Return what was asked about whose a key is; None: nobody asked."""
        return next((owner for owner in self.owners if owner.key == key), None)


def secret_mark(region: str, name: str) -> str:
    """
    Write a secret as the tag `keyrota:secret` of an IAM user names it: `REGION:NAME`.

    The account is the user's own. The random end of the secret's ARN is left out, because a secret that was deleted and
    made again is the same one to the configuration. A tag's value has room for 256 characters (IAM User Guide, quotas)
    and a secret's name may have 512, so a long name ends in its hash.
    """
    mark = f"{region}:{name}"
    if len(mark) <= _MAX_TAG_VALUE:
        return mark
    digest = hashlib.sha256(name.encode()).hexdigest()[:32]
    return f"{mark[: _MAX_TAG_VALUE - len(digest) - 1]}:{digest}"


_MAX_TAG_VALUE = 256


def version_mark(version: VersionId) -> str:
    """Shorten a version's ID to 48 bits of its hash: the index has about ten bytes for each target."""
    return _shorten(version)


def _shorten(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()[:6]).decode()


def claim_token(secret_arn: str, current: VersionId | None, generation: int) -> VersionId:
    """
    Name the claim of one generation on one current version.

    Two runs that claim the same generation send the same ClientRequestToken with different contents, and
    Secrets Manager refuses the second (API Reference, PutSecretValue).
    """
    return VersionId(str(uuid.uuid5(_NAMESPACE, f"claim {secret_arn} {current or '-'} {generation}")))


@lru_cache(_MAX_KEPT)
def placeholder_token(secret_name: str) -> VersionId:
    """
    Name the placeholder version that a secret is born with.

    Its label comes with a second call, which may be lost; so its ID says as well what it is.
    """
    return VersionId(str(uuid.uuid5(uuid.NAMESPACE_URL, f"keyrota placeholder {secret_name}")))


def make_restored_token(key: AccessKeyId, base: VersionId | None) -> VersionId:
    """
    Name the version that stores an older key again, to take over from `base`.

    It holds the older pair beside the fields that `base` has: what people changed since does not go back with it.
    """
    return VersionId(str(uuid.uuid5(_NAMESPACE, f"restored {key} {base or '-'}")))


@lru_cache(_MAX_KEPT)
def key_token(key: AccessKeyId, base: VersionId | None) -> VersionId:
    """
    Name the version that stores a new key, made while `base` was AWSCURRENT.

    Whoever knows the key's ID can tell from DescribeSecret alone whether a pending version was made for the
    version that is current now, or for one that another run has replaced since.
    """
    return VersionId(str(uuid.uuid5(_NAMESPACE, f"key {key} {base or '-'}")))
