"""The targets: what they hold, and when AWSCURRENT is written to them."""

from __future__ import annotations

from collections.abc import Iterator

from keyrota.core import plan as act
from keyrota.core.case import Case, Finding
from keyrota.core.lifecycle import JUST_NOW, KeyState
from keyrota.core.model import AccessKey, TargetEvidence, TargetState
from keyrota.core.plan import Hold


def sync(case: Case) -> Iterator[Finding]:
    """Bring AWSCURRENT to every target that does not hold it."""
    view, key = case.view, case.served
    targets = view.observation.targets
    if key is None or not view.is_stored:
        return
    everywhere = tuple(target.address for target in targets)
    if not view.is_synced():
        reason = (
            "its secret is new here"
            if view.synced is None or view.synced.version != view.current_id
            else ("the set of targets changed")
        )
        yield act.Sync(key=key.id, targets=everywhere, reason=reason, due=case.now)
        return
    differing = tuple(target for target in targets if is_drifted(target, key))
    if differing:
        reason = "; ".join(drift(target) for target in differing)
        yield act.Sync(key=key.id, targets=tuple(target.address for target in differing), reason=reason, due=case.now)
    elif _needs_settling(case):
        yield act.Sync(
            key=key.id,
            targets=everywhere,
            is_rewrite=True,
            reason="written once more: a run that died may have written the old pair last",
            due=case.now,
        )


def unreadable_targets(case: Case) -> Iterator[Hold]:
    """Name targets that did not answer."""
    for target in case.view.observation.targets:
        if target.evidence is TargetEvidence.FAILED:
            yield Hold(target=target.address, reason=target.detail, remedy=target.remedy)


def is_drifted(target: TargetState, key: AccessKey) -> bool:
    """Tell whether a target visibly holds something else than this key."""
    if target.evidence is TargetEvidence.HOLDS:
        return target.key != key.id
    return target.evidence is TargetEvidence.ABSENT


def drift(target: TargetState) -> str:
    """Say what a target holds instead."""
    if target.evidence is TargetEvidence.ABSENT:
        return f"{target.address} lacks {target.detail}"
    return f"{target.address} holds {target.key or 'something that is no key ID'}"


def _needs_settling(case: Case) -> bool:
    """
    Tell whether the pair has to be written a second time.

    What two writers leave behind cannot be read back in full (the secret half never is). Any run that began before
    AWSCURRENT moved has ended after `JUST_NOW`, so one write after that is the last word.
    """
    record = case.view.synced
    has_other = bool(case.view.in_state(KeyState.SUPERSEDED, KeyState.RETIRED))
    if record is None or not has_other or not case.view.observation.targets:
        return False
    return record.confirmed < record.since + JUST_NOW <= case.now
