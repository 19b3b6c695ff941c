"""`keyrota sync`."""

from __future__ import annotations

import click

from keyrota.app.cli.frame import Options, global_options, pass_options


@click.command("sync")
@click.option("--user", "users", multiple=True, help="Only this IAM user; may be given several times.")
@global_options
@pass_options
def command(options: Options, users: tuple[str, ...]) -> int:
    """Send AWSCURRENT again where a target differs. Makes no new key, and changes none."""
    from keyrota.app.cli.carry_out import carry_out  # noqa: PLC0415  # heavy, and not needed for --help
    from keyrota.app.session import Session  # noqa: PLC0415
    from keyrota.core.planner import SyncOnly  # noqa: PLC0415

    session = Session(options.config)
    return carry_out(session, session.plan(users, SyncOnly()), options)
