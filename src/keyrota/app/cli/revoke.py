"""`keyrota revoke`."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from keyrota.app import words
from keyrota.app.choice import Wanted
from keyrota.app.cli.common import Options, ask, echo, eprint, global_options, pass_options, say_json
from keyrota.app.cli.naming import one_credential
from keyrota.core.model import AccessKeyId, KeyStatus, Observation
from keyrota.core.plan import Adopt, CreateKey, Deactivate, Plan, Promote
from keyrota.core.timestamps import parse
from keyrota.errors import KeyrotaError, OwnKey, ProviderRefused, ProviderUnavailable, UsageError

if TYPE_CHECKING:
    from keyrota.app.provider_breach import Verdict
    from keyrota.app.session import Session
    from keyrota.executor import Preview

_EXAMPLES = """\b
Examples:
  keyrota revoke ci-deploy              new key first, then the old one off: pipelines go on
  keyrota revoke ci-deploy --now        off first: whoever has it is out, pipelines fail until the new key is there
  keyrota revoke ci-deploy --sessions   also deny temporary credentials issued before now
  keyrota revoke --key AKIAIOSFODNN7EXAMPLE    whoever has this key
  keyrota revoke 123456789012:ci-deploy --now  the user of that account
  keyrota revoke --served-by github     GitHub was breached: every key that was ever written there
  keyrota revoke --served-by gitlab:acme/platform
  keyrota revoke --served-by github --now      all of them off first, then new ones
"""


@click.command("revoke", epilog=_EXAMPLES)
@one_credential
@click.option(
    "--served-by",
    metavar="PROVIDER[:SCOPE]",
    help="Instead of one user: every key that was ever written to a provider, or to one workspace, "
    "organization or group of it.",
)
@click.option(
    "--before",
    metavar="TIME",
    help="With --served-by: keys created later are safe already (to continue after an interruption).",
)
@click.option(
    "--key",
    metavar="ID",
    help="This access key ID; otherwise the one that targets hold. Without a user: of whichever user it is.",
)
@click.option(
    "--now",
    "is_now",
    is_flag=True,
    help="Deactivate the key first, before any provider is waited for; pipelines fail until its successor is there.",
)
@click.option(
    "--sessions",
    "with_sessions",
    is_flag=True,
    help="Deny temporary sessions issued before now (they last up to 36 h).",
)
@click.option("--release", "is_release", is_flag=True, help="Detach the quarantine policy that AWS attached.")
@click.option("--yes", "is_yes", is_flag=True, help="Do not ask for confirmation.")
@global_options
@pass_options
def command(  # click passes what the command line has
    options: Options,
    *,
    wanted: Wanted,
    key: str | None,
    served_by: str | None,
    before: str | None,
    is_now: bool,
    with_sessions: bool,
    is_release: bool,
    is_yes: bool,
) -> int:
    """Replace a key and switch it off at once, without overlap."""
    if served_by is not None:
        if not wanted.is_everything or key or with_sessions or is_release:
            raise UsageError("--served-by stands alone, with --before, --now and --yes")
        return _revoke_served_by(options, served_by, before, is_now=is_now, is_yes=is_yes)
    if before is not None or (key is None and not wanted.names):
        raise UsageError(
            "name a user, a key with --key, or a provider with --served-by", remedy="keyrota revoke --help"
        )
    from keyrota.app.cli.progress import carry_out  # noqa: PLC0415  # heavy, and not needed for --help
    from keyrota.app.session import Session  # noqa: PLC0415
    from keyrota.core.candidates import current_key, just_replaced, way_out  # noqa: PLC0415
    from keyrota.core.emergency import Revoke  # noqa: PLC0415
    from keyrota.core.own_key import refusal  # noqa: PLC0415
    from keyrota.core.planner import read  # noqa: PLC0415

    session = Session(options.config)
    if key is not None:
        wanted = _with_key(session, wanted, AccessKeyId(key))
    # With --now, no provider is asked before the key is off: not for the question either (promise emergency-first).
    more = f"{' --sessions' if with_sessions else ''}{' --release' if is_release else ''}"
    alone = partial(_off_alone, session, wanted, more=more, is_yes=is_yes)
    preview = _glance(session, wanted, key, alone) if is_now else session.one(wanted)
    seen, name = preview.seen, preview.credential
    known = read(seen)
    leaked = AccessKeyId(key) if key is not None else current_key(known)
    if leaked is None:
        raise UsageError(
            f"{name} has no key that keyrota keeps",
            remedy=(way_out(known, session.clock.now()) if known.is_refused else "")
            or f"keyrota apply {name} adopts a key that is stored; keyrota status {name} shows all, "
            "and `--key` names the one that leaked",
        )
    if leaked not in {one.id for one in seen.keys} and leaked != known.current_key:
        raise UsageError(
            f"{name} has no access key {leaked}",
            remedy=f"keyrota status {name} shows its keys; keyrota revoke --key {leaked} finds whose it is",
        )
    replaced = just_replaced(known, session.clock.now()) if key is None else None
    if replaced is not None and leaked == known.current_key:
        raise UsageError(
            f"{replaced} of {name} was revoked just now, and {leaked} took its place: nothing was done by this command",
            remedy=f"if {leaked} leaked as well: keyrota revoke {name} --key {leaked}",
        )
    own = refusal(seen, leaked)
    if own is not None:
        raise OwnKey(own.reason, where=str(name), remedy=own.remedy)
    wish = Revoke(
        key=leaked, off_first=is_now, is_hurried=is_now, with_sessions=with_sessions, releases_quarantine=is_release
    )
    planned = session.plan(wanted, wish)
    if is_now and (failed := planned.previews[0].error) is not None:
        alone(leaked, failed)
    for line in _consequences(leaked, planned.previews[0].plan or Plan(), seen, is_now=is_now):
        eprint(line)
    ask(f"Revoke {leaked} of {name}?", is_yes=is_yes)
    return carry_out(session, planned, options, is_request=True)


def _glance(
    session: Session, wanted: Wanted, key: str | None, alone: Callable[[str | None, KeyrotaError], None]
) -> Preview:
    """Look without any provider; where Secrets Manager does not answer either, deactivate the key without it."""
    from keyrota.core.emergency import Revoke  # noqa: PLC0415  # heavy, and not needed for --help

    glance = Revoke(key=AccessKeyId(key or ""), off_first=True)
    try:
        return session.one(wanted, replace(glance, is_hurried=True))
    except (ProviderRefused, ProviderUnavailable) as error:
        alone(key, error)
    return session.one(wanted, glance)


def _off_alone(
    session: Session, wanted: Wanted, key: str | None, error: KeyrotaError, *, more: str, is_yes: bool
) -> None:
    """
    Deactivate a key with IAM alone, where Secrets Manager does not answer; do nothing if the key cannot be determined.

    Raises:
        ProviderUnavailable: The key is off, and its successor is still to be made; `more` are options for that command.
        OwnKey, ProviderRefused: IAM refused, or keyrota itself runs with the key.
    """
    from keyrota.executor.off_alone import keys_of, only_active, own_key, turn_off  # noqa: PLC0415  # heavy, and rarely needed

    subjects = session.wiring.subjects(wanted)[0]
    if not subjects:
        raise error
    subject = subjects[0]
    active = {known.id for known in keys_of(subject) if known.status is KeyStatus.ACTIVE}
    leaked = AccessKeyId(key) if key is not None else only_active(subject)
    if leaked is None or leaked not in active:
        return
    own = own_key(subject, leaked)
    if own is not None:
        raise OwnKey(own.reason, where=subject.name, remedy=own.remedy)
    eprint(f"The secret of {subject.name} cannot be read: {error.what}")
    eprint(f"{leaked} is deactivated all the same. Whoever has it is out; what uses it fails until it is replaced.")
    ask(f"Deactivate {leaked} of {subject.name}?", is_yes=is_yes)
    word = turn_off(subject, leaked)
    again = f"keyrota revoke {subject.name} --key {leaked}{more}"
    raise ProviderUnavailable(
        f"{leaked} of {subject.name} is {word}, and NOT replaced: {error.what}",
        where=error.where,
        remedy=f"pipelines that hold it fail now; once that is solved: {again}",
    ) from None


def _with_key(session: Session, wanted: Wanted, key: AccessKeyId) -> Wanted:
    """Let the key decide where the name alone does not."""
    from keyrota.app.search import credential_with  # noqa: PLC0415  # heavy, and not needed for --help

    if wanted.names and len(session.wiring.chooser.match_all(wanted)) == 1:
        return wanted
    return Wanted.only(credential_with(session.wiring, wanted, key))


def _revoke_served_by(options: Options, text: str, before: str | None, *, is_now: bool, is_yes: bool) -> int:
    """Replace every key that was ever written to a provider."""
    from keyrota.app.cli.progress import Progress  # noqa: PLC0415
    from keyrota.app.provider_breach import Place, find_exposed, places, replace_all  # noqa: PLC0415  # heavy, and not needed for --help
    from keyrota.app.session import Session  # noqa: PLC0415
    from keyrota.report.text import count  # noqa: PLC0415

    session = Session(options.config)
    place = Place.read(text, session.configuration.kinds)
    since = _instant(before) if before else session.clock.now()
    found, errors = find_exposed(session, place, since, is_now=is_now)
    if not found and not errors:
        known = ", ".join(places(session, place.provider)) or "none"
        eprint(f"warning: no key of this configuration was ever written to {text}")
        eprint(f"hint: targets at {place.provider}: {known}")
    waiting = [it for it in found if it.keys]
    for it in waiting:
        unread = f" (its secret cannot be read: {it.preview.error.what})" if it.preview.error else ""
        eprint(f"{it.preview.credential}: {', '.join(it.keys)}{unread}")
    if waiting:
        if is_now:
            eprint("They are all deactivated first. What uses them fails until the new keys are at every target.")
        else:
            eprint("Pipelines that are running with them fail at their next call to AWS.")
        ask(f"Replace the keys of {count(len(waiting), 'credential')}?", is_yes=is_yes)
    verdicts = replace_all(session, found, Progress(options), off_first=is_now)
    config = "" if options.config == Options().config else f" --config {shlex.quote(options.config)}"
    again = f"keyrota{config} revoke --served-by {shlex.quote(text)} --before {since:%Y-%m-%dT%H:%M:%SZ}"
    again += " --now" if is_now else ""
    is_done = all(verdict.is_done for verdict in verdicts) and not errors
    if options.is_json:
        say_json(_breach_document(text, since, verdicts, errors, again))
    else:
        echo(_breach_text(verdicts, errors, None if is_done else again))
    return words.EXIT_DONE if is_done else words.EXIT_FAILED


def _instant(text: str) -> datetime:
    """
    Read a time with its zone, and return it in UTC: so it is printed, in the command that continues this one.

    Raises:
        UsageError: It is none.
    """
    try:
        return parse(text)
    except ValueError:
        raise UsageError(f"{text!r} is no time", remedy="write it as 2026-05-01T06:00:00Z") from None


def _breach_text(verdicts: Sequence[Verdict], errors: Sequence[KeyrotaError], again: str | None) -> Iterator[str]:
    from keyrota.report.text import describe_remaining  # noqa: PLC0415  # heavy, and not needed for --help

    safe = [verdict for verdict in verdicts if verdict.is_safe]
    yield f"safe again: {len(safe)} of {len(verdicts) + len(errors)} (every older key was read as Inactive or deleted)"
    for verdict in safe:
        off = ", ".join(verdict.keys) or "no key was Active"
        new = verdict.new_key if verdict.is_replaced else None
        yield f"  ✓ {verdict.name}: {off} → {new or ('no key' if verdict.is_replaced else 'not replaced yet')}"
    missing = [verdict for verdict in verdicts if not verdict.is_done]
    if missing or errors:
        yield "not yet:"
    for verdict in missing:
        left = [describe_remaining(verdict.stops)] if verdict.stops else []
        yield f"  ✗ {verdict.name}: {'; '.join([*left, *verdict.reasons])}"
        yield from (f"      {remedy}" for remedy in verdict.remedies)
    for error in errors:
        yield f"  ✗ {error}"
        yield from (f"      {line}" for line in filter(None, [error.remedy]))
    if again:
        yield f"to continue: {again}"


def _breach_document(
    text: str, since: datetime, verdicts: Sequence[Verdict], errors: Sequence[KeyrotaError], again: str
) -> dict[str, Any]:
    from keyrota.report.data import error_fields, stamp  # noqa: PLC0415  # only for --json

    return {
        "version": 1,
        "served_by": text,
        "before": stamp(since),
        "resume": again,
        "credentials": [
            {
                "user": verdict.credential.user,
                "account": verdict.credential.account,
                "safe": verdict.is_safe,
                "replaced": verdict.is_replaced,
                "keys": list(verdict.keys),
                "new_key": verdict.new_key,
                "reasons": [*map(str, verdict.stops), *verdict.reasons],
                "remedies": list(verdict.remedies),
            }
            for verdict in verdicts
        ],
        "errors": [{"user": None, "account": None} | error_fields(error) for error in errors],
    }


def _consequences(key: str, planned: Plan, seen: Observation, *, is_now: bool) -> Iterator[str]:
    """Say what will happen and what it breaks, before it does."""
    where = ", ".join(target.address for target in seen.targets) or "no target"
    back = next((action.key for action in planned.actions if isinstance(action, Promote) and action.is_rollback), None)
    successor = f"The previous key {back}" if back else "A new key"
    is_replaced = any(isinstance(action, (CreateKey, Promote)) for action in planned.actions)
    if is_now and _stays_active(key, planned, seen):
        yield f"{key} STAYS ACTIVE:"
        yield from (f"  {hold.reason}" for hold in planned.holds)
        return
    if is_now:
        yield _off(key, planned, seen, where)
    if is_replaced:
        yield f"{successor} goes to {where}" + ("." if is_now else f", then {key} is deactivated at once.")
        if not is_now:
            yield "Pipelines that are running with it then fail at their next call to AWS."
    elif is_now and any(isinstance(action, Adopt) for action in planned.actions):
        yield "What someone else put into the secret takes its place, if it is a valid key of this user;"
        yield "otherwise a new key does."
    elif is_now:
        yield "NO KEY CAN TAKE ITS PLACE NOW:" if planned.holds else "No other key is made: it is not the one in use."
        yield from (f"  {hold.reason}" for hold in planned.holds)


def _goes_off(key: str, planned: Plan) -> bool:
    """Say whether the plan deactivates the key; where a value is adopted first, the rest is planned after that."""
    return any(
        isinstance(action, Adopt) or (isinstance(action, Deactivate) and action.key == key)
        for action in planned.actions
    )


def _stays_active(key: str, planned: Plan, seen: Observation) -> bool:
    is_active = any(one.id == key and one.status is KeyStatus.ACTIVE for one in seen.keys)
    return is_active and not _goes_off(key, planned)


def _off(key: str, planned: Plan, seen: Observation, where: str) -> str:
    if _goes_off(key, planned):
        return f"{key} is deactivated first. Whoever has it is out; what uses it fails: {where}, running pipelines."
    word = next((one.status_word for one in seen.keys if one.id == key), None)
    return f"{key} is {word} already." if word else f"IAM does not list {key}: there is nothing to deactivate."
