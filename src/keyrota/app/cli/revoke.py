"""`keyrota revoke`."""

from __future__ import annotations

import click

from keyrota.app import words
from keyrota.app.cli.frame import Options, ask, global_options, pass_options
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
    leaked = AccessKeyId(key) if key else current_key(read(seen))
    if leaked is None:
        raise UsageError(f"{user} has no key that keyrota keeps", remedy=f"keyrota status --user {user}")
    if leaked not in {known.id for known in seen.keys}:
        raise UsageError(f"{user} has no access key {leaked}", remedy=f"keyrota status --user {user}")
    for line in _consequences(leaked, [target.address for target in seen.targets], is_now=is_now):
        click.echo(line, err=True)
    ask(f"Revoke {leaked}?", is_yes=is_yes)
    wish = Revoke(key=leaked, off_first=is_now, with_sessions=with_sessions, releases_quarantine=is_release)
    code = carry_out(session, session.plan([user], wish), options)
    return words.EXIT_FAILED if code else words.EXIT_DONE


def _consequences(key: str, targets: list[str], *, is_now: bool) -> list[str]:
    where = ", ".join(targets) or "no target"
    if is_now:
        return [
            f"{key} goes off first. Until the new key is there, everything that uses it fails: {where},",
            "running pipelines, and whoever else has it.",
        ]
    return [
        f"A new key goes to {where}, then {key} goes off at once.",
        "Pipelines that are running with the old key now fail at their next call to AWS.",
    ]
