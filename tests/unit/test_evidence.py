"""A key that any place shows is never deactivated or deleted, on any road (promise seen-key-lives)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders import (
    NEW,
    NOW,
    ODD,
    OLD,
    SHOP,
    a_key,
    a_secret,
    by_run,
    cannot_tell,
    current,
    holds,
    observed,
    off_since,
    pending,
    previous,
    synced,
)
from keyrota.core import plan as act
from keyrota.core.emergency import Revoke
from keyrota.core.model import (
    AccessKeyId,
    KeyStatus,
    Observation,
    ShownKey,
    Surroundings,
    TargetEvidence,
    TargetState,
    VariableState,
)
from keyrota.core.plan import Duty
from keyrota.core.planner import Intent, Only, Routine, plan
from keyrota.core.policy import CLASSIC

TO_GO_OFF = observed(
    a_key(OLD, age_days=111),
    a_key(NEW, age_days=21),
    secret=a_secret(previous(OLD), current(NEW), tags=[synced(since=20, confirmed=0.5)]),
    targets=(holds(NEW),),
)
TO_BE_DELETED = observed(
    a_key(OLD, age_days=111, status=KeyStatus.INACTIVE),
    a_key(NEW, age_days=21),
    secret=a_secret(previous(OLD), current(NEW), tags=[synced(since=20, confirmed=0.5), off_since(10.5)]),
    targets=(holds(NEW),),
)
LOST_RACE = by_run(
    observed(
        a_key(NEW, age_days=10),
        a_key(OLD, age_days=0.1),
        secret=a_secret(current(NEW), pending(OLD, base="v0"), tags=[synced()]),
        targets=(holds(NEW),),
    ),
    made_here=frozenset({OLD}),
)
"""OLD is what this very run made and could not promote."""

ELSEWHERE = "variable AWS_ACCESS_KEY_ID of gitlab acme/shop, environment production"


def beside(key: AccessKeyId) -> TargetState:
    """The target holds the current key, and another variable of its list shows one."""
    return replace(holds(NEW), shown=(ShownKey(key=key, where=f"variable DEPLOY_KEY_ID of {SHOP}"),))


def half(key: AccessKeyId) -> TargetState:
    """A removed target with an ID and no secret."""
    return TargetState(
        address="github acme/old",
        evidence=TargetEvidence.ABSENT,
        detail="AWS_SECRET_ACCESS_KEY",
        variables=(VariableState(name="AWS_ACCESS_KEY_ID", is_present=True, key=key, is_readable=True),),
    )


def around(*keys: AccessKeyId, unread: tuple[str, ...] = ()) -> tuple[Surroundings, ...]:
    return (Surroundings(address=SHOP, shown=tuple(ShownKey(key=key, where=ELSEWHERE) for key in keys), unread=unread),)


ROADS: list[tuple[str, Observation, Intent, type[act.Action], str]] = [
    ("the routine deactivates", TO_GO_OFF, Routine(), act.Deactivate, "stays Active"),
    ("the duty that deactivates", TO_GO_OFF, Only(duty=Duty.DEACTIVATE), act.Deactivate, "stays Active"),
    ("a revocation, its successor first", TO_GO_OFF, Revoke(key=OLD), act.Deactivate, "stays Active"),
    ("the routine deletes", TO_BE_DELETED, Routine(), act.Delete, "is kept"),
    ("the duty that deletes", TO_BE_DELETED, Only(duty=Duty.DELETE), act.Delete, "is kept"),
    ("a lost race drops its key", LOST_RACE, Routine(), act.DeleteOrphan, "is kept"),
]
PLACES = [
    ("another variable of the same list", {"targets": (beside(OLD),)}, f"variable DEPLOY_KEY_ID of {SHOP}"),
    ("another scope of the project", {"surroundings": around(OLD)}, ELSEWHERE),
    (
        "a removed target with half a pair",
        {"left_behind": (half(OLD),)},
        "github acme/old",
    ),
    (
        "another variable of a removed target",
        {"left_behind": (replace(beside(OLD), address="github acme/old"),)},
        f"variable DEPLOY_KEY_ID of {SHOP}",
    ),
]


@pytest.mark.parametrize(("road", "seen", "intent", "action", "kept"), ROADS, ids=[row[0] for row in ROADS])
@pytest.mark.parametrize(("place", "known", "where"), PLACES, ids=[row[0] for row in PLACES])
def test_a_shown_key_lives(  # noqa: PLR0917  # a table of two dimensions
    road: str,
    seen: Observation,
    intent: Intent,
    action: type[act.Action],
    kept: str,
    place: str,
    known: dict[str, object],
    where: str,
) -> None:
    assert any(type(done) is action for done in plan(seen, CLASSIC, NOW, intent).actions), road
    shown = replace(seen, **known)  # type: ignore[arg-type]  # fields by name
    planned = plan(shown, CLASSIC, NOW, intent)
    assert not [done for done in planned.actions if type(done) is action], (road, place)
    assert any(f"{OLD} {kept}" in hold.reason and where in hold.reason and hold.remedy for hold in planned.holds)


@pytest.mark.parametrize(("place", "known", "where"), PLACES, ids=[row[0] for row in PLACES])
def test_only_revoke_now_deactivates_a_shown_key(place: str, known: dict[str, object], where: str) -> None:
    shown = replace(TO_GO_OFF, **known)  # type: ignore[arg-type]  # fields by name
    planned = plan(shown, CLASSIC, NOW, Revoke(key=OLD, off_first=True))
    assert [done.key for done in planned.actions if isinstance(done, act.Deactivate)] == [OLD], place
    assert where


@pytest.mark.parametrize(("road", "seen", "intent", "action", "kept"), ROADS, ids=[row[0] for row in ROADS])
def test_targets_are_asked_what_surrounds_them_before_a_key_ends(
    road: str, seen: Observation, intent: Intent, action: type[act.Action], kept: str
) -> None:
    planned = plan(replace(seen, surroundings=None), CLASSIC, NOW, intent)
    kinds = [type(done) for done in planned.actions]
    assert kinds.count(act.LookAround) == 1, road
    assert kinds.index(act.LookAround) < kinds.index(action), kept
    assert all(done.follows for done in planned.actions if type(done) is action)


def test_another_key_that_is_shown_holds_nothing() -> None:
    seen = replace(TO_GO_OFF, surroundings=around(ODD, NEW))
    assert [type(done) for done in plan(seen, CLASSIC, NOW).actions] == [act.Deactivate]


def test_a_scope_that_cannot_be_read_is_named_and_holds_nothing() -> None:
    unread = "gitlab group acme: 403, the token cannot read its variables"
    planned = plan(replace(TO_GO_OFF, surroundings=around(unread=(unread,))), CLASSIC, NOW)
    assert [type(done) for done in planned.actions] == [act.Deactivate]
    assert [note.reason for note in planned.notices] == [f"{unread}: whether {OLD} is shown there as well is not known"]


def test_noting_since_when_a_key_is_inactive_asks_nobody() -> None:
    seen = observed(
        a_key(OLD, age_days=111, status=KeyStatus.INACTIVE),
        a_key(NEW, age_days=21),
        secret=a_secret(previous(OLD), current(NEW), tags=[synced(since=20, confirmed=0.5)]),
        targets=(cannot_tell(),),
    )
    (noted,) = plan(replace(seen, surroundings=None), CLASSIC, NOW).actions
    assert (type(noted), noted.follows) == (act.Deactivate, False)
