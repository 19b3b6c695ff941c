"""`keyrota confirm`."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from keyrota.app import words
from keyrota.app.choice import Wanted
from keyrota.app.cli.common import Options, ask, echo, eprint, global_options, pass_options, say_json, style
from keyrota.app.cli.naming import some_credentials
from keyrota.errors import KeyrotaError, UsageError

if TYPE_CHECKING:
    from datetime import datetime

    from keyrota.core.plan import Hold
    from keyrota.executor.confirm import Question
    from keyrota.executor.fleet import Preview
    from keyrota.executor.subject import CredentialContext

_EXAMPLES = """\b
Examples:
  keyrota plan                                               names the places that wait for a person
  keyrota confirm 'bitbucket acme/shop Production'           asks, and records who confirmed it and when
  keyrota confirm 'github acme/shop' --yes --json            in a script
"""


@click.command("confirm", epilog=_EXAMPLES)
@click.argument("target")
@some_credentials
@click.option("--yes", "is_yes", is_flag=True, help="Do not ask for confirmation.")
@global_options
@pass_options
def command(options: Options, target: str, *, wanted: Wanted, is_yes: bool) -> int:
    """
    Let keyrota write into a place that holds something which is not this user's key.

    Exit 0: it is recorded; 1: it is not, or a place of the same user does not work now.
    """
    from keyrota.app.session import Session  # noqa: PLC0415  # heavy, and not needed for --help
    from keyrota.executor.confirm import questions  # noqa: PLC0415

    session = Session(options.config)
    planned = session.plan(wanted)
    now = session.clock.now()
    failed = [preview.error for preview in planned.previews if preview.error is not None]
    failed += [missing.error for missing in planned.unreachable]
    open_ones = [one for it in planned.previews if it.observation for one in questions(it.subject, it.observation, now)]
    found = _choose(open_ones, target, failed)
    for one in found:
        _show(one)
    names = ", ".join(f"{one.subject.user} (account {one.subject.account})" for one in found)
    ask(f"Let keyrota write the key of {names} to {target}?", is_yes=is_yes)
    noted = [_confirm(one, session.clock.now()) for one in found]
    broken = list(_find_broken(planned.previews, found))
    if options.is_json:
        users = [one.subject.user for one in found]
        say_json({"version": 1, "target": target, "users": users, "confirmed": noted} | _describe_broken(broken))
    else:
        _echo(target, broken, options)
    return words.EXIT_FAILED if broken else words.EXIT_DONE


def _echo(target: str, broken: list[tuple[CredentialContext, Hold]], options: Options) -> None:
    from keyrota.report.text import format_broken  # noqa: PLC0415  # heavy, and not needed for --help

    if not options.is_quiet:
        echo([f"confirmed: {target}; keyrota apply writes it when it is due"])
    echo(format_broken((hold for _, hold in broken), style()))


def _find_broken(previews: Iterable[Preview], found: list[Question]) -> Iterator[tuple[CredentialContext, Hold]]:
    """Name what does not work now for the users whose place was confirmed (promise says-broken)."""
    asked = {one.subject.credential: one.target.address for one in found}
    for preview in previews:
        if preview.credential not in asked or preview.plan is None:
            continue
        for hold in preview.plan.broken:
            is_confirmed = hold.target == asked[preview.credential]
            remedy = f"keyrota sync --user {preview.subject.name}" if is_confirmed else hold.remedy
            yield preview.subject, replace(hold, remedy=remedy)


def _describe_broken(broken: list[tuple[CredentialContext, Hold]]) -> dict[str, Any]:
    from keyrota.report.data import hold_fields  # noqa: PLC0415  # only for --json

    return {
        "broken": [{"user": subject.user, "account": subject.account} | hold_fields(hold) for subject, hold in broken]
    }


def _choose(open_ones: list[Question], target: str, failed: list[KeyrotaError]) -> list[Question]:
    """
    Find the questions about a target.

    Raises:
        UsageError: There is none, or a person's word is not enough.
        KeyrotaError: There is none, and a credential could not be read.
    """
    found = [one for one in open_ones if one.target.address == target]
    if not found and failed:
        raise failed[0]
    if not found:
        choices = ", ".join(shlex.quote(one.target.address) for one in open_ones) or "none"
        raise UsageError(f"no target {target!r} waits for a confirmation", remedy=f"waiting: {choices}")
    for one in found:
        for doubt in one.doubts:
            if not doubt.is_confirmable:
                raise UsageError(f"{target} cannot be confirmed: {doubt.reason}", remedy=doubt.remedy)
    return found


def _confirm(one: Question, at: datetime) -> dict[str, Any]:
    """Confirm what was seen, and put it into the form of the document."""
    from keyrota.executor.confirm import confirm  # noqa: PLC0415  # heavy, and not needed for --help
    from keyrota.report.data import stamp  # noqa: PLC0415

    confirm(one, by=one.subject.caller, at=at)
    return {
        "user": one.subject.user,
        "account": one.subject.account,
        "place": str(one.target.place) if one.target.place else None,
        "reasons": [doubt.reason for doubt in one.doubts],
        "by": one.subject.caller,
        "at": stamp(at),
    }


def _show(one: Question) -> None:
    eprint(f"{one.target.address} ({one.target.place or 'its ID is not known'})")
    for doubt in one.doubts:
        eprint(f"  {doubt.reason}")
