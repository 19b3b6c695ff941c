"""Instants from outside: what is within reach."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from keyrota.core.timestamps import parse, require_sane_utc


@pytest.mark.parametrize("year", [1970, 2026, 2969])
def test_a_year_within_reach(year: int) -> None:
    instant = datetime(year, 6, 1, tzinfo=UTC)
    assert require_sane_utc(instant) == instant


@pytest.mark.parametrize(
    "instant",
    [datetime(1969, 12, 31, tzinfo=UTC), datetime(2970, 1, 1, tzinfo=UTC), datetime(2026, 1, 1)],  # noqa: DTZ001
    ids=["too early", "too late", "no zone"],
)
def test_out_of_reach(instant: datetime) -> None:
    with pytest.raises(ValueError, match="within reach"):
        require_sane_utc(instant)


def test_any_zone_becomes_utc() -> None:
    there = datetime(2026, 6, 1, 8, tzinfo=timezone(timedelta(hours=2)))
    assert require_sane_utc(there).tzinfo is UTC
    assert parse("2026-06-01T08:00:00+02:00") == datetime(2026, 6, 1, 6, tzinfo=UTC)
