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
from keyrota.core.case import Case, Finding
from keyrota.core.discarding import discarded, is_being_made
from keyrota.core.evidence import places_showing, why_needed
from keyrota.core.lifecycle import KeyState
from keyrota.core.model import PENDING, AccessKey, AccessKeyId, KeyStatus, TargetEvidence, restored_token
from keyrota.core.places import holds
from keyrota.core.plan import Hold, Needs
from keyrota.core.renewal import after_discarded, new_key, no_slot, under_way
from keyrota.core.rules import finish_rotation, labelled_version, leftovers, losers, pending
from keyrota.core.serving import is_drifted, sync


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoke:
    """Replace a key and switch it off at once, without overlap."""

    key: AccessKeyId
    off_first: bool = False
    """`--now`: off before its successor is served. The one road that may break promise served-key-lives."""
    only_off: bool = False
    """With `off_first`: nothing but that; the replacement is left to a run that may wait for providers."""
    with_sessions: bool = False
    """Also deny temporary credentials issued before now (they live up to 36 hours, whatever happens to the key)."""
    releases_quarantine: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback:
    """Make the previous key AWSCURRENT again, Active, and send it to every target."""

    to: AccessKeyId


def revoke(case: Case, wish: Revoke) -> Iterator[Finding]:
    """Lay out the road of `revoke`, from wherever it stands now."""
    view = case.view
    key = view.key(wish.key)
    state = view.state_of(key) if key else KeyState.GONE
    yield from losers(case)
    taken_in = tuple(one for one in labelled_version(case) if not (wish.off_first and isinstance(one, act.AskValue)))
    if taken_in and not view.is_refused:  # AWSCURRENT is read first: only then is it known whose key it holds
        yield from taken_in
        if any(isinstance(finding, act.Adopt) for finding in taken_in):
            return
    if state in _NOT_OURS:
        yield _not_ours(case, wish.key, state)
        return
    if key is not None and view.version_of(key.id) is not None and not view.is_revoked(key.id):
        yield act.MarkRevoked(key=key.id, reason="marked as revoked: it never takes over again", due=case.now)
    if wish.off_first:
        yield from _off_first(case, wish.key, state)
    if wish.only_off:
        return
    if wish.with_sessions and not view.observation.are_sessions_denied:
        yield act.DenySessions(reason="sessions outlive the key that made them, up to 36 hours", due=case.now)
    if view.is_refused:
        yield from _instead_of_refused(case, wish, taken_in)
        return
    if wish.key == view.current_key or state is KeyState.ADOPTABLE:
        yield from (finding for finding in _replacement(case, wish.key) if not _is_first(finding, wish, state))
    else:
        yield from sync(case, mends=True)
        if not wish.off_first:
            yield from _switch_off(case, key, state)
    yield from leftovers(case)
    yield from _quarantine(case, wish)


def _instead_of_refused(case: Case, wish: Revoke, refused: tuple[Finding, ...]) -> Iterator[Finding]:
    """Replace a value that cannot be served: it is kept as the version before, and no target ever held it."""
    found = tuple(_replacement(case, wish.key))
    if not any(isinstance(finding, act.Action) for finding in found):
        yield from refused
    yield from found
    yield from _quarantine(case, wish)


def _is_first(finding: Finding, wish: Revoke, state: KeyState) -> bool:
    """Tell whether a step of the replacement is one of `_off_first` already."""
    is_adopted_first = wish.off_first and state is KeyState.ADOPTABLE
    return is_adopted_first and isinstance(finding, (act.CreateSecret, act.Adopt))


def _off_first(case: Case, key: AccessKeyId, state: KeyState) -> Iterator[Finding]:
    """Deactivate a key; one that is not stored yet is labelled as ours before, which asks no provider."""
    if state in {KeyState.CURRENT, KeyState.SUPERSEDED, KeyState.PENDING}:
        yield act.Deactivate(
            key=key,
            is_emergency=True,
            reason="revoked with --now: off first; pipelines that hold it fail until the new key is there",
            due=case.now,
        )
    if state is not KeyState.ADOPTABLE:
        return
    is_secret_missing = case.view.current is None
    reason = f"{key} becomes keyrota's to deactivate"
    if is_secret_missing:
        yield act.CreateSecret(reason=reason, due=case.now)
    yield act.Adopt(version=case.view.current_id, key=key, reason=reason, due=case.now, follows=is_secret_missing)


_NOT_OURS = frozenset({KeyState.FOREIGN, KeyState.STRANGE, KeyState.ORPHAN, KeyState.RELEASED, KeyState.DISCARDED})


def _not_ours(case: Case, key: AccessKeyId, state: KeyState) -> Hold:
    places = ", ".join(place.where for place in places_showing(case.view.observation, key))
    command = (
        f"aws iam update-access-key --user-name {case.view.observation.user} --access-key-id {key} --status Inactive"
    )
    breaks = f"what runs with it at {places} fails once it is Inactive: {command}"
    return Hold(
        key=key,
        reason=f"{key} was not made or adopted by keyrota ({state.value}): left alone",
        remedy=breaks if places else f"if it leaked, deactivate it yourself: {command}",
    )


def _replacement(case: Case, leaked: AccessKeyId) -> Iterator[Finding]:
    """Bring another key to the targets: one that is pending, a new one, or, without a free slot, the previous one."""
    view = case.view
    if view.in_state(KeyState.PENDING):
        yield from pending(case)
        return
    yield from discarded(case)
    if is_being_made(case):
        return
    blocked = tuple(no_slot(case))
    if not blocked:
        steps = new_key(case, view.key(leaked), due=case.now, reason=f"{leaked} is revoked", needs_readiness=False)
        yield from readers.questions(case)
        yield from (*under_way(case), *readers.holds(case)) or after_discarded(case, steps)
        return
    previous = next((key for key in view.keys if key.id == previous_key(view) and key.id != leaked), None)
    if previous is not None and view.is_revoked(previous.id):
        previous = None
    if previous is None:
        yield from (replace(hold, remedy=_free_a_slot(case, leaked)) for hold in blocked)
    else:
        yield from _back_to(case, previous, reason=f"no slot is free for a new key: {previous.id} takes over again")


def _free_a_slot(case: Case, leaked: AccessKeyId) -> str:
    """Say what a person can do; keyrota itself deletes nothing before its grace is over (promise off-before-gone)."""
    user, name = case.view.observation.user, case.view.observation.name
    key = case.view.key(leaked)
    is_active = key is not None and key.status is KeyStatus.ACTIVE
    meanwhile = f"; keyrota revoke {name} --now deactivates {leaked} meanwhile" if is_active else ""
    other = next((one for one in case.view.keys if one.id != leaked), None)
    if other is None:
        return meanwhile.removeprefix("; ")
    if why := why_needed(case, other):
        if case.view.is_revoked(other.id) and other.status is KeyStatus.INACTIVE:
            return f"{other.id} was revoked too, and is Inactive: delete it, and run the same command again{meanwhile}"
        return f"decide whether {other.id} may go ({why}), free its slot, and run the same command again{meanwhile}"
    return (
        f"if {other.id} may go, delete it yourself (aws iam delete-access-key --user-name {user} "
        f"--access-key-id {other.id}) and run the same command again{meanwhile}"
    )


def _back_to(case: Case, key: AccessKey, *, reason: str) -> Iterator[Finding]:
    version = case.view.version_of(key.id)
    if version is None:
        return
    current = case.view.current
    if current is not None and PENDING in current.labels:
        # Left on, this label would make the current key look as if it were still to be promoted.
        yield act.Tidy(label=PENDING, version=current.id, reason="the rotation that set it is over", due=case.now)
    is_off = case.view.state_of(key) is KeyState.RETIRED
    if is_off:
        yield act.Reactivate(key=key.id, reason=reason, due=case.now)
    restored = restored_token(key.id, current.id) if current is not None else version.id
    waits = is_off or version.id != restored
    if current is not None and version.id != restored:
        yield act.Restore(
            key=key.id,
            version=version.id,
            base=current.id,
            reason="its pair is stored beside today's other fields",
            due=case.now,
            follows=is_off,
        )
    for action in finish_rotation(case, key, replace(version, id=restored), is_rollback=True):
        yield _follow(action) if waits else action


def _follow(action: act.Action) -> act.Action:
    return replace(action, follows=True)


def _switch_off(case: Case, key: AccessKey | None, state: KeyState) -> Iterator[Finding]:
    if key is None or state not in {KeyState.SUPERSEDED, KeyState.PENDING}:
        return
    unproven = tuple(_unproven(case))
    if unproven and state is KeyState.SUPERSEDED:
        yield Hold(
            key=key.id,
            reason=f"{key.id} is still Active, because its successor is not on every target: {'; '.join(unproven)}",
            remedy="run the same command again when the target answers, or add --now to switch the key off first",
        )
    else:
        yield act.Deactivate(
            key=key.id, is_emergency=True, reason="revoked: its successor is on every target", due=case.now
        )


def _unproven(case: Case) -> Iterator[str]:
    served = case.served
    if served is None or not case.view.is_synced():
        yield "sync is not complete"
        return
    yield from (hold.target or "" for hold in holds(case))
    for target in case.view.observation.targets:
        if target.is_archived:
            continue  # it runs nothing
        if target.evidence is TargetEvidence.FAILED or is_drifted(case.view, target, served):
            yield target.address


def _quarantine(case: Case, wish: Revoke) -> Iterator[Finding]:
    for policy in case.view.observation.quarantine:
        name = policy.rpartition("/")[2]
        if wish.releases_quarantine:
            yield act.ReleaseQuarantine(policy_arn=policy, reason=f"{name} would keep pipelines failing", due=case.now)
        else:
            yield Hold(
                needs=Needs.REPAIR,
                reason=f"AWS attached {name} to the user: pipelines fail with any key until it is detached",
                remedy="when the leak is dealt with: "
                f"keyrota revoke {case.view.observation.name} --key {wish.key} --release",
            )


def rollback(case: Case, wish: Rollback) -> Iterator[Finding]:
    """Lay out the road of `rollback`, from wherever it stands now."""
    view = case.view
    key = view.key(wish.to)
    state = view.state_of(key) if key else KeyState.GONE
    if key is not None and state is KeyState.CURRENT_OFF:
        yield act.Reactivate(key=key.id, reason="asked for", due=case.now)
    elif key is not None and state in {KeyState.SUPERSEDED, KeyState.RETIRED} and is_stored(view, key):
        if state is KeyState.SUPERSEDED and view.noted_on(key.id) is None:
            yield act.NoteActive(
                key=key.id, reason="wanted again: nobody switches it off while it is proven", due=case.now
            )
        yield from _back_to(case, key, reason="asked for")
    elif state is KeyState.CURRENT:
        yield from sync(case, mends=True)
        yield from leftovers(case)
    else:
        yield Hold(
            key=wish.to,
            reason=f"{wish.to} cannot be made current again: it is {state.value}",
            remedy="keyrota status shows which keys there are",
        )
