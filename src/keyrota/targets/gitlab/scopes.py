"""Environment scopes: patterns in which `*` stands for anything, and which of two covers the other."""

from __future__ import annotations

import re

from keyrota.core.levels import Side


def side_of(other: str, own: str) -> Side:
    """
    Say how another scope of the same project lies to one's own: the closer one wins for each name.

    Source: GitLab's documentation, doc/ci/environments (limit the environment scope of a CI/CD variable).
    """
    if _covers(own, other):
        return Side.BELOW
    return Side.ABOVE if _covers(other, own) else Side.APART


def do_meet(one: str, other: str) -> bool:
    """Return whether two scopes cover an environment in common, as far as one of them lies within the other."""
    return _covers(one, other) or _covers(other, one)


def _covers(wide: str, narrow: str) -> bool:
    """Return whether a scope covers all that another one covers, taken as a text: `*` in it matches only `*`."""
    pattern = ".*".join(re.escape(part) for part in wide.split("*"))
    return re.fullmatch(pattern, narrow, re.DOTALL) is not None
