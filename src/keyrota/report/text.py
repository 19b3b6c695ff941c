"""What a person reads in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from keyrota.core.changes import Change, VariableChange, changes
from keyrota.core.lifecycle import KeyRing, interpret
from keyrota.core.model import AccessKey, Evidence, Observation, TargetEvidence
from keyrota.core.places import is_first_write
from keyrota.core.plan import Hold, Needs, Notice, Upcoming
from keyrota.core.sync import is_changed_since
from keyrota.errors import GOES_ON, NO_TOKEN, KeyrotaError, printable
from keyrota.report.data import CredentialReport, Line, NotRead, lines, list_done, retry_at
from keyrota.report.paint import Paint, plain


def plan_text(reports: Iterable[CredentialReport], style: Paint = plain) -> Iterator[str]:
    """Report what is due, held or failed, one line for the rest, and at the end how many there are of what."""
    reports = tuple(reports)
    told = reports if len(reports) == 1 else tuple(report for report in reports if _has_news(report))
    for report in told:
        yield from _plan(report, style)
        yield ""
    rest = tuple(report for report in reports if report not in told)
    if rest:
        yield _rest(rest, style)
    yield _plan_sum(reports)
    yield from not_read_text(reports)


def not_read_text(reports: Iterable[CredentialReport]) -> Iterator[str]:
    """Say how much is known from lists only, and how much is not known at all."""
    left_out = NotRead.of(reports)
    if left_out.credentials:
        yield (
            f"not read one by one: {count(left_out.credentials, 'credential')}, at rest by the credential report of "
            f"{day(left_out.as_of)} and the list of secrets"
        )
    if left_out.places:
        yield (
            f"not read: {count(left_out.places, 'place')}; what they hold is not known. Another day's run reads them "
            "(`drift_every`)"
        )


def _has_news(report: CredentialReport) -> bool:
    """Return whether a plan has anything but what is not due yet."""
    planned = report.plan
    return bool(report.errors or planned is None or planned.actions or planned.holds or planned.notices)


def _plan(report: CredentialReport, style: Paint) -> Iterator[str]:
    yield from _head(report, style)
    yield from _list_broken(report, style)
    yield from _keys(report, style)
    planned = tuple(lines(report.plan.actions)) if report.plan else ()
    yield from (_line(line, style) for line in planned)
    yield from _first_writes(report, style)
    yield from _holds_and_errors(report, style)
    if report.plan and not planned and not report.plan.holds and not report.errors:
        yield style("good", "  nothing to do")
    yield from _next(report, style)


def _rest(rest: tuple[CredentialReport, ...], style: Paint) -> str:
    """Say of many credentials that nothing is to be done, and what comes first."""
    coming = [(later, report) for report in rest for later in (report.plan.upcoming if report.plan else ())]
    later, report = min(coming, key=lambda pair: pair[0].due, default=(None, None))
    about = count(len(rest), "more credential")
    if later is None or report is None:
        return style("good", f"{about}: nothing to do")
    when = f"{later.due:%Y-%m-%d} ({in_words(later.due - report.now)})"
    return style("good", f"{about}: nothing to do") + f"; next: {later.shown} {printable(report.name)} on {when}"


def _list_broken(report: CredentialReport, style: Paint) -> Iterator[str]:
    """Report first what does not work now."""
    yield from format_broken(report.plan.broken if report.plan else (), style)


def format_broken(holds: Iterable[Hold], style: Paint = plain) -> Iterator[str]:
    """Name what does not work now, each with its remedy."""
    for hold in holds:
        yield f"  {style('bad', '✗ broken    ')} {printable(hold.reason)}"
        if hold.remedy:
            yield style("quiet", f"               {printable(hold.remedy)}")


def _head(report: CredentialReport, style: Paint) -> Iterator[str]:
    yield f"{style('title', report.name)}  {style('quiet', f'account {report.account} · secret {report.secret_name}')}"


def _keys(report: CredentialReport, style: Paint) -> Iterator[str]:
    seen = report.observation
    if seen is None:
        return
    known = interpret(seen)
    if not seen.keys:
        yield style("quiet", "  no access key")
    for key in seen.keys:
        state = known.state_of(key).value
        age = f"{(report.now - key.created).days} days"
        status = printable(key.status_word or key.status.value)
        yield f"  {key.id}  {status:<8}  {age:>9}  {state:<11}  {style('quiet', use_text(key))}"


def use_text(key: AccessKey) -> str:
    """Put the evidence of a key's use into words."""
    use = key.last_use
    if use.evidence is Evidence.NEVER:
        return "never used"
    if use.evidence is Evidence.UNKNOWN:
        return printable(f"last use unknown: {use.why}")
    by = f" by {use.service}" if use.service else ""
    where = f" in {use.region}" if use.region else ""
    return printable(f"last used {day(use.at)}{by}{where}")


def _line(line: Line, style: Paint) -> str:
    target = f"{line.target}: " if line.target else ""
    return f"  {style('due', f'→ {line.action:<10}')} {printable(target + line.reason)}"


def _first_writes(report: CredentialReport, style: Paint) -> Iterator[str]:
    """Say what the first write to each place does to each variable."""
    seen = report.observation
    if seen is None or report.plan is None:
        return
    known = interpret(seen)
    for target in seen.targets:
        found = changes(known, target)
        if not found or target.is_archived or not is_first_write(known, target):
            continue
        yield f"  {style('due', '+ first     ')} {printable(f'{target.address}: {change_text(found)}')}"


def change_text(found: Iterable[VariableChange]) -> str:
    """Put the changes of one place into words; a pair that cannot be read as a whole is said once."""
    found = tuple(found)
    if all(change.change is Change.REPLACES_UNREADABLE for change in found):
        return f"replaces a pair that cannot be read ({', '.join(change.name for change in found)})"
    return "; ".join(f"{change.name} {'is ' if change.change is Change.NEW else ''}{change}" for change in found)


def _holds_and_errors(report: CredentialReport, style: Paint) -> Iterator[str]:
    holds = report.plan.holds if report.plan else ()
    for hold in _bundle(hold for hold in holds if hold.needs is not Needs.REPAIR):
        yield from hold_text(hold, style)
    for notice in report.plan.notices if report.plan else ():
        yield from notice_text(notice, style)
    for told, remedy in dict.fromkeys((str(error), error.remedy) for error in report.failures):
        yield f"  {style('bad', '✗ failed    ')} {told}"
        if remedy:
            yield style("quiet", f"               {remedy}")
    if report.stops:
        yield f"  {style('held', '‖ left      ')} {describe_remaining(report.stops)}"
        yield style("quiet", f"               {report.stops[0].what}")


def _bundle(holds: Iterable[Hold]) -> Iterator[Hold]:
    """Put holds of many targets into one where a limit, or a token that is not there, is the whole reason."""
    groups: dict[object, list[Hold]] = {}
    for number, hold in enumerate(holds):
        is_shared = hold.target is not None and (hold.remedy == GOES_ON or NO_TOKEN in hold.reason)
        same = (hold.reason.replace(hold.target or "", ""), hold.until, hold.key)
        groups.setdefault(same if is_shared else number, []).append(hold)
    for group in groups.values():
        first, many = group[0], count(len(group), "target")
        is_one = len(group) == 1 or first.target is None
        yield first if is_one else replace(first, target=many, reason=first.reason.replace(first.target or "", many))


def describe_remaining(stops: Iterable[KeyrotaError]) -> str:
    """Return how many targets a limit left, and when a run continues with all of them."""
    stops = tuple(stops)
    latest = max(at for stop in stops if (at := retry_at(stop)) is not None)
    is_one = len(stops) == 1
    return f"{count(len(stops), 'target')} {'is' if is_one else 'are'} left: a run after {minute(latest)} goes on"


def minute(instant: datetime) -> str:
    """Write an instant for people, rounded up: what is not before it is not too early."""
    return day(instant + timedelta(seconds=59))


def notice_text(notice: Notice, style: Paint = plain) -> Iterator[str]:
    """Report something that a person should know."""
    about = f"{notice.target}: " if notice.target else ""
    yield f"  {style('held', '! note      ')} {printable(about + notice.reason)}"
    if notice.remedy:
        yield style("quiet", f"               {printable(notice.remedy)}")


def hold_text(hold: Hold, style: Paint = plain) -> Iterator[str]:
    """Report a hold and its remedy."""
    until = f" (until {hold.until:%Y-%m-%d %H:%M} UTC)" if hold.until else ""
    about = f"{hold.target}: " if hold.target and hold.target not in hold.reason else ""
    yield f"  {style('held', '‖ held      ')} {printable(about + hold.reason)}{until}"
    if hold.remedy:
        yield style("quiet", f"               {printable(hold.remedy)}")


def _next(report: CredentialReport, style: Paint) -> Iterator[str]:
    for later in report.plan.upcoming if report.plan else ():
        yield style("quiet", f"  · {_later(later, report.now)}")


def _later(later: Upcoming, now: datetime) -> str:
    about = f" {later.key}" if later.key else ""
    return f"{later.shown}{about} on {later.due:%Y-%m-%d} ({in_words(later.due - now)}): {later.reason}"


def in_words(span: timedelta) -> str:
    """Return a span that lies ahead."""
    days = round(span.total_seconds() / 86400)
    return f"in {count(days, 'day') if days > 1 else count(max(0, round(span.total_seconds() / 3600)), 'hour')}"


def _plan_sum(reports: tuple[CredentialReport, ...]) -> str:
    due = sum(len(tuple(lines(report.plan.actions))) for report in reports if report.plan)
    return _sum(reports, f"{due} to do")


def _sum(reports: tuple[CredentialReport, ...], first: str) -> str:
    """
    Count what there is, by who has to act: a person (held), time (waiting), someone at once (broken), the next run.

    What is held and what failed is always said; the others where there is any.
    """
    holds = [hold.needs for report in reports for hold in (report.plan.holds if report.plan else ())]
    failed = sum(len(report.failures) for report in reports)
    left = sum(len(tuple(lines(report.left))) + len(report.stops) for report in reports)
    counts = (
        (first, True),
        (f"{holds.count(Needs.PERSON)} held", True),
        (f"{holds.count(Needs.NOBODY)} waiting", Needs.NOBODY in holds),
        (f"{holds.count(Needs.REPAIR)} broken", Needs.REPAIR in holds),
        (f"{failed} failed", True),
        (f"{left} left to the next run", bool(left)),
    )
    return f"{count(len(reports), 'credential')}: {', '.join(text for text, is_said in counts if is_said)}"


def needs_somebody(report: CredentialReport) -> bool:
    """Return whether a report has something that does not end by itself."""
    return report.needs is not Needs.NOBODY or bool(report.errors or report.left)


def quiet_text(reports: Iterable[CredentialReport], style: Paint = plain) -> Iterator[str]:
    """Report only what needs someone: what is broken, held until a person acts, failed, or left to another run."""
    every = tuple(reports)
    told = tuple(report for report in every if needs_somebody(report))
    for report in told:
        yield from _head(report, style)
        yield from _list_broken(report, style)
        held = tuple(hold for hold in (report.plan.holds if report.plan else ()) if hold.needs is Needs.PERSON)
        plan = replace(report.plan, holds=held, notices=()) if report.plan else None
        yield from _holds_and_errors(replace(report, plan=plan), style)
        yield from _list_deferred(report, style)
    if told:
        yield _sum(every, f"{len(told)} to look at")


def count(number: int, word: str) -> str:
    """Put a number before its word."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def apply_text(reports: Iterable[CredentialReport], style: Paint = plain) -> Iterator[str]:
    """Sum up a run: what was done, what is held, what failed."""
    reports = tuple(reports)
    done = 0
    for report in reports:
        finished = tuple(list_done(report.done))
        done += len(finished)
        told = report.plan and (report.plan.holds or report.plan.notices)
        if not (finished or report.errors or report.left or told):
            continue
        yield from _head(report, style)
        yield from _list_broken(report, style)
        yield from (_describe_done(line, style) for line, _ in finished)
        yield from _holds_and_errors(report, style)
        yield from _list_deferred(report, style)
        yield ""
    yield _sum(reports, f"{done} done")
    yield from not_read_text(reports)
    stops = tuple(stop for report in reports for stop in report.stops)
    if stops:
        yield describe_remaining(stops)


def _list_deferred(report: CredentialReport, style: Paint) -> Iterator[str]:
    for line in lines(report.left):
        what = printable(f"{line.action} {line.reason}")
        yield style("quiet", f"  · due since this run began, left to the next: {what}")


def _describe_done(line: Line, style: Paint) -> str:
    target = f"{line.target}: " if line.target else ""
    what = f"{line.key} → {line.new_key}" if line.new_key and line.key else str(line.new_key or line.key or "")
    why = style("quiet", printable(line.reason))
    return f"  {style('good', f'✓ {line.action:<10}')} {printable(target + what)}  {why}"


def status_text(reports: Iterable[CredentialReport], style: Paint = plain) -> Iterator[str]:
    """Report each credential: its keys, where it is served and since when, what comes next."""
    reports = tuple(reports)
    for report in reports:
        yield from _head(report, style)
        yield from _list_broken(report, style)
        yield from _keys(report, style)
        if report.observation:
            holds = report.plan.holds if report.plan else ()
            yield from _list_served(report.observation, interpret(report.observation), holds, style)
        if report.plan and report.plan.actions:
            for line in lines(report.plan.actions):
                yield _line(line, style)
        yield from _holds_and_errors(report, style)
        yield from _next(report, style)
        yield ""
    yield from not_read_text(reports)


def _list_served(seen: Observation, known: KeyRing, holds: Sequence[Hold], style: Paint) -> Iterator[str]:
    told = {target.detail for target in seen.targets if any(target.detail in hold.reason for hold in holds)}
    since = f"since {day(known.synced.since)}" if known.synced and known.is_synced() else "not proven yet"
    for target in seen.targets:
        match target.evidence:
            case TargetEvidence.HOLDS:
                what = f"holds {target.key}"
                if target.key == known.current_key:
                    what += f", {since}"
                elif known.current_key:
                    what += f", and AWSCURRENT is {known.current_key}"
            case TargetEvidence.CANNOT_TELL:
                what = f"cannot be read back; {'written ' if known.is_synced() else ''}{since}"
            case TargetEvidence.ABSENT:
                what = f"lacks {target.detail}"
            case TargetEvidence.FAILED if NO_TOKEN in target.detail:
                what = "was not asked: " + ("there is no token for it" if target.detail in told else target.detail)
                told.add(target.detail)  # all targets of a provider share it
            case TargetEvidence.FAILED:
                what = f"did not answer: {target.detail}"
        if is_changed_since(known, target):
            what = f"was changed at {target.changed_at:%Y-%m-%d %H:%M:%S} UTC, and not by keyrota"
        yield f"  {style('quiet', '@')} {printable(f'{target.address}: {what}')}"
    for address in seen.unread:
        yield f"  {style('quiet', '@')} {printable(f'{address}: not read in this run, written {since}')}"


def day(instant: datetime | None) -> str:
    """Write an instant for people."""
    return f"{instant:%Y-%m-%d %H:%M} UTC" if instant else "at a time that IAM does not tell"
