"""Ages, durations, freeze windows, the calendar and the spread."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import NOW, ago
from keyrota.core.policy import (
    AUDIT_LIMIT,
    CLASSIC,
    DAY,
    HOUR,
    PRESETS,
    STRICT,
    Freeze,
    Rollout,
    RotationPolicy,
    calendar,
    duration,
    format_duration,
)

BERLIN = ZoneInfo("Europe/Berlin")
WEEKEND = frozenset({5, 6})


def ages(rotate: float, deactivate: float, delete: float, **more: object) -> RotationPolicy:
    """A policy of so many days."""
    return RotationPolicy(
        rotate_after=rotate * DAY,
        deactivate_after=deactivate * DAY,
        delete_after=delete * DAY,
        **more,  # type: ignore[arg-type]  # fields by name
    )


def test_the_presets_are_what_the_page_says() -> None:
    assert {"classic": ages(90, 100, 110), "strict": ages(75, 87, 97)} == PRESETS
    assert [policy.faults() for policy in PRESETS.values()] == [(), ()]
    assert [policy.unused_for for policy in PRESETS.values()] == [DAY, DAY]
    assert (CLASSIC.overlap, CLASSIC.grace) == (10 * DAY, 10 * DAY)
    assert (STRICT.overlap, STRICT.grace) == (12 * DAY, 10 * DAY)


def test_strict_keeps_the_auditors_content_and_classic_does_not() -> None:
    assert STRICT.is_audit_clean()
    assert not CLASSIC.is_audit_clean()
    assert ages(70, 88, 98).is_audit_clean()
    assert not ages(70, 89, 98).is_audit_clean()
    assert ages(70, 88, 98).is_audit_clean()
    assert not ages(70, 88.1, 98).is_audit_clean()


FAULTS = [
    ("ages that fall", ages(100, 90, 110), ("the ages must rise",)),
    ("equal ages", ages(90, 90, 110), ("the ages must rise",)),
    ("equal at the end", ages(90, 100, 100), ("the ages must rise",)),
    ("no free slot", ages(30, 45, 60), ("IAM has two slots",)),
    ("just a free slot", ages(30, 45, 59.9), ()),
    ("an hour everywhere", ages(1, 1 + 1 / 24, 1 + 2 / 24, unused_for=HOUR), ()),
    ("a short overlap", ages(1, 1.01, 1.5), ("the overlap (deactivate_after - rotate_after) is 14m24s",)),
    ("a short grace", ages(1, 1.5, 1.51), ("the grace (delete_after - deactivate_after) is 14m24s",)),
    ("a short life", ages(0.04, 0.05, 0.06), ("rotate_after is 57m36s", "the overlap", "the grace")),
    ("a short life that is meant", ages(0.04, 0.05, 0.06, allow_short=True), ()),
    ("a short unused_for", ages(90, 100, 110, unused_for=HOUR / 2), ("unused_for is 30m",)),
    ("a unused_for that never ends", ages(90, 100, 110, unused_for=11 * DAY), ("longer than the overlap",)),
    ("a life of eleven years", ages(3000, 3400, 3700), ("more than 3660 days",)),
    (
        "a freeze of dates",
        ages(90, 100, 110, freezes=(Freeze(zone=UTC, first=date(2026, 1, 1), last=date(2026, 1, 1)),)),
        (),
    ),
    ("a freeze of weekdays", ages(90, 100, 110, freezes=(Freeze(zone=UTC, weekdays=WEEKEND),)), ()),
    ("a freeze that says nothing", ages(90, 100, 110, freezes=(Freeze(zone=UTC),)), ("needs `weekdays`",)),
    (
        "a freeze on every day",
        ages(90, 100, 110, freezes=(Freeze(zone=UTC, weekdays=frozenset(range(7))),)),
        ("on all seven weekdays", "together cover all seven"),
    ),
    (
        "two freezes that make a whole week",
        ages(90, 100, 110, freezes=tuple(Freeze(zone=UTC, weekdays=days) for days in (WEEKEND, frozenset(range(5))))),
        ("together cover all seven",),
    ),
    (
        "a freeze that ends before it begins",
        ages(90, 100, 110, freezes=(Freeze(zone=UTC, first=date(2026, 2, 1), last=date(2026, 1, 1)),)),
        ("before it begins",),
    ),
    (
        "a freeze of both kinds",
        ages(
            90, 100, 110, freezes=(Freeze(zone=UTC, weekdays=WEEKEND, first=date(2026, 1, 1), last=date(2026, 1, 1)),)
        ),
        ("write two windows",),
    ),
    (
        "a freeze of two years",
        ages(90, 100, 110, freezes=(Freeze(zone=UTC, first=date(2026, 1, 1), last=date(2027, 12, 31)),)),
        ("no window but a stop",),
    ),
    (
        "a freeze of a year and a day",
        ages(90, 100, 110, freezes=(Freeze(zone=UTC, first=date(2026, 1, 1), last=date(2027, 1, 2)),)),
        (),
    ),
    (
        "a freeze without its end",
        ages(90, 100, 110, freezes=(Freeze(zone=UTC, first=date(2026, 1, 1)),)),
        ("needs `weekdays`, or `from` and `to`",),
    ),
    (
        "a freeze of weekdays with half of its dates",
        ages(90, 100, 110, freezes=(Freeze(zone=UTC, weekdays=WEEKEND, last=date(2026, 1, 1)),)),
        (),
    ),
    ("a life of ten years and a bit", ages(3000, 3400, 3660), ()),
    ("a unused_for as long as the overlap", ages(90, 100, 110, unused_for=10 * DAY), ()),
    ("a unused_for of a day, longer than the overlap", ages(90, 90.5, 110), ()),
    ("no free slot, by a second", ages(30, 45, 60 - 1 / 86400), ()),
]


@pytest.mark.parametrize(("case", "policy", "words"), FAULTS, ids=[row[0] for row in FAULTS])
def test_a_policy_is_refused_with_its_reason(case: str, policy: RotationPolicy, words: tuple[str, ...]) -> None:
    faults = policy.faults()
    assert len(faults) == len(words), (case, faults)
    for fault, word in zip(faults, words, strict=True):
        assert word in fault


def frozen(*windows: Freeze) -> RotationPolicy:
    return replace(CLASSIC, freezes=windows)


WEEKENDS = Freeze(zone=BERLIN, weekdays=WEEKEND)
CHRISTMAS = Freeze(zone=BERLIN, first=date(2026, 12, 20), last=date(2027, 1, 6))


def berlin(*when: int) -> datetime:
    return datetime(*when, tzinfo=BERLIN).astimezone(UTC)  # type: ignore[arg-type,misc]  # numbers of a date


def utc(*when: int) -> datetime:
    return datetime(*when, tzinfo=UTC)  # type: ignore[arg-type,misc]  # numbers of a date


WINDOWS = [
    ("a Friday evening is free", (WEEKENDS,), berlin(2026, 6, 5, 23, 59), None),
    ("a Saturday is frozen until Monday", (WEEKENDS,), berlin(2026, 6, 6, 0, 0), berlin(2026, 6, 8)),
    ("Sunday's last minute too", (WEEKENDS,), berlin(2026, 6, 7, 23, 59), berlin(2026, 6, 8)),
    ("Monday's first instant is free", (WEEKENDS,), berlin(2026, 6, 8, 0, 0), None),
    ("the weekend whose Sunday has 23 hours", (WEEKENDS,), berlin(2026, 3, 28, 12), utc(2026, 3, 29, 22)),
    ("the weekend whose Sunday has 25 hours", (WEEKENDS,), berlin(2026, 10, 24, 12), utc(2026, 10, 25, 23)),
    ("the day before dates", (CHRISTMAS,), berlin(2026, 12, 19, 23, 59), None),
    ("the first of the dates", (CHRISTMAS,), berlin(2026, 12, 20), berlin(2027, 1, 7)),
    ("the last of the dates", (CHRISTMAS,), berlin(2027, 1, 6, 23), berlin(2027, 1, 7)),
    ("windows that touch are one", (WEEKENDS, CHRISTMAS), berlin(2026, 12, 19, 12), berlin(2027, 1, 7)),
    ("a UTC instant that is Saturday only over there", (WEEKENDS,), utc(2026, 6, 5, 22, 30), berlin(2026, 6, 8)),
    ("no window", (), NOW, None),
    ("a window without its end covers nothing", (Freeze(zone=UTC, first=date(2026, 1, 1)),), NOW, None),
    ("nor one without its beginning", (Freeze(zone=UTC, last=date(2027, 1, 1)),), NOW, None),
    (
        "weekdays beside half of the dates",
        (Freeze(zone=BERLIN, weekdays=WEEKEND, first=date(2026, 1, 1)),),
        berlin(2026, 6, 6),
        berlin(2026, 6, 8),
    ),
    (
        "a window of dates in the midst of which it is",
        (Freeze(zone=UTC, first=date(2026, 1, 1), last=date(2026, 12, 31)),),
        NOW,
        utc(2027, 1, 1),
    ),
    (
        "a zone whose midnight does not exist that night",
        (Freeze(zone=ZoneInfo("America/Santiago"), weekdays=frozenset({5})),),
        utc(2026, 9, 5, 18),
        utc(2026, 9, 6, 4),
    ),
]


@pytest.mark.parametrize(("case", "windows", "instant", "until"), WINDOWS, ids=[row[0] for row in WINDOWS])
def test_a_freeze(case: str, windows: tuple[Freeze, ...], instant: datetime, until: datetime | None) -> None:
    assert frozen(*windows).find_freeze_end(instant) == until, case


def test_freezes_that_touch_for_years_are_told_for_one() -> None:
    years = [Freeze(zone=UTC, first=date(year, 1, 1), last=date(year, 12, 31)) for year in range(2026, 2036)]
    until = frozen(*years).find_freeze_end(utc(2026, 1, 1))
    assert until == utc(2028, 1, 1)
    assert frozen(*years).find_freeze_end(utc(2028, 1, 1)) == utc(2030, 1, 1), "exactly 366 days are not yet too many"


@given(st.datetimes(datetime(2025, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001  # naive by contract
def test_when_a_freeze_ends_nothing_is_frozen(instant: datetime) -> None:
    policy = frozen(WEEKENDS, CHRISTMAS, Freeze(zone=ZoneInfo("America/Havana"), weekdays=frozenset({6})))
    until = policy.find_freeze_end(instant)
    assert (until is not None) == any(window.covers(instant) for window in policy.freezes)
    assert until is None or (until > instant and policy.find_freeze_end(until) is None)


@given(st.integers(0, 10**10))
def test_a_duration_reads_back(seconds: int) -> None:
    span = timedelta(seconds=seconds)
    assert duration(format_duration(span)) == span


@given(*[st.integers(0, 999)] * 4)
def test_iso_8601_says_the_same(days: int, hours: int, minutes: int, seconds: int) -> None:
    assert duration(f"P{days}DT{hours}H{minutes}M{seconds}S") == duration(f"{days}d{hours}h{minutes}m{seconds}s")


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("90d", 90 * DAY),
        ("36h", 36 * HOUR),
        (" 1d12h ", 36 * HOUR),
        ("P90D", 90 * DAY),
        ("PT36H", 36 * HOUR),
        ("P2W", 14 * DAY),
        ("0s", timedelta()),
    ],
)
def test_a_duration(text: str, span: timedelta) -> None:
    assert duration(text) == span


WRONG = ["", " ", "90", "d", "90 d", "12h1d", "-1d", "1.5d", "P", "PT", "P1DT", "p90d", "P1M", "90D", "٣d", "1d\n2h"]


@pytest.mark.parametrize("text", [*WRONG, "99999999999d"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no duration: write days|longer than any key lives"):
        duration(text)


def test_what_is_no_duration_is_shown_each_unit_that_counts() -> None:
    """`wait_for_idle: ten` wants minutes."""
    with pytest.raises(ValueError, match=r"minutes .*10m"):
        duration("ten")


def test_a_duration_of_very_many_digits_is_refused_in_our_words() -> None:
    with pytest.raises(ValueError, match="is no duration"):
        duration("9" * 5000 + "d")


def test_a_duration_beyond_all_time_is_refused_in_our_words() -> None:
    with pytest.raises(ValueError, match="longer than any key lives"):
        duration("999999999d24h")


def test_a_bare_number_is_answered_with_a_proposal() -> None:
    with pytest.raises(ValueError, match="for example 90d"):
        duration("90")


def test_a_negative_duration_can_be_shown() -> None:
    assert format_duration(-36 * HOUR) == "-1d12h"


def told(policy: RotationPolicy, created: datetime, days: int = 400) -> list[tuple[str, int, int]]:
    return [(entry.what, entry.key, (entry.at - NOW).days) for entry in calendar(policy, created, NOW, days=days)]


def test_the_calendar_of_classic_names_the_red_days() -> None:
    assert told(CLASSIC, NOW, 120) == [("rotate", 1, 90), ("audit", 1, 90), ("deactivate", 1, 100), ("delete", 1, 110)]
    red = [entry for entry in calendar(CLASSIC, NOW, NOW) if entry.what == "audit"]
    assert [((entry.at - NOW).days, ((entry.until or NOW) - NOW).days) for entry in red][:2] == [(90, 100), (180, 190)]


def test_the_calendar_of_strict_has_no_red_day() -> None:
    assert [row for row in told(STRICT, NOW) if row[0] == "audit"] == []
    assert [row[2] for row in told(STRICT, NOW) if row[0] == "rotate"] == [75, 150, 225, 300, 375]


def test_a_key_that_is_long_overdue_gets_its_whole_overlap_in_the_calendar() -> None:
    assert told(CLASSIC, ago(500), 30) == [("rotate", 1, 0), ("audit", 1, 0), ("deactivate", 1, 10), ("delete", 1, 20)]


def test_the_calendar_begins_today_ends_with_its_last_day_and_is_of_400_days() -> None:
    assert told(CLASSIC, ago(90), 20) == [("rotate", 1, 0), ("audit", 1, 0), ("deactivate", 1, 10), ("delete", 1, 20)]
    assert told(CLASSIC, NOW, 89) == []
    year = calendar(CLASSIC, NOW, NOW)
    assert year == calendar(CLASSIC, NOW, NOW, days=400)
    assert max(entry.at for entry in year) == NOW + 380 * DAY
    assert [entry.key for entry in year if entry.what == "rotate"] == [1, 2, 3, 4]
    assert {entry.until for entry in year if entry.what != "audit"} == {None}


def test_a_key_that_goes_off_when_it_is_ninety_days_old_has_no_red_day() -> None:
    assert [row[0] for row in told(ages(80, 90, 100), NOW, 120)] == ["rotate", "deactivate", "delete"]
    assert "audit" in [row[0] for row in told(ages(80, 90.1, 100), NOW, 120)]


def test_a_key_older_than_its_ages_is_announced_from_today_on() -> None:
    """Late already: a whole overlap from today, and a whole grace after that."""
    assert [row for row in told(CLASSIC, ago(95), 120) if row[1] == 1] == [
        ("rotate", 1, 0),
        ("audit", 1, 0),
        ("deactivate", 1, 10),
        ("delete", 1, 20),
    ]


def test_the_calendar_keeps_out_of_freezes() -> None:
    entries = calendar(frozen(WEEKENDS), NOW, NOW)
    assert not any(WEEKENDS.covers(entry.at) for entry in entries if entry.what in {"deactivate", "delete"})


def test_the_calendar_keeps_new_keys_out_of_freezes_that_cover_all() -> None:
    everything = replace(WEEKENDS, holds_new_keys=True)
    entries = calendar(frozen(everything), ago(0.5), NOW, days=4000)
    rotations = [entry.at for entry in entries if entry.what == "rotate"]
    assert len(rotations) > 40
    assert not any(everything.covers(at) for at in rotations)
    usual = calendar(frozen(WEEKENDS), ago(2.5), NOW, days=4000)
    assert any(WEEKENDS.covers(entry.at) for entry in usual if entry.what == "rotate")


@given(st.floats(0, 600), st.integers(0, 800), st.sampled_from([CLASSIC, STRICT, frozen(CHRISTMAS, WEEKENDS)]))
def test_the_calendar_is_in_order_and_within_its_days(age: float, days: int, policy: RotationPolicy) -> None:
    entries = calendar(policy, ago(age), NOW, days=days)
    assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)
    assert all(NOW <= entry.at <= NOW + days * DAY for entry in entries)
    assert all(entry.until > entry.at for entry in entries if entry.until)


@pytest.mark.parametrize(
    ("policy", "days", "is_too_wide"),
    [(CLASSIC, 34, False), (CLASSIC, 35, True), (STRICT, 26, False), (STRICT, 27, True)],
)
def test_a_spread_leaves_the_old_key_time_to_go(policy: RotationPolicy, days: int, is_too_wide: bool) -> None:
    assert Rollout(spread=days * DAY).is_too_wide_for(policy) is is_too_wide


def test_the_auditors_limit_is_ninety_days() -> None:
    assert ages(90, 100, 110).rotate_after == AUDIT_LIMIT
