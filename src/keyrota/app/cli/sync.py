"""`keyrota sync`."""

from __future__ import annotations

import click

from keyrota.app.choice import Wanted
from keyrota.app.cli.common import Options, global_options, pass_options
from keyrota.app.cli.naming import some_credentials


@click.command("sync")
@some_credentials
@global_options
@pass_options
def command(options: Options, *, wanted: Wanted) -> int:
    """Send AWSCURRENT again where a target differs. Makes no new key, and changes none."""
    from keyrota.app.cli.progress import carry_out  # noqa: PLC0415  # heavy, and not needed for --help
    from keyrota.app.session import Session  # noqa: PLC0415
    from keyrota.core.planner import SyncOnly  # noqa: PLC0415

    session = Session(options.config)
    return carry_out(session, session.plan(wanted, SyncOnly()), options)
