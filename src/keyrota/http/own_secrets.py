"""
The secrets that this process works with, so that no text shows one, whoever quotes it: AWS, a provider or a proxy.

Errors are made of other people's words (`keyrota.errors.printable`), and a gateway in between may quote a request with
its headers. What is signed with, and each token that is resolved, is noted here and removed from every text.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections import deque
from collections.abc import Iterator
from html import escape
from urllib.parse import quote

from keyrota.core.secret import Secret
from keyrota.errors import HIDDEN, add_redactor

_MIN_LENGTH = 12
"""Shorter values (`test` of an emulator) are words, and would blank harmless texts; AWS's have 40 characters."""
_MAX_KNOWN = 256
_VARIABLES = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN")

_lock = threading.Lock()
_Written = tuple[Secret, ...]
"""A secret as it is, then as URLs, XML and HTML write it: made once, because every line that is printed is searched."""
_known: deque[_Written] = deque(maxlen=_MAX_KNOWN)
_of_variables: dict[str, _Written] = {}


def note(secret: Secret) -> None:
    """Remove a secret from every text from now on."""
    if len(secret) < _MIN_LENGTH:
        return
    with _lock:
        if not any(known[0] == secret for known in reversed(_known)):  # each request notes what it is signed with
            _known.append(_as_written(secret))


def without_secrets(text: str) -> str:
    """Remove what is known from a text, also as URLs, XML and HTML write it."""
    with _lock:
        every = [*_known, *_of_environment()]
    for secret in itertools.chain.from_iterable(every):
        if secret.reveal() in text:
            text = text.replace(secret.reveal(), HIDDEN)
    return text


def _as_written(secret: Secret) -> _Written:
    found: list[Secret] = []
    for write in (str, _quote, _fully_quoted, escape):
        one = Secret(write(secret.reveal()))
        if one not in found:
            found.append(one)
    return tuple(found)


def _quote(text: str) -> str:
    return quote(text, errors="surrogatepass")  # what the environment holds need not be UTF-8


def _fully_quoted(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass")


def _of_environment() -> Iterator[_Written]:
    for name in _VARIABLES:
        if len(os.environ.get(name, "")) >= _MIN_LENGTH:
            known = _of_variables.get(name)
            if known is None or known[0] != Secret(os.environ[name]):
                known = _of_variables[name] = _as_written(Secret(os.environ[name]))
            yield known


add_redactor(without_secrets)
