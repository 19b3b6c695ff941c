"""`keyrota plan`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from keyrota.app import words
from keyrota.app.choice import Wanted
from keyrota.app.cli.common import (
    Options,
    echo_notes,
    eprint,
    global_options,
    pass_options,
    report_hosts,
    say_json,
    style,
    warn_of_departed,
)
from keyrota.app.cli.naming import some_credentials
from keyrota.app.cli.screen import pager_option, show
from keyrota.core.plan import Needs
from keyrota.report.data import CredentialReport

_EXAMPLES = """\b
Examples:
  keyrota plan
  keyrota plan --user ci-deploy --json
  keyrota plan --out tonight.plan    for review; `keyrota apply tonight.plan` does exactly that
  keyrota plan --exit-code        3 if something waits for a person, else 2 if something is due
"""


@click.command("plan", epilog=_EXAMPLES)
@some_credentials
@click.option(
    "--exit-code",
    "with_exit_code",
    is_flag=True,
    help="Exit 3 if something waits for a person, else 2 if something is due.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also write the plan to a file, for `keyrota apply FILE`; it holds no secret.",
)
@pager_option
@global_options
@pass_options
def command(options: Options, *, wanted: Wanted, with_exit_code: bool, out: Path | None, is_paged: bool) -> int:
    """
    Show what is due or held, and why, with one line for the rest. Writes nothing.

    One credential alone is shown in full, with what comes next.
    """
    from keyrota.app.cli.progress import open_session  # noqa: PLC0415  # heavy, and not needed for --help
    from keyrota.report.data import document  # noqa: PLC0415
    from keyrota.report.text import plan_text, quiet_text  # noqa: PLC0415

    session = open_session(options)
    planned = session.plan(wanted)
    reports = session.reports(planned)
    if out is not None:
        from keyrota.app import plan_file  # noqa: PLC0415  # heavy, and only for this

        plan_file.write(out, session.configuration, None, reports)
        eprint(f"written: {out}; `keyrota apply {shlex.quote(str(out))}` does exactly this, or nothing")
    report_hosts(session.configuration, options)
    if options.is_json:
        say_json(document(reports, notes=planned.notes))
    else:
        show((quiet_text if options.is_quiet else plan_text)(reports, style()), is_paged=is_paged)
    echo_notes(planned.notes)
    warn_of_departed(session)
    return _exit_code(reports, with_exit_code=with_exit_code)


def _exit_code(reports: tuple[CredentialReport, ...], *, with_exit_code: bool) -> int:
    """
    Choose the exit code; what waits for a person comes before what is due.

    In a large fleet something is due nearly always: a hold that counted less would never be seen.
    """
    if any(report.is_broken for report in reports):
        return words.EXIT_FAILED
    if not with_exit_code:
        return words.EXIT_DONE
    if any(report.needs is Needs.PERSON for report in reports):
        return words.EXIT_HELD
    return words.EXIT_DUE if any(report.plan and report.plan.actions for report in reports) else words.EXIT_DONE
