"""The wire itself: TLS, proxies, size, and what is repeated."""

from __future__ import annotations

import base64
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from keyrota import __version__
from keyrota.core.secret import Secret
from keyrota.errors import ProviderRefused, ProviderUnavailable
from keyrota.http import Http, RetryPolicy, bearer
from keyrota.http.pool import pool
from keyrota_sandbox.memory import WorldClock
from keyrota_sandbox.server import Cut, Request, Response, Server, json_response


@pytest.fixture
def heard() -> list[Request]:
    """What the server was sent."""
    return []


@pytest.fixture
def server(heard: list[Request]) -> Iterator[Server]:
    """Answers by path: /200, /500 …, /cut, /large, /named."""

    def answer(request: Request) -> Response:
        heard.append(request)
        name = request.segments[-1]
        if name == "cut":
            raise Cut
        if name == "large":
            return Response(body=b"x" * (9 * 1024 * 1024))
        return json_response({"name": name}, int(name) if name.isdigit() else 200)

    made = Server({"/": answer})
    yield made
    made.close()


def http(server: Server) -> Http:
    """A client with a token."""
    return Http(server.url, clock=WorldClock(), authorization=bearer(lambda: Secret("canary-token")))


@pytest.mark.parametrize(
    ("method", "path", "times"),
    [
        ("GET", "500", 6),
        ("PUT", "503", 6),
        ("DELETE", "cut", 6),
        ("POST", "500", 1),
        ("POST", "cut", 1),
        ("POST", "429", 6),
    ],
)
def test_only_what_is_safe_is_repeated(
    server: Server, heard: list[Request], method: str, path: str, times: int
) -> None:
    """A POST whose answer is lost may have worked; after a 429 it has not."""
    with pytest.raises(ProviderUnavailable) as caught:
        http(server).call(method, (path,), body={} if method != "GET" else None, where="here")
    assert len(heard) == times
    assert caught.value.where == "here"


@pytest.mark.parametrize("chance", [0.0, 0.5, 0.999])
def test_the_last_wait_for_a_limit_ends_with_the_patience(chance: float) -> None:
    """A half that is refused again and again is asked for until the end, whatever chance made of the waits before."""
    statuses, clock = iter([429] * 5 + [200]), WorldClock()
    began = clock.now()
    limited = Server({"/": lambda _: json_response({}, next(statuses))})
    patience = RetryPolicy(total_s=1800, limited_s=60, jitter=lambda: chance)
    with closing(limited):
        assert Http(limited.url, clock=clock, patience=patience).call("PUT", ("half",), body={}).status == 200
    assert clock.now() - began <= timedelta(seconds=1800)


def test_a_post_that_says_so_is_repeated(server: Server, heard: list[Request]) -> None:
    with pytest.raises(ProviderUnavailable):
        http(server).call("POST", ("503",), is_repeatable=True)
    assert len(heard) == 6


def test_refusals_are_answers_and_are_asked_for_once(server: Server, heard: list[Request]) -> None:
    for status in (400, 401, 403, 404, 409, 422):
        assert http(server).call("PUT", (str(status),), body={}).status == status
    assert len(heard) == 6


def test_an_answer_without_end_is_not_read(server: Server) -> None:
    """And the next call does not take the rest of it for its own answer."""
    client = http(server)
    with pytest.raises(ProviderRefused, match="8 MiB"):
        client.call("GET", ("large",))
    assert client.call("GET", ("named",)).object() == {"name": "named"}


def test_an_answer_shows_nothing_of_its_content(server: Server) -> None:
    answer = http(server).call("GET", ("named",))
    assert "named" not in repr(answer)
    assert answer.is_json


def test_plain_http_behind_https_is_no_answer(server: Server) -> None:
    address = server.url.replace("http://", "https://")
    with pytest.raises(ProviderUnavailable, match="did not answer"):
        Http(address, clock=WorldClock()).call("GET", ("named",))


def test_a_certificate_that_nobody_trusts_is_refused_at_once(tmp_path: Path) -> None:
    """Verification is always on; the remedy is a CA bundle."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_self_signed(tmp_path))
    listening = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    listening.socket = context.wrap_socket(listening.socket, server_side=True)
    threading.Thread(target=listening.handle_request, daemon=True).start()
    client = Http(f"https://127.0.0.1:{listening.server_port}", clock=WorldClock())
    with pytest.raises(ProviderRefused, match="not trusted") as caught:
        client.call("GET", ("named",))
    listening.server_close()
    assert "SSL_CERT_FILE" in caught.value.remedy


class _Tunnel(BaseHTTPRequestHandler):
    """A proxy that leads every CONNECT to one TLS server."""

    there: tuple[str, int]
    heard: list[dict[str, str]]

    def do_CONNECT(self) -> None:
        """Shovel bytes both ways until one side ends."""
        self.heard.append({"path": self.path} | {name.lower(): value for name, value in self.headers.items()})
        with socket.create_connection(self.there) as other:
            self.send_response(200)
            self.end_headers()
            ways = {self.connection: other, other: self.connection}
            while True:
                for one in select.select([*ways], [], [])[0]:
                    data = one.recv(65536)
                    if not data:
                        return
                    ways[one].sendall(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Named(BaseHTTPRequestHandler):
    """A service behind TLS."""

    protocol_version = "HTTP/1.1"

    heard: list[dict[str, str]]

    def do_GET(self) -> None:
        """Answer."""
        self.heard.append({name.lower(): value for name, value in self.headers.items()})
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_the_usual_variables_lead_through_a_proxy_with_a_companys_own_ca(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The proxy gets its own password and never the token; the service is verified against the bundle."""
    pem = _self_signed(tmp_path, "api.company.test")
    _Named.heard, _Tunnel.heard = [], []
    service = ThreadingHTTPServer(("127.0.0.1", 0), _Named)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    service.socket = context.wrap_socket(service.socket, server_side=True)
    _Tunnel.there = ("127.0.0.1", service.server_port)
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), _Tunnel)
    for one in (service, proxy):
        threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    for name in ("NO_PROXY", "no_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", f"http://us%40er:p%3Aw@127.0.0.1:{proxy.server_port}")
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    pool.cache_clear()
    client = Http(
        "https://api.company.test",
        own=("https://api.company.test",),
        clock=WorldClock(),
        authorization=bearer(lambda: Secret("canary-token")),
    )
    try:
        assert client.call("GET", ("x",)).status == 200
        assert client.call("GET", ("x",)).status == 200
        monkeypatch.setenv("NO_PROXY", "company.test")
        pool.cache_clear()
        with pytest.raises(ProviderUnavailable, match="no connection"):
            client.call("GET", ("x",))
    finally:
        pool.cache_clear()
        for one in (service, proxy):
            one.shutdown()
            one.server_close()
    (asked,) = _Tunnel.heard  # one tunnel for both calls: the connection is kept
    assert asked["path"] == "api.company.test:443"
    assert base64.b64decode(asked["proxy-authorization"].removeprefix("Basic ")) == b"us@er:p:w"
    assert "canary-token" not in str(asked)
    assert {seen["authorization"] for seen in _Named.heard} == {"Bearer canary-token"}
    assert all(seen["user-agent"] == f"keyrota/{__version__}" for seen in _Named.heard)


def _self_signed(folder: Path, host: str = "127.0.0.1") -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)  # noqa: TID251  # a certificate is of the real time
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    file = folder / "both.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return file


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({"SSL_CERT_FILE": "/nowhere/ca.pem"}, "SSL_CERT_FILE names /nowhere/ca.pem"),
        ({"REQUESTS_CA_BUNDLE": __file__}, "REQUESTS_CA_BUNDLE names"),
    ],
)
def test_a_ca_bundle_that_is_none_is_named_at_once(
    monkeypatch: pytest.MonkeyPatch, names: dict[str, str], words: str
) -> None:
    """It is no outage of the service's, and waiting does not mend it."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    clock = WorldClock()
    began = clock.now()
    with pytest.raises(ProviderRefused, match=words):
        _http("https://broken-bundle.invalid", clock=clock).call("GET", ("named",))
    assert clock.now() == began


def test_a_folder_of_certificates_is_a_bundle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))
    with pytest.raises(ProviderUnavailable, match="did not answer"):
        Http(
            "https://folder-of-certificates.invalid",
            own=("https://folder-of-certificates.invalid",),
            clock=WorldClock(),
        ).call("GET", ("named",))


@pytest.mark.parametrize(
    ("proxy", "words"),
    [
        ("http://user:canary-word@127.0.0.1:1", r"the proxy 127\.0\.0\.1:1 does not let it through"),
        ("socks5://127.0.0.1:1", "HTTPS_PROXY"),
        ("http://", "HTTPS_PROXY"),
    ],
)
def test_a_proxy_that_is_in_the_way_is_named_and_its_password_is_not(
    monkeypatch: pytest.MonkeyPatch, proxy: str, words: str
) -> None:
    for name in ("https_proxy", "NO_PROXY", "no_proxy"):  # of two spellings the lower case is heard
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    host = f"https://behind-{proxy.partition(':')[0]}-{len(proxy)}.invalid"
    with pytest.raises((ProviderUnavailable, ProviderRefused), match=words) as caught:
        Http(host, own=(host,), clock=WorldClock()).call("GET", ("named",))
    assert "canary-word" not in str(caught.value) + caught.value.remedy


def test_who_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever forgot `base_url` sees whom keyrota calls."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ProviderUnavailable, match=r"no connection to api\.nowhere\.invalid"):
        _http("https://api.nowhere.invalid", clock=WorldClock()).call("GET", ("named",))


def _http(url: str, clock: WorldClock) -> Http:
    """Make a client of a service whose own URL that is."""
    return Http(url, own=(url,), clock=clock)


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("https://api.github.com", "https://api.github.com"),
        ("https://API.GitHub.com:443/", "https://api.github.com"),
        ("https://ghe.example.com/api/v3/", "https://ghe.example.com/api/v3"),
        ("https://ghe.example.com/api/%7Ev3/../v3", "https://ghe.example.com/api/v3"),
        ("https://ghe.example.com:8443/api/v3", "https://ghe.example.com:8443/api/v3"),
        ("http://[::1]:8080/api", "http://[::1]:8080/api"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
    ],
)
def test_one_service_has_one_origin(base: str, expected: str) -> None:
    """Case, a default port and a trailing slash do not make another place of it; another path does."""
    assert Http(base, own=(base,), clock=WorldClock()).origin == expected
