"""STS behind the port Identity."""

from __future__ import annotations

from collections.abc import Sequence

from keyrota.aws._translate import aws_call
from keyrota.aws.account import Account
from keyrota.core.model import AccessKeyId, KeyPair
from keyrota.errors import KeyrotaError, NoCredentials


class StsIdentity:
    """
    Asks the regional endpoints of STS who a key is.

    GetCallerIdentity needs no permission, so a refusal is about the key itself (API Reference, GetCallerIdentity).
    """

    def __init__(self, account: Account, regions: Sequence[str] = ()) -> None:
        self._account = account
        self._regions = tuple(regions)

    def whoami(self, credential: KeyPair) -> Sequence[str | None]:
        """Return one ARN per region; None where the key is not accepted (yet)."""
        return tuple(self._ask(credential, region) for region in self._regions or (None,))

    def account_of(self, key: AccessKeyId) -> str | None:
        """
        Ask STS; None where it does not know the key, or the question is not allowed.

        Source: STS API Reference, GetAccessKeyInfo: the account comes from the ID alone, so a key that is deleted, or
        Inactive, has one as well.
        """
        try:
            with aws_call("sts:GetAccessKeyInfo", f"access key {key}"):
                return str(self._account.client("sts").get_access_key_info(AccessKeyId=key)["Account"]) or None
        except KeyrotaError:
            return None

    def _ask(self, credential: KeyPair, region: str | None) -> str | None:
        client = self._account.client_as("sts", credential, region=region)
        try:
            with aws_call("sts:GetCallerIdentity", f"access key {credential.id}"):
                return str(client.get_caller_identity()["Arn"])
        except NoCredentials:
            return None
        finally:
            client.close()
