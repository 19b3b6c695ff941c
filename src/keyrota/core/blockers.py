"""What stops a routine run, or part of it: states in which every change is unsafe, and keys that are not ours."""

from __future__ import annotations

from collections.abc import Iterator

from keyrota.core.evidence import why_needed
from keyrota.core.lifecycle import KeyState
from keyrota.core.model import AccessKey, KeyStatus
from keyrota.core.plan import Hold
from keyrota.core.situation import Situation


def obstacles(situation: Situation) -> Iterator[Hold]:
    """Find what makes every change unsafe; while there is one, only it is reported."""
    view, observation = situation.view, situation.view.observation
    secret = observation.secret
    if secret and secret.deleted_at:
        yield Hold(
            reason=f"the secret {secret.name} is scheduled for deletion",
            remedy=f"aws secretsmanager restore-secret --secret-id {secret.name}",
        )
    if view.is_of_another_user:
        yield Hold(
            reason=f"the secret belongs to another user ({view.owner})",
            remedy=f"give {observation.user} a secret of its own with `secret:` in the configuration",
        )
    if observation.stack and view.stack and view.stack != observation.stack:
        yield Hold(
            reason=f"the stack {view.stack} keeps this credential; {observation.stack} leaves it alone",
            remedy=f"take {observation.user} out of the configuration of one of the two; if {view.stack} is gone, "
            f"remove the tag keyrota:stack from the secret",
        )
    for key in view.in_state(KeyState.STRANGE):
        yield Hold(
            key=key.id,
            reason=f"its status is {key.status_word!r}, which keyrota does not know",
            remedy="look at the key in IAM; keyrota touches nothing of this user until its status is known",
        )


def foreign_keys(situation: Situation) -> Iterator[Hold]:
    """Name the keys that keyrota did not make and does not touch."""
    view = situation.view
    if view.is_foreign_version:
        return  # adoption reads AWSCURRENT first; then it is known whose key it is
    for key in view.in_state(KeyState.FOREIGN):
        yield Hold(
            key=key.id,
            reason=f"{key.id} ({key.status.value}) was not made by keyrota and is not in the secret: left alone",
            remedy=_about_unmanaged(situation, key),
        )
    if len(view.keys) > 2:  # noqa: PLR2004  # IAM's quota of two, which parallel calls can exceed
        holds = f"AWSCURRENT holds {view.current_key}" if view.current_key else "look which one AWSCURRENT holds"
        yield Hold(
            reason=f"the user has {len(view.keys)} access keys, more than IAM's quota of two",
            remedy=f"delete what is not needed ({holds}); keyrota touches none of them and makes no new one",
        )


def _about_unmanaged(situation: Situation, key: AccessKey) -> str:
    """Say what a person can do about a key that is not ours; never how to delete one that may be in use."""
    user, why = situation.view.observation.user, why_needed(situation, key)
    if not why:
        return (
            f"if nothing needs it: keyrota adopt {user} --release {key.id} (deactivated, and deleted after the grace)"
        )
    if situation.view.current_key is None and key.status is KeyStatus.ACTIVE:
        return f"{why}. To let keyrota replace it when it is due: keyrota adopt {user} --key {key.id}"
    return f"{why}: find out what uses it, and give that the current key"
