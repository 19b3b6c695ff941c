"""STS behind the port Identity."""

from __future__ import annotations

from collections.abc import Sequence

from keyrota.aws._translate import aws_call
from keyrota.aws.account import Account
from keyrota.core.model import AccessKeyId, KeyPair
from keyrota.errors import KeyrotaError, NoCredentials, ProviderRefused, ProviderUnavailable


class StsIdentity:
    """
    Asks the regional endpoints of STS who a key is.

    GetCallerIdentity needs no permission, so a refusal is about the key itself (API Reference, GetCallerIdentity).
    """

    def __init__(self, account: Account, regions: Sequence[str] = ()) -> None:
        self._account = account
        self._regions = tuple(regions)
        self._known: dict[str, KeyrotaError | None] = {}

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
        # A client of its own, closed again: its session holds the secret, and must not outlive the question.
        client = self._account.client_as("sts", credential, region=region)
        where = f"access key {credential.id}" + (f", region {region}" if region else "")
        try:
            with aws_call("sts:GetCallerIdentity", where):
                return str(client.get_caller_identity()["Arn"])
        except NoCredentials:
            # Only after a refusal: in the usual case the second question would be for nothing.
            if region is not None and (refusal := self.refusal_of(region)) is not None:
                raise refusal from None
            return None
        finally:
            client.close()

    def regions(self) -> tuple[str, ...]:
        """Name the regions that are asked, as `verify.regions` does."""
        return self._regions

    def refusal_of(self, region: str) -> KeyrotaError | None:
        """
        Return why a region accepts no key of this account at all; None where it knows keyrota's own credentials.

        A region that is not enabled answers every key with InvalidClientTokenId, as if the key were not known there
        yet (STS user guide, managing AWS STS in a region). The credentials that keyrota runs with tell the two apart.
        """
        if region not in self._known:
            self._known[region] = self._own_refusal(region)
        return self._known[region]

    def _own_refusal(self, region: str) -> KeyrotaError | None:
        try:
            with aws_call("sts:GetCallerIdentity", f"region {region}"):
                self._account.client("sts", region=region).get_caller_identity()
        except NoCredentials:
            return ProviderRefused(
                f"the region {region} accepts no key of this account, not even keyrota's own: it is not enabled",
                where=f"verify.regions: {region}",
                remedy=f"enable it (account:EnableRegion), or remove {region} from `verify: regions:`",
            )
        except ProviderUnavailable as error:
            return ProviderUnavailable(
                f"STS of the region {region} cannot be asked: {error.what}",
                where=f"verify.regions: {region}",
                remedy=f"if there is no such region, correct `verify: regions:`; {error.remedy}",
            )
        return None
