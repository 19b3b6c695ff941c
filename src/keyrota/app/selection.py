"""
From selectors to credentials, when keyrota runs: users are read in bulk, and each is judged as if it had been written.

What fails, fails closed and alone: an account that cannot be read gives no user, a user whose tags do not fit is left
out, two entries that mean one user or one place give nobody, and each is reported as a credential that failed is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from keyrota.app.config import Configuration, CredentialConfig, Selection
from keyrota.app.config.model import Making
from keyrota.app.wiring import Unreachable, Wiring
from keyrota.core.selection import judge
from keyrota.errors import ConfigError, Fault, KeyrotaError

_MAX_NAMED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A credential that a selector gave."""

    credential: CredentialConfig
    account: str
    where: str


def select_users(wiring: Wiring) -> Configuration:
    """Evaluate all selectors of a configuration, and let the run go on with what they gave."""
    configuration = wiring.configuration
    making = configuration.making
    if making is None:
        return configuration
    found: list[_Found] = []
    problems: list[Unreachable] = []
    unsure: set[str] = set()
    for number, selection in enumerate(configuration.selections):
        for one in _evaluate(wiring, selection, number, making):
            if isinstance(one, _Found):
                found.append(one)
            else:
                problems.append(one)
                unsure.add(one.account)
    good, conflicts = _without_conflicts(wiring, found, making)
    problems += conflicts
    unsure |= {one.account for one in conflicts}
    made = replace(configuration, credentials=(*configuration.credentials, *good))
    wiring.take_selected(made, tuple(problems), frozenset(unsure))
    return made


def _evaluate(wiring: Wiring, selection: Selection, number: int, making: Making) -> Iterator[_Found | Unreachable]:
    """Evaluate one selector in one account."""
    known = selection.entrance.known_account or ""
    account = wiring.account(selection.entrance)
    if isinstance(account, KeyrotaError):
        yield _explain(selection, known, account)
        return
    known = account.id()
    try:
        users = wiring.list_users(account)
        kept = {secret.user for secret in wiring.list_kept_secrets(account) if not secret.is_released}
    except KeyrotaError as error:
        yield _explain(selection, known, error)
        return
    chosen = judge(selection.selector, users, kept)
    if chosen.reason:
        named = ", ".join(str(user.name) for user in chosen.held[:_MAX_NAMED])
        more = f" and {len(chosen.held) - _MAX_NAMED} more" if len(chosen.held) > _MAX_NAMED else ""
        what = f"{chosen.reason} ({named}{more})" if named else chosen.reason
        yield _explain(selection, known, KeyrotaError(what, where=selection.where, remedy=chosen.remedy))
    for user in chosen.users:
        try:
            yield _Found(credential=making.make(number, user), account=known, where=selection.where)
        except ConfigError as error:
            yield Unreachable(user=user.name, account=known, secret_name="", error=error, label=f"{known}:{user.name}")


def _explain(selection: Selection, account: str, error: KeyrotaError) -> Unreachable:
    """Report a selector as a credential that cannot be worked on."""
    name = f"users selected at {selection.where}"
    what = f"nobody new is selected here: {error.what}"
    told = type(error)(what, where=error.where or selection.where, remedy=error.remedy) if _is_plain(error) else error
    return Unreachable(
        user=name, account=account, secret_name="", error=told, label=f"{name} in {account or 'its account'}"
    )


def _is_plain(error: KeyrotaError) -> bool:
    return type(error).__init__ is KeyrotaError.__init__


def _without_conflicts(
    wiring: Wiring, found: Sequence[_Found], making: Making
) -> tuple[list[CredentialConfig], list[Unreachable]]:
    """
    Leave out whoever is named in the file as well, and all that claim the same user, secret or place.

    An entry that names a user counts: it says more than a selector.
    """
    written = {(_account_of(wiring, entry), entry.user.casefold()) for entry in wiring.configuration.credentials}
    unsaid = {user for account, user in written if not account}
    rest = [one for one in found if _name_of(one) not in written and one.credential.user.casefold() not in unsaid]
    claims = {id(one): dict(making.claims(one.credential)) for one in rest}
    counted = Counter(claim for one in rest for claim in claims[id(one)])
    counted.update(claim for entry in wiring.configuration.credentials for claim, _ in making.claims(entry))
    good, conflicts = [], []
    for one in rest:
        twice = [what for claim, what in claims[id(one)].items() if counted[claim] > 1]
        if not twice:
            good.append(one.credential)
            continue
        remedy = "write {user}, {tag:NAME} or the like into the entry, or leave users out with `except`"
        error = ConfigError([Fault(where=one.where, what=twice[0], remedy=remedy)])
        name = one.credential.user
        conflicts.append(
            Unreachable(user=name, account=one.account, secret_name="", error=error, label=f"{one.account}:{name}")
        )
    return good, conflicts


def _name_of(one: _Found) -> tuple[str, str]:
    return one.account, one.credential.user.casefold()


def _account_of(wiring: Wiring, entry: CredentialConfig) -> str:
    """Return the account of a written entry; empty where it is not known: then its user is selected nowhere."""
    try:
        return wiring.account_of(entry)
    except KeyrotaError:
        return ""
