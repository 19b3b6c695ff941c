"""The world's own time, and the end of a run that dies."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

SIGNATURE_LASTS = timedelta(minutes=5)
"""AWS refuses a request whose signature is older (IAM User Guide, Signature Version 4): no call takes effect later."""
_TURN = threading.Lock()
"""One for all clocks: worlds are copied, and a lock is not."""


class Crash(BaseException):
    """The run ends here, as if its machine had died. No `except Exception` may catch it."""


@dataclass(slots=True)
class WorldClock:
    """A clock that moves only when it is told to, or when someone sleeps."""

    instant: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        """Return the time: aware, UTC."""
        return self.instant

    def sleep(self, seconds: float) -> None:
        """Move on; the waits of several threads add up."""
        self.travel(timedelta(seconds=seconds))

    def travel(self, span: timedelta) -> None:
        """Move on."""
        with _TURN:
            self.instant += span
