"""Secrets Manager's own rotation as an intent: the rules of a routine rotation, but its schedule decides when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from keyrota.core import ownership, places, readers
from keyrota.core import plan as act
from keyrota.core.blockers import foreign_keys, obstacles
from keyrota.core.lifecycle import KeyRing, KeyState, key_label
from keyrota.core.model import SecretVersion
from keyrota.core.plan import Hold
from keyrota.core.renewal import no_slot, under_way
from keyrota.core.situation import Finding, Situation


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeRotation:
    """A key for the version that Secrets Manager has labelled AWSPENDING (its step createSecret)."""

    is_asked: bool = False
    """The questions of this plan were asked in this step: it plans with what is known, and asks nothing again."""


def native_rotation(situation: Situation, intent: NativeRotation) -> Iterator[Finding]:
    """Find what the step does first: take on a key that was left over, ask, hold, or make a key."""
    view = situation.view
    if view.is_foreign_version:
        yield Hold(
            reason="AWSCURRENT was written outside keyrota, and is not adopted yet",
            remedy="the next run of rotate adopts it; or: keyrota apply",
        )
        return
    abandoned = _find_abandoned(view)
    if abandoned is not None:
        # Before every question and every hold: nothing is made here, and the user has no slot for another key. Secrets
        # Manager calls the step until it succeeds, and each attempt would be refused for the key that it made itself.
        yield _take_over(situation, abandoned)
        return
    if not intent.is_asked:
        yield from _questions(situation)
    holds = tuple(_holds(situation))
    yield from holds
    if not holds:
        seen = frozenset(key.id for key in view.keys)
        yield act.TakeClaim(keys_seen=seen, reason="rotation", due=situation.now)
        yield act.CreateKey(key=None, base=view.current_id, reason="rotation", due=situation.now, follows=True)


def _questions(situation: Situation) -> Iterator[Finding]:
    """Ask what a first write would replace, before a key is made."""
    yield from ownership.questions(situation)
    yield from places.questions(situation, is_due=True)
    yield from readers.questions(situation)


def _holds(situation: Situation) -> Iterator[Hold]:
    yield from obstacles(situation)
    yield from ownership.holds(situation)
    yield from (hold for hold in foreign_keys(situation) if hold.key is None)
    yield from no_slot(situation)
    yield from under_way(situation)
    yield from places.holds(situation)
    yield from readers.holds(situation)
    if situation.view.current is None:
        yield Hold(reason="the secret has no value", remedy="keyrota apply stores one")


def _take_over(situation: Situation, version: SecretVersion) -> act.Restore:
    key = key_label(version)
    if key is None:
        raise RuntimeError("a version without a key was taken for an abandoned one")
    return act.Restore(
        key=key, version=version.id, base=version.id, reason="an earlier rotation made it", due=situation.now
    )


def _find_abandoned(view: KeyRing) -> SecretVersion | None:
    """Find what an earlier rotation made and did not finish: its key is good, and there is no slot for another."""
    for version in view.versions:
        key = view.key(key_label(version))
        if key is not None and view.state_of(key) in {KeyState.SUPERSEDED, KeyState.PENDING}:
            is_newer = all(other.created <= key.created for other in view.keys)
            is_served = view.previous is version  # a rollback left it behind
            if is_newer and not is_served and not view.is_revoked(key.id):
                return version
    return None
