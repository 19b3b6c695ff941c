"""Someone who works on the same account as keyrota, and picks what to work on by lot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyrota.core.model import AccessKeyId, KeyStatus, UserName
from keyrota_sandbox.simulation.setup import Place

if TYPE_CHECKING:
    from keyrota_sandbox.simulation.history import Simulation


class Colleague:
    """Has the history, its world, and its source of chance."""

    def __init__(self, history: Simulation) -> None:
        self._history = history
        self._world = history.world
        self._lots = history.rng

    def _any_place(self, user: UserName) -> Place | None:
        places = self._history.credentials[user].places
        return self._lots.choice(places) if places else None

    def _any_key(self, user: UserName, status: KeyStatus) -> AccessKeyId | None:
        keys = sorted(key.id for key in self._world.users[user].values() if key.status is status)
        return self._lots.choice(keys) if keys else None
