"""
When things fall due: dates counted from IAM's CreateDate, and never sooner than the overlap and the grace allow.

A late run shifts everything after it: a key is deactivated no sooner than one overlap after its successor reached
every target, and deleted no sooner than one grace after it was deactivated.

One bound works the other way. IAM has two slots, so a key that was replaced early (`adopt: now`, `revoke`,
`rollback`) and then lived on to its configured ages would leave its successor without a free slot. Such a key leaves
in time for the successor's own rotation, always after its full overlap and grace.
"""

from __future__ import annotations

from datetime import datetime

from keyrota.core.lifecycle import KeyRing
from keyrota.core.model import AccessKey, Evidence
from keyrota.core.policy import AUDIT_LIMIT, AUDIT_MARGIN, Adopt, RotationPolicy


def rotation_due(key: AccessKey, policy: RotationPolicy, *, is_adoptable: bool = False) -> datetime:
    """Return when a key's successor is made."""
    if is_adoptable and policy.adopt is Adopt.NOW:
        return key.created
    return key.created + policy.rotates_after


def find_new_key_deadline(key: AccessKey, policy: RotationPolicy) -> datetime:
    """
    Return the deadline of a key's successor: no wave delays it longer.

    Its successor is there when the old key was to be deactivated; under a policy that keeps auditors content also so
    early that the old key is Inactive at their 90 days, with their margin.
    """
    latest = policy.deactivate_after
    if policy.is_audit_clean():
        latest = min(latest, AUDIT_LIMIT - AUDIT_MARGIN - policy.overlap)
    return key.created + latest


def off_due(key: AccessKey, view: KeyRing, policy: RotationPolicy) -> datetime | None:
    """Return from when a superseded key may be deactivated; None while its successor is not on every target."""
    successor = view.key(view.current_key)
    if successor is None or view.synced is None or not view.is_synced():
        return None
    by_age = key.created + policy.deactivate_after
    # A late run must not block the next rotation: this key has to be off early enough for its grace to end before the
    # slot is needed. `max` with the overlap comes last, so that the overlap is never shortened for it.
    for_the_slot = rotation_due(successor, policy) - policy.grace
    due = max(view.synced.since + policy.overlap, min(by_age, for_the_slot))
    back_on = view.find_on_since(key.id)
    # Whoever activated it needs it again: it gets a whole overlap from there.
    return max(due, back_on + policy.overlap) if back_on else due


def quiet_since(key: AccessKey, view: KeyRing) -> datetime | None:
    """Return when a superseded key was last used after its successor was served; None if it was not."""
    use = key.last_use
    if use.evidence is not Evidence.USED or use.at is None or view.synced is None:
        return None
    return use.at if use.at > view.synced.since else None


def find_deletion_due(key: AccessKey, view: KeyRing, policy: RotationPolicy) -> datetime | None:
    """Return from when a retired key may be deleted; None while it is not known since when it is Inactive."""
    off = view.find_off_since(key.id)
    if off is None:
        return None
    by_age = key.created + policy.delete_after
    successor = view.key(view.current_key)
    if successor is not None:
        by_age = min(by_age, rotation_due(successor, policy))
    if view.is_revoked(key.id):
        # A revoked key waits for its grace only: no one should be able to go back to it, and the next rotation needs
        # the slot.
        by_age = off
    # Refused requests are assumed to count as uses (docs/facts/aws.md). Something still tries the key, and a rollback
    # may be needed yet.
    seen_used = key.last_use.at if key.last_use.at and key.last_use.at > off else off
    return max(seen_used + policy.grace, by_age)
