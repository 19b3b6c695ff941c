"""Access tokens for an OAuth consumer."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

from keyrota.core.secret import Secret
from keyrota.errors import ProviderRefused
from keyrota.http import Http, basic
from keyrota.ports import Clock, SecretReader

TOKEN_URL = "https://bitbucket.org/site/oauth2/access_token"  # noqa: S105  # an address
_LEEWAY = timedelta(seconds=60)


class OAuth:
    """Gets access tokens for an OAuth consumer (client credentials), each used until shortly before its end."""

    def __init__(self, url: str, client_id: str, secret: SecretReader, reference: str, clock: Clock) -> None:
        self._http = Http(
            url,
            clock=clock,
            own=(TOKEN_URL,),
            authorization=basic(client_id, lambda: secret(reference)),
            name="Bitbucket's token service",
        )
        self._clock = clock
        self._lock = threading.Lock()
        self._token: Secret | None = None
        self._ends = clock.now()

    def token(self) -> Secret:
        """Return a token that is good for at least a minute."""
        with self._lock:
            if self._token is None or self._clock.now() >= self._ends:
                self._renew()
            if self._token is None:
                raise RuntimeError("no token after renewal")
            return self._token

    def drop(self) -> bool:
        """Forget the token, because the service refused it: the next call gets another."""
        with self._lock:
            self._token = None
        return True

    def _renew(self) -> None:
        where = "providers.bitbucket.auth"
        grant = {"grant_type": "client_credentials"}
        answer = self._http.call("POST", (), form=grant, is_repeatable=True, where=where)
        content = answer.object()
        if not answer.is_success or not isinstance(content.get("access_token"), str):
            raise ProviderRefused(
                f"Bitbucket gives no token for this OAuth consumer ({answer.status})",
                where=where,
                remedy="check client_id and client_secret; the consumer must be private and have a callback URL",
            )
        life = content.get("expires_in")
        self._token = Secret(content.pop("access_token"))
        self._ends = self._clock.now() + timedelta(seconds=_life(life)) - _LEEWAY


def _life(told: Any) -> float:
    """Read `expires_in`; a day at most, two minutes where it says nothing usable."""
    try:
        return min(86400.0, max(120.0, float(told)))
    except (TypeError, ValueError):
        return 120.0
