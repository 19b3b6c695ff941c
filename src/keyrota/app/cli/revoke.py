"""`keyrota revoke`."""

from __future__ import annotations

from collections.abc import Iterator

import click

from keyrota.app import words
from keyrota.app.cli.frame import Options, ask, global_options, pass_options
from keyrota.core.model import Observation
from keyrota.core.plan import CreateKey, Plan, Promote
from keyrota.errors import UsageError

_EXAMPLES = """\b
Examples:
  keyrota revoke ci-deploy              new key first, then the old one off: pipelines go on
  keyrota revoke ci-deploy --now        off first: whoever has it is out, pipelines fail until the new key is there
  keyrota revoke ci-deploy --sessions   also deny temporary credentials issued before now
"""


@click.command("revoke", epilog=_EXAMPLES)
@click.argument("user")
@click.option("--key", help="This access key ID; otherwise the one that targets hold.")
@click.option("--now", "is_now", is_flag=True, help="Switch the key off before its successor is served.")
@click.option(
    "--sessions", "with_sessions", is_flag=True, help="Deny sessions issued before now (they live up to 36 h)."
)
@click.option("--release", "is_release", is_flag=True, help="Detach the quarantine policy that AWS attached.")
@click.option("--yes", "is_yes", is_flag=True, help="Do not ask.")
@global_options
@pass_options
def command(  # click passes what the command line has
    options: Options,
    user: str,
    key: str | None,
    *,
    is_now: bool,
    with_sessions: bool,
    is_release: bool,
    is_yes: bool,
) -> int:
    """Replace a key and switch it off at once, without overlap."""
    from keyrota.app.cli.carry_out import carry_out  # noqa: PLC0415  # heavy, and not needed for --help
    from keyrota.app.session import Session  # noqa: PLC0415
    from keyrota.core.emergency import Revoke, current_key  # noqa: PLC0415
    from keyrota.core.model import AccessKeyId  # noqa: PLC0415
    from keyrota.core.planner import read  # noqa: PLC0415

    session = Session(options.config)
    preview = session.plan([user]).previews
    if not preview or preview[0].observation is None:
        raise preview[0].error if preview and preview[0].error else UsageError(f"{user} cannot be reached")
    seen = preview[0].observation
    leaked = AccessKeyId(key) if key is not None else current_key(read(seen))
    if leaked is None:
        raise UsageError(
            f"{user} has no key that keyrota keeps",
            remedy=f"keyrota apply --user {user} adopts a key that is stored; keyrota status --user {user} shows all",
        )
    if leaked not in {known.id for known in seen.keys} and leaked != read(seen).current_key:
        raise UsageError(f"{user} has no access key {leaked}", remedy=f"keyrota status --user {user}")
    wish = Revoke(key=leaked, off_first=is_now, with_sessions=with_sessions, releases_quarantine=is_release)
    planned = session.plan([user], wish)
    for line in _consequences(leaked, planned.previews[0].plan or Plan(), seen, is_now=is_now):
        click.echo(line, err=True)
    ask(f"Revoke {leaked}?", is_yes=is_yes)
    code = carry_out(session, planned, options)
    return words.EXIT_FAILED if code else words.EXIT_DONE


def _consequences(key: str, planned: Plan, seen: Observation, *, is_now: bool) -> Iterator[str]:
    """Say what will happen and what it breaks, before it does."""
    where = ", ".join(target.address for target in seen.targets) or "no target"
    back = next((action.key for action in planned.actions if isinstance(action, Promote) and action.is_rollback), None)
    successor = f"The previous key {back}" if back else "A new key"
    is_replaced = any(isinstance(action, (CreateKey, Promote)) for action in planned.actions)
    if is_now:
        yield f"{key} goes off first. Whoever has it is out; what uses it fails: {where}, running pipelines."
    if is_replaced:
        yield f"{successor} goes to {where}" + ("." if is_now else f", then {key} goes off at once.")
        if not is_now:
            yield "Pipelines that are running with it then fail at their next call to AWS."
    elif is_now:
        yield "NO KEY CAN TAKE ITS PLACE NOW:" if planned.holds else "No other key is made: it is not the one in use."
        yield from (f"  {hold.reason}" for hold in planned.holds)
