"""
The one HTTP client for CI providers: time-outs, bounded waiting, bounded answers, and nothing that leaks.

Repeats only what is safe to repeat; follows no redirect to another host; puts no header, body or query into an error.
"""

from __future__ import annotations

import contextlib
import json
import math
import random
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode

import urllib3

from keyrota import __version__
from keyrota.core.secret import Secret
from keyrota.errors import ProviderRefused, ProviderUnavailable
from keyrota.ports import Clock
from keyrota.wire.authorization import Authorization, refuse_odd_headers
from keyrota.wire.budget import Budget, SharedLimit
from keyrota.wire.pool import TIMEOUT, is_untrusted, pool
from keyrota.wire.urls import built, joined, origin, parts_of, refuse_odd_names, safe_base

_LARGEST = 8 * 1024 * 1024
"""Bytes of an answer: a page of 100 variables of 32 KiB is the largest that is known."""
_REPEATABLE = {"GET", "PUT", "DELETE"}
_REDIRECTS = {301, 302, 307, 308}
_MOST_REDIRECTS = 3
_SHORTEST_PAUSE_S = 0.5
_TOO_MANY = 429
_JSON, _FORM = "application/json", "application/x-www-form-urlencoded"
_UNAUTHORIZED = 401
_SERVER_FAILS = 500
_CHUNK = 64 * 1024
_LONGEST_BODY_S = 60.0
_A_YEAR_S = 365 * 86400.0


def _is_too_many(answer: Answer) -> bool:
    return answer.status == _TOO_MANY


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a provider answered. Its repr shows no content: lists hold other people's values."""

    status: int
    content: Any = field(repr=False)
    """The JSON document; None if the answer was none."""
    is_json: bool
    headers: Mapping[str, str] = field(repr=False)
    """Names in lower case."""
    moved_to: str = field(default="", repr=False)
    """The address of the same host to which the service redirected; empty: it did not."""

    @property
    def is_moved(self) -> bool:
        """Whether the service redirected."""
        return bool(self.moved_to)

    @property
    def is_success(self) -> bool:
        """Whether the service did what was asked."""
        return 200 <= self.status < 300  # noqa: PLR2004  # HTTP: success

    def next_link(self) -> str | None:
        """The next page, as the header `Link` names it (RFC 8288); None on the last one."""
        for address, parameters in re.findall(r"<([^<>]*)>([^<]*)", self.headers.get("link", "")):
            if re.search(r'\brel="?next"?', parameters):
                return str(address)
        return None

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
    limited_s: float = 1.0
    """The same after a limit."""
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
        headers: Headers that go with every call.
        limited: Tells a refusal that is only a limit; 429 is one everywhere.
        budget: Of all calls; None: no budget of our own.
        write_budget: Of calls that change something, besides.
        renew: Called on 401; True means that another credential is there now, and the call is made once more.
    """

    def __init__(
        self,
        base_url: str,
        *,
        clock: Clock,
        authorization: Authorization = dict,
        patience: Patience | None = None,
        name: str = "the service",
        headers: Mapping[str, str] | None = None,
        limited: Callable[[Answer], bool] = _is_too_many,
        budget: Budget | None = None,
        write_budget: Budget | None = None,
        renew: Callable[[], bool] | None = None,
    ) -> None:
        self._base = base_url.rstrip("/")
        parts = safe_base(self._base, name)
        self._origin, self._path = origin(parts), parts.path or ""
        self._clock = clock
        self._authorization = authorization
        self._patience = patience or Patience()
        self._name = name
        self._headers = {"User-Agent": f"keyrota/{__version__}", "Accept": "application/json", **(headers or {})}
        self._limited = limited
        self._budget, self._write_budget = budget, write_budget
        self._renew = renew
        self._limit = SharedLimit(clock, self._patience.total_s, name)

    def call(
        self,
        method: str,
        segments: Sequence[str],
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        form: Mapping[str, str | Secret] | None = None,
        is_repeatable: bool = False,
        is_reserved: bool = False,
        content_type: str = "",
        where: str = "",
    ) -> Answer:
        """
        Make one call, waiting where the service asks for it.

        Args:
            method: GET, POST, PUT, PATCH or DELETE.
            segments: The path below the base URL, not yet percent-encoded; `/` in a segment is encoded too.
            query: Fields of the query.
            body: A JSON document; may hold `Secret` values.
            form: A form instead of a document.
            is_repeatable: A POST or PATCH that may be sent again, because doing it twice does no harm.
            is_reserved: A write whose turn was taken with `reserve`.
            content_type: Of the body, where it is not plain JSON.
            where: What it is about, for errors.

        Raises:
            ProviderUnavailable: No answer, or none within the patience. For a POST the outcome is unknown.
            ProviderRefused: The name of something cannot be put into a URL, or a redirect leads elsewhere.
        """
        refuse_odd_names(segments, where)
        url = built(self._base, segments, tuple((query or {}).items()))
        call = _Call(
            method=method,
            body=_encoded(body, form),
            content_type=content_type or (_FORM if form is not None else _JSON),
            where=where,
            is_reserved=is_reserved,
        )
        return self._send(call, url, is_repeatable=is_repeatable or method in _REPEATABLE)

    def reserve(self, writes: int, where: str) -> None:
        """
        Wait for the turn of several writes that belong together, so that none of them has to wait alone.

        Raises:
            ProviderUnavailable: The budget of writes is used up; nothing was sent.
        """
        if self._write_budget:
            self._write_budget.take(where, writes)

    def follow(self, link: str, *, where: str = "") -> Answer:
        """Get the page that an answer links to, if it is on the same origin and below the same base."""
        url = self._at_home(joined(self._base + "/", link))
        if url is None:
            raise ProviderRefused(
                f"{self._name} links to a page on another host",
                where=where,
                remedy="the token was not sent there; check `base_url`",
            )
        return self._send(_Call(method="GET", where=where), url, is_repeatable=True)

    def _at_home(self, url: str) -> str | None:
        """Return the URL if it is on the same origin and below the same base."""
        parts = parts_of(url)
        is_ours = parts is not None and origin(parts) == self._origin
        return parts.url if parts and is_ours and f"{parts.path}/".startswith(f"{self._path}/") else None

    def _send(self, call: _Call, url: str, *, is_repeatable: bool) -> Answer:
        waited, attempt, is_renewed = 0.0, 0, False
        while True:
            attempt += 1
            self._take_turn(call)
            answer = self._attempt(call, url)
            if answer and answer.status == _UNAUTHORIZED and not is_renewed and self._renew and self._renew():
                is_renewed = True
                continue
            is_limited = answer is not None and (answer.status == _TOO_MANY or self._limited(answer))
            if answer is not None and not is_limited and answer.status < _SERVER_FAILS:
                self._limit.end()
                return answer
            if not is_repeatable and not is_limited:
                raise self._unavailable(answer, call.where, "whether it was done is not known")
            pause = self._pause(answer, attempt, is_limited=is_limited)
            if attempt >= self._patience.attempts or waited + pause > self._patience.total_s:
                asked = self._asked_pause(answer) if answer else None
                why = f"given up after {attempt} attempts"
                raise self._unavailable(answer, call.where, why, retry_after_s=asked or (pause if is_limited else None))
            waited += pause
            if is_limited:
                self._limit.begin(pause)
            self._clock.sleep(pause)

    def _take_turn(self, call: _Call) -> None:
        self._limit.wait(call.where)
        if self._budget:
            self._budget.take(call.where)
        if self._write_budget and call.method != "GET" and not call.is_reserved:
            self._write_budget.take(call.where)

    def _unavailable(
        self, answer: Answer | None, where: str, why: str, *, retry_after_s: float | None = None
    ) -> ProviderUnavailable:
        said = f"answered {answer.status}" if answer else "did not answer"
        remedy = "the next run tries again"
        if retry_after_s is not None:
            again = self._clock.now() + timedelta(seconds=min(retry_after_s, _A_YEAR_S))
            remedy = f"a run after {again:%Y-%m-%d %H:%M:%S} UTC tries again"
        return ProviderUnavailable(
            f"{self._name} {said}: {why}", where=where, remedy=remedy, retry_after_s=retry_after_s
        )

    def _pause(self, answer: Answer | None, attempt: int, *, is_limited: bool) -> float:
        asked = self._asked_pause(answer) if answer else None
        if asked is not None:
            return asked
        if is_limited:  # never shorter than the service asks for
            return float(self._patience.limited_s * 2 ** (attempt - 1) * (1 + self._patience.jitter() / 2))
        return float(self._patience.first_s * 2 ** (attempt - 1) * (0.5 + self._patience.jitter()))

    def _asked_pause(self, answer: Answer) -> float | None:
        """Read Retry-After (seconds or a date), or, of a limit, when it is reset."""
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
        return self._until_reset(answer)

    def _until_reset(self, answer: Answer) -> float | None:
        """
        Read when a limit is reset, if what is left of it is said to be nothing, or is not said.

        A moment since 1970 (GitHub, GitLab, Azure DevOps), or a span from now (Buildkite, HCP Terraform); no span is
        longer than a year, and no moment that long ago.
        """
        headers = answer.headers
        if answer.status >= _SERVER_FAILS:
            return None
        for prefix in ("x-ratelimit", "ratelimit", "ratelimit-user"):
            if headers.get(f"{prefix}-remaining", "0") != "0":
                continue  # another limit than the one that is counted here
            with contextlib.suppress(ValueError):
                reset = float(headers.get(f"{prefix}-reset", "nan"))
                ahead = reset if reset < _A_YEAR_S else reset - self._clock.now().timestamp()
                if math.isfinite(ahead):
                    return max(_SHORTEST_PAUSE_S, ahead)
        return None

    def _attempt(self, call: _Call, url: str) -> Answer | None:
        """Send once and follow redirects at home, with method and body as they were; None if there was no answer."""
        moved_to = ""
        for _ in range(_MOST_REDIRECTS + 1):
            answer = self._exchange(call, url)
            if answer is None or answer.status not in _REDIRECTS:
                return replace(answer, moved_to=moved_to) if answer else None
            url = moved_to = self._redirected(url, answer, call.where)
        raise ProviderRefused(f"{self._name} redirects without end", where=call.where, remedy="check `base_url`")

    def _redirected(self, url: str, answer: Answer, where: str) -> str:
        there = self._at_home(joined(url, answer.headers.get("location", "")))
        if there is None:
            raise ProviderRefused(
                f"{self._name} redirects elsewhere ({answer.status})",
                where=where,
                remedy="the token was not sent there; was the repository renamed or moved, or is `base_url` wrong?",
            )
        return there

    def _exchange(self, call: _Call, url: str) -> Answer | None:
        authorization = self._authorization()
        refuse_odd_headers(authorization, self._name, call.where)
        headers = dict(self._headers)
        if call.body is not None:
            headers["Content-Type"] = call.content_type
        try:
            response = pool(self._origin[1]).request(
                call.method,
                url,
                headers=headers | {name: value.reveal() for name, value in authorization.items()},
                body=call.body.reveal().encode() if call.body is not None else None,
                timeout=TIMEOUT,
                retries=False,
                redirect=False,
                preload_content=False,
            )
        except urllib3.exceptions.SSLError as error:
            if not is_untrusted(error):
                return None  # cut in the middle: whether something happened is not known
            raise ProviderRefused(
                f"the certificate of {self._origin[1]} is not trusted",
                where=call.where,
                remedy="set SSL_CERT_FILE to your company's CA bundle; verification cannot be switched off",
            ) from None
        except (urllib3.exceptions.HTTPError, OSError):
            return None
        return self._read(response, call.where)

    def _read(self, response: urllib3.BaseHTTPResponse, where: str) -> Answer | None:
        data, until = bytearray(), time.monotonic() + _LONGEST_BODY_S
        try:
            while chunk := response.read1(_CHUNK, decode_content=True):
                data += chunk
                if len(data) > _LARGEST:
                    response.close()  # what is still to come must not be read as the next answer
                    raise ProviderRefused(f"{self._name} sent more than {_LARGEST // 2**20} MiB", where=where)
                if time.monotonic() > until:
                    response.close()
                    return None
        except (urllib3.exceptions.HTTPError, OSError):
            return None
        response.release_conn()
        content, is_json = _parsed(bytes(data))
        return Answer(
            status=response.status,
            content=content,
            is_json=is_json,
            headers={name.lower(): value for name, value in response.headers.items()},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """One request, as it is sent again and again."""

    method: str
    where: str
    body: Secret | None = None
    content_type: str = ""
    is_reserved: bool = False


def _encoded(body: Any, form: Any) -> Secret | None:
    if form is not None:
        return Secret(urlencode({name: _plain(value) for name, value in form.items()}, errors="surrogatepass"))
    return Secret(json.dumps(body, default=_plain)) if body is not None else None


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
