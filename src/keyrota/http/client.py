"""
The one HTTP client for CI providers: time-outs, bounded waiting, bounded answers, and nothing that leaks.

Repeats only what is safe to repeat; follows no redirect to another host; puts no header, body or query into an error.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import urllib3

from keyrota import __version__
from keyrota.core.secret import Secret
from keyrota.core.timestamps import require_sane_utc
from keyrota.errors import LeftByLimit, ProviderRefused, ProviderUnavailable
from keyrota.http.ahead import ahead_of
from keyrota.http.authorization import Authorization, refuse_odd_headers
from keyrota.http.budget import Budget, SharedLimit
from keyrota.http.concurrency import note_doubt
from keyrota.http.hosts import require_trusted
from keyrota.http.pool import TIMEOUT, TOO_LONG, is_untrusted, pool, silence
from keyrota.http.response import A_YEAR_S, NoResponse, Response, parse_json, read_pause, read_remaining
from keyrota.http.slowness import Slowness
from keyrota.http.urls import build, join, origin, parts_of, place_origin, refuse_odd_names
from keyrota.http.waiting import current_waiting
from keyrota.http.watch import deadline
from keyrota.ports import Clock

_MAX_SIZE = 8 * 1024 * 1024
"""Bytes of an answer: a page of 100 variables of 32 KiB is the largest that is known."""
_REPEATABLE = {"GET", "PUT", "DELETE"}
_REDIRECTS = {301, 302, 307, 308}
_MAX_REDIRECTS = 3
_TOO_MANY = 429
_JSON, _FORM = "application/json", "application/x-www-form-urlencoded"
_UNAUTHORIZED = 401
_SERVER_FAILS = 500
_CHUNK = 64 * 1024


def _is_too_many(answer: Response) -> bool:
    return answer.status == _TOO_MANY


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long one call may wait and how it spreads its attempts."""

    total_s: float = 120.0
    """All waiting of one call together; then it is ProviderUnavailable."""
    first_s: float = 1.0
    """The first wait where the service names none; doubles each time."""
    limited_s: float = 1.0
    """The same after a limit."""
    # One, two, four, eight and sixteen seconds: a restart of a service fits into it, and a run of many targets stays
    # short.
    attempts: int = 6
    exchange_s: float = 40.0
    """One exchange, from the connection to the last byte; beyond the 30 s that a single read may take."""
    slow_attempts: int = 2
    """So often a call is made that is not answered in that time: what hangs once hangs again."""
    jitter: Callable[[], float] = random.random
    """Between 0 and 1; a wait of our own choice is multiplied by half to one and a half."""


class Http:
    """
    A client for one service under one base URL.

    Args:
        base_url: https, or http on loopback.
        own: The provider's own public URLs. Any other host must have been allowed outside of the configuration; a
            provider that forgets to name its own reaches none.
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
        own: Collection[str] = (),
        authorization: Authorization = dict,
        patience: RetryPolicy | None = None,
        name: str = "the service",
        headers: Mapping[str, str] | None = None,
        limited: Callable[[Response], bool] = _is_too_many,
        budget: Budget | None = None,
        write_budget: Budget | None = None,
        renew: Callable[[], bool] | None = None,
    ) -> None:
        self._base = base_url.rstrip("/")
        parts = require_trusted(self._base, own, f"{name} base_url")
        # What a token may be sent to is fixed here, from the configuration: no answer, link or redirect can widen it.
        self._origin, self._path = origin(parts), parts.path or ""
        self.origin = place_origin(parts)
        """Scheme, host, port where it is not the default, and base path: what `PlaceId.origin` holds."""
        self._clock = clock
        self._authorization = authorization
        self._patience = patience or RetryPolicy()
        self._name = name
        self._headers = {"User-Agent": f"keyrota/{__version__}", "Accept": "application/json", **(headers or {})}
        self._headers["Accept-Encoding"] = "identity"  # what is compressed has no bound before it is unpacked
        self._limited = limited
        self._budget, self._write_budget = budget, write_budget
        self._budgets = tuple(one for one in (budget, write_budget) if one)
        self._left: tuple[int, datetime] | None = None
        """What is left of the limit that the service counts itself, and when it counts anew."""
        self._renew = renew
        self._slowness = Slowness(clock)
        self._limit = SharedLimit(clock, self._patience.total_s, name)
        self._ahead = timedelta()
        """How far the service's clock was ahead of ours at the latest answer that told its time."""

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
    ) -> Response:
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
        url = build(self._base, segments, tuple((query or {}).items()))
        call = _Call(
            method=method,
            body=_encode(body, form),
            content_type=content_type or (_FORM if form is not None else _JSON),
            where=where,
            is_reserved=is_reserved,
        )
        return self._send(call, url, is_repeatable=is_repeatable or method in _REPEATABLE)

    def reserve(self, writes: int, where: str) -> None:
        """
        Wait for the turn of several writes that belong together, so that none of them has to wait alone.

        Raises:
            ProviderUnavailable: A budget is used up, or the service limits the token; nothing was sent.
        """
        self._wait(where, is_write=True)
        for budget in self._budgets:
            budget.take(where, writes)
        # A pair that is begun with one call left of the limit would stand half written until the limit ends: that may
        # be an hour.
        if self._left is not None and self._left[0] < writes and self._left[1] > self._clock.now():
            self._limit.begin((self._left[1] - self._clock.now()).total_seconds(), is_write=False)
            self._left = None
        self._wait(where, is_write=True)

    def count_write(self, what: str, at: datetime) -> None:
        """Count a write that another run made lately, as the time of a thing's last change tells it."""
        if self._write_budget:
            self._write_budget.note(what, at)

    def parse_time(self, text: Any) -> datetime | None:
        """Read a time that the service told, with its zone (ISO 8601), by our clock; None for anything else."""
        try:
            return self.ours(require_sane_utc(datetime.fromisoformat(str(text))))
        except (ValueError, OverflowError):
            return None

    def ours(self, instant: datetime) -> datetime:
        """
        Turn a time that the service told into one of our clock: the two are compared in no other way.

        An Enterprise Server's clock may be minutes off: its `Date` says by how much.
        """
        return instant - self._ahead

    def theirs(self, instant: datetime) -> datetime:
        """Turn a time of our clock into one of the service's, to ask it by that."""
        return instant + self._ahead

    def _hear_time(self, answer: Response, asked: datetime) -> None:
        """Compare the service's clock with ours: it sent the answer at some time between the request and now."""
        sent, got = answer.sent_at, self._clock.now()
        if sent is not None:
            self._ahead = ahead_of(sent, asked, got)

    def follow(self, link: str, *, where: str = "") -> Response:
        """Get the page that an answer links to, if it is on the same origin and below the same base."""
        url = self._at_home(join(self._base + "/", link))
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

    def _send(self, call: _Call, url: str, *, is_repeatable: bool) -> Response:
        waited, attempt, is_renewed, is_in_doubt = 0.0, 0, False, False
        while True:
            attempt += 1
            self._demand_patience(call.where, is_undone=not is_in_doubt)
            self._take_turn(call, is_again=attempt > 1)
            answer = self._attempt(call, url)
            # A token of one hour (OAuth, an app's installation) may end within a run. Once is enough: a second 401 is
            # about the permission.
            if answer and answer.status == _UNAUTHORIZED and not is_renewed and self._renew and self._renew():
                is_renewed = True
                continue
            is_limited = bool(answer and (answer.status == _TOO_MANY or self._limited(answer)))
            if answer and not is_limited and answer.status < _SERVER_FAILS:
                self._limit.end(is_write=call.is_write)
                self._left = read_remaining(answer, self._clock.now())
                return answer
            # Whatever is not certain to be undone counts as perhaps done: half a pair must not pass for none (promise
            # whole-pair).
            if call.is_write and not is_limited and not (isinstance(answer, NoResponse) and answer.is_unsent):
                is_in_doubt = True
                note_doubt()
            # A POST that was refused for a limit had no effect, and may be sent again. One that was lost may have
            # created a variable; sent again it would fail, or make a second one.
            if not is_repeatable and not is_limited:
                why = "whether it was done is not known" if is_in_doubt else "it was not done"
                raise self._unavailable(answer, call.where, why, is_undone=not is_in_doubt)
            left_s = min(self._patience.total_s - waited, self._time_left_s())
            pause = self._pause(answer, attempt, left_s, is_limited=is_limited)
            attempts = self._patience.attempts
            if isinstance(answer, NoResponse) and answer.is_slow:
                # A service that hangs costs the whole bound for each attempt. With hundreds of targets that is the
                # run's time.
                attempts = 1 if self._slowness.is_known() else self._patience.slow_attempts
                self._slowness.note()
            # A wait that cannot end within the patience is not begun: the caller learns at once from when on it is
            # worth a try.
            if attempt >= attempts or pause > left_s:
                asked = read_pause(answer, self._clock.now()) if answer else None
                why = f"given up after {attempt} attempts"
                after_s = asked or (pause if is_limited else None)
                raise self._unavailable(answer, call.where, why, retry_after_s=after_s, is_undone=not is_in_doubt)
            waited += pause
            if is_limited:
                self._limit.begin(pause, is_write=call.is_write)
            elif (account := current_waiting()) is not None:
                account.note(self, pause)
            self._clock.sleep(pause)
            self._stay()

    def _time_left_s(self) -> float:
        """Return how long the credential that is worked on may still wait for this service."""
        account = current_waiting()
        if account is None:
            return A_YEAR_S
        return account.get_remaining_s(self, is_known=self._slowness.is_costly())

    def _demand_patience(self, where: str, *, is_undone: bool) -> None:
        account = current_waiting()
        if account is not None and self._time_left_s() <= 0:
            refusal = account.refusal(self._name, where, is_undone=is_undone)
            if not isinstance(refusal, LeftByLimit):
                self._slowness.note_cost()
            raise refusal

    def _take_turn(self, call: _Call, *, is_again: bool) -> None:
        """Wait for the turn; what is reserved has it, and is not given up for want of another."""
        self._wait(call.where, is_write=call.is_write, is_begun=call.is_reserved)
        for budget in self._budgets if call.is_write else filter(None, [self._budget]):
            if not call.is_reserved:
                budget.take(call.where)
            elif is_again:
                budget.repeat()

    def _wait(self, where: str, *, is_write: bool, is_begun: bool = False) -> None:
        if self._limit.wait(where, is_write=is_write, is_begun=is_begun):
            self._stay()

    def _stay(self) -> None:
        for budget in self._budgets:
            budget.stay()

    def _unavailable(
        self,
        answer: Response | NoResponse,
        where: str,
        why: str,
        *,
        retry_after_s: float | None = None,
        is_undone: bool = False,
    ) -> ProviderUnavailable:
        said = f"did not answer{answer}"
        if isinstance(answer, Response):
            is_outage = answer.status >= _SERVER_FAILS
            said = f"answered {answer.status}" if is_outage else f"limits this token ({answer.status})"
        remedy = "the next run tries again"
        if retry_after_s is not None:
            again = self._clock.now() + timedelta(seconds=min(retry_after_s, A_YEAR_S))
            remedy = f"a run after {again:%Y-%m-%d %H:%M:%S} UTC tries again"
        return ProviderUnavailable(
            f"{self._name} {said}: {why}", where=where, remedy=remedy, retry_after_s=retry_after_s, is_undone=is_undone
        )

    def _pause(self, answer: Response | NoResponse, attempt: int, left_s: float, *, is_limited: bool) -> float:
        asked = read_pause(answer, self._clock.now()) if answer else None
        if asked is not None:
            return asked
        if is_limited:  # never shorter than the service asks for, and the last one ends with the patience
            chosen = self._patience.limited_s * 2 ** (attempt - 1) * (1 + self._patience.jitter() / 2)
            return float(min(chosen, max(left_s, self._patience.limited_s)))
        return float(self._patience.first_s * 2 ** (attempt - 1) * (0.5 + self._patience.jitter()))

    def _attempt(self, call: _Call, url: str) -> Response | NoResponse:
        """Send once and follow redirects at home, with method and body as they were."""
        moved_to = ""
        for _ in range(_MAX_REDIRECTS + 1):
            answer = self._exchange(call, url)
            if not answer or answer.status not in _REDIRECTS:
                return replace(answer, moved_to=moved_to) if answer else answer
            url = moved_to = self._follow_redirect(url, answer, call.where)
        raise ProviderRefused(f"{self._name} redirects without end", where=call.where, remedy="check `base_url`")

    def _follow_redirect(self, url: str, answer: Response, where: str) -> str:
        # By hand, and not by urllib3: it takes only `Authorization` off when a redirect leads to another host, and some
        # providers have their tokens in headers of their own (promise trusted-hosts).
        there = self._at_home(join(url, answer.headers.get("location", "")))
        if there is None:
            raise ProviderRefused(
                f"{self._name} redirects elsewhere ({answer.status})",
                where=where,
                remedy="the token was not sent there; was the repository renamed or moved, or is `base_url` wrong?",
            )
        return there

    def _exchange(self, call: _Call, url: str) -> Response | NoResponse:
        authorization, asked = self._authorization(), self._clock.now()
        refuse_odd_headers(authorization, self._name, call.where)
        headers = dict(self._headers)
        if call.body is not None:
            headers["Content-Type"] = call.content_type
        # The time-outs of urllib3 bound single reads. A server that sends a byte every few seconds would hold the run
        # for hours.
        bound_s = min(self._slowness.bound_s(self._patience.exchange_s), max(1.0, self._time_left_s()))
        with deadline(bound_s) as end:
            answer = self._send_request(call, url, headers, authorization)
        if (account := current_waiting()) is not None:
            account.note_answer(self, end.took_s)
        if end.is_over:
            return TOO_LONG
        if answer:
            self._hear_time(answer, asked)
            if answer.status < _SERVER_FAILS:
                self._slowness.end(end.took_s)
        return answer

    def _send_request(
        self, call: _Call, url: str, headers: Mapping[str, str], authorization: Mapping[str, Secret]
    ) -> Response | NoResponse:
        try:
            response = pool(self._origin[1]).request(
                call.method,
                url,
                headers={**headers} | {name: value.reveal() for name, value in authorization.items()},
                body=call.body.reveal().encode() if call.body is not None else None,
                timeout=TIMEOUT,
                retries=False,
                redirect=False,
                preload_content=False,
            )
        # Before HTTPError, of which it is a kind: an untrusted certificate is the only one of them that a person can
        # act on.
        except urllib3.exceptions.SSLError as error:
            if not is_untrusted(error):
                return NoResponse()  # cut in the middle: whether something happened is not known
            raise ProviderRefused(
                f"the certificate of {self._origin[1]} is not trusted",
                where=call.where,
                remedy="set SSL_CERT_FILE to your company's CA bundle; verification cannot be switched off",
            ) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return silence(error, self._origin[1])
        return self._read(response, call)

    def _read(self, response: urllib3.BaseHTTPResponse, call: _Call) -> Response | NoResponse:
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in {"", "identity"}:
            response.close()
            raise ProviderUnavailable(
                f"{self._name} answered with a compressed body, which was not asked for",
                where=call.where,
                remedy="a proxy may have answered; the next run tries again",
            )
        data = bytearray()
        try:
            # In pieces, with a bound: an answer without an end would take the memory of a Lambda function, and the
            # other credentials with it.
            while chunk := response.read1(_CHUNK, decode_content=False):
                data += chunk
                if len(data) > _MAX_SIZE:
                    response.close()  # what is still to come must not be read as the next answer
                    what = f"{self._name} sent more than {_MAX_SIZE // 2**20} MiB"
                    if call.is_write:  # it was done, or not: that much of an answer says nothing
                        return NoResponse(what)
                    raise ProviderRefused(what, where=call.where)
        except (urllib3.exceptions.HTTPError, OSError):
            return NoResponse()
        response.release_conn()
        content, is_json = parse_json(bytes(data))
        return Response(
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

    @property
    def is_write(self) -> bool:
        """Whether it changes something."""
        return self.method != "GET"


def _encode(body: Any, form: Any) -> Secret | None:
    if form is not None:
        return Secret(urlencode({name: _plain(value) for name, value in form.items()}, errors="surrogatepass"))
    return Secret(json.dumps(body, default=_plain)) if body is not None else None


def _plain(value: Any) -> Any:
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, str):
        return value
    raise TypeError(type(value).__name__)
