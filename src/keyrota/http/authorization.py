"""Headers that carry the credential, made at the moment of use."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import urllib3

from keyrota.core.secret import Secret
from keyrota.errors import ProviderRefused

Authorization = Callable[[], Mapping[str, Secret]]


def bearer(token: Callable[[], Secret]) -> Authorization:
    """Authorise with a token."""
    return lambda: {"Authorization": Secret(f"Bearer {token().reveal()}")}


def basic(name: str, password: Callable[[], Secret]) -> Authorization:
    """Authorise with a name and a password (or a token in its place)."""
    return lambda: {
        "Authorization": Secret(urllib3.make_headers(basic_auth=f"{name}:{password().reveal()}")["authorization"])
    }


def header(name: str, token: Callable[[], Secret]) -> Authorization:
    """Authorise with a token in a header of its own."""
    return lambda: {name: token()}


def refuse_odd_headers(headers: Mapping[str, Secret], name: str, where: str) -> None:
    """Refuse a credential that no header can carry, before an error of http.client repeats it."""
    for value in headers.values():
        if not (value.reveal().isascii() and value.reveal().isprintable()):
            raise ProviderRefused(
                f"the credential for {name} holds characters that no header can carry",
                where=where,
                remedy="store the token alone, as it was given",
            )
