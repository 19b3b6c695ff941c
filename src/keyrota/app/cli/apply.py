"""`keyrota apply`."""

from __future__ import annotations

import click

from keyrota.app.choice import Wanted
from keyrota.app.cli.common import Options, global_options, pass_options, warn_of_departed
from keyrota.app.cli.naming import some_credentials

_EXAMPLES = """\b
Examples:
  keyrota apply                    what `keyrota plan` shows, for all users
  keyrota apply --user ci-deploy
  keyrota apply --only deactivate  one duty alone, as its Lambda function does
  keyrota apply --force            although the brake would stop it
"""


@click.command("apply", epilog=_EXAMPLES)
@some_credentials
@click.option(
    "--only",
    type=click.Choice(["rotate", "sync", "deactivate", "delete"]),
    help="One duty alone; docs/reference/permissions.md has what each needs to be allowed.",
)
@click.option("--force", "is_forced", is_flag=True, help="Ignore the limit on rotations per run.")
@global_options
@pass_options
def command(options: Options, *, wanted: Wanted, only: str | None, is_forced: bool) -> int:
    """Do what `keyrota plan` shows. Exit 0: done; 1: failed, or broken; 3: a person is needed."""
    from keyrota.app.cli.progress import carry_out  # noqa: PLC0415  # heavy, and not needed for --help
    from keyrota.app.session import Session  # noqa: PLC0415
    from keyrota.core.plan import Duty  # noqa: PLC0415
    from keyrota.core.planner import Only  # noqa: PLC0415

    session = Session(options.config)
    intent = Only(duty=Duty(only)) if only else None
    code = carry_out(session, session.plan(wanted, intent), options, is_forced=is_forced)
    warn_of_departed(session)
    return code
