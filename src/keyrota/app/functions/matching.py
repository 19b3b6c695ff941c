"""Which configured credentials an event is about: always account and user, or account, region and secret."""

from __future__ import annotations

from collections.abc import Iterator

from keyrota.app.config import CredentialConfig
from keyrota.app.functions.aws_events import KeyEvent, SecretRef
from keyrota.app.functions.invocation import Work


def find_managed(work: Work, found: KeyEvent) -> CredentialConfig | None:
    """
    Find the configured credential that an event of IAM is about.

    IAM keeps no two users of one account whose names differ in case only (IAM User Guide, names), so a caller's other
    spelling is the same user. An event that names no account is about the one that the function runs in.
    """
    alike = (entry for entry in _list_configured(work) if entry.user.casefold() == found.user.casefold())
    return next((entry for entry in alike if _is_in(work, entry, found.account)), None)


def of_secret(work: Work, secret: SecretRef, *, account: str = "", region: str = "") -> Iterator[CredentialConfig]:
    """
    Find the configured credentials of a secret; the same name in another account or region is another secret.

    Args:
        work: The invocation.
        secret: As an event names it; its ARN tells account and region.
        account: Of the event, where the secret is named without its ARN; empty: the one that the function runs in.
        region: The same.
    """
    account, region = secret.account or account, secret.region or region
    for entry in _list_configured(work):
        if secret.means(entry.secret_name) and _is_in(work, entry, account) and _is_there(work, entry, region):
            yield entry


def _list_configured(work: Work) -> tuple[CredentialConfig, ...]:
    return work.session.configuration.credentials


def _is_in(work: Work, entry: CredentialConfig, account: str) -> bool:
    own = work.session.wiring.own_account()
    return work.session.wiring.account_of(entry) == (account or own.resolve_id(work.session.clock))


def _is_there(work: Work, entry: CredentialConfig, region: str) -> bool:
    own = work.session.wiring.own_account().region
    return (entry.region or own) == (region or own)
