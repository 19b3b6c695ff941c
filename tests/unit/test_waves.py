"""Waves: how many new keys a day brings, whose come first, and when it is the turn of the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import NEVER, NEW, NOW, a_key, a_secret, ago, current, holds, observed, pending, synced, used
from keyrota.core.lifecycle import interpret
from keyrota.core.model import CredentialId, KeyStatus, LastUse, Observation, Turn, UserName
from keyrota.core.plan import Duty, HoldKind, Needs
from keyrota.core.planner import Intent, Only, Rotate, Routine, SyncOnly, plan
from keyrota.core.policy import CLASSIC, DAY, STRICT, Freeze, Rollout, RotationPolicy
from keyrota.core.schedule import find_new_key_deadline, rotation_due
from keyrota.core.waves import (
    Canary,
    Candidate,
    Share,
    Wave,
    count_later_runs,
    count_needed,
    find_head_start,
    judge_canary,
)
from keyrota.executor import CredentialContext, Preview, Run, Settings
from keyrota.executor.waves import Waves, is_in_waves, plan_in_turns
from keyrota_sandbox.memory.clock import WorldClock

ACCOUNT = "123456789012"
TEN = Wave(rollout=Rollout())


def named(number: int | str) -> CredentialId:
    return CredentialId(account=ACCOUNT, user=UserName(f"ci-{number:0>5}"))


def candidate(
    number: int | str, age_days: float, *, policy: RotationPolicy = CLASSIC, is_canary: bool = False
) -> Candidate:
    """A credential whose key is of an age."""
    key = a_key(age_days=age_days)
    by = find_new_key_deadline(key, policy)
    return Candidate(
        credential=named(number),
        created=key.created,
        by=by,
        runs=count_later_runs(by, policy, NOW),
        is_due=rotation_due(key, policy) <= NOW,
        policy=policy,
        is_canary=is_canary,
    )


def at(one: Candidate, now: datetime) -> Candidate:
    """The same credential on another day."""
    if one.by is None or one.created is None:
        raise ValueError("a first key is due at once")
    due = one.created + one.policy.rotates_after <= now
    return replace(one, runs=count_later_runs(one.by, one.policy, now), is_due=due)


def made(everyone: Sequence[Candidate], turns: dict[CredentialId, Turn]) -> list[Candidate]:
    """Those whose key is made."""
    return [one for one in everyone if one.is_due and not (one.credential in turns and turns[one.credential].waits)]


def by_day(
    everyone: Sequence[Candidate], wave: Wave = TEN, *, days: int = 60, parts: int = 1
) -> tuple[list[int], list[Candidate]]:
    """Let a run a day, or one for each part, make what it may; returns how many each day, and who missed a deadline."""
    left, counts, missed = list(everyone), [], []
    place = {one.credential: number for number, one in enumerate(everyone)}
    for day in range(days):
        now, count = NOW + day * DAY, 0
        for part in range(parts):
            mine = [at(one, now) for one in left if place[one.credential] % parts == part]
            positions = tuple(range(part, len(everyone), parts))
            share = Share(positions=positions, total=len(everyone)) if parts > 1 else None
            chosen = made(mine, replace(wave, share=share).assign_turns(mine, {}, now))
            missed += [one for one in chosen if one.by and one.by < now]
            gone = {one.credential for one in chosen}
            left = [one for one in left if one.credential not in gone]
            count += len(chosen)
        counts.append(count)
    return counts, [*missed, *(one for one in left if one.by and one.by < NOW + days * DAY)]


# --- how many ---------------------------------------------------------------------------------------------------------


def test_two_hundred_keys_of_two_years_are_replaced_ten_a_day() -> None:
    counts, _ = by_day([candidate(number, 730) for number in range(200)])
    assert counts[:20] == [10] * 20
    assert sum(counts) == 200


def test_the_oldest_come_first_and_each_of_the_others_is_told_its_day() -> None:
    fleet = [candidate(number, 300 + number) for number in range(25)]
    turns = TEN.assign_turns(fleet, {}, NOW)
    assert [one.credential for one in made(fleet, turns)] == [named(number) for number in range(15, 25)]
    dates = [turns[named(number)].until for number in (14, 5, 4, 0)]
    midnight = datetime(2026, 6, 1, tzinfo=UTC)
    assert dates == [midnight + DAY, midnight + DAY, midnight + 2 * DAY, midnight + 2 * DAY]
    assert turns[named(14)].reason.endswith("a day brings 10 new keys, and it is the next one")
    assert turns[named(4)].reason.endswith("10 others wait before it")
    assert "2026-06-03" in turns[named(4)].remedy


def test_what_was_made_today_counts_so_that_more_runs_a_day_make_no_more_keys() -> None:
    fleet = [candidate(number, 300) for number in range(25)]
    for before, left in ((0, 10), (4, 6), (10, 0), (40, 0)):
        assert len(made(fleet, replace(TEN, made_today=before).assign_turns(fleet, {}, NOW))) == left


@pytest.mark.parametrize(("count", "most"), [(100, 10), (200, 20), (400, 40)])
def test_a_fleet_of_one_age_is_in_time_and_says_where_that_takes_more(count: int, most: int) -> None:
    """Due at 90 days, and the deadline is at 100: ten runs. What is more than usual is spread over all of them."""
    fleet = [candidate(number, 90) for number in range(count)]
    counts, missed = by_day(fleet)
    assert missed == []
    assert max(counts) == most
    told = [turn for turn in TEN.assign_turns(fleet, {}, NOW).values() if not turn.waits]
    assert len(told) == most - 10
    assert all("more than 10 new keys (`rollout.per_run`) are made today" in turn.reason for turn in told)


def test_the_auditors_deadline_of_the_strict_ages_is_kept_with_a_spread() -> None:
    fleet = [
        candidate(number, 61, policy=replace(STRICT, early=find_head_start(named(number), 14 * DAY, is_canary=False)))
        for number in range(200)
    ]
    counts, missed = by_day(fleet)
    assert missed == []
    assert max(counts) < 25


def test_keys_whose_deadline_is_over_are_not_hurried_and_hold_up_nobody_whose_is_not() -> None:
    """A wrong age in the configuration makes everything due at once: still ten a day."""
    hasty = RotationPolicy(rotate_after=9 * DAY, deactivate_after=10 * DAY, delete_after=11 * DAY)
    fleet = [candidate(number, 30 + number / 100, policy=hasty) for number in range(500)]
    assert len(made(fleet, TEN.assign_turns(fleet, {}, NOW))) == 10
    both = [*(candidate(number, 730) for number in range(300)), *(candidate(1000 + number, 99) for number in range(15))]
    _, missed = by_day(both, days=40)
    assert {one.credential for one in missed} == {one.credential for one in both[:300]}


def test_a_large_fleet_makes_as_many_as_it_takes_to_come_round() -> None:
    assert count_needed([CLASSIC] * 30_000) == 334
    assert count_needed([CLASSIC] * 90 + [STRICT] * 75) == 2
    fleet = [candidate(number, 730) for number in range(600)]
    wave = replace(TEN, needed=334)
    assert len(made(fleet, wave.assign_turns(fleet, {}, NOW))) == 334


def test_a_person_s_own_number_is_exceeded_by_nothing() -> None:
    fleet = [candidate(number, 99.9) for number in range(40)]
    assert len(made(fleet, TEN.assign_turns(fleet, {}, NOW))) == 40  # else all of them would be late tomorrow
    for limit in (0, 3, 25, 100):
        turns = replace(TEN, limit=limit, made_today=7).assign_turns(fleet, {}, NOW)
        assert len(made(fleet, turns)) == min(limit, 40)
        assert all(turn.waits for turn in turns.values())
        assert limit >= 40 or f"at most {limit} new key" in next(iter(turns.values())).reason


def test_a_user_s_first_key_comes_before_old_ones() -> None:
    first = Candidate(credential=named("new"), created=None, by=None, runs=None, is_due=True, policy=CLASSIC)
    fleet = [*(candidate(number, 730) for number in range(30)), first]
    assert first in made(fleet, TEN.assign_turns(fleet, {}, NOW))


def test_days_of_a_freeze_that_covers_new_keys_bring_none() -> None:
    week = Freeze(zone=UTC, first=NOW.date() + DAY, last=NOW.date() + 7 * DAY, holds_new_keys=True)
    frozen = replace(CLASSIC, freezes=(week,))
    assert count_later_runs(NOW + 10 * DAY, CLASSIC, NOW) == 9
    assert count_later_runs(NOW + 10 * DAY, frozen, NOW) == 2
    turns = TEN.assign_turns([candidate(number, 730, policy=frozen) for number in range(11)], {}, NOW)
    assert [turn.until for turn in turns.values()] == [datetime(2026, 6, 9, tzinfo=UTC)]


# --- parts of a fleet -------------------------------------------------------------------------------------------------


@given(st.integers(1, 400), st.integers(0, 60), st.integers(1, 30), st.integers(0, 800_000))
def test_the_shares_of_all_parts_add_up(total: int, number: int, parts: int, day: int) -> None:
    shares = [Share(positions=tuple(range(part, total, parts)), total=total) for part in range(parts)]
    assert sum(share.count(number, day) for share in shares) == number


def test_each_place_of_a_fleet_has_its_day() -> None:
    for place in range(0, 200, 17):
        share = Share(positions=(place,), total=200)
        assert sum(share.count(10, day) for day in range(739_000, 739_100)) in {4, 5, 6}


@pytest.mark.parametrize("parts", [2, 7, 40])
def test_parts_of_a_fleet_make_together_what_the_whole_would(parts: int) -> None:
    counts, _ = by_day([candidate(number, 730) for number in range(200)], days=100, parts=parts)
    assert max(counts) <= 10
    assert sum(counts) == 200
    assert sum(counts[:40]) == 200
    counts, missed = by_day([candidate(number, 90) for number in range(200)], parts=parts)
    assert missed == []
    assert max(counts) <= 45


# --- canaries ---------------------------------------------------------------------------------------------------------


WAITS, PROVEN = Canary(holds=True), Canary(holds=False, proven=NOW - DAY)


def test_a_canary_comes_first_and_the_others_wait_for_it() -> None:
    fleet = [*(candidate(number, 730) for number in range(30)), candidate("canary", 91, is_canary=True)]
    turns = TEN.assign_turns(fleet, {named("canary"): WAITS}, NOW)
    assert [one.credential for one in made(fleet, turns)] == [named("canary")]
    assert f"the new key of a canary ({named('canary')})" in turns[named(1)].reason
    assert turns[named(1)].until is None


def test_the_others_go_once_a_canary_s_newer_key_was_used() -> None:
    fleet = [candidate(number, 92) for number in range(3)]
    assert len(made(fleet, TEN.assign_turns(fleet, {named("one"): WAITS, named("two"): PROVEN}, NOW))) == 3
    older = replace(PROVEN, proven=NOW - 96 * DAY)
    assert made(fleet, TEN.assign_turns(fleet, {named("one"): WAITS, named("two"): older}, NOW)) == []
    nothing_to_prove = Canary(holds=False, until=NOW - DAY)
    assert len(made(fleet, TEN.assign_turns(fleet, {named("one"): nothing_to_prove}, NOW))) == 3


def test_no_deadline_is_missed_for_a_canary() -> None:
    for age, is_made in ((90, False), (94, False), (95.5, True), (99, True), (101, False)):
        fleet = [candidate(1, age)]
        assert bool(made(fleet, TEN.assign_turns(fleet, {named("canary"): WAITS}, NOW))) is is_made, age


def test_how_long_the_others_wait_is_said() -> None:
    fleet = [candidate(1, 91)]
    until = NOW + 2 * DAY
    (turn,) = TEN.assign_turns(fleet, {named("canary"): Canary(holds=True, until=until)}, NOW).values()
    assert (turn.waits, turn.until) == (True, until)


def served(age_days: float, use: LastUse = NEVER) -> Observation:
    """A canary whose key is of an age, and on its targets since then."""
    secret = a_secret(current(NEW), tags=(synced(since=age_days),))
    return observed(a_key(NEW, age_days=age_days, use=use), secret=secret, targets=(holds(NEW),))


BEGUN = observed(a_key(age_days=91), a_key(NEW, age_days=0), secret=a_secret(current(), pending()))
OFF = observed(a_key(NEW, age_days=9, status=KeyStatus.INACTIVE), secret=a_secret(current(NEW)), targets=(holds(NEW),))
CANARIES = [
    ("its own key is due", observed(a_key(age_days=91), secret=a_secret(current())), WAITS),
    ("its rotation was begun", BEGUN, WAITS),
    ("its key does not work", OFF, WAITS),
    ("its new key was used", served(2, used(1)), Canary(holds=False, proven=ago(2))),
    ("its new key was used before it was served", served(2, used(3)), Canary(holds=True, until=ago(-1))),
    ("only keyrota has used its new key", served(2, used(2 - 1 / 1440, "sts")), Canary(holds=True, until=ago(-1))),
    ("nothing has used its new key for three days", served(3.01), Canary(holds=False, until=ago(0.01))),
    ("its key is old, and not due", served(60), Canary(holds=False, until=ago(57))),
    ("its key was made by a person, and is not due", observed(a_key(age_days=1)), Canary(holds=False, until=NOW)),
]


@pytest.mark.parametrize(("case", "seen", "wanted"), CANARIES, ids=[row[0] for row in CANARIES])
def test_a_canary(case: str, seen: Observation, wanted: Canary) -> None:
    assert judge_canary(interpret(seen), plan(seen, CLASSIC, NOW), Rollout(), NOW) == wanted, case


def test_a_canary_that_cannot_be_read_has_proven_nothing() -> None:
    assert judge_canary(None, None, Rollout(), NOW) == WAITS


# --- birthdays --------------------------------------------------------------------------------------------------------


def test_birthdays_are_spread_and_stay_as_they_are() -> None:
    early = [find_head_start(named(number), 14 * DAY, is_canary=False) for number in range(2000)]
    assert all(timedelta() <= one < 14 * DAY for one in early)
    days = Counter(one // DAY for one in early)
    assert len(days) == 14
    assert max(days.values()) < 2 * min(days.values())
    known = CredentialId(account="123456789012", user=UserName("ci-deploy"))
    assert find_head_start(known, 14 * DAY, is_canary=False) == timedelta(days=10, hours=1, minutes=36)
    assert find_head_start(known, timedelta(), is_canary=False) == timedelta()
    assert find_head_start(known, 14 * DAY, is_canary=True) == 14 * DAY


def test_a_key_is_replaced_early_by_its_part_of_the_spread() -> None:
    policy = replace(CLASSIC, early=5 * DAY)
    seen = observed(a_key(age_days=86), secret=a_secret(current()))
    assert plan(seen, policy, NOW).makes_key
    assert not plan(seen, CLASSIC, NOW).makes_key
    (later,) = plan(observed(a_key(age_days=10), secret=a_secret(current())), policy, NOW).upcoming
    assert later.due == ago(10) + 85 * DAY


# --- a run ------------------------------------------------------------------------------------------------------------


def a_preview(number: int | str, age_days: float, intent: Intent | None = None, **seen: Any) -> Preview:
    """What a run has planned for one credential."""
    ports: dict[str, Any] = {"access_keys": None, "store": None, "identity": None}
    user = named(number).user
    subject = CredentialContext(user=user, account=ACCOUNT, secret_name="s", policy=CLASSIC, targets=(), **ports)
    observation = replace(observed(a_key(age_days=age_days), secret=a_secret(current())), user=user, **seen)
    observation = replace(observation, secret=replace(a_secret(current()), tags=(("keyrota:user", user),)))
    run = Run(subject, Settings(clock=WorldClock(NOW), run="r"), intent)
    return Preview(subject=subject, run=run, plan=plan(observation, CLASSIC, NOW, intent), observation=observation)


@pytest.mark.parametrize("intent", [None, Only(duty=Duty.ROTATE)], ids=["everything", "rotate alone"])
def test_what_waits_is_held_with_its_turn_and_needs_nobody(intent: Intent | None) -> None:
    previews = [a_preview(number, 300 + number, intent) for number in range(12)]
    first, second, *others = plan_in_turns(previews, Waves(rollout=Rollout()), NOW)
    for waiting in (first, second):
        assert waiting.plan is not None
        assert not waiting.plan.makes_key
        (hold,) = (hold for hold in waiting.plan.holds if hold.kind is HoldKind.TURN)
        assert (hold.needs, hold.until) == (Needs.NOBODY, datetime(2026, 6, 2, tzinfo=UTC))
    assert all(preview.plan is not None and preview.plan.makes_key for preview in others)


def test_a_run_that_makes_no_key_has_no_waves() -> None:
    assert is_in_waves(None)
    assert is_in_waves(Routine())
    assert is_in_waves(Only(duty=Duty.ROTATE))
    assert not any(is_in_waves(intent) for intent in (Only(duty=Duty.SYNC), SyncOnly(), Rotate(key=NEW)))
    idle = [a_preview(number, 10) for number in range(3)]
    waves = Waves(rollout=Rollout(), canaries=frozenset({named("x")}), beyond=unasked)
    assert plan_in_turns(idle, waves, NOW) == tuple(idle)


def unasked() -> tuple[Preview, ...]:
    raise AssertionError("nothing waits for a canary, so none is looked at")


def test_a_part_of_a_fleet_looks_at_a_canary_that_it_does_not_see() -> None:
    mine = [a_preview(1, 300)]
    canary = frozenset({named("canary")})
    for age, is_made in ((91, False), (60, True)):
        beyond = a_preview("canary", age)
        waves = Waves(rollout=Rollout(), canaries=canary, beyond=partial(tuple, [beyond]))
        (preview,) = plan_in_turns(mine, waves, NOW)
        assert preview.plan is not None
        assert preview.plan.makes_key is is_made
    unreadable = Waves(rollout=Rollout(), canaries=canary)
    (preview,) = plan_in_turns(mine, unreadable, NOW)
    assert preview.plan is not None
    assert not preview.plan.makes_key


def test_keys_that_were_made_today_are_counted_as_they_are_seen() -> None:
    today = [a_preview(f"new-{number}", 0.1) for number in range(8)]
    due = [a_preview(number, 300) for number in range(5)]
    found = plan_in_turns([*today, *due], Waves(rollout=Rollout()), NOW)
    assert sum(preview.plan is not None and preview.plan.makes_key for preview in found) == 2
