"""
What is due in the life of a credential when nobody asked for anything special: one function a duty.

Each yields what it finds: actions that are possible now, holds with their remedy, and what comes later. The order in
which `planner` asks them is the order in which the actions are safe.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from keyrota.core import plan as act
from keyrota.core.lifecycle import JUST_NOW, DeactivationNote, KeyState, View, key_label
from keyrota.core.model import (
    CLAIM,
    PENDING,
    AccessKey,
    Evidence,
    SecretVersion,
    TargetEvidence,
    TargetState,
)
from keyrota.core.plan import Action, Hold, Upcoming
from keyrota.core.policy import Adopt, OnStillUsed, RotationPolicy
from keyrota.core.schedule import gone_due, off_due, quiet_since, rotation_due

Finding = Action | Hold | Upcoming


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One credential at one instant, under one policy."""

    view: View
    policy: RotationPolicy
    now: datetime

    @property
    def served(self) -> AccessKey | None:
        """The Active key behind AWSCURRENT, which targets hold."""
        return next(iter(self.view.in_state(KeyState.CURRENT)), None)


# --- what stops everything -------------------------------------------------------------------------------------


def obstacles(case: Case) -> Iterator[Hold]:
    """Find what makes every change unsafe; while there is one, only it is reported."""
    view, observation = case.view, case.view.observation
    secret = observation.secret
    if secret and secret.deleted_at:
        yield Hold(
            reason=f"the secret {secret.name} is scheduled for deletion",
            remedy=f"aws secretsmanager restore-secret --secret-id {secret.name}",
        )
    if view.owner and view.owner != owner_tag(observation.user):
        yield Hold(
            reason=f"the secret belongs to another user ({view.owner})",
            remedy=f"give {observation.user} a secret of its own with `secret:` in the configuration",
        )
    for key in view.in_state(KeyState.STRANGE):
        yield Hold(
            key=key.id,
            reason=f"its status is {key.status_word!r}, which keyrota does not know",
            remedy="look at the key in IAM; keyrota touches nothing of this user until its status is known",
        )


def owner_tag(user: str) -> str:
    """Write a user name as a tag value (IAM allows a comma, tags do not)."""
    return user.replace(",", "/")


# --- keys that are not ours -----------------------------------------------------------------------------------


def strangers(case: Case) -> Iterator[Hold]:
    """Name the keys that keyrota did not make and does not touch."""
    view = case.view
    if view.is_foreign_version:
        return  # adoption reads AWSCURRENT first; then it is known whose key it is
    for key in view.in_state(KeyState.FOREIGN):
        yield Hold(
            key=key.id,
            reason=f"{key.id} ({key.status.value}) was not made by keyrota and is not in the secret: left alone",
            remedy=f"delete it if nobody needs it: aws iam delete-access-key "
            f"--user-name {view.observation.user} --access-key-id {key.id}",
        )
    if len(view.keys) > 2:  # noqa: PLR2004  # IAM's quota of two, which parallel calls can exceed
        yield Hold(
            reason=f"the user has {len(view.keys)} access keys, more than IAM's quota of two",
            remedy="delete the ones that keyrota did not make; it touches none of them and makes no new one",
        )


def foreign_version(case: Case) -> Iterator[Finding]:
    """Take in an AWSCURRENT that somebody else wrote, where the configuration or our own tag says that it is ours."""
    view, observation = case.view, case.view.observation
    if not view.is_foreign_version or view.current is None or observation.secret is None:
        return
    if not (observation.is_secret_named or view.owner):
        yield Hold(
            reason=f"a secret named {observation.secret.name} exists, and keyrota did not make it",
            remedy=f"name it with `secret: {observation.secret.name}` in the configuration to let keyrota adopt it",
        )
        return
    yield act.Adopt(
        version=view.current.id,
        key=None,
        reason="AWSCURRENT was written by somebody else: find out which key it holds",
        due=case.now,
    )


# --- keys that nobody was ever given --------------------------------------------------------------------------


def losers(case: Case) -> Iterator[Finding]:
    """Drop what this very run made and could not bring home."""
    for key in case.view.in_state(KeyState.LOSER):
        yield act.DeleteOrphan(key=key.id, reason="made by this run and served to nobody", due=case.now)


def orphans(case: Case) -> Iterator[Finding]:
    """Drop keys whose CreateAccessKey was answered to nobody."""
    claim = case.view.observation.claim
    for key in case.view.in_state(KeyState.ORPHAN):
        if claim is None:  # an orphan is told by its claim
            continue
        if case.now < claim.lease_until:
            yield Hold(
                key=key.id,
                until=claim.lease_until,
                reason=f"{key.id} is being made by run {claim.run}, or its answer was lost",
                remedy=f"wait until {claim.lease_until:%Y-%m-%d %H:%M:%S} UTC; the next run goes on",
            )
        elif is_deletable_orphan(case, key):
            yield act.DeleteOrphan(
                key=key.id,
                reason="its secret was lost when the run that made it ended; it was never used",
                due=claim.lease_until,
            )
        elif key.last_use.evidence is Evidence.UNKNOWN:
            yield _unknown_use(key)
        else:
            yield Hold(
                key=key.id,
                reason=f"{key.id} looks like an orphan, but somebody used it ({_used(key)})",
                remedy="find out who made it; keyrota leaves it alone",
            )


# --- a rotation that was begun --------------------------------------------------------------------------------


def pending(case: Case) -> Iterator[Finding]:
    """Go on with a key that is stored and not yet served."""
    for key in case.view.in_state(KeyState.PENDING):
        version = case.view.version_of(key.id)
        if version is None:
            continue
        yield from finish_rotation(case, key, version)


def finish_rotation(
    case: Case, key: AccessKey, version: SecretVersion, *, is_rollback: bool = False
) -> Iterator[Action]:
    """Prove a stored key, and make it AWSCURRENT."""
    is_proven = key.id in case.view.observation.verified
    if not is_proven:
        yield act.Verify(
            key=key.id, version=version.id, reason="IAM is eventually consistent: ask STS first", due=case.now
        )
    yield act.Promote(
        key=key.id,
        version=version.id,
        remove_from=case.view.current_id,
        is_rollback=is_rollback,
        reason="STS accepts the key: it becomes AWSCURRENT",
        due=case.now,
        follows=not is_proven,
    )
    yield _sync_all(case, reason="the new key goes to every target", follows=True)


def _sync_all(case: Case, *, reason: str, follows: bool) -> act.Sync:
    addresses = tuple(target.address for target in case.view.observation.targets)
    return act.Sync(key=None, targets=addresses, reason=reason, due=case.now, follows=follows)


# --- targets --------------------------------------------------------------------------------------------------


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
    return f"{target.address} holds {target.key}"


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


# --- the old key goes off -------------------------------------------------------------------------------------


def deactivation(case: Case) -> Iterator[Finding]:
    """Switch superseded keys off, on proof only (promise proof-before-off)."""
    for key in case.view.in_state(KeyState.SUPERSEDED):
        yield from _deactivate(case, key)


def _deactivate(case: Case, key: AccessKey) -> Iterator[Finding]:
    record = case.view.deactivated
    if record and record.key == key.id and case.view.note is not DeactivationNote.SEEN_ACTIVE:
        yield act.NoteActive(key=key.id, reason="somebody switched it on again: its overlap starts anew", due=case.now)
        return
    due = off_due(key, case.view, case.policy)
    if due is None:
        if key.created + case.policy.deactivate_after <= case.now:
            yield _not_proven(case, key)
        return
    if case.now < due:
        yield Upcoming(shown="deactivate", key=key.id, due=due, reason="when its overlap is over, if it is unused")
        return
    blocks = tuple(_blocks_deactivation(case, key))
    if blocks:
        yield from blocks
        return
    needs_rewrite = _needs_rewrite(case, key)
    if needs_rewrite and case.served:
        yield act.Sync(
            key=case.served.id,
            targets=tuple(target.address for target in case.view.observation.targets),
            is_rewrite=True,
            reason=f"written once more before {key.id} goes off",
            due=case.now,
        )
    yield act.Deactivate(key=key.id, reason=_why_off(case, key), due=due, follows=needs_rewrite)


def _why_off(case: Case, key: AccessKey) -> str:
    age = (case.now - key.created).days
    use = "never used" if key.last_use.evidence is Evidence.NEVER else f"last used {_day(key.last_use.at)}"
    return f"{age} days old, {use}; its successor {case.view.current_key} is on every target"


def _not_proven(case: Case, key: AccessKey) -> Hold:
    successor = f"its successor {case.view.current_key}" if case.view.current_key else "its successor"
    return Hold(
        key=key.id,
        reason=f"{key.id} stays Active: {successor} is not proven on every target",
        remedy="mend what sync reports; the overlap counts from the moment at which every target holds the new key",
    )


def _blocks_deactivation(case: Case, key: AccessKey) -> Iterator[Hold]:
    successor = case.served
    if successor is None:
        yield _not_proven(case, key)
        return
    for target in case.view.observation.targets:
        if target.evidence is TargetEvidence.FAILED or is_drifted(target, successor):
            yield Hold(
                key=key.id,
                target=target.address,
                reason=f"{key.id} stays Active: {target.address} is not confirmed to hold {successor.id}",
                remedy="keyrota sync",
            )
    yield from _blocked_by_use(case, key)
    yield from _blocked_by_missing_proof(case, successor, key)
    yield from _frozen(case, key, "deactivated")


def _blocked_by_use(case: Case, key: AccessKey) -> Iterator[Hold]:
    use, policy = key.last_use, case.policy
    if use.evidence is Evidence.UNKNOWN:
        yield _unknown_use(key)
    if use.evidence is not Evidence.USED or policy.on_still_used is OnStillUsed.DEACTIVATE:
        return
    if use.at is None:
        yield _unknown_use(key)
        return
    since = quiet_since(key, case.view)
    quiet_from = max(use.at + policy.quiet_for, since + policy.overlap if since else use.at)
    if case.now < quiet_from:
        yield Hold(
            key=key.id,
            reason=f"{key.id} is still used: {_used(key)}",
            remedy="move that consumer to the new key (keyrota does not know it), "
            "or set `on_still_used: deactivate` to switch the key off all the same",
        )


def _blocked_by_missing_proof(case: Case, successor: AccessKey, key: AccessKey) -> Iterator[Hold]:
    if not case.policy.prove_use:
        return
    if successor.last_use.evidence is Evidence.UNKNOWN:
        yield _unknown_use(successor)
    elif not _is_used_by_others(case, successor):
        yield Hold(
            key=key.id,
            reason=f"{key.id} stays Active: nobody has used the new key {successor.id} yet (`prove_use: true`)",
            remedy="let a pipeline run with the new key, or set `prove_use: false`",
        )


def _is_used_by_others(case: Case, successor: AccessKey) -> bool:
    """Tell whether somebody else than keyrota has used the new key: its own proof by STS is a use as well."""
    use, record = successor.last_use, case.view.synced
    if use.evidence is not Evidence.USED or use.at is None or record is None or use.at <= record.since:
        return False
    return use.service != "sts" or use.at > record.confirmed + JUST_NOW


def _needs_rewrite(case: Case, key: AccessKey) -> bool:
    record = case.view.synced
    if record is None or not case.view.observation.targets:
        return False
    last_use = quiet_since(key, case.view)
    wanted = record.since + case.policy.overlap
    return record.confirmed < (max(wanted, last_use) if last_use else wanted)


def _frozen(case: Case, key: AccessKey, what: str) -> Iterator[Hold]:
    until = case.policy.frozen_until(case.now)
    if until is not None:
        yield Hold(
            key=key.id,
            until=until,
            reason=f"{key.id} is not {what} in a freeze window",
            remedy=f"the window ends {until:%Y-%m-%d %H:%M} UTC",
        )


def _unknown_use(key: AccessKey) -> Hold:
    return Hold(
        key=key.id,
        reason=f"the last use of {key.id} could not be read: {key.last_use.why or 'no reason given'}",
        remedy="allow iam:GetAccessKeyLastUsed, or wait if IAM is throttling; unknown never counts as unused",
    )


def _used(key: AccessKey) -> str:
    use = key.last_use
    where = f" by {use.service}" if use.service else ""
    return f"last used {_day(use.at)}{where}" + (f" in {use.region}" if use.region else "")


def _day(instant: datetime | None) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC" if instant else "at a time that IAM does not tell"


# --- the old key is deleted -----------------------------------------------------------------------------------


def deletion(case: Case) -> Iterator[Finding]:
    """Delete retired keys when their grace is over (promise off-before-gone)."""
    for key in case.view.in_state(KeyState.RETIRED):
        yield from _delete(case, key)


def _delete(case: Case, key: AccessKey) -> Iterator[Finding]:
    version = case.view.version_of(key.id)
    due = gone_due(key, case.view, case.policy)
    if due is None or version is None:
        yield act.Deactivate(
            key=key.id, reason="it is Inactive already: note since when, so that its grace begins", due=case.now
        )
    elif case.now < due:
        yield Upcoming(shown="delete", key=key.id, due=due, reason="when it has been Inactive for the whole grace")
    elif blocks := tuple(_blocks_deletion(case, key)):
        yield from blocks
    else:
        since = case.view.deactivated.at if case.view.deactivated else None
        yield act.Delete(key=key.id, version=version.id, reason=f"Inactive since {_day(since)}", due=due)


def _blocks_deletion(case: Case, key: AccessKey) -> Iterator[Hold]:
    if case.served is None:
        yield Hold(
            key=key.id,
            reason=f"{key.id} is kept: the key that should have replaced it is not Active",
            remedy=f"keyrota rollback {case.view.observation.user}",
        )
    if key.last_use.evidence is Evidence.UNKNOWN:
        yield _unknown_use(key)
    for target in case.view.observation.targets:
        if target.evidence is TargetEvidence.HOLDS and target.key == key.id:
            yield Hold(
                key=key.id,
                target=target.address,
                reason=f"{key.id} is kept: {target.address} still holds it",
                remedy="keyrota sync",
            )
    yield from _frozen(case, key, "deleted")


# --- a new key ------------------------------------------------------------------------------------------------


def current_key_trouble(case: Case) -> Iterator[Hold]:
    """Report a current key that does not work any more; nobody but a person can know why."""
    view, user = case.view, case.view.observation.user
    for key in view.in_state(KeyState.CURRENT_OFF):
        yield Hold(
            key=key.id,
            reason=f"{key.id} is the key that targets hold, and it is Inactive: somebody switched it off",
            remedy=f"keyrota rollback {user} switches it on again; keyrota revoke {user} makes a new one",
        )
    if view.current_key is None or view.key(view.current_key) is not None:
        return
    secret = view.observation.secret
    if secret and secret.changed_at and case.now - secret.changed_at < JUST_NOW:
        yield Hold(
            key=view.current_key,
            until=secret.changed_at + JUST_NOW,
            reason=f"{view.current_key} is new and IAM does not list it yet",
            remedy="the next run looks again",
        )
    else:
        yield Hold(
            key=view.current_key,
            reason=f"{view.current_key} is the key that targets hold, and IAM does not have it any more",
            remedy=f"keyrota revoke {user} makes a new key and brings it to every target",
        )


def rotation(case: Case) -> Iterator[Finding]:
    """Make a new key when the current one is due, or when there is none."""
    view = case.view
    if view.is_foreign_version or view.in_state(KeyState.PENDING, KeyState.CURRENT_OFF):
        return
    if not all(is_deletable_orphan(case, key) for key in view.in_state(KeyState.ORPHAN)):
        return
    if view.current_key is not None and case.served is None:
        return  # the key behind AWSCURRENT is missing: a person decides (current_key_trouble)
    adoptable = next(iter(view.in_state(KeyState.ADOPTABLE)), None)
    old = case.served or adoptable
    due = rotation_due(old, case.policy, is_adoptable=_is_adopted_by_hand(case, old)) if old else case.now
    if case.now < due:
        yield Upcoming(shown="rotate", key=old.id if old else None, due=due, reason="when it reaches its age")
        return
    blocks = tuple(_blocks_rotation(case))
    yield from blocks or after_orphans(case, new_key(case, old, due=due, reason=_why_rotate(case, old, adoptable)))


def after_orphans(case: Case, actions: Iterator[Action]) -> Iterator[Action]:
    """Let a rotation wait for the deletion of orphans, which stands before it in the same plan."""
    has_orphans = bool(case.view.in_state(KeyState.ORPHAN))
    yield from (replace(action, follows=True) if has_orphans else action for action in actions)


def is_deletable_orphan(case: Case, key: AccessKey) -> bool:
    claim = case.view.observation.claim
    return claim is not None and case.now >= claim.lease_until and key.last_use.evidence is Evidence.NEVER


def _is_adopted_by_hand(case: Case, old: AccessKey | None) -> bool:
    """Tell whether a key was there before keyrota, so that `adopt: now` is about it."""
    return old is not None and not case.view.is_stored


def _why_rotate(case: Case, old: AccessKey | None, adoptable: AccessKey | None) -> str:
    if old is None:
        return "the user has no access key in use: its first one is made"
    age = (case.now - old.created).days
    if adoptable is not None or not case.view.is_stored:
        how = "at once (`adopt: now`)" if case.policy.adopt is Adopt.NOW else f"{age} days old"
        return f"{old.id} was there before keyrota: it is replaced, {how}"
    return f"{old.id} is {age} days old"


def _blocks_rotation(case: Case) -> Iterator[Hold]:
    yield from no_slot(case)
    yield from claimed(case)
    for answer in case.view.observation.readiness or ():
        if not answer.is_ready:
            yield Hold(
                target=answer.address,
                reason=f"not rotated, because {answer.address} would not take the new key: {answer.detail}",
                remedy=answer.remedy,
            )


def no_slot(case: Case) -> Iterator[Hold]:
    """Say why no second key can be made."""
    view = case.view
    staying = [key for key in view.keys if view.state_of(key) is not KeyState.ORPHAN]
    if len(staying) < 2:  # noqa: PLR2004  # IAM's quota of two
        return
    leaving = next(iter(view.in_state(KeyState.SUPERSEDED, KeyState.RETIRED)), None)
    until = _leaves(case, leaving) if leaving else None
    yield Hold(
        until=until,
        reason="a new key is due, and both of IAM's two slots are taken: " + ", ".join(key.id for key in view.keys),
        remedy=f"nothing to do: {leaving.id} leaves first" + (f", about {until:%Y-%m-%d}" if until else "")
        if leaving
        else "delete the key that is not needed; keyrota touches only keys that it made or adopted",
    )


def _leaves(case: Case, key: AccessKey) -> datetime | None:
    if case.view.state_of(key) is KeyState.RETIRED:
        return gone_due(key, case.view, case.policy)
    off = off_due(key, case.view, case.policy)
    return off + case.policy.grace if off else None


def claimed(case: Case) -> Iterator[Hold]:
    """Say that another run is making a key right now."""
    observation = case.view.observation
    claim = observation.claim
    if claim is None or claim.run == observation.run or case.now >= claim.lease_until:
        return
    yield Hold(
        until=claim.lease_until,
        reason=f"run {claim.run} holds the claim on this credential until {claim.lease_until:%Y-%m-%d %H:%M:%S} UTC",
        remedy="wait: if that run is gone, the next one after that time goes on",
    )


def new_key(
    case: Case, old: AccessKey | None, *, due: datetime, reason: str, needs_readiness: bool = True
) -> Iterator[Action]:
    """Lay out the whole road to a new key; only its first step is possible now."""
    view, observation = case.view, case.view.observation
    old_id = old.id if old else None
    steps: list[Action] = []
    if needs_readiness and observation.readiness is None:
        steps.append(act.Preflight(key=old_id, reason=reason, due=due))
    if view.current is None:
        steps.append(act.CreateSecret(reason=reason, due=due))
    if old is not None and view.current_key is None:
        steps.append(
            act.Adopt(version=view.current_id, key=old.id, reason=f"{old.id} becomes keyrota's to retire", due=due)
        )
    seen = frozenset(key.id for key in view.keys)
    if not _holds_claim(case, seen):
        steps.append(act.TakeClaim(key=old_id, keys_seen=seen, reason=reason, due=due))
    steps.append(act.CreateKey(key=old_id, base=view.current_id, reason=reason, due=due))
    steps.append(act.Verify(key=None, version=None, reason="ask STS before anyone is given the key", due=due))
    steps.append(act.Promote(key=None, version=None, remove_from=view.current_id, reason=reason, due=due))
    steps.append(_sync_all(case, reason="the new key goes to every target", follows=True))
    yield steps[0]
    yield from (_following(step) for step in steps[1:])


def _following(action: Action) -> Action:
    return replace(action, follows=True)


def _holds_claim(case: Case, seen: frozenset[str]) -> bool:
    """Tell whether this run's claim covers what it sees, with time enough left to make and store a key."""
    observation = case.view.observation
    claim = observation.claim
    return (
        claim is not None
        and claim.run == observation.run
        and claim.keys_seen == seen
        and case.now + (claim.lease_until - claim.at) / 2 < claim.lease_until
    )


# --- labels that have done their duty -------------------------------------------------------------------------


def leftovers(case: Case) -> Iterator[Finding]:
    """Take off labels that a crash, or a finished rotation, left behind."""
    view = case.view
    if view.current is not None and PENDING in view.current.labels:
        yield _tidy(case, PENDING, view.current, "the key is AWSCURRENT now")
    yield from _used_claim(case)
    yield from _labels_of_gone_keys(case)


def _used_claim(case: Case) -> Iterator[Finding]:
    view, claim = case.view, case.view.observation.claim
    version = next((version for version in view.versions if CLAIM in version.labels), None)
    if version is None:
        return
    if claim is not None:
        is_over = case.now >= claim.lease_until
        is_mine_and_done = claim.run == view.observation.run and any(
            key.id not in claim.keys_seen and view.state_of(key) is KeyState.CURRENT for key in view.keys
        )
        if not (is_over or is_mine_and_done) or view.in_state(KeyState.ORPHAN, KeyState.PENDING):
            return
    yield _tidy(case, CLAIM, version, "the rotation that it announced is over")


def _labels_of_gone_keys(case: Case) -> Iterator[Finding]:
    view, secret = case.view, case.view.observation.secret
    if secret is None or secret.changed_at is None or case.now - secret.changed_at < JUST_NOW:
        return  # IAM's list may lag behind a key that is new
    for version in view.versions:
        key_id = key_label(version)
        if key_id and version is not view.current and view.key(key_id) is None:
            yield _tidy(case, key_id, version, "its key is deleted")


def _tidy(case: Case, label: str, version: SecretVersion, why: str) -> act.Tidy:
    return act.Tidy(label=label, version=version.id, reason=f"label {label} comes off: {why}", due=case.now)
