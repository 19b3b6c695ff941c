"""
What two lists say of all users of an account, and for which credentials that is enough.

The credential report and ListSecrets cost one call for a hundred users or more, and neither is a proof: the report is
up to four hours old, has no key IDs and shows the date of a key's last change; the list of secrets lags by minutes. So
the lists only narrow what is read one by one. The planner is asked what it would find in them, and wherever that is
more than nothing, or the lists do not agree about one key, the credential is read by itself. No action rests on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from keyrota.core.lifecycle import KeyRing, interpret, key_label
from keyrota.core.model import (
    CLAIM,
    CREATED_TAG,
    PENDING,
    REVOKED,
    AccessKey,
    KeyStatus,
    Observation,
    SecretState,
    TargetEvidence,
    UserName,
    unknown_use,
)
from keyrota.core.plan import Hold, Notice, Plan
from keyrota.core.records import parse_created

_SAME = timedelta(seconds=1)
"""The report writes whole seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """One account, as its lists show it."""

    reported_at: datetime
    """When AWS made the credential report."""
    active: Mapping[UserName, tuple[datetime, ...]]
    """When each Active key of a user was created or last changed."""
    secrets: Mapping[str, SecretState]
    """By name and by ARN."""


def find_key_at_rest(overview: Overview, user: UserName, secret: SecretState | None) -> AccessKey | str:
    """
    Return the one key that a credential has, where both lists agree about it; else why it has to be read.

    The age comes from our own tag, and the report has to tell the same: a key that was activated again has another
    date there, and a tag that someone edited has none that fits.
    """
    if secret is None:
        return "it has no secret yet, or one that is scheduled for deletion"
    labels = {label for version in secret.versions for label in version.labels}
    if labels & {CLAIM, PENDING} or any(label.startswith(REVOKED) for label in labels):
        return "a key is being made, or was revoked"
    keys = {key for version in secret.versions if (key := key_label(version)) is not None}
    noted = parse_created(dict(secret.tags).get(CREATED_TAG, ""))
    if noted is None or keys != {noted[0]}:
        return "its secret does not hold one key whose age is noted"
    key, created = noted
    active = overview.active.get(user)
    if active is None or created > overview.reported_at:
        return "the credential report is older than its user or its key"
    if len(active) != 1 or abs(active[0] - created) > _SAME:
        return "the credential report shows other keys than the secret"
    return AccessKey(
        id=key,
        status=KeyStatus.ACTIVE,
        status_word=KeyStatus.ACTIVE.value,
        created=created,
        last_use=unknown_use("not read, because nothing depends on it now"),
    )


def find_reason_to_read(observation: Observation, configured: frozenset[str], plan: Plan) -> str:
    """
    Return why a credential that the lists describe has to be read one by one; empty where nothing is due, or held.

    Args:
        observation: Made from the lists, with those targets that were read.
        configured: Addresses of the targets that the configuration names.
        plan: What the planner found in it.
    """
    view = interpret(observation)
    if not view.is_synced():
        return "its key is not known to be on every target"
    if plan.actions:
        return f"due: {plan.actions[0].reason}"
    silent = {one.address for one in observation.targets if one.evidence is TargetEvidence.FAILED and not one.is_gone}
    found: list[Hold | Notice] = [*plan.holds, *plan.notices]
    lasting = [one for one in found if one.target is None or one.target not in silent]
    if lasting:
        return lasting[0].reason
    return _find_place_to_read(view, configured)


def _find_place_to_read(view: KeyRing, configured: frozenset[str]) -> str:
    """Return whether the secret remembers a place that the configuration does not name, or one that is to come."""
    if not view.index.is_readable:
        return "which places got a key is not known"
    for entry in view.index.entries:
        if not entry.is_begun or entry.address not in configured:
            return f"{entry.address} is to be looked at"
    return ""
