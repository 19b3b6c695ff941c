"""
Credentials that left the configuration: their secrets are still there, and perhaps their keys are Active.

Nothing is rotated, served or retired any more for a user that the configuration names no longer. So each is reported
until a person releases it, or until its state is final: the user has no Active key.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING

from keyrota.app.session import Session
from keyrota.app.wiring import Wiring
from keyrota.core.model import AccessKeyId, KeyStatus, UserName
from keyrota.errors import KeyrotaError, NotThere

if TYPE_CHECKING:
    from keyrota.aws.account import Account
    from keyrota.aws.kept import KeptSecret


@dataclass(frozen=True, slots=True, kw_only=True)
class Departed:
    """A credential that keyrota kept and that the configuration does not name."""

    account: Account
    secret: KeptSecret
    active: tuple[AccessKeyId, ...] | None
    """The user's Active keys; None if they could not be listed."""

    @property
    def user(self) -> UserName:
        """The IAM user."""
        return self.secret.user

    def describe(self) -> str:
        """Say what is known of it."""
        keys = "its keys cannot be listed" if self.active is None else f"Active keys: {', '.join(self.active)}"
        served = self.secret.served
        is_dead = self.active is not None and served is not None and served not in self.active
        dead = f". {served}, which its targets held last, is not Active: pipelines that hold it fail" if is_dead else ""
        return (
            f"{self.account.id()}:{self.user} is not in the configuration, and keyrota has kept its key "
            f"(secret {self.secret.name}; {keys}): nothing is rotated or deactivated for it any more{dead}"
        )

    @property
    def remedy(self) -> str:
        """Say what a person can do."""
        stack = f" --stack {quote(self.secret.stack)}" if self.secret.stack else ""
        return (
            f"put it back into the configuration; or deactivate its keys; or, if something else keeps it now: "
            f"keyrota release {quote(f'{self.account.id()}:{self.user}')}{stack}"
        )


def find_departed(session: Session) -> tuple[tuple[Departed, ...], tuple[KeyrotaError, ...]]:
    """
    Find them in the accounts and regions that the configuration names, and say which could not be asked.

    Where a selector could not be evaluated, nobody knows who has left it, and nobody is reported as gone.
    A secret that another deployed stack keeps is that stack's to report. Accounts that the configuration names no more
    at all cannot be entered, and are not looked at.
    """
    found: list[Departed] = []
    errors: list[KeyrotaError] = []
    for account, names in _accounts(session):
        try:
            found += _in_account(session.wiring, account, names, session.stack)
        except KeyrotaError as error:
            errors.append(error)
    return tuple(found), tuple(errors)


def lines(session: Session) -> Iterator[str]:
    """Write a warning and a hint for each; what cannot be listed is `keyrota check`'s to say."""
    for one in find_departed(session)[0]:
        yield f"warning: {one.describe()}"
        yield f"hint: {one.remedy}"


def _accounts(session: Session) -> Iterator[tuple[Account, frozenset[str]]]:
    """Go through accounts and regions, each with the secrets and users that the configuration names there."""
    named: dict[tuple[str, str | None], tuple[Account, set[str]]] = {}
    for credential in session.configuration.entrances:
        account = session.wiring.account(credential)
        if not isinstance(account, KeyrotaError) and account.id() not in session.wiring.unsure:
            place = account.id(), account.region
            named.setdefault(place, (account, set()))[1].update({credential.secret_name, f"user {credential.user}"})
    for account, names in named.values():
        yield account, frozenset(names)


def _in_account(wiring: Wiring, account: Account, names: frozenset[str], stack: str) -> Iterator[Departed]:
    kept = wiring.list_kept_secrets(account)
    ours = {"", stack, *(secret.stack for secret in kept if names & {secret.name, secret.arn})}
    for secret in kept:
        is_named = names & {secret.name, secret.arn, f"user {secret.user}"}
        if secret.is_released or secret.stack not in ours or is_named:
            continue
        active = _active(account, secret.user)
        if active is None or active:
            yield Departed(account=account, secret=secret, active=active)


def _active(account: Account, user: UserName) -> tuple[AccessKeyId, ...] | None:
    from keyrota.aws.iam import IamAccessKeys  # noqa: PLC0415  # botocore is imported late

    try:
        keys = IamAccessKeys(account).list(user)
    except NotThere:
        return ()
    except KeyrotaError:
        return None
    return tuple(key.id for key in keys if key.status is not KeyStatus.INACTIVE)
