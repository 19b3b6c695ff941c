"""
What a person decides about keys that keyrota did not make: which one to keep, and which one nothing needs.

The secret access key of such a key cannot be read from IAM. So adopting it stores nothing: a tag says that it was
chosen, the routine treats it as if it were the user's only key, and replaces it when it is due.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from keyrota.core import plan as act
from keyrota.core.evidence import places_showing, why_needed
from keyrota.core.housekeeping import foreign_version
from keyrota.core.lifecycle import KeyRing, KeyState
from keyrota.core.model import AccessKey, AccessKeyId, Evidence, KeyStatus
from keyrota.core.plan import Hold
from keyrota.core.records import NEW_KEY
from keyrota.core.renewal import current_key_trouble
from keyrota.core.situation import Finding, Situation, day, describe_use


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """Keep one key of a user and replace it when it is due; release another one, or make a first one."""

    key: AccessKeyId | None = None
    """The key to keep."""
    release: AccessKeyId | None = None
    """A key that nothing needs: deactivated, and deleted after the grace."""
    makes_first: bool = False
    """The user has no key in use, and a person wants one."""
    takes_over: bool = False
    """Another secret keeps the user's keys, or none does: from now on this one does."""


def find_shown_key(view: KeyRing) -> AccessKeyId | None:
    """Find the one key to keep: the only Active one, or the only one that any place shows; None: a person chooses."""
    active = [key.id for key in view.keys if key.status is KeyStatus.ACTIVE]
    if len(active) == 1:
        return active[0]
    shown = [key for key in active if places_showing(view.observation, key)]
    return shown[0] if len(shown) == 1 else None


def describe(situation: Situation, key: AccessKey) -> str:
    """Say what is known of a key: its status, age, last use, and where it is shown."""
    match key.last_use.evidence:
        case Evidence.USED:
            use = describe_use(key)
        case Evidence.NEVER:
            use = "never used"
        case Evidence.UNKNOWN:
            use = f"last use unknown ({key.last_use.why})"
    where = ", ".join(place.where for place in places_showing(situation.view.observation, key.id))
    shown = f"shown by {where}" if where else "shown at no place that was read"
    age = (situation.now - key.created).days
    return f"{key.id} ({key.status.value}): made {day(key.created)} ({age} days old), {use}, {shown}"


def adoption(situation: Situation, wish: Adoption) -> Iterator[Finding]:
    """Lay out what `keyrota adopt` does."""
    if wish.takes_over:
        yield from _take_over(situation)
        return
    yield from (question for question in foreign_version(situation) if isinstance(question, act.AskValue))
    refusals = tuple(_refusals(situation, wish))
    if refusals:
        yield from refusals
        return
    view = situation.view
    needs_tags = wish.makes_first or wish.release or (wish.key and wish.key != view.current_key)
    if view.observation.secret is None and needs_tags:
        yield act.CreateSecret(reason="a person's choice is noted on the secret", due=situation.now)
    if wish.makes_first and view.chosen != NEW_KEY:
        yield act.Choose(key=None, reason="a first key is wanted", due=situation.now)
    elif wish.key and wish.key not in {view.chosen, view.current_key}:
        yield act.Choose(key=wish.key, reason="a person chose it: it is replaced when it is due", due=situation.now)
    if wish.release and not view.is_noted(wish.release):
        yield act.Release(
            key=wish.release, reason="a person said that nothing needs it: deactivated, then deleted", due=situation.now
        )


def _take_over(situation: Situation) -> Iterator[act.TakeOver]:
    """Lay out `--take-over`; the user's tag is read before it is replaced."""
    seen = situation.view.observation
    if seen.user_tag is None or seen.user_tag.secret != seen.secret_mark:
        reason = "a person said that this secret keeps the keys of the user from now on"
        yield act.TakeOver(secret=seen.secret_mark, reason=reason, due=situation.now)


def _refusals(situation: Situation, wish: Adoption) -> Iterator[Hold]:
    view = situation.view
    if situation.has_too_many_keys:
        yield Hold(
            reason=f"the user has {len(view.keys)} access keys, more than IAM's quota of two",
            remedy="delete what is not needed first; keyrota touches none of them",
        )
    if view.is_refused:
        yield from (hold for hold in foreign_version(situation) if isinstance(hold, Hold))
        return
    if view.is_foreign_version or view.is_empty_of_others:
        yield Hold(
            reason="AWSCURRENT was written outside keyrota: which key it holds is read first",
            remedy=f"keyrota apply {view.observation.user}, then the same command again",
        )
        return
    if wish.makes_first:
        yield from _refuses_first(situation)
    if wish.key is not None and wish.key != view.current_key:
        yield from _refuses_key(situation, wish.key)
    if wish.release is not None:
        yield from _refuses_release(situation, wish.release, wish.key)


def _refuses_first(situation: Situation) -> Iterator[Hold]:
    active = [key for key in situation.view.keys if key.status is KeyStatus.ACTIVE]
    if trouble := tuple(current_key_trouble(situation)):
        yield from trouble  # a dead key is none that the user has: how it is replaced is said there
    elif situation.view.current_key is not None or active:
        yield Hold(
            reason=f"the user has a key: {situation.view.current_key or active[0].id}",
            remedy="--new-key makes the first key of a user that has none in use",
        )


def _refuses_key(situation: Situation, key_id: AccessKeyId) -> Iterator[Hold]:
    view, key = situation.view, situation.view.key(key_id)
    if key is None or key.status is not KeyStatus.ACTIVE:
        what = "IAM does not list it" if key is None else f"it is {key.status_word or key.status.value}"
        yield Hold(key=key_id, reason=f"{key_id} cannot be adopted: {what}", remedy="choose a key that is Active")
    elif view.current_key is not None:
        yield Hold(
            key=key_id,
            reason=f"{key_id} cannot take the place of {view.current_key} without its secret access key",
            remedy="store the pair: aws secretsmanager put-secret-value; keyrota verifies it and brings it to every "
            f"target. To go on with {view.current_key} instead, replace {key_id} where it is shown",
        )
    elif view.is_noted(key_id):
        yield Hold(
            key=key_id,
            reason=f"{key_id} was lost, or released: it is on its way out",
            remedy="someone who switches it on again after it was deactivated keeps it",
        )


def _refuses_release(situation: Situation, key_id: AccessKeyId, kept: AccessKeyId | None) -> Iterator[Hold]:
    view, key = situation.view, situation.view.key(key_id)
    state = view.state_of(key) if key else KeyState.GONE
    why = ""
    if state not in {KeyState.FOREIGN, KeyState.ADOPTABLE, KeyState.RELEASED, KeyState.DISCARDED}:
        why = f"it is {state.value}" if key else "IAM does not list it"
    elif key_id in {kept, view.chosen}:
        why = "it is the key that is kept"
    elif view.discard is not None and not view.is_noted(key_id) and view.key(view.discard.key) is not None:
        why = f"{view.discard.key} is on its way out, and has to be gone first"
    elif key is not None:
        why = why_needed(situation, key)
    if why:
        yield Hold(key=key_id, reason=f"{key_id} is not released: {why}", remedy="keyrota status shows what is known")
