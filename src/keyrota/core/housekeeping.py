"""
What a routine run does besides making and ending keys: one function a duty.

Each yields what it finds: actions that are possible now, holds with their remedy, and what comes later. The order in
which `planner` asks them is the order in which the actions are safe. Here: the note of the stack, what someone else put
into the secret, keys that lost a race, rotations that were begun, and labels that have done their duty.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from keyrota.core import plan as act
from keyrota.core import readers
from keyrota.core.candidates import way_out
from keyrota.core.lifecycle import KeyState, key_label
from keyrota.core.model import CLAIM, PENDING, REVOKED, AccessKey, AccessKeyId, SecretVersion
from keyrota.core.plan import Action, Hold
from keyrota.core.situation import Finding, Situation
from keyrota.core.sync import sync_all


def note_stack(situation: Situation) -> Iterator[Finding]:
    """Note which stack keeps a credential that is ours."""
    view, observation = situation.view, situation.view.observation
    is_ours = observation.secret is not None and bool(view.owner)
    if observation.stack and is_ours and view.stack != observation.stack:
        yield act.NoteStack(reason=f"kept by the stack {observation.stack}", due=situation.now)


def foreign_version(situation: Situation) -> Iterator[Finding]:
    """Take in an AWSCURRENT that someone else wrote, where the configuration or our own tag says that it is ours."""
    view, observation = situation.view, situation.view.observation
    refused = observation.refused
    if refused is not None and refused.version == view.current_id:
        remedy = "; or ".join(filter(None, [refused.remedy, way_out(view, situation.now)]))
        yield Hold(key=refused.key, reason=refused.reason, remedy=remedy, kind=act.HoldKind.VALUE_REFUSED)
        return
    if observation.secret is None or not (view.is_foreign_version or view.is_empty_of_others):
        return
    if not (observation.is_secret_named or view.owner):
        yield Hold(
            reason=f"a secret named {observation.secret.name} exists, and keyrota did not make it",
            remedy=f"name it with `secret: {observation.secret.name}` in the configuration to let keyrota adopt it",
        )
        return
    if view.current is None:
        return
    if observation.value_asked != view.current.id:
        yield act.AskValue(version=view.current.id, reason="read which key was put into the secret", due=situation.now)
    yield act.Adopt(
        version=view.current.id,
        key=None,
        reason="AWSCURRENT was put there by someone else: find out which key it holds",
        due=situation.now,
    )
    yield sync_all(situation, reason="what someone put into the secret goes to every target")


def adopt_labelled_version(situation: Situation) -> Iterator[Finding]:
    """
    Take it in as a run does that labels it, so that later keys are stored there: who else reads the secret is asked.

    Where a value is only read and served, as `sync` does, nothing new goes into the secret, and nothing is asked.
    """
    found = tuple(foreign_version(situation))
    if not any(isinstance(finding, act.Adopt) for finding in found):
        yield from found
        return
    yield from readers.questions(situation)
    blocks = tuple(readers.holds(situation, "no key is adopted from"))
    if blocks:
        yield from blocks
        return
    is_unasked = readers.is_unasked(situation)
    yield from (replace(one, follows=True) if is_unasked and isinstance(one, act.Adopt) else one for one in found)


def drop_lost_race_keys(situation: Situation) -> Iterator[Finding]:
    """Drop what this very run made and could not bring home."""
    for key in situation.view.in_state(KeyState.LOSER):
        yield act.DeleteOrphan(key=key.id, reason="made by this run and served nowhere", due=situation.now)


def continue_pending(situation: Situation) -> Iterator[Finding]:
    """Continue a key that is stored and not yet served."""
    for key in situation.view.in_state(KeyState.PENDING):
        version = situation.view.version_of(key.id)
        if version is None:
            continue
        yield from finish_rotation(situation, key, version)


def finish_rotation(
    situation: Situation, key: AccessKey, version: SecretVersion, *, is_rollback: bool = False
) -> Iterator[Action]:
    """Prove a stored key, and make it AWSCURRENT."""
    is_proven = key.id in situation.view.observation.verified
    if not is_proven:
        yield act.Verify(
            key=key.id, version=version.id, reason="IAM is eventually consistent: ask STS first", due=situation.now
        )
    yield act.Promote(
        key=key.id,
        version=version.id,
        remove_from=situation.view.current_id,
        is_rollback=is_rollback,
        reason="STS accepts the key: it becomes AWSCURRENT",
        due=situation.now,
        follows=not is_proven,
    )
    yield sync_all(situation, reason="the new key goes to every target")


def leftovers(situation: Situation) -> Iterator[Finding]:
    """Take off labels that a crash, or a finished rotation, left behind."""
    view = situation.view
    if view.current is not None and PENDING in view.current.labels:
        yield _tidy(situation, PENDING, view.current, "the key is AWSCURRENT now")
    yield from _drop_used_claim(situation)
    yield from _labels_of_gone_keys(situation)


def _drop_used_claim(situation: Situation) -> Iterator[Finding]:
    view, claim = situation.view, situation.view.observation.claim
    version = next((version for version in view.versions if CLAIM in version.labels), None)
    if version is None or view.is_foreign_version:  # who is lost is known when AWSCURRENT has been read
        return
    if view.hidden_claim_until(situation.now) is not None:
        return
    if claim is not None:
        is_over = situation.now >= claim.lease_until
        is_mine_and_done = claim.run == view.observation.run and any(
            key.id not in claim.keys_seen and view.state_of(key) is KeyState.CURRENT for key in view.keys
        )
        noted = view.discard.key if view.discard else None
        lost = [key for key in view.in_state(KeyState.ORPHAN) if key.id != noted]
        # What this run made itself and could not store is told from someone else's key by the claim alone, later on.
        lost += [key for key in view.in_state(KeyState.LOSER) if view.version_of(key.id) is None]
        if not (is_over or is_mine_and_done) or lost or view.in_state(KeyState.PENDING):
            return
    yield _tidy(situation, CLAIM, version, "the rotation that it announced is over")


def _labels_of_gone_keys(situation: Situation) -> Iterator[Finding]:
    view = situation.view
    for version in view.versions:
        key_id = key_label(version)
        if key_id and version is not view.current and _is_gone(situation, key_id):
            yield _tidy(situation, key_id, version, "its key is deleted")
        for label in sorted(version.labels):
            if label.startswith(REVOKED) and _is_gone(situation, AccessKeyId(label.removeprefix(REVOKED))):
                yield _tidy(situation, label, version, "its key is deleted")


def _is_gone(situation: Situation, key: AccessKeyId) -> bool:
    return situation.view.key(key) is None and situation.view.find_wait_end(key, situation.now) is None


def _tidy(situation: Situation, label: str, version: SecretVersion, why: str) -> act.RemoveLabel:
    return act.RemoveLabel(label=label, version=version.id, reason=f"label {label} comes off: {why}", due=situation.now)
