"""`keyrota apply`."""

from __future__ import annotations

import click

from keyrota.app.choice import Wanted
from keyrota.app.cli.common import Options, global_options, pass_options, warn_of_departed
from keyrota.app.cli.naming import some_credentials
from keyrota.errors import UsageError

_EXAMPLES = """\b
Examples:
  keyrota apply                    what `keyrota plan` shows, for all users
  keyrota apply --user ci-deploy
  keyrota apply --only deactivate  one duty alone, as its Lambda function does
  keyrota apply --max 3            at most three new keys in this run
  keyrota apply --force --reason "audit on Monday"
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
@click.option("--reason", default="", help="Why: goes with --force into the report, and into a tag of each secret.")
@global_options
@pass_options
def command(  # one argument an option
    options: Options, *, wanted: Wanted, only: str | None, limit: int | None, is_forced: bool, reason: str
) -> int:
    """Do what `keyrota plan` shows. Exit 0: done; 1: failed, or broken; 3: a person is needed."""
    from keyrota.app.cli.progress import carry_out  # noqa: PLC0415  # heavy, and not needed for --help
    from keyrota.app.session import Session  # noqa: PLC0415
    from keyrota.app.waves import Asked  # noqa: PLC0415
    from keyrota.core.plan import Duty  # noqa: PLC0415
    from keyrota.core.planner import Only  # noqa: PLC0415

    if is_forced != bool(reason.strip()):
        raise UsageError(
            "--force needs a reason" if is_forced else "--reason is given for --force",
            remedy='keyrota apply --force --reason "why nothing may wait"',
        )
    if is_forced and limit is not None:
        raise UsageError("--force and --max contradict each other", remedy="give one of them")
    session = Session(options.config)
    intent = Only(duty=Duty(only)) if only else None
    waves = Asked(limit=limit, force_reason=reason.strip())
    code = carry_out(session, session.plan(wanted, intent, waves), options)
    warn_of_departed(session)
    return code
