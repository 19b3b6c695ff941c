"""IAM behind the port AccessKeys. Every call names its user: without UserName, IAM acts on the caller."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from keyrota.aws._translate import all_pages, aws_call, is_not_there, was_repeated
from keyrota.aws.account import Account
from keyrota.core.model import (
    NEVER_USED,
    SECRET_TAG,
    AccessKey,
    AccessKeyId,
    CreatedKey,
    Evidence,
    KeyPair,
    KeyStatus,
    LastUse,
    UserName,
    unknown_use,
)
from keyrota.core.naming import AWS_QUARANTINE
from keyrota.core.secret import Secret
from keyrota.core.timestamps import require_sane_utc
from keyrota.errors import KeyrotaError, NotThere, ProviderRefused, ProviderUnavailable

SESSIONS_POLICY = "keyrota-deny-sessions"
"""Name of the inline policy that `revoke --sessions` attaches."""


class IamAccessKeys:
    """The access keys of one account's users."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def _iam(self) -> Any:
        return self._account.client("iam")

    def list(self, user: UserName) -> tuple[AccessKey, ...]:
        """
        Return all keys, oldest first, without last use.

        Raises:
            NotThere: There is no such user.
            ProviderRefused: IAM spells the user's name with other capital letters.
        """
        where = f"IAM user {user}"
        try:
            with aws_call("iam:ListAccessKeys", where):
                records = all_pages(self._iam(), "list_access_keys", "AccessKeyMetadata", UserName=user)
                found = [_key(record) for record in records]
        except NotThere:
            raise NotThere(
                f"the IAM user {user} does not exist in account {self._account.id()}",
                where=where,
                remedy="correct `user` or `account` in the configuration, or make the user",
            ) from None
        _demand_spelling(user, {str(record.get("UserName") or user) for record in records} or self._ask_name(user))
        # By ID as well: CreateDate has whole seconds, and a plan must not depend on the order of IAM's answer.
        return tuple(sorted(found, key=lambda key: (key.created, key.id)))

    def _ask_name(self, user: UserName) -> set[str]:
        """
        Ask how IAM spells the name of a user without keys: a list of keys names nobody then.

        Who may not ask goes on. A policy of one user names it in a resource, with case: it allows no key for another
        spelling either.
        """
        try:
            with aws_call("iam:GetUser", f"IAM user {user}"):
                return {str(self._iam().get_user(UserName=user)["User"]["UserName"])}
        except KeyrotaError:
            return set()

    def last_use(self, key: AccessKeyId) -> LastUse:
        """Return the evidence of a key's use; whatever goes wrong is *unknown*, never *never*."""
        try:
            with aws_call("iam:GetAccessKeyLastUsed", f"access key {key}"):
                return _last_use(self._iam().get_access_key_last_used(AccessKeyId=key).get("AccessKeyLastUsed"))
        # Any failure whatsoever: "never used" would let a key be ended that is in use (promise proof-before-off).
        except KeyrotaError as error:
            return unknown_use(error.what)

    def user_of(self, key: AccessKeyId) -> UserName | None:
        """
        Ask IAM; None for a key of another account, one that is deleted, or where the question is not allowed.

        Source: IAM API Reference, GetAccessKeyLastUsed: the answer names the user.
        """
        try:
            with aws_call("iam:GetAccessKeyLastUsed", f"access key {key}"):
                name = self._account.client("iam").get_access_key_last_used(AccessKeyId=key).get("UserName")
        except KeyrotaError:
            return None
        return UserName(str(name)) if name else None

    def create(self, user: UserName) -> CreatedKey:
        """Make a key with exactly one request; after a lost answer a key may exist."""
        # botocore repeats a request whose response was lost, and CreateAccessKey has no token that would make that
        # harmless: the caller would get the second key, and the secret of the first would be lost (measured,
        # docs/facts/aws.md).
        client = self._account.client("iam", is_single_attempt=True)
        try:
            with aws_call("iam:CreateAccessKey", f"IAM user {user}"):
                record = client.create_access_key(UserName=user)["AccessKey"]
                return CreatedKey(
                    credential=KeyPair(
                        id=AccessKeyId(record["AccessKeyId"]), secret=Secret(record.pop("SecretAccessKey"))
                    ),
                    created=require_sane_utc(record["CreateDate"]),
                )
        except ProviderUnavailable as error:
            # Refused at the door (throttling), or never sent: no key was made, and saying so would be a false alarm.
            if error.is_undone:
                raise
            raise ProviderUnavailable(
                f"{error.what}: a key may have been made, and its secret is lost then",
                where=error.where,
                remedy="nothing to do: keyrota finds such a key, deactivates it after a day, deletes it after its "
                "grace, and rotates then; until then the current key works",
            ) from None

    def deactivate(self, user: UserName, key: AccessKeyId) -> None:
        """Set the key Inactive."""
        self._set_status(user, key, "Inactive")

    def reactivate(self, user: UserName, key: AccessKeyId) -> None:
        """Set the key Active."""
        self._set_status(user, key, "Active")

    def _set_status(self, user: UserName, key: AccessKeyId, status: str) -> None:
        with aws_call("iam:UpdateAccessKey", f"access key {key} of {user}"):
            self._iam().update_access_key(UserName=user, AccessKeyId=key, Status=status)

    def delete(self, user: UserName, key: AccessKeyId) -> bool:
        """
        Delete the key; a key that is gone already is success.

        Returns:
            Whether this call deleted it. A repeated request that finds no key may have deleted it the first time.
        """
        with aws_call("iam:DeleteAccessKey", f"access key {key} of {user}"):
            try:
                self._iam().delete_access_key(UserName=user, AccessKeyId=key)
            except ClientError as error:
                if not is_not_there(error):
                    raise
                # The first request may have been ours, its response lost. As "not deleted by us" the deletion would be
                # reported by no run.
                return was_repeated(error)
            return True

    def secret_tag(self, user: UserName) -> str:
        """
        Return the value of the user's tag `keyrota:secret`; empty if it has none.

        Source: IAM User Guide, tagging: IAM's tag keys differ in more than case, so case does not count.
        """
        with aws_call("iam:ListUserTags", f"IAM user {user}"):
            tags = all_pages(self._iam(), "list_user_tags", "Tags", UserName=user)
            return next((str(tag["Value"]) for tag in tags if str(tag["Key"]).lower() == SECRET_TAG), "")

    def set_secret_tag(self, user: UserName, secret: str) -> None:
        """Set the user's tag `keyrota:secret`."""
        with aws_call("iam:TagUser", f"IAM user {user}"):
            self._iam().tag_user(UserName=user, Tags=[{"Key": SECRET_TAG, "Value": secret}])

    def remove_secret_tag(self, user: UserName) -> None:
        """Remove the user's tag `keyrota:secret`; one that is gone already, or whose user is, is success."""
        try:
            with aws_call("iam:UntagUser", f"IAM user {user}"):
                self._iam().untag_user(UserName=user, TagKeys=[SECRET_TAG])
        except NotThere:
            return

    def quarantine_policies(self, user: UserName) -> tuple[str, ...]:
        """Return the ARNs of the quarantine policies that are attached to the user."""
        with aws_call("iam:ListAttachedUserPolicies", f"IAM user {user}"):
            found = all_pages(self._iam(), "list_attached_user_policies", "AttachedPolicies", UserName=user)
            return tuple(policy["PolicyArn"] for policy in found if AWS_QUARANTINE.fullmatch(policy["PolicyArn"]))

    def release_quarantine(self, user: UserName, policy_arn: str) -> None:
        """Detach such a policy; one that is gone already is success."""
        try:
            with aws_call("iam:DetachUserPolicy", f"IAM user {user}"):
                self._iam().detach_user_policy(UserName=user, PolicyArn=policy_arn)
        except NotThere:
            return

    def deny_sessions_before(self, user: UserName, instant: datetime) -> None:
        """
        Attach an inline policy that denies everything to sessions issued before the instant.

        The access keys themselves are not hit: aws:TokenIssueTime is there only for temporary credentials, and
        without `IfExists` a condition on an absent key is false (IAM User Guide, global condition context keys).
        """
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "DenySessionsIssuedBefore",
                    "Effect": "Deny",
                    "Action": "*",
                    "Resource": "*",
                    "Condition": {"DateLessThan": {"aws:TokenIssueTime": f"{instant:%Y-%m-%dT%H:%M:%SZ}"}},
                }
            ],
        }
        with aws_call("iam:PutUserPolicy", f"IAM user {user}"):
            self._iam().put_user_policy(UserName=user, PolicyName=SESSIONS_POLICY, PolicyDocument=json.dumps(policy))


def _demand_spelling(user: UserName, names: set[str]) -> None:
    """
    Refuse another spelling of a user's name, before anything is done with it.

    IAM keeps no two names that differ in case only (IAM User Guide, names), and finds a user by any spelling (reported,
    docs/facts/aws.md). STS, events and policies have the one spelling: a new key would never be accepted as this
    user's, and keyrota's own session would not be known as one.
    """
    for name in names - {user}:
        if name.casefold() == user.casefold():
            raise ProviderRefused(
                f"IAM spells the name of the user {user} as {name}",
                where=f"IAM user {user}",
                remedy=f"write `user: {name}` in the configuration",
            )


def _key(record: dict[str, Any]) -> AccessKey:
    word = str(record.get("Status", ""))
    known = {status.value for status in (KeyStatus.ACTIVE, KeyStatus.INACTIVE)}
    return AccessKey(
        id=AccessKeyId(record["AccessKeyId"]),
        status=KeyStatus(word) if word in known else KeyStatus.OTHER,
        status_word=word,
        created=require_sane_utc(record["CreateDate"]),
    )


def _last_use(used: Any) -> LastUse:
    """
    Read the evidence. Without a date, a key was never used only if IAM says `N/A` for the service.

    Source: IAM API Reference, AccessKeyLastUsed: ServiceName is required, and N/A for a key that was never used. An
    answer that merely lacks the date proves nothing.
    """
    if not isinstance(used, dict):
        return unknown_use("IAM's answer had no AccessKeyLastUsed")
    at, service = used.get("LastUsedDate"), used.get("ServiceName")
    if at is not None:
        return LastUse(
            evidence=Evidence.USED,
            at=require_sane_utc(at),
            service=_read_word(service),
            region=_read_word(used.get("Region")),
        )
    return NEVER_USED if service == "N/A" else unknown_use("IAM's answer had no LastUsedDate, and no N/A in its place")


def _read_word(word: Any) -> str:
    """`N/A` stands for nothing (global services have no region)."""
    return "" if word in (None, "N/A") else str(word)
