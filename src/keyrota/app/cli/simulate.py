"""`keyrota simulate`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

import click

from keyrota.app import words
from keyrota.app.cli.frame import Options, global_options, paint, pass_options, say, say_json
from keyrota.core.policy import duration, format_duration
from keyrota.errors import UsageError
from keyrota.report.text import Paint

if TYPE_CHECKING:
    from keyrota.app.what_if import Future, HoldSpan, Moment

_FAULTS = ("none", "usual", "brutal")
_EXAMPLES = """\b
Examples:
  keyrota simulate                         400 days in which nothing goes wrong
  keyrota simulate --faults usual          outages, lost answers, crashes, people, as they come
  keyrota simulate --faults brutal --seed 7 --user ci-deploy
"""


@click.command("simulate", epilog=_EXAMPLES)
@click.option("--days", default=400, type=click.IntRange(1, 4000), show_default=True, help="Days to play.")
@click.option("--faults", default="none", type=click.Choice(_FAULTS), show_default=True, help="How much goes wrong.")
@click.option("--seed", default=1, show_default=True, help="Another seed, another history; the same one, the same.")
@click.option("--key-age", default="0d", show_default=True, help="Age of the keys that are there (45d).")
@click.option("--start", type=click.DateTime(["%Y-%m-%d"]), help="First day, UTC (default: today).")
@click.option("--user", "users", multiple=True, help="Only this IAM user; may be given several times.")
@global_options
@pass_options
def command(  # one argument an option
    options: Options, *, days: int, faults: str, seed: int, key_age: str, start: datetime | None, users: tuple[str, ...]
) -> int:
    """
    Play your own policy and targets ahead in a simulated world: what comes when, what would be held, and why.

    Asks nothing of AWS or of a provider. Every credential begins with one key, which all its targets hold; keyrota
    runs once a day at 03:00 UTC, and on each change of a secret; four pipelines a day run at each target. Where people
    make trouble, somebody does once a week what the last report says.
    """
    from keyrota.app.clock import clock  # noqa: PLC0415  # heavy, and not needed for --help
    from keyrota.app.config import load_from  # noqa: PLC0415
    from keyrota.app.what_if import document, play_ahead  # noqa: PLC0415

    age, now = _age(key_age), clock()
    first = start.replace(tzinfo=UTC) if start else datetime.combine(now.now().date(), time(), tzinfo=UTC)
    is_terminal = not (options.is_json or options.is_quiet) and sys.stderr.isatty()

    def pass_day(day: int) -> None:
        if is_terminal:
            click.echo(f"\r\033[Kday {day:>3} of {days}", nl=False, err=True)

    future = play_ahead(
        load_from(options.config),
        now,
        users=users,
        days=days,
        faults=faults,
        seed=seed,
        key_age=age,
        start=first,
        pass_day=pass_day,
    )
    if is_terminal:
        click.echo("\r\033[K", nl=False, err=True)
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
        click.echo(f"{days} days from {first:%Y-%m-%d}, faults: {faults}, seed {seed}\n")
        say(_text(future, first, paint()))
    else:
        say(line for _, line in _holds(future, first, paint()))
    return words.EXIT_DONE


def _age(text: str) -> timedelta:
    try:
        return duration(text)
    except ValueError as error:
        raise UsageError(str(error), remedy="write it as 45d or 12h") from None


def _text(future: Future, first: datetime, colour: Paint) -> Iterator[str]:
    told = [(moment.at, _moment(moment, first, colour)) for moment in future.moments]
    told += _holds(future, first, colour)
    yield from (line for _, line in sorted(told, key=lambda entry: entry[0]))
    yield ""
    yield from _sum(future, colour)


def _moment(moment: Moment, first: datetime, colour: Paint) -> str:
    role = "bad" if moment.is_failure else "due" if moment.what == "rotated" else "good"
    what = f"{moment.what} failed" if moment.is_failure else moment.what
    key = f" {moment.key}" if moment.key else ""
    return f"{_head(moment.at, moment.user, first, colour)}  {colour(role, what)}{key}: {moment.detail}"


def _holds(future: Future, first: datetime, colour: Paint) -> list[tuple[datetime, str]]:
    return [(span.first, _hold(span, first, colour)) for span in future.holds]


def _hold(span: HoldSpan, first: datetime, colour: Paint) -> str:
    days = (span.last.date() - span.first.date()).days
    lasts = f" (until day {(span.last - first).days})" if days else ""
    remedy = f"; {span.hold.remedy}" if span.hold.remedy else ""
    target = span.hold.target
    where = f"{target}: " if target and str(target) not in span.hold.reason else ""
    head = _head(span.first, span.user, first, colour)
    return f"{head}  {colour('held', 'held')}{lasts}: {where}{span.hold.reason}{remedy}"


def _head(at: datetime, user: str, first: datetime, colour: Paint) -> str:
    when = f"day {(at - first).days:>3}  {at:%Y-%m-%d %H:%M}"
    return f"{colour('quiet', when)}  {colour('title', f'{user:<14}')}"


def _sum(future: Future, colour: Paint) -> Iterator[str]:
    done = ", ".join(f"{count} {what}" for what, count in sorted(future.done.items()))
    yield f"{done or 'nothing was due'}; {len(future.holds)} held"
    for user, age in sorted(future.oldest.items()):
        yield f"{user}: no Active key was older than {age.days} days"
    failed = Counter(failure.cause.value for failure in future.failures)
    why = ", ".join(f"{count} by {cause}" for cause, count in sorted(failed.items()))
    line = f"{future.pipelines} pipeline runs, {sum(failed.values())} failed" + (f": {why}" if why else "")
    yield colour("bad" if failed else "good", line)
