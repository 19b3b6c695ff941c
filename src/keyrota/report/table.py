"""Many credentials on one screen: a line each, as a table or CSV, and what they sum up to."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from keyrota.core.model import Evidence
from keyrota.report.data import stamp
from keyrota.report.fleet import MEANING, Row, State
from keyrota.report.paint import Paint, plain
from keyrota.report.screen import cut, make_cell, measure, pad, shorten
from keyrota.report.text import count, day

_NARROW = 60
"""On fewer columns than this, a credential has two lines."""
_MAX_ACCOUNT = 12
"""Digits of an account ID; anything else is shorten to that."""
_MIN_USER = 12
_MIN_WHY = 24
_GAP = "  "
_NONE = "-"
_ROLES = {
    State.TORN: "bad",
    State.BROKEN: "bad",
    State.FAILED: "bad",
    State.HELD: "held",
    State.LEFT: "held",
    State.OVERDUE: "held",
    State.DUE: "due",
    State.WAITING: "quiet",
    State.OK: "good",
}

_CALM = frozenset({State.OK, State.WAITING, State.DUE})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    title: str
    text: Callable[[Row], str]
    is_number: bool = False


def _age(row: Row) -> str:
    return _NONE if row.age_days is None else f"{row.age_days}d"


def _last_use(row: Row) -> str:
    if row.key is None or row.key.last_use.evidence is Evidence.UNKNOWN:
        return "not known"
    return f"{row.key.last_use.at:%Y-%m-%d}" if row.key.last_use.at else "never"


def _date(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d}" if at else "not known"


_ACCOUNT = _Column(title="ACCOUNT", text=lambda row: row.account or _NONE)
_USER = _Column(title="USER", text=lambda row: row.user)
_STATE = _Column(title="STATE", text=lambda row: row.state.value)
_WHY = _Column(title="WHY", text=lambda row: row.why)
_USUAL = (
    _ACCOUNT,
    _USER,
    _Column(title="AGE", text=_age, is_number=True),
    _STATE,
    _Column(title="NEXT", text=lambda row: str(row.next or _NONE)),
    _Column(title="PLACES", text=lambda row: str(row.places or _NONE)),
)
_WIDE = (
    *_USUAL,
    _Column(title="KEY", text=lambda row: str(row.key.id) if row.key else _NONE),
    _Column(title="LAST USED", text=_last_use),
    _Column(title="LAST RUN", text=lambda row: _date(row.last_run)),
    _Column(title="OVERDUE SINCE", text=lambda row: f"{row.overdue_since:%Y-%m-%d}" if row.overdue_since else _NONE),
    _Column(title="SECRET", text=lambda row: row.secret_name),
    _WHY,
)


def format_table(
    rows: Sequence[Row], style: Paint = plain, *, width: int | None = None, now: datetime, is_wide: bool = False
) -> Iterator[str]:
    """
    Report credentials, one line each, and first what they sum up to.

    Args:
        rows: The worst first.
        style: Colours.
        width: Columns of the screen; None: what is written goes to no screen, and nothing is shorten.
        now: The time, to say how long ago something was.
        is_wide: All measure, each as wide as it has to be.
    """
    yield from format_head(rows, style, now=now)
    if not rows:
        return
    yield ""
    if width is not None and width < _NARROW and not is_wide:
        yield from _stack(rows, style, width)
    elif is_wide or width is None:
        yield from _lines((*_WIDE,) if is_wide else (*_USUAL, _WHY), rows, {}, style)
    else:
        yield from _fit(rows, style, width)


def _fit(rows: Sequence[Row], style: Paint, width: int) -> Iterator[str]:
    """Give the name of the user what is left, and the reason what is left of that."""
    natural = {column.title: _natural(column, rows) for column in _USUAL}
    natural["ACCOUNT"] = min(natural["ACCOUNT"], _MAX_ACCOUNT)
    gaps = len(_GAP) * (len(_USUAL) - 1)
    user = max(_MIN_USER, min(natural["USER"], width - gaps - sum(natural.values()) + natural["USER"]))
    room = width - gaps - sum(natural.values()) + natural["USER"] - user - len(_GAP)
    limits = {"ACCOUNT": natural["ACCOUNT"], "USER": user}
    shown = (*_USUAL, _WHY) if room >= _MIN_WHY and any(row.why for row in rows) else _USUAL
    yield from _lines(shown, rows, {**limits, "WHY": room}, style)


def _natural(column: _Column, rows: Iterable[Row]) -> int:
    return max([measure(column.title), *(measure(make_cell(column.text(row))) for row in rows)])


def _lines(shown: Sequence[_Column], rows: Sequence[Row], limits: dict[str, int], style: Paint) -> Iterator[str]:
    widths = {column.title: limits.get(column.title) or _natural(column, rows) for column in shown}
    titles = (pad(one.title, widths[one.title], is_number=one.is_number) for one in shown)
    yield style("title", _GAP.join(titles).rstrip())
    for row in rows:
        yield _GAP.join(_show(column, row, widths[column.title], style) for column in shown).rstrip()


def _show(column: _Column, row: Row, width: int, style: Paint) -> str:
    text = make_cell(column.text(row))
    fitting = cut(text, width) if column is _WHY else shorten(text, width)
    filled = pad(fitting, 0 if column is _WHY else width, is_number=column.is_number)
    return style(_ROLES[row.state], filled) if column is _STATE else filled


def _stack(rows: Sequence[Row], style: Paint, width: int) -> Iterator[str]:
    """Report each credential in two lines: its name, then the rest."""
    is_of_several = len({row.account for row in rows}) > 1
    for row in rows:
        name = f"{row.account}:{row.user}" if is_of_several and row.account else row.user
        yield style("title", shorten(make_cell(name), width))
        state = style(_ROLES[row.state], pad(row.state.value, len(State.OVERDUE)))
        yield cut(f"  {state} {_age(row):>4} {row.next or _NONE!s:<21} {row.places or _NONE}", width)


def format_head(rows: Sequence[Row], style: Paint = plain, *, now: datetime) -> Iterator[str]:
    """Sum up: how many are how, what is overdue since when, and when keyrota last ran."""
    accounts = len({row.account for row in rows})
    of = f" of {accounts} accounts" if accounts > 1 else ""
    counts = Counter(row.state for row in rows)
    told = ", ".join(style(_ROLES[state], f"{counts[state]} {state}") for state in State if counts[state])
    yield style("title", f"{count(len(rows), 'credential')}{of}") + (f": {told}" if told else "")
    if not rows:
        return
    overdue = [row.overdue_since for row in rows if row.overdue_since is not None]
    if overdue:
        since = min(overdue)
        is_one = len(overdue) == 1
        yield style("held", f"overdue: {len(overdue)}, {'' if is_one else 'the oldest '}since {_ago(since, now)}")
    yield style("quiet", _last_run(rows, now))
    if any(row.state not in _CALM for row in rows):
        yield style("quiet", "why, and what to do: keyrota status USER")


def _last_run(rows: Iterable[Row], now: datetime) -> str:
    latest = max((row.last_run for row in rows if row.last_run is not None), default=None)
    if latest is None:
        return "last recorded run: not known"
    return f"last recorded run: {_ago(latest, now)}"


def _ago(instant: datetime, now: datetime) -> str:
    hours = int((now - instant).total_seconds() // 3600)
    if hours == 0:
        return f"{day(instant)} (less than an hour ago)"
    span = count(hours // 24, "day") if hours >= 48 else count(hours, "hour")  # noqa: PLR2004  # two days
    return f"{day(instant)} ({span} ago)"


def format_summary(rows: Sequence[Row], style: Paint = plain, *, now: datetime) -> Iterator[str]:
    """Report numbers alone: of each state with its meaning, of places, and of each account."""
    yield from format_head(rows, style, now=now)
    if not rows:
        return
    known = [row.places for row in rows if row.places is not None]
    fine, unknown = sum(places.fine for places in known), sum(places.unknown for places in known)
    told = f"; {unknown} not known" if unknown else ""
    unread = len(rows) - len(known)
    more = f"; those of {count(unread, 'credential')} not read" if unread else ""
    yield f"{count(sum(places.total for places in known), 'place')}: {fine} with the current key{told}{more}"
    counts = Counter(row.state for row in rows)
    yield ""
    for state in State:
        if counts[state]:
            word = pad(state.value, len(State.OVERDUE))
            yield f"{counts[state]:>6}  {style(_ROLES[state], word)}  {style('quiet', MEANING[state])}"
    yield from _by_account(rows, style)


def _by_account(rows: Sequence[Row], style: Paint) -> Iterator[str]:
    accounts = sorted({row.account for row in rows})
    if len(accounts) < 2:  # noqa: PLR2004  # one account is all there is
        return
    used = [state for state in State if any(row.state is state for row in rows)]
    yield ""
    yield style("title", _GAP.join(["ACCOUNT     ", "KEYS", *(state.upper() for state in used)]))
    for account in accounts:
        counts = Counter(row.state for row in rows if row.account == account)
        numbers = (pad(str(counts[state]), len(state), is_number=True) for state in used)
        name = pad(shorten(make_cell(account or _NONE), _MAX_ACCOUNT), _MAX_ACCOUNT)
        yield _GAP.join([name, f"{counts.total():>4}", *numbers])


FIELDS: tuple[tuple[str, Callable[[Row], str | int | None]], ...] = (
    ("account", lambda row: row.account),
    ("user", lambda row: row.user),
    ("age_days", lambda row: row.age_days),
    ("state", lambda row: row.state.value),
    ("next", lambda row: row.next.action if row.next else None),
    ("next_at", lambda row: stamp(row.next.at) if row.next else None),
    ("overdue_since", lambda row: stamp(row.overdue_since)),
    ("places_ok", lambda row: row.places.fine if row.places else None),
    ("places_not_known", lambda row: row.places.unknown if row.places else None),
    ("places", lambda row: row.places.total if row.places else None),
    ("key", lambda row: row.key.id if row.key else None),
    ("last_run", lambda row: stamp(row.last_run)),
    ("secret", lambda row: row.secret_name),
    ("why", lambda row: row.why),
)
"""The columns of CSV."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")
"""
A cell that begins with one of these is a formula to a spreadsheet (OWASP, CSV Injection), or has lost its quote.

A quote before it makes it a text; so one that begins with a quote gets another.
"""


def format_csv(rows: Iterable[Row]) -> Iterator[str]:
    """Write one line for each credential, for spreadsheets; times are ISO 8601 in UTC."""
    yield _record([name for name, _ in FIELDS])
    for row in rows:
        yield _record([value(row) for _, value in FIELDS])


def _record(values: Iterable[str | int | None]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow([_field(value) for value in values])
    return buffer.getvalue()


def _field(value: str | int | None) -> str | int:
    if value is None or isinstance(value, int):
        return "" if value is None else value
    text = make_cell(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
