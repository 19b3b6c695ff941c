"""Connections that are kept, through the proxy and with the certificates that the usual variables name."""

from __future__ import annotations

import os
import ssl
import urllib.request
from functools import cache
from typing import Any
from urllib.parse import unquote

import urllib3
from urllib3.util import parse_url

from keyrota.wire.urls import LOOPBACK

TIMEOUT = urllib3.Timeout(connect=5.0, read=30.0)


@cache
def pool(host: str) -> urllib3.PoolManager:
    """Keep connections; go through the proxy that the environment names."""
    options: dict[str, Any] = {"maxsize": 16, "block": False}
    bundle = next(
        (os.environ[name] for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE") if os.environ.get(name)),
        None,
    )
    if bundle:
        options["ca_certs"] = bundle
    proxy = urllib.request.getproxies().get("https")
    if proxy and host not in LOOPBACK and not urllib.request.proxy_bypass(host):
        parts = parse_url(proxy if "://" in proxy else f"http://{proxy}")
        user = urllib3.make_headers(proxy_basic_auth=unquote(parts.auth)) if parts.auth else None
        return urllib3.ProxyManager(f"{parts.scheme}://{parts.netloc}", proxy_headers=user, **options)
    return urllib3.PoolManager(**options)


def is_untrusted(error: urllib3.exceptions.SSLError) -> bool:
    """Tell a certificate that is not trusted from a connection that broke."""
    causes = [error.__cause__, error.__context__, *error.args]
    return any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes)
