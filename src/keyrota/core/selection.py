"""
Which IAM users a selector means, and when it means too many: pure functions over users that were read in bulk.

A selector that cannot be evaluated selects nothing. One that suddenly means far more users than keyrota keeps is held:
who is kept goes on, and who is new waits for a person's word (`at_most`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from keyrota.core.model import UserName

MOST_NEW, SHARE_NEW = 10, 0.3
"""A selection may grow by so many users, or by this share of those that are kept, without a word: as the brake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryUser:
    """An IAM user as the account describes it."""

    name: UserName
    path: str
    """Begins and ends with a slash."""
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """What a user must be like; what is left out does not matter."""

    tags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By name of the tag: patterns, one of which its value matches."""
    path: str = ""
    """What the user's path begins with."""
    names: tuple[str, ...] = ()
    """Patterns, one of which the name matches."""

    def matches(self, user: DirectoryUser) -> bool:
        """Return whether a user is like that."""
        return (
            user.path.startswith(self.path or "/")
            and (not self.names or _is_one_of(user.name, self.names))
            and all(tag in user.tags and _is_one_of(user.tags[tag], values) for tag, values in self.tags.items())
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """Which users of an account a configuration means."""

    wanted: Criteria
    exempt: tuple[Criteria, ...] = ()
    at_most: int = 0
    """So many are a person's word; 0: nobody has said how many there may be."""

    @property
    def arn_patterns(self) -> tuple[str, ...]:
        """What the resources of such users are like in a policy, after `user`: `/ci/*`; tags are not in an ARN."""
        names = self.wanted.names or ("*",)
        paths = (self.wanted.path,) if self.wanted.path not in {"", "/"} else ("/",)
        return tuple(dict.fromkeys(f"{path}{tail}{name}" for path in paths for name in names for tail in ("", "*/")))

    def select(self, users: Collection[DirectoryUser]) -> tuple[DirectoryUser, ...]:
        """Choose users, in the order of their names."""
        found = [one for one in users if self.wanted.matches(one) and not any(it.matches(one) for it in self.exempt)]
        return tuple(sorted(found, key=lambda user: user.name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """What a selector chose in one account."""

    users: tuple[DirectoryUser, ...]
    """Who may be acted on."""
    held: tuple[DirectoryUser, ...] = ()
    """Who waits for a person's word."""
    reason: str = ""
    """Why somebody waits, or why nobody was chosen."""
    remedy: str = ""


def judge(selector: Selector, users: Collection[DirectoryUser], kept: Collection[UserName]) -> Selected:
    """
    Evaluate a selector in one account.

    Args:
        selector: As the configuration has it.
        users: All users of the account.
        kept: Users whose keys keyrota keeps there: its own secrets are what it remembers of the last time.
    """
    found = selector.select(users)
    if not found:
        return Selected(users=(), reason="it matches no user", remedy="correct it, or remove the entry")
    old = tuple(user for user in found if user.name in kept)
    allowed = max(selector.at_most, len(old) + max(MOST_NEW, int(SHARE_NEW * len(old))))
    if len(found) <= allowed:
        return Selected(users=found)
    reason = f"it matches {len(found)} users, and keyrota keeps {len(old)} of them: nothing is done for the others"
    remedy = f"look at them, and if all are meant, add `at_most: {len(found)}` to the selector"
    return Selected(
        users=old, held=tuple(user for user in found if user.name not in kept), reason=reason, remedy=remedy
    )


def _is_one_of(text: str, patterns: Collection[str]) -> bool:
    """Compare with patterns in which `*` and `?` stand for other characters, and nothing else does."""
    return any(fnmatchcase(text, pattern.replace("[", "[[]")) for pattern in patterns)
