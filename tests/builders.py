"""Plain objects for tests, with defaults that read well: `a_key(age_days=91)`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from keyrota.core.model import (
    AWSCURRENT,
    AWSPREVIOUS,
    CLAIM,
    DEACTIVATED_TAG,
    OWNER_TAG,
    PENDING,
    PLACEHOLDER,
    REVOKED,
    SYNCED_TAG,
    AccessKey,
    AccessKeyId,
    Claim,
    DeactivationNote,
    DeactivationRecord,
    Evidence,
    IndexEntry,
    KeyStatus,
    LastUse,
    Observation,
    SecretReaders,
    SecretState,
    SecretVersion,
    Surroundings,
    SyncRecord,
    TargetEvidence,
    TargetState,
    UserName,
    UserTag,
    VersionId,
    Written,
    key_token,
    placeholder_token,
    unknown_use,
    version_mark,
)
from keyrota.core.plan import Plan
from keyrota.core.records import Index, format_deactivated, format_index, format_synced

NOW = datetime(2026, 6, 1, 6, tzinfo=UTC)
USER = UserName("ci-deploy")
FINGERPRINT = "0123456789abcdef"
MARK = "eu-central-1:keyrota/ci-deploy"
"""How the user's tag names its secret."""
SHOP = "bitbucket acme/shop Production"


def ago(days: float) -> datetime:
    """Return the instant so many days before NOW."""
    return NOW - timedelta(days=days)


def an_id(name: str) -> AccessKeyId:
    """Make a key ID that shows its name: `an_id("OLD")`."""
    return AccessKeyId(f"AKIA{name.upper():0>16}")


OLD, NEW, ODD = an_id("OLD"), an_id("NEW"), an_id("ODD")


def used(days_ago: float, service: str = "s3", region: str = "eu-central-1") -> LastUse:
    """Say that a key was used so many days ago."""
    return LastUse(evidence=Evidence.USED, at=ago(days_ago), service=service, region=region)


NEVER = LastUse(evidence=Evidence.NEVER)
UNKNOWN = unknown_use("throttled")


def a_key(
    key: AccessKeyId = OLD, *, age_days: float = 10, status: KeyStatus = KeyStatus.ACTIVE, use: LastUse = NEVER
) -> AccessKey:
    """Make a key of an age."""
    return AccessKey(id=key, status=status, status_word=status.value, created=ago(age_days), last_use=use)


def a_version(name: str, *labels: str) -> SecretVersion:
    """Make a version with labels."""
    return SecretVersion(id=VersionId(name), labels=frozenset(labels))


def current(key: AccessKeyId = OLD, name: str = "v1") -> SecretVersion:
    """Make the version that is AWSCURRENT and holds a key."""
    return a_version(name, AWSCURRENT, key)


def previous(key: AccessKeyId = OLD, name: str = "v0") -> SecretVersion:
    """Make the version that was current before."""
    return a_version(name, AWSPREVIOUS, key)


def pending(key: AccessKeyId = NEW, *, base: str = "v1") -> SecretVersion:
    """Make the version of a key that is stored and not served, made while `base` was current."""
    return a_version(key_token(key, VersionId(base)), PENDING, key)


def revoked(seen: Observation, *keys: AccessKeyId) -> Observation:
    """Mark keys as revoked: a label on each key's version."""
    if seen.secret is None:
        raise ValueError("there is no version to mark")
    versions = tuple(
        replace(version, labels=version.labels | {REVOKED + key for key in keys if key in version.labels})
        for version in seen.secret.versions
    )
    return replace(seen, secret=replace(seen.secret, versions=versions))


def unlabelled_placeholder() -> SecretVersion:
    """Make the version that CreateSecret made in a run that died before its label was on."""
    return SecretVersion(id=placeholder_token("keyrota/ci-deploy"), labels=frozenset({AWSCURRENT}))


def placeholder(*labels: str) -> SecretVersion:
    """Make the version that a secret is born with."""
    return a_version("v1", AWSCURRENT, PLACEHOLDER, *labels)


def a_claim(*, days_ago: float = 0, run: str = "another", seen: Iterable[AccessKeyId] = (OLD,)) -> Claim:
    """Make a claim with a lease of ten minutes."""
    at = ago(days_ago)
    return Claim(
        version=VersionId("claim"), run=run, at=at, lease_until=at + timedelta(minutes=10), keys_seen=frozenset(seen)
    )


def synced(version: str = "v1", *, since: float = 1, confirmed: float | None = None) -> tuple[str, str]:
    """Make the tag that says since how many days the targets hold a version."""
    record = SyncRecord(
        version=VersionId(version),
        since=ago(since),
        confirmed=ago(since if confirmed is None else confirmed),
        fingerprint=FINGERPRINT,
    )
    return SYNCED_TAG, format_synced(record)


def off_since(
    days: float, key: AccessKeyId = OLD, note: DeactivationNote = DeactivationNote.ROUTINE
) -> tuple[str, str]:
    """Make the tag that says since how many days a key is Inactive."""
    return DEACTIVATED_TAG, format_deactivated(DeactivationRecord(key=key, at=ago(days), note=note))


def a_secret(*versions: SecretVersion, tags: Iterable[tuple[str, str]] = (), changed: float = 1) -> SecretState:
    """Make a secret that is ours."""
    return SecretState(
        arn="arn:aws:secretsmanager:eu-central-1:123456789012:secret:keyrota/ci-deploy-AbCdEf",
        name="keyrota/ci-deploy",
        versions=versions,
        tags=((OWNER_TAG, USER), *tags),
        changed_at=ago(changed),
    )


def claim_version() -> SecretVersion:
    """Make the version that carries a claim."""
    return a_version("claim", CLAIM)


def remembers(*addresses: str, version: str = "v1", since: float = 1) -> tuple[tuple[str, str], ...]:
    """Make the tags that say that places were written, and since how many days they hold a version."""
    written = Written(version=version_mark(VersionId(version)), since=ago(since))
    entries = (IndexEntry(address=address, kind="world", settings="{}", written=written) for address in addresses)
    return tuple(format_index(Index(tuple(entries))).items())


def holds(key: AccessKeyId, address: str = SHOP) -> TargetState:
    """Make a target whose key ID is readable."""
    return TargetState(address=address, evidence=TargetEvidence.HOLDS, key=key)


def cannot_tell(address: str = SHOP) -> TargetState:
    """Make a target that is there and cannot be read."""
    return TargetState(address=address, evidence=TargetEvidence.CANNOT_TELL)


def absent(address: str = SHOP) -> TargetState:
    """Make a target without its variables."""
    return TargetState(address=address, evidence=TargetEvidence.ABSENT, detail="AWS_ACCESS_KEY_ID")


def down(address: str = SHOP) -> TargetState:
    """Make a target that does not answer."""
    return TargetState(address=address, evidence=TargetEvidence.FAILED, detail=f"{address} answered 503")


def looked_around(*targets: TargetState) -> tuple[Surroundings, ...]:
    """Say that nothing surrounds these targets, as a run that asked for it knows."""
    return tuple(Surroundings(address=target.address) for target in targets)


def observed(
    *keys: AccessKey,
    secret: SecretState | None = None,
    targets: tuple[TargetState, ...] = (),
    claim: Claim | None = None,
) -> Observation:
    """Make an observation of a run that has looked around its targets, and found nothing more."""
    return Observation(
        user=USER,
        account="123456789012",
        keys=keys,
        secret=secret,
        targets=targets,
        fingerprint=FINGERPRINT,
        claim=claim,
        readers=SecretReaders(),
        user_tag=UserTag(secret=MARK),
        secret_mark=MARK,
        run="this-run",
        surroundings=(),
        first_looks=looked_around(*targets),
    )


def check_told(planned: Plan, seen: Observation) -> None:
    """Hold a plan to what reports rely on: holds name key, target and end, and the first action can be done now."""
    for hold in planned.holds:
        first = hold.reason.removeprefix("the last use of ").partition(" ")[0]
        assert hold.key == first or not first.startswith("AKIA"), hold
        assert hold.until is None or hold.until > NOW, hold
        places = {target.address for target in (*seen.targets, *seen.left_behind) if target.address in hold.reason}
        assert hold.target in places or "its successor" in hold.reason or not places, hold
    assert not planned.actions or not planned.actions[0].follows, planned.actions
    assert all(later.key for later in planned.upcoming if later.shown != "rotate" or seen.keys), planned.upcoming
    assert all(action.due <= NOW for action in planned.actions), planned.actions


def by_run(observation: Observation, **known: object) -> Observation:
    """Add what the observing run knows by itself."""
    return replace(observation, **known)  # type: ignore[arg-type]  # fields by name
