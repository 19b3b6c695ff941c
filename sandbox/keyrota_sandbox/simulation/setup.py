"""What a history is about: credentials, their policies and places, and who looks after them how often."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from keyrota.core.model import UserName
from keyrota.core.policy import CLASSIC, Rollout, RotationPolicy
from keyrota_sandbox.simulation.fault_profiles import FAULT_PROFILES, FaultProfile
from keyrota_sandbox.simulation.strikes import Aim


class Trigger(StrEnum):
    """Who runs keyrota."""

    DAILY = "a run a day"
    FUNCTIONS = "four functions, each on its own schedule"
    LAPTOP = "a person now and then"
    TWINS = "the same daily run on two machines"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A target."""

    address: str
    is_bundle: bool = False
    is_id_readable: bool = True
    is_change_told: bool = False
    """The provider tells when the variables were changed last."""
    clock_ahead: timedelta = timedelta()
    """Of the provider."""
    wait_for_idle: timedelta = timedelta()
    deployments_a_day: float = 4.0
    job_minutes: float = 60.0
    """A pipeline uses its key for so long at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedCredential:
    """One credential."""

    user: UserName
    """As the world names it: `ACCOUNT:USER` in another account than the world's own."""
    secret: str
    """The same: `ACCOUNT:SECRET`."""
    places: tuple[Place, ...]
    age: timedelta
    """Of the key that is there at the beginning."""
    policy: RotationPolicy = CLASSIC
    forgotten_every: timedelta | None = None
    """Someone whom nobody remembers uses the first key so often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """One history, before it begins."""

    seed: int
    credentials: tuple[SimulatedCredential, ...]
    caretakers: tuple[Trigger, ...] = (Trigger.DAILY,)
    with_events: bool = True
    has_lists: bool = False
    """Runs read only what the credential report and the list of secrets do not show to be at rest."""
    climate: FaultProfile = field(default_factory=lambda: FAULT_PROFILES["none"])
    start: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    run_hour: float | None = None
    """The daily run's hour, UTC; None: drawn."""
    is_proof: bool = False
    """Faults seek the steps that keyrota seldom takes: a history would hardly ever meet them there otherwise."""
    second: tuple[SimulatedCredential, ...] = ()
    """A second deployment's configuration of users that the first one has as well, each with another secret."""
    second_from: timedelta = timedelta()
    """So long after the first deployment the second one begins to run, daily."""
    aim: Aim | None = None
    """A step that is brought about, and at which something happens each time."""
    rollout: Rollout | None = None
    """How many new keys a run makes; None: all that are due."""
    canaries: frozenset[UserName] = frozenset()
    """Whose keys are replaced first."""
    parts: int = 1
    """The fleet is cut into so many parts, each with runs of its own."""
