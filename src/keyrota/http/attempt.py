"""One attempt at something that must not be done twice, where looking again tells what came of it."""

from __future__ import annotations

from collections.abc import Callable

from keyrota.errors import ProviderUnavailable
from keyrota.http.response import Response


def send_once(call: Callable[[], Response]) -> Response | None:
    """
    Make a call that is not repeated by itself.

    Returns:
        The answer; None if there was none, so that whether it was done is not known.

    Raises:
        ProviderUnavailable: A limit that lasts, or no connection; nothing was done.
    """
    try:
        return call()
    except ProviderUnavailable as error:
        if error.is_undone:
            raise
        return None
