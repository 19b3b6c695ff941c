"""A person's own configuration, played ahead in the simulated world: what comes when, and what would be held."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from keyrota.app.choice import EVERYTHING, Chooser, Wanted
from keyrota.app.config import Configuration, CredentialConfig, TargetConfig
from keyrota.app.providers import providers_of
from keyrota.core import plan as act
from keyrota.core.model import AccessKeyId, CredentialId, UserName
from keyrota.core.outcome import Outcome
from keyrota.core.plan import Hold, HoldKind
from keyrota.core.secret import Secret
from keyrota.core.waves import find_head_start
from keyrota.errors import KeyrotaError, UsageError
from keyrota.executor.events import Event, EventKind
from keyrota.ports import Clock
from keyrota.report.data import stamp
from keyrota_sandbox.simulation import (
    FAULT_PROFILES,
    Failure,
    Operators,
    Place,
    RunInfo,
    Setup,
    SimulatedCredential,
    Simulation,
    owner_of,
)

DAY = timedelta(days=1)
RUN_HOUR = 3.0
"""The daily run, UTC."""
READ_HOUR = 10.0
"""Once a week someone reads the last report and does what it says, UTC."""

_TOLD = {
    act.Promote: "rotated",
    act.Sync: "synced",
    act.Deactivate: "deactivated",
    act.Delete: "deleted",
    act.DeleteOrphan: "orphan deleted",
    act.Adopt: "adopted",
    act.NoteActive: "found active again",
}
"""Actions that a calendar shows, in its words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Something that was done, or that failed."""

    at: datetime
    user: UserName
    what: str
    key: AccessKeyId | None
    detail: str
    is_failure: bool = False


@dataclass(slots=True, kw_only=True)
class HoldSpan:
    """Something that was held, from the first run that said so to the last."""

    user: UserName
    hold: Hold
    first: datetime
    last: datetime
    runs: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DayWave:
    """The new keys of one run, where others waited for their turn."""

    at: datetime
    made: int
    waiting: int


@dataclass(slots=True, kw_only=True)
class Future:
    """What came of it."""

    waves: list[DayWave] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    holds: list[HoldSpan] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    oldest: Mapping[UserName, timedelta] = field(default_factory=dict)
    """The greatest age that a key of each user reached."""
    pipelines: int = 0
    failures: tuple[Failure, ...] = ()


def play_ahead(  # what a person can ask for
    configuration: Configuration,
    clock: Clock,
    *,
    wanted: Wanted = EVERYTHING,
    days: int,
    faults: str,
    seed: int,
    key_age: timedelta,
    start: datetime,
    pass_day: Callable[[int], None] = lambda _: None,
) -> Future:
    """
    Play a configuration ahead.

    Nothing of AWS or of a provider is asked, and no token is read: credentials begin with one key of `key_age`, and
    every target holds it.

    Args:
        configuration: Whose policies, targets and waves hold.
        clock: For the adapters, which are built to tell what kind of variables they write, and asked nothing else.
        wanted: Only these. An entry without an account has none here, because AWS is not asked.
        days: So far.
        faults: A name of `FAULT_PROFILES`.
        seed: The same one plays the same history.
        key_age: Of the keys that are there at the beginning.
        start: Aware, UTC; freeze windows count from the calendar.
        pass_day: Told of each day that has passed.

    Raises:
        UsageError: What is wanted is not configured, or means several credentials.
    """
    chosen = Chooser(configuration=configuration, account_of=_account_of).choose(wanted)
    setup = Setup(
        seed=seed,
        credentials=tuple(_keepings(configuration, chosen, clock, key_age)),
        climate=FAULT_PROFILES[faults],
        start=start,
        run_hour=RUN_HOUR,
        rollout=configuration.rollout,
        canaries=frozenset(_name_canaries(configuration, chosen)),
    )
    history, future = Simulation(setup), Future()
    scribe = _Scribe(history, future)
    people = Operators(history)
    end = start + days * DAY
    history.schedule(end)
    history.jobs.schedule(end)
    people.schedule(end)
    people.schedule_outages(end)
    if setup.climate.people:
        for day in range(7, days, 7):
            history.timeline.at(start + (day + READ_HOUR / 24) * DAY, people.clean_up)
    for day in range(days):
        history.play(start + (day + 1) * DAY)
        scribe.look()
        pass_day(day + 1)
    future.pipelines, future.failures = history.jobs.started, tuple(history.jobs.failures)
    future.oldest = scribe.oldest
    return future


def _account_of(entry: CredentialConfig) -> str:
    """Return an account without AWS: the caller's own is not known then."""
    if entry.known_account is None:
        raise UsageError("the caller's own account is not known here", remedy="name `account` in the configuration")
    return entry.known_account


def _keepings(
    configuration: Configuration, chosen: tuple[CredentialConfig, ...], clock: Clock, key_age: timedelta
) -> Iterator[SimulatedCredential]:
    spread = configuration.rollout.spread
    for entry, user in _name_users(chosen):
        known = CredentialId(account=entry.known_account or "", user=UserName(entry.user))
        early = find_head_start(known, spread, is_canary=_is_canary(configuration, entry))
        yield SimulatedCredential(
            user=user,
            secret=user.removesuffix(entry.user) + entry.secret_name,
            places=tuple(_place(configuration, target, clock) for target in entry.targets),
            age=key_age,
            policy=replace(entry.policy, early=early),
        )


def _name_users(chosen: tuple[CredentialConfig, ...]) -> Iterator[tuple[CredentialConfig, UserName]]:
    """Name users as the world does: with the account where several accounts have one of that name."""
    is_once = Counter(entry.user for entry in chosen)
    for entry in chosen:
        prefix = "" if is_once[entry.user] == 1 else f"{entry.known_account or 'own account'}:"
        yield entry, UserName(prefix + entry.user)


def _is_canary(configuration: Configuration, entry: CredentialConfig) -> bool:
    return bool({entry.user, f"{entry.known_account}:{entry.user}"} & set(configuration.rollout.canaries))


def _name_canaries(configuration: Configuration, chosen: tuple[CredentialConfig, ...]) -> Iterator[UserName]:
    """Name the canaries; where only some users are played, those that are not among them are waited for by nobody."""
    yield from (user for entry, user in _name_users(chosen) if _is_canary(configuration, entry))


def _place(configuration: Configuration, target: TargetConfig, clock: Clock) -> Place:
    """Return what kind of variables a target is, as its own adapter says; one that cannot be built is taken as two."""
    kind = providers_of(configuration)[target.provider]
    address = kind.address(target.settings)
    try:
        connection = kind.connect(configuration.providers[target.provider], secrets=_stand_for_secret, clock=clock)
        adapter = connection.target(target.settings)
    except (KeyrotaError, ValueError):
        return Place(address=address)
    return Place(
        address=address,
        is_bundle=not adapter.has_separate_variables,
        is_id_readable=adapter.is_id_readable,
        wait_for_idle=adapter.wait_for_idle,
    )


def _stand_for_secret(reference: str) -> Secret:
    """Stand for a secret of the configuration: nothing is asked of a provider here, so none is read."""
    return Secret(f"unread: {reference}")


class _Scribe:
    """Writes down what happens in a history."""

    def __init__(self, history: Simulation, future: Future) -> None:
        self._history = history
        self._future = future
        self._open: dict[tuple[object, ...], HoldSpan] = {}
        self.oldest: dict[UserName, timedelta] = {}
        history.on_event.append(self._on_event)
        history.after_run.append(self._after_run)

    def look(self) -> None:
        """Look at the ages of keys that work."""
        now = self._history.world.clock.instant
        for user, keys in self._history.world.users.items():
            ages = [now - key.created for key in keys.values() if key.status_word == "Active"]
            self.oldest[user] = max([*ages, self.oldest.get(user, timedelta())])

    def _on_event(self, event: Event) -> None:
        told, now = _TOLD.get(type(event.action)), self._history.world.clock.instant
        if event.kind is EventKind.DOING:
            self.look()  # a key that is about to go off is as old as it gets
        if event.kind is EventKind.FAILED:
            detail = str(event.error)
            self._add(
                Moment(
                    at=now, user=owner_of(event), what=event.action.shown, key=event.key, detail=detail, is_failure=True
                )
            )
        elif event.kind is EventKind.DONE and told is not None:
            is_silent = isinstance(event.action, act.Sync) and event.action.is_rewrite
            if not is_silent:
                self._future.done[told] += 1
                self._add(Moment(at=now, user=owner_of(event), what=told, key=event.key, detail=_detail(event.action)))

    def _add(self, moment: Moment) -> None:
        self._future.moments.append(moment)

    def _after_run(self, info: RunInfo) -> None:
        now = self._history.world.clock.instant
        for outcome in info.outcomes:
            self._of_outcome(outcome, now)
        self._note_wave(info, now)

    def _note_wave(self, info: RunInfo, now: datetime) -> None:
        """Count what a run made, and what it left to the days that come."""
        waiting = sum(
            any(hold.kind is HoldKind.TURN for hold in outcome.plan.holds)
            for outcome in info.outcomes
            if outcome.plan is not None
        )
        made = sum(isinstance(done.action, act.Promote) for outcome in info.outcomes for done in outcome.done)
        if waiting or (made and self._future.waves and self._future.waves[-1].waiting):
            self._future.waves.append(DayWave(at=now, made=made, waiting=waiting))

    def _of_outcome(self, outcome: Outcome, now: datetime) -> None:
        for hold in outcome.plan.holds if outcome.plan else ():
            self._hold(owner_of(outcome), hold, now)
        if outcome.plan is None:
            for error in outcome.errors:
                told = Moment(at=now, user=owner_of(outcome), what="look", key=None, detail=str(error), is_failure=True)
                self._add(told)

    def _hold(self, user: UserName, hold: Hold, now: datetime) -> None:
        what: object = hold.remedy if hold.until is None else hold.until
        if hold.kind is HoldKind.TURN:
            what = hold.kind  # its date may move from day to day
        name = (user, hold.key, hold.target, what)
        span = self._open.get(name)
        if span is not None and now - span.last <= 1.5 * DAY:
            span.last, span.runs = now, span.runs + 1
            return
        self._open[name] = HoldSpan(user=user, hold=hold, first=now, last=now)
        self._future.holds.append(self._open[name])


def _detail(action: act.Action) -> str:
    if isinstance(action, act.Sync):
        return f"{len(action.targets)} target" + ("s" if len(action.targets) != 1 else "")
    return action.reason


def document(future: Future, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return it for machines; times are RFC 3339, UTC."""
    return {
        "version": 1,
        "asked": dict(asked),
        "events": [
            {
                "at": stamp(moment.at),
                "user": moment.user,
                "what": moment.what,
                "failed": moment.is_failure,
                "key": moment.key,
                "detail": moment.detail,
            }
            for moment in future.moments
        ],
        "holds": [
            {
                "user": span.user,
                "key": span.hold.key,
                "target": span.hold.target,
                "reason": span.hold.reason,
                "remedy": span.hold.remedy,
                "first": stamp(span.first),
                "last": stamp(span.last),
                "runs": span.runs,
            }
            for span in future.holds
        ],
        "waves": [{"at": stamp(wave.at), "made": wave.made, "waiting": wave.waiting} for wave in future.waves],
        "summary": {
            "done": dict(future.done),
            "oldest_active_key_days": {user: round(age / DAY, 1) for user, age in future.oldest.items()},
            "pipeline_runs": future.pipelines,
            "failed_pipeline_runs": dict(Counter(failure.cause.value for failure in future.failures)),
        },
    }
