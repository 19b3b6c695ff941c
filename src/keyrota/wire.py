"""
The one HTTP client for CI providers: time-outs, bounded waiting, bounded answers, and nothing that leaks.

Repeats only what is safe to repeat; follows no redirect to another host; puts no header, body or query into an error.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import ssl
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any
from urllib.parse import quote, unquote, urlencode, urljoin

import urllib3
from urllib3.util import Url, parse_url

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
_SHORTEST_PAUSE_S = 0.5
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
        parts = _safe_base(self._base, name)
        self._origin, self._path = _origin(parts), parts.path or ""
        self._clock = clock
        self._authorization = authorization
        self._patience = patience or Patience()
        self._name = name

    def call(
        self,
        method: str,
        segments: Sequence[str],
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        form: Mapping[str, str | Secret] | None = None,
        is_repeatable: bool = False,
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
            is_repeatable: A POST that may be sent again, because doing it twice does no harm.
            where: What it is about, for errors.

        Raises:
            ProviderUnavailable: No answer, or none within the patience. For a POST the outcome is unknown.
            ProviderRefused: The name of something cannot be put into a URL, or a redirect leads elsewhere.
        """
        _refuse_odd_names(segments, where)
        url = self._base + "".join(f"/{quote(segment, safe='')}" for segment in segments)
        whole = url + (f"?{urlencode(query)}" if query else "")
        return self._send(method, whole, body, form, where, is_repeatable=is_repeatable or method in _REPEATABLE)

    def follow(self, link: str, *, where: str = "") -> Answer:
        """Get the page that an answer links to, if it is on the same origin and below the same base."""
        url = _joined(self._base + "/", link)
        parts = _parts(url)
        if parts is None or _origin(parts) != self._origin or not f"{parts.path}/".startswith(f"{self._path}/"):
            raise ProviderRefused(
                f"{self._name} links to a page on another host",
                where=where,
                remedy="the token was not sent there; check `base_url`",
            )
        return self._send("GET", parts.url, None, None, where)

    def _send(self, method: str, url: str, body: Any, form: Any, where: str, *, is_repeatable: bool = True) -> Answer:
        waited, attempt = 0.0, 0
        while True:
            attempt += 1
            answer = self._attempt(method, url, body, form, where)
            if answer is not None and answer.status != _TOO_MANY and answer.status < _SERVER_FAILS:
                return answer
            is_refused_unread = answer is not None and answer.status == _TOO_MANY
            if not is_repeatable and not is_refused_unread:
                raise self._unavailable(answer, where, "whether it was done is not known")
            pause = self._pause(answer, attempt)
            if attempt >= self._patience.attempts or waited + pause > self._patience.total_s:
                asked = self._asked_pause(answer) if answer else None
                raise self._unavailable(answer, where, f"given up after {attempt} attempts", retry_after_s=asked)
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
        asked = self._asked_pause(answer) if answer else None
        if asked is not None:
            return asked
        return float(self._patience.first_s * 2 ** (attempt - 1) * (0.5 + self._patience.jitter()))

    def _asked_pause(self, answer: Answer) -> float | None:
        """Read Retry-After (seconds or a date), or, of a limit, the time at which it is reset (epoch seconds)."""
        headers = answer.headers
        text = headers.get("retry-after", "")
        with contextlib.suppress(ValueError):
            seconds = float(text)
            if math.isfinite(seconds):
                return max(_SHORTEST_PAUSE_S, seconds)
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            return max(
                _SHORTEST_PAUSE_S, (parsedate_to_datetime(text).astimezone(UTC) - self._clock.now()).total_seconds()
            )
        for name in ("x-ratelimit-reset", "ratelimit-reset") if answer.status == _TOO_MANY else ():
            with contextlib.suppress(ValueError):
                ahead = float(headers.get(name, "nan")) - self._clock.now().timestamp()
                if math.isfinite(ahead):
                    return max(_SHORTEST_PAUSE_S, ahead)
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
        target = _joined(url, answer.headers.get("location", ""))
        parts = _parts(target)
        if parts is None or _origin(parts) != self._origin or method != "GET":
            raise ProviderRefused(
                f"{self._name} redirects elsewhere ({answer.status})",
                where=where,
                remedy="the token was not sent there; was the repository renamed or moved, or is `base_url` wrong?",
            )
        return parts.url

    def _exchange(self, method: str, url: str, body: Any, form: Any, where: str) -> Answer | None:
        _refuse_odd_headers(self._authorization(), self._name, where)
        headers = {"User-Agent": f"keyrota/{__version__}", "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            response = _pool(self._origin[1]).request(
                method,
                url,
                headers=headers | {name: value.reveal() for name, value in self._authorization().items()},
                body=_encoded(body, form),
                timeout=_TIMEOUT,
                retries=False,
                redirect=False,
                preload_content=False,
            )
        except urllib3.exceptions.SSLError as error:
            if not _is_untrusted(error):
                return None  # cut in the middle: whether something happened is not known
            raise ProviderRefused(
                f"the certificate of {self._origin[1]} is not trusted",
                where=where,
                remedy="set SSL_CERT_FILE to your company's CA bundle; verification cannot be switched off",
            ) from None
        except (urllib3.exceptions.HTTPError, OSError):
            return None
        return self._read(response, where)

    def _read(self, response: urllib3.BaseHTTPResponse, where: str) -> Answer | None:
        try:
            data = response.read(_LARGEST + 1, decode_content=True)
        except (urllib3.exceptions.HTTPError, OSError):
            return None
        if len(data) > _LARGEST:
            response.close()  # what is still to come must not be read as the next answer
            raise ProviderRefused(f"{self._name} sent more than {_LARGEST // 2**20} MiB", where=where)
        response.release_conn()
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


def _is_untrusted(error: urllib3.exceptions.SSLError) -> bool:
    causes = [error.__cause__, error.__context__, *error.args]
    return any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes)


def _parts(url: str) -> Url | None:
    """
    Take a URL apart as the client does that will connect to it; None where it is odd.

    Two parsers that disagree about a backslash or user info send a token to another host.
    """
    if not url.isprintable() or "\\" in url or " " in url:
        return None
    try:
        parts = parse_url(url)
    except (urllib3.exceptions.HTTPError, ValueError):
        return None
    return None if parts.auth is not None or not parts.host else parts


def _joined(base: str, link: str) -> str:
    try:
        return urljoin(base, link)
    except ValueError:
        return ""


def _origin(parts: Url) -> tuple[str, str, int | None]:
    default = {"https": 443, "http": 80}.get(parts.scheme or "")
    return parts.scheme or "", (parts.host or "").strip("[]").lower(), parts.port or default


def _safe_base(base: str, name: str) -> Url:
    """Refuse a base URL that is none, that holds a password, or that would send a token in clear."""
    where = f"{name} base_url"
    parts = _parts(base)
    if parts is None or parts.query or parts.fragment:
        what = "this is no URL of a service, or it holds a user, a password or a query"
        raise ConfigError([Fault(where=where, what=what, remedy="write https://HOST/PATH")])
    scheme, host, _ = _origin(parts)
    if scheme == "https" or (scheme == "http" and host in _LOOPBACK):
        return parts
    raise ConfigError(
        [
            Fault(
                where=where,
                what="the URL must begin with https://",
                remedy="a token would travel in clear; plain http is taken on loopback only",
            )
        ]
    )


def _refuse_odd_headers(headers: Mapping[str, Secret], name: str, where: str) -> None:
    """Refuse a credential that no header can carry, before an error of http.client repeats it."""
    for value in headers.values():
        if not (value.reveal().isascii() and value.reveal().isprintable()):
            raise ProviderRefused(
                f"the credential for {name} holds characters that no header can carry",
                where=where,
                remedy="store the token alone, as it was given",
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
        parts = parse_url(proxy if "://" in proxy else f"http://{proxy}")
        user = urllib3.make_headers(proxy_basic_auth=unquote(parts.auth)) if parts.auth else None
        return urllib3.ProxyManager(f"{parts.scheme}://{parts.netloc}", proxy_headers=user, **options)
    return urllib3.PoolManager(**options)
