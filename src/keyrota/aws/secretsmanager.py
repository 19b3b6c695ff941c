"""Secrets Manager behind the port SecretStore."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from keyrota.aws._translate import aws_call, code_of, is_about_deletion, make_lost_race
from keyrota.aws.account import Account
from keyrota.core.lifecycle import KEY_ID
from keyrota.core.model import (
    AWSCURRENT,
    AWSPENDING,
    CLAIM,
    PENDING,
    PLACEHOLDER,
    AccessKeyId,
    Claim,
    KeyPair,
    SecretState,
    SecretVersion,
    VersionId,
    placeholder_token,
)
from keyrota.core.secret import Secret
from keyrota.core.timestamps import parse, require_sane_utc
from keyrota.core.variables import other_pair
from keyrota.errors import NotThere, ProviderRefused, SecretUnusable

_MARK = "keyrota"
_EMPTY = json.dumps({_MARK: "placeholder"})
_MAX_VALUE_BYTES = 65_536
"""Characters of a version's value (API Reference, PutSecretValue)."""
_MAX_LENGTH = "x" * 128
"""An access key ID has so many characters at most (IAM API Reference, accessKeyIdType); a secret access key has 40."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldNames:
    """Names of the two fields in the secret's JSON."""

    id: str = "AWS_ACCESS_KEY_ID"
    secret: str = "AWS_SECRET_ACCESS_KEY"  # noqa: S105  # a field's name


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretOptions:
    """How a secret is made and what its JSON looks like."""

    fields: FieldNames = field(default_factory=FieldNames)
    kms_key: str | None = None
    replica_region: str | None = None


class SecretsManagerStore:
    """The secrets of one account and region."""

    def __init__(self, account: Account, options: SecretOptions | None = None) -> None:
        self._account = account
        self._options = options or SecretOptions()

    def _sm(self) -> Any:
        return self._account.client("secretsmanager")

    def describe(self, name: str) -> SecretState | None:
        """Return the secret's versions, labels and tags; no value."""
        try:
            with _call("secretsmanager:DescribeSecret", name):
                return _state(self._sm().describe_secret(SecretId=name), self._options.kms_key)
        except NotThere:
            return None

    def resource_policy(self, name: str) -> str | None:
        """Return the secret's resource policy; None if it has none (the answer has no ResourcePolicy then)."""
        with _call("secretsmanager:GetResourcePolicy", name):
            policy = self._sm().get_resource_policy(SecretId=name).get("ResourcePolicy")
            return str(policy) if policy else None

    def create(self, name: str, tags: Mapping[str, str]) -> None:
        """
        Make the secret with its placeholder version, and label that version.

        Two calls; after a crash between them the same call again puts the label on.
        """
        token = placeholder_token(name)
        options: dict[str, Any] = {}
        if self._options.kms_key:
            options["KmsKeyId"] = self._options.kms_key
        if self._options.replica_region:
            options["AddReplicaRegions"] = [{"Region": self._options.replica_region}]
        try:
            with _call("secretsmanager:CreateSecret", name):
                self._sm().create_secret(
                    Name=name,
                    ClientRequestToken=token,
                    Description="An IAM access key, kept by keyrota",
                    SecretString=_EMPTY,
                    Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
                    **options,
                )
        except ProviderRefused:
            state = self.describe(name)
            if state is None or state.deleted_at:
                raise
            if not state.versions:  # made without a value, as Terraform does
                self._put(name, token, Secret(_EMPTY), [AWSCURRENT])
            # A secret with another first version is someone else's, made in the same moment: it is not taken over by a
            # retry.
            elif not any(version.id == token for version in state.versions):
                raise
        self._label_placeholder(name, token)

    def _label_placeholder(self, name: str, token: VersionId) -> None:
        state = self.describe(name)
        versions = state.versions if state else ()
        if not any(PLACEHOLDER in version.labels for version in versions):
            self.move_label(name, PLACEHOLDER, to=token, remove_from=None)

    def read(self, name: str, version: VersionId) -> KeyPair | None:
        """Return the pair that a version holds; None if it holds none at all."""
        with _call("secretsmanager:GetSecretValue", name):
            return self._pair(name, self._sm().get_secret_value(SecretId=name, VersionId=version))

    def current(self, name: str) -> tuple[VersionId, KeyPair]:
        """Return AWSCURRENT, its ID and its pair, from one answer."""
        with _call("secretsmanager:GetSecretValue", name):
            answer = self._sm().get_secret_value(SecretId=name, VersionStage=AWSCURRENT)
            # One call for both: with two, AWSCURRENT might move in between, and a pair would be recorded under another
            # version's ID.
            version, pair = VersionId(answer["VersionId"]), self._pair(name, answer)
        if pair is None:
            raise SecretUnusable(
                "AWSCURRENT holds no access key", where=_where(name), remedy="keyrota apply stores one when it is due"
            )
        return version, pair

    def _pair(self, name: str, answer: Mapping[str, Any]) -> KeyPair | None:
        content = _json(name, answer)
        names = self._options.fields
        found = [content.get(names.id), content.get(names.secret)]
        # No pair at all is a placeholder, or someone's other fields: that is allowed. Half a pair is not.
        if found == [None, None]:
            _refuse_other_names(name, content, names)
            return None
        if not all(isinstance(value, str) and value for value in found):
            raise SecretUnusable(
                f"the secret holds half a pair: {names.id} and {names.secret} must both be texts",
                where=_where(name),
                remedy="fix the JSON, or name other fields with `names:` in the configuration",
            )
        if not KEY_ID.fullmatch(content[names.id]):
            raise SecretUnusable(
                f"the field {names.id} of the secret is no access key ID",
                where=_where(name),
                remedy="fix the JSON, or name other fields with `names:` in the configuration",
            )
        return KeyPair(id=AccessKeyId(content[names.id]), secret=Secret(content[names.secret]))

    def claim(self, name: str, version: VersionId | None = None) -> Claim | None:
        """Return the claim in force, or that of a version; None if there is none that we understand."""
        which = {"VersionId": version} if version is not None else {"VersionStage": CLAIM}
        try:
            with _call("secretsmanager:GetSecretValue", name):
                answer = self._sm().get_secret_value(SecretId=name, **which)
            content = _json(name, answer)
            return Claim(
                version=VersionId(answer["VersionId"]),
                run=str(content["run"]),
                at=parse(content["at"]),
                lease_until=parse(content["lease_until"]),
                keys_seen=frozenset(AccessKeyId(str(key)) for key in content["keys_seen"]),
            )
        except (NotThere, SecretUnusable, KeyError, TypeError, ValueError):
            return None

    def put_claim(self, name: str, claim: Claim) -> None:
        """Store the claim; its version ID is the ClientRequestToken, so a second claim of the same name is refused."""
        content = {
            "run": claim.run,
            "at": claim.at.isoformat(),
            "lease_until": claim.lease_until.isoformat(),
            "keys_seen": sorted(claim.keys_seen),
        }
        self._put(name, claim.version, Secret(json.dumps(content)), [CLAIM])

    def other_fields(self, name: str, version: VersionId) -> Secret:
        """Return the fields of a version that are not the pair's, as JSON text, in their order."""
        with _call("secretsmanager:GetSecretValue", name):
            answer = self._sm().get_secret_value(SecretId=name, VersionId=version)
        names = self._options.fields
        ours = {_MARK, names.id, names.secret}
        fields = Secret(json.dumps({key: value for key, value in _json(name, answer).items() if key not in ours}))
        _check_room(name, len(fields.reveal()) + len(json.dumps({names.id: _MAX_LENGTH, names.secret: _MAX_LENGTH})))
        return fields

    def put_pending(self, name: str, version: VersionId, credential: KeyPair, *, beside: Secret) -> None:
        """Store a new pair beside the user's own fields."""
        self._put(name, version, self._join(beside, credential), [PENDING, credential.id])

    def put_restored(self, name: str, version: VersionId, credential: KeyPair, *, beside: Secret) -> None:
        """Store an older pair again; the label of its key moves to it (API Reference, PutSecretValue)."""
        self._put(name, version, self._join(beside, credential), [credential.id])

    def put_rotating(
        self, name: str, version: VersionId, credential: KeyPair, *, beside: Secret, rotation_token: str | None
    ) -> None:
        """Store a new pair in the version that Secrets Manager's own rotation named."""
        more = {"RotationToken": rotation_token} if rotation_token else {}
        self._put(name, version, self._join(beside, credential), [AWSPENDING, credential.id], more)

    def _join(self, beside: Secret, credential: KeyPair) -> Secret:
        names = self._options.fields
        return Secret(
            json.dumps(
                json.loads(beside.reveal()) | {names.id: credential.id, names.secret: credential.secret.reveal()}
            )
        )

    def _put(
        self, name: str, version: VersionId, value: Secret, stages: list[str], more: Mapping[str, str] | None = None
    ) -> None:
        with _call("secretsmanager:PutSecretValue", name, has_secret=True):
            try:
                self._sm().put_secret_value(
                    SecretId=name,
                    ClientRequestToken=version,
                    SecretString=value.reveal(),
                    VersionStages=stages,
                    **(more or {}),
                )
            except ClientError as error:
                if code_of(error) == "ResourceExistsException":
                    raise make_lost_race(f"the version {version} has another content", _where(name)) from None
                raise

    def move_label(self, name: str, label: str, *, to: VersionId | None, remove_from: VersionId | None) -> None:
        """UpdateSecretVersionStage; `LostRace` if the label is not where it was seen."""
        options: dict[str, str] = {}
        if to:
            options["MoveToVersionId"] = to
        if remove_from and remove_from != to:
            options["RemoveFromVersionId"] = remove_from
        with _call("secretsmanager:UpdateSecretVersionStage", name):
            try:
                self._sm().update_secret_version_stage(SecretId=name, VersionStage=label, **options)
            except ClientError as error:
                if code_of(error) in {"InvalidParameterException", "ResourceNotFoundException"}:
                    raise make_lost_race(f"the label {label} is not where it was", _where(name)) from None
                raise

    def tag(self, name: str, tags: Mapping[str, str]) -> None:
        """Set tags, all of them with one call."""
        with _call("secretsmanager:TagResource", name):
            self._sm().tag_resource(SecretId=name, Tags=[{"Key": key, "Value": tags[key]} for key in tags])


def read_reference(account: Account, reference: str) -> Secret:
    """
    Read `id#json-key` from Secrets Manager, for a token that the configuration refers to.

    Raises:
        ProviderRefused: The secret, or the field in it, is not there, or may not be read.
    """
    name, _, key = reference.partition("#")
    with aws_call("secretsmanager:GetSecretValue", _where(name)):
        answer = account.client("secretsmanager", region=_region_of(name)).get_secret_value(SecretId=name)
        stages = [str(stage) for stage in answer.get("VersionStages") or ()]
    if any(KEY_ID.fullmatch(stage) or stage.startswith("keyrota:") for stage in stages):
        raise ProviderRefused(
            "keyrota manages this secret: it holds an AWS access key, not a token",
            where=_where(name),
            remedy="refer to the secret that holds the provider's token",
        )
    if not key:
        if not isinstance(answer.get("SecretString"), str):
            raise SecretUnusable("the secret is binary", where=_where(name), remedy="store it as text")
        return Secret(answer.pop("SecretString"))
    content = _json(name, answer)
    if not isinstance(content.get(key), str):
        raise SecretUnusable(f"the secret's JSON has no text {key!r}", where=_where(name))
    return Secret(content.pop(key))


def _region_of(name: str) -> str | None:
    """Read the region out of an ARN: a service answers for its own region alone."""
    parts = name.split(":")
    return parts[3] if parts[0] == "arn" and len(parts) > 3 else None  # noqa: PLR2004  # an ARN's fields


def read_parameter(account: Account, name: str) -> Secret:
    """Read a parameter of SSM's Parameter Store, decrypted."""
    with aws_call("ssm:GetParameter", f"parameter {name}"):
        answer = account.client("ssm", region=_region_of(name)).get_parameter(Name=name, WithDecryption=True)
        return Secret(str(answer["Parameter"].pop("Value")))


def _json(name: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    """Read the value as a JSON object; no error carries a piece of it."""
    if "SecretString" not in answer:
        raise SecretUnusable(
            "the secret's value is binary", where=_where(name), remedy="store a JSON object, or name another secret"
        )
    try:
        content = json.loads(answer["SecretString"])
    except (ValueError, TypeError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise SecretUnusable(
            "the secret's value is not a JSON object",
            where=_where(name),
            remedy="store a JSON object, or name another secret; nothing was changed",
        )
    return content


def _state(answer: Mapping[str, Any], kms_key: str | None) -> SecretState:
    found = str(answer.get("KmsKeyId") or "")
    stages: dict[str, list[str]] = answer.get("VersionIdsToStages") or {}
    return SecretState(
        arn=answer["ARN"],
        name=answer["Name"],
        versions=tuple(
            SecretVersion(id=VersionId(version), labels=frozenset(map(str, labels)))
            # Versions without a label are left out: Secrets Manager removes them at any time.
            for version, labels in sorted(stages.items())
            if labels
        ),
        tags=tuple((str(tag["Key"]), str(tag["Value"])) for tag in answer.get("Tags") or ()),
        deleted_at=_utc(answer.get("DeletedDate")),
        changed_at=_utc(answer.get("LastChangedDate")),
        rotates_itself=bool(answer.get("RotationEnabled")),
        other_kms_key="" if found == kms_key else found,
    )


def read_listed_state(entry: Mapping[str, Any]) -> SecretState:
    """Read an entry of ListSecrets, which names versions and labels by another word; its KMS key is left as it is."""
    return _state({**entry, "VersionIdsToStages": entry.get("SecretVersionsToStages")}, None)


@contextmanager
def _call(action: str, name: str, *, has_secret: bool = False) -> Iterator[None]:
    """Make one call about a secret; where that is scheduled for deletion, the error says how to restore it."""
    try:
        with aws_call(action, _where(name), has_secret=has_secret):
            yield
    except ProviderRefused as error:
        if not isinstance(error, NotThere) and is_about_deletion(error.what):
            raise ProviderRefused(
                "the secret is scheduled for deletion",
                where=_where(name),
                remedy=f"aws secretsmanager restore-secret --secret-id {name}",
            ) from None
        raise


def _refuse_other_names(name: str, content: Mapping[str, Any], names: FieldNames) -> None:
    """Refuse a secret with a pair in other fields: a second one would be stored beside it, and nothing reads it."""
    conflict = other_pair(content, names.id, names.secret)
    if conflict is not None:
        raise SecretUnusable(
            conflict.what,
            where=_where(name),
            remedy=f"{conflict.remedy}; if it is another user's, give this user a secret of its own with `secret:`",
        )


def _check_room(name: str, size: int) -> None:
    """Refuse before a key is made whose pair could not be stored."""
    if size > _MAX_VALUE_BYTES:
        raise SecretUnusable(
            f"the secret has no room for an access key: written as JSON it would have {size} characters",
            where=_where(name),
            remedy=f"shorten its other fields: Secrets Manager takes {_MAX_VALUE_BYTES} characters",
        )


def _where(name: str) -> str:
    return f"secret {name}"


def _utc(instant: datetime | None) -> datetime | None:
    return require_sane_utc(instant) if instant else None
