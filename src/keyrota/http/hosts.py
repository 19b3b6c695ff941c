"""
Which hosts a secret may be sent to: the provider's own, and those that were allowed outside of the configuration.

A configuration is often changed by more people than may read the secrets of the machine that runs it (a pull request).
If it could also name the host that a token goes to, it could read every secret that keyrota can read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping
from ipaddress import IPv6Address, ip_address

from urllib3.util import Url

from keyrota.errors import ConfigError, Fault, UsageError
from keyrota.http.urls import LOOPBACK, host_and_port, parts_of, url_fault

ALLOWED_HOSTS = "KEYROTA_ALLOWED_HOSTS"
SANDBOX_HOST = "KEYROTA_SANDBOX_HOST"
"""Set by `keyrota sandbox` and `keyrota demo` for the processes that use them; allows loopback only, and without a port
all of it."""
_NAME = re.compile(r"(?!.*\.\.)[a-z0-9]([a-z0-9._-]*[a-z0-9])?")
_BRACKETED = re.compile(r"\[(?P<address>[0-9a-f:.]+)\]")
_MAX_PORT = 65535

_from_command_line: set[str] = set()


def allow(hosts: Iterable[str]) -> None:
    """
    Allow hosts for the rest of this process: `--allow-host` of a command.

    Raises:
        UsageError: One of them is not a host.
    """
    _from_command_line.update(_entry(host, "--allow-host") for host in hosts)


def forget() -> None:
    """Forget what `allow` allowed: the command has ended."""
    _from_command_line.clear()


def find_permission(parts: Url, environment: Mapping[str, str] | None = None) -> str | None:
    """
    Say what allows a host that is not the provider's own: `--allow-host`, or a variable; None if nothing does.

    Raises:
        UsageError: A variable holds something that is not a host.
    """
    variables = os.environ if environment is None else environment
    host = host_and_port(parts)
    if host in _from_command_line:
        return "--allow-host"
    if host in _entries(variables.get(ALLOWED_HOSTS, ""), ALLOWED_HOSTS):
        return ALLOWED_HOSTS
    sandbox = _entries(variables.get(SANDBOX_HOST, ""), SANDBOX_HOST)
    # An emulator of the sandbox gets its port when it starts, so that a rule without a port has to cover all of
    # loopback.
    name = _without_port(host)
    return SANDBOX_HOST if name.strip("[]") in LOOPBACK and sandbox & {host, name} else None


def is_own(parts: Url, own: Collection[str]) -> bool:
    """Say whether a URL is at one of a provider's own public addresses; only https counts."""
    known = (parts_of(url) for url in own)
    # By http the provider's own name proves nothing: whoever is on the way may answer for it.
    return parts.scheme == "https" and host_and_port(parts) in {host_and_port(one) for one in known if one}


def require_trusted(url: str, own: Collection[str], where: str) -> Url:
    """
    Take a URL apart that a secret may be sent to.

    Args:
        url: As the configuration gives it, or the provider's own.
        own: The provider's own public URLs.
        where: File, line and column, or provider and setting, for the fault.

    Raises:
        ConfigError: It is not a URL, it would send a token in clear, or nothing outside of the configuration allows
            its host.
    """
    parts, fault = parts_of(url), url_fault(url)
    if parts is None or fault is not None:
        raise ConfigError([Fault(where=where, what=what, remedy=remedy) for what, remedy in [fault or ("", "")]])
    if not is_own(parts, own) and find_permission(parts) is None:
        raise ConfigError([make_untrusted_fault(parts, where)])
    return parts


def make_untrusted_fault(parts: Url, where: str) -> Fault:
    """Say that nothing outside of the configuration allows a host."""
    host = host_and_port(parts)
    return Fault(
        where=where,
        what=f"{host} is not the provider's own host, and nothing outside of the configuration allows it",
        remedy=f"if this service may receive your tokens and keys: {ALLOWED_HOSTS}={host}, or --allow-host {host}; "
        "`keyrota deploy` writes it into the stack",
    )


def _entries(text: str, source: str) -> frozenset[str]:
    return frozenset(_entry(word.strip(), source) for word in text.split(",") if word.strip())


def _entry(text: str, source: str) -> str:
    """
    Read HOST or HOST:PORT; without a port it is that of https.

    Raises:
        UsageError: It is something else. A wildcard is something else too: whoever may create a subdomain would
            receive the tokens (docs/adr/0037-trusted-hosts.md).
    """
    host, colon, port = text.lower().rpartition(":")
    if not colon or text.endswith("]"):
        host, colon, port = text.lower(), "", ""
    is_host = _NAME.fullmatch(host) or _is_address(host)
    if not is_host or (colon and not (port.isascii() and port.isdigit() and 0 < int(port) <= _MAX_PORT)):
        raise UsageError(
            f"{source}: {text!r} is not a host",
            remedy="write HOST or HOST:PORT, each host by its whole name; separate several with commas",
        )
    return f"{host}:{port}" if port not in {"", "443"} else host


def _is_address(host: str) -> bool:
    match = _BRACKETED.fullmatch(host)
    try:
        return match is not None and isinstance(ip_address(match["address"]), IPv6Address)
    except ValueError:
        return False


def _without_port(host: str) -> str:
    return host if host.endswith("]") else host.rpartition(":")[0] or host
