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
  keyrota apply --max 3            at most three new keys in this run
"""


@click.command("apply", epilog=_EXAMPLES)
@some_credentials
@click.option(
    "--only",
    type=click.Choice(["rotate", "sync", "deactivate", "delete"]),
    help="One duty alone; docs/reference/permissions.md has what each needs to be allowed.",
)
@click.option(
    "--max",
    "limit",
    type=click.IntRange(min=0),
    metavar="N",
    help="New keys that this run makes at most, instead of `rollout.per_run`.",
)
@click.option("--force", "is_forced", is_flag=True, help="Make every new key that is due: nothing waits for its turn.")
@global_options
@pass_options
def command(options: Options, *, wanted: Wanted, only: str | None, limit: int | None, is_forced: bool) -> int:
    """Do what `keyrota plan` shows. Exit 0: done; 1: failed, or broken; 3: a person is needed."""
    from keyrota.app.cli.progress import carry_out  # noqa: PLC0415  # heavy, and not needed for --help
    from keyrota.app.session import Session  # noqa: PLC0415
    from keyrota.app.waves import Asked  # noqa: PLC0415
    from keyrota.core.plan import Duty  # noqa: PLC0415
    from keyrota.core.planner import Only  # noqa: PLC0415

    session = Session(options.config)
    intent = Only(duty=Duty(only)) if only else None
    waves = None if is_forced else Asked(limit=limit)
    code = carry_out(session, session.plan(wanted, intent, waves), options)
    warn_of_departed(session)
    return code
