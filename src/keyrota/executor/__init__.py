"""
What does: observe, do the first action, observe again, until nothing is left but holds.

There is no recovery code. A crash anywhere is just an observation that the next run plans from.
Knows ports only, so that a simulation runs exactly this.
"""

from keyrota.executor.events import Event, EventKind, Listener
from keyrota.executor.fleet import Preview, apply_all, plan_all
from keyrota.executor.run import Run
from keyrota.executor.screen import Screen
from keyrota.executor.subject import CredentialContext, Settings

__all__ = [
    "CredentialContext",
    "Event",
    "EventKind",
    "Listener",
    "Preview",
    "Run",
    "Screen",
    "Settings",
    "apply_all",
    "plan_all",
]
