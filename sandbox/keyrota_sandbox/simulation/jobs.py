"""Pipelines: they start at any time, read their variables one by one, use the key for minutes to hours, and fail."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from random import Random
from typing import Protocol

from keyrota.core.model import AWSCURRENT, AccessKeyId, KeyPair, UserName
from keyrota.core.secret import Secret
from keyrota_sandbox.memory import Call, World
from keyrota_sandbox.simulation.deployments import Deployments
from keyrota_sandbox.simulation.setup import Place, Setup, SimulatedCredential
from keyrota_sandbox.simulation.timeline import Timeline


class Cause(StrEnum):
    """Why a pipeline failed."""

    TORN = "torn pair"
    DEAD = "dead key"
    STALE = "stale key"
    """Dead as well, and no longer the newest: the new one had not reached the variables that it read."""
    NOT_YET = "not yet usable"
    BY_HAND = "somebody's doing"
    FORGOTTEN = "a consumer that nobody remembers"


@dataclass(frozen=True, slots=True)
class Failure:
    """A pipeline run that failed."""

    at: datetime
    address: str
    key: AccessKeyId
    cause: Cause
    is_bundle: bool = False

    @property
    def is_ours(self) -> bool:
        """Whether keyrota could have prevented it; a pair that is two variables can be read between two writes."""
        return self.cause in {Cause.DEAD, Cause.STALE, Cause.NOT_YET} or (self.cause is Cause.TORN and self.is_bundle)


class Surroundings(Protocol):
    """What pipelines see of a history: where they run, what time it is, and who keeps what."""

    world: World
    setup: Setup
    timeline: Timeline
    deployments: Deployments
    awakened: set[str]
    rng: Random

    @property
    def credentials(self) -> dict[UserName, SimulatedCredential]:
        """What the configuration says that keeps each user."""

    def echo(self, who: str, what: str) -> None:
        """Log a moment."""


class Jobs:
    """All pipelines of a history."""

    _USES = 6

    def __init__(self, history: Surroundings) -> None:
        self._history = history
        self._lots = history.rng
        self.started = 0
        self.failures: list[Failure] = []
        self.spoiled: set[AccessKeyId] = set()
        """Keys that a person deactivated, deleted, or had revoked."""

    def spoil_all(self, user: UserName) -> None:
        """Note that a person took all keys of a user away."""
        self.spoiled |= set(self._history.world.users.get(user, ()))

    # --- starts ---------------------------------------------------------------------------------------------------

    def schedule(self, until: datetime) -> None:
        """Announce pipelines at all places."""
        for keeping in (*self._history.credentials.values(), *self._history.deployments.others.values()):
            for place in keeping.places:
                self.schedule_at(place, until)
            if keeping.forgotten_every:
                self._remember(keeping, until)

    def schedule_at(self, place: Place, until: datetime) -> None:
        """Announce the pipelines of one place."""
        when = self._history.world.clock.instant
        while place.deployments_a_day:
            when += timedelta(days=self._lots.expovariate(place.deployments_a_day))
            if when > until:
                return
            self._history.timeline.at(when, lambda: self.start(place.address, place.job_minutes))

    def start_amid_write(self, call: Call) -> None:
        """In a proof, let a pipeline start, often, in the middle of a write: that is when it hurts."""
        if self._history.setup.is_proof and call.name.startswith("target:write") and self._lots.random() < 0.4:  # noqa: PLR2004  # two of five
            address = call.name.split(" ", 2)[2]
            self._history.timeline.after(self._lots.expovariate(1), lambda: self.start(address, 60))

    def _remember(self, keeping: SimulatedCredential, until: datetime) -> None:
        pair = self._history.world.places[keeping.places[0].address].pair if keeping.places else None
        every = keeping.forgotten_every
        when = self._history.world.clock.instant
        while pair is not None and every and (when := when + every) <= until:
            self._history.timeline.at(when, lambda: self._use_forgotten(pair))

    def _use_forgotten(self, pair: KeyPair) -> None:
        if not self._history.world.use(pair, service="ec2"):
            self._fail("somewhere", pair, Cause.FORGOTTEN)

    # --- a run ----------------------------------------------------------------------------------------------------

    def start(self, address: str, minutes: float) -> None:
        """Read one variable, and the other a moment later."""
        place = self._history.world.places[address]
        if place.pair is None or place.half or place.is_archived:
            return  # nothing is there: a pipeline that never worked
        self.started += 1
        first, by_hand = place.pair, place.by_hand
        is_id_first = self._lots.random() < 0.5  # noqa: PLR2004  # either may be read first

        def read_the_other() -> None:
            second = place.pair
            if second is None:
                self._fail(address, first, Cause.BY_HAND)
                return
            one, other = (first, second) if is_id_first else (second, first)
            pair = first if place.is_bundle else KeyPair(id=one.id, secret=other.secret)
            self._plan_uses(address, pair, minutes, by_hand=by_hand or place.by_hand)

        self._history.timeline.after(self._lots.expovariate(5), read_the_other)

    def _plan_uses(self, address: str, pair: KeyPair, minutes: float, *, by_hand: bool) -> None:
        count = self._lots.randint(1, self._USES)
        waits = sorted(self._lots.uniform(0, minutes * 60) for _ in range(count - 1))
        job = _Job(address, pair, [0.5, *waits], by_hand)
        self._history.timeline.after(job.waits[0], lambda: self._use(job, 0))

    def _use(self, job: _Job, number: int) -> None:
        world = self._history.world
        why = world.refusal(job.pair)
        if why or not world.use(job.pair):
            self._fail(job.address, job.pair, self._cause(job, why or "not yet usable"))
            return
        if number + 1 < len(job.waits):
            wait = job.waits[number + 1] - job.waits[number]
            self._history.timeline.after(max(wait, 0), lambda: self._use(job, number + 1))

    def _cause(self, job: _Job, why: str) -> Cause:
        is_unknown = job.address in self._find_forgotten() and self._history.world.places[job.address].ours is None
        is_late = job.address in self._history.awakened  # it was archived when all others were written
        if job.by_hand or job.pair.id in self.spoiled or is_unknown or is_late:
            return Cause.BY_HAND
        if why == Cause.DEAD and job.pair.id not in self._newest():
            return Cause.STALE
        return Cause(why)

    def _newest(self) -> set[AccessKeyId]:
        """Find the keys in AWSCURRENT."""
        versions = (version for stored in self._history.world.secrets.values() for version in stored.versions.values())
        return {version.pair.id for version in versions if version.pair and AWSCURRENT in version.labels}

    def _find_forgotten(self) -> set[str]:
        """Find the places that the configuration which keeps a user does not name: it knows only those it wrote."""
        keepings = self._history.credentials.values()
        return set(self._history.world.places) - {place.address for keeping in keepings for place in keeping.places}

    def _fail(self, address: str, pair: KeyPair, cause: Cause) -> None:
        place = self._history.world.places.get(address)
        failure = Failure(
            self._history.world.clock.instant, address, pair.id, cause, is_bundle=bool(place and place.is_bundle)
        )
        self.failures.append(failure)
        self._history.echo(f"pipeline at {address}", f"fails with {pair.id}: {cause.value}")


@dataclass(frozen=True, slots=True)
class _Job:
    """One run of a pipeline."""

    address: str
    pair: KeyPair
    waits: list[float]
    """Seconds from its start to each use."""
    by_hand: bool


NOBODYS = Secret("nobody-s-secret")
"""What a person types who has no key at hand."""
