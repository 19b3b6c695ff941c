"""The wire cut at its seam: answers come from a script instead of a socket, and every call is counted."""

from __future__ import annotations

import io
import json
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3
from fuzz_rig import ANYTHING, HOSTILE, TEXTS, at, places, replaced, without
from hypothesis import strategies as st

from keyrota_sandbox.server import Cut, Request, Response

MOST_CALLS = 1500
"""One road asks for a few hundred pages at most."""

Service = Callable[[Request], Response]


@dataclass(frozen=True, slots=True, kw_only=True)
class Twist:
    """What is done to one answer."""

    how: str = "real"
    seed: int = 0
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


class Endless(BaseException):
    """More calls than any list is long. No `except Exception` may catch it."""


@dataclass(slots=True, kw_only=True)
class Line:
    """Stands where `urllib3`'s pool stood."""

    real: Service | None
    twists: tuple[Twist, ...]
    calls: int = 0
    sent: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def request(self, method: str, url: str, **more: Any) -> urllib3.HTTPResponse:
        """Answer one request as the script says; when it is over, it begins again."""
        with self._lock:
            self.calls += 1
            number = self.calls - 1
            if self.calls > MOST_CALLS:
                raise Endless
        twist = self.twists[number % len(self.twists)]
        if twist.how == "cut":
            raise urllib3.exceptions.ProtocolError("cut")
        answer = self._answer(method, url, more, twist, number)
        headers = {"Content-Type": "application/json", **answer.headers}
        return urllib3.HTTPResponse(
            body=io.BytesIO(answer.body), status=answer.status, headers=headers, preload_content=False
        )

    def _answer(self, method: str, url: str, more: Mapping[str, Any], twist: Twist, number: int) -> Response:
        own = dict(twist.headers)
        if twist.how == "made":
            return Response(status=twist.status, headers=own, body=twist.body)
        found = self._real(method, url, more)
        if twist.how == "bent":
            found = _bent(found, random.Random(f"{twist.seed} {number}"))  # noqa: S311  # chance, not a secret
        elif twist.how in {"round", "on"}:
            found = _linked(found, url if twist.how == "round" else f"{url.partition('?')[0]}?page={number}")
        elif twist.how == "echo":
            body = json.dumps({"message": f"{more.get('body')!r} {more.get('headers')!r}"}).encode()
            found = Response(status=twist.status, body=body)
        return Response(status=found.status, body=found.body, headers={**found.headers, **own})

    def _real(self, method: str, url: str, more: Mapping[str, Any]) -> Response:
        if self.real is None:
            return Response(status=200, body=b'{"values": [], "items": []}')
        parts = urlsplit(url)
        path = parts.path[parts.path.index("/", 1) :]
        request = Request(
            method=method,
            target=f"{path}?{parts.query}" if parts.query else path,
            headers={name.lower(): value for name, value in more["headers"].items()},
            body=more.get("body") or b"",
            base=url[: url.index(path)],
        )
        try:
            return self.real(request)
        except Cut:
            raise urllib3.exceptions.ProtocolError("cut") from None
        except (ValueError, TypeError, KeyError, AttributeError):
            return Response(status=500)  # as the emulators' server does with what they do not understand


def _bent(found: Response, chance: random.Random) -> Response:
    """Put something else at some places of a real answer."""
    try:
        content = json.loads(found.body)
    except ValueError:
        return found
    for _ in range(chance.randint(1, 2)):
        path = chance.choice(places(content))
        if path and chance.random() < 0.25:
            content = without(content, path)
        else:
            content = replaced(content, path, _odd(chance, at(content, path)))
    return Response(status=found.status, headers=found.headers, body=json.dumps(content).encode())


def _odd(chance: random.Random, old: Any) -> Any:
    types: list[Any] = [None, True, 0, -1, 1.5, float("inf"), float("nan"), 10**400, [], {}, [[]], [None], {"a": 1}, ""]
    times = ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-01-01", "AKIA0000000000000OLD"]
    around: list[Any] = [[old], [old, old], {"name": old}, {"key": old}, str(old)]
    return chance.choice(chance.choice([types, types, times, around, list(HOSTILE)]))


def _linked(found: Response, link: str) -> Response:
    """Let a list go on, in each way that one of the providers names the next page."""
    headers = {**found.headers, "Link": f'<{link}>; rel="next"'}
    try:
        content = json.loads(found.body)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        return Response(status=found.status, headers=headers, body=found.body)
    content |= {"next": link, "next_page_token": link}
    return Response(status=found.status, headers=headers, body=json.dumps(content).encode())


@contextmanager
def hostile(real: Service | None, twists: tuple[Twist, ...]) -> Iterator[Line]:
    """Answer every call of the one HTTP client by a script."""
    line = Line(real=real, twists=twists)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("keyrota.http.client.pool", lambda _: line)
        yield line


# --- strategies -----------------------------------------------------------------------------------------------------

_WAITS = ["1", "-1", "0", "nan", "inf", "1e308", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT", "", "soon", "\x00", "1,2"]
_WAITS += ["Thu, 01 Jan 0001 00:00:00 +1400", "Mon, 99 Xxx 2026", "2026-01-01", "Thu, 1 Jan", ":", "1 2 3 4 5 6 7"]
_LINKS = ['<{}>; rel="next"', "<{}>;rel=next", "<<{}>>; rel=next", "{}; rel=next", "<{}", ">{}<", "<{}>; rel=prev"]
_THERE = ["http://127.0.0.2/x", "https://evil.example/", "//evil.example/", "/x", "", "?page=2", "http://[::1", "\x7f"]
_THERE += ["http://a@127.0.0.1:1/", "http:\\\\evil.example\\", "ftp://x", "javascript:1", "http://127.0.0.1:99999/"]
HEADERS = st.lists(
    st.one_of(
        st.tuples(st.just("Retry-After"), st.sampled_from(_WAITS)),
        st.tuples(st.just("X-RateLimit-Reset"), st.sampled_from(_WAITS)),
        st.tuples(st.just("X-RateLimit-Remaining"), st.sampled_from(["0", "-1", "x", ""])),
        st.tuples(st.just("RateLimit-Reset"), st.sampled_from(_WAITS)),
        st.builds(lambda form, to: ("Link", form.format(to)), st.sampled_from(_LINKS), st.sampled_from(_THERE)),
        st.tuples(st.just("Location"), st.sampled_from(_THERE)),
        st.tuples(st.just("Content-Type"), st.sampled_from(["text/html", "application/json; charset=utf-7", "\x00"])),
        st.tuples(st.just("X-OAuth-Scopes"), TEXTS.filter(lambda text: len(text) < 100)),
        st.tuples(
            st.just("GitHub-Authentication-Token-Expiration"),
            st.sampled_from(["0001-01-01 00:00:00 +1400", "9999-12-31 23:59:59 -1200", "x", "2026-12-01 10:00:00 UTC"]),
        ),
        st.tuples(st.just("Content-Encoding"), st.sampled_from(["gzip", "br", "deflate", "x", "gzip, gzip"])),
    ),
    max_size=3,
).map(tuple)
STATUSES = st.one_of(
    st.sampled_from([200, 200, 200, 201, 204, 206, 300, 301, 302, 304, 307, 308]),
    st.sampled_from([400, 401, 403, 404, 409, 410, 418, 422, 429, 451, 499, 500, 502, 503, 504, 599, 999]),
)
BODIES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            *(b"", b"{", b"[", b"[[[[", b"[" * 100_000, b'{"a":' * 20_000, b"<html>", b"nul", b"NaN", b"[1,]"),
            *(b"\xef\xbb\xbf{}", b"\xff\xfe{\x00}\x00", b'"\\ud800"', b"9" * 5000, b"[" + b"1," * 200_000 + b"1]"),
            *(b'{"values":[' + b'{"key":"a"},' * 20_000 + b"{}]}", b"[" + b'{"key":"a"},' * 20_000 + b"{}]"),
            *(b'{"values":null}', b'{"items":[null]}', b'{"kind":"Secret","data":5}', b'{"kind":"Secret","data":[]}'),
        ]
    ),
    ANYTHING.map(lambda content: json.dumps(content).encode()),
)
TWISTS = st.one_of(
    st.just(Twist()),
    st.builds(Twist, how=st.just("bent"), seed=st.integers(0, 10**6)),
    st.builds(Twist, how=st.just("bent"), seed=st.integers(0, 10**6)),
    st.builds(Twist, how=st.just("bent"), seed=st.integers(0, 10**6), headers=HEADERS),
    st.builds(Twist, how=st.just("made"), status=STATUSES, headers=HEADERS, body=BODIES),
    st.builds(Twist, how=st.sampled_from(["round", "on", "cut"])),
    st.builds(Twist, how=st.just("echo"), status=STATUSES),
)
SCRIPTS = st.one_of(st.lists(TWISTS, min_size=1, max_size=6).map(tuple), TWISTS.map(lambda twist: (twist,)))
"""What a provider does, call by call."""
