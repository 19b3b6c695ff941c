"""The hosts of a configuration that are not the providers' own: refused before any secret is read, or reported once."""

from __future__ import annotations

from collections.abc import Iterator

from keyrota.app.config import Configuration
from keyrota.app.config.trust import find_untrusted_hosts, foreign
from keyrota.errors import ConfigError
from keyrota.http.hosts import SANDBOX_HOST, find_permission
from keyrota.http.urls import host_and_port

_ACCOUNT = 4
"""The field of an ARN that names the account."""


def refuse_untrusted(configuration: Configuration) -> None:
    """
    Refuse hosts that are neither a provider's own nor allowed outside of the configuration.

    Raises:
        ConfigError: With each of them, with file and line; no secret was read.
    """
    faults = tuple(find_untrusted_hosts(configuration.urls))
    if faults:
        raise ConfigError(faults)


def foreign_hosts(configuration: Configuration) -> tuple[str, ...]:
    """Name each host that is not the provider's own, once, with its port where that is not 443."""
    return tuple(dict.fromkeys(host_and_port(parts) for _, parts in foreign(configuration.urls)))


def host_lines(configuration: Configuration) -> Iterator[str]:
    """Say of each such host, once, who uses it and what allows it; the sandbox's own emulators are not mentioned."""
    users: dict[str, list[str]] = {}
    sources: dict[str, str] = {}
    for url, parts in foreign(configuration.urls):
        host, source = host_and_port(parts), find_permission(parts) or "nothing"
        if source == SANDBOX_HOST:
            continue
        users.setdefault(host, []).append(url.provider)
        sources[host] = source
    for host, providers in users.items():
        yield f"{host} receives tokens and keys for {', '.join(dict.fromkeys(providers))} (allowed by {sources[host]})"


def account_lines(configuration: Configuration) -> Iterator[str]:
    """
    Say whose Parameter Store receives keys, where the configuration names a role or a profile for it.

    The host is AWS's own there, so that the account is what a reader of the plan has to know.
    """
    for name, settings in configuration.of_kind("ssm").items():
        if "role" in settings:
            role = settings["role"]
            yield f"{role.split(':')[_ACCOUNT]} receives keys for {name} (by the role {role} of the configuration)"
        elif "profile" in settings:
            yield f"of the AWS profile {settings['profile']} receives keys for {name}"
