"""A service that hangs, byte by byte, ends with the deadline of the whole exchange, and delays nobody else for long."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from io import BufferedIOBase

import pytest

from keyrota.aws import _exchange
from keyrota.aws._translate import aws_call
from keyrota.aws.account import Account
from keyrota.core.secret import Secret
from keyrota.errors import LeftByLimit, ProviderUnavailable
from keyrota.executor.parallel import in_parallel
from keyrota.http import STOP, Http, RetryPolicy, bearer, bound_waits, hurry
from keyrota_sandbox.memory import WorldClock
from keyrota_sandbox.server import Request, Response, Server

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
EXCHANGE_S = 0.5


def _dripping_head(peer: socket.socket) -> None:
    peer.sendall(HEAD)
    while True:
        peer.sendall(b"X")
        time.sleep(0.05)  # noqa: TID251  # real time: it is what is measured


def _endless_body(peer: socket.socket) -> None:
    peer.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    while True:
        peer.sendall(b"1\r\n \r\n")
        time.sleep(0.05)  # noqa: TID251  # as above


def _short_body(peer: socket.socket) -> None:
    """Fewer bytes come than Content-Length says."""
    peer.sendall(HEAD + b"Content-Length: 1000\r\n\r\n{")
    time.sleep(60)  # noqa: TID251  # as above


def _silent(_: socket.socket) -> None:
    time.sleep(60)  # noqa: TID251  # as above


@contextlib.contextmanager
def serving(answer: Callable[[socket.socket], None]) -> Iterator[tuple[str, list[float]]]:
    """Serve raw sockets; gives the URL, and the moments at which a connection came."""
    came: list[float] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    peer, _ = listening.accept()
                    came.append(time.monotonic())
                    threading.Thread(target=_answered, args=(answer, peer), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", came


def _answered(answer: Callable[[socket.socket], None], peer: socket.socket) -> None:
    with contextlib.suppress(OSError), peer:
        peer.recv(65536)
        answer(peer)


def http(url: str) -> Http:
    patience = RetryPolicy(exchange_s=EXCHANGE_S, jitter=lambda: 0.5)
    return Http(url, clock=WorldClock(), authorization=bearer(lambda: Secret("canary")), patience=patience)


@pytest.mark.parametrize("answer", [_dripping_head, _endless_body, _short_body, _silent])
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_an_exchange_that_never_ends_is_ended(answer: Callable[[socket.socket], None], method: str) -> None:
    """One byte of a header every few seconds, a body without an end, a body that stops."""
    with serving(answer) as (url, came):
        began = time.monotonic()
        with pytest.raises(ProviderUnavailable, match="it took too long") as caught:
            http(url).call(method, ["x"])
        assert time.monotonic() - began < 6 * EXCHANGE_S
    assert len(came) == 2
    assert not caught.value.is_undone or method == "GET"


@pytest.mark.parametrize("answer", [_dripping_head, _endless_body, _short_body, _silent])
def test_an_exchange_with_aws_that_never_ends_is_ended(
    answer: Callable[[socket.socket], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same where an endpoint of AWS, or a proxy before it, hangs: botocore's time-outs are for each read."""
    monkeypatch.setattr(_exchange, "EXCHANGE_S", EXCHANGE_S)
    for name, value in {
        "ACCESS_KEY_ID": "AKIAEXAMPLE",
        "SECRET_ACCESS_KEY": "canary",
        "REGION": "eu-central-1",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    with serving(answer) as (url, came):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        began = time.monotonic()
        with (
            pytest.raises(ProviderUnavailable, match="AWS did not answer") as caught,
            aws_call("iam:CreateAccessKey", "x"),
        ):
            Account().client("iam", is_single_attempt=True).create_access_key(UserName="x")
        assert time.monotonic() - began < 6 * EXCHANGE_S
    assert len(came) == 1
    assert not caught.value.is_undone


def test_who_is_in_a_hurry_does_not_wait_for_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """`revoke --now` asks Secrets Manager once, for some seconds, where botocore alone would ask four times."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    with serving(_silent) as (url, came):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        client = Account().client("secretsmanager")
        for _ in range(2):
            with (
                hurry(EXCHANGE_S),
                pytest.raises(ProviderUnavailable, match="did not answer in time"),
                aws_call("secretsmanager:DescribeSecret", "x"),
            ):
                client.describe_secret(SecretId="x")
    assert len(came) == 2


def test_what_is_known_to_hang_is_asked_once_more_and_not_twice() -> None:
    """A hanging provider delays each further call by one glance."""
    with serving(_silent) as (url, came):
        client = http(url)
        for _ in range(3):
            with pytest.raises(ProviderUnavailable):
                client.call("GET", ["x"])
        assert len(came) == 2 + 1 + 1


def test_many_calls_to_what_hangs_leave_room_for_others() -> None:
    """Eight callers at once wait for one patience, not for eight: one asks again, and the others know by then."""
    with serving(_silent) as (url, came):
        client = http(url)

        def call() -> None:
            with contextlib.suppress(ProviderUnavailable):
                client.call("GET", ["x"])

        threads = [threading.Thread(target=call) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(came) < 2 * 8, "each of them asked again what was known to hang"


# --- one credential's time, all calls together ------------------------------------------------------------------------


def _slow(peer: socket.socket) -> None:
    """A whole answer, well within the deadline of the exchange."""
    time.sleep(0.2)  # noqa: TID251  # as above
    peer.sendall(HEAD + b"Content-Length: 2\r\nConnection: close\r\n\r\n{}")


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """One second instead of five minutes."""
    monkeypatch.setattr("keyrota.http.waiting.SLOW_S", 0.1)
    monkeypatch.setattr("keyrota.http.waiting.MAX_S", 1.0)
    monkeypatch.setattr("keyrota.http.waiting.MAX_AGAIN_S", 0.3)
    monkeypatch.setattr("keyrota.http.slowness._QUICK_S", 0.1)


def calls_until_refused(client: Http, *, most: int = 40) -> int:
    for number in range(most):
        try:
            client.call("GET", ["x"])
        except ProviderUnavailable as error:
            assert "that one credential waits for it in one run are used up" in str(error)  # noqa: PT017  # the count is what is asked
            assert error.is_undone  # noqa: PT017
            assert "next run" in error.remedy  # noqa: PT017
            return number
    return most


@pytest.mark.usefixtures("short")
def test_answers_that_are_slow_each_time_end_with_the_credentials_time() -> None:
    """Each answer comes within the deadline, a hundred of them would take hours; the next credential waits less."""
    with serving(_slow) as (url, _):
        client, clock = http(url), WorldClock()
        with bound_waits(clock, None):
            assert calls_until_refused(client) == 5
        with bound_waits(clock, None):
            assert calls_until_refused(client) == 2
        assert calls_until_refused(client, most=7) == 7, "outside of a run nothing is counted"


@pytest.mark.usefixtures("short")
def test_threads_of_one_credential_share_its_time() -> None:
    with serving(_slow) as (url, _):
        client = http(url)

        def call(_: int) -> bool:
            with contextlib.suppress(ProviderUnavailable):
                client.call("GET", ["x"])
                return True
            return False

        with bound_waits(WorldClock(), None):
            assert sum(in_parallel(call, range(40), 4)) < 12


@pytest.mark.usefixtures("short")
def test_what_must_be_whole_is_not_cut() -> None:
    with serving(_slow) as (url, _):
        client = http(url)
        with bound_waits(WorldClock(), None):
            calls_until_refused(client)
            with STOP.whole():
                assert client.call("PUT", ["x"]).status == 200
            with pytest.raises(ProviderUnavailable):
                client.call("PUT", ["x"])


def test_repeated_failures_use_up_the_time_as_well() -> None:
    """A hundred calls that are answered 503, and repeated six times each, would take an hour."""

    def failing(peer: socket.socket) -> None:
        peer.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with serving(failing) as (url, came):
        client = http(url)
        with bound_waits(WorldClock(), None):
            for _ in range(100):
                with pytest.raises(ProviderUnavailable):
                    client.call("GET", ["x"])
        assert len(came) < 100


def test_a_function_asks_nothing_shortly_before_its_end() -> None:
    with serving(_slow) as (url, came):
        client, clock = http(url), WorldClock()
        with (
            bound_waits(clock, clock.now() + timedelta(seconds=15)),
            pytest.raises(LeftByLimit, match="time of this run"),
        ):
            client.call("GET", ["x"])
        assert not came


def test_a_client_that_has_gone_leaves_no_socket_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulators' own server: an answer that cannot be sent any more closes its connection all the same."""
    is_gone, has_ended = threading.Event(), threading.Event()
    read: list[BufferedIOBase] = []
    shut = socketserver.ThreadingMixIn.process_request_thread

    def late(_: Request) -> Response:
        is_gone.wait(5)
        return Response(status=200, body=b"x")

    def noted(handler: socketserver.StreamRequestHandler) -> None:
        setup(handler)
        read.append(handler.rfile)

    def ended(*given: object) -> None:
        shut(*given)  # type: ignore[arg-type]
        has_ended.set()

    setup = socketserver.StreamRequestHandler.setup
    monkeypatch.setattr(socketserver.StreamRequestHandler, "setup", noted)
    monkeypatch.setattr(socketserver.ThreadingMixIn, "process_request_thread", ended)
    server = Server({"/": late})
    try:
        client = socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])))
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        is_gone.set()
        assert has_ended.wait(5)
    finally:
        server.close()
    assert [file.closed for file in read] == [True]
