"""What whole accounts show at once, asked once for each account of a run, and only where that is fewer calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING

from keyrota.core.overview import Overview
from keyrota.errors import KeyrotaError, ProviderUnavailable
from keyrota.executor import CredentialContext
from keyrota.target_base.once import Once

if TYPE_CHECKING:
    from keyrota.app.wiring import Wiring
    from keyrota.aws.account import Account

FEWEST = 50
"""Fewer credentials of an account than this are read one by one: everything is fresh then, at three calls each."""
_OLDEST = timedelta(hours=12)
"""AWS gives out a report of up to four hours' age; one that is much older is not what it says it is."""

Place = tuple[str, str]
"""Account ID and region."""


class AccountLists:
    """The lists of the accounts that a run has entered."""

    def __init__(self, wiring: Wiring, subjects: Iterable[CredentialContext]) -> None:
        self._wiring = wiring
        self._accounts = {(account.id(), account.region or ""): account for account in wiring.list_entered_accounts()}
        self._numbers = Counter((subject.account, subject.region) for subject in subjects)
        self._found: Once[Place, Overview | None] = Once()
        self.notes: list[str] = []
        """Why credentials were read one by one although there are many."""

    def of(self, subject: CredentialContext) -> Overview | None:
        """Return what the lists of a credential's account say; None: it is to be read by itself."""
        place = subject.account, subject.region
        if self._numbers[place] < FEWEST:
            return None
        return self._found.ask(place, lambda: self._ask(place))

    def _ask(self, place: Place) -> Overview | None:
        account = self._accounts.get(place)
        if account is None:
            return None
        try:
            return self._overview(account)
        except KeyrotaError as error:
            self.notes.append(
                f"account {place[0]}: {self._numbers[place]} credentials are read one by one, because what lists of "
                f"the whole account say could not be read: {error}"
            )
            return None

    def _overview(self, account: Account) -> Overview:
        from keyrota.aws.credential_report import credential_report  # noqa: PLC0415  # botocore is imported late

        clock = self._wiring.clock
        report = credential_report(account, clock)
        if clock.now() - report.at > _OLDEST:
            raise ProviderUnavailable(f"the credential report is of {report.at:%Y-%m-%d %H:%M} UTC", where="IAM")
        states = [kept.state for kept in self._wiring.list_kept_secrets(account) if kept.state is not None]
        secrets = {state.name: state for state in states} | {state.arn: state for state in states}
        return Overview(reported_at=report.at, active=report.active, secrets=secrets)
