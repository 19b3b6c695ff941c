"""`keyrota forget`."""

from __future__ import annotations

import shlex

import click

from keyrota.app import words
from keyrota.app.choice import Name, Wanted
from keyrota.app.cli.common import Options, ask, echo, eprint, global_options, pass_options, say_json
from keyrota.app.cli.naming import AccountId, CredentialName
from keyrota.errors import UsageError

_EXAMPLES = """\b
Examples:
  keyrota status                                             names what was left behind
  keyrota forget 'bitbucket acme/shop Test'                  its variables stay; keyrota stops tracking them
  keyrota forget 'github acme/old' --delete-variables        delete the key there first
"""


@click.command("forget", epilog=_EXAMPLES)
@click.argument("target")
@click.option(
    "--user",
    "names",
    multiple=True,
    type=CredentialName(),
    help="Only where this user's secret remembers it; may be given several times.",
)
@click.option("--account", metavar="ID", type=AccountId(), help="Only for users of this account.")
@click.option("--delete-variables", "deletes", is_flag=True, help="Delete its variables first, if they are ours.")
@click.option("--yes", "is_yes", is_flag=True, help="Do not ask for confirmation.")
@global_options
@pass_options
def command(
    options: Options, target: str, *, names: tuple[Name, ...], account: str | None, deletes: bool, is_yes: bool
) -> int:
    """Stop tracking a target that was removed from the configuration."""
    from keyrota.app.session import Session  # noqa: PLC0415  # heavy, and not needed for --help
    from keyrota.executor.forget import forget, list_remembered  # noqa: PLC0415

    session = Session(options.config)
    planned = session.plan(Wanted(names=names, account=account))
    previews = planned.previews
    failed = [preview.error for preview in previews if preview.error is not None]
    failed += [missing.error for missing in planned.unreachable]
    known = [one for it in previews if it.observation for one in list_remembered(it.subject, it.observation)]
    found = [one for one in known if one.name == target]
    left = sorted({one.name for one in known if not one.is_configured})
    if not found and failed:
        raise failed[0]
    if not found:
        listed = ", ".join(shlex.quote(address) for address in left) or "none"
        raise UsageError(f"no removed target {target!r}", remedy=f"removed targets: {listed}")
    owners = [it.subject.name for it in previews if any(one.address == target for one in it.subject.targets)]
    found = [one for one in found if not one.is_configured]
    if not found:
        raise UsageError(
            f"{target} is in the configuration", remedy="remove it there first: the next run would write it again"
        )
    if owners and deletes:
        raise UsageError(
            f"{target} is {', '.join(owners)}'s now: its variables hold that key",
            remedy="leave --delete-variables out: then it is forgotten where it is left behind, and stays there",
        )
    for error in failed:
        eprint(f"warning: {error}: whether it remembers {target} as well is not known")
    for one in found:
        held = one.state.key if one.state and one.state.key else "it cannot be told which key"
        what = "Its variables are deleted: a pipeline there fails then." if deletes else "Its variables stay."
        whose = f"{one.subject.name}: " if session.wiring.is_of_several_accounts else ""
        eprint(f"{whose}{target} holds {held}. {what}")
    ask(f"Forget {target}?", is_yes=is_yes)
    gone = [name for one in found for name in forget(one, deletes_variables=deletes)]
    if options.is_json:
        say_json(
            {"version": 1, "target": target, "users": [str(one.subject.credential) for one in found], "deleted": gone}
        )
    elif not options.is_quiet:
        echo([f"forgotten: {target}" + (f"; deleted {', '.join(gone)}" if gone else "")])
    return words.EXIT_DONE
