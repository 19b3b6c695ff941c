"""
Scenes: short histories in which one thing is brought about on purpose, judged like all others.

Some mistakes harm nobody before two things coincide that random histories seldom bring together. Each scene brings
them together, within a rotation or two, and costs some hundredths of a second. `test_scenes.py` plays all of them with
keyrota as it is; `sabotage.py` plays one with a mistake.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import NoReturn

from lanes import Greenlets
from promises import Promises

from keyrota.core.emergency import Revoke, Rollback
from keyrota.core.model import (
    AWSCURRENT,
    AWSPREVIOUS,
    SYNCED_TAG,
    AccessKeyId,
    Caller,
    Conflict,
    KeyPair,
    KeyStatus,
    UserName,
)
from keyrota.core.plan import Duty
from keyrota.core.planner import Intent, Only
from keyrota.core.policy import Drift, Rollout, RotationPolicy
from keyrota.errors import ProviderRefused, ProviderUnavailable
from keyrota_sandbox.memory import Call, Crash, Lags, Variables
from keyrota_sandbox.simulation import NestedScheduler, Place, Setup, SimulatedCredential, Simulation

DAY = timedelta(days=1)
_PATIENCE = 1200
"""So many tenths of a second a run stands still at most for another one."""
POLICY = RotationPolicy(rotate_after=20 * DAY, deactivate_after=23 * DAY, delete_after=28 * DAY)
"""An overlap of three days, a grace of five."""
SOONER = RotationPolicy(rotate_after=9 * DAY, deactivate_after=12 * DAY, delete_after=17 * DAY)
"""Of a second deployment: what it would take for its own, it would replace before the first one does."""
USER, SECRET = UserName("ci-shop"), "keyrota/shop"
SHOP, WEB = "bitbucket acme/shop", "bitbucket acme/web"
ELSEWHERE = "github acme/elsewhere"
"""Where a second deployment would bring the same user's keys, if it kept them."""
OTHER = UserName("ci-other")


@dataclass(slots=True)
class Stage:
    """One credential of two places, good weather, and a judge."""

    policy: RotationPolicy = POLICY
    place: Place = field(default_factory=lambda: Place(address=SHOP, deployments_a_day=0))
    """The place that things happen to."""
    has_lists: bool = False
    """Runs narrow what they read by the lists of the account."""
    takes_turns: bool = False
    """Runs take turns at every call, and not one within another."""
    fleet: Setup | None = None
    """Another setup than one credential of two places."""
    history: Simulation = field(init=False)
    promises: Promises = field(init=False)
    happened: list[str] = field(default_factory=list)
    """What was to be brought about, and was."""

    def __post_init__(self) -> None:
        """Set it."""
        places = (self.place, Place(address=WEB, deployments_a_day=0))
        keeping = SimulatedCredential(
            user=USER, secret=SECRET, places=places, age=self.policy.rotate_after, policy=self.policy
        )
        elsewhere = (Place(address=ELSEWHERE, deployments_a_day=0),)
        second = replace(keeping, secret="second/shop", places=elsewhere, policy=SOONER)
        setup = Setup(
            seed=1,
            credentials=(keeping,),
            second=(second,),
            with_events=False,
            is_proof=True,
            has_lists=self.has_lists,
        )
        self.history = Simulation(self.fleet or setup, lanes=Greenlets if self.takes_turns else NestedScheduler)
        self.history.world.is_id_first = True
        self.promises = Promises(self.history)

    @property
    def shop(self) -> Variables:
        """The place that things happen to."""
        return self.history.world.places[SHOP]

    def run(self, intent: Intent | None = None, *, is_plan_only: bool = False) -> None:
        """Let keyrota run, and an hour pass."""
        self.history.run(intent, is_plan_only=is_plan_only)
        self.history.play(self.history.world.clock.instant + timedelta(hours=1))

    def run_parts(self) -> None:
        """Let keyrota run for each part of the fleet, and an hour pass."""
        self.history.run_first()
        self.history.play(self.history.world.clock.instant + timedelta(hours=1))

    def days(self, number: int, *, uses: Sequence[str] = (SHOP, WEB)) -> None:
        """Let keyrota run daily; a pipeline runs at each place, or at these, after it."""
        for _ in range(number):
            self.run()
            for address in uses:
                self.history.jobs.start(address, 1)
            self.history.play(self.history.world.clock.instant + DAY)

    def settle(self) -> KeyPair:
        """Rotate once; returns the pair that all places hold then."""
        self.days(10)
        pair = self.shop.pair
        if pair is None or self.history.world.makers.get(pair.id) in {None, ""}:
            raise RuntimeError("no rotation came")
        return pair

    def demand_rest(self) -> None:
        """Judge the end: no key is left over, and places hold one that is no older than the policy says."""
        world, now = self.history.world, self.history.world.clock.instant
        keys = world.users[USER]
        held = self.shop.pair.id if self.shop.pair else None
        late = self.policy.rotate_after + 2 * DAY
        if held not in keys or now - keys[held].created > late or len(keys) > 1 + (now - keys[held].created < late / 2):
            self.promises.record.breaks("converges", f"{SHOP} holds {held}; the user's keys: {', '.join(sorted(keys))}")

    def once(self, name: str, do: Callable[[], object], *, after: int = 0) -> None:
        """Let something happen right before the next call of that name, or one that comes so many later."""
        seen = [0]

        def look(call: Call) -> None:
            if not call.name.startswith(name):
                return
            seen[0] += 1
            if seen[0] == after + 1:
                self.happened.append(call.name)
                do()

        self.history.attempts.append(look)

    def lose(self, name: str) -> None:
        """Let the answer to the next call of that name be lost: what was asked for has happened."""

        def look(call: Call, answer: object) -> None:
            if call.name == name and not isinstance(answer, Exception) and call.name not in self.happened:
                self.happened.append(call.name)
                self.history.unanswered.add((call.by, call.name))
                raise ProviderUnavailable(f"{name}: AWS did not answer")

        self.history.watchers.append(look)

    def hold(self, run: str, name: str, until: Callable[[], bool]) -> None:
        """Let a run stand still before its next call of that name, until something has happened."""
        held = [False]

        def look(call: Call) -> None:
            if call.by != run or not call.name.startswith(name) or held[0]:
                return
            held[0] = True
            for _ in range(_PATIENCE):
                if until():
                    return
                self.history.lanes.wait(0.1)

        self.history.attempts.append(look)

    def die(self) -> NoReturn:
        """Let the machine of the only run that is under way die."""
        (info,) = self.history.under_way.values()
        info.machine.has_died = True
        raise Crash


def half_a_pair_is_left() -> Stage:
    """A machine dies between the two halves of a pair; somebody looks at the plan before the next run."""
    stage = Stage()
    stage.once("target:write", stage.die, after=1)
    stage.run()
    stage.run(is_plan_only=True)
    stage.days(4)
    return stage


def half_a_pair_stays() -> Stage:
    """The second half is refused in every run, for two days."""
    stage = Stage()
    is_over = [False]

    def refuse(call: Call) -> None:
        if call.name == f"target:write secret {SHOP}" and not is_over[0]:
            stage.happened.append(call.name)
            raise ProviderUnavailable("the provider does not take it", is_undone=True)

    stage.history.attempts.append(refuse)
    stage.run()
    stage.run(is_plan_only=True)
    stage.days(2)
    is_over[0] = True
    stage.days(4)
    return stage


def a_half_is_refused_once() -> Stage:
    """The provider is asked too much between the two halves; a second later it takes writes again."""
    stage = Stage()

    def refuse() -> NoReturn:
        raise ProviderUnavailable("too many requests", is_undone=True)

    stage.once(f"target:write secret {SHOP}", refuse)
    stage.days(4)
    return stage


def half_a_pair_in_an_empty_place() -> Stage:
    """The first half arrives in a place where nothing was, and the second one is refused, for two days."""
    stage = Stage()
    stage.shop.pair = None
    is_over = [False]

    def refuse(call: Call) -> None:
        if call.name == f"target:write secret {SHOP}" and not is_over[0]:
            raise ProviderRefused("the provider does not take it")
        if call.name.startswith("target:delete"):
            stage.happened.append(call.name)

    stage.history.attempts.append(refuse)
    stage.days(2)
    if stage.shop.pair is not None or stage.shop.half:
        stage.promises.record.breaks("whole-pair", f"{SHOP} holds half a pair, and was empty")
    is_over[0] = True
    stage.days(4)
    return stage


def a_dead_key_at_a_place() -> Stage:
    """Somebody takes the place's key away: deactivates it first, and deletes it the next day."""
    stage = Stage()
    key = stage.settle().id
    world = stage.history.world
    stage.history.jobs.spoiled.add(key)
    world.change(key, status=KeyStatus.INACTIVE, status_word="Inactive")
    stage.days(1)
    world.remove_key(USER, key)
    stage.days(2)
    stage.happened.append(key)
    return stage


def a_dead_key_where_no_write_arrives() -> Stage:
    """A place refuses the new key, and somebody takes the older one away; then the plan is looked at."""
    stage = Stage()
    old = _pair(stage).id

    def refuse(call: Call) -> None:
        if call.name.startswith("target:write") and call.name.endswith(SHOP):
            raise ProviderRefused("the provider does not take it")

    stage.history.attempts.append(refuse)
    stage.days(1)
    stage.history.jobs.spoiled.add(old)
    stage.history.world.change(old, status=KeyStatus.INACTIVE, status_word="Inactive")
    stage.history.play(stage.history.world.clock.instant + DAY)
    stage.run(is_plan_only=True)
    stage.happened.append(old)
    return stage


def a_first_write(harm: Callable[[Stage], None]) -> Callable[[], Stage]:
    """A place shows something that is not this user's whole pair, and nobody has said that it may be written over."""

    def scene() -> Stage:
        stage = Stage()
        stage.history.world.add_user(OTHER)
        harm(stage)
        stage.days(2)
        stage.happened.append("the first run")
        return stage

    return scene


def _anothers_key(stage: Stage) -> None:
    stage.shop.pair = stage.history.world.add_key(OTHER)


def _an_unknown_key(stage: Stage) -> None:
    stage.shop.pair = KeyPair(id=AccessKeyId("AKIASOMEBODYELSES01"), secret=_pair(stage).secret)


def _half(stage: Stage) -> None:
    stage.shop.half = "id"


def _other_names(stage: Stage) -> None:
    stage.shop.others = {"DEPLOY_KEY_ID": _pair(stage).id, "DEPLOY_SECRET_KEY": "x"}
    stage.shop.pair = None


def _another_level(stage: Stage) -> None:
    stage.shop.pair = None
    stage.shop.conflicts_around = (Conflict(what="half a pair at the repository", remedy="set `names:`"),)


def half_a_pair_comes_above_a_place() -> Stage:
    """An empty place and the levels above it are read, and while STS is asked, half a pair comes above it."""
    stage = Stage()
    stage.shop.pair = None
    stage.once("sts:GetCallerIdentity", lambda: _another_level(stage))
    stage.days(2)
    if stage.shop.pair is not None:
        stage.promises.record.breaks("first-write-asks", f"{SHOP} is written below half a pair")
    return stage


def _pair(stage: Stage) -> KeyPair:
    if stage.shop.pair is None:
        raise RuntimeError("nothing is there")
    return stage.shop.pair


def a_run_dies_before_its_first_write() -> Stage:
    """It has looked, and noted that it begins; before the next run somebody puts another user's key there."""
    stage = Stage()
    stage.history.world.add_user(OTHER)
    stage.once("target:write", stage.die)
    stage.run()
    stage.history.world.person_sets(SHOP, stage.history.world.add_key(OTHER))
    stage.days(3)
    return stage


def a_name_is_given_to_another_place(and_then: Callable[[Stage], object] = lambda _: None) -> Stage:
    """The repository is renamed, and an empty one is made under its old name; the next rotation comes."""
    stage = Stage()
    stage.settle()
    _give_the_name_away(stage)
    and_then(stage)
    stage.days(25)
    return stage


def a_name_is_given_away_before_a_late_write() -> Stage:
    """The same, while STS is asked: half a minute lies between the read and the write."""
    stage = Stage()
    stage.settle()
    stage.days(5)
    stage.once("iam:CreateAccessKey", lambda: stage.once("sts:GetCallerIdentity", lambda: _give_the_name_away(stage)))
    stage.days(25)
    return stage


def a_name_is_given_away_and_the_place_is_not_read() -> Stage:
    """The same; and the provider answers no read of it, while it takes writes."""

    def refuse(call: Call) -> None:
        if call.name == f"target:read {SHOP}":
            raise ProviderUnavailable("the provider does not answer", is_undone=True)

    return a_name_is_given_to_another_place(lambda stage: stage.history.attempts.append(refuse))


def _give_the_name_away(stage: Stage) -> None:
    history = stage.history
    history.world.person_renames(SHOP, "bitbucket acme/store")
    pair = history.world.places[SHOP].pair
    history.world.place_at(SHOP).pair = pair
    history.named_since[SHOP] = history.world.clock.instant
    stage.happened.append("another place")


def an_emergency() -> Stage:
    """`revoke --now`: the key is off before any provider is asked."""
    stage = Stage()
    key = stage.settle().id
    stage.history.jobs.spoiled.add(key)
    stage.once("iam:UpdateAccessKey", lambda: None)
    stage.run(Revoke(key=key, off_first=True))
    stage.days(2)
    return stage


def an_old_key_is_shown(show: Callable[[Stage, AccessKeyId], None]) -> Callable[[], Stage]:
    """A place that keyrota does not write shows the older key, for longer than the overlap and the grace."""

    def scene() -> Stage:
        stage = Stage()
        old = _pair(stage).id
        show(stage, old)
        stage.days(15)
        stage.happened.append(old)
        return stage

    return scene


def _beside(stage: Stage, key: AccessKeyId) -> None:
    stage.shop.beside = {"DEPLOY_KEY_ID": key}


def _around(stage: Stage, key: AccessKeyId) -> None:
    stage.shop.around = {"scope production of acme/shop": key}


def a_place_is_taken_out() -> Stage:
    """The configuration names a place no more that holds the key of now; its pipeline runs rarely."""
    stage = Stage()
    stage.settle()
    keeping = stage.history.credentials[USER]
    stage.history.credentials[USER] = replace(keeping, places=keeping.places[:1])
    stage.days(45, uses=[SHOP])
    stage.happened.append(WEB)
    return stage


def a_field_is_changed_before_a_rollback() -> Stage:
    """Somebody keeps a password beside the pair, and changes it after the rotation that is taken back then."""
    stage = Stage()
    stage.settle()
    stage.days(18)
    world = stage.history.world
    pair = _pair(stage)
    world.person_puts(SECRET, pair, {"DB_PASSWORD": "new"})
    stage.run()
    previous = min(world.users[USER])
    stage.run(Rollback(to=previous))
    stage.happened.append(previous)
    return stage


def a_value_is_stored_before_the_promotion() -> Stage:
    """Right after the last look before a new key is promoted, somebody stores the pair of now once more."""
    stage = Stage()
    pair = stage.settle()

    def put() -> None:
        stage.history.world.person_puts(SECRET, pair)

    def looked() -> None:
        stage.once("secretsmanager:", put, after=1)  # the look itself is the first

    def made() -> None:
        stage.once("sts:GetCallerIdentity", lambda: stage.once("secretsmanager:DescribeSecret", looked), after=3)

    stage.once("iam:CreateAccessKey", made)
    stage.days(25)
    return stage


def a_key_comes_back() -> Stage:
    """Somebody switches a key on that keyrota has switched off: it stays for another overlap."""
    stage = Stage()
    old, history = _pair(stage).id, stage.history
    stage.days(5)
    if old not in history.world.off_since:
        raise RuntimeError("the older key is not off")
    history.world.change(old, status=KeyStatus.ACTIVE, status_word="Active")
    history.switched_on[old] = history.world.clock.instant
    history.play(history.world.clock.instant + timedelta(hours=1))
    stage.days(6)
    stage.happened.append(old)
    return stage


def a_place_goes_down_before_the_sync() -> Stage:
    """One of two places does not answer once the new key is made; the run dies before it writes the other one."""
    stage = Stage()
    stage.settle()

    def down() -> None:
        stage.shop.is_down = True
        stage.once("target:write", stage.die)

    stage.once("iam:CreateAccessKey", down)
    stage.days(14)
    stage.shop.is_down = False
    stage.days(4)
    return stage


def keyrota_runs_with_the_old_key() -> Stage:
    """The credentials of the runs are those of the user that they rotate."""
    stage = Stage()
    old = _pair(stage).id
    stage.history.runs_as = Caller(keys=frozenset({old}))
    stage.days(15)
    stage.happened.append(old)
    return stage


def anothers_pair_is_stored() -> Stage:
    """Somebody puts a pair into the secret that works, and is another user's."""
    stage = Stage()
    stage.settle()
    world = stage.history.world
    world.add_user(OTHER)
    pair = world.add_key(OTHER, age_days=3)
    world.person_puts(SECRET, pair)
    stage.history.announce_change()
    stage.days(3)
    stage.happened.append(pair.id)
    return stage


def a_secret_that_others_may_read() -> Stage:
    """The secret's resource policy lets another account in, before the first key is stored."""
    stage = Stage()
    statement = {"Effect": "Allow", "Principal": {"AWS": "999999999999"}, "Action": "*", "Resource": "*"}
    stored = stage.history.world.make_secret(SECRET, {"keyrota:user": USER})
    stored.resource_policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    stage.days(3)
    stage.happened.append("the first runs")
    return stage


def a_key_that_a_person_made() -> Stage:
    """The user has a key that keyrota did not make and that nothing shows; it is used now and then."""
    stage = Stage()
    stage.settle()
    key = stage.history.world.add_key(USER, age_days=50)
    stage.days(15)
    stage.happened.append(key.id)
    return stage


@dataclass(slots=True)
class _OneLag:
    """One answer of AWS lies behind; the rest is as prompt as the weather."""

    prompt: Lags

    def __getattr__(self, name: str) -> object:
        return getattr(self.prompt, name)


class _ShownLate(_OneLag):
    """AWS shows the last use of a key hours later, and is prompt otherwise."""

    def last_use(self) -> timedelta:
        """Return how old the last use is that IAM shows this time."""
        return timedelta(hours=20)


class _AcceptedLate(_OneLag):
    """STS accepts a new key an hour after it was made, and the rest is prompt."""

    def is_usable(self, _: AccessKeyId, age: timedelta) -> bool:
        """Return whether a key is old enough."""
        return age >= timedelta(hours=1)


class _SecretsLate(_OneLag):
    """Secrets Manager shows every secret as it was seconds ago, and the rest is prompt."""

    def secret(self) -> timedelta:
        """Return how old a secret is that is shown this time."""
        return timedelta(seconds=10)


def the_answer_to_a_new_key_is_lost() -> Stage:
    """CreateAccessKey makes a key, and its answer never comes: the key's secret is lost."""
    stage = Stage()
    stage.lose("iam:CreateAccessKey")
    stage.days(14)
    stage.demand_rest()
    return stage


def two_syncs_take_turns() -> Stage:
    """One has read which key is to be sent, and somebody goes back; another run sends the older one meanwhile."""
    stage = Stage(takes_turns=True)
    history, world = stage.history, stage.history.world
    world.is_id_first = False
    stage.settle()
    history.credentials[USER] = replace(history.credentials[USER], places=history.credentials[USER].places[:1])
    stage.days(9)
    history.play(world.clock.instant + timedelta(hours=8))
    history.run(Only(duty=Duty.ROTATE))
    history.play(world.clock.instant + timedelta(hours=1))
    newer = max(world.users[USER])
    first, second = (f"run-{len(history.runs) + number}" for number in (1, 2))
    answered: list[tuple[str, str]] = []
    history.listeners.append(lambda call, _: answered.append((call.by, call.name.rpartition(" ")[0] or call.name)))

    def has(run: str, name: str) -> bool:
        return any(by == run and what.startswith(name) for by, what in answered)

    def goes_back() -> bool:
        if not stage.happened:
            stage.happened.append(newer)
            world.person_moves_label(SECRET, AWSCURRENT, world.secrets[SECRET].find_labelled(AWSPREVIOUS))
            world.person_untags(SECRET, SYNCED_TAG)
            history.run(Only(duty=Duty.SYNC))
        return has(second, "secretsmanager:DescribeSecret")

    stage.hold(first, "secretsmanager:TagResource", goes_back)
    stage.hold(second, "target:read", lambda: has(first, "secretsmanager:TagResource"))
    stage.hold(first, "target:write secret", lambda: has(second, "target:write secret"))
    stage.hold(second, "target:write id", lambda: history.runs[first].is_over)

    def dies(call: Call) -> None:
        if call.by == first and call.name.startswith("target:write id"):
            history.runs[first].machine.has_died = True
            raise Crash

    history.attempts.append(dies)
    history.run(Only(duty=Duty.SYNC))
    history.play(world.clock.instant + timedelta(hours=1))
    stage.promises.check_newest()
    return stage


def a_last_use_cannot_be_read() -> Stage:
    """IAM refuses to tell the last use of any key, for longer than the overlap."""
    stage = Stage()

    def refuse(call: Call) -> None:
        if call.name == "iam:GetAccessKeyLastUsed":
            stage.happened.append(call.name)
            raise ProviderUnavailable("too many requests", is_undone=True)

    stage.history.attempts.append(refuse)
    stage.days(8)
    return stage


def a_place_refuses_every_write() -> Stage:
    """One of two places takes no write for some days, and can be read."""
    stage = Stage()

    def refuse(call: Call) -> None:
        if call.name.startswith("target:write") and call.name.endswith(SHOP):
            stage.happened.append(call.name)
            raise ProviderRefused("the provider does not take it")

    stage.history.attempts.append(refuse)
    stage.days(4)
    return stage


def aws_current_goes_back_before_the_sync() -> Stage:
    """A new key is noted, and before AWSCURRENT is read, somebody goes back to the older one."""
    stage = Stage()
    stage.settle()
    world = stage.history.world

    def back() -> None:
        stored = world.secrets[SECRET]
        world.person_moves_label(SECRET, AWSCURRENT, stored.find_labelled(AWSPREVIOUS))

    def noted() -> None:
        stage.once("secretsmanager:GetSecretValue", back)

    stage.once("iam:CreateAccessKey", lambda: stage.once("secretsmanager:TagResource", noted))
    stage.days(16)
    return stage


def a_second_deployment() -> Stage:
    """Another configuration names the same user and another secret, when only the key of the first one is left."""
    stage = Stage()
    stage.history.world.places[ELSEWHERE].pair = None
    stage.settle()
    stage.days(8)
    for _ in range(8):
        stage.history.run(keepings=stage.history.deployments.others)
        stage.days(4, uses=())
        stage.history.jobs.start(SHOP, 1)
    stage.happened.append("its runs")
    return stage


def a_clock_of_a_provider_is_off(minutes: float) -> Callable[[], Stage]:
    """A provider tells when variables were changed, by its own clock; somebody changes them after a sync."""

    def scene() -> Stage:
        ahead = timedelta(minutes=minutes)
        place = Place(address=SHOP, deployments_a_day=0, is_id_readable=False, is_change_told=True, clock_ahead=ahead)
        stage = Stage(place=place)
        old = _pair(stage)
        stage.days(1)
        stage.run()
        stage.history.world.person_sets(SHOP, old)
        stage.days(1)
        stage.promises.check_newest()
        stage.days(11)
        stage.demand_rest()
        stage.happened.append(old.id)
        return stage

    return scene


def a_run_dies_after_it_has_written_the_same_pair_again() -> Stage:
    """The provider tells when variables were changed, and a change is a person's to decide; the run notes no end."""
    place = Place(address=SHOP, deployments_a_day=0, is_id_readable=False, is_change_told=True)
    stage = Stage(policy=replace(POLICY, drift=Drift.HOLD), place=place)
    stage.days(1)
    stage.once("target:write", lambda: stage.once("secretsmanager:TagResource", stage.die))
    stage.days(13)
    stage.demand_rest()
    return stage


def a_new_key_is_not_accepted() -> Stage:
    """STS refuses a new key for longer than a run waits: it is served by a later run."""
    stage = Stage()
    stage.history.world.lags = _AcceptedLate(stage.history.weather)  # type: ignore[assignment]  # the rest is the weather's
    stage.days(8)
    stage.demand_rest()
    stage.happened.append("a rotation")
    return stage


def secrets_are_shown_late() -> Stage:
    """Whatever a run writes, Secrets Manager shows ten seconds later."""
    stage = Stage()
    stage.history.world.lags = _SecretsLate(stage.history.weather)  # type: ignore[assignment]  # the rest is the weather's
    stage.days(8)
    stage.demand_rest()
    stage.happened.append("a rotation")
    return stage


def a_key_is_made_in_the_minute_of_a_claim() -> Stage:
    """A run dies before it makes its key; in that minute a person makes one, and uses it, which IAM shows late."""
    stage = Stage()
    stage.settle()
    world = stage.history.world
    world.lags = _ShownLate(stage.history.weather)  # type: ignore[assignment]  # the rest is the weather's
    made: list[KeyPair] = []

    def make() -> NoReturn:
        made.append(world.add_key(USER))
        stage.die()

    stage.once("iam:CreateAccessKey", make)
    stage.days(9)
    while not made:
        stage.run()
    for _ in range(30):
        world.use(made[0])
        stage.run()
    return stage


def a_machine_stands_still_before_its_key() -> Stage:
    """Minutes pass between the claim and the key; after the key the machine dies, and nobody knows of the key."""
    stage = Stage()
    stage.settle()

    def stand_still() -> None:
        stage.history.world.clock.sleep(20 * 60)

    def claimed() -> None:
        stage.once("iam:ListAccessKeys", stand_still)
        stage.once("secretsmanager:PutSecretValue", stage.die, after=1)

    stage.once("secretsmanager:PutSecretValue", claimed)
    stage.days(60)
    stage.demand_rest()
    return stage


def a_key_is_switched_off_and_on() -> Stage:
    """Somebody deactivates the key and activates it again: the credential report shows that day from then on."""
    stage = Stage(has_lists=True)
    pair = stage.settle()
    stage.days(5)
    for status in (KeyStatus.INACTIVE, KeyStatus.ACTIVE):
        stage.history.world.change(pair.id, status=status, status_word=status.value)
    stage.days(20)
    stage.demand_rest()
    stage.happened.append(pair.id)
    return stage


def a_key_comes_of_age() -> Stage:
    """Nothing happens, and the lists of the account show one key until it is due."""
    stage = Stage(has_lists=True)
    pair = stage.settle()
    stage.days(20)
    stage.demand_rest()
    stage.happened.append(pair.id)
    return stage


def a_place_is_changed() -> Stage:
    """Somebody writes the older key back to a place."""
    stage = Stage()
    old = _pair(stage)
    stage.days(1)
    stage.history.world.person_sets(SHOP, old)
    stage.days(3)
    stage.happened.append(old.id)
    return stage


def a_change_is_held() -> Stage:
    """Somebody writes a key of their own to a place, and the policy leaves it to them."""
    stage = Stage(policy=replace(POLICY, drift=Drift.HOLD))
    pair = stage.settle()
    theirs = KeyPair(id=AccessKeyId("AKIASOMEBODYELSES01"), secret=pair.secret)
    stage.history.world.person_sets(SHOP, theirs)
    stage.history.play(stage.history.world.clock.instant + timedelta(hours=1))
    stage.days(3, uses=[WEB])
    stage.happened.append(theirs.id)
    return stage


def a_place_is_changed_after_the_plan() -> Stage:
    """A run is to delete the older key; while it looks, somebody writes that key to a place that no plan named."""
    stage = Stage()
    old = _pair(stage)
    stage.days(8)
    stage.once("iam:ListUserTags", lambda: stage.history.world.person_sets(SHOP, old))
    stage.days(3, uses=[WEB])
    return stage


FLEET = RotationPolicy(rotate_after=20 * DAY, deactivate_after=30 * DAY, delete_after=36 * DAY)
"""Ten days between the age at which a successor is due, and its deadline."""
_CANARY = UserName("ci-canary")


def a_fleet_is_due(count: int, *, parts: int = 1) -> Callable[[], Stage]:
    """Keys of one age are due at once; there is a canary, a day brings one, and keyrota runs three times a day."""

    def scene() -> Stage:
        users = (_CANARY, *(UserName(f"ci-{number}") for number in range(1, count)))
        stage = Stage(fleet=_fleet(users, parts))
        for _ in range(12):
            for _ in range(3):
                stage.run_parts()
            for user in users:
                stage.history.jobs.start(f"bitbucket acme/{user}", 1)
            stage.history.play(stage.history.world.clock.instant + DAY - timedelta(hours=3))
        if sum(len(keys) > 1 for keys in stage.history.world.users.values()) > 1:
            stage.happened.append("new keys came in waves")
        return stage

    return scene


def _fleet(users: Sequence[UserName], parts: int) -> Setup:
    credentials = tuple(
        SimulatedCredential(
            user=user,
            secret=f"keyrota/{user}",
            places=(Place(address=f"bitbucket acme/{user}", deployments_a_day=0),),
            age=FLEET.rotate_after,
            policy=FLEET,
        )
        for user in users
    )
    waves, canaries = Rollout(per_run=1), frozenset({_CANARY})
    return Setup(
        seed=1,
        credentials=credentials,
        with_events=False,
        rollout=waves,
        canaries=canaries,
        parts=parts,
    )


SCENES: dict[str, Callable[[], Stage]] = {
    "half a pair is left": half_a_pair_is_left,
    "a new key is not accepted": a_new_key_is_not_accepted,
    "half a pair stays": half_a_pair_stays,
    "a half is refused once": a_half_is_refused_once,
    "half a pair in an empty place": half_a_pair_in_an_empty_place,
    "a dead key at a place": a_dead_key_at_a_place,
    "a dead key where no write arrives": a_dead_key_where_no_write_arrives,
    "a first write over another user's key": a_first_write(_anothers_key),
    "a first write over an unknown key": a_first_write(_an_unknown_key),
    "a first write over half a pair": a_first_write(_half),
    "a first write beside a pair under other names": a_first_write(_other_names),
    "a first write below half a pair": a_first_write(_another_level),
    "half a pair comes above a place": half_a_pair_comes_above_a_place,
    "a run dies before its first write": a_run_dies_before_its_first_write,
    "a name is given to another place": a_name_is_given_to_another_place,
    "a name is given away before a late write": a_name_is_given_away_before_a_late_write,
    "a name is given away, and the place is not read": a_name_is_given_away_and_the_place_is_not_read,
    "an emergency": an_emergency,
    "another variable shows the old key": an_old_key_is_shown(_beside),
    "another scope shows the old key": an_old_key_is_shown(_around),
    "a place is taken out of the configuration": a_place_is_taken_out,
    "a field is changed before a rollback": a_field_is_changed_before_a_rollback,
    "a value is stored before the promotion": a_value_is_stored_before_the_promotion,
    "a key comes back": a_key_comes_back,
    "a place goes down before the sync": a_place_goes_down_before_the_sync,
    "keyrota runs with the old key": keyrota_runs_with_the_old_key,
    "another user's pair is stored": anothers_pair_is_stored,
    "a secret that others may read": a_secret_that_others_may_read,
    "a key that a person made": a_key_that_a_person_made,
    "a key is made in the minute of a claim": a_key_is_made_in_the_minute_of_a_claim,
    "the answer to a new key is lost": the_answer_to_a_new_key_is_lost,
    "two syncs take turns": two_syncs_take_turns,
    "a last use cannot be read": a_last_use_cannot_be_read,
    "a place refuses every write": a_place_refuses_every_write,
    "AWSCURRENT goes back before the sync": aws_current_goes_back_before_the_sync,
    "a second deployment": a_second_deployment,
    "a provider's clock is ahead": a_clock_of_a_provider_is_off(4),
    "a provider's clock is behind": a_clock_of_a_provider_is_off(-90),
    "a run dies after it has written the same pair again": a_run_dies_after_it_has_written_the_same_pair_again,
    "secrets are shown late": secrets_are_shown_late,
    "a machine stands still before its key": a_machine_stands_still_before_its_key,
    "a key is switched off and on": a_key_is_switched_off_and_on,
    "a key comes of age": a_key_comes_of_age,
    "a place is changed": a_place_is_changed,
    "a change is held": a_change_is_held,
    "a place is changed after the plan": a_place_is_changed_after_the_plan,
    "a small fleet is due": a_fleet_is_due(6),
    "a fleet that is too large for its waves": a_fleet_is_due(16),
    "parts of a fleet are due": a_fleet_is_due(9, parts=3),
}


def play_scene(name: str) -> Sequence[str]:
    """Play one; returns what broke."""
    stage = SCENES[name]()
    if not stage.happened:
        raise RuntimeError(f"{name}: what was to happen did not happen")
    return (*stage.promises.broken, *stage.promises.failures())
