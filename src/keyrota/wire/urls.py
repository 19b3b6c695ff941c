"""Addresses: taking them apart as the client does that will connect to them, and refusing what is odd."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote, urlencode, urljoin

import urllib3
from urllib3.util import Url, parse_url

from keyrota.errors import ConfigError, Fault, ProviderRefused

LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def built(base: str, segments: Sequence[str], query: Sequence[tuple[str, str]]) -> str:
    """Put an address together; every segment is percent-encoded, `/` in it too."""
    path = "".join(f"/{quote(segment, safe='')}" for segment in segments)
    return base + path + (f"?{urlencode(query, errors='surrogatepass')}" if query else "")


def parts_of(url: str) -> Url | None:
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


def joined(base: str, link: str) -> str:
    """Resolve a link; an empty text where it is none."""
    try:
        return urljoin(base, link)
    except ValueError:
        return ""


def origin(parts: Url) -> tuple[str, str, int | None]:
    """Tell scheme, host and port."""
    default = {"https": 443, "http": 80}.get(parts.scheme or "")
    return parts.scheme or "", (parts.host or "").strip("[]").lower(), parts.port or default


def place_origin(parts: Url) -> str:
    """
    Write where a service is, equal for equal services: scheme, host, port where it is not the default, base path.

    What `PlaceId.origin` holds. The client that took the URL apart has already resolved dots and percent signs in it.
    """
    scheme, host, port = origin(parts)
    host = f"[{host}]" if ":" in host else host.rstrip(".")
    is_default = port == {"https": 443, "http": 80}.get(scheme)
    return f"{scheme}://{host}{'' if is_default else f':{port}'}{(parts.path or '').rstrip('/')}"


def safe_base(base: str, name: str) -> Url:
    """Refuse a base URL that is none, that holds a password, or that would send a token in clear."""
    where = f"{name} base_url"
    parts = parts_of(base)
    if parts is None or parts.query or parts.fragment:
        what = "this is no URL of a service, or it holds a user, a password or a query"
        raise ConfigError([Fault(where=where, what=what, remedy="write https://HOST/PATH")])
    scheme, host, _ = origin(parts)
    if scheme == "https" or (scheme == "http" and host in LOOPBACK):
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


def refuse_odd_names(segments: Sequence[str], where: str) -> None:
    """Refuse names that no URL can carry, before any call."""
    for segment in segments:
        is_upward = not {".", ".."}.isdisjoint(segment.split("/"))
        if not segment or is_upward or not segment.isprintable():
            raise ProviderRefused(
                f"{segment!r} cannot be a name in a URL", where=where, remedy="correct the name in the configuration"
            )
