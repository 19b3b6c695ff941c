"""Finding the configured credential that an access key ID belongs to."""

from __future__ import annotations

from dataclasses import dataclass

from keyrota.app.choice import Wanted
from keyrota.app.config import CredentialConfig
from keyrota.app.wiring import Wiring
from keyrota.core.model import AccessKeyId, UserName
from keyrota.errors import KeyrotaError, NotThere, UsageError
from keyrota.executor.parallel import in_parallel

_MAX_LISTED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A credential whose account was entered."""

    entry: CredentialConfig
    account: str

    def __str__(self) -> str:
        return f"{self.account}:{self.entry.user}"


def credential_with(wiring: Wiring, wanted: Wanted, key: AccessKeyId) -> CredentialConfig:
    """
    Find the credential that has a key, among those that are wanted, or among all.

    IAM names the user of a key that is in the account (GetAccessKeyLastUsed), so that this takes one call for each
    account; only where that call is refused, the keys of each user are listed.

    Raises:
        UsageError: No configured user has the key; it lists what was searched. Nothing was begun.
    """
    candidates = wiring.chooser.match_all(wanted)
    account = _account_of(wiring, key)
    places, closed = _enter(wiring, candidates, account)
    owners = {place.account: _owner(wiring, place.entry, key) for place in places}
    for place in places:
        if owners[place.account] == place.entry.user:
            return place.entry
    unclear = [place for place in places if owners[place.account] is None]
    for place, has_key in zip(unclear, in_parallel(lambda it: _has(wiring, it.entry, key), unclear, 8), strict=True):
        if has_key:
            return place.entry
    raise _nowhere(key, account, {where: owner for where, owner in owners.items() if owner}, places, closed)


def _account_of(wiring: Wiring, key: AccessKeyId) -> str | None:
    from keyrota.aws.directory import Directory  # noqa: PLC0415  # botocore is imported late

    return Directory(wiring.own_account()).account_of(key)


def _enter(
    wiring: Wiring, candidates: tuple[CredentialConfig, ...], account: str | None
) -> tuple[list[_Place], list[str]]:
    """Enter the candidates' accounts, but only that of the key where AWS tells it; and say which stayed closed."""
    places, closed = [], []
    for entry in candidates:
        if account is not None and entry.known_account not in (None, account):
            continue
        entered = wiring.account(entry)
        if isinstance(entered, KeyrotaError):
            closed.append(f"{entry.user}: {entered}")
        elif account in (None, entered.id()):
            places.append(_Place(entry=entry, account=entered.id()))
    return places, list(dict.fromkeys(closed))


def _owner(wiring: Wiring, entry: CredentialConfig, key: AccessKeyId) -> str | None:
    from keyrota.aws.directory import Directory  # noqa: PLC0415  # as above

    entered = wiring.account(entry)
    return None if isinstance(entered, KeyrotaError) else Directory(entered).owner(key)


def _has(wiring: Wiring, entry: CredentialConfig, key: AccessKeyId) -> bool:
    """Look through a user's keys; a user that is not there has none."""
    from keyrota.aws.iam import IamAccessKeys  # noqa: PLC0415  # as above

    entered = wiring.account(entry)
    if isinstance(entered, KeyrotaError):
        return False
    try:
        return any(found.id == key for found in IamAccessKeys(entered).list(UserName(entry.user)))
    except NotThere:
        return False


def _nowhere(
    key: AccessKeyId, account: str | None, owners: dict[str, str], places: list[_Place], closed: list[str]
) -> UsageError:
    where = f" (it belongs to account {account})" if account else ""
    where = next((f" (it is a key of the user {user} in account {of})" for of, user in owners.items()), where)
    names = [str(place) for place in places]
    more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    searched = ", ".join(names[:_MAX_LISTED]) + more if names else "no configured user, for none is of that account"
    unread = f"; not searched: {'; '.join(closed)}" if closed else ""
    return UsageError(f"no configured user has the access key {key}{where}", remedy=f"searched: {searched}{unread}")
