"""`--events FILE`: what a run does, as the functions on Lambda announce it, one JSON document on each line."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

from keyrota.app.cli.common import eprint
from keyrota.app.functions.own_events import SOURCE, Announcer
from keyrota.app.session import Session
from keyrota.core.outcome import Outcome
from keyrota.errors import UsageError, without_own_secrets
from keyrota.executor import Preview


class EventsFile:
    """A file to which each credential's events are appended as soon as it is finished."""

    def __init__(self, path: Path, session: Session) -> None:
        """
        Open it, before anything is done.

        Raises:
            UsageError: It cannot be written, or is not a regular file.
        """
        self._path = path
        self._session = session
        self._announcer = Announcer(stack="", run=session.wiring.settings.run)
        self._descriptor: int | None = _open(path)

    def __call__(self, preview: Preview, outcome: Outcome) -> None:
        """Append the events of one credential; where that fails, the work goes on all the same."""
        report = self._session.outcome_report(preview, outcome)
        lines = [
            json.dumps({"source": SOURCE, "detail-type": one.detail_type, "detail": dict(one.detail)})
            for one in self._announcer.announcements([report])
        ]
        data = "".join(f"{without_own_secrets(line)}\n" for line in lines).encode()
        try:
            if self._descriptor is not None and data:
                os.write(self._descriptor, data)  # one call, so that lines of several threads do not mix
        except OSError as error:
            eprint(f"warning: no more events are written to {self._path}: {error.strerror}")
            self.close()

    def close(self) -> None:
        """Close it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _open(path: Path) -> int:
    """Open a file at its end; a pipe that nobody reads would be waited for, and a link lead elsewhere."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        raise UsageError(f"events cannot be written: {error.strerror}", where=str(path)) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UsageError("events are written to a regular file", where=str(path), remedy="choose another name")
    return descriptor
