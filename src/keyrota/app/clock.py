"""The system's clock: the only place of the package that reads it."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from urllib.parse import urlsplit

from keyrota.errors import UsageError
from keyrota.ports import Clock
from keyrota.stop import STOP

_GLANCE_S = 0.5
"""So often whoever waits looks whether the process was told to stop."""


class SystemClock:
    """The real time."""

    def now(self) -> datetime:
        """Return the time: aware, UTC."""
        return datetime.now(UTC)  # noqa: TID251  # this is the clock

    def sleep(self, seconds: float) -> None:
        """
        Wait; once the process was told to stop, only what must become whole still waits.

        Raises:
            Stopped: The process was told to stop.
        """
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            STOP.demand_no_stop()
            time.sleep(min(left, _GLANCE_S))  # noqa: TID251  # this is the clock
        STOP.demand_no_stop()


def clock() -> Clock:
    """
    Choose the clock: the system's, or a sandbox's where the environment points to one.

    A sandbox's clock is used only together with that sandbox's AWS: with real keys, wrong ages would break promises.
    """
    control = os.environ.get("KEYROTA_SANDBOX")
    if not control:
        return SystemClock()
    if _netloc(control) != _netloc(os.environ.get("AWS_ENDPOINT_URL", "")):
        raise UsageError(
            "KEYROTA_SANDBOX is set, and AWS_ENDPOINT_URL does not point to the same sandbox",
            remedy="set both as `keyrota sandbox` prints them, or unset KEYROTA_SANDBOX",
        )
    for name, value in os.environ.items():
        if name.startswith("AWS_ENDPOINT_URL_") and _netloc(value) != _netloc(control):
            raise UsageError(f"KEYROTA_SANDBOX is set, and {name} points elsewhere", remedy=f"unset {name}")
    if os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        raise UsageError(
            "KEYROTA_SANDBOX is set, and AWS_IGNORE_CONFIGURED_ENDPOINT_URLS leads to the real AWS", remedy="unset one"
        )
    from keyrota.app.rehearsal import load  # noqa: PLC0415  # only for a sandbox

    missing = "KEYROTA_SANDBOX is set, and the sandbox is not installed here"
    remote = load("keyrota.clocks", "sandbox", missing, ", or unset KEYROTA_SANDBOX")
    return _Stoppable(remote(control))


class _Stoppable:
    """A clock whose waits end when the process is told to stop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def now(self) -> datetime:
        """Return the time: aware, UTC."""
        return self._clock.now()

    def sleep(self, seconds: float) -> None:
        """Wait, as `SystemClock` does."""
        STOP.demand_no_stop()
        self._clock.sleep(seconds)
        STOP.demand_no_stop()


def _netloc(url: str) -> str:
    try:
        return urlsplit(url).netloc
    except ValueError:
        return ""
