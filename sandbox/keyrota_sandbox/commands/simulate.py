"""`keyrota simulate`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING

import click

from keyrota.app import words
from keyrota.app.choice import Wanted
from keyrota.app.cli.common import Options, echo, eprint, global_options, pass_options, say_json, style
from keyrota.app.cli.naming import some_credentials
from keyrota.core.policy import duration, format_duration
from keyrota.errors import UsageError
from keyrota.report.paint import Paint

if TYPE_CHECKING:
    from keyrota_sandbox.preview import Future, HoldSpan, Moment

_FIRST_YEAR, _LAST_YEAR = 1970, 2999
_OLDEST = timedelta(days=36500)
_NARROWEST = 14
_FAULTS = ("none", "usual", "brutal")
_EXAMPLES = """\b
Examples:
  keyrota simulate                         400 days in which nothing goes wrong
  keyrota simulate --faults usual          outages, lost answers, crashes, people, as they come
  keyrota simulate --faults brutal --seed 7 --user ci-deploy
"""


@click.command("simulate", epilog=_EXAMPLES)
@some_credentials
@click.option(
    "--days", default=400, type=click.IntRange(1, 4000), show_default=True, help="Number of days to simulate."
)
@click.option(
    "--faults", default="none", type=click.Choice(_FAULTS), show_default=True, help="How many failures are simulated."
)
@click.option(
    "--seed",
    default=1,
    type=click.IntRange(min=0),
    show_default=True,
    help="Random seed; the same seed replays the same run.",
)
@click.option("--key-age", default="0d", show_default=True, help="Age of the keys that are there (45d).")
@click.option("--start", type=click.DateTime(["%Y-%m-%d"]), help="First day, UTC (default: today).")
@global_options
@pass_options
def command(  # one argument an option
    options: Options, *, days: int, faults: str, seed: int, key_age: str, start: datetime | None, wanted: Wanted
) -> int:
    """
    Play your own policy and targets ahead in a simulated world: what comes when, what would be held, and why.

    Asks nothing of AWS or of a provider. Every credential begins with one key, which all its targets hold; keyrota
    runs once a day at 03:00 UTC, and on each change of a secret; four pipelines a day run at each target. Where people
    make trouble, someone does once a week what the last report says.
    """
    from keyrota.app.clock import clock  # noqa: PLC0415  # heavy, and not needed for --help
    from keyrota.app.config import load_from  # noqa: PLC0415
    from keyrota_sandbox.preview import document, play_ahead  # noqa: PLC0415

    age, now = _age(key_age), clock()
    first = start.replace(tzinfo=UTC) if start else datetime.combine(now.now().date(), time(), tzinfo=UTC)
    _check_calendar(first, age)
    is_terminal = not (options.is_json or options.is_quiet) and sys.stderr.isatty()

    def pass_day(day: int) -> None:
        if is_terminal:
            eprint(f"\r\033[Kday {day:>3} of {days}", nl=False)

    try:
        future = play_ahead(
            load_from(options.config),
            now,
            wanted=wanted,
            days=days,
            faults=faults,
            seed=seed,
            key_age=age,
            start=first,
            pass_day=pass_day,
        )
    except KeyboardInterrupt:
        eprint("\r\033[Kinterrupted" if is_terminal else "interrupted")
        return words.EXIT_INTERRUPTED
    if is_terminal:
        eprint("\r\033[K", nl=False)
    if options.is_json:
        asked = {
            "days": days,
            "faults": faults,
            "seed": seed,
            "key_age": format_duration(age),
            "start": f"{first:%Y-%m-%d}",
        }
        say_json(document(future, asked))
    elif not options.is_quiet:
        page = _Page(future, first, days, style())
        title = f"{_days(days)} from {first:%Y-%m-%d}, faults: {faults}, seed {seed}"
        echo([title, "", *page.calendar(), "", *page.waves(), *page.sum()])
    else:
        echo(_Page(future, first, days, style()).holds())
    return words.EXIT_DONE


def _age(text: str) -> timedelta:
    try:
        return duration(text)
    except ValueError as error:
        raise UsageError(str(error), remedy="write it as 45d or 12h") from None


def _check_calendar(first: datetime, age: timedelta) -> None:
    """Refuse what leads out of the calendar: a history needs room before its first day, and after its last."""
    if not _FIRST_YEAR <= first.year <= _LAST_YEAR:
        raise UsageError(f"--start {first.date()} is too far away", remedy=f"{_FIRST_YEAR} to {_LAST_YEAR}")
    if age > _OLDEST:
        raise UsageError(f"--key-age {format_duration(age)} is too old", remedy=f"{_OLDEST.days}d at most")


@dataclass(frozen=True, slots=True)
class _Page:
    """What a person reads."""

    future: Future
    first: datetime
    days: int
    """Days that were played: a hold that is there on the last of them has no end yet."""
    colour: Paint

    def calendar(self) -> Iterator[str]:
        told = [(moment.at, self._moment(moment)) for moment in self.future.moments]
        told += [(span.first, self._hold(span)) for span in self.future.holds]
        yield from (line for _, line in sorted(told, key=itemgetter(0)))

    def holds(self) -> Iterator[str]:
        yield from (self._hold(span) for span in sorted(self.future.holds, key=attrgetter("first")))

    def _moment(self, moment: Moment) -> str:
        role = "bad" if moment.is_failure else "due" if moment.what == "rotated" else "good"
        what = f"{moment.what} failed" if moment.is_failure else moment.what
        key = f" {moment.key}" if moment.key else ""
        return f"{self._head(moment.at, moment.user)}  {self.colour(role, what)}{key}: {moment.detail}"

    def _hold(self, span: HoldSpan) -> str:
        days = (span.last.date() - span.first.date()).days
        last = (span.last - self.first).days
        is_open = last >= self.days - 1
        lasts = "" if not days else " (to the end)" if is_open else f" (until day {last})"
        remedy = f"; {span.hold.remedy}" if span.hold.remedy else ""
        target = span.hold.target
        where = f"{target}: " if target and str(target) not in span.hold.reason else ""
        head = self._head(span.first, span.user)
        return f"{head}  {self.colour('held', 'held')}{lasts}: {where}{span.hold.reason}{remedy}"

    def _head(self, at: datetime, user: str) -> str:
        when = f"day {(at - self.first).days:>3}  {at:%Y-%m-%d %H:%M}"
        return f"{self.colour('quiet', when)}  {self.colour('title', user.ljust(self._width))}"

    @property
    def _width(self) -> int:
        """A column that every name fits into."""
        return max([_NARROWEST, *map(len, self.future.oldest)])

    def waves(self) -> Iterator[str]:
        """Show how many new keys each day brought while others waited for their turn."""
        if not self.future.waves:
            return
        yield "Waves of new keys:"
        for wave in self.future.waves:
            when = f"day {(wave.at - self.first).days:>3}  {wave.at:%Y-%m-%d %H:%M}"
            yield f"  {self.colour('quiet', when)}  {wave.made} made, {wave.waiting} waiting"
        yield ""

    def sum(self) -> Iterator[str]:
        future = self.future
        done = ", ".join(f"{count} {what}" for what, count in sorted(future.done.items()))
        nothing = "nothing was done" if future.holds else "nothing was due"
        yield f"{done or nothing}; {len(future.holds)} held"
        for user, age in sorted(future.oldest.items()):
            yield f"{user}: its oldest Active key reached {_days(age.days)}"
        failed = Counter(failure.cause.value for failure in future.failures)
        why = ", ".join(f"{count} by {cause}" for cause, count in sorted(failed.items()))
        line = f"{future.pipelines} pipeline runs, {sum(failed.values())} failed" + (f": {why}" if why else "")
        yield self.colour("bad" if failed else "good", line)


def _days(count: int) -> str:
    return f"{count} day" + ("s" if count != 1 else "")
