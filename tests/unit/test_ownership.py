"""Which secret keeps a user's keys: asked once, before anything that needs them, and never where nothing does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest

from builders import (
    MARK,
    NEW,
    NOW,
    ODD,
    OLD,
    USER,
    a_key,
    a_secret,
    current,
    holds,
    observed,
    off_since,
    pending,
    previous,
    synced,
    used,
)
from keyrota.core import plan as act
from keyrota.core.adoption import Adoption
from keyrota.core.emergency import Revoke, Rollback
from keyrota.core.model import SECRET_TAG, KeyStatus, Observation, UserTag, secret_mark
from keyrota.core.plan import Duty, Needs, Plan
from keyrota.core.planner import Intent, Only, Rotate, Routine, SyncOnly, plan
from keyrota.core.policy import CLASSIC

OTHERS = UserTag(secret="eu-west-1:ci/first")
UNKNOWN = UserTag(why_unknown="iam:ListUserTags is not allowed", remedy="allow it")
NONE = UserTag()
OFF = KeyStatus.INACTIVE

FIRST = observed(a_key(OLD, age_days=95))
"""The user's only key is due, and this secret has never stood for one."""
PUT = observed(a_key(OLD, age_days=5), secret=a_secret(replace(current(), labels=frozenset({"AWSCURRENT"}))))
"""Someone put a pair into the secret."""
OURS = observed(a_key(OLD, age_days=95), secret=a_secret(current(), tags=[synced()]))
OVERLAP = observed(
    a_key(OLD, age_days=120, use=used(60)),
    a_key(NEW, age_days=30),
    secret=a_secret(previous(OLD, "v0"), current(NEW, "v1"), tags=[synced("v1", since=25)]),
)
GRACE = observed(
    a_key(OLD, age_days=130, status=OFF),
    a_key(NEW, age_days=30),
    secret=a_secret(previous(OLD, "v0"), current(NEW, "v1"), tags=[synced("v1", since=25), off_since(15)]),
)
ROADS: list[tuple[str, Observation, Intent]] = [
    ("a first rotation", FIRST, Routine()),
    ("on request", FIRST, Rotate(key=OLD)),
    ("a revocation", FIRST, Revoke(key=OLD)),
    ("a choice", FIRST, Adoption(key=OLD)),
    ("a value that was put there", PUT, Routine()),
    ("the same, by the function that syncs", PUT, Only(duty=Duty.SYNC)),
    ("the same, by `keyrota sync`", PUT, SyncOnly()),
    ("a rotation", OURS, Routine()),
    ("a deactivation", OVERLAP, Only(duty=Duty.DEACTIVATE)),
    ("a deletion", GRACE, Only(duty=Duty.DELETE)),
    ("a rollback", OVERLAP, Rollback(to=OLD)),
]
NAMES = [name for name, _, _ in ROADS]


def planned(seen: Observation, intent: Intent, tag: UserTag | None) -> Plan:
    return plan(replace(seen, user_tag=tag), CLASSIC, NOW, intent)


def changes(made: Plan) -> list[act.Action]:
    return [action for action in made.actions if not isinstance(action, (act.LOOKS, act.Preflight))]


@pytest.mark.parametrize(("name", "seen", "intent"), ROADS, ids=NAMES)
def test_it_is_asked_first(name: str, seen: Observation, intent: Intent) -> None:
    made = planned(seen, intent, None)
    assert isinstance(made.actions[0], act.AskOwner), name
    assert sum(isinstance(action, act.AskOwner) for action in made.actions) == 1
    assert len(changes(made)) > 0
    needing = [
        one for one in changes(made) if not isinstance(one, (act.Sync, act.Verify, act.NoteActive, act.RemoveLabel))
    ]
    assert all(action.follows for action in needing), needing


@pytest.mark.parametrize(("name", "seen", "intent"), ROADS, ids=NAMES)
def test_where_another_secret_keeps_the_keys_nothing_is_done(name: str, seen: Observation, intent: Intent) -> None:
    """The second deployment adopted the key that the first one served, deactivated and deleted it."""
    made = planned(seen, intent, OTHERS)
    assert made.actions == (), name
    (hold,) = made.holds
    assert hold.needs is Needs.PERSON
    for words in (OTHERS.secret, MARK, USER, SECRET_TAG):
        assert words in hold.reason
    assert f"keyrota adopt {USER} --take-over" in hold.remedy


@pytest.mark.parametrize(("name", "seen", "intent"), ROADS, ids=NAMES)
def test_the_own_tag_and_none_change_nothing(name: str, seen: Observation, intent: Intent) -> None:
    ours = planned(seen, intent, UserTag(secret=MARK))
    assert changes(ours), name
    assert planned(seen, intent, NONE) == ours


ADDITIVE = {"a rotation", "a rollback"}


@pytest.mark.parametrize(("name", "seen", "intent"), ROADS, ids=NAMES)
def test_unknown_holds_what_is_first_and_what_cannot_be_taken_back(
    name: str, seen: Observation, intent: Intent
) -> None:
    """Where this secret has kept the user's key already, a missing permission does not stop a rotation."""
    made = planned(seen, intent, UNKNOWN)
    held = [hold.remedy for hold in made.holds if UNKNOWN.why_unknown in hold.reason]
    noted = [notice.remedy for notice in made.notices if UNKNOWN.why_unknown in notice.reason]
    assert [*held, *noted] == [UNKNOWN.remedy]
    if name in ADDITIVE:
        assert noted
        assert changes(made) == changes(planned(seen, intent, UserTag(secret=MARK)))
    else:
        assert held
        assert changes(made) == []


def test_a_tag_that_may_not_be_set_is_reported_and_holds_nothing() -> None:
    told = UserTag(why_not_written="iam:TagUser is not allowed", remedy="allow it")
    made = planned(FIRST, Routine(), told)
    assert made.makes_key
    (notice,) = [one for one in made.notices if told.why_not_written in one.reason]
    assert notice.remedy == "allow it"


WAIT_FOR_IDLE: list[tuple[str, Observation, Intent]] = [
    ("nothing is due", observed(a_key(OLD), secret=a_secret(current(), tags=[synced()])), Routine()),
    ("a first rotation is not due yet", observed(a_key(OLD)), Routine()),
    (
        "an overlap that is not over",
        replace(OVERLAP, keys=(a_key(OLD, age_days=95), a_key(NEW, age_days=5))),
        Routine(),
    ),
    ("a repair", replace(OURS, keys=(a_key(OLD),), targets=(holds(ODD),)), SyncOnly()),
]


@pytest.mark.parametrize(("name", "seen", "intent"), WAIT_FOR_IDLE, ids=[name for name, _, _ in WAIT_FOR_IDLE])
def test_where_nothing_needs_the_answer_nothing_is_asked(name: str, seen: Observation, intent: Intent) -> None:
    """The daily run of a credential of which nothing is due needs no call more than before."""
    made = planned(seen, intent, None)
    assert not any(isinstance(action, act.AskOwner) for action in made.actions), name


def test_what_is_said_of_keys_that_are_not_ours_waits_for_the_answer() -> None:
    """Two keys that are not in this secret: they may be another one's, and are no business of a person here."""
    seen = observed(a_key(OLD, age_days=95), a_key(NEW, age_days=5))
    assert any(isinstance(action, act.AskOwner) for action in planned(seen, Routine(), None).actions)
    (hold,) = planned(seen, Routine(), OTHERS).holds
    assert "--release" not in hold.remedy


@pytest.mark.parametrize("tag", [None, OTHERS, UNKNOWN])
def test_an_emergency_waits_for_nothing(tag: UserTag | None) -> None:
    """`revoke --now` of a key that this secret knows: it goes off first, and only its successor waits."""
    made = planned(OURS, Revoke(key=OLD, off_first=True, with_sessions=True), tag)
    kinds = [type(action) for action in made.actions]
    assert kinds[:3] == [act.Deactivate, act.MarkRevoked, act.DenySessions]
    assert act.AskOwner in kinds if tag is None else act.AskOwner not in kinds
    if tag is OTHERS:
        assert not made.makes_key


def test_what_this_run_made_itself_it_drops_without_asking() -> None:
    seen = replace(OURS, keys=(a_key(OLD), a_key(NEW, age_days=0)), made_here=frozenset({NEW}))
    (drop,) = [action for action in planned(seen, Routine(), None).actions if isinstance(action, act.DeleteOrphan)]
    assert drop.key == NEW
    assert not drop.follows


def test_a_person_takes_the_keys_over() -> None:
    wish = Adoption(takes_over=True)
    asked = planned(FIRST, wish, None)
    assert [type(action) for action in asked.actions] == [act.AskOwner, act.TakeOver]
    for tag in (OTHERS, NONE):
        (action,) = planned(FIRST, wish, tag).actions
        assert isinstance(action, act.TakeOver)
        assert action.secret == MARK
    assert planned(FIRST, wish, UserTag(secret=MARK)).actions == ()
    assert planned(FIRST, wish, UNKNOWN).actions == (), "whose they were is to be known"


def test_what_is_broken_is_reported_whoever_keeps_the_keys() -> None:
    seen = replace(OURS, keys=(a_key(OLD, age_days=95, status=OFF),))
    made = planned(seen, Routine(), OTHERS)
    assert any(hold.needs is Needs.REPAIR for hold in made.holds)
    assert made.actions == ()


def test_a_rotation_that_was_begun_is_not_finished_under_another_secret_s_keys() -> None:
    seen = observed(a_key(OLD, age_days=95), a_key(NEW, age_days=0), secret=a_secret(current(), pending()))
    assert changes(planned(seen, Routine(), UserTag(secret=MARK)))
    assert planned(seen, Routine(), OTHERS).actions == ()


def test_every_first_write_marks_the_user() -> None:
    marking = {kind for kind in get_args(act.Action) if kind.marks_user}
    assert marking == {act.CreateSecret, act.Adopt, act.Choose, act.Release, act.TakeClaim}


LONG = "n" * 512


@pytest.mark.parametrize(
    ("region", "name", "mark"),
    [
        ("eu-central-1", "keyrota/ci", "eu-central-1:keyrota/ci"),
        ("us-east-1", "keyrota/ci", "us-east-1:keyrota/ci"),
        ("r", "n" * 254, "r:" + "n" * 254),
    ],
)
def test_the_tag_names_region_and_secret(region: str, name: str, mark: str) -> None:
    assert secret_mark(region, name) == mark


def test_a_long_name_fits_and_stays_its_own() -> None:
    """A tag's value has 256 characters, a secret's name up to 512."""
    marks: set[Any] = {secret_mark("eu-central-1", LONG[:-1] + end) for end in "abc"}
    assert len(marks) == 3
    assert {len(mark) for mark in marks} == {256}
