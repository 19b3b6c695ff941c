"""Which configured credentials a person or an event means: by user, by account and user, or by account."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from keyrota.app.config import Configuration, CredentialConfig, TargetConfig
from keyrota.errors import KeyrotaError, UsageError

_NAME = re.compile(r"(?:(?P<account>[0-9]{12}):)?(?P<user>[A-Za-z0-9_+=,.@-]{1,128})", re.ASCII)
"""A user name has no colon (IAM User Guide, names and length quotas), so `ACCOUNT:USER` is read in one way only."""
_ACCOUNT = re.compile(r"[0-9]{12}", re.ASCII)
_MAX_LISTED = 20

AccountOf = Callable[[CredentialConfig], str]
"""The real account ID of a credential, 12 digits; raises KeyrotaError where its account cannot be entered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """A credential as the command line or an event names it."""

    user: str
    account: str | None = None
    """12 digits; empty: the caller's own, which the configuration names none for; None: it is not said."""

    def __str__(self) -> str:
        """Write it as it was given."""
        return f"{self.account}:{self.user}" if self.account else self.user

    @staticmethod
    def read(text: str) -> Name:
        """
        Read `USER` or `ACCOUNT:USER`.

        Raises:
            UsageError: It is neither.
        """
        match = _NAME.fullmatch(text)
        if match is None:
            raise UsageError(
                f"{text!r} does not name a credential",
                remedy="write USER or ACCOUNT:USER; an account ID has 12 digits: 123456789012:ci-deploy",
            )
        return Name(user=match["user"], account=match["account"])

    @staticmethod
    def of(entry: CredentialConfig) -> Name:
        """Name a configured credential so that nothing else of the configuration is meant."""
        return Name(user=entry.user, account=entry.known_account or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a command or an event asks for."""

    names: tuple[Name, ...] = ()
    """Only these; none: all of them."""
    account: str | None = None
    """Only of this account, as in `Name`."""
    providers: tuple[str, ...] = ()
    """Only credentials with a place at one of these providers."""
    targets: tuple[str, ...] = ()
    """Only credentials with a place whose address has one of these in it: `*` stands for anything."""

    @property
    def is_everything(self) -> bool:
        """Whether nothing narrows the choice."""
        return not self.names and self.account is None and not self.providers and not self.targets

    def covers(self, account: str) -> bool:
        """Return whether a whole account is meant, and this is one of them."""
        return not self.names and self.account in (None, account)

    @staticmethod
    def only(entry: CredentialConfig) -> Wanted:
        """Ask for one configured credential."""
        return Wanted(names=(Name.of(entry),))


EVERYTHING = Wanted()


def account_id(text: str) -> str:
    """
    Read an account ID.

    Raises:
        UsageError: It does not have 12 digits.
    """
    if not _ACCOUNT.fullmatch(text):
        raise UsageError(f"{text!r} is not an account ID", remedy="write its 12 digits, without hyphens: 123456789012")
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Chooser:
    """Finds the credentials of a configuration that are meant."""

    configuration: Configuration
    account_of: AccountOf

    def choose(self, wanted: Wanted) -> tuple[CredentialConfig, ...]:
        """
        Return what is wanted, in the configuration's order.

        Raises:
            UsageError: A name is not configured, or means several credentials; nothing was begun.
            KeyrotaError: Which account the caller's own is cannot be told, and it matters.
        """
        if wanted.is_everything:
            return self.configuration.credentials
        return self._with_places(self._of_names(wanted), wanted)

    def _of_names(self, wanted: Wanted) -> tuple[CredentialConfig, ...]:
        pool = self._of_account(self.configuration.credentials, wanted.account)
        if wanted.names:
            found = {id(entry) for name in wanted.names for entry in [self._one(pool, name, wanted.account)]}
            return tuple(entry for entry in pool if id(entry) in found)
        if not pool:
            raise UsageError(
                f"no credential of account {wanted.account or 'of the caller'} is configured",
                where=str(self.configuration.path),
                remedy=f"configured: {self._list(self.configuration.credentials)}",
            )
        return tuple(pool)

    def _with_places(self, entries: tuple[CredentialConfig, ...], wanted: Wanted) -> tuple[CredentialConfig, ...]:
        """
        Keep the credentials that have a place like this.

        Raises:
            UsageError: None has.
        """
        for asked, is_meant in ((wanted.providers, _is_at), (wanted.targets, _is_like)):
            found = tuple(entry for entry in entries if any(is_meant(asked, target) for target in entry.targets))
            if asked and not found:
                raise UsageError(
                    f"no credential has a target {'at' if is_meant is _is_at else 'like'} {', '.join(asked)}",
                    where=str(self.configuration.path),
                    remedy="`keyrota status USER` lists the targets of a credential",
                )
            entries = found if asked else entries
        return entries

    def match_all(self, wanted: Wanted) -> tuple[CredentialConfig, ...]:
        """
        Return everything that the names may mean, so that something else (a key) decides between them.

        Raises:
            UsageError: A name is not configured.
        """
        if not wanted.names:
            return self.choose(wanted)
        pool = self._of_account(self.configuration.credentials, wanted.account)
        return tuple(entry for name in wanted.names for entry in self._some(pool, name, wanted.account))

    def _of_account(self, entries: Sequence[CredentialConfig], account: str | None) -> Sequence[CredentialConfig]:
        return entries if account is None else [entry for entry in entries if self._is_in(entry, account)]

    def _is_in(self, entry: CredentialConfig, account: str) -> bool:
        """Compare accounts; AWS is asked only about an entry whose account the configuration does not say."""
        if entry.known_account is not None or not account:
            return (entry.known_account or "") == account
        return self.account_of(entry) == account

    def _one(self, pool: Sequence[CredentialConfig], name: Name, account: str | None) -> CredentialConfig:
        found = self._some(pool, name, account)
        if len(found) > 1:
            raise UsageError(
                f"{name} is configured for {len(found)} accounts, and only one of them can be meant",
                where=str(self.configuration.path),
                remedy=f"name one of: {self._list(found)}",
            )
        return found[0]

    def _some(self, pool: Sequence[CredentialConfig], name: Name, account: str | None) -> list[CredentialConfig]:
        alike = [entry for entry in pool if entry.user == name.user]
        if name.account is None:
            found = alike
        else:
            known = [entry for entry in alike if (entry.known_account or "") == name.account]
            found = known or [entry for entry in alike if self._is_in(entry, name.account)]
        if not found:
            where = f" in account {account}" if account and not name.account else ""
            listed = alike or [entry for entry in self.configuration.credentials if entry.user == name.user]
            raise UsageError(
                f"{name} is not configured{where}",
                where=str(self.configuration.path),
                remedy=f"configured: {self._list(listed or self.configuration.credentials)}",
            )
        return found

    def _list(self, entries: Sequence[CredentialConfig]) -> str:
        """List credentials as the command line takes them; the account of one that cannot be entered is described."""
        names = list(dict.fromkeys(self._spell(entry) for entry in entries))
        more = [f"and {len(names) - _MAX_LISTED} more"] if len(names) > _MAX_LISTED else []
        return ", ".join([*names[:_MAX_LISTED], *more])

    def _spell(self, entry: CredentialConfig) -> str:
        if entry.known_account is not None:
            return f"{entry.known_account}:{entry.user}"
        is_alone = all(other.user != entry.user or other is entry for other in self.configuration.credentials)
        if is_alone:
            return entry.user
        try:
            return f"{self.account_of(entry)}:{entry.user}"
        except KeyrotaError:
            return f"{entry.user} of the caller's own account (ACCOUNT:{entry.user} with its ID)"


def _is_at(providers: Sequence[str], target: TargetConfig) -> bool:
    return target.kind in providers or target.provider in providers


def _is_like(patterns: Sequence[str], target: TargetConfig) -> bool:
    from keyrota.targets import kinds  # noqa: PLC0415  # heavy: only where an address is asked for

    address = kinds()[target.kind].address(target.settings)
    return any(_has_parts(address, pattern.split("*")) for pattern in patterns)


def _has_parts(address: str, parts: Sequence[str]) -> bool:
    """Return whether an address has these parts in their order."""
    at = 0
    for part in parts:
        found = address.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return True


def completions(configuration: Configuration) -> Iterator[str]:
    """Name what a shell may offer, without asking AWS: each user, and each user with the account that is configured."""
    yield from sorted({entry.user for entry in configuration.credentials})
    known = {f"{entry.known_account}:{entry.user}" for entry in configuration.credentials if entry.known_account}
    yield from sorted(known)


def provider_completions(configuration: Configuration) -> Iterator[str]:
    """Name the providers that have a target, without asking anyone."""
    every = [target for entry in configuration.credentials for target in entry.targets]
    yield from sorted({target.kind for target in every} | {target.provider for target in every})


def target_completions(configuration: Configuration) -> Iterator[str]:
    """Name the addresses of all targets, without asking anyone."""
    from keyrota.targets import kinds  # noqa: PLC0415  # heavy: only where an address is asked for

    known = kinds()
    every = (target for entry in configuration.credentials for target in entry.targets)
    yield from sorted({known[target.kind].address(target.settings) for target in every})
