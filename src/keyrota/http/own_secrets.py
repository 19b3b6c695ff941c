"""
The secrets that this process works with, so that no text shows one, whoever quotes it: AWS, a provider or a proxy.

Errors are made of other people's words (`keyrota.errors.printable`), and a gateway in between may quote a request with
its headers. What is signed with, and each token that is resolved, is noted here and removed from every text.
"""

from __future__ import annotations

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
_known: deque[Secret] = deque(maxlen=_MAX_KNOWN)


def note(secret: Secret) -> None:
    """Remove a secret from every text from now on."""
    with _lock:
        if len(secret) >= _MIN_LENGTH and secret not in _known:
            _known.append(secret)


def without_secrets(text: str) -> str:
    """Remove what is known from a text, also as URLs, XML and HTML write it."""
    with _lock:
        every = [*_known, *_of_environment()]
    for secret in every:
        if secret.reveal() in text:
            text = text.replace(secret.reveal(), HIDDEN)
        for written in (quote, _fully_quoted, escape):
            if written(secret.reveal()) in text:
                text = text.replace(written(secret.reveal()), HIDDEN)
    return text


def _fully_quoted(text: str) -> str:
    return quote(text, safe="")


def _of_environment() -> Iterator[Secret]:
    for name in _VARIABLES:
        if len(os.environ.get(name, "")) >= _MIN_LENGTH:
            yield Secret(os.environ[name])


add_redactor(without_secrets)
