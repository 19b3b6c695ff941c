"""
The world in memory is held against moto: the same calls, the same answers, the same state, the same requests.

moto stands behind the strict layer, which refuses what AWS refuses (docs/facts/emulators.md), and is asked by the real
adapters. Where the two could not be made equal, `DIFFERENCES` says how they differ and which of them AWS is like.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from aws_rig import a_cloud
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from parity import Both, Side, Value, both_sides

from keyrota.aws.account import Account
from keyrota.core.model import (
    AWSCURRENT,
    AWSPENDING,
    AWSPREVIOUS,
    CLAIM,
    PENDING,
    PLACEHOLDER,
    AccessKeyId,
    Claim,
    KeyStatus,
    UserName,
    VersionId,
    placeholder_token,
)
from keyrota.core.secret import Secret
from keyrota_sandbox.cloud import Cloud
from keyrota_sandbox.memory import SLOTS, WorldClock

USERS = tuple(UserName(name) for name in ("ci-deploy", "ci-web", "nobody"))
"""The last one is never made."""
NAMES = ("keyrota/deploy", "keyrota/web")
LABELS = (AWSCURRENT, AWSPREVIOUS, AWSPENDING, CLAIM, PENDING, PLACEHOLDER, "theirs")
QUARANTINE = "arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3"
BESIDE = ("{}", json.dumps({"z": "1", "a": "ß"}), json.dumps({"a": "ß", "z": "1"}))
TAGS: tuple[dict[str, str], ...] = ({"a": "1"}, {"a": "2", "keyrota:user": "ci"}, {"a": "x,y"}, {"a": "x" * 257})
SPANS = (timedelta(minutes=63), timedelta(hours=25), timedelta(days=8), timedelta(days=31))
SEQUENCES, STEPS = 25, 40

pick = st.integers(0, 11)
figures = {"sequences": 0, "calls": 0}


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """One sandbox for all."""
    with a_cloud() as made:
        yield made


@pytest.fixture(scope="module")
def account(cloud: Cloud) -> Account:
    """The sandbox's account, entered."""
    made = Account()
    made.enter(cloud.clock)
    return made


@pytest.fixture
def both(cloud: Cloud, account: Account) -> Both:
    """Both sides, with nothing in them."""
    return both_sides(cloud, account)


class Machine(RuleBasedStateMachine):
    """Draws calls of ports and of people; the sides live in `both`, which each test sets."""

    both: Both

    def __init__(self) -> None:
        super().__init__()
        figures["sequences"] += 1
        self.keys = ["AKIAUNKNOWN000000000"]
        self.versions = [str(uuid.uuid5(uuid.NAMESPACE_OID, "a version that is nowhere"))]
        self.begin()
        self.people_and_users(USERS[0])
        self.make_key(USERS[0])
        self.create(NAMES[0], TAGS[0])

    def begin(self) -> None:
        """Forget what was."""
        raise NotImplementedError

    def teardown(self) -> None:
        """Count."""
        figures["calls"] += self.both.calls

    # --- what is there ------------------------------------------------------------------------------------------

    def key(self, number: int) -> str:
        return self.keys[-1 - number % len(self.keys)]

    def token(self, number: int) -> str:
        """Choose a version that is known, or make a new ID."""
        if number >= 9:
            token = str(uuid.uuid5(uuid.NAMESPACE_OID, f"version {len(self.versions)}"))
            self.versions.append(self.both.version(f"v{len(self.versions)}", (VersionId(token), VersionId(token))))
            return self.versions[-1]
        return self.versions[-1 - number % len(self.versions)]

    def has(self, name: str) -> bool:
        """Return whether a secret is there, and not scheduled for deletion."""
        stored = self.both.world.secret(name)
        return stored is not None and stored.deleted_at is None

    def wearing(self, name: str, label: str) -> str | None:
        stored = self.both.world.secret(name)
        version = stored.find_labelled(label) if stored else None
        return self.both.here.names.get(version, version) if version else None

    def check_user(self, user: UserName) -> None:
        self.both.call(lambda side: side.access_keys.list(user))

    def check_secret(self, name: str) -> None:
        self.both.call(lambda side: side.store.describe(name))

    def learn(self, made: tuple[VersionId, VersionId]) -> None:
        self.versions.append(self.both.version(f"v{len(self.versions)}", made))

    # --- IAM ----------------------------------------------------------------------------------------------------

    @rule(user=st.sampled_from(USERS))
    def make_key(self, user: UserName) -> None:
        name = f"k{len(self.keys)}"

        def create(side: Side) -> Any:
            made = side.access_keys.create(user)
            side.learn_pair(name, made.credential)
            return made

        if self.both.call(create)[0] == "answer":
            self.keys.append(name)
        self.check_user(user)

    @rule(user=st.sampled_from(USERS), number=pick, verb=st.sampled_from(("deactivate", "reactivate", "delete")))
    def change_key(self, user: UserName, number: int, verb: str) -> None:
        key = self.key(number)
        self.both.call(lambda side: getattr(side.access_keys, verb)(user, side.key(key)))
        self.check_user(user)

    @rule(number=pick, is_right=st.booleans())
    def use(self, number: int, is_right: bool) -> None:
        key = self.key(number)
        if key in self.both.here.secrets:
            self.both.call(lambda side: side.identity.whoami(_pair(side, key, is_right=is_right)))
        self.both.call(lambda side: side.access_keys.last_use(side.key(key)).evidence)
        if self.both.world.find(self.both.here.key(key)):
            self.both.call(lambda side: side.access_keys.last_use(side.key(key)))

    @rule(user=st.sampled_from(USERS))
    def emergency(self, user: UserName) -> None:
        self.both.call(lambda side: side.access_keys.quarantine_policies(user))
        self.both.call(lambda side: side.access_keys.release_quarantine(user, QUARANTINE))
        self.both.call(lambda side: side.access_keys.deny_sessions_before(user, self.both.cloud.clock.now()))

    @rule(
        user=st.sampled_from(USERS[:2]), number=pick, what=st.sampled_from(("on", "off", "delete", "new", "quarantine"))
    )
    def people_and_keys(self, user: UserName, number: int, what: str) -> None:
        key, mine = self.key(number), self.both.world.users.get(user)
        if mine is None:
            return
        is_mine = self.both.here.key(key) in mine
        if what == "new" and len(mine) < SLOTS:
            name = f"k{len(self.keys)}"
            self.both.by_hand(lambda side: side.learn_pair(name, side.hands.make_key(user)))
            self.keys.append(name)
        elif what == "quarantine" and not self.both.world.quarantine.get(user):
            self.both.by_hand(lambda side: side.hands.quarantine(user, QUARANTINE))
        elif what == "delete" and is_mine:
            self.both.by_hand(lambda side: side.hands.delete_key(user, side.key(key)))
        elif what in {"on", "off"} and is_mine:
            status = KeyStatus.ACTIVE if what == "on" else KeyStatus.INACTIVE
            self.both.by_hand(lambda side: side.hands.set_status(user, side.key(key), status))
        self.check_user(user)

    @rule(user=st.sampled_from(USERS[:2]))
    def people_and_users(self, user: UserName) -> None:
        """Make a user, or delete one; the next time, it is made again under the same name."""
        is_there = user in self.both.world.users
        self.both.by_hand(lambda side: (side.hands.delete_user if is_there else side.hands.make_user)(user))
        self.check_user(user)

    # --- Secrets Manager ------------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(NAMES), tags=st.sampled_from(TAGS))
    def create(self, name: str, tags: dict[str, str]) -> None:
        token = placeholder_token(name)
        self.both.version(f"first of {name}", (token, token))
        if f"first of {name}" not in self.versions:
            self.versions.append(f"first of {name}")
        self.both.call(lambda side: side.store.create(name, tags))
        self.check_secret(name)

    @rule(name=st.sampled_from(NAMES), number=pick, run=st.sampled_from(("a", "b")), seen=pick)
    def put_claim(self, name: str, number: int, run: str, seen: int) -> None:
        token, key = self.token(number), self.key(seen)
        self.both.call(lambda side: side.store.put_claim(name, _claim(side, token, run, key)))
        self.both.call(lambda side: side.store.claim(name))
        self.check_secret(name)

    @rule(name=st.sampled_from(NAMES), number=pick, which=pick, beside=st.sampled_from(BESIDE), is_native=st.booleans())
    def put_pair(self, name: str, number: int, which: int, beside: str, is_native: bool) -> None:
        """A pair is put again and again: under one token, with the same and with other content."""
        key = self.key(which)
        token = self.wearing(name, AWSPENDING) if is_native else self.token(number)
        if key not in self.both.here.secrets or token is None:
            return

        def put(side: Side) -> None:
            where, pair = side.version(token), side.pair(key)
            if is_native:
                side.store.put_rotating(name, where, pair, beside=Secret(beside), rotation_token=None)
            else:
                side.store.put_pending(name, where, pair, beside=Secret(beside))

        self.both.call(put)
        self.both.call(lambda side: side.store.read(name, side.version(token)))
        self.check_secret(name)

    @rule(
        name=st.sampled_from(NAMES),
        label=st.sampled_from(LABELS),
        to=st.none() | pick,
        remove_from=st.sampled_from(("where it is", "elsewhere", "nowhere")),
        other=pick,
    )
    def move_label(self, name: str, label: str, to: int | None, remove_from: str, other: int) -> None:
        """Right and wrong RemoveFromVersionId, a label that is nowhere, and one that is elsewhere."""
        goal = None if to is None else self.token(to % 9)
        seen = {"where it is": self.wearing(name, label), "elsewhere": self.token(other % 9)}.get(remove_from)

        def move(side: Side) -> None:
            side.store.move_label(
                name,
                label,
                to=side.version(goal) if goal else None,
                remove_from=side.version(seen) if seen else None,
            )

        self.both.call(move)
        self.check_secret(name)

    @rule(name=st.sampled_from(NAMES), number=pick)
    def look(self, name: str, number: int) -> None:
        version = self.token(number % 9)
        self.both.call(lambda side: side.store.read(name, side.version(version)))
        self.both.call(lambda side: side.store.other_fields(name, side.version(version)))
        self.both.call(lambda side: side.store.current(name))
        self.both.call(lambda side: side.store.claim(name))

    @rule(name=st.sampled_from(NAMES), tags=st.sampled_from(TAGS))
    def tag(self, name: str, tags: dict[str, str]) -> None:
        self.both.call(lambda side: side.store.tag(name, tags))
        self.check_secret(name)

    @rule(name=st.sampled_from(NAMES), what=st.sampled_from(("put", "put", "update", "break", "label")), number=pick)
    def people_and_values(self, name: str, what: str, number: int) -> None:
        """Edits by hand: PutSecretValue with and without labels of their own, UpdateSecret, what is no JSON."""
        if not self.has(name):
            return
        key = self.key(number)
        labels = ((AWSCURRENT,), ("theirs",), (AWSCURRENT, "theirs"))[number % 3]

        def value(side: Side) -> Value:
            pair = side.pair(key) if key in side.secrets and number % 2 else None
            return Value(pair=pair, fields={"by": "hand"}, is_broken=what == "break")

        if what == "update":
            self.learn(self.both.by_hand(lambda side: side.hands.update(name, value(side))))
        elif what == "label":
            self._move_by_hand(name, LABELS[number % len(LABELS)], number)
        else:
            self.learn(self.both.by_hand(lambda side: side.hands.put(name, value(side), labels)))
        self.check_secret(name)

    def _move_by_hand(self, name: str, label: str, number: int) -> None:
        stored = self.both.world.secrets[name]
        names = [self.both.here.names.get(version, version) for version in stored.versions]
        if names:
            goal = names[number % len(names)]
            self.both.by_hand(lambda side: side.hands.move_label(name, label, side.version(goal)))

    @rule(name=st.sampled_from(NAMES), tags=st.sampled_from(TAGS[:2]))
    def people_and_tags(self, name: str, tags: dict[str, str]) -> None:
        if self.both.world.secret(name) is None:
            self.both.by_hand(lambda side: side.hands.make_secret(name, tags))
        elif self.has(name) and len(tags) > 1:
            self.both.by_hand(lambda side: side.hands.tag(name, tags))
        elif self.has(name):
            self.both.by_hand(lambda side: side.hands.untag(name, "a"))
        self.check_secret(name)

    @precondition(lambda self: any(self.has(name) for name in NAMES))
    @rule(name=st.sampled_from(NAMES))
    def begin_rotation(self, name: str) -> None:
        """A version without a value, as RotateSecret leaves it."""
        if self.has(name) and self.both.world.secrets[name].versions:
            token = str(uuid.uuid5(uuid.NAMESPACE_OID, f"version {len(self.versions)}"))
            self.learn(self.both.by_hand(lambda side: side.hands.begin_rotation(name, token)))
        self.check_secret(name)

    @rule(name=st.sampled_from(NAMES), days=st.sampled_from((7, 30)), is_forced=st.booleans())
    def delete_or_restore(self, name: str, days: int, is_forced: bool) -> None:
        if self.has(name):
            self.both.by_hand(lambda side: side.hands.delete_secret(name, days, is_forced=is_forced))
        elif self.both.world.secret(name) is not None:
            self.both.by_hand(lambda side: side.hands.restore_secret(name))
        self.check_secret(name)

    @rule(span=st.sampled_from(SPANS))
    def wait(self, span: timedelta) -> None:
        self.both.tick(span)


def _pair(side: Side, key: str, *, is_right: bool) -> Any:
    pair = side.pair(key)
    return pair if is_right else type(pair)(id=pair.id, secret=Secret("torn"))


def _claim(side: Side, token: str, run: str, key: str) -> Claim:
    at = WorldClock().now()
    return Claim(
        version=side.version(token),
        run=run,
        at=at,
        lease_until=at + timedelta(minutes=10),
        keys_seen=frozenset({side.key(key), AccessKeyId("AKIAOTHER00000000000")}),
    )


def test_the_same_calls_have_the_same_answers(cloud: Cloud, account: Account, figure: Callable[[str], None]) -> None:
    """Drawn sequences of calls by keyrota and by people; after each, the state is the same on both sides."""

    class OverMoto(Machine):
        def begin(self) -> None:
            self.both = both_sides(cloud, account)

    run_state_machine_as_test(
        OverMoto,
        settings=settings(
            max_examples=SEQUENCES,
            stateful_step_count=STEPS,
            derandomize=True,
            database=None,
            deadline=None,
            print_blob=False,
            phases=(Phase.generate,),  # a failure is told as it was drawn: to shrink one takes minutes
            suppress_health_check=list(HealthCheck),
        ),
    )
    figure(f"parity with moto: {figures['sequences']} sequences, {figures['calls']} calls of ports on both sides")
