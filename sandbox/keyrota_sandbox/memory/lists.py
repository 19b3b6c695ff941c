"""
What AWS shows of all users of an account at once, as old as it may be.

Source: IAM User Guide, credential reports; Secrets Manager API Reference, ListSecrets (docs/facts/aws.md).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from keyrota.core.model import OWNER_TAG, KeyStatus, SecretState, UserName
from keyrota.core.overview import Overview
from keyrota_sandbox.memory.secrets import state_of
from keyrota_sandbox.memory.sts import ACCOUNT, credential_of
from keyrota_sandbox.memory.view import View

REPORT_KEPT = timedelta(hours=4)
"""A report that is younger is given out again."""
_PAGE = 100

Report = tuple[datetime, dict[UserName, tuple[datetime, ...]]]


class WorldLists(View):
    """The credential report and ListSecrets of one account."""

    def overview(self) -> Overview:
        """Ask for both."""
        self._call("iam:GenerateCredentialReport", self._generate)
        reported_at, active = self._call("iam:GetCredentialReport", lambda: self._world.reports[self._own])
        secrets = dict[str, SecretState]()
        names = [name for name in self._world.secrets if credential_of(UserName(name)).account == self._own]
        for page in range(0, max(1, len(names)), _PAGE):
            found = self._call("secretsmanager:ListSecrets", lambda page=page: self._list(names[page : page + _PAGE]))  # type: ignore[misc]
            secrets.update(found)
        return Overview(reported_at=reported_at, active=active, secrets=secrets)

    @property
    def _own(self) -> str:
        return self._account or ACCOUNT

    def _generate(self) -> None:
        now = self._world.clock.now()
        kept = self._world.reports.get(self._own)
        if kept is None or now - kept[0] >= REPORT_KEPT:
            owners = {user: credential_of(user) for user in self._world.users}
            rows = {owner.user: self._row(user) for user, owner in owners.items() if owner.account == self._own}
            self._world.reports[self._own] = now, rows

    def _row(self, user: UserName) -> tuple[datetime, ...]:
        """Give the dates that the report has: of a key's creation, or of the last time that it was switched on."""
        keys = self._world.users[user].values()
        active = [key for key in keys if key.status is KeyStatus.ACTIVE]
        return tuple(self._world.switched.get(key.id, key.created).replace(microsecond=0) for key in active)

    def _list(self, names: list[str]) -> dict[str, SecretState]:
        found: dict[str, SecretState] = {}
        for name in names:
            stored = self._world.show_listed_secret(name)
            if stored is not None and stored.deleted_at is None and OWNER_TAG in stored.tags:
                state = state_of(name.rpartition(":")[2], stored, self._own)
                found |= {state.name: state, state.arn: state}
        return found
