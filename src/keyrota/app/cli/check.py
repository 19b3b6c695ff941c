"""`keyrota check`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keyrota.app import words
from keyrota.app.choice import Wanted
from keyrota.app.cli.common import Options, global_options, pass_options, say_json, style
from keyrota.app.cli.findings import USUAL, Dated, Finding, Shape, format_findings, make_document
from keyrota.app.cli.naming import some_credentials
from keyrota.app.cli.screen import pager_option, show
from keyrota.app.cli.watch import Watch
from keyrota.app.config import Configuration, CredentialConfig, load
from keyrota.app.hosts import refuse_untrusted
from keyrota.app.session import Planned, Session
from keyrota.core.lifecycle import interpret
from keyrota.core.model import CredentialId, Observation, Readiness, TargetEvidence, UserName
from keyrota.core.naming import ARN_LIKE_END
from keyrota.core.places import open_doubts
from keyrota.core.plan import HoldKind, Needs
from keyrota.core.policy import AUDIT_LIMIT, CalendarEntry, calendar
from keyrota.core.renewal import cannot_rotate
from keyrota.core.situation import Situation
from keyrota.errors import ConfigError, KeyrotaError, NoCredentials, SharedPlace, UsageError
from keyrota.executor import Preview
from keyrota.executor.confirm import questions
from keyrota.executor.parallel import in_parallel
from keyrota.report.text import count, not_read_text
from keyrota.target_base.schema import WAITING
from keyrota.targets import kinds

if TYPE_CHECKING:
    from keyrota.aws.account import Account

DAYS = 400


@click.command("check")
@some_credentials
@click.option("--days", default=DAYS, type=click.IntRange(1, 4000), show_default=True, help="Length of the calendar.")
@click.option("--stack", help="Also look at the stack of this name that keyrota deploy made.")
@click.option(
    "--offline",
    "is_offline",
    is_flag=True,
    help="Check the file alone: schema, contradictions, references, hosts; makes no network call, reads no secret.",
)
@click.option("--all", "is_full", is_flag=True, help="Also list everything that is in order.")
@click.option("--calendar", "is_dated", is_flag=True, help="List the dates instead of a line for each month.")
@pager_option
@global_options
@pass_options
def command(
    options: Options,
    *,
    wanted: Wanted,
    days: int,
    stack: str | None,
    is_offline: bool,
    is_full: bool,
    is_dated: bool,
    is_paged: bool,
) -> int:
    """Check the configuration, the AWS permissions that it needs and each target; sum up the policy's calendar."""
    shape = Shape(is_full=is_full, is_dated=is_dated, is_paged=is_paged)
    if is_offline:
        return _report(_offline(options.config, stack), (), options, shape)
    session = Session(options.config, watch=Watch(options))
    entries = session.wiring.chooser.choose(wanted)
    findings = [
        _configuration(session.configuration),
        *_hosts(session.configuration),
        *_twice(session),
        *_aws(session, entries),
        *_own_key(session, entries),
        *_targets(session, entries),
    ]
    previews = _previews(session, wanted)
    findings += _owners(previews, session.clock.now())
    findings += [*_places(previews, session.clock.now()), *_report_waits(session.configuration)]
    if stack is not None:
        findings += _check_stack(session, stack, options.config)
    findings += _list_departed(session)
    findings += _count_not_read(session, previews)
    findings += _rotatable(previews, session.clock.now())
    dates = tuple(sorted(_dates(session, wanted, previews, days), key=lambda dated: dated.entry.at))
    return _report(findings, dates, options, shape)


def _report(findings: list[Finding], dates: tuple[Dated, ...], options: Options, shape: Shape = USUAL) -> int:
    if options.is_json:
        say_json(make_document(findings, dates))
    elif options.is_quiet:
        bad = [finding for finding in findings if finding.is_good is False or finding.is_warning]
        show(format_findings(bad, (), style(), shape), is_paged=shape.is_paged)
    else:
        show(format_findings(findings, dates, style(), shape), is_paged=shape.is_paged)
    return words.EXIT_FAILED if any(finding.is_good is False for finding in findings) else words.EXIT_DONE


def _offline(config: str, stack: str | None) -> list[Finding]:
    """
    Look at a file, and at nothing else: safe for a change that someone proposes, without credentials.

    Raises:
        UsageError: The configuration, or what is to be checked, is not on this machine.
        ConfigError: With every fault of the file.
    """
    if stack is not None or config.startswith(("ssm:", "s3:")):
        what = "a stack" if stack is not None else config
        raise UsageError(f"{what} cannot be checked offline", remedy="leave --offline out, or give a file")
    configuration = load(Path(config))
    refuse_untrusted(configuration)
    found = [_configuration(configuration), *_hosts(configuration)]
    for reference in configuration.references:
        detail = f"{reference.text} is of an allowed form; it was not read"
        found.append(
            Finding(what=f"providers.{reference.provider}.auth.{reference.field}", is_good=True, detail=detail)
        )
    return found


def _check_stack(session: Session, stack: str, config: str) -> Iterator[Finding]:
    from keyrota.app.deploy.inspect import inspect_stack  # noqa: PLC0415  # only when it is asked for

    for seen in inspect_stack(session, stack, config):
        yield Finding(what=seen.what, is_good=seen.is_good, detail=seen.detail, remedy=seen.remedy)


def _configuration(configuration: Configuration) -> Finding:
    odd = [entry.secret_name for entry in configuration.credentials if ARN_LIKE_END.search(entry.secret_name)]
    detail = count(len(configuration.credentials), "credential")
    if configuration.selections:
        detail += f", {count(len(configuration.selections), 'selection')} of users"
    if odd:
        detail += (
            f"; {', '.join(odd)} ends in a hyphen and six characters, like the end of an ARN: "
            "AWS advises against such names, for a name could be taken for an ARN that lacks its end"
        )
    return Finding(what=str(configuration.path), is_good=True, detail=detail)


def _list_departed(session: Session) -> Iterator[Finding]:
    """Name the credentials that left the configuration; whether they are kept elsewhere is a person's to say."""
    from keyrota.app.departed import find_departed  # noqa: PLC0415  # heavy, and not needed for --help

    found, errors = find_departed(session)
    for one in found:
        is_good = False if one.secret.stack else None
        yield Finding(what=f"credential {one.user}", is_good=is_good, detail=one.describe(), remedy=one.remedy)
    for error in errors:
        detail = f"whether a credential left the configuration is not known: {error}"
        yield Finding(what="secrets", is_good=None, detail=detail, remedy=error.remedy)


def _count_not_read(session: Session, previews: tuple[Preview, ...]) -> Iterator[Finding]:
    """Say how much is known from lists of whole accounts only; what was not read is not counted as fine."""
    for line in not_read_text(session.reports(Planned(previews=previews, unreachable=()))):
        yield Finding(what="credentials", is_good=None, detail=line)


def _owners(previews: tuple[Preview, ...], now: datetime) -> Iterator[Finding]:
    """Name the users whose keys another secret keeps, or may keep."""
    from keyrota.app.owners import owners  # noqa: PLC0415  # heavy, and not needed for --help

    for one in owners(previews, now):
        yield Finding(what=str(one.credential), is_good=one.is_good, detail=one.detail, remedy=one.remedy)


def _hosts(configuration: Configuration) -> Iterator[Finding]:
    from keyrota.app.hosts import account_lines, host_lines  # noqa: PLC0415  # heavy, and not needed for --help

    for what, lines in (("host", host_lines(configuration)), ("account", account_lines(configuration))):
        yield from (Finding(what=what, is_good=True, detail=line, is_always_shown=True) for line in lines)


def _twice(session: Session) -> Iterator[Finding]:
    """Return what is configured twice, once real account IDs are compared."""
    try:
        session.wiring.refuse_twice()
    except ConfigError as error:
        yield from (
            Finding(what=fault.where, is_good=False, detail=fault.what, remedy=fault.remedy) for fault in error.faults
        )


def _own_key(session: Session, entries: Iterable[CredentialConfig]) -> Iterator[Finding]:
    """Warn where keyrota runs as a user whose key it rotates."""
    try:
        user = session.wiring.runs_as()
        if user is None or all(session.wiring.credential(entry) != user for entry in entries):
            return
    except KeyrotaError:
        return  # told with the accounts already
    yield Finding(
        what="keyrota's own identity",
        is_good=None,
        is_warning=True,
        detail=f"keyrota runs as {user}, whose key it rotates: the key that it runs with is replaced, and never "
        "deactivated or deleted",
        remedy="run keyrota as another identity: with a role, or with another user's key",
    )


def _aws(session: Session, entries: Iterable[CredentialConfig]) -> Iterator[Finding]:
    seen: set[str] = set()
    for credential in entries:
        account = session.wiring.account(credential)
        name = f"account {credential.known_account or 'of the caller'}" + (
            f", role {credential.role}" if credential.role else ""
        )
        if name in seen:
            continue
        seen.add(name)
        if isinstance(account, KeyrotaError):
            yield _report_failure(name, account)
            continue
        yield Finding(what=f"AWS {name}", is_good=True, detail=f"{account.caller()}; the clock agrees")
        yield from _regions(session, account)
        from keyrota.aws.permissions import all_actions, simulate  # noqa: PLC0415  # botocore is imported late

        yield from _permissions(simulate(account, all_actions()))


def _report_failure(name: str, error: KeyrotaError) -> Finding:
    if isinstance(error, NoCredentials):
        return Finding(what=f"AWS {name}", is_good=False, detail=error.what, remedy=error.remedy)
    return Finding(what=f"AWS {name}", is_good=False, detail=str(error), remedy=error.remedy)


def _regions(session: Session, account: Account) -> Iterator[Finding]:
    """Return which of `verify.regions` would accept no key: a rotation would wait for it in vain."""
    from keyrota.aws.sts import StsIdentity  # noqa: PLC0415  # botocore is imported late

    identity = StsIdentity(account, session.configuration.verify.regions)
    for region in identity.regions():
        refusal = identity.refusal_of(region)
        if refusal is not None:
            yield Finding(what=refusal.where, is_good=False, detail=refusal.what, remedy=refusal.remedy)


def _permissions(answers: Mapping[str, bool | None]) -> Iterator[Finding]:
    """Return which actions are allowed, refused, or not told, one finding for each of the three."""
    kinds = ((True, "allowed"), (False, "not allowed"), (None, "needed; IAM does not tell whether they are allowed"))
    for wanted, said in kinds:
        actions = [action for action, answer in answers.items() if answer is wanted]
        if actions:
            remedy = "" if wanted is not False else "allow them for the identity above"
            yield Finding(what="AWS permissions", is_good=wanted, detail=f"{said}: {', '.join(actions)}", remedy=remedy)


def _targets(session: Session, entries: Iterable[CredentialConfig]) -> Iterator[Finding]:
    from keyrota.http import bound_waits  # noqa: PLC0415  # heavy, and not needed for --help

    refused = session.wiring.references.refusals
    for credential in entries:
        with bound_waits(session.clock, until=None):
            answers = in_parallel(lambda target: target.preflight(), session.wiring.targets(credential), 8)
        whats = {error.what for error in refused.values()}
        yield from (_target(answer) for answer in answers if answer.is_ready or answer.detail not in whats)
    for reference, error in refused.items():
        yield Finding(what=reference, is_good=False, detail=error.what, remedy=error.remedy)


def _report_waits(configuration: Configuration) -> Iterator[Finding]:
    """Say once for each kind of target in use what is not known of runs that may carry an older key."""
    used = {target.kind for credential in configuration.credentials for target in credential.targets}
    for name in sorted(used & kinds().keys()):
        said = kinds()[name].target_schema.get(WAITING)
        if said:
            yield Finding(what=f"{name}, what still has the old key", is_good=None, detail=str(said))


def _target(answer: Readiness) -> Finding:
    expiry = f"the token ends on {answer.token_expires:%Y-%m-%d}" if answer.token_expires else ""
    unknown = "this API does not expose token expiry; set `expires:` to be warned"
    detail = answer.detail or f"reachable; {expiry or unknown}"
    return Finding(what=answer.address, is_good=answer.is_ready, detail=detail, remedy=answer.remedy)


def _rotatable(previews: tuple[Preview, ...], now: datetime) -> Iterator[Finding]:
    """Name what stands in the way of each credential's next rotation until a person has acted."""
    for preview in previews:
        if preview.observation is None:
            continue
        situation = Situation(view=interpret(preview.observation), policy=preview.subject.policy, now=now)
        for hold in cannot_rotate(situation):
            detail = f"cannot be rotated: {hold.reason}"
            yield Finding(what=str(preview.credential), is_good=False, detail=detail, remedy=hold.remedy)


def _previews(session: Session, wanted: Wanted) -> tuple[Preview, ...]:
    try:
        return session.plan(wanted).previews
    except KeyrotaError:
        return ()


def _places(previews: tuple[Preview, ...], now: datetime) -> Iterator[Finding]:
    """Name what cannot be looked at, what does not work now, and the places that wait for a person."""
    for preview in previews:
        if isinstance(preview.error, SharedPlace):
            remedy = preview.error.remedy
            yield Finding(what=str(preview.credential), is_good=False, detail=preview.error.what, remedy=remedy)
        elif preview.error is not None:
            yield _report_unplanned(preview, preview.error)
        elif preview.observation is not None:
            yield from _report_broken(preview, preview.observation, now)
            for question in questions(preview.subject, preview.observation, now):
                for doubt in question.doubts:
                    yield Finding(
                        what=question.target.address,
                        is_good=False,
                        detail=f"{preview.credential} is not written there: {doubt.reason}",
                        remedy=doubt.remedy,
                    )


def _report_unplanned(preview: Preview, error: KeyrotaError) -> Finding:
    detail = f"cannot be looked at: {error}"
    return Finding(what=str(preview.credential), is_good=False, detail=detail, remedy=error.remedy)


def _report_broken(preview: Preview, seen: Observation, now: datetime) -> Iterator[Finding]:
    """Name what does not work now, as `status` does first; what also cannot be rotated is reported as that."""
    situation = Situation(view=interpret(seen), policy=preview.subject.policy, now=now)
    reported = {hold.reason for hold in cannot_rotate(situation)}
    reported_apart = {
        target.address
        for target in seen.targets
        if target.evidence is TargetEvidence.FAILED or next(open_doubts(situation, target), None) is not None
    }
    for hold in preview.plan.holds if preview.plan else ():
        is_of_preflight = hold.kind is HoldKind.UNWRITTEN
        needs_somebody = hold.needs is Needs.REPAIR or (
            hold.needs is Needs.PERSON and hold.target not in reported_apart
        )
        if needs_somebody and hold.reason not in reported and not is_of_preflight:
            what = hold.target or str(preview.credential)
            yield Finding(what=what, is_good=False, detail=hold.reason, remedy=hold.remedy)


def _dates(session: Session, wanted: Wanted, every: tuple[Preview, ...], days: int) -> Iterator[Dated]:
    """Return what comes for each credential, if every run is on time; for a key of today where none is known."""
    previews = {preview.credential: preview for preview in every}
    now = session.clock.now()
    for configured in session.wiring.chooser.choose(wanted):
        credential = _identity(session, configured)
        label = session.wiring.label(credential)
        preview = previews.get(credential)
        seen = preview.observation if preview else None
        entries = list(_of_the_previous(preview, now)) if preview else []
        created = max((key.created for key in seen.keys), default=now) if seen else now
        policy = session.wiring.policy(configured, credential)
        entries += calendar(policy, created, now, days=days)
        yield from (Dated(credential=credential, label=label, entry=entry) for entry in entries)


def _identity(session: Session, configured: CredentialConfig) -> CredentialId:
    try:
        return session.wiring.credential(configured)
    except KeyrotaError:
        return CredentialId(account="", user=UserName(configured.user))


def _of_the_previous(preview: Preview, now: datetime) -> Iterator[CalendarEntry]:
    """Return what is still to come for a key that was replaced already: key 0 of the calendar."""
    if preview.plan is None or preview.observation is None:
        return
    created = {key.id: key.created for key in preview.observation.keys}
    for later in preview.plan.upcoming:
        if later.shown == "rotate" or later.key not in created:
            continue
        yield CalendarEntry(at=later.due, what=later.shown, key=0)
        red = max(now, created[later.key] + AUDIT_LIMIT)
        if later.shown == "deactivate" and red < later.due:
            yield CalendarEntry(at=red, what="audit", key=0, until=later.due)
