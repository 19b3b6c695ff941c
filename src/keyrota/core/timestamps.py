"""Instants that come from outside: none so far away that an age counted from it leaves the calendar."""

from __future__ import annotations

from datetime import UTC, datetime

_FIRST_YEAR, _LAST_YEAR = 1970, 2969


def require_sane_utc(instant: datetime) -> datetime:
    """
    Return an instant in UTC.

    Raises:
        ValueError: It has no zone, or is centuries away: a tag that someone edited, an answer that is none.
    """
    if instant.tzinfo is None or not _FIRST_YEAR <= instant.year <= _LAST_YEAR:
        raise ValueError("no instant within reach")
    return instant.astimezone(UTC)


def parse(text: str) -> datetime:
    """
    Read an instant (ISO 8601, with its zone).

    Raises:
        ValueError: It is none, or is not within reach.
    """
    return require_sane_utc(datetime.fromisoformat(text))
