"""
The same IAM user, or the same secret, configured twice under two descriptions.

The configuration alone cannot tell: one entry names no account and means the caller's own, another names it, or a role
in it. So the entries are compared once more by real account IDs, before anything is written. Left alone, each entry
would take the other's targets for removed ones, and the old key would never go.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from keyrota.app.choice import AccountOf
from keyrota.app.config import CredentialConfig
from keyrota.errors import Fault, KeyrotaError

RegionOf = Callable[[CredentialConfig], str]


def faults(entries: Iterable[CredentialConfig], account_of: AccountOf, region_of: RegionOf) -> Iterator[Fault]:
    """Find what is configured twice; an entry whose account cannot be told is left out here (see `unclear`)."""
    entries = tuple(entries)
    for alike in _groups(entries, lambda entry: entry.user.casefold()):
        yield from _find_repeated(alike, lambda entry: (account_of(entry),), "the user {0.user} of account {1}")
    for alike in _groups(entries, lambda entry: entry.secret_name):
        what = "the secret {0.secret_name} of account {1}"
        yield from _find_repeated(alike, lambda entry: (account_of(entry), region_of(entry)), what)


def unclear(entries: Iterable[CredentialConfig], account_of: AccountOf) -> dict[int, KeyrotaError]:
    """Find the entries that may be the same as one whose account cannot be told, by `id`, with the reason."""
    entries = tuple(entries)
    found: dict[int, KeyrotaError] = {}
    for alike in (
        *_groups(entries, lambda entry: entry.user.casefold()),
        *_groups(entries, lambda entry: entry.secret_name),
    ):
        errors = [error for entry in alike if (error := _error(entry, account_of)) is not None]
        if errors:
            found |= {id(entry): errors[0] for entry in alike}
    return found


def _groups(
    entries: Sequence[CredentialConfig], name_of: Callable[[CredentialConfig], str]
) -> Iterator[list[CredentialConfig]]:
    """
    Group the entries that share a name and of which one says no account.

    IAM keeps no two users whose names differ in case only (IAM User Guide, names), so the case does not count there.
    Accounts that the configuration names were compared when it was read.
    """
    groups: dict[str, list[CredentialConfig]] = defaultdict(list)
    for entry in entries:
        groups[name_of(entry)].append(entry)
    yield from (alike for alike in groups.values() if len(alike) > 1)


def _find_repeated(
    alike: list[CredentialConfig], identity: Callable[[CredentialConfig], tuple[str, ...]], what: str
) -> Iterator[Fault]:
    first: dict[tuple[str, ...], CredentialConfig] = {}
    for entry in alike:
        try:
            same = identity(entry)
        except KeyrotaError:
            continue
        if same in first:
            yield Fault(
                where=entry.where,
                what=f"{what.format(entry, same[0])} is configured twice",
                remedy=f"the first time is at {first[same].where}; put the targets of both into one entry",
            )
        first.setdefault(same, entry)


def _error(entry: CredentialConfig, account_of: AccountOf) -> KeyrotaError | None:
    try:
        account_of(entry)
    except KeyrotaError as error:
        return error
    return None
