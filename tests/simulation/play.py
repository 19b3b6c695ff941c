"""
One seed, one history, judged: `python tests/simulation/play.py SEED` tells it as a story.

A seed draws everything: the policy, the places, who runs keyrota and how often, how bad the weather is, what people do.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parent))

from lanes import Greenlets  # beside this file, which is a script as well
from promises import Promises

from keyrota.core import plan as act
from keyrota.core.model import UserName
from keyrota.core.policy import Drift, RotationPolicy
from keyrota_sandbox.simulation import (
    FAULT_PROFILES,
    STEPS,
    Aim,
    FaultProfile,
    LogListener,
    Operators,
    Place,
    Setup,
    SimulatedCredential,
    Simulation,
    Trigger,
)

DAY = timedelta(days=1)
CALM_RUNS = 4
"""So many daily runs after the last fault, every target holds the newest key."""

_FUNCTIONS = (Trigger.FUNCTIONS,)
_SELDOM = (
    act.Choose.__name__,
    act.CreateSecret.__name__,
    act.Deactivate.__name__,
    act.Delete.__name__,
    act.DeleteOrphan.__name__,
    act.MarkRevoked.__name__,
    act.NoteActive.__name__,
    act.NoteOrphan.__name__,
    act.Promote.__name__,
    act.Release.__name__,
    act.Restore.__name__,
    act.TakeOver.__name__,
)
"""Steps that a history takes only so often even where it aims at them."""
_SOUGHT = (*STEPS[1:], *_SELDOM)
_HARDLY, _SOMETIMES = 1, 5
"""So often a history takes a step that it aims at, at least."""
_SECOND = 0.15
"""Share of the histories in which a second deployment configures a user of the first one."""
_LISTED = 0.2
"""Share of the histories in which runs narrow what they read by the lists of the account."""
_TOLD = 0.3
"""Share of the places whose provider tells when variables were changed."""
_SECRETS_LAG_S = (0.0, 0.0, 0.0, 15.0)
"""AWS names no figure for Secrets Manager; a new key is verified for 30 s before anything depends on what is shown."""
_CLOCKS_AND_LAGS = FaultProfile(skew_s=FAULT_PROFILES["brutal"].skew_s, secret_lag_s=_SECRETS_LAG_S[-1])
"""Trouble comes from nowhere but the aim, besides clocks that differ and a Secrets Manager that lags."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of a history."""

    seed: int
    broken: tuple[str, ...]
    """Promises that broke, and pipeline runs that keyrota could have saved."""
    steps: int
    lifetimes: int
    jobs: int
    torn: int
    torn_for: tuple[float, ...]
    covered: Counter[tuple[str, str]]
    statistics: Counter[str]
    end: str
    """The end of the world in short, to compare two plays of one seed."""


def drawn(seed: int) -> Setup:
    """Draw a history."""
    rng, rest = Random(f"{seed} setup"), Random(f"{seed} rest")  # noqa: S311
    aim = _aim(seed)
    grace, overlap = rng.randint(1, 6), rng.randint(1, 6)
    rotate = grace + overlap + rng.randint(1, 30 if aim is None else 3)
    policy = RotationPolicy(
        rotate_after=rotate * DAY,
        deactivate_after=(rotate + overlap) * DAY,
        delete_after=(rotate + overlap + grace) * DAY,
        unused_for=rng.choice((timedelta(hours=6), DAY)),
        drift=rng.choice((Drift.OVERWRITE, Drift.OVERWRITE, Drift.HOLD)),
    )
    # Two accounts with equal user and secret names, or two names in one account; drawn from the seed itself, so that
    # what is drawn after it is the same for both.
    names = {"web": "222222222222:{}shop"} if seed % 2 else {}
    fleet = tuple(
        SimulatedCredential(
            user=UserName(names.get(name, f"{{}}{name}").format("ci-")),
            secret=names.get(name, f"{{}}{name}").format("keyrota/"),
            places=tuple(_told(_place(rng, f"{name}-{number}"), rest) for number in range(rng.choice((1, 1, 2, 3)))),
            age=policy.rotate_after - timedelta(days=rng.uniform(0, 2)),
            policy=policy,
            forgotten_every=rng.choice((None, None, timedelta(hours=5), timedelta(days=9))),
        )
        for name in ("shop", "web")[: rng.choice((1, 1, 1, 2))]
    )
    caretakers = rng.choice(
        (
            (Trigger.DAILY,),
            (Trigger.TWINS,),
            (Trigger.DAILY, Trigger.LAPTOP),
            _FUNCTIONS,
            (*_FUNCTIONS, Trigger.LAPTOP),
            (Trigger.DAILY, Trigger.DAILY, *_FUNCTIONS),
        )
    )
    with_events = rng.random() < 0.8
    climate = _lagging(_climate(rng), rest)
    is_second = rest.random() < _SECOND or (aim is not None and aim.step == act.TakeOver.__name__)
    second = (_beside(fleet[0], rest),) if is_second else ()
    return Setup(
        seed=seed,
        credentials=fleet,
        second=second,
        second_from=timedelta(days=rest.choice((0.0, rest.uniform(0, 20)))),
        caretakers=_caretakers_of(aim) if aim is not None else caretakers,
        with_events=with_events,
        climate=_CLOCKS_AND_LAGS if aim is not None else climate,
        aim=aim,
        is_proof=True,
        has_lists=Random(f"{seed} lists").random() < _LISTED,  # noqa: S311  # a lot of its own: the others stay
    )


def _caretakers_of(aim: Aim) -> tuple[Trigger, ...]:
    """Run keyrota more often than daily, so that what is aimed at is done again soon."""
    return (Trigger.DAILY, Trigger.DAILY if aim.step != act.NoteStack.__name__ else Trigger.FUNCTIONS)


def _aim(seed: int) -> Aim | None:
    """Let every other history seek a step, each in its turn; when its turn comes again, something else comes first."""
    four, rest = divmod(seed, 4)
    if rest not in {1, 2}:  # both odd and even ones have an aim
        return None
    again, number = divmod(2 * four + rest - 1, len(_SOUGHT))
    step = _SOUGHT[number]
    turn = again * _SOUGHT.count(step) + _SOUGHT[:number].count(step)
    return Aim(step=step, first=turn * (_HARDLY if step in _SELDOM else _SOMETIMES))


def _place(rng: Random, name: str) -> Place:
    return Place(
        address=f"bitbucket acme/{name}",
        is_bundle=rng.random() < 0.3,
        is_id_readable=rng.random() < 0.7,
        deployments_a_day=rng.choice((0.5, 2, 5)),
        job_minutes=rng.choice((5, 60, 360)),
    )


def _beside(first: SimulatedCredential, rng: Random) -> SimulatedCredential:
    """Draw what a second deployment says of the same user: another secret, other targets, another policy."""
    later = rng.randint(0, 3) * DAY
    policy = replace(
        first.policy,
        rotate_after=first.policy.rotate_after + later,
        deactivate_after=first.policy.deactivate_after + later,
        delete_after=first.policy.delete_after + later,
        drift=rng.choice((Drift.OVERWRITE, Drift.HOLD)),
    )
    places = tuple(_told(_place(rng, f"second-{number}"), rng) for number in range(rng.choice((1, 2))))
    secret = first.secret.replace("keyrota/", "second/")
    return replace(first, secret=secret, places=places, policy=policy, forgotten_every=None)


def _told(place: Place, rng: Random) -> Place:
    """Let some providers tell when variables were changed, by a clock that may be minutes off."""
    minutes = rng.choice((0, 0, 3, -4, 12))
    return replace(place, is_change_told=rng.random() < _TOLD, clock_ahead=timedelta(minutes=minutes))


def _climate(rng: Random) -> FaultProfile:
    if rng.random() < 0.15:
        return FAULT_PROFILES["none"]
    brutal = FAULT_PROFILES["brutal"]
    factor = rng.choice((0.1, 0.3, 1, 2))
    climate = brutal.times(factor)
    parts = {
        "list_lag_s": rng.choice((0.0, brutal.list_lag_s)),
        "propagation_s": rng.choice((8.0, brutal.propagation_s)),
        "use_lag_s": rng.choice((0.0, brutal.use_lag_s)),
        "skew_s": rng.choice((0.0, brutal.skew_s)),
        "passed_over": rng.choice((0.0, brutal.passed_over)),
        "clock_jumps": rng.choice((0.0, brutal.clock_jumps)),
        "outages": rng.choice((0.0, brutal.outages)),
        "people": rng.choice((0.0, brutal.people, 3 * brutal.people)),
        "meanwhile": rng.choice((0.0, brutal.meanwhile, 2 * brutal.meanwhile)),
        "unreadable_use": rng.choice((0.0, brutal.unreadable_use)),
        "signals": rng.choice((0.0, brutal.signals)),
    }
    return FaultProfile(**{name: parts.get(name, getattr(climate, name)) for name in FaultProfile.__dataclass_fields__})


def _lagging(climate: FaultProfile, rng: Random) -> FaultProfile:
    """Let Secrets Manager show in some histories what was there seconds ago."""
    return replace(climate, secret_lag_s=rng.choice(_SECRETS_LAG_S)) if climate != FAULT_PROFILES["none"] else climate


def play(seed: int, *, emit: LogListener | None = None) -> Verdict:
    """Play a history, then let the weather clear up, and go on until everything must have come right."""
    setup = drawn(seed)
    history = Simulation(setup, lanes=Greenlets, emit=emit)
    promises, people = Promises(history), Operators(history)
    with promises.listening():
        _play(history, people, promises)
    broken = (*promises.broken, *promises.failures())
    torn = sum(1 for failure in history.jobs.failures if failure.cause == "torn pair")
    return Verdict(
        seed=seed,
        broken=broken,
        steps=history.steps,
        lifetimes=promises.statistics["keys deleted"],
        jobs=history.jobs.started,
        torn=torn,
        torn_for=tuple(promises.torn_for),
        covered=history.covered,
        statistics=promises.statistics,
        end=f"{history.world.clock.instant} {history.steps} {sorted(history.world.values)} {sorted(promises.served)}",
    )


def _play(history: Simulation, people: Operators, promises: Promises) -> None:
    setup = history.setup
    policy = setup.credentials[0].policy
    stormy = setup.start + policy.delete_after - policy.rotate_after + (6 if setup.aim is None else 15) * DAY
    history.schedule(stormy)
    history.jobs.schedule(stormy)
    people.schedule(stormy)
    people.schedule_outages(stormy)
    if setup.aim is not None:
        people.seek(setup.aim, stormy)
    history.play(stormy)
    if not promises.broken:
        _calm_down(history, people, promises)


def _calm_down(history: Simulation, people: Operators, promises: Promises) -> None:
    """Nothing fails any more: the newest key is everywhere soon, and a whole life later nothing is left over."""
    history.clear_up()
    history.play(history.world.clock.instant + 4 * DAY)  # what was under way, and outages, come to their end
    for _ in range(CALM_RUNS):
        people.clean_up()  # people do what the last report told them
        history.play(history.world.clock.instant + timedelta(hours=1))
        history.run()
        history.play(history.world.clock.instant + DAY)
    people.clean_up()
    promises.check_newest()
    policy = max((keeping.policy for keeping in history.credentials.values()), key=lambda one: one.delete_after)
    first = {user: set(keys) for user, keys in history.world.users.items()}
    life = policy.delete_after + (policy.delete_after - policy.rotate_after)
    end = history.world.clock.instant + life + 4 * DAY
    while history.world.clock.instant < end:
        history.run()
        for keeping in history.credentials.values():
            for place in keeping.places:
                history.jobs.start(place.address, 30)
        history.play(history.world.clock.instant + DAY)
    for user, keys in history.world.users.items():
        if set(keys) & first[user]:
            promises.broken.append(f"converges: {user}: no rotation came in {life}: {sorted(keys)}")
    _wait_for_rest(history, promises, policy)


def _wait_for_rest(history: Simulation, promises: Promises, policy: RotationPolicy) -> None:
    """Go on until each user has had a moment, between two rotations, in which one key is all there is."""
    restless = set(history.credentials)
    for _ in range((policy.delete_after + 4 * DAY).days):
        for user in sorted(restless):
            if not list(promises.not_at_rest(user)):
                restless.discard(user)
        if not restless:
            break
        history.run()
        history.play(history.world.clock.instant + DAY)
    for user in sorted(restless):
        promises.broken.extend(f"converges: {user}: {fault}" for fault in promises.not_at_rest(user))
    promises.check_newest()


def story(seed: int) -> Verdict:
    """Return a history line by line: time, who, what, the answer."""

    def emit(at: datetime, who: str, what: str, answer: str) -> None:
        sys.stdout.write(f"{at:%m-%d %H:%M:%S}  {who:<22} {what}{'  -> ' + answer if answer else ''}\n")

    return play(seed, emit=emit)


if __name__ == "__main__":
    told = story(int(sys.argv[1]))
    sys.stdout.write("\n".join(told.broken) + "\n" if told.broken else "no promise broke\n")
