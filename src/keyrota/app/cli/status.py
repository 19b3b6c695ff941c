"""`keyrota status`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from keyrota.app.choice import Wanted
from keyrota.app.cli.common import Options, echo, echo_notes, global_options, pass_options, say_json, style
from keyrota.app.cli.naming import some_credentials
from keyrota.app.cli.narrowing import StateNames, some_places
from keyrota.app.cli.screen import pager_option, show, width
from keyrota.errors import UsageError

if TYPE_CHECKING:
    from keyrota.report.data import CredentialReport

_EXAMPLES = """\b
Examples:
  keyrota status                          one line for each credential, the worst first
  keyrota status ci-deploy                one credential in full
  keyrota status --only torn,broken,held  what needs a person
  keyrota status --provider gitlab --wide
  keyrota status --output csv > keys.csv
"""


@click.command("status", epilog=_EXAMPLES)
@some_credentials
@some_places
@click.option("--only", type=StateNames(), help="Only credentials in one of these states, separated by commas.")
@click.option("--details", "is_in_full", is_flag=True, help="Everything that is known of each credential.")
@click.option("--wide", "is_wide", is_flag=True, help="More columns: key, last use, last run, secret, reason.")
@click.option("--summary", "is_summary", is_flag=True, help="Only numbers: by state, and by account.")
@click.option("--output", type=click.Choice(["table", "csv", "json"]), help="How to print; json is the same as --json.")
@pager_option
@global_options
@pass_options
def command(  # each option is one
    options: Options,
    *,
    wanted: Wanted,
    only: frozenset[str] | None,
    is_in_full: bool,
    is_wide: bool,
    is_summary: bool,
    output: str | None,
    is_paged: bool,
) -> int:
    """
    Show one line for each credential, the worst first: age, state, what comes next, how many places hold its key.

    One credential alone is shown in full: keys, evidence of use, where it is served and since when.

    Exit 0: every place that was asked holds a key that works; 1: something does not; 3: a person is needed.
    """
    from keyrota.app.cli.progress import exit_code, open_session  # noqa: PLC0415  # heavy, and not needed for --help
    from keyrota.report.fleet import find_state  # noqa: PLC0415

    given = [shape for shape, is_given in zip(_SHAPES, (is_wide, is_summary, is_in_full), strict=True) if is_given]
    _refuse_two([*(f"--{shape}" for shape in given), *([f"--output {output}"] if output in _FOR_MACHINES else [])])
    session = open_session(options)
    planned = session.plan(wanted)
    every = session.reports(planned)
    reports = tuple(report for report in every if only is None or find_state(report) in only)
    if options.is_json or output in _FOR_MACHINES:
        _print_for_machines(reports, output, planned.notes)
    else:
        is_alone = len(reports) == 1 and output is None
        shape = given[0] if given else "details" if is_alone else "table"
        show(_text(reports, "quiet" if options.is_quiet else shape), is_paged=is_paged, is_wide=shape == "wide")
    echo_notes(planned.notes)
    return exit_code(every)


_SHAPES = ("wide", "summary", "details")
_FOR_MACHINES = ("csv", "json")


def _refuse_two(given: list[str]) -> None:
    if len(given) > 1:
        raise UsageError(f"{given[0]} and {given[1]} are two ways to print", remedy="leave one of them out")


def _print_for_machines(reports: tuple[CredentialReport, ...], output: str | None, notes: tuple[str, ...]) -> None:
    if output == "csv":
        from keyrota.report.fleet import list_rows  # noqa: PLC0415  # heavy, and not needed for --help
        from keyrota.report.table import format_csv  # noqa: PLC0415

        echo(format_csv(list_rows(reports)))
    else:
        from keyrota.report.fleet import describe_fleet  # noqa: PLC0415

        say_json(describe_fleet(reports, notes=notes))


def _text(reports: tuple[CredentialReport, ...], shape: str) -> Iterator[str]:
    from keyrota.report.fleet import list_rows  # noqa: PLC0415  # heavy, and not needed for --help
    from keyrota.report.table import format_summary, format_table  # noqa: PLC0415
    from keyrota.report.text import not_read_text, quiet_text, status_text  # noqa: PLC0415

    now = max((report.now for report in reports), default=None)
    if shape in {"quiet", "details"} or now is None:
        yield from (quiet_text if shape == "quiet" else status_text)(reports, style())
        return
    if shape == "summary":
        yield from format_summary(list_rows(reports), style(), now=now)
    else:
        yield from format_table(list_rows(reports), style(), width=width(), now=now, is_wide=shape == "wide")
    yield from not_read_text(reports)
