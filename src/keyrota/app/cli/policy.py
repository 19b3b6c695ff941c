"""`keyrota policy`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from keyrota.app.cli.common import Options, echo, eprint, global_options, pass_options, say_json
from keyrota.errors import UsageError

if TYPE_CHECKING:
    from keyrota.app.policies import Permissions

_EXAMPLES = """\b
Examples:
  keyrota policy                              of the account that keyrota runs in
  keyrota policy --duty plan                  what a pull request's plan needs
  keyrota policy --account 222222222222       of the role in that account
  keyrota policy --account 222222222222 --trust
  keyrota policy --format terraform           all of it, as Terraform resources
"""
_DUTIES = ("plan", "rotate", "sync", "deactivate", "delete", "revoke", "release")


@click.command("policy", epilog=_EXAMPLES)
@click.option(
    "--duty", "duties", multiple=True, type=click.Choice(_DUTIES), help="Only what this duty needs (default: all)."
)
@click.option("--account", metavar="ID", help="Of the member role in this account.")
@click.option("--trust", "is_trust", is_flag=True, help="The trust policy of that role.")
@click.option(
    "--format",
    "style",
    type=click.Choice(["json", "terraform"]),
    default="json",
    show_default=True,
    help="Output format.",
)
@click.option("--caller", metavar="ARN", help="The principal that keyrota runs as; given, AWS is not asked.")
@global_options
@pass_options
def command(
    options: Options, *, duties: tuple[str, ...], account: str | None, is_trust: bool, style: str, caller: str | None
) -> None:
    """Print the least-privilege IAM policy that this configuration needs. Changes nothing."""
    from keyrota.app.config import load_from  # noqa: PLC0415  # heavy, and not needed for --help
    from keyrota.app.policies import permissions, terraform  # noqa: PLC0415

    configuration = load_from(options.config)
    arn = caller or _ask_principal(options.config)
    parts = arn.split(":")
    if len(parts) < 6 or not parts[4]:  # noqa: PLR2004  # an ARN has six parts
        raise UsageError(f"{arn!r} is not the ARN of a principal", remedy="arn:aws:iam::111111111111:role/keyrota")
    found = permissions(
        configuration,
        account=parts[4],
        partition=parts[1],
        region=configuration.region or "*",
        caller=arn,
        duties=duties or _DUTIES,
    )
    if style == "terraform":
        echo(terraform(found))
        return
    one = _choose(found, account or parts[4], is_member=account is not None)
    if is_trust and one.trust is None:
        raise UsageError("the account that keyrota runs in needs no trust policy", remedy="name one with --account")
    say_json(one.trust if is_trust else one.document)
    if account is None:
        for other in found[1:]:
            eprint(f"note: also needed: keyrota policy --account {other.account}, and the same with --trust")


def _ask_principal(config: str) -> str:
    from keyrota.app.session import Session  # noqa: PLC0415  # as above
    from keyrota.aws.permissions import principal  # noqa: PLC0415

    session = Session(config)
    own = session.wiring.own_account()
    own.enter(session.clock)
    return principal(own.caller())


def _choose(found: tuple[Permissions, ...], account: str, *, is_member: bool) -> Permissions:
    """Find the one that is asked for."""
    if not is_member:
        return found[0]
    matches = [one for one in found if one.account == account and one.role]
    if len(matches) == 1:
        return matches[0]
    if matches:
        roles = ", ".join(one.role for one in matches)
        raise UsageError(f"account {account} has several roles: {roles}", remedy="use --format terraform")
    members = ", ".join(sorted({one.account for one in found if one.role})) or "none"
    raise UsageError(f"no credential is reached through a role in account {account}", remedy=f"accounts: {members}")
