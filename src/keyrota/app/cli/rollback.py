"""`keyrota rollback`."""

from __future__ import annotations

import click

from keyrota.app.cli.frame import Options, ask, global_options, pass_options
from keyrota.errors import UsageError


@click.command("rollback")
@click.argument("user")
@click.option("--yes", "is_yes", is_flag=True, help="Do not ask.")
@global_options
@pass_options
def command(options: Options, user: str, *, is_yes: bool) -> int:
    """Make the previous key Active and AWSCURRENT again, and send it to every target."""
    from keyrota.app.cli.carry_out import carry_out  # noqa: PLC0415  # heavy, and not needed for --help
    from keyrota.app.session import Session  # noqa: PLC0415
    from keyrota.core.emergency import Rollback, previous_key  # noqa: PLC0415
    from keyrota.core.planner import read  # noqa: PLC0415

    session = Session(options.config)
    preview = session.plan([user]).previews
    if not preview or preview[0].observation is None:
        raise preview[0].error if preview and preview[0].error else UsageError(f"{user} cannot be reached")
    previous = previous_key(read(preview[0].observation))
    if previous is None:
        raise UsageError(
            f"{user} has no previous key to go back to",
            remedy="it was deleted or revoked, or its secret was never stored; keyrota revoke makes a new key instead",
        )
    ask(f"Make {previous} current again?", is_yes=is_yes)
    return carry_out(session, session.plan([user], Rollback(to=previous)), options, is_deed=True)
