"""Getting in: a token as it is, or an app that gets one for each of its installations."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from keyrota.core.secret import Secret
from keyrota.errors import NotThere, ProviderRefused, ProviderUnavailable
from keyrota.http import Http, Response, bearer
from keyrota.ports import Clock

_LEEWAY = timedelta(minutes=5)
_JWT_BACK, _JWT_AHEAD = timedelta(seconds=60), timedelta(minutes=9)
"""GitHub takes ten minutes at most; `iat` lies back, because clocks differ (page on JWTs for apps)."""
WHERE = "providers.github.auth"

Connect = Callable[..., Http]
"""Makes a client of GitHub with an authorization, its own budget, and what to do on 401."""


@dataclass(slots=True, kw_only=True)
class _Given:
    """An installation's token."""

    token: Secret
    ends: datetime


@dataclass(slots=True)
class Installation:
    """One installation of the app: where it is, what it may do, and its token of the hour."""

    id: int
    permissions: dict[str, str]
    is_suspended: bool
    sees_all: bool = True
    """All repositories of the owner; not where it was installed on selected ones."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    given: _Given | None = None


class App:
    """
    A GitHub App.

    Args:
        app_id: The client ID (preferred) or the app ID: `iss` of the JWT.
        private_key: PEM, as GitHub gave it.
    """

    def __init__(self, app_id: str, private_key: Callable[[], Secret], clock: Clock, connect: Connect) -> None:
        self._id = app_id
        self._key = private_key
        self._clock = clock
        self._http = connect(bearer(self._jwt), renew=self._is_late)
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._installations: dict[str, Installation] = {}
        self._failed: dict[str, tuple[ProviderUnavailable, datetime]] = {}
        """Owners for which GitHub did not answer: not asked again for some minutes."""

    def installation(self, owner: str, repository: str | None) -> Installation:
        """Find the installation that reaches an owner, once."""
        name = owner.casefold()
        with self._lock:
            its_own = self._locks.setdefault(name, threading.Lock())
        with its_own:  # one owner that does not answer holds up no other
            error, until = self._failed.get(name, (None, self._clock.now()))
            if error is not None and self._clock.now() < until:
                raise error
            if name not in self._installations:
                try:
                    self._installations[name] = self._find_installation(owner, repository)
                except ProviderUnavailable as trouble:
                    self._failed[name] = (trouble, self._clock.now() + _LEEWAY)
                    raise
            return self._installations[name]

    def _find_installation(self, owner: str, repository: str | None) -> Installation:
        path = ("repos", owner, repository, "installation") if repository else ("orgs", owner, "installation")
        answer = self._http.call("GET", path, where=WHERE)
        if answer.status == 404:  # noqa: PLR2004  # HTTP: not found
            raise NotThere(
                f"the GitHub App is not installed where it could reach {'/'.join(path[1:-1])} (404)",
                where=WHERE,
                remedy="install it for this owner and let it see the repository",
            )
        content = _require_success(answer, "GitHub does not accept the app")
        permissions = content.get("permissions")
        number = content.get("id")
        if not isinstance(number, int):
            raise ProviderRefused("GitHub names no installation", where=WHERE, remedy="check `base_url`")
        return Installation(
            id=number,
            permissions={str(name): str(value) for name, value in permissions.items()}
            if isinstance(permissions, dict)
            else {},
            is_suspended=content.get("suspended_at") is not None,
            sees_all=content.get("repository_selection") != "selected",
        )

    def token(self, installation: Installation) -> Secret:
        """Return a token that is good for some minutes at least."""
        with installation.lock:
            given = installation.given
            if given is None or self._clock.now() >= given.ends - _LEEWAY:
                given = installation.given = self._renew(installation)
            return given.token

    def drop(self, installation: Installation) -> bool:
        """Forget the token, because GitHub refused it: the next call gets another."""
        with installation.lock:
            installation.given = None
        return True

    def _renew(self, installation: Installation) -> _Given:
        path = ("app", "installations", str(installation.id), "access_tokens")
        answer = self._http.call("POST", path, is_repeatable=True, where=WHERE)
        content = _require_success(answer, "GitHub gives the app no token for its installation")
        token, ends = content.pop("token", None), content.get("expires_at")
        if not isinstance(token, str) or not token:
            raise ProviderRefused("GitHub's answer holds no token", where=WHERE, remedy="check `base_url`")
        until = self._http.parse_time(ends) or self._clock.now() + timedelta(minutes=30)
        return _Given(token=Secret(token), ends=until)

    def _is_late(self) -> bool:
        """Return whether a JWT that was refused was written by a clock that differs: the refusal told GitHub's time."""
        now = self._clock.now()
        return abs(self._http.theirs(now) - now) > _JWT_BACK / 2

    def _jwt(self) -> Secret:
        now = self._http.theirs(self._clock.now())
        claims = {
            "iat": int((now - _JWT_BACK).timestamp()),
            "exp": int((now + _JWT_AHEAD).timestamp()),
            "iss": self._id,
        }
        signed = _part({"alg": "RS256", "typ": "JWT"}) + "." + _part(claims)
        return Secret(f"{signed}.{_encode(_signature(signed.encode(), self._key))}")


def _require_success(answer: Response, what: str) -> dict[str, Any]:
    if answer.is_success:
        return answer.object()
    raise ProviderRefused(
        f"{what} ({answer.status})",
        where=WHERE,
        remedy="check `app_id` and `private_key`, the installation, and this machine's clock",
    )


def _part(content: dict[str, Any]) -> str:
    return _encode(json.dumps(content, separators=(",", ":")).encode())


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _signature(message: bytes, key: Callable[[], Secret]) -> bytes:
    """Sign with RS256 (RFC 7518, 3.3)."""
    try:
        from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415  # an extra
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
        from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415
    except ImportError:
        raise ProviderRefused(
            "signing as a GitHub App needs the package cryptography, which is not installed",
            where=WHERE,
            remedy='pip install "keyrota[github-app]"',
        ) from None
    try:
        private = load_pem_private_key(key().reveal().replace("\\n", "\n").encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        private = None
    if not isinstance(private, RSAPrivateKey):
        raise ProviderRefused(
            "the private key of the GitHub App cannot be read",
            where=WHERE,
            remedy="`private_key` must refer to the PEM file that GitHub gave, unencrypted, whole",
        )
    return private.sign(message, PKCS1v15(), SHA256())
