"""
What credentials do to each other: a place that two of them write, a place that shows another one's key.

Names do not tell: `acme/shop` and a project's number may be one place. So this is looked for in what was read of the
credentials of one run, and in what the secrets of all others remember of the places that were written from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from keyrota.core.lifecycle import interpret
from keyrota.core.model import AccessKeyId, CredentialId, IndexEntry, Observation, TargetState

Variable = tuple[tuple[str, str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """A configured credential that is not looked at in this run, as the tags and labels of its secret show it."""

    credential: CredentialId
    places: tuple[IndexEntry, ...] = ()
    """The places that its configured targets were, as they were written."""
    key: AccessKeyId | None = None
    """The key that it serves; None where no label says it."""


def find_shared_with(seen: Observation, neighbours: Iterable[Neighbour]) -> tuple[tuple[str, str], ...]:
    """
    Find the targets whose variables another credential writes as well.

    Returns:
        The address of each such target, and what is wrong in words.
    """
    found = []
    for neighbour in neighbours:
        for entry in neighbour.places if neighbour.credential != credential_of(seen) else ():
            for target in seen.targets:
                names = ", ".join(_find_shared_names(target, entry))
                said = f"{target.address} of {credential_of(seen)} and {entry.address} of {neighbour.credential}"
                if names:
                    found.append((target.address, f"{said} are one place ({target.place}): both would write {names}"))
    return tuple(found)


def group_by_place(neighbours: Iterable[Neighbour]) -> Mapping[tuple[str, str], Sequence[Neighbour]]:
    """Arrange neighbours by origin and mark of the places that they write, each with that place alone."""
    found: dict[tuple[str, str], list[Neighbour]] = {}
    for neighbour in neighbours:
        for entry in neighbour.places:
            found.setdefault((entry.origin, entry.place), []).append(replace(neighbour, places=(entry,)))
    return found


def _find_shared_names(target: TargetState, entry: IndexEntry) -> Iterator[str]:
    """Name the variables of a place that both write; an entry that does not know its own is taken to write all."""
    if entry.is_begun and entry.is_at(target.place):
        names = [variable.name for variable in target.variables]
        yield from (name for name in names if not entry.variables or name in entry.variables)


def credential_of(seen: Observation) -> CredentialId:
    """Name the credential that was observed."""
    return CredentialId(account=seen.account, user=seen.user)


def find_served_keys(observations: Iterable[Observation]) -> Mapping[AccessKeyId, CredentialId]:
    """Find the key that each credential serves."""
    keys = ((interpret(seen).current_key, credential_of(seen)) for seen in observations)
    return {key: credential for key, credential in keys if key is not None}


def neighbours_of(
    seen: Observation, served: Mapping[AccessKeyId, CredentialId]
) -> tuple[tuple[AccessKeyId, CredentialId], ...]:
    """Find the keys of other credentials that the targets of one show."""
    shown = {variable.key for target in seen.targets for variable in target.variables}
    shown |= {target.key for target in seen.targets}
    ours = credential_of(seen)
    return tuple((key, served[key]) for key in sorted(key for key in shown if key) if served.get(key, ours) != ours)


def find_shared_places(observations: Iterable[Observation]) -> Mapping[CredentialId, tuple[tuple[str, str], ...]]:
    """
    Find the places whose variables two credentials would write, each run over the other's key.

    Returns:
        For each such credential the addresses of these targets, each with what is wrong in words.
    """
    owners: dict[Variable, list[tuple[CredentialId, str]]] = {}
    for seen in observations:
        for target in seen.targets:
            if target.place is None:
                continue
            owner = credential_of(seen), target.address
            for variable in target.variables:
                owners.setdefault((target.place.identity, variable.name), []).append(owner)
    found: dict[CredentialId, dict[tuple[str, str], None]] = {}
    for ((origin, place), name), claims in owners.items():
        if len({credential for credential, _ in claims}) > 1:
            said = " and ".join(f"{address} of {credential}" for credential, address in claims)
            words = f"{said} are one place ({origin} {place}): both would write {name}"
            for credential, address in claims:
                found.setdefault(credential, {})[address, words] = None
    return {credential: tuple(words) for credential, words in found.items()}
