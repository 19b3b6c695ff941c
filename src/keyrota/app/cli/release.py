"""`keyrota release`."""

from __future__ import annotations

import click

from keyrota.app import words
from keyrota.app.choice import Name
from keyrota.app.cli.common import Options, ask, echo, eprint, global_options, pass_options, say_json
from keyrota.app.cli.naming import AccountId, within
from keyrota.errors import UsageError

_EXAMPLES = """\b
Examples:
  keyrota check                              names the credentials that left the configuration
  keyrota release ci-deploy                  its key and its secret stay; keyrota stops reporting it
  keyrota release 222222222222:ci-deploy     of this account
  keyrota release ci-deploy --stack keyrota@eu-central-1/123456789012    kept by this deployed stack
"""


@click.command("release", epilog=_EXAMPLES)
@click.argument("credential", metavar="[ACCOUNT:]USER")
@click.option("--account", metavar="ID", type=AccountId(), help="Only of this account; the same as ACCOUNT:USER.")
@click.option(
    "--stack",
    metavar="NAME@REGION/ACCOUNT",
    default="",
    help="Also what this deployed stack has kept, where no configured credential has a secret of that stack yet.",
)
@click.option("--yes", "is_yes", is_flag=True, help="Do not ask for confirmation.")
@global_options
@pass_options
def command(options: Options, credential: str, *, account: str | None, stack: str, is_yes: bool) -> int:
    """Stop reporting a credential that left the configuration, and let another one have it. Changes no key."""
    from keyrota.app.departed import find_departed  # noqa: PLC0415  # heavy, and not needed for --help
    from keyrota.app.owners import let_go  # noqa: PLC0415
    from keyrota.app.session import Session  # noqa: PLC0415
    from keyrota.aws.kept import release  # noqa: PLC0415

    name = within(Name.read(credential), account)
    session = Session(options.config, stack=stack)
    every, errors = find_departed(session)
    known_account = name.account or account
    found = [one for one in every if one.user == name.user and known_account in (None, one.account.id())]
    if not found and errors:
        raise errors[0]
    if len(found) != 1:
        among = found or every
        known = ", ".join(f"{one.account.id()}:{one.user}" for one in among) or "none"
        what = "means several credentials" if found else "is not a credential that left the configuration"
        raise UsageError(f"{credential!r} {what}", remedy=f"one of: {known}")
    (one,) = found
    eprint(one.describe())
    ask(f"Release {one.account.id()}:{one.user}?", is_yes=is_yes)
    let_go(one)
    release(one.account, one.secret.arn, session.clock.now())
    if options.is_json:
        say_json({"version": 1, "user": one.user, "account": one.account.id(), "secret": one.secret.name, "errors": []})
    elif not options.is_quiet:
        echo([f"released: {one.account.id()}:{one.user}; its keys and its secret {one.secret.name} stay as they are"])
    return words.EXIT_DONE
