"""
Whose a user's keys are: the IAM user's own tag `keyrota:secret` names the secret that keeps them.

Labels and tags of a secret say nothing about other secrets. A second configuration with another secret would find the
first one's key outside of its own secret, adopt it, replace it, and deactivate it under the first one's pipelines. So
the user itself is asked, in whatever region the other secret is: before anything is written for the first time, and
again before a key is made, deactivated or deleted. A run in which nothing of that is due asks nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from keyrota.core import plan as act
from keyrota.core.lifecycle import key_label
from keyrota.core.model import SECRET_TAG, UserTag
from keyrota.core.plan import Hold, Needs, Notice
from keyrota.core.situation import Finding, Situation


def require_ownership(situation: Situation, findings: Iterable[Finding]) -> Iterator[Finding]:
    """Let what needs the user's keys pass only where no other secret keeps them; ask first, once in a run."""
    found = tuple(findings)
    tag = situation.view.observation.user_tag
    if tag is None:
        yield from _ask_first(situation, found) if _is_question(situation, found) else found
    elif tag.why_unknown:
        yield from _unknown(situation, found, tag)
    elif is_of_another(situation) and not any(isinstance(one, act.TakeOver) for one in found):
        yield from _of_another(situation, found, tag)
    else:
        yield from _not_written(situation, tag)
        yield from found


def questions(situation: Situation) -> Iterator[act.AskOwner]:
    """Ask whose the user's keys are, where that is not known in this run."""
    if situation.view.observation.user_tag is None:
        yield act.AskOwner(reason="ask whether another secret keeps the keys of this user", due=situation.now)


def holds(situation: Situation) -> Iterator[Hold]:
    """Say why no key may be made for this user."""
    tag = situation.view.observation.user_tag
    if tag is not None and is_of_another(situation):
        yield _hold_for_owner(situation, tag)
    elif tag is not None and tag.why_unknown and not is_established(situation):
        yield _not_known(situation, tag)


def is_of_another(situation: Situation) -> bool:
    """Return whether another secret keeps the user's keys, as far as that was asked."""
    seen = situation.view.observation
    return seen.user_tag is not None and seen.user_tag.secret not in {"", seen.secret_mark}


def _needs_keys(situation: Situation, finding: Finding) -> bool:
    if isinstance(finding, act.Deactivate) and finding.is_emergency:
        return False  # a person revokes a key that this secret knows: that waits for nothing
    if isinstance(finding, act.DeleteOrphan) and finding.key in situation.view.observation.made_here:
        return False  # this run made it itself
    return isinstance(finding, act.Action) and finding.needs_ownership


def _is_emergency(situation: Situation, finding: Finding) -> bool:
    is_ending = isinstance(finding, act.Deactivate | act.DeleteOrphan) and not _needs_keys(situation, finding)
    return is_ending or (isinstance(finding, act.Action) and finding.is_emergency_only)


def _is_question(situation: Situation, found: tuple[Finding, ...]) -> bool:
    """
    Return whether the answer matters to this plan.

    Where this secret stands for no key of the user yet, also to what the plan says of keys that are not ours: they may
    be another secret's, and none of a person's business here.
    """
    if any(_needs_keys(situation, one) for one in found):
        return True
    return bool(situation.view.keys) and not is_established(situation) and any(isinstance(one, Hold) for one in found)


def _ask_first(situation: Situation, found: tuple[Finding, ...]) -> Iterator[Finding]:
    """Ask before any other question, but after what an emergency does first."""
    first = next((one for one in found if isinstance(one, act.Action) and not _is_emergency(situation, one)), None)
    for one in found:
        if one is first:
            yield from questions(situation)
        yield replace(one, follows=True) if isinstance(one, act.Action) and _needs_keys(situation, one) else one
    if first is None:
        yield from questions(situation)


def _of_another(situation: Situation, found: tuple[Finding, ...], tag: UserTag) -> Iterator[Finding]:
    """Hold everything but the emergency; what else the plan found rests on keys that are another secret's."""
    yield _hold_for_owner(situation, tag)
    for one in found:
        if isinstance(one, Hold) and one.needs is Needs.REPAIR:
            yield replace(one, remedy=_hold_for_owner(situation, tag).remedy)
        elif _is_emergency(situation, one):
            yield one


def _hold_for_owner(situation: Situation, tag: UserTag) -> Hold:
    seen = situation.view.observation
    return Hold(
        reason=f"the secret {tag.secret} keeps the keys of {seen.user} (tag {SECRET_TAG} of the IAM user), and this "
        f"configuration names {seen.secret_mark}: nothing is done here",
        remedy="keep the user in one configuration only. To move it here: configure every target of that secret here, "
        f"take the user out of the other one, then: keyrota adopt {seen.name} --take-over",
    )


def _not_known(situation: Situation, tag: UserTag) -> Hold:
    user = situation.view.observation.user
    return Hold(
        reason=f"whether another secret keeps the keys of {user} is not known: {tag.why_unknown}", remedy=tag.remedy
    )


def _unknown(situation: Situation, found: tuple[Finding, ...], tag: UserTag) -> Iterator[Finding]:
    """
    Hold what cannot be taken back; continue where this secret has kept a key of the user already.

    A credential that is rotated today does not stop because a permission is missing: a new key harms nobody.
    """
    is_known = is_established(situation)

    def is_held(one: Finding) -> bool:
        return _needs_keys(situation, one) and (isinstance(one, act.Ending) or not is_known)

    hold = _not_known(situation, tag)
    yield hold if any(is_held(one) for one in found) else Notice(reason=hold.reason, remedy=hold.remedy)
    yield from _without(found, is_held)


def _without(found: tuple[Finding, ...], is_held: Callable[[Finding], bool]) -> Iterator[Finding]:
    """Leave out what is held, and the actions that follow it."""
    is_dropping = False
    for one in found:
        if not isinstance(one, act.Action):
            yield one
            continue
        is_dropping = is_held(one) or (is_dropping and one.follows)
        if not is_dropping:
            yield one


def is_established(situation: Situation) -> bool:
    """Return whether the secret stands for a key that the user has."""
    known = {key.id for key in situation.view.keys}
    return any(key_label(version) in known for version in situation.view.versions)


def _not_written(situation: Situation, tag: UserTag) -> Iterator[Notice]:
    if tag.why_not_written:
        yield Notice(
            reason=f"the IAM user {situation.view.observation.user} could not be given the tag {SECRET_TAG}, which "
            f"keeps other configurations from its keys: {tag.why_not_written}",
            remedy=tag.remedy,
        )
