"""Events of AWS, read tolerantly: their shapes differ by age, source and region (docs/facts/aws.md, Events)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from keyrota.core.model import AWSCURRENT
from keyrota.core.naming import AWS_QUARANTINE

_ARN = re.compile(r"arn:[a-z0-9-]+:secretsmanager:(?P<region>[a-z0-9-]+):(?P<account>[0-9]{12}):secret:(?P<name>.+)")
_TAIL = re.compile(r"-[A-Za-z0-9]{6}\Z")
_VALUE_CALLS = {"PutSecretValue", "UpdateSecret", "UpdateSecretVersionStage", "CreateSecret", "RotationSucceeded"}
_KEY_CALLS = {"CreateAccessKey", "UpdateAccessKey", "DeleteAccessKey"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretRef:
    """A secret as an event names it: by name, by ARN, or by a piece of an ARN."""

    text: str

    @property
    def account(self) -> str:
        """The account, if the event tells it by an ARN."""
        return self._part("account")

    @property
    def region(self) -> str:
        """The region, if the event tells it by an ARN."""
        return self._part("region")

    def _part(self, name: str) -> str:
        match = _ARN.fullmatch(self.text)
        return match[name] if match else ""

    def names(self) -> frozenset[str]:
        """Every name that may be meant: an ARN ends in the name, with or without six characters more."""
        match = _ARN.fullmatch(self.text)
        name = match["name"] if match else self.text
        return frozenset({self.text, name, _TAIL.sub("", name)} if match else {self.text})

    def means(self, secret_name: str) -> bool:
        """Return whether this is the secret of a credential, which the configuration names by name or ARN."""
        return bool(self.names() & SecretRef(text=secret_name).names())


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueEvent:
    """Word that a secret may have another AWSCURRENT; which, is read anew and never believed."""

    secrets: tuple[SecretRef, ...]
    account: str
    region: str
    at: datetime | None
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyEvent:
    """Word that someone changed the keys of a user, or that AWS put a user into quarantine."""

    user: str
    account: str
    call: str
    by: str
    """The ARN of who did it; empty if the event does not tell."""
    at: datetime | None
    id: str
    policy: str = ""

    @property
    def is_quarantine(self) -> bool:
        """Whether AWS attached its quarantine policy: a key of this user was found in public."""
        return self.call == "AttachUserPolicy" and AWS_QUARANTINE.fullmatch(self.policy) is not None


def value_event(event: Mapping[str, Any]) -> ValueEvent | None:
    """Read an event about a secret; None if AWSCURRENT cannot have moved by it, or it is about something else."""
    detail = _as_mapping(event.get("detail"))
    if event.get("detail-type") == "Secret Label Updated":
        # An event without the field is taken: its shape on a live account was not seen, and a sync too many does no
        # harm.
        if detail.get("labelUpdated", AWSCURRENT) != AWSCURRENT:
            return None
        texts = (*_texts(event.get("resources")), detail.get("name"))
    else:
        if detail.get("errorCode") or str(detail.get("eventName")) not in _VALUE_CALLS or not _may_move(detail):
            return None
        texts = tuple(_cloudtrail_secrets(detail))
    secrets = tuple(dict.fromkeys(SecretRef(text=text) for text in texts if isinstance(text, str) and text))
    if not secrets:
        return None
    return ValueEvent(
        secrets=_best(secrets),
        account=str(event.get("account") or ""),
        region=str(event.get("region") or ""),
        at=_instant(event.get("time")),
        id=str(event.get("id") or ""),
    )


def key_event(event: Mapping[str, Any]) -> KeyEvent | None:
    """Read an event of IAM; None if it is none about keys or quarantine, or the call was refused."""
    detail = _as_mapping(event.get("detail"))
    call = str(detail.get("eventName") or "")
    asked = _as_mapping(detail.get("requestParameters"))
    policy = str(asked.get("policyArn") or "")
    is_quarantine = call == "AttachUserPolicy" and AWS_QUARANTINE.fullmatch(policy) is not None
    who = _as_mapping(detail.get("userIdentity"))
    user = str(asked.get("userName") or (who.get("userName") if who.get("type") == "IAMUser" else "") or "")
    # CloudTrail records refused calls as well: nothing has changed by them.
    if detail.get("errorCode") or not user or not (call in _KEY_CALLS or is_quarantine):
        return None
    return KeyEvent(
        user=user,
        account=str(detail.get("recipientAccountId") or event.get("account") or ""),
        call=call,
        by=str(_as_mapping(detail.get("userIdentity")).get("arn") or ""),
        at=_instant(detail.get("eventTime") or event.get("time")),
        id=str(event.get("id") or ""),
        policy=policy,
    )


def _may_move(detail: Mapping[str, Any]) -> bool:
    """Return whether a call can have moved AWSCURRENT; a claim or a pending key of our own moves other labels."""
    asked = _as_mapping(detail.get("requestParameters"))
    stages = asked.get("versionStages")
    if detail.get("eventName") == "PutSecretValue" and isinstance(stages, list):
        return AWSCURRENT in stages
    if detail.get("eventName") == "UpdateSecretVersionStage":
        return bool(asked.get("versionStage", AWSCURRENT) == AWSCURRENT)
    return True


def _cloudtrail_secrets(detail: Mapping[str, Any]) -> Iterator[Any]:
    answered = _as_mapping(detail.get("responseElements"))
    # Before February 2024 some of CloudTrail's events spelled it `aRN` (docs/facts/aws.md, events).
    yield answered.get("arn") or answered.get("aRN") or answered.get("ARN")
    yield _as_mapping(detail.get("requestParameters")).get("secretId")
    yield _as_mapping(detail.get("additionalEventData")).get("SecretId")
    yield _as_mapping(detail.get("serviceEventDetails")).get("secretId")


def _best(secrets: tuple[SecretRef, ...]) -> tuple[SecretRef, ...]:
    """Prefer ARNs: they say which account and region a name belongs to."""
    return tuple(secret for secret in secrets if secret.account) or secrets


def _as_mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(text for text in value if isinstance(text, str)) if isinstance(value, list) else ()


def _instant(text: Any) -> datetime | None:
    try:
        instant = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
