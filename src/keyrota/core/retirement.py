"""The old key is deactivated on proof, and is deleted after its grace (promises proof-before-off, off-before-gone)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from shlex import quote

from keyrota.core import plan as act
from keyrota.core.candidates import way_out
from keyrota.core.lifecycle import CLOCKS_DIFFER, JUST_NOW, KeyRing, KeyState
from keyrota.core.model import PENDING, AccessKey, Evidence, RunsEvidence, SecretVersion, TargetEvidence, TargetState
from keyrota.core.places import holds
from keyrota.core.plan import Hold, Needs, Upcoming
from keyrota.core.policy import OnStillUsed
from keyrota.core.schedule import find_deletion_due, off_due, quiet_since
from keyrota.core.situation import Finding, Situation, day, describe_use, hold_frozen, unknown_use
from keyrota.core.sync import is_drifted, rewrite


def deactivation(situation: Situation) -> Iterator[Finding]:
    """Switch superseded keys off, on proof only (promise proof-before-off)."""
    # With more than two keys which of them is the successor is not certain (a parallel run, or a person): nothing is
    # ended.
    if situation.has_too_many_keys:
        return
    for key in situation.view.in_state(KeyState.SUPERSEDED):
        yield from _deactivate(situation, key)


def _deactivate(situation: Situation, key: AccessKey) -> Iterator[Finding]:
    # The key is Active, and our own note says that it was deactivated. Someone wants it, or IAM's list is older than
    # the note.
    off = situation.view.find_off_since(key.id)
    if off is not None:
        if situation.now < off + JUST_NOW:
            reason = (
                "it was deactivated just now, and IAM lists it as Active: a change outside keyrota, or a list that lags"
            )
            yield Upcoming(shown="deactivate", key=key.id, due=off + JUST_NOW, reason=reason)
            return
        yield act.NoteActive(
            key=key.id, reason="activated outside keyrota: its overlap starts again", due=situation.now
        )
        return
    due = off_due(key, situation.view, situation.policy)
    if due is None:
        # Before its age this is the normal course, and no one has to act on it.
        if key.created + situation.policy.deactivate_after <= situation.now:
            yield _not_proven(situation, key)
        return
    if situation.now < due:
        yield Upcoming(shown="deactivate", key=key.id, due=due, reason="when its overlap is over, if it is unused")
        return
    blocks = tuple(_blocks_deactivation(situation, key))
    if blocks:
        yield from blocks
        return
    wanted = _rewritten_after(situation, key)
    if wanted and situation.served:
        reason = f"rewritten before {key.id} is deactivated (safety)"
        yield rewrite(situation, situation.served, not_before=wanted, reason=reason)
    asks = _asks_for_runs(situation)
    if asks and situation.view.synced:
        yield act.AskRuns(
            key=key.id,
            # By the provider's clock, which may be behind: a run that was queued a little later is asked about as well.
            # The other way round, one that carries the old key would be missed.
            before=situation.view.synced.since + CLOCKS_DIFFER,
            reason=f"ask whether runs are under way that were queued with {key.id}",
            due=situation.now,
        )
    yield act.Deactivate(key=key.id, reason=_why_off(situation, key), due=due, follows=asks or wanted is not None)


def _asks_for_runs(situation: Situation) -> bool:
    """Return whether a target may still have runs that carry an older key, and was not asked yet."""
    seen, record = situation.view.observation, situation.view.synced
    if seen.carried is not None or record is None:
        return False
    return any(situation.now < record.since + target.carried_for for target in seen.targets)


def _hold_for_runs(situation: Situation, key: AccessKey) -> Iterator[Hold]:
    record = situation.view.synced
    carried_for = {target.address: target.carried_for for target in situation.view.observation.targets}
    for answer in situation.view.observation.carried or ():
        # Only an answer that says so frees the key. What a provider does not tell counts as a run that carries it.
        if answer.evidence is RunsEvidence.NONE:
            continue
        until = record.since + carried_for.get(answer.address, timedelta()) if record else None
        what = "has runs that were queued with it" if answer.evidence is RunsEvidence.SOME else "cannot tell its runs"
        yield Hold(
            key=key.id,
            target=answer.address,
            until=until,
            needs=Needs.NOBODY if until and not answer.needs_person else Needs.PERSON,
            reason=f"{key.id} stays Active: {answer.address} {what}: {answer.detail}",
            remedy=answer.remedy,
        )


def _is_unknown(target: TargetState) -> bool:
    """Return whether a target may hold any key: it does not say, or holds half a pair, or something else."""
    match target.evidence:
        case TargetEvidence.CANNOT_TELL | TargetEvidence.FAILED:
            return True
        case TargetEvidence.HOLDS:
            return target.key is None
        # Half a pair without an ID may still be the half of this key; only a place without any of our variables is
        # certain.
        case TargetEvidence.ABSENT:
            return not target.is_empty


def _hold_for_removed_targets(situation: Situation, key: AccessKey) -> Iterator[Hold]:
    """Keep promise served-key-lives for targets that the configuration names no more."""
    # The index is the only record of places that left the configuration. Without it they cannot be asked, so that
    # promise served-key-lives can only be kept by waiting.
    if not situation.view.index.is_readable:
        yield Hold(
            key=key.id,
            reason=f"{key.id} stays Active: the tags keyrota:targets were changed outside keyrota, so that targets "
            "which were removed from the configuration are not known",
            remedy="if no target was removed, delete the tag keyrota:targets; the next sync writes it again",
        )
    if situation.view.index.is_full:
        yield Hold(
            key=key.id,
            reason=f"{key.id} stays Active: this credential has more targets than the secret's tags can remember, so "
            "that a removed target which still holds it may not be known",
            remedy="divide the targets among several IAM users",
        )
    for target in situation.view.observation.left_behind:
        is_unknown = _is_unknown(target)
        if is_unknown or (target.evidence is TargetEvidence.HOLDS and target.key == key.id):
            what = "may still hold it" if is_unknown else "still holds it"
            yield Hold(
                key=key.id,
                target=target.address,
                reason=f"{key.id} stays Active: {target.address} was left behind, and {what}",
                remedy=f"keyrota forget {quote(target.address)} when nothing there needs the key",
            )


def _why_off(situation: Situation, key: AccessKey) -> str:
    age = (situation.now - key.created).days
    use = "never used" if key.last_use.evidence is Evidence.NEVER else f"last used {day(key.last_use.at)}"
    return f"{age} days old, {use}; its successor {situation.view.current_key} is on every target"


def _not_proven(situation: Situation, key: AccessKey) -> Hold:
    if situation.view.is_foreign_version:
        return Hold(
            key=key.id,
            reason=f"{key.id} stays Active: AWSCURRENT was put there by someone else, and is not labelled with its key",
            remedy="the next run that rotates labels it; to do it now: "
            f"keyrota apply --user {situation.view.observation.user}",
        )
    successor = f"its successor {situation.view.current_key}" if situation.view.current_key else "its successor"
    return Hold(
        key=key.id,
        reason=f"{key.id} stays Active: {successor} is not proven on every target",
        remedy="fix what sync reports; the overlap counts from the moment at which every target holds the new key",
    )


def _blocks_deactivation(situation: Situation, key: AccessKey) -> Iterator[Hold]:
    successor = situation.served
    if successor is None:
        yield _not_proven(situation, key)
        return
    # A place that waits for a person was not given the successor, and may run with this key.
    for hold in holds(situation):
        yield replace(hold, key=key.id, reason=f"{key.id} stays Active: {hold.reason}")
    for target in situation.view.observation.targets:
        if target.is_archived:
            continue  # it runs nothing
        if target.evidence is TargetEvidence.FAILED or is_drifted(situation.view, target, successor):
            yield Hold(
                key=key.id,
                target=target.address,
                needs=Needs.REPAIR if target.evidence is TargetEvidence.FAILED else Needs.PERSON,
                reason=f"{key.id} stays Active: {target.address} is not confirmed to hold {successor.id}",
                remedy=target.remedy or f"keyrota sync --user {situation.view.observation.name}",
            )
    yield from _hold_for_removed_targets(situation, key)
    yield from _hold_for_runs(situation, key)
    yield from _hold_for_use(situation, key)
    yield from _hold_for_missing_proof(situation, successor, key)
    yield from hold_frozen(situation, key, "deactivated")


def _hold_for_use(situation: Situation, key: AccessKey) -> Iterator[Hold]:
    use, policy = key.last_use, situation.policy
    if use.evidence is Evidence.UNKNOWN:
        yield unknown_use(key)
    # `on_still_used: deactivate` is a person's decision about a key that is known to be used. It is none about a read
    # that failed: that holds under both settings.
    if use.evidence is not Evidence.USED or policy.on_still_used is OnStillUsed.DEACTIVATE:
        return
    if use.at is None:
        yield unknown_use(key)
        return
    since = quiet_since(key, situation.view)
    # A use after the successor was served is by a consumer that no target of ours feeds; it gets the whole overlap once
    # more. `unused_for` alone would end a key that a weekly job uses, and IAM shows uses late: AWS's other reports of
    # them lag by up to four hours (docs/facts/aws.md, last use).
    quiet_from = max(use.at + policy.unused_for, since + policy.overlap if since else use.at)
    if situation.now < quiet_from:
        yield Hold(
            key=key.id,
            reason=f"{key.id} is still used: {describe_use(key)}",
            remedy="move that consumer to the new key (keyrota does not know it), "
            "or set `on_still_used: deactivate` to switch the key off all the same",
        )


def _hold_for_missing_proof(situation: Situation, successor: AccessKey, key: AccessKey) -> Iterator[Hold]:
    if not situation.policy.prove_use:
        return
    if successor.last_use.evidence is Evidence.UNKNOWN:
        yield unknown_use(successor)
    elif not is_used_by_others(situation.view, successor):
        yield Hold(
            key=key.id,
            reason=f"{key.id} stays Active: nothing has used the new key {successor.id} yet (`prove_use: true`)",
            remedy="let a pipeline run with the new key, or set `prove_use: false`",
        )


def is_used_by_others(view: KeyRing, successor: AccessKey) -> bool:
    """Return whether someone else than keyrota has used the new key: its own proof by STS is a use as well."""
    use, record = successor.last_use, view.synced
    if use.evidence is not Evidence.USED or use.at is None or record is None or use.at <= record.since:
        return False
    # IAM keeps the latest use only. One by STS around our own verification is probably ours, and would prove nothing.
    return use.service != "sts" or use.at > record.confirmed + JUST_NOW


def _rewritten_after(situation: Situation, key: AccessKey) -> datetime | None:
    """Return from when on every target has to be written once more; None if that is done."""
    record = situation.view.synced
    if record is None or not situation.view.observation.targets:
        return None
    # The old key was used after all targets had the new one: a run that died may have put it back. Its secret cannot be
    # read, so that only writing again makes it certain (decision 0006).
    last_use = quiet_since(key, situation.view)
    wanted = record.since + situation.policy.overlap
    wanted = max(wanted, last_use) if last_use else wanted
    return wanted if record.confirmed < wanted else None


def deletion(situation: Situation) -> Iterator[Finding]:
    """Delete retired keys when their grace is over (promise off-before-gone)."""
    if situation.has_too_many_keys:
        return
    for key in situation.view.in_state(KeyState.RETIRED):
        yield from _delete(situation, key)


def _delete(situation: Situation, key: AccessKey) -> Iterator[Finding]:
    version = situation.view.version_of(key.id)
    due = find_deletion_due(key, situation.view, situation.policy)
    # The mirror of `_deactivate`: our note says Active, IAM's list says Inactive, and the list may be the older one.
    back_on = situation.view.find_on_since(key.id)
    if back_on is not None and situation.now < back_on + JUST_NOW:
        reason = (
            "it was activated just now, and IAM lists it as Inactive: a list that lags, or a change outside keyrota"
        )
        yield Upcoming(shown="delete", key=key.id, due=back_on + JUST_NOW, reason=reason)
    elif due is None or version is None:
        yield act.Deactivate(
            key=key.id, reason="it is Inactive already: note since when, so that its grace begins", due=situation.now
        )
    elif situation.now < due:
        yield Upcoming(shown="delete", key=key.id, due=due, reason="when it has been Inactive for the whole grace")
    elif blocks := tuple(_blocks_deletion(situation, key, version)):
        yield from blocks
    else:
        since = day(situation.view.find_off_since(key.id))
        yield act.Delete(key=key.id, version=version.id, reason=f"Inactive since {since}", due=due)


def _blocks_deletion(situation: Situation, key: AccessKey, version: SecretVersion) -> Iterator[Hold]:
    # The key that waits is the way back as long as nothing that works has taken its place.
    if situation.served is None and PENDING not in version.labels:  # a key that was never served replaced nothing
        yield Hold(
            key=key.id,
            reason=f"{key.id} is kept: the key that should have replaced it is not Active",
            remedy=way_out(situation.view, situation.now) or f"keyrota plan --user {situation.view.observation.name}",
        )
    if key.last_use.evidence is Evidence.UNKNOWN:
        yield unknown_use(key)
    for target in (*situation.view.observation.targets, *situation.view.observation.left_behind):
        if target.evidence is TargetEvidence.HOLDS and target.key == key.id:
            yield Hold(
                key=key.id,
                target=target.address,
                reason=f"{key.id} is kept: {target.address} still holds it",
                remedy=f"keyrota forget {quote(target.address)}, or put it back into the configuration"
                if target in situation.view.observation.left_behind
                else f"keyrota sync --user {situation.view.observation.name}",
            )
    yield from hold_frozen(situation, key, "deleted")
