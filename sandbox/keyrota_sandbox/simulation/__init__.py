"""
Histories: real runs of keyrota in the world, with faults, people, pipelines and other runs between any two calls.

`keyrota simulate` plays a fleet; `tests/simulation` plays thousands of small ones and checks every step.
"""

from keyrota_sandbox.simulation.history import History, RunInfo, Teller, Watcher, owner_of
from keyrota_sandbox.simulation.jobs import Cause, Failure
from keyrota_sandbox.simulation.people import People
from keyrota_sandbox.simulation.setup import Caretaker, Keeping, Place, Setup
from keyrota_sandbox.simulation.strikes import LOOKING, SHIFTED, STEPS, TROUBLES, UNREADABLE, Aim
from keyrota_sandbox.simulation.timeline import Lanes, OneInAnother, Timeline
from keyrota_sandbox.simulation.weather import CLIMATES, Climate, FaultKind, Weather

__all__ = [
    "CLIMATES",
    "LOOKING",
    "SHIFTED",
    "STEPS",
    "TROUBLES",
    "UNREADABLE",
    "Aim",
    "Caretaker",
    "Cause",
    "Climate",
    "Failure",
    "FaultKind",
    "History",
    "Keeping",
    "Lanes",
    "OneInAnother",
    "People",
    "Place",
    "RunInfo",
    "Setup",
    "Teller",
    "Timeline",
    "Watcher",
    "Weather",
    "owner_of",
]
