"""`keyrota apply`."""

from __future__ import annotations

import click

from keyrota.app.cli.frame import Options, global_options, pass_options

_EXAMPLES = """\b
Examples:
  keyrota apply                    what `keyrota plan` shows, for all users
  keyrota apply --user ci-deploy
  keyrota apply --force            although the brake would stop it
"""


@click.command("apply", epilog=_EXAMPLES)
@click.option("--user", "users", multiple=True, help="Only this IAM user; may be given several times.")
@click.option("--force", "is_forced", is_flag=True, help="Lift the brake.")
@global_options
@pass_options
def command(options: Options, users: tuple[str, ...], *, is_forced: bool) -> int:
    """Do what `keyrota plan` shows. Exit 0: done; 1: something failed; 3: something is held."""
    from keyrota.app.cli.carry_out import carry_out  # noqa: PLC0415  # heavy, and not needed for --help
    from keyrota.app.session import Session  # noqa: PLC0415

    session = Session(options.config)
    return carry_out(session, session.plan(users), options, is_forced=is_forced)
