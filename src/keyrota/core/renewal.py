"""A new key: when it is due, what is in its way, and the road to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from keyrota.core import plan as act
from keyrota.core import readers
from keyrota.core.blockers import foreign_keys, obstacles
from keyrota.core.discarding import is_being_made, is_leaving_now, leaves
from keyrota.core.evidence import places_showing
from keyrota.core.housekeeping import foreign_version
from keyrota.core.lifecycle import CREATED_WITHIN, KeyRing, KeyState, key_label
from keyrota.core.model import (
    CLAIM,
    CREATED_TAG,
    DEACTIVATED_TAG,
    FORCED_TAG,
    ORPHAN_TAG,
    OWNER_TAG,
    PAIRS_TAG,
    PENDING,
    STACK_TAG,
    SYNC_PASS_TAG,
    SYNCED_TAG,
    AccessKey,
    KeyStatus,
    TargetEvidence,
    TargetState,
    key_token,
)
from keyrota.core.places import holds, questions
from keyrota.core.plan import Action, Hold, HoldKind, Needs, Notice, Upcoming
from keyrota.core.policy import Adopt
from keyrota.core.records import NEW_KEY
from keyrota.core.schedule import find_deletion_due, off_due, rotation_due
from keyrota.core.situation import Finding, Situation, hold_new_key_frozen
from keyrota.core.sync import sync_all

_MAX_LABELS = 20
"""Secrets Manager User Guide, quotas: labels attached across all versions of a secret."""
_MAX_TAGS = 50
"""AWS General Reference, tag quotas: tags of a secret."""
_OUR_TAGS = (OWNER_TAG, SYNCED_TAG, CREATED_TAG, SYNC_PASS_TAG, PAIRS_TAG, DEACTIVATED_TAG, ORPHAN_TAG, STACK_TAG)
_OUR_LABELS = 3
"""A rotation adds so many at most: of the claim, of what is pending, and of the new key."""


def current_key_trouble(situation: Situation) -> Iterator[Hold]:
    """Report a current key that does not work any more; nobody but a person can know why."""
    view, name = situation.view, situation.view.observation.name
    if view.is_of_another_user:
        return
    yield from _hold_moved_label(situation)
    # One remedy only: after the label is moved back, what would be reported below is seen anew.
    if view.key_before_move is not None:
        return
    for key in view.in_state(KeyState.CURRENT_OFF):
        is_revoked = view.is_revoked(key.id)
        why = "it was revoked, and no other key took its place" if is_revoked else "it was deactivated outside keyrota"
        # A revoked key is never offered as the way back: whoever found it has it still.
        back = "" if is_revoked else f"keyrota rollback {name} switches it on again; "
        yield Hold(
            key=key.id,
            needs=Needs.REPAIR,
            reason=f"{key.id} is the key that targets hold, and it is Inactive: {why}",
            remedy=f"{back}{_slot_first(situation, key)}keyrota revoke {name} makes a new one",
        )
    yield from _not_off_yet(situation)
    if view.current_key is None or view.key(view.current_key) is not None:
        return
    until = view.find_wait_end(view.current_key, situation.now)
    # IAM is eventually consistent, and a list that lags looks like a key that was deleted. To make another key for it
    # would take the user's second slot (docs/facts/aws.md, eventual consistency).
    if until is not None:
        yield Hold(
            key=view.current_key,
            until=until,
            needs=Needs.NOBODY,
            reason=f"{view.current_key} is new and IAM does not list it yet",
            remedy="the next run looks again",
        )
    else:
        yield Hold(
            key=view.current_key,
            needs=Needs.REPAIR,
            reason=f"{view.current_key} is the key that targets hold, and IAM does not have it any more",
            remedy=f"keyrota revoke {name} makes a new key and brings it to every target",
        )


def _slot_first(situation: Situation, dead: AccessKey) -> str:
    """Say what has to go before a new key can be made, where both slots are taken."""
    other = next((key for key in situation.view.keys if key.id != dead.id), None)
    if other is None or is_leaving_now(situation, other):
        return ""
    until = _leaves(situation, other) if situation.view.state_of(other) in _LEAVING else None
    when = f" (about {until:%Y-%m-%d}, or sooner if you delete it)" if until else ""
    return f"both of IAM's two slots are taken: once {other.id} is gone{when}, "


def _not_off_yet(situation: Situation) -> Iterator[Hold]:
    """Report a key whose revocation was begun and did not come to its end: whoever has it is not out."""
    view = situation.view
    for key in view.keys:
        was_off = (
            view.find_off_since(key.id) is not None or view.find_on_since(key.id) is not None
        )  # and someone wants it again
        if key.status is KeyStatus.ACTIVE and view.is_revoked(key.id) and not (was_off or is_being_made(situation)):
            yield Hold(
                key=key.id,
                reason=f"{key.id} was revoked, and is still Active: that did not come to its end",
                remedy=f"{_slot_first(situation, key) if key.id == view.current_key else ''}"
                f"keyrota revoke {view.observation.name} --key {key.id} continues it",
            )


def _hold_moved_label(situation: Situation) -> Iterator[Hold]:
    """
    Report that someone moved AWSCURRENT to what cannot be served, as AWS's own instructions for going back do.

    After the first rotation AWSPREVIOUS is the placeholder that the secret was made with; after a revocation it is the
    key that leaked.
    """
    view, held = situation.view, situation.view.key_before_move
    if held is None:
        return
    is_empty = not view.is_stored
    state = "revoked" if view.current_key and view.is_revoked(view.current_key) else "Inactive"
    what = (
        "a version without a secret access key" if is_empty else f"the version of {view.current_key}, which is {state}"
    )
    yield Hold(
        key=view.current_key,
        reason=f"someone moved AWSCURRENT to {what}: it is not served, and every target was last given {held}",
        remedy=f"keyrota rollback {view.observation.name} makes {held} current again",
    )


def rotation(situation: Situation) -> Iterator[Finding]:
    """Make a new key when the current one is due, or when there is none."""
    view = situation.view
    # Each of these is another function's road to a current key. A rotation beside it would make a second key for one
    # reason.
    if view.is_foreign_version or view.is_empty_of_others or view.in_state(KeyState.PENDING, KeyState.CURRENT_OFF):
        return
    if is_being_made(situation) or view.key_before_move is not None:
        return
    if view.current_key is not None and situation.served is None:
        return  # the key behind AWSCURRENT is missing: a person decides (current_key_trouble)
    old = situation.served or next(iter(view.in_state(KeyState.ADOPTABLE)), None)
    if old is None and (undecided := tuple(no_key_in_use(situation))):
        yield from undecided
        return
    due = rotation_due(old, situation.policy, is_adoptable=not view.is_stored) if old else situation.now
    if old is not None and old.id == situation.replaced_now:
        due = min(due, situation.now)
    if situation.now < due:
        yield Upcoming(shown="rotate", key=old.id if old else None, due=due, reason="when it reaches its age")
        return
    is_asked_for = old is not None and old.id == situation.replaced_now
    waits = () if is_asked_for else tuple(_hold_waiting(situation, old))
    yield from waits or _replace_key(situation, old, due)


def _replace_key(situation: Situation, old: AccessKey | None, due: datetime) -> Iterator[Finding]:
    # Before a key is made, not before it is written: a key whose first write is held would wait in one of two slots,
    # its secret known to no target.
    yield from questions(situation, is_due=True)
    yield from readers.questions(situation)
    turn = situation.view.observation.turn
    if turn is not None and not turn.waits:
        yield Notice(reason=turn.reason, remedy=turn.remedy)
    blocks = tuple(_blocks_rotation(situation))
    yield from blocks or after_discarded(
        situation, new_key(situation, old, due=due, reason=_why_rotate(situation, old))
    )


def _hold_waiting(situation: Situation, old: AccessKey | None) -> Iterator[Hold]:
    """Hold a new key that is due for a freeze, or until it is its turn."""
    frozen, turn = tuple(hold_new_key_frozen(situation, old)), situation.view.observation.turn
    yield from frozen
    if not frozen and turn is not None and turn.waits:
        yield Hold(
            key=old.id if old else None,
            until=turn.until,
            needs=Needs.NOBODY,
            kind=HoldKind.TURN,
            reason=turn.reason,
            remedy=turn.remedy,
        )


def no_key_in_use(situation: Situation) -> Iterator[Hold]:
    """
    Say why no first key is made by itself: a person took the last one away, so a person decides.

    A user that never had a key has no Inactive one, and no place that holds a pair.
    """
    view = situation.view
    if view.current_key is not None or view.chosen == NEW_KEY or view.in_state(KeyState.ADOPTABLE):
        return
    user = view.observation.user
    wanted = f"for a new key: keyrota adopt {user} --new-key"
    inactive = [key for key in view.in_state(KeyState.FOREIGN) if key.status is KeyStatus.INACTIVE]
    if inactive and not any(key.status is KeyStatus.ACTIVE for key in view.keys):
        for key in inactive:
            yield Hold(
                key=key.id,
                needs=Needs.REPAIR if places_showing(view.observation, key.id) else Needs.PERSON,
                reason=f"{key.id} is Inactive, and the user has no other key: someone deactivated it before "
                "keyrota adopted it",
                remedy=f"reactivate it in IAM if it may be used again; {wanted}",
            )
        return
    held = [target for target in view.observation.targets if _may_hold_pair(target)]
    # A place that shows no one else's key says more about this user: it comes first, and decides who has to act.
    held.sort(key=lambda target: _is_of_another(view, target))
    if view.keys or not held:
        return
    first, is_theirs = held[0], _is_of_another(view, held[0])
    yield Hold(
        target=first.address,
        needs=Needs.PERSON if is_theirs else Needs.REPAIR,
        reason=f"the user has no access key, and {first.address} {_holds(first)}"
        + (f", which is not a key of {user}" if is_theirs else ": someone deleted the key"),
        remedy=wanted,
    )


def _may_hold_pair(target: TargetState) -> bool:
    # What does not answer may hold a pair: a first key would be written over it without a question (promise first-
    # write-asks).
    return target.evidence in {TargetEvidence.HOLDS, TargetEvidence.CANNOT_TELL, TargetEvidence.FAILED}


def _is_of_another(view: KeyRing, target: TargetState) -> bool:
    """Return whether a place shows another user's or account's key: that this user's was deleted is not known then."""
    seen, key = view.observation, target.key
    owner = seen.owner_of(key)
    is_neighbours = any(key == one for one, _ in seen.neighbours)
    is_named = owner is not None and (owner.user not in {None, seen.user} or owner.account not in {None, seen.account})
    return key is not None and (is_neighbours or is_named)


def _holds(target: TargetState) -> str:
    if target.evidence is TargetEvidence.FAILED:
        return "cannot be read"
    return f"holds {target.key}" if target.key else "holds a pair that cannot be read"


def cannot_rotate(situation: Situation) -> Iterator[Hold]:
    """Name what stands in the way of each rotation until a person has acted, whether one is due now or not."""
    stops = tuple(obstacles(situation))
    if stops:
        yield from stops
        return
    rules = [foreign_keys, current_key_trouble, foreign_version, no_key_in_use]
    # A slot that becomes free by itself is in no one's way.
    if not situation.view.in_state(*_LEAVING):
        rules.append(no_slot)
    for rule in rules:
        yield from (hold for hold in rule(situation) if isinstance(hold, Hold) and hold.until is None)


def after_discarded(situation: Situation, actions: Iterator[Action]) -> Iterator[Action]:
    """Let a rotation wait for what stands before it in the same plan: a deletion, or the note that a key is lost."""
    view = situation.view
    waits = any(not view.is_noted(key.id) for key in view.in_state(KeyState.ORPHAN)) or any(
        is_leaving_now(situation, key) for key in view.in_state(KeyState.DISCARDED)
    )
    yield from (replace(action, follows=True) if waits else action for action in actions)


def _why_rotate(situation: Situation, old: AccessKey | None) -> str:
    if old is None:
        return "the user has no access key in use: its first one is made"
    age = (situation.now - old.created).days
    if old.id == situation.replaced_now and situation.now < rotation_due(old, situation.policy):
        return f"{old.id} is replaced on request, {age} days old"
    if not situation.view.is_stored:  # it was there before keyrota, and `adopt: now` is about it
        how = "at once (`adopt: now`)" if situation.policy.adopt is Adopt.NOW else f"{age} days old"
        return f"{old.id} was there before keyrota: it is replaced, {how}"
    return f"{old.id} is {age} days old"


def _blocks_rotation(situation: Situation) -> Iterator[Hold]:
    secret = situation.view.observation.secret
    if secret is not None and secret.rotates_itself:
        yield Hold(
            reason=f"a new key is due, and Secrets Manager's own rotation is switched on for {secret.name}: "
            "it is left to that schedule",
            remedy="make its schedule shorter than `rotate_after`, or: "
            f"aws secretsmanager cancel-rotate-secret --secret-id {secret.name}",
        )
    yield from no_slot(situation)
    yield from under_way(situation)
    yield from holds(situation)
    yield from readers.holds(situation)
    # An archived repository is read-only, so it is never ready; and it runs nothing that a missing key could fail.
    archived = {target.address for target in situation.view.observation.targets if target.is_archived}
    for answer in situation.view.observation.readiness or ():
        if not answer.is_ready and answer.address not in archived:
            yield Hold(
                target=answer.address,
                reason=f"not rotated, because {answer.address} would not take the new key: {answer.detail}",
                remedy=answer.remedy,
            )


def no_slot(situation: Situation) -> Iterator[Hold]:
    """Say why no second key can be made."""
    view = situation.view
    # The plan's order is kept by the executor: the deletion comes first, and is observed before the key is made.
    staying = [key for key in view.keys if not is_leaving_now(situation, key)]
    if len(staying) < 2:  # noqa: PLR2004  # IAM's quota of two
        return
    leaving = next(iter(view.in_state(*_LEAVING)), None)
    until = _leaves(situation, leaving) if leaving else None
    yield Hold(
        until=until,
        needs=Needs.NOBODY if until else Needs.PERSON,
        reason="a new key is due, and both of IAM's two slots are taken: " + ", ".join(key.id for key in view.keys),
        remedy=_slot_remedy(leaving, until),
    )


_DISCARDED = (KeyState.ORPHAN, KeyState.RELEASED, KeyState.DISCARDED)
_LEAVING = (KeyState.SUPERSEDED, KeyState.RETIRED, *_DISCARDED)


def _slot_remedy(leaving: AccessKey | None, until: datetime | None) -> str:
    if leaving is None:
        return "one of the two has to be released (see above); keyrota touches only keys that it made or adopted"
    if until is None:
        return f"{leaving.id} must be deleted first: fix what holds it"
    return f"nothing to do: {leaving.id} leaves first, about {until:%Y-%m-%d}"


def _leaves(situation: Situation, key: AccessKey) -> datetime | None:
    """Return when a key's slot is free, if nothing holds the key; None if it is overdue and so held by something."""
    if situation.view.state_of(key) in _DISCARDED:
        due: datetime | None = leaves(situation, key)
    elif situation.view.state_of(key) is KeyState.RETIRED:
        due = find_deletion_due(key, situation.view, situation.policy)
    else:
        off = off_due(key, situation.view, situation.policy)
        due = off + situation.policy.grace if off and off > situation.now else None
    return due if due and due > situation.now else None


def under_way(situation: Situation) -> Iterator[Hold]:
    """
    Say why no key can be made right now.

    Another run is making one, or has made one that IAM's list does not show yet; or the secret has no room for it.
    """
    yield from _hold_for_claim(situation)
    yield from _hold_for_unlisted_key(situation)
    yield from _no_room(situation)


def _no_room(situation: Situation) -> Iterator[Hold]:
    """Say that the secret takes no more labels: a key would be made, and could not be stored."""
    worn = [label for version in situation.view.versions for label in version.labels]
    needed = _OUR_LABELS - worn.count(CLAIM)
    if len(worn) + needed > _MAX_LABELS:
        yield Hold(
            reason=f"a new key is due, and could not be stored: the secret wears {len(worn)} staging labels, "
            f"{needed} more are needed, and Secrets Manager takes {_MAX_LABELS}",
            remedy="take off labels of your own: aws secretsmanager update-secret-version-stage "
            "--remove-from-version-id",
        )
    yield from _no_room_for_tags(situation)


def _no_room_for_tags(situation: Situation) -> Iterator[Hold]:
    """Say that the secret takes no more tags: a key would be made, and where it is served could not be noted."""
    secret = situation.view.observation.secret
    worn = {tag for tag, _ in secret.tags} if secret else set()
    turn = situation.view.observation.turn
    forced = {FORCED_TAG} if turn is not None and turn.record else set()
    needed = {*_OUR_TAGS, *situation.view.observation.tags_to_come, *forced} - worn
    if len(worn) + len(needed) > _MAX_TAGS:
        yield Hold(
            reason=f"a new key is due, and could not be kept track of: the secret has {len(worn)} tags, "
            f"{len(needed)} more are needed, and Secrets Manager takes {_MAX_TAGS}",
            remedy="remove tags of your own: aws secretsmanager untag-resource",
        )


def _hold_for_unlisted_key(situation: Situation) -> Iterator[Hold]:
    view = situation.view
    stored = next((version for version in view.versions if PENDING in version.labels), None)
    key = key_label(stored) if stored else None
    if stored is None or key is None or view.key(key) is not None:
        return
    until = view.find_wait_end(key, situation.now)
    if stored.id == key_token(key, view.current_id) and until is not None:
        yield Hold(
            key=key,
            until=until,
            needs=Needs.NOBODY,
            reason=f"{key} is made and stored, and IAM does not list it yet",
            remedy="the next run looks again",
        )


def _hold_for_claim(situation: Situation) -> Iterator[Hold]:
    observation = situation.view.observation
    claim = observation.claim
    if (until := situation.view.hidden_claim_until(situation.now)) is not None:
        yield Hold(
            until=until,
            needs=Needs.NOBODY,
            reason="another run has claimed this credential just now, and Secrets Manager does not show its claim yet",
            remedy="the next run looks again",
        )
    if claim is None or claim.run == observation.run or situation.now >= claim.lease_until:
        return
    yield Hold(
        until=claim.lease_until,
        needs=Needs.NOBODY,
        reason=f"run {claim.run} holds the claim on this credential until {claim.lease_until:%Y-%m-%d %H:%M:%S} UTC",
        remedy="wait: if that run is gone, the next one after that time continues",
    )


def new_key(
    situation: Situation, old: AccessKey | None, *, due: datetime, reason: str, needs_readiness: bool = True
) -> Iterator[Action]:
    """Lay out the whole road to a new key; only its first step is possible now."""
    view, observation = situation.view, situation.view.observation
    old_id = old.id if old else None
    steps: list[Action] = []
    if needs_readiness and observation.readiness is None:
        steps.append(act.Preflight(key=old_id, reason=reason, due=due))
    if view.current is None:
        # First the secret, then the key: the very next call after CreateAccessKey has to store the pair (promise
        # secret-never-lost).
        steps.append(act.CreateSecret(reason=reason, due=due))
    if old is not None and view.current_key is None and view.version_of(old.id) is None:
        steps.append(
            act.Adopt(version=view.current_id, key=old.id, reason=f"{old.id} becomes keyrota's to retire", due=due)
        )
    # What the claim remembers: a key that is not among these, and was made in its time, is one whose response was lost.
    seen = frozenset(key.id for key in view.keys)
    if not _holds_claim(situation, seen):
        steps.append(act.TakeClaim(key=old_id, keys_seen=seen, reason=reason, due=due))
    steps.append(act.CreateKey(key=old_id, base=view.current_id, reason=reason, due=due))
    steps.append(act.Verify(key=None, version=None, reason="ask STS before anyone is given the key", due=due))
    steps.append(act.Promote(key=None, version=None, remove_from=view.current_id, reason=reason, due=due))
    steps.append(sync_all(situation, reason="the new key goes to every target"))
    yield _follow(steps[0]) if readers.is_unasked(situation) else steps[0]
    yield from (_follow(step) for step in steps[1:])


def _follow(action: Action) -> Action:
    return replace(action, follows=True)


def _holds_claim(situation: Situation, seen: frozenset[str]) -> bool:
    """Return whether this run's claim covers what it sees, and is young enough to make a key under it."""
    observation = situation.view.observation
    claim = observation.claim
    return (
        claim is not None
        and claim.run == observation.run
        and claim.keys_seen == seen
        and situation.now < claim.at + CREATED_WITHIN
    )
