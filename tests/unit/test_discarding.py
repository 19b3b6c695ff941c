"""Keys that nothing needs, lost or released: when each step is due, and what holds it. Overlap and grace differ."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from builders import (
    NEVER,
    NEW,
    NOW,
    OLD,
    UNKNOWN,
    a_claim,
    a_key,
    a_secret,
    ago,
    current,
    holds,
    observed,
    off_since,
    synced,
    used,
)
from keyrota.core.discarding import is_leaving_now, leaves
from keyrota.core.lifecycle import interpret
from keyrota.core.model import DeactivationNote, KeyStatus, LastUse, Observation
from keyrota.core.planner import plan
from keyrota.core.policy import CLASSIC, DAY
from keyrota.core.situation import Situation

GRACE = timedelta(days=17)
POLICY = replace(CLASSIC, delete_after=CLASSIC.deactivate_after + GRACE, unused_for=timedelta(days=3))
OFF, ON = KeyStatus.INACTIVE, KeyStatus.ACTIVE
MINUTE = 1 / 1440
SEEN_ACTIVE = DeactivationNote.SEEN_ACTIVE


def seen(
    *tags: tuple[str, str], word: str = "@released", age: float = 30, status: KeyStatus = ON, use: LastUse = NEVER
) -> Observation:
    """A key beside the one in use, with the note that nothing needs it."""
    note = ("keyrota:orphan", f"{NEW}@{ago(age - 1).isoformat()}{word}")
    return observed(
        a_key(OLD, age_days=20),
        a_key(NEW, age_days=age, status=status, use=use),
        secret=a_secret(current(), tags=[synced(since=10), note, *tags]),
        targets=(holds(OLD),),
    )


def said(observation: Observation) -> list[object]:
    """What the plan says of this key: actions, what comes and when, and what is held."""
    planned = plan(observation, POLICY, NOW)
    actions = [type(action).__name__ for action in planned.actions if action.key == NEW]
    later = [(one.shown, one.due) for one in planned.upcoming if one.key == NEW]
    return [*actions, *later, *("held" for hold in planned.holds if hold.key == NEW)]


def on(days: float) -> datetime:
    return NOW + timedelta(days=days)


@pytest.mark.parametrize(
    ("case", "observation", "expected"),
    [
        ("released, never used", seen(), ["Deactivate"]),
        ("released, used long ago", seen(use=used(4)), ["Deactivate"]),
        ("released, unused for exactly as long as asked", seen(use=used(3)), ["Deactivate"]),
        ("released, used lately", seen(use=used(1)), [("deactivate", on(2))]),
        ("released, too young for its use to be shown", seen(age=0.5, word="@released"), [("deactivate", on(0.5))]),
        ("released, its use unknown", seen(use=UNKNOWN), ["held"]),
        ("lost", seen(word=""), ["Deactivate"]),
        ("lost, a day old", seen(word="", age=1), ["Deactivate"]),
        ("lost, too young", seen(word="", age=0.5), [("deactivate", on(0.5))]),
        ("lost, its use unknown", seen(word="", use=UNKNOWN), ["held"]),
        ("switched on again", seen(off_since(1, NEW)), ["NoteActive"]),
        ("listed as Active right after", seen(off_since(5 * MINUTE, NEW)), [("deactivate", on(10 * MINUTE))]),
        ("listed as Active a while after", seen(off_since(15 * MINUTE, NEW)), ["NoteActive"]),
        ("Inactive, nobody noted since when", seen(status=OFF), ["Deactivate"]),
        ("Inactive for less than the grace", seen(off_since(11, NEW), status=OFF), [("delete-orphan", on(6))]),
        ("Inactive for the whole grace", seen(off_since(17, NEW), status=OFF), ["DeleteOrphan"]),
        ("tried after it was off", seen(off_since(18, NEW), status=OFF, use=used(2)), ["held"]),
        ("used as it went off", seen(off_since(18, NEW), status=OFF, use=used(18)), ["DeleteOrphan"]),
        ("used before it went off", seen(off_since(18, NEW), status=OFF, use=used(19)), ["DeleteOrphan"]),
        ("Inactive, its use unknown", seen(off_since(18, NEW), status=OFF, use=UNKNOWN), ["held"]),
        (
            "off again, just after it was wanted",
            seen(off_since(5 * MINUTE, NEW, SEEN_ACTIVE), status=OFF),
            [("delete-orphan", on(17))],
        ),
        ("off again, long after it was wanted", seen(off_since(1, NEW, SEEN_ACTIVE), status=OFF), ["Deactivate"]),
    ],
)
def test_the_steps_of_a_key_that_nothing_needs(case: str, observation: Observation, expected: list[object]) -> None:
    assert [case, *said(observation)] == [case, *expected]


@pytest.mark.parametrize(
    ("observation", "gone", "is_leaving"),
    [
        (seen(), on(17), False),
        (seen(use=used(1)), on(2 + 17), False),
        (seen(off_since(11, NEW), status=OFF), on(6), False),
        (seen(off_since(18, NEW), status=OFF), on(-1), True),
        (seen(status=OFF), on(17), False),
    ],
)
def test_when_the_slot_is_free(observation: Observation, gone: datetime, is_leaving: bool) -> None:
    case = Situation(view=interpret(observation), policy=POLICY, now=NOW)
    key = interpret(observation).key(NEW)
    assert key is not None
    assert (leaves(case, key), is_leaving_now(case, key)) == (gone, is_leaving)


def test_a_key_that_a_place_shows_is_not_leaving() -> None:
    observation = replace(seen(off_since(18, NEW), status=OFF), targets=(holds(OLD), holds(NEW, "another place")))
    case = Situation(view=interpret(observation), policy=POLICY, now=NOW)
    key = interpret(observation).key(NEW)
    assert key is not None
    assert not is_leaving_now(case, key)
    assert "DeleteOrphan" not in said(observation)


@pytest.mark.parametrize(
    ("claimed_days", "note", "expected"),
    [
        (0, "", ["held"]),
        (1, "", ["NoteOrphan"]),
        (1, f"{NEW}@{NOW.isoformat()}", [("deactivate", on(0.001))]),
        (1, f"{OLD}@{NOW.isoformat()}", []),
    ],
)
def test_a_key_that_only_a_claim_explains(claimed_days: float, note: str, expected: list[object]) -> None:
    """It may be being made; then it is noted, one at a time, and the note is what goes on."""
    observation = observed(
        a_key(OLD, age_days=20),
        a_key(NEW, age_days=max(0.0, claimed_days - 0.001)),
        secret=a_secret(current(), tags=[synced(since=10), *([("keyrota:orphan", note)] if note else [])]),
        targets=(holds(OLD),),
        claim=a_claim(days_ago=claimed_days),
    )
    assert said(observation) == expected


def test_the_policy_of_this_table_is_not_symmetric() -> None:
    assert POLICY.grace == GRACE != POLICY.overlap
    assert timedelta() == GRACE % DAY
