"""STS as the world has it."""

from __future__ import annotations

from collections.abc import Sequence

from keyrota.core.model import KeyPair
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
