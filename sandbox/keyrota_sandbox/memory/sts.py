"""STS as the world has it."""

from __future__ import annotations

from collections.abc import Sequence

from keyrota.core.model import AccessKeyId, CredentialId, KeyPair, UserName
from keyrota.errors import KeyrotaError
from keyrota_sandbox.memory.view import View

ACCOUNT = "123456789012"
"""The world's own account: what lies in it is named without it."""


def in_world(account: str, name: str) -> str:
    """Name a user or a secret as the world does: with its account, where that is another than its own."""
    return name if account == ACCOUNT else f"{account}:{name}"


def credential_of(user: UserName) -> CredentialId:
    """Take the name of a user of the world apart."""
    account, colon, name = user.rpartition(":")
    return CredentialId(account=account if colon else ACCOUNT, user=UserName(name))


class WorldIdentity(View):
    """STS, behind the port Identity."""

    def whoami(self, credential: KeyPair) -> Sequence[str | None]:
        """Answer from one endpoint."""

        def effect() -> Sequence[str | None]:
            if not self._world.use(credential, service="sts"):
                return (None,)
            found = self._world.find(credential.id)
            if found is None:
                return (None,)
            owner = credential_of(found[0])
            return (f"arn:aws:iam::{owner.account}:user/{owner.user}",)

        return self._call("sts:GetCallerIdentity", effect, credential.id)

    def account_of(self, key: AccessKeyId) -> str | None:
        """Name the account of a key: ours, or another one's."""

        def effect() -> str | None:
            found = self._world.find(key)
            if found is not None:
                return credential_of(found[0]).account
            return ACCOUNT if key in self._world.values else self._world.elsewhere.get(key)

        try:
            return self._call("sts:GetAccessKeyInfo", effect, key)
        except KeyrotaError:
            return None
