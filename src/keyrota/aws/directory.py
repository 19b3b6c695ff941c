"""Whose key an ID is, and which users have keys at all."""

from __future__ import annotations

from keyrota.aws._translate import all_pages, aws_call
from keyrota.aws.account import Account
from keyrota.core.model import AccessKeyId
from keyrota.errors import KeyrotaError, NotThere, ProviderRefused

MAX_USERS = 500
"""So many users' keys are listed, one call each, to name candidates for keys that cannot be read."""


class Directory:
    """IAM users and access keys of one account."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def owner(self, key: AccessKeyId) -> str | None:
        """
        Return whose key it is; None if it is none of this account's, or not there any more.

        Source: IAM API Reference, GetAccessKeyLastUsed: the answer names the user.
        """
        try:
            with aws_call("iam:GetAccessKeyLastUsed", f"access key {key}"):
                answer = self._account.client("iam").get_access_key_last_used(AccessKeyId=key)
        except (NotThere, ProviderRefused):
            return None
        name = answer.get("UserName")
        return str(name) if name else None

    def account_of(self, key: AccessKeyId) -> str | None:
        """
        Return which account a key belongs to, whichever it is; None where AWS does not say.

        Source: STS API Reference, GetAccessKeyInfo: the account of any key ID, also of one that was deleted.
        """
        try:
            with aws_call("sts:GetAccessKeyInfo", f"access key {key}"):
                answer = self._account.client("sts").get_access_key_info(AccessKeyId=key)
        except KeyrotaError:
            return None
        found = answer.get("Account")
        return str(found) if found else None

    def users_with_keys(self) -> dict[str, tuple[AccessKeyId, ...]]:
        """List users that have keys, of the first `MAX_USERS`; nothing where the list may not be read."""
        found: dict[str, tuple[AccessKeyId, ...]] = {}
        client = self._account.client("iam")
        try:
            with aws_call("iam:ListUsers", "the account"):
                names = [user["UserName"] for user in all_pages(client, "list_users", "Users")][:MAX_USERS]
            for name in names:
                with aws_call("iam:ListAccessKeys", f"IAM user {name}"):
                    records = client.list_access_keys(UserName=name)["AccessKeyMetadata"]
                    keys = tuple(AccessKeyId(record["AccessKeyId"]) for record in records)
                if keys:
                    found[name] = keys
        except KeyrotaError:
            return found
        return found
