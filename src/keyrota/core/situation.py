"""One credential at one instant, and the words that several duties share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from keyrota.core.lifecycle import KeyRing, KeyState
from keyrota.core.model import AccessKey, AccessKeyId
from keyrota.core.plan import Action, Hold, Needs, Notice, Upcoming
from keyrota.core.policy import RotationPolicy

Finding = Action | Hold | Notice | Upcoming


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """One credential at one instant, under one policy."""

    view: KeyRing
    policy: RotationPolicy
    now: datetime
    replaced_now: AccessKeyId | None = None
    """A key that a person wants replaced now, whatever its age."""

    @property
    def has_too_many_keys(self) -> bool:
        """More than IAM's quota of two: reported, and none of them is touched."""
        return len(self.view.keys) > 2  # noqa: PLR2004  # IAM's quota of two

    @property
    def served(self) -> AccessKey | None:
        """The Active key behind AWSCURRENT, which targets hold."""
        return next(iter(self.view.in_state(KeyState.CURRENT)), None)


def hold_frozen(situation: Situation, key: AccessKey, what: str) -> Iterator[Hold]:
    """Hold what would be deactivated or deleted in a freeze window."""
    until = situation.policy.find_freeze_end(situation.now)
    if until is not None:
        yield _hold_until(until, key, f"{key.id} is not {what} in a freeze window")


def hold_new_key_frozen(situation: Situation, key: AccessKey | None) -> Iterator[Hold]:
    """Hold a new key in a freeze window that covers all changes."""
    until = situation.policy.find_new_key_freeze_end(situation.now)
    if until is not None:
        yield _hold_until(until, key, "a new key is due, and none is made in a freeze window that covers all")


def _hold_until(until: datetime, key: AccessKey | None, reason: str) -> Hold:
    return Hold(
        key=key.id if key else None,
        until=until,
        needs=Needs.NOBODY,
        reason=reason,
        remedy=f"the window ends {until:%Y-%m-%d %H:%M} UTC",
    )


def unknown_use(key: AccessKey) -> Hold:
    """Hold what needs proof of disuse: it could not be read."""
    return Hold(
        key=key.id,
        reason=f"the last use of {key.id} could not be read: {key.last_use.why or 'no reason given'}",
        remedy="allow iam:GetAccessKeyLastUsed, or wait if IAM is throttling; unknown never counts as unused",
    )


def describe_use(key: AccessKey) -> str:
    """Return when a key was last used, by which service and where."""
    use = key.last_use
    where = f" by {use.service}" if use.service else ""
    return f"last used {day(use.at)}{where}" + (f" in {use.region}" if use.region else "")


def day(instant: datetime | None) -> str:
    """Write an instant for people."""
    return f"{instant:%Y-%m-%d %H:%M} UTC" if instant else "at a time that IAM does not tell"
