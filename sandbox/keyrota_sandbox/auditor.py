"""Looks at the embedded cloud's own state, not at what keyrota says, and notes every promise that is broken."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from keyrota_sandbox.cloud import Cloud
from keyrota_sandbox.pipelines import Pipeline

SLOTS = 2


@dataclass(slots=True, kw_only=True)
class Witness:
    """Watches one sandbox."""

    cloud: Cloud
    grace: timedelta
    broken: list[str] = field(default_factory=list)
    _inactive_since: dict[str, datetime] = field(default_factory=dict)
    _known: dict[str, str] = field(default_factory=dict)

    def look(self, pipelines: Iterable[Pipeline]) -> None:
        """Compare the state now with the state before."""
        now = self.cloud.clock.now()
        records = self.cloud.aws.iam.access_keys
        status = {key: record.status for key, record in records.items() if key.startswith("AKIA")}
        for pipeline in pipelines:
            held = pipeline.variables().id
            if status.get(held) != "Active":
                self.broken.append(
                    f"served-key-lives: {pipeline.name} holds {held}, which is {status.get(held, 'gone')}"
                )
            elif now - records[held].create_date.replace(tzinfo=UTC) < self.cloud.aws.propagation:
                self.broken.append(f"verified-before-served: {pipeline.name} holds {held}, which AWS refuses")
        self._check_deletions(status, now)
        self._check_slots()
        for key, word in status.items():
            if word == "Inactive":
                self._inactive_since.setdefault(key, now)
            else:
                self._inactive_since.pop(key, None)
        self._known = status

    def _check_deletions(self, status: dict[str, str], now: datetime) -> None:
        for key in self._known.keys() - status.keys():
            since = self._inactive_since.get(key)
            if since is None or now - since < self.grace - timedelta(minutes=30):
                self.broken.append(f"off-before-gone: {key} was deleted, Inactive since {since}")

    def _check_slots(self) -> None:
        for name, user in self.cloud.aws.iam.users.items():
            if len(user.access_keys) > SLOTS:
                self.broken.append(f"one-winner: {name} has {len(user.access_keys)} keys")
