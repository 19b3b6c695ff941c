"""The planner: one credential's observation, a policy and an instant in; a plan out. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from keyrota.core import blockers, discarding, health, housekeeping, renewal, retirement, sync
from keyrota.core import plan as act
from keyrota.core.adoption import Adoption, adoption
from keyrota.core.duty import duty_of, part_of, without_labels
from keyrota.core.emergency import Revoke, Rollback, revoke, rollback
from keyrota.core.evidence import guard
from keyrota.core.lifecycle import KeyRing, interpret
from keyrota.core.model import AccessKeyId, Observation
from keyrota.core.native import NativeRotation, native_rotation
from keyrota.core.own_key import without_own_key
from keyrota.core.ownership import require_ownership
from keyrota.core.plan import Duty, Hold, Needs, Notice, Plan, Upcoming
from keyrota.core.policy import RotationPolicy
from keyrota.core.situation import Finding, Situation


@dataclass(frozen=True, slots=True, kw_only=True)
class Routine:
    """Whatever is due: what `plan` and `apply` ask for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncOnly:
    """AWSCURRENT to every target that does not hold it; no key is made or changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Only:
    """What is due of one duty: what a single-purpose function asks for."""

    duty: Duty


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotate:
    """Replace a key now, whatever its age; what follows is the routine, with its overlap and its grace."""

    key: AccessKeyId
    """Once another key is current, this asks for nothing more: the run itself replaces no second key."""


Intent = Routine | Rotate | Only | SyncOnly | Revoke | Rollback | Adoption


def plan(observation: Observation, policy: RotationPolicy, now: datetime, intent: Intent | None = None) -> Plan:
    """
    Decide what one credential needs now; changes nothing.

    Args:
        observation: What IAM, the secret and the targets said, one moment for all.
        policy: Ages counted from IAM's CreateDate.
        now: Aware, UTC.
        intent: What was asked for; the routine if nothing else.

    Returns:
        Actions in the order in which they are safe, holds with their remedy, and what comes later, soonest first.
        The executor does the first action that does not follow another one, and observes again.
    """
    replaced_now = intent.key if isinstance(intent, Rotate) else None
    situation = Situation(view=interpret(observation), policy=policy, now=now, replaced_now=replaced_now)
    asked = intent if isinstance(intent, (Revoke, Rollback)) else None
    return without_own_key(
        _collect(require_ownership(situation, _guard(situation, intent or Routine()))), observation, asked
    )


def plan_native(observation: Observation, policy: RotationPolicy, now: datetime, intent: NativeRotation) -> Plan:
    """
    Decide what Secrets Manager's own rotation does in its step createSecret; changes nothing.

    A plan of its own, because its holds refuse the step: what else does not work is the routine's to report.
    """
    return _collect(native_rotation(Situation(view=interpret(observation), policy=policy, now=now), intent))


def _guard(situation: Situation, intent: Intent) -> Iterator[Finding]:
    """Keep promise seen-key-lives on every road; only `revoke --now` may end a key that a place shows."""
    asked = False
    for finding in _findings(situation, intent):
        if _is_off_first(finding, intent):
            yield finding
            continue
        for guarded_finding in guard(situation, finding, asked=asked):
            asked = asked or isinstance(guarded_finding, act.LookAround)
            yield guarded_finding


def _is_off_first(finding: Finding, intent: Intent) -> bool:
    if not isinstance(intent, Revoke) or not intent.off_first:
        return False
    return isinstance(finding, act.Deactivate) and finding.key == intent.key


def _findings(situation: Situation, intent: Intent) -> Iterator[Finding]:
    if not isinstance(intent, Only) or intent.duty is Duty.SYNC:
        yield from health.find_broken(situation)
    stops = tuple(blockers.obstacles(situation))
    if stops:
        yield from stops
        if not isinstance(intent, Only) or intent.duty in _REPORT_CURRENT:
            yield from renewal.current_key_trouble(
                situation
            )  # nothing is done about it, and pipelines fail all the same
        return
    match intent:
        case Routine() | Rotate():
            yield from _routine(situation)
        case Only():
            yield from _of_duty(situation, intent.duty)
        case SyncOnly():
            yield from renewal.current_key_trouble(situation)
            yield from _of_sync(housekeeping.foreign_version(situation))
            yield from sync.place_holds(situation)
            yield from sync.sync_targets(situation, mends=True)
            yield from sync.unreadable_targets(situation)
            yield from sync.notices(situation)
        case Revoke():
            yield from _with_dead_key(
                situation, tuple(sync.as_urgent(finding) for finding in revoke(situation, intent))
            )
            yield from sync.place_holds(situation)
            yield from sync.notices(situation)
        case Rollback():
            yield from _with_dead_key(situation, tuple(rollback(situation, intent)))
            yield from sync.place_holds(situation)
            yield from sync.notices(situation)
        case Adoption():
            yield from adoption(situation, intent)
            yield from _dead_key(situation)


def _with_dead_key(situation: Situation, found: tuple[Finding, ...]) -> Iterator[Finding]:
    """Say where a road that a person asked for ends at a current key that does not work: no place is named for it."""
    yield from found
    if not any(isinstance(finding, act.Action) for finding in found):
        yield from _dead_key(situation)


def _dead_key(situation: Situation) -> Iterator[Hold]:
    return (hold for hold in renewal.current_key_trouble(situation) if hold.needs is Needs.REPAIR)


_REPORT_CURRENT = (Duty.ROTATE, Duty.SYNC)
"""The duties that report a current key which does not work."""


def _routine(situation: Situation) -> Iterator[Finding]:
    for find, _ in _ROUTINE:
        yield from find(situation)


_ROUTINE: tuple[tuple[Callable[[Situation], Iterator[Finding]], Duty], ...] = (
    (blockers.foreign_keys, Duty.ROTATE),
    (renewal.current_key_trouble, Duty.ROTATE),
    (housekeeping.note_stack, Duty.ROTATE),
    (housekeeping.adopt_labelled_version, Duty.ROTATE),
    (housekeeping.drop_lost_race_keys, Duty.ROTATE),
    (discarding.discard, Duty.DELETE),
    (housekeeping.continue_pending, Duty.ROTATE),
    (sync.place_holds, Duty.SYNC),
    (sync.sync_targets, Duty.SYNC),
    (sync.unreadable_targets, Duty.SYNC),
    (retirement.deactivation, Duty.DEACTIVATE),
    (retirement.deletion, Duty.DELETE),
    (housekeeping.leftovers, Duty.ROTATE),
    (renewal.rotation, Duty.ROTATE),
    (sync.notices, Duty.SYNC),
)
"""In the order in which their actions are safe; beside each the duty that reports what it holds or announces."""

_KEPT_FROM_SYNC = (renewal.current_key_trouble, housekeeping.adopt_labelled_version)
"""What keeps AWSCURRENT from the targets: the run that an event started reports it at once, not only the daily one."""


def _of_duty(situation: Situation, duty: Duty) -> Iterator[Finding]:
    """Find what one duty does, and what it has to report."""
    for find, owner in _ROUTINE:
        awaited: act.Action | None = None
        for finding in find(situation):
            if isinstance(finding, (Hold, Notice, Upcoming)):
                if owner is duty or (duty is Duty.SYNC and find in _KEPT_FROM_SYNC):
                    yield finding
                continue
            part = part_of(duty, finding)
            if part is None:
                awaited = finding
                continue
            if part.follows and awaited is not None and not _is_of_new_key(awaited):
                yield _waits(part, awaited)
            awaited = None
            yield part


def _is_of_new_key(awaited: act.Action) -> bool:
    """Return whether it brings a key that does not exist yet, whose promotion starts a sync by itself."""
    return isinstance(awaited, act.Promote) and awaited.key is None


def _waits(action: act.Action, awaited: act.Action) -> Hold:
    """Say for what a step of this duty waits: another duty's step comes first, and its next run is once a day."""
    return Hold(
        key=action.key,
        needs=Needs.NOBODY,
        reason=f"{action.shown} waits for the next run of {duty_of(awaited)}: {awaited.reason}",
        remedy="the daily runs do both; to do it now: keyrota apply",
    )


def _of_sync(findings: Iterator[Finding]) -> Iterator[Finding]:
    """Leave the labels of an adoption to a run that rotates: `keyrota sync` needs the rights of the sync duty only."""
    for finding in findings:
        part = without_labels(finding) if isinstance(finding, act.Adopt) else finding
        if part is not None:
            yield part


def _collect(findings: Iterator[Finding]) -> Plan:
    actions: list[act.Action] = []
    holds: list[Hold] = []
    upcoming: list[Upcoming] = []
    notices: list[Notice] = []
    for finding in findings:
        match finding:
            case Hold():
                holds.append(finding)
            case Notice():
                notices.append(finding)
            case Upcoming():
                upcoming.append(finding)
            case _ if sync.is_covered(finding, actions):
                pass
            case act.AskFirst() if finding in actions:
                pass
            case _:
                actions.append(finding)
    return Plan(
        actions=tuple(actions),
        holds=tuple(dict.fromkeys(holds)),
        upcoming=tuple(sorted(upcoming, key=lambda later: later.due)),
        notices=tuple(dict.fromkeys(notices)),
    )


def read(observation: Observation) -> KeyRing:
    """Read an observation in the terms of the life-cycle table (for reports)."""
    return interpret(observation)
