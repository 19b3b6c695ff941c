"""
What is due on the two roads that a person asks for: `revoke` and `rollback`.

Both are made of the same actions as the routine, so a crash on them leaves nothing that the routine cannot read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from keyrota.core import plan as act
from keyrota.core import readers
from keyrota.core.candidates import is_stored, previous_key
from keyrota.core.discarding import discard, is_being_made
from keyrota.core.evidence import places_showing, why_needed
from keyrota.core.housekeeping import (
    adopt_labelled_version,
    continue_pending,
    drop_lost_race_keys,
    finish_rotation,
    leftovers,
)
from keyrota.core.lifecycle import KeyState
from keyrota.core.model import PENDING, AccessKey, AccessKeyId, KeyStatus, TargetEvidence, make_restored_token
from keyrota.core.places import holds
from keyrota.core.plan import Hold, Needs
from keyrota.core.renewal import after_discarded, new_key, no_slot, under_way
from keyrota.core.situation import Finding, Situation
from keyrota.core.sync import is_drifted, sync_targets


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoke:
    """Replace a key and switch it off at once, without overlap."""

    key: AccessKeyId
    off_first: bool = False
    """`--now`: off before its successor is served. The one road that may break promise served-key-lives."""
    is_hurried: bool = False
    """With `off_first`: Secrets Manager is waited for some seconds only, until the key is off."""
    only_off: bool = False
    """With `off_first`: nothing but that; the replacement is left to a run that may wait for providers."""
    with_sessions: bool = False
    """Also deny temporary credentials issued before now (they live up to 36 hours, whatever happens to the key)."""
    releases_quarantine: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback:
    """Make the previous key AWSCURRENT again, Active, and send it to every target."""

    to: AccessKeyId


def revoke(situation: Situation, wish: Revoke) -> Iterator[Finding]:
    """Lay out the road of `revoke`, from wherever it stands now."""
    view = situation.view
    key = view.key(wish.key)
    state = view.state_of(key) if key else KeyState.GONE
    # First, because such a key takes the slot that the replacement needs.
    yield from drop_lost_race_keys(situation)
    taken_in = tuple(
        one for one in adopt_labelled_version(situation) if not (wish.off_first and isinstance(one, act.AskValue))
    )
    if taken_in and not view.is_refused:  # AWSCURRENT is read first: only then is it known whose key it holds
        yield from taken_in
        if any(isinstance(finding, act.Adopt) for finding in taken_in):
            return
    # Also with `--now`: a person can end such a key with one call of the AWS CLI, which the remedy prints; keyrota
    # cannot know what uses it (promise hands-off).
    if state in _NOT_OURS:
        yield _not_ours(situation, wish.key, state)
        return
    # A mark needs Secrets Manager, which may not answer: with `--now`, only what an adoption needs comes before.
    if wish.off_first:
        yield from _off_first(situation, wish.key, state)
    if key is not None and view.version_of(key.id) is not None and not view.is_revoked(key.id):
        yield act.MarkRevoked(key=key.id, reason="marked as revoked: it never takes over again", due=situation.now)
    if wish.only_off:
        return
    if wish.with_sessions and not view.observation.are_sessions_denied:
        yield act.DenySessions(reason="sessions outlive the key that made them, up to 36 hours", due=situation.now)
    if view.is_refused:
        yield from _instead_of_refused(situation, wish, taken_in)
        return
    if wish.key == view.current_key or state is KeyState.ADOPTABLE:
        yield from (finding for finding in _replacement(situation, wish.key) if not _is_first(finding, wish, state))
    else:
        yield from sync_targets(situation, mends=True)
        if not wish.off_first:
            yield from _switch_off(situation, key, state)
    yield from leftovers(situation)
    yield from _quarantine(situation, wish)


def _instead_of_refused(situation: Situation, wish: Revoke, refused: tuple[Finding, ...]) -> Iterator[Finding]:
    """Replace a value that cannot be served: it is kept as the version before, and no target ever held it."""
    found = tuple(_replacement(situation, wish.key))
    if not any(isinstance(finding, act.Action) for finding in found):
        yield from refused
    yield from found
    yield from _quarantine(situation, wish)


def _is_first(finding: Finding, wish: Revoke, state: KeyState) -> bool:
    """Return whether a step of the replacement is one of `_off_first` already."""
    is_adopted_first = wish.off_first and state is KeyState.ADOPTABLE
    return is_adopted_first and isinstance(finding, (act.CreateSecret, act.Adopt))


def _off_first(situation: Situation, key: AccessKeyId, state: KeyState) -> Iterator[Finding]:
    """Deactivate a key; one that is not stored yet is labelled as ours before, which asks no provider."""
    if state in {KeyState.CURRENT, KeyState.SUPERSEDED, KeyState.PENDING}:
        yield act.Deactivate(
            key=key,
            is_emergency=True,
            reason="revoked with --now: off first; pipelines that hold it fail until the new key is there",
            due=situation.now,
        )
    if state is not KeyState.ADOPTABLE:
        return
    is_secret_missing = situation.view.current is None
    reason = f"{key} becomes keyrota's to deactivate"
    if is_secret_missing:
        yield act.CreateSecret(reason=reason, due=situation.now)
    yield act.Adopt(
        version=situation.view.current_id, key=key, reason=reason, due=situation.now, follows=is_secret_missing
    )


_NOT_OURS = frozenset({KeyState.FOREIGN, KeyState.STRANGE, KeyState.ORPHAN, KeyState.RELEASED, KeyState.DISCARDED})


def _not_ours(situation: Situation, key: AccessKeyId, state: KeyState) -> Hold:
    places = ", ".join(place.where for place in places_showing(situation.view.observation, key))
    user = situation.view.observation.user
    command = f"aws iam update-access-key --user-name {user} --access-key-id {key} --status Inactive"
    breaks = f"what runs with it at {places} fails once it is Inactive: {command}"
    return Hold(
        key=key,
        reason=f"{key} was not made or adopted by keyrota ({state.value}): left alone",
        remedy=breaks if places else f"if it leaked, deactivate it yourself: {command}",
    )


def _replacement(situation: Situation, leaked: AccessKeyId) -> Iterator[Finding]:
    """Bring another key to the targets: one that is pending, a new one, or, without a free slot, the previous one."""
    view = situation.view
    # A key that was made and never served cannot have leaked by a target; it is ready at once, and needs no slot.
    if view.in_state(KeyState.PENDING):
        yield from continue_pending(situation)
        return
    yield from discard(situation)
    if is_being_made(situation):
        return
    blocked = tuple(no_slot(situation))
    if not blocked:
        steps = new_key(
            situation, view.key(leaked), due=situation.now, reason=f"{leaked} is revoked", needs_readiness=False
        )
        yield from readers.questions(situation)
        yield from (*under_way(situation), *readers.holds(situation)) or after_discarded(situation, steps)
        return
    previous = next((key for key in view.keys if key.id == previous_key(view) and key.id != leaked), None)
    # Going back to a key that leaked as well would serve it again, to everyone who found it.
    if previous is not None and view.is_revoked(previous.id):
        previous = None
    if previous is None:
        yield from (replace(hold, remedy=_free_a_slot(situation, leaked)) for hold in blocked)
    else:
        yield from _back_to(
            situation, previous, reason=f"no slot is free for a new key: {previous.id} takes over again"
        )


def _free_a_slot(situation: Situation, leaked: AccessKeyId) -> str:
    """Say what a person can do; keyrota itself deletes nothing before its grace is over (promise off-before-gone)."""
    user, name = situation.view.observation.user, situation.view.observation.name
    key = situation.view.key(leaked)
    is_active = key is not None and key.status is KeyStatus.ACTIVE
    meanwhile = f"; keyrota revoke {name} --now deactivates {leaked} meanwhile" if is_active else ""
    other = next((one for one in situation.view.keys if one.id != leaked), None)
    if other is None:
        return meanwhile.removeprefix("; ")
    if why := why_needed(situation, other):
        if situation.view.is_revoked(other.id) and other.status is KeyStatus.INACTIVE:
            return f"{other.id} was revoked too, and is Inactive: delete it, and run the same command again{meanwhile}"
        return f"decide whether {other.id} may go ({why}), free its slot, and run the same command again{meanwhile}"
    return (
        f"if {other.id} may go, delete it yourself (aws iam delete-access-key --user-name {user} "
        f"--access-key-id {other.id}) and run the same command again{meanwhile}"
    )


def _back_to(situation: Situation, key: AccessKey, *, reason: str) -> Iterator[Finding]:
    version = situation.view.version_of(key.id)
    if version is None:
        return
    current = situation.view.current
    if current is not None and PENDING in current.labels:
        # Left on, this label would make the current key look as if it were still to be promoted.
        yield act.RemoveLabel(
            label=PENDING, version=current.id, reason="the rotation that set it is over", due=situation.now
        )
    is_off = situation.view.state_of(key) is KeyState.RETIRED
    if is_off:
        yield act.Reactivate(key=key.id, reason=reason, due=situation.now)
    restored = make_restored_token(key.id, current.id) if current is not None else version.id
    waits = is_off or version.id != restored
    if current is not None and version.id != restored:
        yield act.Restore(
            key=key.id,
            version=version.id,
            base=current.id,
            reason="its pair is stored beside today's other fields",
            due=situation.now,
            follows=is_off,
        )
    for action in finish_rotation(situation, key, replace(version, id=restored), is_rollback=True):
        yield _follow(action) if waits else action


def _follow(action: act.Action) -> act.Action:
    return replace(action, follows=True)


def _switch_off(situation: Situation, key: AccessKey | None, state: KeyState) -> Iterator[Finding]:
    if key is None or state not in {KeyState.SUPERSEDED, KeyState.PENDING}:
        return
    unproven = tuple(_unproven(situation))
    if unproven and state is KeyState.SUPERSEDED:
        yield Hold(
            key=key.id,
            reason=f"{key.id} is still Active, because its successor is not on every target: {'; '.join(unproven)}",
            remedy="run the same command again when the target answers, or add --now to switch the key off first",
        )
    else:
        yield act.Deactivate(
            key=key.id, is_emergency=True, reason="revoked: its successor is on every target", due=situation.now
        )


def _unproven(situation: Situation) -> Iterator[str]:
    served = situation.served
    if served is None or not situation.view.is_synced():
        yield "sync is not complete"
        return
    yield from (hold.target or "" for hold in holds(situation))
    for target in situation.view.observation.targets:
        if target.is_archived:
            continue  # it runs nothing
        if target.evidence is TargetEvidence.FAILED or is_drifted(situation.view, target, served):
            yield target.address


def _quarantine(situation: Situation, wish: Revoke) -> Iterator[Finding]:
    for policy in situation.view.observation.quarantine:
        name = policy.rpartition("/")[2]
        if wish.releases_quarantine:
            yield act.ReleaseQuarantine(
                policy_arn=policy, reason=f"{name} would keep pipelines failing", due=situation.now
            )
        else:
            yield Hold(
                needs=Needs.REPAIR,
                reason=f"AWS attached {name} to the user: pipelines fail with any key until it is detached",
                remedy="when the leak is dealt with: "
                f"keyrota revoke {situation.view.observation.name} --key {wish.key} --release",
            )


def rollback(situation: Situation, wish: Rollback) -> Iterator[Finding]:
    """Lay out the road of `rollback`, from wherever it stands now."""
    view = situation.view
    key = view.key(wish.to)
    state = view.state_of(key) if key else KeyState.GONE
    if key is not None and state is KeyState.CURRENT_OFF:
        yield act.Reactivate(key=key.id, reason="asked for", due=situation.now)
    elif key is not None and state in {KeyState.SUPERSEDED, KeyState.RETIRED} and is_stored(view, key):
        if state is KeyState.SUPERSEDED and view.find_on_since(key.id) is None:
            yield act.NoteActive(
                key=key.id, reason="requested: it is not deactivated while it is verified", due=situation.now
            )
        yield from _back_to(situation, key, reason="asked for")
    elif state is KeyState.CURRENT:
        yield from sync_targets(situation, mends=True)
        yield from leftovers(situation)
    else:
        yield Hold(
            key=wish.to,
            reason=f"{wish.to} cannot be made current again: it is {state.value}",
            remedy="keyrota status shows which keys there are",
        )
