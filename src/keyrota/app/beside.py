"""
The configured credentials that a run does not look at: whose places are they, and which keys do they serve.

A run of one user, of one shard of a fleet or of one event sees that credential alone. A place that another one writes
as well, under another name, would be overwritten by each in turn. What the others wrote is in the tags and labels of
their secrets, and ListSecrets gives those of a whole account, 100 a call: no secret is asked one by one.
Source: Secrets Manager API Reference, ListSecrets (the answer may lag behind by five minutes; the next run sees it).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from keyrota.app.config import CredentialConfig
from keyrota.app.providers import kind_in
from keyrota.app.wiring import Wiring
from keyrota.core.lifecycle import interpret
from keyrota.core.model import CredentialId, IndexEntry, Observation
from keyrota.core.neighbours import Neighbour, credential_of
from keyrota.core.places import is_first_write
from keyrota.core.records import parse_index
from keyrota.errors import KeyrotaError
from keyrota.targets import kinds

if TYPE_CHECKING:
    from keyrota.aws.kept import KeptSecret

_DUTIES = frozenset({"operator", "sync"})
"""Who writes to places and may list secrets (aws/permissions.py)."""


def neighbours(wiring: Wiring, seen: Sequence[Observation]) -> tuple[Neighbour, ...]:
    """
    Find the configured credentials that were not observed and that may write into one of the places that were.

    Asked are the accounts that this run has entered anyway; all others only where a place is written for the first
    time, so that the second of two credentials always meets the first. An account that cannot be entered, or whose
    secrets cannot be listed, holds nothing back.
    """
    services = _services(target.place.kind for one in seen for target in one.targets if target.place is not None)
    if wiring.duty not in _DUTIES or not services:
        return ()
    is_first = any(is_first_write(interpret(one), target) for one in seen for target in one.targets if target.place)
    known = frozenset(credential_of(one) for one in seen)
    found: list[Neighbour] = []
    for entry in wiring.configuration.credentials:
        is_like = not services.isdisjoint(_services(target.kind for target in entry.targets))
        if is_like and (is_first or wiring.is_entered(entry)):
            found += _neighbour(wiring, entry, known)
    return tuple(found)


def _services(names: Iterable[str]) -> frozenset[object]:
    """Identify what kinds of targets are names of: a Forgejo may be configured as `gitea`, and is the same service."""
    wanted, installed = frozenset(kind_in(name) for name in names), kinds()
    return frozenset(type(installed[name]) if name in installed else name for name in wanted)


def _neighbour(wiring: Wiring, entry: CredentialConfig, known: frozenset[CredentialId]) -> Iterator[Neighbour]:
    account = wiring.account(entry)
    if isinstance(account, KeyrotaError):
        return
    try:
        credential = wiring.credential(entry)
        kept = None if credential in known else wiring.find_kept_secret(account, entry.secret_name)
    except KeyrotaError:
        return
    if kept is not None:
        places = tuple(_list_places(wiring, entry, kept))
        yield Neighbour(credential=credential, places=places, key=kept.served)


def _list_places(wiring: Wiring, entry: CredentialConfig, secret: KeptSecret) -> Iterator[IndexEntry]:
    """
    Go through the places that configured targets of the credential were.

    A target under a name that was never written may be a place that was renamed, so all of its kind count then.
    """
    targets, index = wiring.index(entry), parse_index(secret.tags)
    written = {place.address for place in index.entries}
    named = {target.address for target in targets}
    renamed = {kind_in(target.kind) for target in targets if target.address not in written}
    yield from (place for place in index.entries if place.address in named or kind_in(place.kind) in renamed)
