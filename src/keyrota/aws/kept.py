"""The secrets of an account that keyrota has kept keys in, whatever the configuration names today."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from keyrota.aws._translate import aws_call
from keyrota.aws.account import Account
from keyrota.aws.secretsmanager import read_listed_state
from keyrota.core.lifecycle import KEY_ID
from keyrota.core.model import AWSCURRENT, OWNER_TAG, RELEASED_TAG, STACK_TAG, AccessKeyId, SecretState, UserName


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptSecret:
    """A secret with keyrota's tag, as ListSecrets shows it: no value is read."""

    name: str
    arn: str
    user: UserName
    """From the tag, which writes a comma as a slash."""
    stack: str
    is_released: bool
    tags: Mapping[str, str] = field(default_factory=dict)
    current_labels: frozenset[str] = frozenset()
    """The staging labels of the version that is AWSCURRENT: among them the ID of the key that is served."""
    state: SecretState | None = field(default=None, compare=False)
    """As DescribeSecret would say it, some minutes ago."""

    @property
    def served(self) -> AccessKeyId | None:
        """The key that AWSCURRENT holds, as its label says."""
        return next((AccessKeyId(label) for label in self.current_labels if KEY_ID.fullmatch(label)), None)


def list_kept_secrets(account: Account) -> tuple[KeptSecret, ...]:
    """
    List the secrets of one account and region that carry the tag `keyrota:user`, all pages.

    Secrets that are scheduled for deletion are not among them (Secrets Manager API Reference, ListSecrets).

    Raises:
        ProviderRefused, ProviderUnavailable: They cannot be listed.
    """
    found: list[KeptSecret] = []
    with aws_call("secretsmanager:ListSecrets", f"region {account.region}"):
        client = account.client("secretsmanager")
        for page in client.get_paginator("list_secrets").paginate(Filters=[{"Key": "tag-key", "Values": [OWNER_TAG]}]):
            for secret in page.get("SecretList") or ():
                tags = {tag["Key"]: tag["Value"] for tag in secret.get("Tags") or ()}
                if OWNER_TAG not in tags:
                    continue  # the filter matches what a key begins with
                found.append(
                    KeptSecret(
                        name=str(secret["Name"]),
                        arn=str(secret["ARN"]),
                        user=UserName(tags[OWNER_TAG].replace("/", ",")),
                        stack=tags.get(STACK_TAG, ""),
                        is_released=RELEASED_TAG in tags,
                        tags=tags,
                        current_labels=_current_labels(secret.get("SecretVersionsToStages") or {}),
                        state=read_listed_state(secret),
                    )
                )
    return tuple(found)


def _current_labels(stages: Mapping[str, list[str]]) -> frozenset[str]:
    return frozenset(label for labels in stages.values() if AWSCURRENT in labels for label in labels)


def release(account: Account, arn: str, at: datetime) -> None:
    """Note on a secret that a person has released its credential."""
    with aws_call("secretsmanager:TagResource", f"secret {arn}"):
        tag = {"Key": RELEASED_TAG, "Value": f"{at:%Y-%m-%dT%H:%M:%SZ}"}
        account.client("secretsmanager").tag_resource(SecretId=arn, Tags=[tag])
