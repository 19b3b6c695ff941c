"""
Where a key is shown, and what must not happen to it then (promise seen-key-lives).

Whatever keyrota reads anyway counts: the variables of a target, other readable variables of the same list, other
scopes and levels of the same project, targets that were removed from the configuration. It does not matter who put
the key there: a key ID that stands in a pipeline's settings is taken for a key in use.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from shlex import quote

from keyrota.core import plan as act
from keyrota.core.lifecycle import USE_IS_SHOWN_WITHIN
from keyrota.core.model import AccessKey, AccessKeyId, Evidence, KeyStatus, Observation, TargetEvidence, TargetState
from keyrota.core.plan import Hold, Notice
from keyrota.core.situation import Finding, Situation, describe_use


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A place that shows a key."""

    target: str
    """Address of the target that was read."""
    where: str
    """In words."""


def places_showing(seen: Observation, key: AccessKeyId) -> tuple[Shown, ...]:
    """Find each place that shows a key, in all that was read, each once."""
    return tuple(dict.fromkeys(_places_showing(seen, key)))


def _places_showing(seen: Observation, key: AccessKeyId) -> Iterator[Shown]:
    for target in (*seen.targets, *seen.left_behind):
        yield from _find_shown(target, key)
    for around in seen.surroundings or ():
        yield from (Shown(target=around.address, where=shown.where) for shown in around.shown if shown.key == key)


def _find_shown(target: TargetState, key: AccessKeyId) -> Iterator[Shown]:
    if target.evidence is TargetEvidence.HOLDS and target.key == key:
        yield Shown(target=target.address, where=target.address)
    else:
        for variable in target.variables:
            if variable.key == key:
                yield Shown(target=target.address, where=f"variable {variable.name} of {target.address}")
    yield from (Shown(target=target.address, where=shown.where) for shown in target.shown if shown.key == key)


def why_needed(situation: Situation, key: AccessKey) -> str:
    """
    Say why a key may be in use, so that nobody is told to delete it; empty where nothing speaks for it.

    A place shows it, it was used within `unused_for`, its use is unknown or cannot be shown yet, or it is the only
    Active key of its user.
    """
    places = places_showing(situation.view.observation, key.id)
    if places:
        return f"{places[0].where} shows it"
    if key.status is not KeyStatus.INACTIVE:
        if all(other.status is not KeyStatus.ACTIVE for other in situation.view.keys if other.id != key.id):
            return "it is the user's only Active key"
        if situation.now < key.created + USE_IS_SHOWN_WITHIN:
            return "it is less than a day old, and IAM shows uses late"
    if key.last_use.evidence is Evidence.UNKNOWN:
        return f"its last use could not be read: {key.last_use.why or 'no reason given'}"
    if key.last_use.at is not None and situation.now < key.last_use.at + max(
        situation.policy.unused_for, USE_IS_SHOWN_WITHIN
    ):
        return describe_use(key)
    return ""


def guard(situation: Situation, finding: Finding, *, asked: bool) -> Iterator[Finding]:
    """
    Let an action that ends a key pass only where no place shows the key; otherwise hold it, and name the places.

    Args:
        situation: The credential.
        finding: Whatever the plan found.
        asked: An earlier action of the same plan asks what surrounds the targets already.
    """
    if not isinstance(finding, act.Ending) or _is_only_noted(situation, finding):
        yield finding
        return
    seen = situation.view.observation
    if places := places_showing(seen, finding.key):
        removed = {target.address for target in seen.left_behind}
        yield from (_hold_shown_key(finding, place, seen.name, is_removed=place.target in removed) for place in places)
        return
    yield from _list_unread(finding.key, seen)
    if seen.surroundings is None and seen.targets:
        if not asked:
            yield act.LookAround(
                key=finding.key,
                reason=f"look whether another place of the same projects shows {finding.key}",
                due=finding.due,
            )
        finding = replace(finding, follows=True)
    yield finding


def _is_only_noted(situation: Situation, finding: act.Ending) -> bool:
    """Return whether the key is Inactive already, and this only notes since when."""
    key = situation.view.key(finding.key)
    return isinstance(finding, act.Deactivate) and key is not None and key.status is KeyStatus.INACTIVE


def _hold_shown_key(finding: act.Ending, place: Shown, name: str, *, is_removed: bool) -> Hold:
    kept = "stays Active" if isinstance(finding, act.Deactivate) else "is kept"
    if isinstance(finding, act.Deactivate) and finding.is_emergency:
        # Never `forget` here: after it, `revoke --served-by` would not know that the provider ever held the key.
        command = f"keyrota revoke {name} --key {finding.key} --now"
        remedy = f"remove it there if nothing uses it, or deactivate the key all the same: {command}"
    elif is_removed:
        command = f"keyrota forget {quote(place.target)}"
        remedy = f"put it back into the configuration, or when nothing there needs the key: {command}"
    else:
        remedy = "replace it there with the current key, or remove it there if nothing uses it"
    return Hold(
        key=finding.key,
        target=place.target,
        reason=f"{finding.key} {kept}: {place.where} still shows it",
        remedy=remedy,
    )


def _list_unread(key: AccessKeyId, seen: Observation) -> Iterator[Notice]:
    """Name what could not be read: the promise covers what is read, so this blocks nothing, and is reported."""
    for around in seen.surroundings or ():
        for scope in around.unread:
            yield Notice(target=around.address, reason=f"{scope}: whether {key} is shown there as well is not known")
