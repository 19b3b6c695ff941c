"""One movable clock for a whole process, and the same clock seen from another one."""

from __future__ import annotations

import heapq
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import urllib3

from keyrota.errors import SandboxMissing, UsageError
from keyrota_sandbox.server import LOOPBACK
from keyrota_sandbox.stillness import Activity

_LOCAL = re.compile(rf"http://{re.escape(LOOPBACK)}:[0-9]{{1,5}}/[\w/]*", re.ASCII)
_MAX_WAIT_S = 600
"""Real seconds that one wait may take where many workers wait for each other."""
_DIRECT = urllib3.PoolManager(maxsize=8, retries=False, timeout=_MAX_WAIT_S)
"""Goes through no proxy: the sandbox is on this machine. A run asks for the time some hundred times."""


def make_missing(package: str) -> SandboxMissing:
    """Say how to install the embedded cloud."""
    return SandboxMissing(
        f"the sandbox needs the package {package}, which is not installed",
        remedy='pip install "keyrota[sandbox]"',
    )


class TimeMachine:
    """
    Moves the clock of this process: `datetime.now` and `time.time` everywhere in it, moto's included.

    `monotonic` and `sleep` stay real. Implements the port Clock; sleeping moves the machine forward, to the end of the
    shortest wait, and only when whoever works has come to wait as well (`stillness`): so waits of parallel workers
    pass together, as in real time. It is only ever shifted, because time-machine's own `move_to` begins anew, and
    whoever reads the time meanwhile would see another one.
    """

    def __init__(self, start: datetime) -> None:
        try:
            import time_machine  # noqa: PLC0415  # an extra: absent where the sandbox is not installed
        except ImportError:
            raise make_missing("time-machine") from None
        self._escape = time_machine.escape_hatch
        self._travel = time_machine.travel(start, tick=True)
        self._machine: Any = None
        self._turn = threading.Lock()
        self._waits: list[datetime] = []
        self.activity = Activity()

    def __enter__(self) -> Self:
        """Begin to travel."""
        self._machine = self._travel.start()
        self.now()  # the first reading is where all others count from
        return self

    def __exit__(self, *_: object) -> None:
        """Come back."""
        self._travel.stop()

    def now(self) -> datetime:
        """Return the travelled time: aware, UTC."""
        return datetime.now(UTC)  # noqa: TID251  # this is the clock

    def real_now(self) -> datetime:
        """Return the time outside."""
        return datetime.fromtimestamp(self._escape.time.time(), UTC)

    def sleep(self, seconds: float) -> None:
        """Let that much time pass; the clock moves by it unless another wait ends sooner."""
        until = self.now() + timedelta(seconds=seconds)
        with self._turn:
            heapq.heappush(self._waits, until)
        while self.now() < until:
            self.activity.wait_until_still()
            self._move_to_first_end()
        with self._turn:
            self._waits.remove(until)
            heapq.heapify(self._waits)
        self.activity.note()

    def _move_to_first_end(self) -> None:
        with self._turn:
            left = self._waits[0] - self.now()
            if left > timedelta():
                self._machine.shift(left)
        self.activity.note()  # whoever waited for this instant works from now on

    def travel(self, span: timedelta) -> None:
        """Move forward (or back)."""
        with self._turn:
            self._machine.shift(span)

    def move_to(self, instant: datetime) -> None:
        """Go to an instant."""
        with self._turn:
            self._machine.shift(instant - self.now())


_HERE: dict[str, TimeMachine] = {}
"""The sandbox of this process by its control URL: a command that runs beside it need not ask over HTTP."""


@contextmanager
def serve_at(control_url: str, clock: TimeMachine) -> Iterator[None]:
    """Note for a while that the clock at a URL is one of this process."""
    _HERE[control_url] = clock
    try:
        yield
    finally:
        del _HERE[control_url]


class RemoteClock:
    """The clock of a sandbox, by its control URL. Implements the port Clock; sleeping moves that sandbox forward."""

    def __init__(self, control_url: str) -> None:
        if not _LOCAL.fullmatch(control_url):
            raise UsageError(
                "KEYROTA_SANDBOX does not point to a sandbox on this machine",
                remedy="unset KEYROTA_SANDBOX, or take the line that `keyrota sandbox` prints",
            )
        self._url = control_url

    def now(self) -> datetime:
        """Return the sandbox's time: aware, UTC."""
        here = _HERE.get(self._url)
        return here.now() if here else datetime.fromisoformat(self.ask("clock", None)["now"])

    def sleep(self, seconds: float) -> None:
        """Move the sandbox forward."""
        self.ask("clock", {"seconds": str(seconds)})

    def ask(self, what: str, change: dict[str, str] | None) -> dict[str, str]:
        """Ask the running sandbox for something."""
        method = "GET" if change is None else "POST"
        try:
            answer = _DIRECT.request(method, f"{self._url}/{what}", json=change)
            content: dict[str, str] = answer.json()
        except (urllib3.exceptions.HTTPError, OSError, ValueError):
            raise UsageError(
                "the sandbox that KEYROTA_SANDBOX names does not answer",
                remedy="start `keyrota sandbox` again, or unset KEYROTA_SANDBOX",
            ) from None
        if answer.status >= 400:  # noqa: PLR2004  # HTTP's border between answers and refusals
            raise UsageError(f"the sandbox refuses: {content.get('error', '')}")
        return content
