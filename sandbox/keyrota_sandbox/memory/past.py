"""What Secrets Manager may still answer: a secret as it was some seconds ago."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from keyrota_sandbox.memory.stored import LONG_AGO, StoredSecret

_REMEMBERED = timedelta(minutes=6)
"""No answer is older."""


class Past:
    """Each secret as it was after each of its last changes."""

    def __init__(self) -> None:
        self._states: dict[str, list[tuple[datetime, StoredSecret | None]]] = {}

    def note(self, name: str, stored: StoredSecret | None, now: datetime) -> None:
        """Remember a secret as it is after a change; None: it is not there."""
        states = self._states.setdefault(name, [])
        if states and states[-1][0] == now:
            states.pop()  # nobody was shown what lasted for no time
        states.append((now, _copy(stored) if stored is not None else None))
        while len(states) > 1 and states[1][0] < now - _REMEMBERED:
            states.pop(0)

    def note_birth(self, name: str) -> None:
        """Remember that there was no such secret until now."""
        self._states.setdefault(name, [(LONG_AGO, None)])

    def show(self, name: str, stored: StoredSecret | None, at: datetime) -> StoredSecret | None:
        """
        Return a secret as it was at an instant.

        A change that nobody has noted is shown at once: nobody knows since when it is there.
        """
        states = self._states.get(name)
        if not states or states[-1][1] != stored:
            return stored
        number = next((number for number in range(len(states))[::-1] if states[number][0] <= at), 0)
        return stored if number == len(states) - 1 else states[number][1]


def _copy(stored: StoredSecret) -> StoredSecret:
    versions = {name: replace(version, labels=set(version.labels)) for name, version in stored.versions.items()}
    return replace(stored, versions=versions, tags=dict(stored.tags))
