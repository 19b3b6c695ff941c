"""`keyrota sync`."""

from __future__ import annotations

from pathlib import Path

import click

from keyrota.app.choice import Wanted
from keyrota.app.cli.common import Options, global_options, pass_options
from keyrota.app.cli.naming import some_credentials


@click.command("sync")
@some_credentials
@click.option(
    "--events",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Append what is done, held or failed to a file: JSON lines, as docs/reference/json.md describes them.",
)
@global_options
@pass_options
def command(options: Options, *, wanted: Wanted, events: Path | None) -> int:
    """Send AWSCURRENT again where a target differs. Makes no new key, and changes none."""
    from keyrota.app.cli.progress import carry_out, open_session  # noqa: PLC0415  # heavy, and not needed for --help
    from keyrota.core.planner import SyncOnly  # noqa: PLC0415

    session = open_session(options)
    return carry_out(session, session.plan(wanted, SyncOnly()), options, events=events)
