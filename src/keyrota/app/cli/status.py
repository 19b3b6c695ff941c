"""`keyrota status`."""

from __future__ import annotations

import click

from keyrota.app.choice import Wanted
from keyrota.app.cli.common import Options, echo, echo_notes, global_options, pass_options, say_json, style
from keyrota.app.cli.naming import some_credentials


@click.command("status")
@some_credentials
@global_options
@pass_options
def command(options: Options, *, wanted: Wanted) -> int:
    """
    Show each credential: keys, ages, evidence of use, where it is served and since when, what comes next.

    Exit 0: every place that was asked holds a key that works; 1: something does not; 3: a person is needed.
    """
    from keyrota.app.cli.progress import exit_code  # noqa: PLC0415  # heavy, and not needed for --help
    from keyrota.app.session import Session  # noqa: PLC0415
    from keyrota.report.data import document  # noqa: PLC0415
    from keyrota.report.text import quiet_text, status_text  # noqa: PLC0415

    session = Session(options.config)
    planned = session.plan(wanted)
    reports = session.reports(planned)
    if options.is_json:
        say_json(document(reports, notes=planned.notes))
    else:
        echo((quiet_text if options.is_quiet else status_text)(reports, style()))
    echo_notes(planned.notes)
    return exit_code(reports)
