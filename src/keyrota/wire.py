"""
The one HTTP client for CI providers: time-outs, bounded waiting, bounded answers, and nothing that leaks.

Repeats only what is safe to repeat; follows no redirect to another host; puts no header, body or query into an error.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

import urllib3

from keyrota import __version__
from keyrota.core.secret import Secret
from keyrota.errors import ConfigError, Fault, ProviderRefused, ProviderUnavailable
from keyrota.ports import Clock

_TIMEOUT = urllib3.Timeout(connect=5.0, read=30.0)
_LARGEST = 8 * 1024 * 1024
"""Bytes of an answer: a page of 100 variables of 32 KiB is the largest that is known."""
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_REPEATABLE = {"GET", "PUT", "DELETE"}
_REDIRECTS = {301, 302, 307, 308}
_MOST_REDIRECTS = 3
_TOO_MANY = 429
_SERVER_FAILS = 500

Authorization = Callable[[], Mapping[str, Secret]]
"""Headers that carry the credential, made at the moment of use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a provider answered. Its repr shows no content: lists hold other people's values."""

    status: int
    content: Any = field(repr=False)
    """The JSON document; None if the answer was none."""
    is_json: bool
    headers: Mapping[str, str] = field(repr=False)
    """Names in lower case."""

    @property
    def is_success(self) -> bool:
        """Whether the service did what was asked."""
        return 200 <= self.status < 300  # noqa: PLR2004  # HTTP: success

    def object(self) -> dict[str, Any]:
        """The content as a JSON object; an empty one if it is something else."""
        return self.content if isinstance(self.content, dict) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long one call may wait and how it spreads its attempts."""

    total_s: float = 120.0
    """All waiting of one call together; then it is ProviderUnavailable."""
    first_s: float = 1.0
    """The first wait where the service names none; doubles each time."""
    attempts: int = 6
    jitter: Callable[[], float] = random.random
    """Between 0 and 1; a wait of our own choice is multiplied by half to one and a half."""


class Http:
    """
    A client for one service under one base URL.

    Args:
        base_url: https, or http on loopback.
        clock: Waits, and dates of `Retry-After`.
        authorization: Headers that carry the credential; only ever sent to the base URL's own origin.
    """

    def __init__(
        self,
        base_url: str,
        *,
        clock: Clock,
        authorization: Authorization = dict,
        patience: Patience | None = None,
        name: str = "the service",
    ) -> None:
        self._base = base_url.rstrip("/")
        self._origin = _origin(self._base)
        self._clock = clock
        self._authorization = authorization
        self._patience = patience or Patience()
        self._name = name
        _refuse_clear_text(self._base, name)

    def call(
        self,
        method: str,
        segments: Sequence[str],
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        form: Mapping[str, str | Secret] | None = None,
        where: str = "",
    ) -> Answer:
        """
        Make one call, waiting where the service asks for it.

        Args:
            method: GET, POST, PUT or DELETE.
            segments: The path below the base URL, not yet percent-encoded; `/` in a segment is encoded too.
            query: Fields of the query.
            body: A JSON document; may hold `Secret` values.
            form: A form instead of a document.
            where: What it is about, for errors.

        Raises:
            ProviderUnavailable: No answer, or none within the patience. For a POST the outcome is unknown.
            ProviderRefused: The name of something cannot be put into a URL, or a redirect leads elsewhere.
        """
        _refuse_odd_names(segments, where)
        url = self._base + "".join(f"/{quote(segment, safe='')}" for segment in segments)
        return self._send(method, url + (f"?{urlencode(query)}" if query else ""), body, form, where)

    def follow(self, link: str, *, where: str = "") -> Answer:
        """Get the page that an answer links to, if it is on the same origin and below the same base."""
        url = urljoin(self._base + "/", link)
        if _origin(url) != self._origin or not urlsplit(url).path.startswith(urlsplit(self._base).path):
            raise ProviderRefused(
                f"{self._name} links to a page on another host",
                where=where,
                remedy="the token was not sent there; check `base_url`",
            )
        return self._send("GET", url, None, None, where)

    def _send(self, method: str, url: str, body: Any, form: Any, where: str) -> Answer:
        waited, attempt = 0.0, 0
        while True:
            attempt += 1
            answer = self._attempt(method, url, body, form, where)
            if answer is not None and answer.status != _TOO_MANY and answer.status < _SERVER_FAILS:
                return answer
            is_refused_unread = answer is not None and answer.status == _TOO_MANY
            if method not in _REPEATABLE and not is_refused_unread:
                raise self._unavailable(answer, where, "whether it was done is not known")
            pause = self._pause(answer, attempt)
            if attempt >= self._patience.attempts or waited + pause > self._patience.total_s:
                raise self._unavailable(answer, where, f"given up after {attempt} attempts", retry_after_s=pause)
            waited += pause
            self._clock.sleep(pause)

    def _unavailable(
        self, answer: Answer | None, where: str, why: str, *, retry_after_s: float | None = None
    ) -> ProviderUnavailable:
        said = f"answered {answer.status}" if answer else "did not answer"
        return ProviderUnavailable(
            f"{self._name} {said}: {why}", where=where, remedy="the next run tries again", retry_after_s=retry_after_s
        )

    def _pause(self, answer: Answer | None, attempt: int) -> float:
        asked = self._asked_pause(answer.headers) if answer else None
        if asked is not None:
            return asked
        return float(self._patience.first_s * 2 ** (attempt - 1) * (0.5 + self._patience.jitter()))

    def _asked_pause(self, headers: Mapping[str, str]) -> float | None:
        """Read Retry-After (seconds or a date), or the time at which a limit is reset (epoch seconds)."""
        text = headers.get("retry-after", "")
        with contextlib.suppress(ValueError):
            return max(0.0, float(text))
        with contextlib.suppress(ValueError, TypeError):
            return max(0.0, (parsedate_to_datetime(text).astimezone(UTC) - self._clock.now()).total_seconds())
        for name in ("x-ratelimit-reset", "ratelimit-reset"):
            with contextlib.suppress(ValueError):
                return max(0.0, float(headers[name]) - self._clock.now().timestamp()) if name in headers else None
        return None

    def _attempt(self, method: str, url: str, body: Any, form: Any, where: str) -> Answer | None:
        """Send once and follow redirects on the same host; None if there was no answer."""
        for _ in range(_MOST_REDIRECTS + 1):
            answer = self._exchange(method, url, body, form, where)
            if answer is None or answer.status not in _REDIRECTS:
                return answer
            url = self._redirected(method, url, answer, where)
        raise ProviderRefused(f"{self._name} redirects without end", where=where, remedy="check `base_url`")

    def _redirected(self, method: str, url: str, answer: Answer, where: str) -> str:
        target = urljoin(url, answer.headers.get("location", ""))
        if _origin(target) != self._origin or method != "GET":
            raise ProviderRefused(
                f"{self._name} redirects elsewhere ({answer.status})",
                where=where,
                remedy="the token was not sent there; was the repository renamed or moved, or is `base_url` wrong?",
            )
        return target

    def _exchange(self, method: str, url: str, body: Any, form: Any, where: str) -> Answer | None:
        headers = {"User-Agent": f"keyrota/{__version__}", "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            response = _pool(urlsplit(url).hostname or "").request(
                method,
                url,
                headers=headers | {name: value.reveal() for name, value in self._authorization().items()},
                body=_encoded(body, form),
                timeout=_TIMEOUT,
                retries=False,
                redirect=False,
                preload_content=False,
            )
        except urllib3.exceptions.SSLError:
            raise ProviderRefused(
                f"the certificate of {urlsplit(url).hostname} is not trusted",
                where=where,
                remedy="set SSL_CERT_FILE to your company's CA bundle; verification cannot be switched off",
            ) from None
        except (urllib3.exceptions.HTTPError, OSError):
            return None
        except UnicodeError:
            raise ProviderRefused(
                f"the credential for {self._name} holds characters that no header can carry",
                where=where,
                remedy="store the token alone, as it was given",
            ) from None
        return self._read(response, where)

    def _read(self, response: urllib3.BaseHTTPResponse, where: str) -> Answer | None:
        try:
            data = response.read(_LARGEST + 1, decode_content=True)
        except (urllib3.exceptions.HTTPError, OSError):
            return None
        finally:
            response.release_conn()
        if len(data) > _LARGEST:
            response.close()
            raise ProviderRefused(f"{self._name} sent more than {_LARGEST // 2**20} MiB", where=where)
        content, is_json = _parsed(data)
        return Answer(
            status=response.status,
            content=content,
            is_json=is_json,
            headers={name.lower(): value for name, value in response.headers.items()},
        )


def bearer(token: Callable[[], Secret]) -> Authorization:
    """Authorise with a token."""
    return lambda: {"Authorization": Secret(f"Bearer {token().reveal()}")}


def basic(name: str, password: Callable[[], Secret]) -> Authorization:
    """Authorise with a name and a password (or a token in its place)."""
    return lambda: {
        "Authorization": Secret(urllib3.make_headers(basic_auth=f"{name}:{password().reveal()}")["authorization"])
    }


def _encoded(body: Any, form: Any) -> bytes | None:
    if form is not None:
        return urlencode({name: _plain(value) for name, value in form.items()}).encode()
    return json.dumps(body, default=_plain).encode() if body is not None else None


def _plain(value: Any) -> Any:
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, str):
        return value
    raise TypeError(type(value).__name__)


def _parsed(data: bytes) -> tuple[Any, bool]:
    try:
        return json.loads(data), True
    except (ValueError, RecursionError):
        return None, False


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    default = {"https": 443, "http": 80}.get(parts.scheme)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or default


def _refuse_clear_text(base: str, name: str) -> None:
    parts = urlsplit(base)
    if parts.username or parts.password:
        raise ConfigError([Fault(where=f"{name} base_url", what="a URL must not hold a user or a password")])
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        return
    raise ConfigError(
        [
            Fault(
                where=f"{name} base_url",
                what="the URL must begin with https://",
                remedy="a token would travel in clear; plain http is taken on loopback only",
            )
        ]
    )


def _refuse_odd_names(segments: Sequence[str], where: str) -> None:
    for segment in segments:
        if segment in {"", ".", ".."} or not segment.isprintable():
            raise ProviderRefused(
                f"{segment!r} cannot be a name in a URL", where=where, remedy="correct the name in the configuration"
            )


@cache
def _pool(host: str) -> urllib3.PoolManager:
    """Keep connections; go through the proxy that the environment names."""
    options: dict[str, Any] = {"maxsize": 16, "block": False}
    bundle = next(
        (os.environ[name] for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE") if os.environ.get(name)),
        None,
    )
    if bundle:
        options["ca_certs"] = bundle
    proxy = urllib.request.getproxies().get("https")
    if proxy and host not in _LOOPBACK and not urllib.request.proxy_bypass(host):
        return urllib3.ProxyManager(proxy, **options)
    return urllib3.PoolManager(**options)
