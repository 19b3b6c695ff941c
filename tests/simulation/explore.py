"""
All interleavings of a few runs, not a sample: an explicit-state search over the real executor and planner.

A run is deterministic: what it does next follows from the answers that it got so far. So a state of the whole is the
world, and for each run the answers that it has had; two interleavings that lead to the same state go on in the same
way, and are followed once. That is the only reduction, and it is sound. What a run does next is found by running it
from its beginning with its recorded answers, and remembered.

Time stands still, except for one jump where a search allows it; sleeping costs nothing. Propagation and lags are the
random histories' business (`play.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from traceback import walk_tb
from typing import Any

from limits import ACCEPTED_TIMES

from keyrota.core.model import SECRET_TAG, AccessKey, AccessKeyId, KeyPair, KeyStatus, UserName, secret_mark
from keyrota.core.planner import Intent
from keyrota.core.policy import CLASSIC, RotationPolicy
from keyrota.core.secret import Secret
from keyrota.errors import ClockIsOff, KeyrotaError
from keyrota.executor import CredentialContext, Settings, apply_all, plan_all
from keyrota_sandbox.memory import ACCOUNT, SIGNATURE_LASTS, Call, StoredSecret, Variables, Version, World, open_target
from keyrota_sandbox.simulation.timeline import one_by_one

USER = UserName("ci")
SECRET = "keyrota/ci"
JUMP = timedelta(minutes=11)
"""Longer than a claim's lease: a run that stood still finds its claim taken over."""

PAUSE = timedelta(minutes=16)
"""Between runs after a search: longer than a claim's lease, and than AWS accepts a signature."""


class _Beyond(BaseException):
    """The run wants to make a call whose answer is not recorded."""

    def __init__(self, call: Call, effect: Callable[[], Any]) -> None:
        self.call = call
        self.effect = effect


@dataclass(frozen=True, slots=True)
class _Next:
    """What a run does next."""

    call: Call | None
    """None: it has come to its end."""
    effect: Callable[[], Any]
    known: str | None
    """All that it still knows, where that can be told; then it does not matter how it got there."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a run was told, and the time at which it was."""

    value: Any
    error: KeyrotaError | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Runner:
    """A run that takes part."""

    name: str
    intent: Intent | None = None


_State = tuple[int, tuple[int, ...], int, int, int]
"""The number of the world; for each run that of its answers; crashes, jumps of time and changes that may still come."""
_UNDISTURBED = ("iam:ListUserTags", "secretsmanager:GetResourcePolicy")
"""Reads of what no run changes: the user has its tag from the beginning, and nobody sets a resource policy."""
_DEAD = -1
_ENDED = -2
_ENOUGH = 20
"""So many broken promises are enough to stop."""


@dataclass(slots=True)
class Found:
    """What a search came to."""

    states: int = 0
    worlds: int = 0
    transitions: int = 0
    ends: int = 0
    replays: int = 0
    broken: list[str] = field(default_factory=list)
    path: list[str] = field(default_factory=list)
    """The way to the first end that was not right, if it was asked for."""

    def __str__(self) -> str:
        """Tell it in a line."""
        return (
            f"{self.states} states ({self.worlds} worlds), {self.transitions} transitions, {self.ends} ends, "
            f"{len(self.broken)} broken promises"
        )


class _LateUse:
    """Last use is shown later than any search looks: keyrota's own proof by STS is not seen in it."""

    def is_usable(self, key: AccessKeyId, age: timedelta) -> bool:  # noqa: ARG002
        return True

    def draw_list_lag(self) -> timedelta:
        return timedelta()

    def secret(self) -> timedelta:
        return timedelta()

    def last_use(self) -> timedelta:
        return timedelta(days=1)

    def draw_secrets_lag(self) -> timedelta:
        """Give no list of secrets that is old."""
        return timedelta()

    def off(self) -> timedelta:
        return timedelta()

    def is_passed_over(self) -> bool:
        return False


class _Clock:
    def __init__(self, search: Search) -> None:
        self._search = search

    def now(self) -> datetime:
        return self._search.heard_at

    def sleep(self, seconds: float) -> None:
        """Let nothing happen: time stands still."""


class Search:
    """One search over everything that a few runs can do to one credential."""

    def __init__(
        self,
        world: World,
        runners: Sequence[Runner],
        *,
        places: Sequence[str],
        policy: RotationPolicy = CLASSIC,
        crashes: int = 0,
        jumps: int = 0,
        change: Callable[[World], None] | None = None,
        check: Callable[[World], Iterator[str]] = lambda _: iter(()),
        settle: Sequence[tuple[timedelta, Intent | None]] = ((PAUSE, None),) * 3,
        is_traced: bool = False,
    ) -> None:
        self._is_traced = is_traced
        self.world = world
        self.world.lags = _LateUse()
        self.heard_at = world.clock.instant
        self._runners = runners
        self._places = places
        self._policy = policy
        self._crashes, self._jumps = crashes, jumps
        self._change, self._check, self._settle = change, check, settle
        self._numbers: dict[tuple[int, Any], int] = {}
        self._answers: list[tuple[int, _Answer | None]] = [(0, None)]
        """A tree: each sequence is its beginning and one more answer; number 0 is the empty one."""
        self._next: dict[tuple[int, int], _Next] = {}
        self._accepted: dict[int, dict[str, int]] = {0: {}}
        self._same: dict[tuple[int, str, str, datetime], int] = {}
        self._made_by: dict[int, dict[str, str]] = {}
        self._parents: dict[_State, _State] = {}
        self._worlds: list[tuple[Any, ...]] = []
        self._world_numbers: dict[tuple[Any, ...], int] = {}
        self._steps: dict[tuple[int, int, int], tuple[int, int]] = {}
        self._changes: dict[tuple[int, Callable[[World], None]], int] = {}
        self.found = Found()

    # --- the search -----------------------------------------------------------------------------------------------

    def run(self) -> Found:
        """Visit every state that can be reached."""
        first: _State = (
            self._world_number(),
            (0,) * len(self._runners),
            self._crashes,
            self._jumps,
            1 if self._change else 0,
        )
        seen, stack = {first}, [first]
        quiet: dict[int, list[str]] = {}
        while stack:
            state = stack.pop()
            self.found.states += 1
            world, heard, *_ = state
            if max(heard) < 0:
                self.found.ends += 1
                if world not in quiet:
                    quiet[world] = self._faults_at_rest(world)
                self.found.broken += quiet[world]
                if quiet[world] and self._is_traced and not self.found.path:
                    self.found.path = self._path(state)
            for following in self._following(state):
                self.found.transitions += 1
                if following not in seen:
                    seen.add(following)
                    if self._is_traced:
                        self._parents[following] = state
                    stack.append(following)
            if len(self.found.broken) > _ENOUGH:
                break
        self.found.worlds = len(self._worlds)
        return self.found

    def _path(self, state: _State) -> list[str]:
        """Return how a state was reached, call by call."""
        lines: list[str] = []
        while state in self._parents:
            before = self._parents[state]
            moved = [n for n, (one, other) in enumerate(zip(before[1], state[1], strict=True)) if one != other]
            if not moved:
                lines.append("time jumps, or the secret changes")
            else:
                call = self._after(moved[0], before[1][moved[0]]).call
                name = self._runners[moved[0]].name
                is_dead = state[1][moved[0]] == _DEAD
                lines.append(f"{name} {'dies before' if is_dead else ''} {call and f'{call.name} {call.about}'}")
            state = before
        return lines[::-1]

    def _following(self, state: _State) -> Iterator[_State]:
        world, all_heard, crashes, jumps, changes = state
        alone = None if jumps else self._alone(world, all_heard)
        if alone is not None:
            then, told = self._step(world, alone, all_heard[alone])
            yield then, (*all_heard[:alone], told, *all_heard[alone + 1 :]), crashes, jumps, changes
            return
        for number, heard in enumerate(all_heard):
            if heard < 0:
                continue
            then, told = self._step(world, number, heard)
            yield then, (*all_heard[:number], told, *all_heard[number + 1 :]), crashes, jumps, changes
            if crashes and told != _ENDED and heard:
                yield world, (*all_heard[:number], _DEAD, *all_heard[number + 1 :]), crashes - 1, jumps, changes
        if jumps and max(all_heard) > 0:
            yield self._changed(world, _jump), all_heard, crashes, jumps - 1, changes
        if changes and self._change:
            yield self._changed(world, self._change), all_heard, crashes, jumps, changes - 1

    def _alone(self, world: int, all_heard: tuple[int, ...]) -> int | None:
        """
        Find a run whose next call nobody can disturb, and which disturbs nobody: it need not be interleaved.

        Such calls are about a target or a resource policy that changes for nobody, or read of a key that no other run
        may delete: the one that was there before (nothing retires while time stands still), or one of its own.
        """
        makers = self._makers(world)
        for number, heard in enumerate(all_heard):
            call = self._after(number, heard).call if heard >= 0 else None
            if call is None:
                continue
            is_of_key = call.name in {"iam:GetAccessKeyLastUsed", "sts:GetCallerIdentity"}
            if (
                call.name.startswith("target:preflight")
                or call.name in _UNDISTURBED
                or (is_of_key and makers.get(call.about, "nobody") in {"", call.by})
            ):
                return number
        return None

    def _makers(self, world: int) -> dict[str, str]:
        if world not in self._made_by:
            self._made_by[world] = dict(self._worlds[world][-1])
        return self._made_by[world]

    def _world_number(self) -> int:
        """Number the world as it is now; the same world has the same number."""
        frozen = _freeze(self.world)
        if frozen not in self._world_numbers:
            self._world_numbers[frozen] = len(self._worlds)
            self._worlds.append(frozen)
        return self._world_numbers[frozen]

    def _changed(self, world: int, change: Callable[[World], None]) -> int:
        key = (world, change)
        if key not in self._changes:
            _thaw(self.world, self._worlds[world])
            change(self.world)
            self._changes[key] = self._world_number()
        return self._changes[key]

    def _step(self, world: int, number: int, heard: int) -> tuple[int, int]:
        """Let one run make its next call in one world; the same step is never done twice."""
        known = self._steps.get((world, number, heard))
        if known is None:
            known = self._steps[world, number, heard] = self._stepped(world, number, heard)
        return known

    def _stepped(self, world: int, number: int, heard: int) -> tuple[int, int]:
        following = self._after(number, heard)
        call = following.call
        if call is None:
            return world, _ENDED
        _thaw(self.world, self._worlds[world])
        keys = {key.id: key for keys in self.world.users.values() for key in keys.values()}
        asked = self._answers[heard][1]
        is_stale = asked is not None and self.world.clock.instant - asked.at > SIGNATURE_LASTS
        try:
            if is_stale and not call.name.startswith("target:"):
                raise ClockIsOff("AWS refuses the request: its signature is too old")
            answer = _Answer(following.effect(), None, self.world.clock.instant)
        except KeyrotaError as error:
            answer = _Answer(None, error, self.world.clock.instant)
        self._judge(call, heard, keys)
        then = self._world_number()
        return then, self._merged(number, self._numbered(heard, answer, call))

    def _numbered(self, before: int, answer: _Answer, call: Call) -> int:
        key = (before, (repr(answer.value), type(answer.error).__name__, answer.at))
        if key not in self._numbers:
            self._numbers[key] = len(self._answers)
            self._answers.append((before, answer))
            accepted = dict(self._accepted[before])
            if call.name == "sts:GetCallerIdentity":
                is_yes = bool(answer.value) and all(answer.value)
                accepted[call.about] = accepted.get(call.about, 0) + 1 if is_yes else 0
            self._accepted[self._numbers[key]] = accepted
        return self._numbers[key]

    def _merged(self, number: int, heard: int) -> int:
        """Find the first sequence of answers after which the run knows the same, if that can be told."""
        known = self._after(number, heard).known
        if known is None:
            return heard
        counts = sorted((key, min(count, ACCEPTED_TIMES)) for key, count in self._accepted[heard].items())
        asked = self._answers[heard][1]
        return self._same.setdefault((number, known, str(counts), asked.at if asked else self.heard_at), heard)

    # --- a run, from its answers --------------------------------------------------------------------------------

    def _after(self, number: int, heard: int) -> _Next:
        known = self._next.get((number, heard))
        if known is None:
            known = self._next[number, heard] = self._replayed(number, heard)
        return known

    def _replayed(self, number: int, heard: int) -> _Next:
        """Run a run from its beginning with the answers that it has had, up to the first call that is new."""
        self.found.replays += 1
        script: list[_Answer] = []
        while heard:
            heard, answer = self._answers[heard]
            if answer is not None:
                script.append(answer)
        script.reverse()
        at = iter(script)

        def road(call: Call, effect: Callable[[], Any]) -> Any:
            answer = next(at, None)
            if answer is None:
                raise _Beyond(call, effect)
            self.heard_at = answer.at
            if answer.error is not None:
                raise answer.error
            return answer.value

        self.world.road = road
        self.heard_at = script[0].at if script else self.world.clock.instant
        runner = self._runners[number]
        try:
            self._go(runner.name, runner.intent)
        except _Beyond as beyond:
            return _Next(beyond.call, beyond.effect, self._fresh_start(beyond))
        finally:
            self.world.road = None
        return _Next(None, lambda: None, "at its end")

    def _fresh_start(self, beyond: _Beyond) -> str | None:
        """
        Tell all that a run still knows where it is about to look at everything anew; None where it is elsewhere.

        There, in the loop of `Run.apply`, its observation and its plan are thrown away: what it does from then on
        follows from the fields of the run, and from the plan that it was given.
        """
        if beyond.call.name != "iam:ListAccessKeys" or beyond.__traceback__ is None:
            return None
        frames = [frame for frame, _ in walk_tb(beyond.__traceback__)]
        names = [frame.f_code.co_qualname if hasattr(frame.f_code, "co_qualname") else "" for frame in frames]
        if "Run.apply" not in names or "Run._is_proven_afresh" in names:
            return None
        frame = frames[names.index("Run.apply")]
        run, first = frame.f_locals["self"], frame.f_locals["first"]
        memory = run._memory
        known = (
            [(each.name, _in_order(getattr(memory, each.name))) for each in fields(memory) if each.name != "claim"],
            run._targets,
            run._left_behind,
            sorted(run._failed),
            sorted(run._lost),
            sorted({(action.shown, str(action.key)) for action in first.actions}),
        )
        return repr(known)

    def _go(self, name: str, intent: Intent | None) -> None:
        settings = Settings(clock=_Clock(self), run=name, parallel=one_by_one)
        apply_all(plan_all([self._subject(name)], settings, intent=intent), parallel=one_by_one)

    def _subject(self, by: str) -> CredentialContext:
        world = self.world
        return CredentialContext(
            user=USER,
            account=ACCOUNT,
            secret_name=SECRET,
            policy=self._policy,
            access_keys=type(world.access_keys)(world, by),
            identity=type(world.identity)(world, by),
            store=type(world.store)(world, by),
            targets=tuple(open_target(world, place, by) for place in self._places),
        )

    # --- what must hold -------------------------------------------------------------------------------------------

    def _break(self, promise: str, what: str) -> None:
        self.found.broken.append(f"{promise}: {what}")

    def _judge(self, call: Call, heard: int, before: dict[AccessKeyId, AccessKey]) -> None:
        """Look at the world after one call of one run."""
        world = self.world
        keys = {key.id: key for keys in world.users.values() for key in keys.values()}
        for address, place in world.places.items():
            if place.ours and (place.ours not in keys or keys[place.ours].status is not KeyStatus.ACTIVE):
                self._break("served-key-lives", f"{address} holds {place.ours} after {call.name}")
        if call.name.startswith("target:write") and self._accepted[heard].get(call.about, 0) < ACCEPTED_TIMES:
            self._break("verified-before-served", f"{call.by} writes {call.about}")
        for gone in before.keys() - keys.keys():
            is_served = any(gone in {place.ours, place.pair and place.pair.id} for place in world.places.values())
            if is_served or not world.makers.get(gone):
                self._break("hands-off", f"{call.by} deletes {gone}")
        if len(keys) > 2:
            self._break("one-winner", f"{len(keys)} keys after {call.name} of {call.by}")
        stored = world.secrets.get(SECRET)
        kept = {version.pair.id for version in stored.versions.values() if version.pair} if stored else set()
        for address, place in world.places.items():
            if place.ours and place.ours not in kept:
                self._break("secret-never-lost", f"{address} holds {place.ours}, which no version has")

    def _faults_at_rest(self, world: int) -> list[str]:
        """Let keyrota run a few times, one after the other and undisturbed, and look."""
        _thaw(self.world, self._worlds[world])
        self.world.road = None
        for number, (pause, intent) in enumerate(self._settle):
            self.world.clock.instant += pause
            self.heard_at = self.world.clock.instant
            self._go(f"later-{number}", intent)
        return list(self._check(self.world))


def _in_order(value: object) -> object:
    return sorted(value, key=repr) if isinstance(value, set | frozenset) else value


# --- the world as a value ---------------------------------------------------------------------------------------


def _jump(world: World) -> None:
    world.clock.instant += JUMP


def _freeze(world: World) -> tuple[Any, ...]:
    return (
        world.clock.instant,
        world.numbered,
        tuple(
            (user, tuple((key.id, key.status, key.created) for key in keys.values()))
            for user, keys in world.users.items()
        ),
        tuple((name, _frozen_secret(stored)) for name, stored in world.secrets.items()),
        tuple(
            (address, plain(place.pair), place.ours, place.torn_since, place.changed_at)
            for address, place in world.places.items()
        ),
        tuple((user, tuple(tags.items())) for user, tags in world.user_tags.items()),
        tuple(world.makers.items()),
    )


def _frozen_secret(stored: StoredSecret) -> tuple[Any, ...]:
    versions = tuple(
        (name, frozenset(version.labels), plain(version.pair), version.claim, version.made_at)
        for name, version in stored.versions.items()
    )
    return (versions, tuple(sorted(stored.tags.items())), stored.changed_at)


def plain(pair: KeyPair | None) -> tuple[AccessKeyId, str] | None:
    """Show a made-up pair."""
    return (pair.id, pair.secret.reveal()) if pair else None


def _pair(plain: tuple[AccessKeyId, str] | None) -> KeyPair | None:
    return KeyPair(id=plain[0], secret=Secret(plain[1])) if plain else None


def _thaw(world: World, frozen: tuple[Any, ...]) -> None:
    instant, numbered, users, secrets, places, user_tags, makers = frozen
    world.clock.instant = instant
    world.numbered = numbered
    world.users = {
        user: {
            key: AccessKey(id=key, status=status, created=created, status_word=status.value)
            for key, status, created in keys
        }
        for user, keys in users
    }
    world.makers = dict(makers)
    world.user_tags = {user: dict(tags) for user, tags in user_tags}
    world.uses.clear()
    world.secrets = {name: _thawed_secret(stored) for name, stored in secrets}
    world.places = {
        address: Variables(number=number, pair=_pair(pair), ours=ours, torn_since=torn, changed_at=changed)
        for number, (address, pair, ours, torn, changed) in enumerate(places)
    }


def _thawed_secret(frozen: tuple[Any, ...]) -> StoredSecret:
    versions, tags, changed_at = frozen
    return StoredSecret(
        versions={
            name: Version(labels=set(labels), pair=_pair(pair), claim=claim, made_at=made_at)
            for name, labels, pair, claim, made_at in versions
        },
        tags=dict(tags),
        changed_at=changed_at,
    )


def a_world(age_days: float, places: Sequence[str]) -> tuple[World, KeyPair]:
    """Make a user with one key of that age, which every place holds, and with the tag that names its secret."""
    world = World()
    world.add_user(USER)
    world.user_tags[USER] = {SECRET_TAG: secret_mark("", SECRET)}
    made = world.add_key(USER, age_days=age_days)
    for place in places:
        open_target(world, place)
        world.places[place].pair = made
    return world, made


def only_run(world: World, places: Sequence[str], intent: Intent | None = None) -> None:
    """Let one run go by, before a search begins."""
    search = Search(world, [], places=places)
    search._go(f"earlier {world.clock.instant}", intent)
