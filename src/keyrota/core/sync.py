"""The targets: what they hold, and when AWSCURRENT is written to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from shlex import quote

from keyrota.core import plan as act
from keyrota.core.lifecycle import CLOCKS_DIFFER, JUST_NOW, KeyRing, KeyState
from keyrota.core.model import AccessKey, IndexEntry, TargetEvidence, TargetState, version_mark
from keyrota.core.places import (
    entry_of,
    find_former_address,
    find_known,
    find_unwritable,
    holds,
    is_first_write,
    questions,
    whose,
)
from keyrota.core.plan import Hold, HoldKind, Needs, Notice
from keyrota.core.policy import Drift
from keyrota.core.situation import Finding, Situation

TOKEN_ENDS_SOON = timedelta(days=30)
"""A provider's own token that ends within this time is named in every report."""


def sync_targets(situation: Situation, *, mends: bool | None = None) -> Iterator[Finding]:
    """
    Bring AWSCURRENT to every target that does not hold it.

    Args:
        situation: The credential.
        mends: Whether a change by someone else is written over; None: as the policy says.
    """
    view, key = situation.view, situation.served
    if key is None or not view.is_stored:
        return
    # A controller that reconciles (external-secrets, Terraform) puts its value back within seconds. Writing again would
    # race with it for as long as the run lasts, and each round leaves a moment with half a pair.
    back = _find_changed_back(situation, key)
    yield from (_hold_changed_back(situation, target, key) for target in back)
    # A place that is held takes part in no sync at all, whatever the reason for the sync is: the hold would be worth
    # nothing if a repair or a rewrite went past it.
    shut = find_unwritable(situation) | {target.address for target in back}
    yield from questions(situation, is_due=not view.is_synced() or bool(_never_written(situation)))
    yield from (_without(finding, shut) for finding in _sync(situation, key, mends) if not _is_void(finding, shut))


def sync_all(situation: Situation, *, reason: str) -> act.Sync:
    """Sync to every target of the configuration, once the new key is AWSCURRENT."""
    shut = find_unwritable(situation)
    addresses = tuple(target.address for target in situation.view.observation.targets if target.address not in shut)
    return act.Sync(key=None, targets=addresses, reason=reason, due=situation.now, follows=True, kept_out=shut)


def rewrite(situation: Situation, key: AccessKey, *, not_before: datetime, reason: str) -> act.Sync:
    """Write every target once more that was not written since an instant: its secret cannot be read back."""
    return act.Sync(
        key=key.id,
        targets=find_unwritten(situation, key, not_before=not_before),
        is_rewrite=True,
        not_before=not_before,
        kept_out=find_unwritable(situation),
        reason=reason,
        due=situation.now,
    )


def as_urgent(finding: Finding) -> Finding:
    """Let no sync of a revocation wait for pipelines."""
    return replace(finding, is_urgent=True) if isinstance(finding, act.Sync) else finding


def is_covered(finding: Finding, actions: Sequence[act.Action]) -> bool:
    """Return whether an earlier sync of the same plan already writes what this one would."""
    if not isinstance(finding, act.Sync):
        return False
    earlier = (action for action in actions if isinstance(action, act.Sync))
    return any(set(finding.targets) <= set(action.targets) and action.key == finding.key for action in earlier)


def _find_changed_back(situation: Situation, key: AccessKey) -> tuple[TargetState, ...]:
    """Find the places that show something else although this run has just written them: once is enough."""
    written = situation.view.observation.made_whole
    targets = situation.view.observation.targets
    return tuple(target for target in targets if target.address in written and is_drifted(situation.view, target, key))


def _hold_changed_back(situation: Situation, target: TargetState, key: AccessKey) -> Hold:
    return Hold(
        target=target.address,
        key=target.key,
        reason=f"{target.address} was changed back right after our write, or its provider shows an older state: "
        f"{drift(target, key)}",
        remedy="find what writes there (a controller, another deployment), and let it write no key; "
        f"then: keyrota sync --user {situation.view.observation.name}",
    )


def _without(finding: Finding, shut: frozenset[str]) -> Finding:
    if not isinstance(finding, act.Sync):
        return finding
    kept = [number for number, address in enumerate(finding.targets) if address not in shut]
    return replace(
        finding,
        targets=tuple(finding.targets[number] for number in kept),
        details=tuple(finding.details[number] for number in kept) if finding.details else (),
        kept_out=shut,
    )


def _is_void(finding: Finding, shut: frozenset[str]) -> bool:
    """Return whether nothing is left of a finding: its place is held for another reason, or none may be written."""
    if isinstance(finding, Hold):
        return finding.target in shut
    return isinstance(finding, act.Sync) and bool(finding.targets) and set(finding.targets) <= shut


def place_holds(situation: Situation) -> Iterator[Finding]:
    """Name the places that are not written before a person has looked, and ask whose keys they show."""
    yield from questions(situation, is_due=False)
    yield from holds(situation)


def _sync(situation: Situation, key: AccessKey, mends: bool | None) -> Iterator[Finding]:
    view = situation.view
    if not view.is_synced():
        # A new version goes everywhere, also over what someone else put there: `drift: hold` protects a change that was
        # made after keyrota wrote this version, and promise newest-wins covers the rest.
        is_new = view.synced is None or view.synced.version != view.current_id
        reason = "the target does not have the current key yet" if is_new else "the set of targets changed"
        held = () if is_new or _mends(situation, mends) else _find_changed_by_others(situation, key)
        yield from (_hold_changed(situation, target, key) for target in held)
        wanted_here = set(find_unwritten(situation, key)) - {target.address for target in held}
        addresses = tuple(target.address for target in view.observation.targets if target.address in wanted_here)
        # Nothing to write and nothing held is the last step of a pass: the sync without targets only records that all
        # of them are written.
        if addresses or not held:
            yield act.Sync(key=key.id, targets=addresses, reason=reason, due=situation.now)
        return
    differing = tuple(target for target in view.observation.targets if is_drifted(view, target, key))
    yield from _sync_passed_over(situation, key, differing)
    if not _mends(situation, mends):
        held = tuple(target for target in differing if not _is_of_a_stale_run(view, target))
        yield from (_hold_changed(situation, target, key) for target in held)
        # What a run of ours left behind is repaired under `drift: hold` as well: it is no one's decision, and waiting
        # for a person would leave a pipeline with half a pair (promise whole-pair).
        differing = tuple(target for target in differing if target not in held)
        if held and not differing:
            return
    if differing:
        details = tuple(drift(target, key) for target in differing)
        addresses = tuple(target.address for target in differing)
        yield act.Sync(
            key=key.id, targets=addresses, is_repair=True, reason="; ".join(details), details=details, due=situation.now
        )
    # Only when nothing differs: a repair writes the same places anyway, and a rewrite confirms all of them at once.
    elif wanted := _settles_after(situation):
        yield act.Sync(
            key=key.id,
            targets=find_unwritten(situation, key, not_before=wanted),
            is_rewrite=True,
            not_before=wanted,
            reason="rewritten: an interrupted run may have written the old pair last",
            due=situation.now,
        )


def _mends(situation: Situation, mends: bool | None) -> bool:
    return situation.policy.drift is Drift.OVERWRITE if mends is None else mends


def _find_changed_by_others(situation: Situation, key: AccessKey) -> tuple[TargetState, ...]:
    """Find the targets that hold, for all to see, a key that is none of ours."""
    targets = situation.view.observation.targets
    return tuple(
        target
        for target in targets
        if target.evidence is TargetEvidence.HOLDS
        and target.key != key.id
        and not _is_of_a_stale_run(situation.view, target)
    )


def _is_of_a_stale_run(view: KeyRing, target: TargetState) -> bool:
    """Return whether a target holds another key of ours, or half a pair: a run that died may have written it."""
    if view.doubt_of(target.address) is not None:
        return True
    # A place that cannot be read is not compared here: only its time of change tells, and that is no proof of whose
    # change it was.
    if target.evidence is not TargetEvidence.HOLDS or target.key is None or target.key == view.current_key:
        return False
    return view.version_of(target.key) is not None


def find_unwritten(situation: Situation, key: AccessKey, *, not_before: datetime | None = None) -> tuple[str, ...]:
    """Find the targets that the walk over all of them has not come to yet, or that differ again."""
    view = situation.view
    done = view.active_sync_pass(not_before)
    written = done.written if done else frozenset[str]()
    return tuple(
        target.address
        for target in view.observation.targets
        if not target.is_archived
        and (target.address not in written or _holds_another(target, key) or view.doubt_of(target.address))
    )


def _hold_changed(situation: Situation, target: TargetState, key: AccessKey) -> Hold:
    return Hold(
        target=target.address,
        reason=f"changed outside keyrota: {drift(target, key)}{_whose(situation, target)}",
        remedy=f"keyrota sync --user {situation.view.observation.name} writes {key.id} again; "
        "or set `drift: overwrite` in the policy",
    )


def _whose(situation: Situation, target: TargetState) -> str:
    """Say whose key a place shows that is none of this user's, where that was asked."""
    key = target.key
    return f", {whose(situation.view, key)}" if key is not None and situation.view.observation.owner_of(key) else ""


def unreadable_targets(situation: Situation) -> Iterator[Hold]:
    """Name targets that did not answer."""
    for target in situation.view.observation.targets:
        if target.is_gone:
            yield Hold(
                target=target.address,
                reason=f"{target.address}: {target.detail}",
                remedy=target.remedy
                or f"remove it from the configuration, then: keyrota forget {quote(target.address)}",
            )
        elif target.evidence is TargetEvidence.FAILED and not target.is_archived:
            yield from _hold_unanswered(situation, target)


def _hold_unanswered(situation: Situation, target: TargetState) -> Iterator[Hold]:
    """
    Name a target that did not answer; it fails the run where the current key should be brought there.

    A place that was written before is tried all the same, and fails by itself. A first write is not tried unseen; but
    its key is missing there, so a message of the queue has to come back, and exit code 0 or 3 would say too little.
    """
    is_due = situation.served is not None and situation.view.is_stored and not situation.view.is_synced()
    if is_due and is_first_write(situation.view, target):
        yield Hold(
            target=target.address,
            needs=Needs.REPAIR,
            kind=HoldKind.UNWRITTEN,
            reason=f"{target.address} was not given the current key, because it did not answer: {target.detail}",
            remedy=target.remedy,
        )
    else:
        yield Hold(target=target.address, reason=target.detail, remedy=target.remedy)


def notices(situation: Situation) -> Iterator[Notice]:
    """Return what a person should know of targets: left behind, renamed, a token that ends soon."""
    for target in situation.view.observation.left_behind:
        yield Notice(
            target=target.address,
            reason=f"removed from the configuration, and it {_still(target)}",
            remedy=f"put it back into the configuration, or: keyrota forget {quote(target.address)}",
        )
    if not situation.view.index.is_readable:
        yield Notice(
            reason="the tags keyrota:targets of the secret were changed outside keyrota: which targets were "
            "removed from the configuration is not known",
            remedy="if no target was removed, delete the tag keyrota:targets; the next sync writes it again",
        )
    if situation.view.index.is_full:
        yield Notice(
            reason="this credential has more targets than the secret's tags can remember: one that is taken out of the "
            "configuration may not be reported as left behind, so no older key is deactivated",
            remedy="divide the targets among several IAM users",
        )
    for target in situation.view.observation.targets:
        if target.notice:
            yield Notice(target=target.address, reason=target.notice)
        elif target.is_archived:
            yield Notice(
                target=target.address, reason="it is archived: it runs nothing, is not written and not counted"
            )
        if earlier := find_former_address(situation.view, target):
            yield Notice(target=target.address, reason=f"it is the place that was written as {earlier}: it was renamed")
        if target.token_expires and target.token_expires - situation.now < TOKEN_ENDS_SOON:
            yield _token_ends(situation, target.address.partition(" ")[0], target.token_expires)


def _still(target: TargetState) -> str:
    match target.evidence:
        case TargetEvidence.HOLDS:
            return f"still holds {target.key or 'something that is no key ID'}"
        case TargetEvidence.ABSENT:
            return f"lacks {target.detail}"
        case TargetEvidence.FAILED:
            return f"does not answer ({target.detail})"
        case TargetEvidence.CANNOT_TELL:
            return "may still hold a key"


def _token_ends(situation: Situation, provider: str, ends: datetime) -> Notice:
    days = (ends - situation.now).days
    when = "has ended" if ends <= situation.now else f"ends in {days} days" if days else "ends today"
    return Notice(
        reason=f"the token for {provider} {when}: {ends:%Y-%m-%d %H:%M} UTC",
        remedy="make a new one and put it where `auth:` points",
    )


def is_drifted(view: KeyRing, target: TargetState, key: AccessKey) -> bool:
    """Return whether a target holds something other than this key, or was changed since our write."""
    is_torn = view.doubt_of(target.address) is not None
    return is_torn or _holds_another(target, key) or is_changed_since(view, target)


def _holds_another(target: TargetState, key: AccessKey) -> bool:
    if target.evidence is TargetEvidence.HOLDS:
        return target.key != key.id
    return target.evidence is TargetEvidence.ABSENT


def is_changed_since(view: KeyRing, target: TargetState) -> bool:
    """Compare the provider's time of the last change with the end of our own last write, noted or not."""
    record, begun = view.synced, view.rewrite_begun(target.address)
    if target.changed_at is None or record is None or record.ended is None:
        return False
    # The write was ours, although its end was never noted. Taken for someone else's it would be held under `drift:
    # hold`, and no run would ever note it.
    if begun is not None and begun - CLOCKS_DIFFER < target.changed_at < begun + JUST_NOW:
        return False  # by a run that died before it could note the end
    # The two times are from two clocks: the provider's and that of the machine that wrote. A change by someone else
    # within this margin goes unnoticed; the other way round each sync would find its own write to be one.
    return target.changed_at > record.ended + CLOCKS_DIFFER


def _sync_passed_over(situation: Situation, key: AccessKey, differing: tuple[TargetState, ...]) -> Iterator[Finding]:
    """Write the places that were archived when all others were written, and are not any more."""
    view = situation.view
    if not view.index.is_readable or view.index.is_full or view.current_id is None:
        return  # what was written where cannot be noted then
    mark, reason = version_mark(view.current_id), "it was passed over when all others were written"
    late = [target.address for target in view.observation.targets if target not in differing]
    known = {target.address: find_known(view, target) for target in view.observation.targets}
    new = _never_written(situation)
    late = [address for address in late if address in new or _is_older(known[address], mark)]
    if late:
        yield act.Sync(
            key=key.id,
            targets=tuple(late),
            is_repair=True,
            reason=reason,
            details=tuple(reason for _ in late),
            due=situation.now,
        )


def _never_written(situation: Situation) -> frozenset[str]:
    """Find the places that the index knows, and into which nothing was written yet: they were archived until now."""
    view = situation.view
    # The usual case, and the index has up to thousands of entries: this saves a look-up for each target in every plan.
    if all(entry.is_begun for entry in view.index.entries):
        return frozenset()
    found = ((target, view.index.of(entry_of(target))) for target in view.observation.targets if not target.is_archived)
    return frozenset(target.address for target, known in found if known is not None and not known.is_begun)


def _is_older(entry: IndexEntry | None, mark: str) -> bool:
    return entry is not None and (entry.written is None or entry.written.version != mark)


def drift(target: TargetState, key: AccessKey) -> str:
    """Say what a target holds instead."""
    if target.evidence is TargetEvidence.ABSENT:
        return f"{target.address} lacks {target.detail}"
    if target.changed_at is not None and not _holds_another(target, key):
        return f"{target.address} was changed at {target.changed_at:%Y-%m-%d %H:%M:%S} UTC, and not by keyrota"
    if target.evidence is TargetEvidence.HOLDS and target.key != key.id:
        return f"{target.address} holds {target.key or 'something that is not a key ID'}"
    return f"{target.address} may hold half a pair"


def _settles_after(situation: Situation) -> datetime | None:
    """
    Return from when on the pair has to be written a second time; None if that is done, or not due.

    What two writers leave behind cannot be read back in full (the secret half never is). Any run that began before
    AWSCURRENT moved has ended after `JUST_NOW`, so one write after that is the last word.
    """
    record = situation.view.synced
    has_other = bool(situation.view.in_state(KeyState.SUPERSEDED, KeyState.RETIRED))
    if record is None or not has_other or not situation.view.observation.targets:
        return None
    settled = record.since + JUST_NOW
    return settled if record.confirmed < settled <= situation.now else None
