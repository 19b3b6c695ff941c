"""A small threaded HTTP server on loopback, that several services share by path prefix."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

LOOPBACK = "127.0.0.1"
_POLL_S = 0.01
"""So long closing may take: the tests open and close some thousand servers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a client sent."""

    method: str
    target: str
    """Path and query as they came, percent-encoded, below the service's prefix."""
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    base: str
    """The URL of the service, as the client sees it."""

    @property
    def path(self) -> str:
        """The path, still percent-encoded."""
        return urlsplit(self.target).path

    @property
    def segments(self) -> tuple[str, ...]:
        """The path's segments, decoded; a trailing slash makes none."""
        return tuple(unquote(part) for part in self.path.strip("/").split("/"))

    @property
    def query(self) -> dict[str, str]:
        """The query's fields."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    def json(self) -> Any:
        """The body as JSON; None if it is none."""
        with contextlib.suppress(ValueError):
            return json.loads(self.body)
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What a service answers."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Cut(Exception):  # it is no error but what happened
    """The connection ends here, without an answer."""


Service = Callable[[Request], Response]


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with a JSON document."""
    return Response(
        status=status,
        body=json.dumps(content).encode(),
        headers={"Content-Type": "application/json; charset=utf-8", **(headers or {})},
    )


class Server:
    """Serves until it is closed. The longest prefix that fits a path takes the request."""

    def __init__(self, services: Mapping[str, Service], port: int = 0) -> None:
        """One service must have the prefix `/`."""
        self._services = dict(sorted(services.items(), key=lambda item: -len(item[0])))
        handler = type("Handler", (_Handler,), {"server_services": self._services})
        self._httpd = _Httpd((LOOPBACK, port), handler)
        self._thread = threading.Thread(
            target=self._httpd.serve_forever, kwargs={"poll_interval": _POLL_S}, daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{LOOPBACK}:{self._httpd.server_port}"

    def close(self) -> None:
        """Stop listening and end every connection."""
        self._httpd.shutdown()
        self._httpd.server_close()
        self._httpd.end_connections()
        self._thread.join(timeout=5)


class _Httpd(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, *args: Any) -> None:
        self._open: set[socket.socket] = set()
        super().__init__(*args)

    def server_bind(self) -> None:
        # http.server looks the machine's name up here, which takes seconds where names do not resolve.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = self.socket.getsockname()[:2]

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def end_connections(self) -> None:
        """End connections that clients keep open."""
        for connection in tuple(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that goes away is no error of the server's."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server_services: Mapping[str, Service]

    def finish(self) -> None:
        """Close both files, also where a client has gone and its answer cannot be flushed: each holds the socket."""
        try:
            with contextlib.suppress(OSError):
                super().finish()
        finally:
            self.rfile.close()

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        prefix = next(prefix for prefix in self.server_services if self._is_below(prefix))
        service = self.server_services[prefix]
        host = self.headers.get("Host", "")
        request = Request(
            method=self.command,
            target=self.path[len(prefix.rstrip("/")) :] or "/",
            headers={name.lower(): value for name, value in self.headers.items()},
            body=body,
            base=f"http://{host}{prefix.rstrip('/')}",
        )
        try:
            response = service(request)
        except Cut:
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            return
        except Exception as error:  # noqa: BLE001  # the last resort: a service's bug is a 500, not a lost answer
            response = json_response({"error": f"the sandbox failed: {type(error).__name__}"}, 500)
        self._answer(response)

    def _is_below(self, prefix: str) -> bool:
        return prefix in {"/", self.path} or self.path.startswith((prefix + "/", prefix + "?"))

    def _answer(self, response: Response) -> None:
        self.send_response_only(response.status)
        for name, value in response.headers.items():
            if name.lower() != "content-length":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)
        self.wfile.flush()

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = _serve  # noqa: N815  # http.server's names

    def log_message(self, *_: Any) -> None:
        """Say nothing."""
