"""
One history: real runs of keyrota in the world, interleaved with everything that can happen meanwhile.

A seed decides everything, so that the same seed is the same history, call for call.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import NoReturn, Protocol, TypeVar

from keyrota.core.model import AWSCURRENT, NOBODY, AccessKeyId, IndexEntry, KeyPair, TargetEvidence, UserName
from keyrota.core.outcome import Outcome
from keyrota.core.overview import Overview
from keyrota.core.plan import Duty
from keyrota.core.planner import Intent, Only
from keyrota.core.policy import Rollout
from keyrota.core.waves import Share, count_needed
from keyrota.errors import ClockIsOff, KeyrotaError, ProviderUnavailable
from keyrota.executor import CredentialContext, Screen, Settings, apply_all, plan_all
from keyrota.executor.confirm import confirm, questions
from keyrota.executor.events import Event, EventKind
from keyrota.executor.fleet import Preview
from keyrota.executor.forget import forget, list_remembered
from keyrota.executor.waves import Waves, is_in_waves, plan_in_turns
from keyrota.stop import Stop
from keyrota_sandbox.memory import (
    MAX_TAGS,
    SIGNATURE_LASTS,
    Call,
    Crash,
    Variables,
    World,
    credential_of,
    in_world,
    open_target,
)
from keyrota_sandbox.memory.lists import WorldLists
from keyrota_sandbox.simulation.deployments import Deployments
from keyrota_sandbox.simulation.fault_profiles import FaultKind, Weather
from keyrota_sandbox.simulation.jobs import Jobs
from keyrota_sandbox.simulation.setup import Place, Setup, SimulatedCredential, Trigger
from keyrota_sandbox.simulation.strikes import (
    ANOTHER_RUN,
    CLOCK_DIFFERS,
    CLOCK_JUMPS,
    LOOKING,
    OLDER,
    QUESTIONS,
    SHIFTED,
    STOP,
    UNREADABLE,
    Strikes,
)
from keyrota_sandbox.simulation.timeline import NestedScheduler, Scheduler, Timeline

T = TypeVar("T")

_CLOCKS_DIFFER = timedelta(seconds=45)
"""keyrota refuses to work with a clock that differs more (the adapters compare it with AWS's)."""
_A_PERSON = "arn:aws:iam::123456789012:user/platform-engineer"
_OFTEN = frozenset({LOOKING, "Sync", "RemoveLabel"})
_SELDOM = frozenset(
    {"Choose", "Delete", "DeleteOrphan", "MarkRevoked", "NoteActive", "NoteOrphan", "Reactivate", "Restore"}
)
_SHOWS_A_SECRET = ("secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue")
_TOUCHED, _ROOM_FOR_OURS = 0.3, 12
_AT_WORK_S = 0.1
"""A step of a single call takes about twice as long."""
_STRUCK, _LOST = 0.6, 0.5
_COPIED = 0.3
"""Share of the places of a second configuration into which someone has copied the pair of the first one."""
_CROWD = 6
"""While so many runs are under way nobody comes in between: each would draw others after it, without an end."""
_SORE = frozenset({"Promote", "Sync", "Verify"})
"""Here it hurts most that AWSCURRENT is moved meanwhile."""
_SOON_S = (0.05, 0.25, 1.0, 10.0)
"""After so many seconds, on average, someone comes in between."""
_AT_ONCE = 2
"""So many of these lie within a single call."""
_RARE, _RAREST = 5.0, 30.0
"""In a proof, things go wrong so many times as often in what keyrota seldom does."""


@dataclass(slots=True)
class Machine:
    """What a run runs on; all of it dies at the same moment."""

    has_died: bool = False


@dataclass(slots=True, kw_only=True)
class RunInfo:
    """A run of keyrota."""

    name: str
    intent: Intent | None
    is_plan_only: bool
    clock: RunClock
    keepings: dict[UserName, SimulatedCredential]
    """What its configuration says."""
    began: datetime
    addresses: tuple[str, ...] = ()
    """The targets that it knows, of its one user."""
    step: str = LOOKING
    """What it is doing: the kind of action, or `look`."""
    struck: FaultKind | None = None
    """What is to happen to a call of this step."""
    touched: set[str] = field(default_factory=set)
    """Kinds of trouble that it met so far, other than faults of calls."""
    previews: Sequence[Preview] = ()
    outcomes: Sequence[Outcome] = ()
    is_over: bool = False
    machine: Machine = field(default_factory=Machine)
    stop: Stop = field(default_factory=Stop)

    @property
    def users(self) -> tuple[UserName, ...]:
        """Whose keys it keeps."""
        return tuple(self.keepings)


class RunClock:
    """The clock of the machine on which a run runs."""

    def __init__(self, history: Simulation, skew: timedelta) -> None:
        self._history = history
        self.skew = skew

    def now(self) -> datetime:
        """Return what that machine believes."""
        return self._history.world.clock.instant + self.skew

    def sleep(self, seconds: float) -> None:
        """Wait, while others continue."""
        self._history.lanes.wait(seconds)


class Watcher(Protocol):
    """Looks at every call that came to be answered, or refused by the service itself."""

    def __call__(self, call: Call, answer: object) -> None:
        """Look; the answer of a refused call is the error."""
        ...


class LogListener(Protocol):
    """Is told what happens, for the story."""

    def __call__(self, at: datetime, who: str, what: str, answer: str) -> None:
        """Take one line."""
        ...


def owner_of(told: Event | Outcome) -> UserName:
    """Name the user as the world does: with its account, where that is another than the world's own."""
    return UserName(in_world(told.account, told.user))


class Simulation:
    """A world with its actors."""

    def __init__(
        self, setup: Setup, *, lanes: Callable[[Timeline], Scheduler] = NestedScheduler, emit: LogListener | None = None
    ) -> None:
        self.setup = setup
        self.world = World()
        self.world.clock.instant = setup.start
        self.timeline = Timeline(self.world.clock)
        self.lanes = lanes(self.timeline)
        self.weather = Weather(Random(f"{setup.seed} weather"), setup.climate)  # noqa: S311  # chance, no secrets
        self.rng = Random(f"{setup.seed} lots")  # noqa: S311
        self.strikes = Strikes(setup.aim)
        self.befall: dict[str, Callable[[UserName], object]] = {ANOTHER_RUN: lambda _: self.run()}
        """How what an aim names is brought about, by its name."""
        self.world.lags = self.weather
        self.world.road = self._road
        self.world.is_id_first = self.rng.random() < 0.5  # noqa: PLR2004  # either half may be first
        self.emit = emit
        self.watchers: list[Watcher] = []
        self.listeners: list[Watcher] = []
        """Told of each answer that reached its caller, a failure too."""
        self.attempts: list[Callable[[Call], None]] = []
        """Told of each call before anything can befall it."""
        self.on_event: list[Callable[[Event], None]] = []
        """Told of each step of each run, as the executor tells it."""
        self.after_run: list[Callable[[RunInfo], None]] = []
        self.runs: dict[str, RunInfo] = {}
        self.under_way: dict[str, RunInfo] = {}
        self.unanswered: set[tuple[str, str]] = set()
        """Calls that took effect, and whose answer was lost: who made them, and their name."""
        self.covered: Counter[tuple[str, str]] = Counter()
        self.steps = 0
        self.deployments = Deployments(setup)
        self.removed: dict[UserName, list[str]] = {}
        """Places that were removed from a configuration."""
        self.meanwhile: list[Callable[[UserName], object]] = [lambda _: self.run()]
        """What may happen in the midst of keyrota's steps."""
        self.moves: list[Callable[[UserName], object]] = []
        """What moves AWSCURRENT."""
        self.switched_on: dict[AccessKeyId, datetime] = {}
        """When someone last switched a key on."""
        self.confirmed: set[str] = set()
        """Places of which a person has said that they may be written."""
        self.runs_as = NOBODY
        """Whom keyrota runs as."""
        self.named_since: dict[str, datetime] = {}
        """When a name was last given to another place."""
        self.awakened: set[str] = set()
        """Places that were archived, and have not been written since."""
        self.released: set[AccessKeyId] = set()
        """Keys of which a person has said that nothing needs them."""
        for keeping in setup.credentials:
            self._begin(keeping)
        for keeping in setup.second:
            self._begin_beside(keeping)
        self.jobs = Jobs(self)

    def _begin(self, keeping: SimulatedCredential) -> None:
        self.world.add_user(keeping.user)
        pair = self.world.add_key(keeping.user, age_days=keeping.age / timedelta(days=1))
        for place in keeping.places:
            self.add_place(place, pair)

    @property
    def credentials(self) -> dict[UserName, SimulatedCredential]:
        """What the configuration says that keeps each user."""
        return self.deployments.credentials

    def _begin_beside(self, keeping: SimulatedCredential) -> None:
        """Make the places of a second configuration; some of them hold the pair of the first one."""
        first = self.world.places[self.credentials[keeping.user].places[0].address].pair
        for place in keeping.places:
            self.add_place(place, first if self.rng.random() < _COPIED else None)

    def add_place(self, place: Place, pair: KeyPair | None) -> None:
        """Make a place at a provider, with what it holds."""
        open_target(self.world, place.address)
        made = self.world.places[place.address]
        made.pair, made.is_bundle, made.is_id_readable = pair, place.is_bundle, place.is_id_readable
        made.wait_for_idle, made.is_change_told = place.wait_for_idle, place.is_change_told
        made.clock_ahead = made.was_ahead = place.clock_ahead

    def rename(self, user: UserName, old: str, new: str) -> None:
        """Let the configuration follow a place to its new name."""
        keeping = self.credentials[user]
        places = tuple(replace(place, address=new) if place.address == old else place for place in keeping.places)
        self.credentials[user] = replace(keeping, places=places)
        if old in self.confirmed:
            self.confirmed.add(new)

    def configure(self, user: UserName, place: Place) -> None:
        """Add a place to the configuration, and let its pipelines run for some weeks."""
        keeping = self.credentials[user]
        self.credentials[user] = replace(keeping, places=(*keeping.places, place))
        self.jobs.schedule_at(place, self.world.clock.instant + timedelta(days=20))

    # --- what happens by itself -----------------------------------------------------------------------------------

    def schedule(self, until: datetime) -> None:
        """Announce the runs of all caretakers until then."""
        for caretaker in self.setup.caretakers:
            match caretaker:
                case Trigger.DAILY:
                    self._daily(until, self.run_first)
                case Trigger.FUNCTIONS:
                    for duty in Duty:
                        self._daily(until, partial(self.run_first, Only(duty=duty)))
                case Trigger.LAPTOP:
                    self._now_and_then(until)
                case Trigger.TWINS:
                    self._daily(until, self._run_twice)
        if self.setup.second:
            self._daily(until, self._run_second, late=self.setup.second_from)

    def _run_twice(self) -> None:
        """Start the same schedule on two machines."""
        self.run_first()
        self.timeline.after(self.rng.uniform(0, 4), self.run_first)

    def run_first(self, intent: Intent | None = None, *, is_plan_only: bool = False) -> None:
        """Start a run of the first deployment, or one for each part of its fleet."""
        self._run_of(self.setup.credentials, intent, is_plan_only=is_plan_only)

    def _run_second(self) -> None:
        self._run_of(self.setup.second, None)

    def _run_of(
        self, deployment: Sequence[SimulatedCredential], intent: Intent | None, *, is_plan_only: bool = False
    ) -> None:
        """Start a run of one deployment: it knows the users that its configuration still names."""
        kept = self.deployments.now_in(deployment)
        for part in range(self.setup.parts):
            if mine := dict(list(kept.items())[part :: self.setup.parts]):
                self.run(intent, is_plan_only=is_plan_only, keepings=mine)

    def _daily(self, until: datetime, do: Callable[[], object], *, late: timedelta = timedelta()) -> None:
        hour = self.setup.run_hour
        first = timedelta(hours=self.rng.uniform(0, 24) if hour is None else hour)
        when = self.world.clock.instant + first + late
        while when <= until:
            late_s = self.rng.uniform(0, 600) if hour is None else 0
            self.timeline.at(when + timedelta(seconds=late_s), do)
            when += timedelta(days=1)

    def _now_and_then(self, until: datetime) -> None:
        when = self.world.clock.instant
        while (when := when + timedelta(days=self.rng.expovariate(0.5))) <= until:
            is_plan = self.rng.random() < 0.3  # noqa: PLR2004  # some only look
            self.timeline.at(when, partial(self.run_first, is_plan_only=is_plan))

    def play(self, until: datetime) -> None:
        """Let time pass."""
        self.timeline.play(until)

    # --- runs ------------------------------------------------------------------------------------------------------

    def run(
        self,
        intent: Intent | None = None,
        *,
        is_plan_only: bool = False,
        skew: timedelta | None = None,
        users: Sequence[UserName] | None = None,
        keepings: dict[UserName, SimulatedCredential] | None = None,
    ) -> None:
        """Start a run of keyrota, as a process of its own; of the configuration that keeps the users, or of another."""
        kept = keepings or {user: self.credentials[user] for user in users or self.credentials}
        info = RunInfo(
            name=f"run-{len(self.runs) + 1}",
            intent=intent,
            is_plan_only=is_plan_only,
            clock=RunClock(self, self.weather.skew() if skew is None else skew),
            keepings=kept,
            began=self.world.clock.instant,
        )
        self.runs[info.name] = info
        self.lanes.start(lambda: self._run(info))

    def _run(self, info: RunInfo) -> None:
        self.under_way[info.name] = info
        if info.clock.skew:
            info.touched.add(CLOCK_DIFFERS)
        info.touched |= {place.outage.value for place in self._places_of(info) if place.is_down}
        for other in self.under_way.values():
            if other is not info and set(other.users) & set(info.users):
                info.touched.add(ANOTHER_RUN)
                other.touched.add(ANOTHER_RUN)
                for user in info.users:
                    self.covered[ANOTHER_RUN, self._at_work(other, user).step] += 1
        self._touch_secrets(info)
        settings = Settings(clock=info.clock, run=info.name, parallel=self.lanes.parallel, stop=info.stop)
        subjects = [self.subject(user, self._hand(info, user)) for user in info.users]
        self._echo(info.name, f"begins: {info.intent or 'whatever is due'}")
        try:
            info.previews = plan_all(subjects, settings, intent=info.intent, screen=self._screen(info))
            if self.setup.rollout is not None and is_in_waves(info.intent):
                info.previews = plan_in_turns(info.previews, self._make_waves(info, settings), info.clock.now())
            if not info.is_plan_only:
                info.outcomes = apply_all(
                    info.previews,
                    emit=lambda event: self._step(info, event),
                    parallel=self.lanes.parallel,
                )
        except Crash:
            self._echo(info.name, "is dead")
        finally:
            info.is_over = True
            self.under_way.pop(info.name, None)
        for outcome in info.outcomes:
            for mistake in outcome.errors:
                self._echo(info.name, f"{owner_of(outcome)}: {mistake}")
            for hold in outcome.plan.holds if outcome.plan else ():
                self._echo(info.name, f"{owner_of(outcome)} is held: {hold.reason}")
        for look in self.after_run:
            look(info)
        info.previews = ()

    def _screen(self, info: RunInfo) -> Screen | None:
        """Ask for the lists of each account, as a run of many credentials does; what cannot be had narrows nothing."""
        if not self.setup.has_lists:
            return None
        found: dict[str, Overview | None] = {}
        for account in dict.fromkeys(credential_of(user).account for user in info.users):
            try:
                found[account] = WorldLists(self.world, info.name, account).overview()
            except KeyrotaError:
                found[account] = None
        return Screen(lists=lambda subject: found[subject.account], drift_every=timedelta(days=1))

    def _make_waves(self, info: RunInfo, settings: Settings) -> Waves:
        """Find how many new keys a run makes: of a part of the fleet, its share of them."""
        every, setup = list(self.credentials), self.setup
        positions = tuple(at for at, user in enumerate(every) if user in info.keepings)
        unseen = sorted(setup.canaries - info.keepings.keys())
        return Waves(
            rollout=setup.rollout or Rollout(),
            needed=count_needed(keeping.policy for keeping in self.credentials.values()),
            share=Share(positions=positions, total=len(every)) if setup.parts > 1 else None,
            canaries=frozenset(credential_of(user) for user in setup.canaries),
            beyond=lambda: plan_all(
                [self.subject(user, self._look_at(info, user)) for user in unseen], settings, intent=info.intent
            ),
        )

    def _look_at(self, info: RunInfo, user: UserName) -> str:
        """Name what a run does to look at a canary that is not its own."""
        look = replace(info, name=f"{info.name} {user}", keepings={user: self.credentials[user]}, is_plan_only=True)
        self.runs[look.name] = look
        return look.name

    def _touch_secrets(self, info: RunInfo) -> None:
        """With an aim, let someone set a tag before some runs look: Secrets Manager may show the secret without it."""
        is_touched = self.strikes.is_on and self.rng.random() < _TOUCHED
        for keeping in info.keepings.values() if is_touched else ():
            stored = self.world.secret(keeping.secret)
            if stored is not None and len(stored.tags) < MAX_TAGS - _ROOM_FOR_OURS:
                self.world.person_tags(keeping.secret, {"team": info.name})

    def _places_of(self, info: RunInfo) -> Iterator[Variables]:
        for keeping in info.keepings.values():
            yield from (self.world.places[place.address] for place in keeping.places)

    def _hand(self, info: RunInfo, user: UserName) -> str:
        """Name what a run does for one of several credentials; it goes its own pace."""
        if len(info.users) == 1:
            return info.name
        hand = replace(info, name=f"{info.name} {user}", keepings={user: info.keepings[user]})
        self.runs[hand.name] = hand
        return hand.name

    def confirm(self, user: UserName) -> None:
        """Let a person answer what `confirm` asks about places that wait for a first write, and `forget` lost ones."""
        name = f"run-{len(self.runs) + 1}"
        clock = RunClock(self, timedelta())
        self.runs[name] = RunInfo(
            name=name,
            intent=None,
            is_plan_only=False,
            clock=clock,
            keepings={user: self.credentials[user]},
            began=self.world.clock.instant,
        )
        self.lanes.start(lambda: self._confirm(user, self.runs[name]))

    def _confirm(self, user: UserName, info: RunInfo) -> None:
        settings = Settings(clock=info.clock, run=info.name, parallel=self.lanes.parallel)
        try:
            (preview,) = plan_all([self.subject(user, info.name)], settings)
            waiting = questions(preview.subject, preview.observation, info.clock.now()) if preview.observation else ()
            for one in waiting:
                if one.is_confirmable:
                    self._echo(info.name, f"confirms {one.target.address}: {'; '.join(it.reason for it in one.doubts)}")
                    self.confirmed.add(one.target.address)
                    confirm(one, by=_A_PERSON, at=info.clock.now())
            self._forget_lost(preview)
        except Crash:
            self._echo(info.name, "is dead")
        except KeyrotaError as error:
            self._echo(info.name, f"could not confirm: {error}")
        finally:
            info.is_over = True

    def _forget_lost(self, preview: Preview) -> None:
        """Let a person end what was left behind, where the name means another place now: nothing there needs a key."""
        for known in list_remembered(preview.subject, preview.observation) if preview.observation else ():
            is_lost = known.state is not None and known.state.evidence is TargetEvidence.FAILED
            if is_lost and not self.world.places[known.entry.address].is_down:
                self._echo("somebody", f"forgets {known.name}")
                forget(known, deletes_variables=False)

    def subject(self, user: UserName, by: str) -> CredentialContext:
        """Give a run its ports to one credential, as a new process has them."""
        keeping = self.runs[by].keepings[user]
        addresses = tuple(place.address for place in keeping.places)
        self.runs[by].addresses, clock = addresses, self.runs[by].clock
        owner = credential_of(user)
        return CredentialContext(
            user=owner.user,
            account=owner.account,
            secret_name=keeping.secret.rpartition(":")[2],
            is_secret_named=False,
            policy=keeping.policy,
            access_keys=type(self.world.access_keys)(self.world, by, owner.account),
            identity=type(self.world.identity)(self.world, by, owner.account),
            store=type(self.world.store)(self.world, by, owner.account),
            targets=tuple(open_target(self.world, address, by, clock) for address in addresses),
            index=tuple(_entry(address) for address in addresses),
            reach=lambda entry: open_target(self.world, entry.address, by, clock),
            runs_as=self.runs_as,
            stack=self._stack_of(self.runs[by]),
        )

    def _stack_of(self, run: RunInfo) -> str:
        """Name the stack whose function a run is; each deployment has one of its own."""
        is_function = isinstance(run.intent, Only) and Trigger.FUNCTIONS in self.setup.caretakers
        own = self.deployments.of(run.keepings)
        return f"stack-{1 + (own is self.setup.second)}" if is_function else ""

    def _step(self, info: RunInfo, event: Event) -> None:
        for listen in self.on_event:
            listen(event)
        info = self._at_work(info, owner_of(event))
        name = type(event.action).__name__
        info.step = name if event.kind is EventKind.DOING and name not in QUESTIONS else LOOKING
        for trouble in info.touched:
            self.covered[trouble, info.step] += 1
        self._strike(info, owner_of(event))
        climate = self.weather.climate
        if self.weather.is_drawn(climate.clock_jumps * self._often(info.step)):
            self.timeline.after(self.rng.expovariate(4), partial(self._set_clock, info))
        if self.weather.is_drawn(climate.signals * self._often(info.step)):
            self.timeline.after(self.rng.expovariate(4), partial(self._tell_to_stop, info))
        is_sore = self.setup.is_proof and info.step in _SORE
        times = _RAREST if is_sore else self._often(info.step)
        is_crowded = len(self.under_way) >= _CROWD
        if self.meanwhile and not is_crowded and self.weather.is_drawn(climate.meanwhile * times):
            is_moved = is_sore and self.moves and self.rng.random() < 0.5  # noqa: PLR2004  # where it hurts
            happens = self.rng.choice(self.moves if is_moved else self.meanwhile)
            is_short = self.setup.is_proof and info.step in _SELDOM  # one call, and over
            soon_s = self.rng.choice(_SOON_S[:_AT_ONCE] if is_short else _SOON_S)
            self.timeline.after(self.rng.expovariate(1 / soon_s), partial(happens, owner_of(event)))

    def _strike(self, info: RunInfo, user: UserName) -> None:
        """Let happen what seeks the step that begins now: to one of its calls, or while it is at work."""
        struck = self.strikes.at(info.step)
        info.struck = struck if isinstance(struck, FaultKind) else None
        if struck is not None and info.struck is None:
            self.timeline.after(self.rng.uniform(0, _AT_WORK_S), partial(self._befall, info, user, struck))

    def _befall(self, info: RunInfo, user: UserName, struck: str) -> None:
        if info.is_over or self.strikes.at(info.step) != struck:
            return
        self.strikes.hit()
        match struck:
            case "clock jumps":
                self._set_clock(info)
            case "told to stop":
                self._tell_to_stop(info)
            case _ if struck in self.befall:
                self.befall[struck](user)

    def clear_up(self) -> None:
        """Let nothing go wrong any more."""
        self.weather.clear_up()
        self.strikes.end()

    def _often(self, step: str) -> float:
        if step in _OFTEN or not self.setup.is_proof:
            return 1.0
        return _RAREST if step in _SELDOM else _RARE

    def _set_clock(self, info: RunInfo) -> None:
        """Set the clock of a run's machine while it is at work."""
        if info.is_over:
            return
        info.clock.skew = self.weather.skew()
        self._trouble(info, CLOCK_JUMPS)
        self._echo(info.name, f"its clock is set: {info.clock.skew} off")

    def _tell_to_stop(self, info: RunInfo) -> None:
        """Send a signal to a run that is at work: it ends as soon as what it began is whole."""
        if info.is_over or info.stop.is_asked:
            return
        info.stop.ask()
        self._trouble(info, STOP)
        self._echo(info.name, "is told to stop")

    def _trouble(self, info: RunInfo, what: str) -> None:
        """Note what a run met, now and at its steps from now on."""
        info.touched.add(what)
        self.covered[what, info.step] += 1

    def touch(self, trouble: str) -> None:
        """Note that something happened while runs are under way."""
        for info in self.under_way.values():
            info.touched.add(trouble)
            for user in info.users:
                self.covered[trouble, self._at_work(info, user).step] += 1

    def _at_work(self, info: RunInfo, user: UserName) -> RunInfo:
        return self.runs.get(f"{info.name} {user}", info)

    # --- the road between keyrota and the services ----------------------------------------------------------------

    def _road(self, call: Call, effect: Callable[[], T]) -> T:
        """Let a call go there, and its answer come back."""
        try:
            answer = self._travel(call, effect)
        except KeyrotaError as error:
            for listen in self.listeners:
                listen(call, error)
            raise
        for listen in self.listeners:
            listen(call, answer)
        return answer

    def _travel(self, call: Call, effect: Callable[[], T]) -> T:
        info = self.runs[call.by]
        for look in self.attempts:
            look(call)
        if call.name == "iam:ListAccessKeys":
            info.step = LOOKING  # a look begins so; a step that lost a race tells no end
        signed = self.world.clock.instant
        self._wait(info, self.weather.latency_s())
        fault = self._aim_fault(info, call) or self.weather.fault(self._often(info.step))
        if fault is not None:
            self.covered[fault.value, info.step] += 1
        if fault is FaultKind.STALL:
            self._echo(call.by, f"stands still before {call.name}")
            self._wait(info, self.weather.stall_s())
        self._fail_before(call, fault)
        is_old = self.world.clock.instant - signed > SIGNATURE_LASTS
        if (is_old or abs(info.clock.skew) > _CLOCKS_DIFFER) and not call.name.startswith("target:"):
            raise ClockIsOff("AWS refuses the request's time")
        self.steps += 1
        if call.name.startswith("target:read") and self.weather.shift_pages():
            self.covered[SHIFTED, LOOKING] += 1  # to read is to look, also right before a late first write
            self._echo(call.by, f"{call.name}: pages shift while they are read")
        try:
            answer = effect()
        except KeyrotaError as error:
            self._look(call, error)
            raise
        if call.name.startswith(_SHOWS_A_SECRET) and self.world.is_shown_old:
            self._trouble(info, OLDER)
        self._look(call, answer)
        self._wait(info, self.weather.latency_s())
        if fault is FaultKind.CRASH_AFTER:
            self._echo(call.by, f"{call.name}: its machine dies before the answer comes")
            self._die(info)
        if fault is FaultKind.LOST_AFTER:
            self._echo(call.by, f"{call.name}: it happened, and the answer is lost")
            self.unanswered.add((call.by, call.name))
            raise ProviderUnavailable(f"{call.name}: AWS did not answer (ReadTimeoutError)")
        return answer

    def _aim_fault(self, info: RunInfo, call: Call) -> FaultKind | None:
        """Return what an aim lets happen to a call: to one of those of its step, or to the one that makes a key."""
        is_lost = call.name == "iam:CreateAccessKey" and self.strikes.loses_keys
        if is_lost and self.rng.random() < _LOST:
            return FaultKind.LOST_AFTER
        if info.struck is None or self.rng.random() >= _STRUCK:
            return None
        self.strikes.hit()
        fault, info.struck = info.struck, None
        return fault

    def _wait(self, info: RunInfo, seconds: float) -> None:
        """Let others continue; what a machine does at the same moment dies with it."""
        self.lanes.wait(seconds)
        if info.machine.has_died:
            raise Crash

    @staticmethod
    def _die(info: RunInfo) -> NoReturn:
        info.machine.has_died = True
        raise Crash

    def _fail_before(self, call: Call, fault: FaultKind | None) -> None:
        is_unread = call.name == "iam:GetAccessKeyLastUsed" and self.weather.is_drawn(
            self.weather.climate.unreadable_use
        )
        if is_unread:
            self.covered[UNREADABLE, self.runs[call.by].step] += 1
        match fault:
            case FaultKind.CRASH_BEFORE:
                self._echo(call.by, f"its machine dies before {call.name}")
                self._die(self.runs[call.by])
            case FaultKind.THROTTLED | FaultKind.SERVER_ERROR | FaultKind.LOST_BEFORE:
                self._echo(call.by, f"{call.name}: {fault.value}")
                is_undone = fault is FaultKind.THROTTLED  # a definite refusal; the other two look like their twins
                raise ProviderUnavailable(f"{call.name}: {fault.value}", is_undone=is_undone)
        if is_unread:
            self._echo(call.by, f"{call.name} {call.about}: throttled")
            raise ProviderUnavailable(f"{call.name}: Throttling")

    def _look(self, call: Call, answer: object) -> None:
        if not isinstance(answer, Exception):
            self.deployments.note_keeper(call, self.world.clock.instant)
        for watch in self.watchers:
            watch(call, answer)
        self.jobs.start_amid_write(call)
        if self.emit is not None:
            self.emit(self.world.clock.instant, call.by, f"{call.name} {call.about}", _short(answer))
        self._announce(call, answer)

    def _announce(self, call: Call, answer: object) -> None:
        """Let Secrets Manager tell that AWSCURRENT moved; events get lost, late, and come twice."""
        is_move = call.name == "secretsmanager:UpdateSecretVersionStage" and call.about.startswith(AWSCURRENT)
        if is_move and not isinstance(answer, Exception):
            self.announce_change(self.runs[call.by])

    def announce_change(self, by: RunInfo | None = None) -> None:
        """Send the event that wakes the sync function, in the deployment whose secret it is."""
        own = self.deployments.of(by.keepings if by is not None else self.credentials)
        climate = self.weather.climate
        if not self.setup.with_events or self.weather.is_drawn(climate.event_lost):
            return
        for _ in range(2 if self.weather.is_drawn(climate.event_twice) else 1):
            late = self.rng.uniform(60, 6 * 3600) if self.weather.is_drawn(climate.event_late) else 0
            self.timeline.after(late + self.rng.uniform(0, 5), partial(self._run_of, own, Only(duty=Duty.SYNC)))

    def _echo(self, who: str, what: str) -> None:
        if self.emit is not None:
            self.emit(self.world.clock.instant, who, what, "")

    echo = _echo


def _entry(address: str) -> IndexEntry:
    return IndexEntry(address=address, kind="world", settings="{}")


def _short(answer: object) -> str:
    if isinstance(answer, Exception):
        return f"refused: {answer}"
    if answer is None or isinstance(answer, (str, int)):
        return str(answer) if answer is not None else "done"
    return type(answer).__name__
