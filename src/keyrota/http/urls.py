"""Addresses: taking them apart as the client does that will connect to them, and refusing what is odd."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import quote, urlencode, urljoin

import urllib3
from urllib3.util import Url, parse_url

from keyrota.errors import ProviderRefused

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_HOST = re.compile(r"(?!.*\.\.)[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_HOST_AND_PORT = re.compile(r"[A-Za-z0-9._:\[\]-]+")
_AUTHORITY_ENDS = re.compile(r"[/?#]")


def build(base: str, segments: Sequence[str], query: Sequence[tuple[str, str]]) -> str:
    """Put an address together; every segment is percent-encoded, `/` in it too."""
    path = "".join(f"/{quote(segment, safe='')}" for segment in segments)
    return base + path + (f"?{urlencode(query, errors='surrogatepass')}" if query else "")


def parts_of(url: str) -> Url | None:
    """
    Take a URL apart as the client does that will connect to it; None where it is odd.

    Two parsers that disagree about a backslash, user info or a number as a host send a token to another host; and a
    letter that only looks like a Latin one (Cyrillic has an i) names another host to begin with.
    """
    authority = _AUTHORITY_ENDS.split(url.partition("//")[2], maxsplit=1)[0]
    if not url.isprintable() or "\\" in url or " " in url or not _HOST_AND_PORT.fullmatch(authority):
        return None
    try:
        parts = parse_url(url)
    except (urllib3.exceptions.HTTPError, ValueError):
        return None
    return parts if _is_plain_host(parts.host or "") and parts.port != 0 else None


def _is_plain_host(host: str) -> bool:
    """
    Say whether a host is a name or an address in its usual form.

    A host whose last label is a number is an address for some parsers (2130706433, 0x7f.1, 127.1) and a name for
    others (URL Standard, section 3.5); a trailing dot makes another name of the same host, an IPv6 zone is local.
    """
    if host.startswith("["):
        return _is_address(host.strip("[]")) and "%" not in host
    last = host.rpartition(".")[2]
    if last[:1].isdigit() and (last.isdigit() or last.lower().startswith("0x")):
        return _is_address(host)
    return _HOST.fullmatch(host) is not None


def _is_address(text: str) -> bool:
    try:
        return bool(ip_address(text)) or True
    except ValueError:
        return False


def host_and_port(parts: Url) -> str:
    """Write host and port as people do: without the port that https has anyway."""
    scheme, host, port = origin(parts)
    shown = f"[{host}]" if ":" in host else host
    return shown if (scheme, port) == ("https", 443) else f"{shown}:{port}"


def join(base: str, link: str) -> str:
    """Resolve a link; an empty text where it is none."""
    try:
        return urljoin(base, link)
    except ValueError:
        return ""


def origin(parts: Url) -> tuple[str, str, int | None]:
    """Return scheme, host and port."""
    default = {"https": 443, "http": 80}.get(parts.scheme or "")
    return parts.scheme or "", (parts.host or "").strip("[]").lower(), parts.port or default


def place_origin(parts: Url) -> str:
    """
    Write where a service is, equal for equal services: scheme, host, port where it is not the default, base path.

    What `PlaceId.origin` holds. The client that took the URL apart has already resolved dots and percent signs in it.
    """
    scheme, host, port = origin(parts)
    host = f"[{host}]" if ":" in host else host
    is_default = port == {"https": 443, "http": 80}.get(scheme)
    return f"{scheme}://{host}{'' if is_default else f':{port}'}{(parts.path or '').rstrip('/')}"


def url_fault(base: str) -> tuple[str, str] | None:
    """
    Say what is wrong with a base URL, and the remedy; None if nothing is.

    It must be a URL with an ASCII host name, hold no user, password, query or fragment, and not send a token in clear.
    """
    parts = parts_of(base)
    if parts is None and not base.partition("//")[2].partition("/")[0].isascii():
        return "the host name holds letters beyond ASCII", "write its ASCII form (xn--…), if it is the host you mean"
    if parts is None or parts.query or parts.fragment:
        what = "this is not the URL of a service, or it holds a user, a password or a query"
        return what, "write https://HOST/PATH, with the host by its whole name"
    scheme, host, _ = origin(parts)
    if scheme == "https" or (scheme == "http" and host in LOOPBACK):
        return None
    return "the URL must begin with https://", "a token would travel in clear; plain http is taken on loopback only"


def is_upward(name: str) -> bool:
    """Say whether a part of a name is `.` or `..`: servers and proxies take it out of a path, percent-encoded too."""
    return not {".", ".."}.isdisjoint(name.split("/"))


def refuse_odd_names(segments: Sequence[str], where: str) -> None:
    """Refuse names that no URL can carry, before any call."""
    for segment in segments:
        if not segment or is_upward(segment) or not segment.isprintable():
            raise ProviderRefused(
                f"{segment!r} cannot be a name in a URL", where=where, remedy="correct the name in the configuration"
            )
