"""Connections that are kept, through the proxy and with the certificates that the usual variables name."""

from __future__ import annotations

import os
import ssl
import urllib.request
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import urllib3
from urllib3.util import Url, parse_url

from keyrota.errors import ProviderRefused
from keyrota.http.response import NoResponse
from keyrota.http.urls import LOOPBACK
from keyrota.http.watch import watch

TOO_LONG = NoResponse("it took too long", is_slow=True)
TIMEOUT = urllib3.Timeout(connect=5.0, read=30.0)


@cache
def pool(host: str) -> urllib3.PoolManager:
    """Keep connections; go through the proxy that the environment names."""
    # Not blocking: with more threads than this, a connection is closed after its use instead of making the thread wait
    # for another target's.
    options: dict[str, Any] = {"maxsize": 16, "block": False}
    options |= _bundle(host)
    parts = _proxy(host)
    if parts:
        user = urllib3.make_headers(proxy_basic_auth=unquote(parts.auth)) if parts.auth else None
        return watch(urllib3.ProxyManager(f"{parts.scheme}://{parts.netloc}", proxy_headers=user, **options))
    return watch(urllib3.PoolManager(**options))


def _bundle(host: str) -> dict[str, str]:
    """Find the certificates that are named; one that is none is refused, before it passes for an outage."""
    name = next((name for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE") if os.environ.get(name)), "")
    if not name:
        return {}
    path = os.environ[name]
    is_folder = Path(path).is_dir()
    is_odd = Path(path).exists() and not (is_folder or Path(path).is_file())  # a pipe would be read without end
    try:
        if is_odd:
            raise OSError  # noqa: TRY301  # one refusal for both
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(**{"capath" if is_folder else "cafile": path})
    except OSError:  # an SSLError is one
        raise ProviderRefused(
            f"{name} names {path}, which is no bundle of certificates that can be read",
            where=host,
            remedy=f"let it name a PEM file with your company's CA, or unset {name}",
        ) from None
    return {"ca_cert_dir" if is_folder else "ca_certs": path}


def _proxy(host: str) -> Url | None:
    """Find the proxy that leads to a host."""
    proxy = urllib.request.getproxies().get("https")
    # Loopback is an emulator, or a test: a company's proxy does not reach it, and need not see it.
    if not proxy or host in LOOPBACK or urllib.request.proxy_bypass(host):
        return None
    try:
        parts = parse_url(proxy if "://" in proxy else f"http://{proxy}")
    except (urllib3.exceptions.HTTPError, ValueError):
        parts = None
    if parts is None or not parts.host or parts.scheme not in {"http", "https"}:
        raise ProviderRefused(
            "HTTPS_PROXY names no proxy that can be used",
            where=host,
            remedy="write http://HOST:PORT, or name this host in NO_PROXY",
        )
    return parts


def silence(error: Exception, host: str) -> NoResponse:
    """Say why there was no answer; the error's own text may hold anything."""
    match error:
        # What failed is the way to the service, so that nothing was sent: urllib3 wraps all that happens there in this.
        case urllib3.exceptions.ProxyError():
            parts = _proxy(host)
            why = f"the proxy {parts.host}:{parts.port} does not let it through" if parts else "the proxy"
            return NoResponse(why, is_unsent=True)
        case urllib3.exceptions.NewConnectionError() | urllib3.exceptions.ConnectTimeoutError():
            return NoResponse(f"no connection to {host}", is_unsent=True)
        case urllib3.exceptions.ReadTimeoutError():
            return TOO_LONG
    return NoResponse()


def is_untrusted(error: urllib3.exceptions.SSLError) -> bool:
    """Distinguish a certificate that is not trusted from a connection that broke."""
    # urllib3 wraps OpenSSL's error, at a place that differs among its versions.
    causes = [error.__cause__, error.__context__, *error.args]
    return any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes)
