"""How old keys may become, how long the old one lives beside the new, and when nothing may be deactivated."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from enum import StrEnum

from keyrota.core.model import FirstWrite

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

AUDIT_LIMIT = timedelta(days=90)
"""
AWS Config access-keys-rotated (default), Security Hub IAM.3 (not customizable), CIS and PCI DSS call an Active key
that is older NON_COMPLIANT (Security Hub User Guide, IAM controls).
"""

AUDIT_MARGIN = timedelta(days=2)
"""Config reads a credential report of up to four hours' age, and keyrota runs once a day: less is too tight."""


MAX_FREEZE = timedelta(days=366)
MAX_AGE = timedelta(days=3660)


class OnStillUsed(StrEnum):
    """What to do with an old key that is still used when its overlap is over."""

    HOLD = "hold"
    DEACTIVATE = "deactivate"


class Adopt(StrEnum):
    """When a key that was there before keyrota is replaced."""

    WHEN_DUE = "when-due"
    NOW = "now"


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """A window in which no key is deactivated or deleted: weekdays, or dates, both ends included, whole local days."""

    zone: tzinfo
    weekdays: frozenset[int] = frozenset()
    """Monday is 0."""
    first: date | None = None
    last: date | None = None
    holds_new_keys: bool = False
    """No new key is made either (`covers: all`)."""

    def covers(self, instant: datetime) -> bool:
        """Return whether the window is in force."""
        return self._covers_day(instant.astimezone(self.zone).date())

    def _covers_day(self, day: date) -> bool:
        if day.weekday() in self.weekdays:
            return True
        return self.first is not None and self.last is not None and self.first <= day <= self.last

    def ends_after(self, instant: datetime) -> datetime:
        """Return the first instant that is no longer covered: a local midnight, whatever the clocks do that night."""
        day = instant.astimezone(self.zone).date()
        while self._covers_day(day):
            day += DAY
        return max(instant, datetime.combine(day, time(), tzinfo=self.zone).astimezone(instant.tzinfo))

    def fault(self) -> str:
        """Say what is wrong with the window; empty if nothing is."""
        if len(self.weekdays) == 7:  # noqa: PLR2004  # days of a week
            return "a freeze window on all seven weekdays never ends"
        if self.first is None or self.last is None:
            return "" if self.weekdays else "a freeze window needs `weekdays`, or `from` and `to`"
        if self.weekdays:
            return "a freeze window has either `weekdays`, or `from` and `to`: write two windows"
        if self.last < self.first:
            return f"a freeze window ends ({self.last}) before it begins ({self.first})"
        if self.last - self.first > MAX_FREEZE:
            return f"a freeze window of more than {MAX_FREEZE.days} days is no window but a stop"
        return ""


class Drift(StrEnum):
    """What is done about a target that someone else changed: it is written again, or a person decides."""

    OVERWRITE = "overwrite"
    HOLD = "hold"


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationPolicy:
    """Ages of a key, counted from IAM's CreateDate."""

    rotate_after: timedelta
    deactivate_after: timedelta
    delete_after: timedelta
    unused_for: timedelta = DAY
    """A key used within this time counts as used: IAM shows last use with a delay."""
    freezes: tuple[Freeze, ...] = ()
    on_still_used: OnStillUsed = OnStillUsed.HOLD
    prove_use: bool = False
    """Also wait until IAM has seen the new key used: the consumer's own proof."""
    adopt: Adopt = Adopt.WHEN_DUE
    allow_short: bool = False
    drift: Drift = Drift.OVERWRITE
    """What happens to a variable that someone else changed."""
    first_write: FirstWrite = FirstWrite.CHECK
    """What is asked before a place is written for the first time."""
    early: timedelta = timedelta()
    """How much earlier the key of this one credential is replaced: its part of `rollout.spread`."""

    @property
    def rotates_after(self) -> timedelta:
        """The age at which the key of this one credential is replaced."""
        return self.rotate_after - self.early

    @property
    def overlap(self) -> timedelta:
        """How long both keys are Active, at least."""
        return self.deactivate_after - self.rotate_after

    @property
    def grace(self) -> timedelta:
        """How long the old key is Inactive and can come back, at least."""
        return self.delete_after - self.deactivate_after

    def faults(self) -> tuple[str, ...]:
        """Say why the policy is refused; empty if it is not."""
        return tuple(self._faults())

    def _faults(self) -> Iterator[str]:
        is_rising = self.rotate_after < self.deactivate_after < self.delete_after
        if not is_rising:
            yield (
                "the ages must rise: rotate_after < deactivate_after < delete_after, not "
                f"{format_duration(self.rotate_after)}, {format_duration(self.deactivate_after)}, "
                f"{format_duration(self.delete_after)}"
            )
        elif (leaves := self.delete_after - self.rotate_after) >= self.rotate_after:
            yield (
                f"the old key leaves {format_duration(leaves)} after the rotation, and the next rotation comes after "
                f"{format_duration(self.rotate_after)}: IAM has two slots, so none would be free; "
                "let delete_after be less than twice rotate_after"
            )
        yield from (window.fault() for window in self.freezes if window.fault())
        if len(frozenset[int]().union(*(window.weekdays for window in self.freezes))) == 7:  # noqa: PLR2004  # a week
            yield "the freeze windows together cover all seven weekdays: they never end"
        if self.delete_after > MAX_AGE:
            yield f"delete_after is more than {MAX_AGE.days} days"
        if is_rising and self.unused_for > max(self.overlap, DAY):  # an overlap below nothing was reported above
            yield (
                f"unused_for ({format_duration(self.unused_for)}) is longer than the overlap "
                f"({format_duration(self.overlap)}): the old key might never count as unused"
            )
        if not self.allow_short:
            yield from self._too_short(is_rising=is_rising)

    def _too_short(self, *, is_rising: bool) -> Iterator[str]:
        spans = {"rotate_after": self.rotate_after, "unused_for": self.unused_for}
        if is_rising:
            spans |= {
                "the overlap (deactivate_after - rotate_after)": self.overlap,
                "the grace (delete_after - deactivate_after)": self.grace,
            }
        for name, span in spans.items():
            if span < HOUR:
                yield f"{name} is {format_duration(span)}, less than an hour: set `allow_short: true` if that is meant"

    def find_freeze_end(self, instant: datetime) -> datetime | None:
        """Return when the freeze that is in force ends; None if there is none. Windows that touch count as one."""
        return _find_freeze_end(self.freezes, instant)

    def find_new_key_freeze_end(self, instant: datetime) -> datetime | None:
        """Return when the freeze ends in which no new key is made; None if there is none."""
        return _find_freeze_end([freeze for freeze in self.freezes if freeze.holds_new_keys], instant)

    def is_audit_clean(self) -> bool:
        """Return whether no key is Active past the auditors' 90 days, with a margin for late runs."""
        return self.deactivate_after + AUDIT_MARGIN <= AUDIT_LIMIT


CLASSIC = RotationPolicy(rotate_after=90 * DAY, deactivate_after=100 * DAY, delete_after=110 * DAY)
STRICT = RotationPolicy(rotate_after=75 * DAY, deactivate_after=87 * DAY, delete_after=97 * DAY)
PRESETS = {"classic": CLASSIC, "strict": STRICT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """How many new keys a run makes, and whose come first (`waves`)."""

    per_run: int = 10
    """The runs of one day (UTC) share it."""
    canaries: tuple[str, ...] = ()
    """Credentials that come first, as the configuration names them."""
    canary_wait: timedelta = 3 * DAY
    """The others wait no longer than this for pipelines to use a canary's new key."""
    spread: timedelta = timedelta()
    """A key is replaced up to so much earlier, so that keys of one age do not all become due on one day."""

    def is_too_wide_for(self, policy: RotationPolicy) -> bool:
        """Return whether an old key might still take a slot when its successor is due."""
        return policy.delete_after >= 2 * (policy.rotate_after - self.spread)


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarEntry:
    """One date of the policy's calendar."""

    at: datetime
    what: str
    key: int
    """1 for the key of today, 2 for its successor, …"""
    until: datetime | None = None
    """For a span (audit findings): its end."""


def calendar(policy: RotationPolicy, created: datetime, now: datetime, *, days: int = 400) -> tuple[CalendarEntry, ...]:
    """
    Return what comes in the next days for a key, and its successors, if every run is on time.

    Args:
        policy: The ages.
        created: When the key of today was made.
        now: Where the calendar starts; aware, UTC.
        days: How far it goes.
    """
    end = now + timedelta(days=days)
    entries: list[CalendarEntry] = []
    number, made = 1, created
    while made <= end:
        wanted = max(now, made + policy.rotates_after)
        rotated = policy.find_new_key_freeze_end(wanted) or wanted
        off = _end_of_freeze(policy, rotated + policy.overlap)
        gone = _end_of_freeze(policy, off + policy.grace)
        entries += [
            CalendarEntry(at=rotated, what="rotate", key=number),
            CalendarEntry(at=off, what="deactivate", key=number),
            CalendarEntry(at=gone, what="delete", key=number),
        ]
        red = max(now, made + AUDIT_LIMIT)
        if red < off:
            entries.append(CalendarEntry(at=red, what="audit", key=number, until=off))
        number, made = number + 1, rotated
    return tuple(sorted((entry for entry in entries if now <= entry.at <= end), key=lambda entry: entry.at))


def _end_of_freeze(policy: RotationPolicy, instant: datetime) -> datetime:
    return policy.find_freeze_end(instant) or instant


def _find_freeze_end(freezes: Sequence[Freeze], instant: datetime) -> datetime | None:
    end = instant
    while window := next((freeze for freeze in freezes if freeze.covers(end)), None):
        end = window.ends_after(end)
        if end - instant > MAX_FREEZE:
            break  # windows that touch again and again
    return end if end > instant else None


_SIMPLE = re.compile(r"(?:(?P<d>\d{1,9})d)?(?:(?P<h>\d{1,9})h)?(?:(?P<m>\d{1,9})m)?(?:(?P<s>\d{1,9})s)?", re.ASCII)
_ISO = re.compile(
    r"P(?:(?P<w>\d{1,9})W)?(?:(?P<d>\d{1,9})D)?(?:T(?:(?P<h>\d{1,9})H)?(?:(?P<m>\d{1,9})M)?(?:(?P<s>\d{1,9})S)?)?",
    re.ASCII,
)
_NAMES = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


def duration(text: str) -> timedelta:
    """
    Read a duration: `90d`, `36h`, `1d12h`, or ISO 8601 (`P90D`, `PT36H`, `P1DT12H`).

    Raises:
        ValueError: With a message that says what is expected.
    """
    cleaned = text.strip()
    match = (_ISO if cleaned.startswith("P") else _SIMPLE).fullmatch(cleaned)
    parts = {name: int(value) for name, value in match.groupdict().items() if value} if match else {}
    if not parts or cleaned.endswith("T"):
        hint = f", for example {cleaned}d" if cleaned.isdigit() else ""
        raise ValueError(
            f"{text[:40]!r} is no duration: write days, hours, minutes (90d, 36h, 10m, 1d12h) or ISO 8601 (P90D){hint}"
        )
    try:
        return timedelta(**{_NAMES[name]: value for name, value in parts.items()})
    except OverflowError:
        raise ValueError(f"{text!r} is longer than any key lives") from None


def format_duration(span: timedelta) -> str:
    """Write a duration as `duration` reads it."""
    total = int(span.total_seconds())
    if total <= 0:
        return "0s" if total == 0 else f"-{format_duration(-span)}"
    days, rest = divmod(total, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, seconds = divmod(rest, 60)
    named = ((days, "d"), (hours, "h"), (minutes, "m"), (seconds, "s"))
    return "".join(f"{number}{unit}" for number, unit in named if number)
