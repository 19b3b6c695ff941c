"""What Secrets Manager refuses and moto does not (API Reference: PutSecretValue, UpdateSecretVersionStage)."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from keyrota_sandbox.memory.stored import (
    KEPT,
    LONGEST_TOKEN,
    MAX_LABELS,
    MAX_TAG_KEY_LENGTH,
    MAX_TAG_VALUE_LENGTH,
    MAX_TAGS,
    MAX_VALUE_BYTES,
    MAX_VERSIONS,
    SHORTEST_TOKEN,
)

_NAME = re.compile(r"[A-Za-z0-9/_+=.@-]{1,512}")
_TAG = re.compile(r"[\w \t_.:/=+\-@]*", re.UNICODE)
_MAX_LABEL_LENGTH = 256
_CHANGES = {"PutSecretValue", "UpdateSecretVersionStage", "TagResource", "UntagResource", "UpdateSecret"}
_REFUSED_WHILE_DELETED = {*_CHANGES, "GetSecretValue", "RotateSecret", "CreateSecret"}
_VALUED = {"PutSecretValue", "UpdateSecret"}
_CURRENT, _PREVIOUS = "AWSCURRENT", "AWSPREVIOUS"

Labels = Mapping[str, tuple[str, ...]]
"""Labels by version, as they were before a call."""


class Refused(Exception):  # it is what the service does
    """The service says no."""

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(code)
        self.code = code
        self.message = message
        self.status = status


class SecretRules:
    """Checks a call before moto sees it, and repairs the labels that moto leaves behind."""

    def __init__(self) -> None:
        from moto.secretsmanager.models import secretsmanager_backends  # noqa: PLC0415  # an extra

        self._backends: Any = secretsmanager_backends

    def secret(self, content: Mapping[str, Any], account: str, region: str) -> Any:
        """Find the secret that a call is about; None if it does not exist, or not any more."""
        name = content.get("SecretId") or content.get("Name") or ""
        secrets = self._backends[account][region].secrets
        secret = secrets.get(name)
        if secret is not None and secret.deleted_date and secret.deleted_date <= _now():
            secrets.pop(name)  # its recovery window is over
            return None
        return secret

    def check(self, action: str, content: Mapping[str, Any], secret: Any) -> dict[str, Any] | None:
        """Refuse, answer without an effect, or let moto answer (None)."""
        _check_names(content)
        if secret is None:
            return None
        if secret.deleted_date and action in _REFUSED_WHILE_DELETED:
            raise Refused("InvalidRequestException", _DELETED_NAME if action == "CreateSecret" else _DELETED)
        if action in _VALUED and any(theirs in content for _, theirs in _VALUES):
            settled = _check_put(secret, content, is_repeatable=action == "PutSecretValue")
            if settled is None:
                _make_room(secret, content)
            return settled
        if action == "TagResource":
            _check_tags(secret, content)
        if action == "CreateSecret":
            return _check_create(secret, content)
        if action == "RotateSecret":
            _check_rotate(secret, content)
        if action == "UpdateSecretVersionStage":
            return _check_move(secret, content)
        return None

    def settle(self, action: str, secret: Any, before: Labels) -> None:
        """Put labels where Secrets Manager has them, and note the change as LastChangedDate does."""
        if secret is None or action not in _CHANGES:
            return
        secret.last_changed_date = int(_now())
        new = next((version for version in secret.versions if version not in before), None)
        if new is not None and before:
            _relabel(secret, new, before)
        wearing = _find_labelled(secret, _CURRENT)
        if wearing is not None:
            secret.default_version_id = wearing


_DELETED = "You can't perform this operation on the secret because it was marked for deletion."
_DELETED_NAME = "You can't create this secret because a secret with this name is already scheduled for deletion."


def _now() -> float:
    return time.time()  # noqa: TID251  # the time machine's, as moto's own


def labels_of(secret: Any) -> Labels:
    """Remember the labels before a call."""
    if secret is None:
        return {}
    return {version: tuple(content["version_stages"]) for version, content in secret.versions.items()}


def _relabel(secret: Any, new: str, before: Labels) -> None:
    """A label of the new version comes off wherever it was; AWSPREVIOUS follows AWSCURRENT; all others stay."""
    stages = secret.versions[new]["version_stages"]
    moved = {*stages, *([_PREVIOUS] if _CURRENT in stages else [])}
    for version, labels in ((name, worn) for name, worn in before.items() if name in secret.versions):
        kept = [label for label in labels if label not in moved]
        if _CURRENT in stages and _CURRENT in labels:
            kept.append(_PREVIOUS)
        secret.versions[version]["version_stages"] = kept


def _find_labelled(secret: Any, label: str) -> str | None:
    return next((name for name, version in secret.versions.items() if label in version["version_stages"]), None)


def _check_names(content: Mapping[str, Any]) -> None:
    if "Name" in content and not _NAME.fullmatch(content["Name"]):
        raise Refused("ValidationException", "Invalid name. Must be alphanumeric or any of -/_+=.@!")
    labels = content.get("VersionStages") or [content.get("VersionStage", "x")]
    if any(not 1 <= len(label) <= _MAX_LABEL_LENGTH for label in labels) or len(labels) > MAX_LABELS:
        raise Refused("InvalidParameterException", "a staging label has 1 to 256 characters, a call names 20 at most")
    if len(content.get("SecretString") or "") > MAX_VALUE_BYTES:
        raise Refused("ValidationException", f"secretString must have length less than or equal to {MAX_VALUE_BYTES}")
    for tag in content.get("Tags") or ():
        key, value = tag.get("Key", ""), tag.get("Value", "")
        is_legal = _TAG.fullmatch(key) and _TAG.fullmatch(value)
        if not is_legal or not 1 <= len(key) <= MAX_TAG_KEY_LENGTH or len(value) > MAX_TAG_VALUE_LENGTH:
            raise Refused("InvalidParameterException", "a tag has characters or a length that are not allowed")


def _check_put(secret: Any, content: Mapping[str, Any], *, is_repeatable: bool) -> dict[str, Any] | None:
    """One token, one value; to UpdateSecret, the token of a version that exists is an error whatever the value."""
    token = content.get("ClientRequestToken", "")
    if not SHORTEST_TOKEN <= len(token) <= LONGEST_TOKEN:
        raise Refused("InvalidParameterException", "ClientRequestToken must have 32 to 64 characters")
    version = secret.versions.get(token)
    if version is None or all(version.get(ours) is None for ours, _ in _VALUES):  # the latter as RotateSecret leaves it
        return None
    if not is_repeatable or any(version.get(ours) != content.get(theirs) for ours, theirs in _VALUES):
        raise Refused("ResourceExistsException", "You can't modify an existing version, you can only create one")
    return _as_it_was(secret, token)


def _as_it_was(secret: Any, token: str) -> dict[str, Any]:
    worn = secret.versions[token]["version_stages"]
    return {"ARN": secret.arn, "Name": secret.name, "VersionId": token, "VersionStages": worn}


def _check_create(secret: Any, content: Mapping[str, Any]) -> dict[str, Any]:
    """The same request again is ignored; moto would overwrite a version that wears AWSPENDING."""
    token = content.get("ClientRequestToken", "")
    version = secret.versions.get(token)
    if version is None or any(version.get(ours) != content.get(theirs) for ours, theirs in _VALUES):
        raise Refused(
            "ResourceExistsException", f"The operation failed because the secret {secret.name} already exists."
        )
    return _as_it_was(secret, token)


def _make_room(secret: Any, content: Mapping[str, Any]) -> None:
    """Keep the quotas of a secret; what Secrets Manager may remove, it removes here as early as it may."""
    _check_labels(secret, content.get("VersionStages") or [_CURRENT])
    oldest = _now() - KEPT.total_seconds()
    old = [name for name, one in secret.versions.items() if not one["version_stages"] and one["createdate"] < oldest]
    is_new = content.get("ClientRequestToken") not in secret.versions
    if is_new and len(secret.versions) - len(old) >= MAX_VERSIONS:
        raise Refused("LimitExceededException", "a secret has about 100 versions, and those of 24 hours are kept")
    for name in old:
        del secret.versions[name]


def _check_labels(secret: Any, labels: list[str]) -> None:
    """Count the labels across all versions (user guide, quotas)."""
    worn = {label for version in secret.versions.values() for label in version["version_stages"]}
    if len(worn.union(labels)) > MAX_LABELS:
        raise Refused("LimitExceededException", "a secret has at most 20 staging labels across all versions")


def _check_tags(secret: Any, content: Mapping[str, Any]) -> None:
    """Count the tags with those that are there (AWS General Reference, tag quotas)."""
    there = {tag["Key"] for tag in secret.tags or ()}
    if len(there.union(tag["Key"] for tag in content.get("Tags") or ())) > MAX_TAGS:
        raise Refused("InvalidParameterException", f"a secret has at most {MAX_TAGS} tags")


def _check_rotate(secret: Any, content: Mapping[str, Any]) -> None:
    """It needs a function, and no rotation that is under way; moto would make the empty version AWSCURRENT."""
    if not (content.get("RotationLambdaARN") or secret.rotation_lambda_arn):
        raise Refused("InvalidRequestException", "The secret doesn't have a Lambda function ARN configured")
    pending = _find_labelled(secret, "AWSPENDING")
    if pending is not None and pending != _find_labelled(secret, _CURRENT):
        raise Refused(
            "InvalidRequestException", "A previous rotation isn't complete. That rotation will be reattempted."
        )


_VALUES = (("secret_string", "SecretString"), ("secret_binary", "SecretBinary"))


def _check_move(secret: Any, content: Mapping[str, Any]) -> dict[str, Any] | None:
    label, to = content.get("VersionStage", ""), content.get("MoveToVersionId")
    remove_from = content.get("RemoveFromVersionId")
    wearing = _find_labelled(secret, label)
    if to is not None and to not in secret.versions:
        raise Refused("ResourceNotFoundException", f"Secrets Manager can't find the version {to}")
    if label == _CURRENT and to is None:
        raise Refused("InvalidParameterException", "AWSCURRENT can be moved, not removed")
    is_named = remove_from == wearing or (remove_from is None and to == wearing)
    if not is_named:
        raise Refused(
            "InvalidParameterException",
            f"The staging label {label} is attached to version {wearing}, so RemoveFromVersionId must name that",
        )
    if to == wearing:
        return {"ARN": secret.arn, "Name": secret.name}
    if to is not None:
        _check_labels(secret, [label])
    return None
