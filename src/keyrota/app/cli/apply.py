"""`keyrota apply`."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from keyrota.app.choice import Wanted
from keyrota.app.cli.common import Options, ask, eprint, global_options, pass_options, style, warn_of_departed
from keyrota.app.cli.naming import CredentialName, some_credentials
from keyrota.app.cli.screen import show
from keyrota.errors import UsageError

if TYPE_CHECKING:
    from keyrota.app.plan_file import ReviewedPlan
    from keyrota.app.session import Planned, Session
    from keyrota.app.waves import Asked
    from keyrota.core.plan import Duty

_EXAMPLES = """\b
Examples:
  keyrota apply                    what `keyrota plan` shows, for all users
  keyrota apply --user ci-deploy
  keyrota apply tonight.plan       exactly what `keyrota plan --out tonight.plan` wrote, or nothing
  keyrota apply --only deactivate  one duty alone, as its Lambda function does
  keyrota apply --max 3            at most three new keys in this run
  keyrota apply --force --reason "audit on Monday"
"""
_PLAN = "keyrota.plan"


class _NameOrPlan(CredentialName):
    """A credential, or the file of a plan, which is kept aside."""

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:  # noqa: ARG002
        """Name it in the help (click before 8.2 gives no context)."""
        return "[ACCOUNT:]USER|FILE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read a name; what has a separator of folders in it, or is there as the file of a plan, is one."""
        text = str(value)
        if ctx is None or not (os.sep in text or "/" in text or _is_plan(Path(text))):
            return super().convert(value, param, ctx)
        if _PLAN in ctx.meta:
            raise UsageError("two plans are given", remedy="apply one after the other")
        ctx.meta[_PLAN] = Path(text)
        return None


def _is_plan(path: Path) -> bool:
    from keyrota.app.plan_file import is_plan  # noqa: PLC0415  # heavy, and only for this

    return is_plan(path)


@click.command("apply", epilog=_EXAMPLES)
@partial(some_credentials, kind=_NameOrPlan())
@click.option(
    "--only",
    type=click.Choice(["rotate", "sync", "deactivate", "delete"]),
    help="One duty alone; docs/reference/permissions.md has what each needs to be allowed.",
)
@click.option(
    "--max",
    "limit",
    type=click.IntRange(min=0),
    metavar="N",
    help="New keys that this run makes at most, instead of `rollout.per_run`.",
)
@click.option("--force", "is_forced", is_flag=True, help="Make every new key that is due: nothing waits for its turn.")
@click.option("--reason", default="", help="Why: goes with --force into the report, and into a tag of each secret.")
@click.option(
    "--events",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Append what is done, held or failed to a file: JSON lines, as docs/reference/json.md describes them.",
)
@click.option("--yes", "is_yes", is_flag=True, help="Do not show the plan and ask, which only happens on a terminal.")
@global_options
@pass_options
@click.pass_context
def command(
    context: click.Context,
    options: Options,
    *,
    wanted: Wanted,
    only: str | None,
    limit: int | None,
    is_forced: bool,
    reason: str,
    events: Path | None,
    is_yes: bool,
) -> int:
    """
    Do what `keyrota plan` shows. Exit 0: done; 1: failed, or broken; 3: a person is needed.

    On a terminal, the plan is shown and you are asked first. With the file of a plan, exactly that plan is done: if
    anything else is due now, nothing is done, and what is different is listed.
    """
    from keyrota.app.cli.progress import carry_out, open_session  # noqa: PLC0415  # heavy, and not needed for --help
    from keyrota.app.waves import Asked  # noqa: PLC0415
    from keyrota.core.plan import Duty  # noqa: PLC0415

    waves = Asked(limit=limit, force_reason=_read_reason(reason, limit, is_forced=is_forced))
    reviewed = _read_reviewed(context, is_alone=wanted.is_everything and not (only or is_forced or limit is not None))
    session = open_session(options)
    if reviewed is not None:
        planned = _plan_as(session, reviewed, context.meta[_PLAN])
    else:
        planned = _plan(session, wanted, Duty(only) if only else None, waves)
        _ask(session, planned, options, is_yes=is_yes)
    code = carry_out(session, planned, options, events=events)
    warn_of_departed(session)
    return code


def _read_reason(reason: str, limit: int | None, *, is_forced: bool) -> str:
    """
    Read why new keys are forced; empty: they are not.

    Raises:
        UsageError: One is given without the other, or --max as well.
    """
    if is_forced != bool(reason.strip()):
        raise UsageError(
            "--force needs a reason" if is_forced else "--reason is given for --force",
            remedy='keyrota apply --force --reason "why nothing may wait"',
        )
    if is_forced and limit is not None:
        raise UsageError("--force and --max contradict each other", remedy="give one of them")
    return reason.strip()


def _plan(session: Session, wanted: Wanted, only: Duty | None, waves: Asked) -> Planned:
    from keyrota.core.planner import Only  # noqa: PLC0415  # heavy, and not needed for --help

    return session.plan(wanted, Only(duty=only) if only else None, waves)


def _read_reviewed(context: click.Context, *, is_alone: bool) -> ReviewedPlan | None:
    path = context.meta.get(_PLAN)
    if path is None:
        return None
    if not is_alone:
        raise UsageError(
            "a plan says itself what is done", remedy=f"keyrota apply {path}, without names, --only, --max and --force"
        )
    from keyrota.app import plan_file  # noqa: PLC0415  # heavy, and only for this

    return plan_file.read(path)


def _plan_as(session: Session, reviewed: ReviewedPlan, path: Path) -> Planned:
    """
    Plan anew, and refuse what is not the plan that was reviewed.

    Raises:
        UsageError: A user has the name of the file.
        PlanChanged, PartialFailure: Something is different; nothing was changed.
    """
    from keyrota.app import plan_file  # noqa: PLC0415  # heavy, and only for this
    from keyrota.app.waves import Asked  # noqa: PLC0415

    if any(entry.user == str(path) for entry in session.configuration.credentials):
        remedy = f"keyrota apply --user {path} means the user, keyrota apply ./{path} the plan"
        raise UsageError(f"{path} is a user, and a file as well", remedy=remedy)
    plan_file.refuse_other_configuration(reviewed, session.configuration)
    planned = _plan(session, reviewed.wanted, reviewed.only, Asked())
    plan_file.refuse_difference(reviewed, session.reports(planned))
    return planned


def _ask(session: Session, planned: Planned, options: Options, *, is_yes: bool) -> None:
    """Show the plan and ask, on a terminal, where something would be done."""
    is_asked = not is_yes and not options.is_json and sys.stdin.isatty() and sys.stdout.isatty()
    actions = sum(len(preview.plan.actions) for preview in planned.previews if preview.plan)
    if not is_asked or not actions:
        return
    from keyrota.report.text import plan_text  # noqa: PLC0415  # heavy, and not needed for --help

    show(plan_text(session.reports(planned), style()))
    eprint("")
    ask("Do this now?", is_yes=False)
