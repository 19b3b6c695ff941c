"""Read and set the IAM user's tag that names the secret which keeps the user's keys."""

from __future__ import annotations

from keyrota.core.model import SECRET_TAG, Observation, UserTag
from keyrota.errors import LostRace, ProviderRefused, ProviderUnavailable
from keyrota.executor.run_state import RunState
from keyrota.executor.subject import CredentialContext


def user_tag(subject: CredentialContext) -> UserTag:
    """Read the tag; a question that is refused or fails leaves it unknown."""
    try:
        return UserTag(secret=subject.access_keys.secret_tag(subject.user))
    except (ProviderRefused, ProviderUnavailable) as error:
        remedy = error.remedy or "allow iam:ListUserTags on the user, and run the same command again"
        return UserTag(why_unknown=str(error), remedy=remedy)


def set_user_tag(subject: CredentialContext) -> UserTag:
    """
    Set the tag, and read it back: of two that write at once, the last one wins.

    IAM may continue to show for some seconds that there is no tag (eventual consistency); then our own word counts, and
    the next question, before a key is made or ends, is asked again.

    Returns:
        What the tag says now: this secret, or the one that another run has set meanwhile.

    Raises:
        KeyrotaError: It could not be set, or not be read back.
    """
    wanted = subject.secret_mark
    subject.access_keys.set_secret_tag(subject.user, wanted)
    return UserTag(secret=subject.access_keys.secret_tag(subject.user) or wanted)


def mark_user(subject: CredentialContext, observation: Observation, memory: RunState) -> None:
    """
    Give a user that has no such tag its tag, before anything else is written for it.

    Whoever may not tag users continues: the tag keeps others from the keys, and nothing of our own rests on it.

    Raises:
        LostRace: Another one has set it meanwhile, to another secret; nothing else was written.
        ProviderUnavailable: IAM did not answer; nothing else was written.
    """
    tag = observation.user_tag
    if tag is None or tag.secret or tag.why_unknown or tag.why_not_written:
        return
    try:
        memory.user_tag = set_user_tag(subject)
    except ProviderRefused as error:
        remedy = error.remedy or f"allow iam:TagUser on the user, for the tag {SECRET_TAG}"
        memory.user_tag = UserTag(why_not_written=str(error), remedy=remedy)
    if memory.user_tag.secret not in {"", subject.secret_mark}:
        raise LostRace(f"{memory.user_tag.secret} took the keys of {subject.user} over meanwhile")
