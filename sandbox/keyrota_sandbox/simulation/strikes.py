"""
What keyrota does, what can befall it there, and histories in which trouble seeks one step.

Most steps are taken once in a rotation, some hardly ever: faults that come by lot would meet them in one history of
thousands. A history with an aim brings about its step, and something else happens there each time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from keyrota.core import plan as act
from keyrota_sandbox.memory import Outage
from keyrota_sandbox.simulation.fault_profiles import FaultKind

LOOKING = "look"
QUESTIONS = frozenset(kind.__name__ for kind in (act.Preflight, *get_args(act.LOOKS)))
"""Steps that only look."""
STEPS = (LOOKING, *sorted({kind.__name__ for kind in get_args(act.Action)} - QUESTIONS))
"""All that a run does."""
ANOTHER_RUN, CLOCK_DIFFERS, CLOCK_JUMPS, STOP = "another run", "clock differs", "clock jumps", "told to stop"
ACTS, RECONFIGURED = "somebody acts", "configuration changed"
OLDER, UNREADABLE, SHIFTED = "an older secret is shown", "last use unreadable", "pages shift"
BEFALLS: tuple[str, ...] = (*FaultKind, *Outage, ANOTHER_RUN, CLOCK_JUMPS, STOP, ACTS, RECONFIGURED)
"""What can happen in the midst of a step."""
TROUBLES = (*map(str, BEFALLS), CLOCK_DIFFERS, OLDER)
"""All that a run can meet at any step: the last two from its beginning on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """A step that trouble seeks."""

    step: str
    first: int = 0
    """The number, in `BEFALLS`, of what happens there first; each other time the next one."""


class Strikes:
    """What happens at the step that a history aims at."""

    def __init__(self, aim: Aim | None) -> None:
        self._aim = aim
        self._number = aim.first if aim else 0

    def at(self, step: str) -> str | None:
        """Return what is to happen at a step."""
        is_aim = self._aim is not None and step == self._aim.step
        return BEFALLS[self._number % len(BEFALLS)] if is_aim else None

    def hit(self) -> None:
        """Let something else happen from now on: this did."""
        self._number += 1

    @property
    def is_on(self) -> bool:
        """Whether anything is to happen."""
        return self._aim is not None

    @property
    def loses_keys(self) -> bool:
        """Whether answers of CreateAccessKey get lost, since only that leads to the step."""
        return self._aim is not None and self._aim.step in {act.NoteOrphan.__name__, act.DeleteOrphan.__name__}

    def end(self) -> None:
        """Let nothing happen any more."""
        self._aim = None
