"""One deployment of keyrota, or two that configure the same users, each with another secret."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from keyrota.core.model import UserName
from keyrota_sandbox.memory import Call
from keyrota_sandbox.simulation.setup import Setup, SimulatedCredential


class Deployments:
    """What each configuration says, and which of them keeps a user: the user's own tag names its secret."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self.credentials: dict[UserName, SimulatedCredential] = {keeping.user: keeping for keeping in setup.credentials}
        """What the configuration says that keeps each user."""
        self.others: dict[UserName, SimulatedCredential] = {keeping.user: keeping for keeping in setup.second}
        """What another configuration says of the same users."""
        self.taken_over: dict[UserName, datetime] = {}
        """When another configuration began to keep a user."""

    def now_in(self, deployment: Sequence[SimulatedCredential]) -> dict[UserName, SimulatedCredential]:
        """Return what a deployment's configuration says by now of the users that it still names."""
        secrets = {keeping.secret for keeping in deployment}
        known = (*self.credentials.values(), *self.others.values())
        return {keeping.user: keeping for keeping in known if keeping.secret in secrets}

    def of(self, keepings: dict[UserName, SimulatedCredential]) -> Sequence[SimulatedCredential]:
        """Find the deployment whose configuration this is."""
        secrets = {keeping.secret for keeping in self._setup.second}
        is_second = any(keeping.secret in secrets for keeping in keepings.values())
        return self._setup.second if is_second else self._setup.credentials

    def secrets_of(self, user: UserName) -> set[str]:
        """Name the secrets that any configuration has for a user."""
        return {keeping.secret for keeping in (*self._setup.credentials, *self._setup.second) if keeping.user == user}

    def note_keeper(self, call: Call, now: datetime) -> None:
        """Note whose secret a user's own tag names, once a call has set it."""
        if call.name != "iam:TagUser":
            return
        user, _, mark = call.about.partition(" ")
        kept, other = self.credentials[UserName(user)], self.others.get(UserName(user))
        if other is not None and mark.rpartition(":")[2] == other.secret.rpartition(":")[2]:
            self.credentials[other.user], self.others[other.user] = other, kept
            self.taken_over[other.user] = now
