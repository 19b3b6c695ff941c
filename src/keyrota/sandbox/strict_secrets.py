"""What Secrets Manager refuses and moto does not (API Reference: PutSecretValue, UpdateSecretVersionStage)."""

from __future__ import annotations

import re
import time
from typing import Any

_NAME = re.compile(r"[A-Za-z0-9/_+=.@-]{1,512}")
_TAG = re.compile(r"[\w\s_.:/=+\-@]*", re.UNICODE)
_LONGEST_LABEL = 256
_MOST_LABELS = 20
_LONGEST_TAG = 256
_CHANGES = {"PutSecretValue", "UpdateSecretVersionStage", "TagResource", "UpdateSecret"}


class Refused(Exception):  # it is what the service does
    """The service says no."""

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(code)
        self.code = code
        self.message = message
        self.status = status


class SecretRules:
    """Checks a call before moto sees it, and mends what moto leaves behind."""

    def __init__(self, account_id: str) -> None:
        from moto.secretsmanager.models import secretsmanager_backends  # noqa: PLC0415  # an extra

        self._backends: Any = secretsmanager_backends
        self._account = account_id

    def _secret(self, content: dict[str, Any], region: str) -> Any:
        secrets = self._backends[self._account][region].secrets
        name = content.get("SecretId", "")
        return secrets.get(name)

    def check(self, action: str, content: dict[str, Any], region: str) -> dict[str, Any] | None:
        """Refuse, answer without an effect, or let moto answer (None)."""
        self._check_names(content)
        secret = self._secret(content, region)
        if secret is None:
            return None
        if secret.deleted_date and action in {"PutSecretValue", "UpdateSecretVersionStage", "TagResource"}:
            raise Refused("InvalidRequestException", "You can't perform this operation on a secret marked for deletion")
        if action == "PutSecretValue":
            return self._check_put(secret, content)
        if action == "UpdateSecretVersionStage":
            return self._check_move(secret, content)
        return None

    def _check_names(self, content: dict[str, Any]) -> None:
        if "Name" in content and not _NAME.fullmatch(content["Name"]):
            raise Refused("ValidationException", "Invalid name. Must be alphanumeric or any of -/_+=.@!")
        labels = [*content.get("VersionStages", ()), content.get("VersionStage", "x")]
        if any(not 1 <= len(label) <= _LONGEST_LABEL for label in labels) or len(labels) > _MOST_LABELS:
            raise Refused("InvalidParameterException", "a staging label has 1 to 256 characters, a version 20 labels")
        for tag in content.get("Tags") or ():
            if not (
                _TAG.fullmatch(tag["Key"]) and _TAG.fullmatch(tag["Value"]) and len(tag["Value"]) <= _LONGEST_LABEL
            ):
                raise Refused("InvalidParameterException", f"the tag {tag['Key']} has characters that are not allowed")

    def _check_put(self, secret: Any, content: dict[str, Any]) -> dict[str, Any] | None:
        token = content.get("ClientRequestToken", "")
        if not 32 <= len(token) <= 64:  # noqa: PLR2004  # API Reference
            raise Refused("InvalidParameterException", "ClientRequestToken must have 32 to 64 characters")
        version = secret.versions.get(token)
        if version is None:
            return None
        if version.get("secret_string") != content.get("SecretString"):
            raise Refused("ResourceExistsException", "You can't modify an existing version, you can only create one")
        return {
            "ARN": secret.arn,
            "Name": secret.name,
            "VersionId": token,
            "VersionStages": version["version_stages"],
        }

    def _check_move(self, secret: Any, content: dict[str, Any]) -> dict[str, Any] | None:
        label, to, remove_from = (
            content["VersionStage"],
            content.get("MoveToVersionId"),
            content.get("RemoveFromVersionId"),
        )
        wearing = next((name for name, version in secret.versions.items() if label in version["version_stages"]), None)
        if to is not None and to not in secret.versions:
            raise Refused("ResourceNotFoundException", f"Secrets Manager can't find the version {to}")
        if to is not None and to == wearing:
            return {"ARN": secret.arn, "Name": secret.name}
        if wearing != remove_from and (wearing is not None or remove_from is not None):
            raise Refused(
                "InvalidParameterException",
                f"The staging label {label} is attached to version {wearing}, so RemoveFromVersionId must name that",
            )
        if to is not None and len(secret.versions[to]["version_stages"]) >= _MOST_LABELS:
            raise Refused("LimitExceededException", "a version has at most 20 staging labels")
        return None

    def settle(self, action: str, content: dict[str, Any], region: str) -> None:
        """Note the change, as LastChangedDate does."""
        secret = self._secret(content, region)
        if secret is not None and action in {
            "PutSecretValue",
            "UpdateSecretVersionStage",
            "TagResource",
            "UpdateSecret",
        }:
            secret.last_changed_date = int(time.time())  # noqa: TID251  # the time machine's, as moto's own
