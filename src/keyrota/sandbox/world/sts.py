"""STS as the world has it."""

from __future__ import annotations

from collections.abc import Sequence

from keyrota.core.model import AccessKeyId, KeyPair
from keyrota.errors import KeyrotaError
from keyrota.sandbox.world.view import View

ACCOUNT = "123456789012"


class WorldIdentity(View):
    """STS, behind the port Identity."""

    def whoami(self, credential: KeyPair) -> Sequence[str | None]:
        """Answer from one endpoint."""

        def effect() -> Sequence[str | None]:
            if not self._world.use(credential, service="sts"):
                return (None,)
            found = self._world.find(credential.id)
            return (f"arn:aws:iam::{ACCOUNT}:user/{found[0]}" if found else None,)

        return self._call("sts:GetCallerIdentity", effect, credential.id)

    def account_of(self, key: AccessKeyId) -> str | None:
        """Name the account of a key: ours, or another one's."""

        def effect() -> str | None:
            return ACCOUNT if key in self._world.values else self._world.elsewhere.get(key)

        try:
            return self._call("sts:GetAccessKeyInfo", effect, key)
        except KeyrotaError:
            return None
