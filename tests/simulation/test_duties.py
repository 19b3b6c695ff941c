"""Four single-purpose runs a day do together what one run does, each with its own verbs only (least-privilege)."""

from __future__ import annotations

from typing import get_args

import pytest
from checkers import at_rest
from rig import SECRET, SHOP, USER, Rig, a_rig

from keyrota.aws.permissions import DUTIES
from keyrota.core import plan as act
from keyrota.core.lifecycle import interpret
from keyrota.core.model import CLAIM, ORPHAN_TAG, KeyPair, KeyStatus
from keyrota.core.plan import Duty
from keyrota.core.planner import Only
from keyrota.executor import Settings, observe
from keyrota_sandbox.memory import Crash, World

ORDER = (Duty.ROTATE, Duty.SYNC, Duty.DEACTIVATE, Duty.DELETE)
DAYS = 28


def _run(rig: Rig, duty: Duty, strange: list[str]) -> bool:
    """Run one duty as a new process; notes calls that it may not make; tells whether it crashed."""
    before = len(rig.world.journal)
    try:
        rig.run(Only(duty=duty))
    except Crash:
        return True
    finally:
        allowed = {*DUTIES[duty.value], "sts:GetCallerIdentity"}
        made = [name for name in rig.world.journal[before:] if name.startswith(("iam:", "secretsmanager:"))]
        strange.extend(f"{duty.value} called {name}" for name in made if name not in allowed)
    return False


def _day(rig: Rig, strange: list[str], order: tuple[Duty, ...] = ORDER) -> None:
    for duty in order:
        _run(rig, duty, strange)
        rig.world.clock.sleep(1800)
    rig.deploy()
    rig.world.clock.instant = rig.world.clock.instant.replace(hour=6, minute=0, second=0)
    rig.world.clock.sleep(24 * 3600)


def test_every_action_belongs_to_one_duty_or_to_a_person() -> None:
    """A new action must be given its duty, or is one of `revoke` and `rollback`."""
    asked_for = {
        act.MarkRevoked,
        act.Reactivate,
        act.Restore,
        act.DenySessions,
        act.ReleaseQuarantine,
        act.Choose,
        act.Release,
        act.TakeOver,
    }
    questions = {
        act.LookAround,
        act.AskFirst,
        act.AskOwner,
        act.AskValue,
    }  # which change nothing: whoever needs the answer asks
    read_only = (Duty.SYNC, act.Adopt)  # its part of an adoption reads and proves the value, and moves no label
    kinds = [(duty, kind) for kind in get_args(act.Action) for duty in kind.duties if kind not in questions]
    owned = [kind for duty, kind in kinds if (duty, kind) != read_only]
    assert len(owned) == len(set(owned))
    assert set(owned) | asked_for | questions == set(act.Action.__args__)


@pytest.mark.parametrize("order", [ORDER, ORDER[::-1], (Duty.DELETE, Duty.ROTATE, Duty.DEACTIVATE, Duty.SYNC)])
def test_four_duties_live_a_key_s_life(order: tuple[Duty, ...]) -> None:
    """In whatever order they come, one key is made, served, and its predecessor goes; no duty leaves its verbs."""
    rig = a_rig()
    strange: list[str] = []
    for _ in range(DAYS):
        _day(rig, strange, order)
    assert strange == []
    assert rig.watch.broken == []
    assert rig.deployments_failed == []
    assert at_rest(rig.world, USER, SECRET) == []
    assert len(rig.world.users[USER]) == 1


def test_each_duty_uses_every_verb_that_it_is_given() -> None:
    """The policies are minimal: over a life and a lost key, no allowed action is left unused."""
    used: dict[Duty, set[str]] = {duty: set() for duty in Duty}
    rig = a_rig()

    def lose(name: str, _: World) -> None:
        if name == "iam:CreateAccessKey":
            rig.world.after = None
            raise Crash

    rig.world.after = lose
    for _ in range(DAYS + 2):
        for duty in ORDER:
            before = len(rig.world.journal)
            _run(rig, duty, [])
            used[duty] |= set(rig.world.journal[before:])
        rig.deploy()
        rig.world.clock.sleep(24 * 3600)
    before = len(rig.world.journal)
    rig.world.person_puts(SECRET, rig.world.places[SHOP].pair)  # which sync takes in: it asks whose the user is
    _run(rig, Duty.SYNC, [])
    used[Duty.SYNC] |= set(rig.world.journal[before:])
    assert {
        duty: {name for name in names if not name.startswith(("target", "sts:"))} for duty, names in used.items()
    } == {duty: set(DUTIES[duty.value]) for duty in Duty}


_READS = ("iam:List", "iam:Get", "secretsmanager:Describe", "secretsmanager:Get", "sts:", "target:read", "target:busy")


def _calls() -> tuple[int, ...]:
    """Choose calls to die at: every other one of a day on which something changes, and one of each other day."""
    rig = a_rig()
    chosen: list[int] = []
    for day in range(DAYS):
        before = len(rig.world.journal)
        _day(rig, [])
        calls = range(before + 1, len(rig.world.journal) + 1)
        is_quiet = all(name.startswith(_READS) for name in rig.world.journal[before:])
        chosen += [calls[day % len(calls)]] if is_quiet else calls[::2]
    return tuple(chosen)


@pytest.mark.parametrize("number", _calls())
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_duty_that_dies_heals(number: int, before: bool) -> None:
    """A function dies at this call; the four converge, each with its own verbs."""
    rig = a_rig()
    count = 0
    watch = rig.watch

    def cut(_: str, __: World) -> None:
        nonlocal count
        count += 1
        if count == number:
            raise Crash

    def look_and_cut(name: str, world: World) -> None:
        watch(name, world)
        cut(name, world)

    if before:
        rig.world.before = cut
    else:
        rig.world.after = look_and_cut
    strange: list[str] = []
    for _ in range(DAYS + 22):
        _day(rig, strange)
    assert strange == []
    assert rig.watch.broken == []
    assert at_rest(rig.world, USER, SECRET) == []
    assert len(rig.world.users[USER]) == 1


def test_a_lost_key_is_noted_by_one_duty_and_deleted_by_another() -> None:
    """CreateAccessKey's answer is lost: rotate proves it and leaves a note, delete deletes, rotate goes on."""
    rig = a_rig()

    def lose(name: str, world: World) -> None:
        rig.watch(name, world)
        if name == "iam:CreateAccessKey":
            rig.world.after = rig.watch
            raise Crash

    rig.world.after = lose
    strange: list[str] = []
    assert _run(rig, Duty.ROTATE, strange)
    lost = max(rig.world.users[USER].values(), key=lambda key: key.created).id
    rig.world.clock.sleep(3600)
    _run(rig, Duty.DELETE, strange)
    assert lost in rig.world.users[USER], "the duty that deletes has no proof of its own"
    _run(rig, Duty.ROTATE, strange)
    seen = observe.observe(rig.subject, Settings(clock=rig.world.clock, run="x"), with_claim=False)
    assert interpret(seen).is_noted(lost)
    assert seen.secret is not None
    assert ORPHAN_TAG in dict(seen.secret.tags)
    _run(rig, Duty.DEACTIVATE, strange)
    assert rig.world.users[USER][lost].status is KeyStatus.ACTIVE, "never used proves nothing yet"
    rig.world.clock.sleep(86400)
    _run(rig, Duty.DEACTIVATE, strange)
    assert rig.world.users[USER][lost].status is KeyStatus.INACTIVE
    _run(rig, Duty.DELETE, strange)
    assert lost in rig.world.users[USER], "its grace has only begun"
    rig.world.clock.sleep(11 * 86400)
    _run(rig, Duty.DELETE, strange)
    assert lost not in rig.world.users[USER]
    _run(rig, Duty.ROTATE, strange)
    assert any(
        lost != key
        and interpret(observe.observe(rig.subject, Settings(clock=rig.world.clock, run="x"))).current_key == key
        for key in rig.world.users[USER]
    )
    assert strange == []
    assert rig.watch.broken == []


def test_a_noted_key_that_somebody_uses_is_left_alone() -> None:
    """A note is no proof by itself: what was used since is not deleted."""
    rig = a_rig()

    def lose(name: str, world: World) -> None:
        rig.watch(name, world)
        if name == "iam:CreateAccessKey":
            rig.world.after = rig.watch
            raise Crash

    rig.world.after = lose
    _run(rig, Duty.ROTATE, [])
    lost = max(rig.world.users[USER].values(), key=lambda key: key.created).id
    rig.world.clock.sleep(3600)
    _run(rig, Duty.ROTATE, [])
    rig.world.use(KeyPair(id=lost, secret=rig.world.values[lost]))
    outcome = rig.run(Only(duty=Duty.DELETE))
    assert lost in rig.world.users[USER]
    assert outcome.plan is not None
    assert outcome.plan.actions == ()


def test_a_claim_is_not_read_where_secrets_may_not_be() -> None:
    """The claim's content is a secret value to Secrets Manager: only rotate reads it."""
    rig = a_rig()

    def die(name: str, _: World) -> None:
        if name == "iam:CreateAccessKey":
            raise Crash

    rig.world.before = die
    _run(rig, Duty.ROTATE, [])
    rig.world.before = lambda *_: None
    assert any(CLAIM in version.labels for version in rig.world.secrets[SECRET].versions.values())
    for duty in (Duty.DEACTIVATE, Duty.DELETE):
        strange: list[str] = []
        _run(rig, duty, strange)
        assert strange == []
