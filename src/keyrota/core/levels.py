"""
What the other levels of a project do to a pair: workspace, organization or group above it, environments below it.

A job sees the variables of all levels, and the closest one wins for each name alone. So half a pair at one level makes
a mixed pair with whatever is written at another, and a plain pair anywhere shadows a bundle.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from keyrota.core.model import Conflict, ShownKey
from keyrota.core.variables import IDENTITIES, PROFILES, SESSIONS, WEB_IDENTITY, Listed, find_shown

_USUAL = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


class Side(StrEnum):
    """Where a level lies, seen from the place that is written."""

    ABOVE = "above"
    """The place overrides it, name by name."""
    BELOW = "below"
    """It overrides the place."""
    BESIDE = "beside"
    """Another store that jobs read under another word, as GitHub's variables beside its secrets."""
    APART = "apart"
    """Another environment: it shows keys, and mixes with nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """Another scope or level of a project, with what it lists."""

    name: str
    """In words, as a target's address: `bitbucket acme/shop`."""
    side: Side
    variables: tuple[Listed, ...]
    noun: str = "variable"

    @property
    def names(self) -> frozenset[str]:
        """What its variables are called."""
        return frozenset(variable.name for variable in self.variables)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a target writes at its place, and what is there already."""

    pair: tuple[str, str] | None
    """The variables of the ID and of the secret; None for a bundle."""
    bundle: str | None
    present: frozenset[str]
    """Those of its names that the place has now."""
    marker: str | None = None
    """The readable variable that names the key, where the secrets beside it cannot be read."""


def keys_shown(levels: Iterable[Level]) -> tuple[ShownKey, ...]:
    """Name every key ID that a readable variable of another level contains."""
    return tuple(key for level in levels for key in find_shown(level.variables, level.name, noun=level.noun))


def level_conflicts(written: Written, levels: Sequence[Level], *, remedy: str = "") -> tuple[Conflict, ...]:
    """
    Find what another level would make of a write.

    Args:
        written: What is written, and what the place has of it.
        levels: The other levels; each is judged for itself.
        remedy: What a person does about the other half of a pair, where the service offers more than `names:`.
    """
    found = (conflict for level in levels for conflict in _conflicts_with(level, written, remedy))
    return tuple(dict.fromkeys(found))


def _conflicts_with(level: Level, written: Written, remedy: str) -> Iterator[Conflict]:
    match level.side:
        case Side.APART:
            return
        case Side.BESIDE:
            yield from _beside(level, written, remedy)
        case Side.ABOVE | Side.BELOW if written.pair is None:
            yield from _report_shadowing(level, written.bundle or "")
        case Side.ABOVE | Side.BELOW:
            yield from _halves(level, written.pair or ("", ""), written.present, remedy)
            yield from _report_overriding(level, written.pair or ("", ""))
        case _:
            assert_never(level.side)


def _halves(level: Level, pair: tuple[str, str], present: frozenset[str], remedy: str) -> Iterator[Conflict]:
    """Report half a pair at another level, unless the place overrides it whole already."""
    there = [name for name in pair if name in level.names]
    here = [name for name in pair if name in present]
    if len(there) != 1 or (level.side is Side.ABOVE and len(here) == len(pair)):
        return
    half = f"the {level.noun} {there[0]} is in {level.name}"
    other = next(name for name in pair if name not in there)
    if here == [other]:
        what = f"the pair is split between two levels: {half}, and {other} is here"
    elif level.side is Side.BELOW:
        what = f"{half} without {other}: jobs there would use it with the {other} that is written here"
    else:
        what = f"{half} without {other}: jobs that take {other} from elsewhere would get this pair, or half of it"
    yield Conflict(
        what=what,
        remedy=remedy or f"bring both halves to one level, give other names with `names:`, or delete {there[0]} there",
    )


def _report_overriding(level: Level, pair: tuple[str, str]) -> Iterator[Conflict]:
    """Report what AWS tools combine with the usual pair, or use before it, or what the pair would replace."""
    if pair != _USUAL:
        return
    for name in SESSIONS:
        if name in level.names:
            yield Conflict(
                what=f"the {level.noun} {name} is in {level.name}: AWS refuses the key of an IAM user together with it",
                remedy=f"delete {name} there",
                is_lasting=True,
            )
    for name in PROFILES:
        if name in level.names:
            yield Conflict(
                what=f"the {level.noun} {name} is in {level.name}: some AWS tools use that profile instead of the pair",
                remedy=f"delete {name} there if the pair is to be used",
            )
    for name, source in IDENTITIES.items():
        if name in level.names and not set(pair) & level.names:
            yield Conflict(
                what=f"the {level.noun} {name} is in {level.name}: AWS tools would use this pair instead of {source}",
                remedy=_REPLACED[name],
            )


_REPLACED = {
    "AWS_SHARED_CREDENTIALS_FILE": "write that file with `bundle:` instead, or confirm if the pair is to replace it",
    WEB_IDENTITY: "leave this place out if jobs use the role, or confirm if the pair is to replace it",
}


def _report_shadowing(level: Level, bundle: str) -> Iterator[Conflict]:
    """Report what AWS tools use instead of a bundle."""
    plain = " and ".join(name for name in _USUAL if name in level.names and name != bundle)
    if plain:
        yield Conflict(
            what=f"the {level.noun} {plain} is in {level.name}: AWS tools use it instead of the bundle {bundle}",
            remedy=f"delete {plain} there, or leave `bundle:` out",
            is_lasting=True,
        )
    for name in PROFILES:
        if name in level.names:
            yield Conflict(
                what=f"the {level.noun} {name} is in {level.name}: the bundle {bundle} has the profile [default] only",
                remedy=f"delete {name} there, or set it to default and confirm",
            )
    if WEB_IDENTITY in level.names and bundle != WEB_IDENTITY:
        yield Conflict(
            what=f"the {level.noun} {WEB_IDENTITY} is in {level.name}: some AWS tools use {IDENTITIES[WEB_IDENTITY]} "
            f"instead of the bundle {bundle}",
            remedy=f"delete {WEB_IDENTITY} there if the bundle is to be used, or leave this place out",
        )


def _beside(level: Level, written: Written, remedy: str) -> Iterator[Conflict]:
    """Report an ID that jobs may read from another store together with the secret that is written here."""
    pair = written.pair or ()
    for variable in level.variables:
        if variable.name not in pair or variable.name == written.marker:
            continue
        shows = f" ({variable.key})" if variable.key else ""
        yield Conflict(
            what=f"the {level.noun} {variable.name}{shows} is in {level.name}: "
            "a job that reads it together with what is written here gets halves of two pairs",
            remedy=remedy or f"delete the {level.noun} {variable.name}, or give other names with `names:`",
        )
