"""`keyrota adopt`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from keyrota.app.choice import Wanted
from keyrota.app.cli.common import Options, ask, eprint, global_options, pass_options
from keyrota.app.cli.naming import one_credential, require_name
from keyrota.core.model import AccessKeyId
from keyrota.errors import UsageError

if TYPE_CHECKING:
    from keyrota.core.adoption import Adoption
    from keyrota.core.situation import Situation

_EXAMPLES = """\b
Examples:
  keyrota adopt ci-deploy                       keep the key that the targets show
  keyrota adopt ci-deploy --key AKIAIOSFODNN7EXAMPLE
  keyrota adopt ci-deploy --release AKIAI44QH8DHBEXAMPLE    nothing needs this one: deactivate it, delete it later
  keyrota adopt ci-deploy --new-key             the user has no key in use, and gets one
  keyrota adopt ci-deploy --take-over           another secret keeps its keys: from now on the one configured here does
"""


_WARNING = (
    "warning: the other configuration does nothing for this user any more. Targets that are not configured here keep "
    "the key that they hold now, and fail when it is deactivated: configure all of them first."
)


@click.command("adopt", epilog=_EXAMPLES)
@one_credential
@click.option("--key", metavar="ID", help="The key to keep (default: the one that the targets show).")
@click.option(
    "--release",
    metavar="ID",
    help="A key that nothing needs: it is deactivated, and deleted after the grace. Refused where it may be in use.",
)
@click.option("--new-key", "is_new_key", is_flag=True, help="The user has no key in use: let the next run make one.")
@click.option(
    "--take-over",
    "is_take_over",
    is_flag=True,
    help="Another configuration's secret keeps this user's keys: from now on the one that is configured here does.",
)
@click.option("--yes", "is_yes", is_flag=True, help="Do not ask for confirmation.")
@global_options
@pass_options
def command(
    options: Options,
    *,
    wanted: Wanted,
    key: str | None,
    release: str | None,
    is_new_key: bool,
    is_take_over: bool,
    is_yes: bool,
) -> int:
    """Decide about keys that keyrota did not make: which one it keeps and replaces when due, and which one may go."""
    from keyrota.app.cli.progress import carry_out  # noqa: PLC0415  # heavy, and not needed for --help
    from keyrota.app.session import Session  # noqa: PLC0415
    from keyrota.core.adoption import Adoption, describe  # noqa: PLC0415
    from keyrota.core.planner import read  # noqa: PLC0415
    from keyrota.core.situation import Situation  # noqa: PLC0415

    require_name(wanted, "adopt")
    for name, is_given in (("--new-key", is_new_key), ("--take-over", is_take_over)):
        if is_given and (key or release or (is_new_key and is_take_over)):
            raise UsageError(f"{name} stands alone", remedy="keyrota adopt --help")
    session = Session(options.config)
    preview = session.one(wanted)
    situation = Situation(view=read(preview.seen), policy=preview.subject.policy, now=session.clock.now())
    for known in preview.seen.keys:
        eprint(describe(situation, known))
    wish = Adoption(takes_over=True) if is_take_over else _wish(situation, key, release, makes_first=is_new_key)
    if is_take_over:
        eprint(_WARNING)
    ask(f"{_question(wish)} ({preview.credential})", is_yes=is_yes)
    return carry_out(session, session.plan(wanted, wish), options, is_choice=True)


def _wish(situation: Situation, key: str | None, release: str | None, *, makes_first: bool) -> Adoption:
    from keyrota.core.adoption import Adoption, find_shown_key  # noqa: PLC0415  # heavy, and not needed for --help

    if makes_first:
        return Adoption(makes_first=True)
    kept = AccessKeyId(key) if key else None
    if kept is None and release is None:
        kept = find_shown_key(situation.view)
        if kept is None:
            raise UsageError(
                "which key to keep is not clear: the targets show none of the user's Active keys, or several",
                remedy=_remedy(situation),
            )
    return Adoption(key=kept, release=AccessKeyId(release) if release else None)


def _remedy(situation: Situation) -> str:
    from keyrota.core.candidates import way_out  # noqa: PLC0415  # heavy, and not needed for --help
    from keyrota.core.model import KeyStatus  # noqa: PLC0415

    if situation.view.is_refused:
        return f"AWSCURRENT cannot be served; {way_out(situation.view, situation.now)}"
    if any(key.status is KeyStatus.ACTIVE for key in situation.view.keys):
        return "name it with --key; what is known of each key is listed above"
    user = situation.view.observation.name
    return f"none of its keys is Active: keyrota adopt {user} --new-key lets the next run make one"


def _question(wish: Adoption) -> str:
    if wish.takes_over:
        return "Take the keys of this user over?"
    parts = [f"Keep {wish.key}, and replace it when it is due"] if wish.key else []
    parts += [f"Deactivate {wish.release}, and delete it after the grace"] if wish.release else []
    return "? ".join(parts or ["Let the next run make a first key"]) + "?"
