"""
What does not work now: places at which every pipeline fails (promise says-broken).

Looked for before anything else, whatever was asked for, and reported first: a plan that repairs such a place says so
as well, because pipelines fail there until it is carried out.
"""

from __future__ import annotations

from collections.abc import Iterator

from keyrota.core.case import Case
from keyrota.core.model import KeyStatus, TargetEvidence, TargetState
from keyrota.core.plan import Hold, Needs


def broken(case: Case) -> Iterator[Hold]:
    """Name the places that hold something with which no pipeline can work."""
    for target in case.view.observation.targets:
        trouble = _dead_key(case, target) or _lost_pair(case, target)
        if trouble:
            yield _fails(case, target, trouble)


def _dead_key(case: Case, target: TargetState) -> str:
    """
    Say why the key that a place shows does not work; empty where it works, or nobody can tell.

    A key that IAM does not list is dead only if it is one of ours: any other may belong to another user or account.
    The current key is reported once for all places (`renewal.current_key_trouble`).
    """
    key_id, view = target.key, case.view
    if target.evidence is not TargetEvidence.HOLDS or key_id is None or key_id == view.current_key:
        return ""
    key = view.key(key_id)
    if key is not None:
        return f"it holds {key_id}, which is Inactive" if key.status is KeyStatus.INACTIVE else ""
    is_gone = view.version_of(key_id) is not None and view.awaited_until(key_id, case.now) is None
    return f"it holds {key_id}, which is deleted" if is_gone else ""


def _lost_pair(case: Case, target: TargetState) -> str:
    """Say what is missing at a place that was found or made to hold the current key."""
    if target.evidence is not TargetEvidence.ABSENT or not case.view.is_synced():
        return ""
    return f"it lacks {target.detail}, and held {case.view.current_key}"


def _fails(case: Case, target: TargetState, trouble: str) -> Hold:
    return Hold(
        target=target.address,
        key=target.key,
        needs=Needs.REPAIR,
        reason=f"pipelines fail at {target.address} now: {trouble}",
        remedy=f"keyrota sync --user {case.view.observation.user}",
    )
