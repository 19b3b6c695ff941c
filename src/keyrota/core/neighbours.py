"""
What credentials of one run do to each other: a place that two of them write, a place that shows another one's key.

Names do not tell: `acme/shop` and a project's number may be one place. So this is looked for in what was read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from keyrota.core.lifecycle import view
from keyrota.core.model import AccessKeyId, CredentialId, Observation, PlaceId

Variable = tuple[PlaceId, str]


def credential_of(seen: Observation) -> CredentialId:
    """Name the credential that was observed."""
    return CredentialId(account=seen.account, user=seen.user)


def served_keys(observations: Iterable[Observation]) -> Mapping[AccessKeyId, CredentialId]:
    """Find the key that each credential serves."""
    keys = ((view(seen).current_key, credential_of(seen)) for seen in observations)
    return {key: credential for key, credential in keys if key is not None}


def neighbours_of(
    seen: Observation, served: Mapping[AccessKeyId, CredentialId]
) -> tuple[tuple[AccessKeyId, CredentialId], ...]:
    """Find the keys of other credentials that the targets of one show."""
    shown = {variable.key for target in seen.targets for variable in target.variables}
    shown |= {target.key for target in seen.targets}
    ours = credential_of(seen)
    return tuple((key, served[key]) for key in sorted(key for key in shown if key) if served.get(key, ours) != ours)


def shared_places(observations: Iterable[Observation]) -> Mapping[CredentialId, tuple[str, ...]]:
    """
    Find the places whose variables two credentials would write, each run over the other's key.

    Returns:
        For each such credential what is wrong, in words.
    """
    owners: dict[Variable, list[tuple[CredentialId, str]]] = {}
    for seen in observations:
        for target in seen.targets:
            for variable in target.variables if target.place else ():
                owner = credential_of(seen), target.address
                owners.setdefault((target.place, variable.name), []).append(owner)  # type: ignore[arg-type]  # not None
    found: dict[CredentialId, dict[str, None]] = {}
    for (place, name), claims in owners.items():
        if len({credential for credential, _ in claims}) > 1:
            said = " and ".join(f"{address} of {credential}" for credential, address in claims)
            for credential, _ in claims:
                found.setdefault(credential, {})[f"{said} are one place ({place}): both would write {name}"] = None
    return {credential: tuple(words) for credential, words in found.items()}
