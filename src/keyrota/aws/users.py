"""All IAM users of an account with their paths and tags, in bulk."""

from __future__ import annotations

from keyrota.aws._translate import all_pages, aws_call
from keyrota.aws.account import Account
from keyrota.core.model import UserName
from keyrota.core.selection import DirectoryUser

ACTION = "iam:GetAccountAuthorizationDetails"
_PAGE = 1000


class AccountUsers:
    """
    The users of one account.

    ListUsers gives no tags (IAM API Reference, ListUsers), and asking for them user by user is a call for each.
    """

    def __init__(self, account: Account) -> None:
        self._account = account

    def list(self) -> tuple[DirectoryUser, ...]:
        """
        List all users, all pages.

        Raises:
            ProviderRefused, ProviderUnavailable: They cannot be listed; no part of the list is given.
        """
        with aws_call(ACTION, "the account"):
            client = self._account.client("iam")
            found = all_pages(
                client, "get_account_authorization_details", "UserDetailList", Filter=["User"], MaxItems=_PAGE
            )
            return tuple(
                DirectoryUser(
                    name=UserName(str(user["UserName"])),
                    path=str(user["Path"]),
                    tags={str(tag["Key"]): str(tag["Value"]) for tag in user.get("Tags") or ()},
                )
                for user in found
            )
