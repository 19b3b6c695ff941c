"""
What does not work now: places at which every pipeline fails (promise says-broken).

Looked for before anything else, whatever was asked for, and reported first: a plan that repairs such a place says so
as well, because pipelines fail there until it is carried out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from shlex import quote
from typing import assert_never

from keyrota.core.blockers import obstacles
from keyrota.core.candidates import is_gone, way_out
from keyrota.core.lifecycle import key_label
from keyrota.core.model import KeyStatus, PairDoubt, TargetEvidence, TargetState
from keyrota.core.places import is_first_write, open_doubts, whose
from keyrota.core.plan import Hold, HoldKind, Needs
from keyrota.core.policy import Drift
from keyrota.core.situation import Situation


def find_broken(situation: Situation) -> Iterator[Hold]:
    """Name the places that hold something with which no pipeline can work."""
    yield from find_torn(situation)
    for target in situation.view.observation.targets:
        # `find_torn` has named it already, with what its halves are.
        if situation.view.doubt_of(target.address) is not None:
            continue
        if target.is_archived:
            continue  # it runs nothing
        trouble = _dead_key(situation, target) or _describe_loss(situation, target)
        if trouble:
            yield _fails(situation, target, trouble)
        else:
            yield from _unproven(situation, target)


def find_torn(situation: Situation) -> Iterator[Hold]:
    """Name the places that hold half a pair, or may: a run was killed, or could neither finish nor put back."""
    observation, pairs = situation.view.observation, situation.view.pairs
    for target in (*observation.targets, *observation.left_behind):
        doubt = situation.view.doubt_of(target.address)
        if doubt is not None:
            yield replace(_fails(situation, target, _halves(situation, doubt)), kind=HoldKind.TORN)
    # The tag has room for a number of places only. The ones that did not fit cannot be named, and saying nothing of
    # them would break promise says-broken.
    if pairs is not None and pairs.is_cut and not observation.made_whole:
        yield Hold(
            needs=Needs.REPAIR,
            kind=HoldKind.TORN,
            reason=f"a write to many places began at {pairs.at:%Y-%m-%d %H:%M:%S} UTC, and its end is not known: "
            "any of them may hold half a pair, and pipelines fail there then",
            remedy=_remedy(situation),
        )


def _halves(situation: Situation, doubt: PairDoubt) -> str:
    """Say in words what the halves are."""
    pairs = situation.view.pairs
    version = next((one for one in situation.view.versions if pairs and one.id == pairs.version), None)
    new = (key_label(version) if version else None) or "a newer key"
    match doubt:
        case PairDoubt.ID_IS_NEW:
            return f"it holds half a pair: the ID of key {new}, the secret of another key"
        case PairDoubt.SECRET_IS_NEW:
            return f"it holds half a pair: the secret of key {new}, the ID of another key"
        case PairDoubt.UNSURE:
            return f"it may hold half a pair: the writes of key {new} were not answered for certain"
        case PairDoubt.BEGUN | PairDoubt.SAME:  # the latter is no doubt of a pair, and never named here
            at = f"{pairs.at:%Y-%m-%d %H:%M:%S} UTC" if pairs else "an unknown time"
            return f"it may hold half a pair: a write of key {new} began at {at}, and its end is not known"
        case _:
            assert_never(doubt)


def _dead_key(situation: Situation, target: TargetState) -> str:
    """
    Say why the key that a place shows does not work; empty where it works, or nobody can tell.

    A key that IAM does not list is dead only if it is one of ours: any other may belong to another user or account.
    The current key is reported once for all places (`renewal.current_key_trouble`).
    """
    key_id, view = target.key, situation.view
    is_reported = key_id == view.current_key and view.key_before_move is None
    if target.evidence is not TargetEvidence.HOLDS or key_id is None or is_reported:
        return ""
    key = view.key(key_id)
    if key is not None:
        return f"it holds {key_id}, which is Inactive" if key.status is KeyStatus.INACTIVE else ""
    owner = view.observation.owner_of(key_id)
    if owner is not None and owner.status is KeyStatus.INACTIVE:
        return f"it holds {key_id}, {whose(view, key_id)}, which is Inactive"
    is_named = view.version_of(key_id) is not None and not view.is_of_another_user
    is_deleted = is_named and is_gone(view, key_id, situation.now)
    return f"it holds {key_id}, which is deleted" if is_deleted else ""


def _unproven(situation: Situation, target: TargetState) -> Iterator[Hold]:
    """
    Name a key of which nobody can tell whether it works: it is another account's, or of a user that IAM does not name.

    It may be deleted. Where a change is not written over, that hold says it; of a first write, a person was asked.
    """
    view, key_id = situation.view, target.key
    owner = view.observation.owner_of(key_id)
    if owner is None or owner.user is not None or view.key(owner.key) is not None or is_first_write(view, target):
        return
    is_told = situation.policy.drift is Drift.HOLD or next(open_doubts(situation, target), None) is not None
    if target.evidence is TargetEvidence.HOLDS and not is_told:
        yield Hold(
            target=target.address,
            key=owner.key,
            reason=f"{target.address} holds {owner.key}, {whose(view, owner.key)}: whether it works cannot be told",
            remedy=_remedy(situation, target),
        )


def _describe_loss(situation: Situation, target: TargetState) -> str:
    """Say what is missing at a place that was found or made to hold the current key."""
    if target.evidence is not TargetEvidence.ABSENT or not situation.view.is_synced():
        return ""
    return f"it lacks {target.detail}, and held {situation.view.current_key}"


def _fails(situation: Situation, target: TargetState, trouble: str) -> Hold:
    return Hold(
        target=target.address,
        key=target.key,
        needs=Needs.REPAIR,
        reason=f"pipelines fail at {target.address} now: {trouble}",
        remedy=f"keyrota confirm {quote(target.address)}, if pipelines still need the key there"
        if target.is_empty
        else _remedy(situation, target),
    )


def _remedy(situation: Situation, target: TargetState | None = None) -> str:
    """
    Name the command that brings a key that works to a place.

    `keyrota sync` does where AWSCURRENT is the pair of an Active key, or a value that is still to be read, and where
    the place is not held for another reason; else that is what has to end first.
    """
    view, name = situation.view, situation.view.observation.name
    for stop in obstacles(situation):
        return stop.remedy
    for doubt in open_doubts(situation, target) if target is not None else ():
        return doubt.remedy
    is_to_be_read = view.is_foreign_version and not view.is_refused
    is_served = situation.served is not None and view.is_stored
    current = view.current_key
    is_awaited = current is not None and view.key(current) is None and not is_gone(view, current, situation.now)
    if is_to_be_read or is_served or is_awaited:
        return f"keyrota sync --user {name}"
    return way_out(view, situation.now) or f"keyrota plan --user {name} says what is in the way"
