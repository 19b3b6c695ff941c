"""`keyrota rollback`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

from keyrota.app.choice import Wanted
from keyrota.app.cli.common import Options, ask, global_options, pass_options
from keyrota.app.cli.naming import one_credential, require_name
from keyrota.errors import UsageError

if TYPE_CHECKING:
    from keyrota.core.lifecycle import KeyRing


@click.command("rollback")
@one_credential
@click.option("--yes", "is_yes", is_flag=True, help="Do not ask for confirmation.")
@global_options
@pass_options
def command(options: Options, *, wanted: Wanted, is_yes: bool) -> int:
    """Make the previous key Active and AWSCURRENT again, and send it to every target."""
    from keyrota.app.cli.progress import carry_out  # noqa: PLC0415  # heavy, and not needed for --help
    from keyrota.app.session import Session  # noqa: PLC0415
    from keyrota.core.candidates import previous_key  # noqa: PLC0415
    from keyrota.core.emergency import Rollback  # noqa: PLC0415
    from keyrota.core.planner import read  # noqa: PLC0415

    require_name(wanted, "rollback")
    session = Session(options.config)
    preview = session.one(wanted)
    known, now = read(preview.seen), session.clock.now()
    previous = previous_key(known)
    if previous is None:
        raise UsageError(
            f"{preview.credential} has no previous key to go back to",
            remedy=f"it was deleted or revoked, or its secret was never stored; {_instead(known, now)}",
        )
    ask(f"Make {previous} of {preview.credential} current again?", is_yes=is_yes)
    return carry_out(session, session.plan(wanted, Rollback(to=previous)), options, is_request=True)


def _instead(seen: KeyRing, now: datetime) -> str:
    """Say what makes the credential work where there is nothing to go back to."""
    from keyrota.core.candidates import current_key, way_out  # noqa: PLC0415  # heavy, and not needed for --help

    name = seen.observation.name
    if seen.is_refused:
        return way_out(seen, now)
    if current_key(seen) is None:
        return f"keyrota adopt {name} --new-key lets the next run make one"
    return f"keyrota revoke {name} makes a new key instead"
