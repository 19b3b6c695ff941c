"""`keyrota rotate`."""

from __future__ import annotations

import click

from keyrota.app.choice import Wanted
from keyrota.app.cli.common import Options, ask, global_options, pass_options
from keyrota.app.cli.naming import one_credential, require_name
from keyrota.errors import UsageError

_EXAMPLES = """\b
Examples:
  keyrota rotate ci-deploy                 before a long holiday, or to try it once
  keyrota rotate 222222222222:ci-deploy --yes
"""


@click.command("rotate", epilog=_EXAMPLES)
@one_credential
@click.option("--yes", "is_yes", is_flag=True, help="Do not ask for confirmation.")
@global_options
@pass_options
def command(options: Options, *, wanted: Wanted, is_yes: bool) -> int:
    """
    Replace a key now, before it is due. The old key stays Active for the usual overlap, then follows the policy.

    For a key that has leaked, use `keyrota revoke`.
    """
    from keyrota.app.cli.progress import carry_out  # noqa: PLC0415  # heavy, and not needed for --help
    from keyrota.app.session import Session  # noqa: PLC0415
    from keyrota.core.candidates import current_key  # noqa: PLC0415
    from keyrota.core.planner import Rotate, read  # noqa: PLC0415

    require_name(wanted, "rotate")
    session = Session(options.config)
    preview = session.one(wanted)
    key = current_key(read(preview.seen))
    if key is None:
        raise UsageError(
            f"{preview.credential} has no key that keyrota manages",
            remedy="keyrota plan says what is in the way; keyrota adopt chooses one of several keys",
        )
    ask(f"Replace {key} of {preview.credential} now? It stays Active for the usual overlap.", is_yes=is_yes)
    return carry_out(session, session.plan(wanted, Rotate(key=key)), options, is_request=True)
