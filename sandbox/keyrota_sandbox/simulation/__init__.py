"""
Histories: real runs of keyrota in the world, with faults, people, pipelines and other runs between any two calls.

`keyrota simulate` plays a fleet; `tests/simulation` plays thousands of small ones and checks every step.
"""

from keyrota_sandbox.simulation.fault_profiles import FAULT_PROFILES, FaultKind, FaultProfile, Weather
from keyrota_sandbox.simulation.history import LogListener, RunInfo, Simulation, Watcher, owner_of
from keyrota_sandbox.simulation.jobs import Cause, Failure
from keyrota_sandbox.simulation.operators import Operators
from keyrota_sandbox.simulation.setup import Place, Setup, SimulatedCredential, Trigger
from keyrota_sandbox.simulation.strikes import LOOKING, SHIFTED, STEPS, TROUBLES, UNREADABLE, Aim
from keyrota_sandbox.simulation.timeline import NestedScheduler, Scheduler, Timeline

__all__ = [
    "FAULT_PROFILES",
    "LOOKING",
    "SHIFTED",
    "STEPS",
    "TROUBLES",
    "UNREADABLE",
    "Aim",
    "Cause",
    "Failure",
    "FaultKind",
    "FaultProfile",
    "LogListener",
    "NestedScheduler",
    "Operators",
    "Place",
    "RunInfo",
    "Scheduler",
    "Setup",
    "SimulatedCredential",
    "Simulation",
    "Timeline",
    "Trigger",
    "Watcher",
    "Weather",
    "owner_of",
]
