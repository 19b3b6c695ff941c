"""What all targets at GitHub share: the client with GitHub's limits, and the public keys that values are sealed for."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from keyrota.core.secret import Secret
from keyrota.errors import ProviderRefused
from keyrota.http import Authorization, Budget, Http, Limit, Response, RetryPolicy
from keyrota.ports import Clock
from keyrota.target_base.errors import ProviderErrors, make_response_error
from keyrota.target_base.schema import MAX_WAIT, Schema, span

API = "https://api.github.com"
VERSION = {"X-GitHub-Api-Version": "2022-11-28", "Accept": "application/vnd.github+json, application/json"}
WRITES = (Limit(calls=80, seconds=60.0), Limit(calls=500, seconds=3600.0))
"""GitHub's secondary limits for requests that make content (its page on rate limits)."""
_A_SECOND = 1.0
"""Between writes, on average (same page); the halves of a pair go together."""
CALLS = (Limit(calls=450, seconds=60.0),)
"""900 points a minute: 1 for a read, 5 for a write, of which there are 80 at most (same page)."""
_LIMITED_S = 60.0
"""Wait a minute at least after a secondary limit that names no time (same page)."""
LOGIN = "[A-Za-z0-9][A-Za-z0-9_-]*"
REPOSITORY: Schema = {"type": "string", "pattern": f"^{LOGIN}/[A-Za-z0-9._-]+$", "description": "OWNER/NAME."}
_LIMIT_WORDS = re.compile(r"secondary rate limit|rate limit exceeded|abuse detection", re.IGNORECASE)


def client(settings: Mapping[str, Any], clock: Clock, authorization: Authorization, **more: Any) -> Http:
    """Make a client with a write budget of its own: GitHub counts by token."""
    bound = span(settings, "max_wait", MAX_WAIT["default"])
    return Http(
        settings.get("base_url", API),
        clock=clock,
        own=(API,),
        authorization=authorization,
        name="GitHub",
        headers=VERSION,
        limited=is_limit,
        patience=RetryPolicy(total_s=bound.total_seconds(), limited_s=_LIMITED_S),
        budget=Budget(clock, CALLS, bound=bound, name="GitHub's budget of calls"),
        write_budget=Budget(clock, WRITES, bound=bound, name="GitHub's budget of writes", gap_s=_A_SECOND),
        **more,
    )


def is_limit(answer: Response) -> bool:
    """
    Distinguish a limit from a missing permission: both are 403.

    A secondary limit may carry neither `retry-after` nor a remaining count of 0; then only its message tells.
    """
    if answer.status != 403:  # noqa: PLR2004  # HTTP: forbidden
        return False
    headers = answer.headers
    message = str(answer.object().get("message", ""))
    return "retry-after" in headers or headers.get("x-ratelimit-remaining") == "0" or bool(_LIMIT_WORDS.search(message))


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """What values are sealed for."""

    id: str
    key: bytes

    def seal(self, value: Secret) -> str:
        """Seal a value (libsodium's sealed box), Base64; each time it comes out differently."""
        from nacl.public import PublicKey as Key  # noqa: PLC0415  # loads a shared library: only where it is needed
        from nacl.public import SealedBox  # noqa: PLC0415

        try:
            return base64.b64encode(SealedBox(Key(self.key)).encrypt(value.reveal().encode())).decode()
        except (RuntimeError, ValueError, TypeError):
            raise ProviderRefused(
                "GitHub's public key is none that a value can be sealed for",
                where="github",
                remedy="check `base_url`; nothing was written",
            ) from None


def _public_key(content: Mapping[str, Any]) -> PublicKey | None:
    """Read a public key out of an answer; None if there is none in it."""
    name, text = content.get("key_id"), content.get("key")
    if not isinstance(name, str) or not isinstance(text, str):
        return None
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return PublicKey(id=name, key=data) if len(data) == 32 else None  # noqa: PLR2004  # X25519


def fetch_key(http: Http, path: tuple[str, ...], says: ProviderErrors, about: str) -> PublicKey:
    """Fetch the public key of a scope; `path` is that of its secrets."""
    answer = http.call("GET", (*path, "public-key"), where=about)
    says.raise_for_status(answer, about)
    return require_key(answer.object(), about)


def require_key(content: Mapping[str, Any], about: str) -> PublicKey:
    """
    Read a public key out of an answer.

    Raises:
        ProviderUnavailable: There is none in it.
    """
    key = _public_key(content)
    if key is None:
        raise make_response_error("GitHub's answer is no public key", about)
    return key


def faults_of_reserved(names: Iterable[str]) -> tuple[str, ...]:
    """Say which names GitHub refuses."""
    return tuple(
        f"{name}: GitHub keeps names that begin with GITHUB_ to itself" for name in names if name.startswith("GITHUB_")
    )
