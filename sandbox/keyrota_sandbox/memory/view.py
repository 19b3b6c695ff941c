"""What all views of the world share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from keyrota_sandbox.memory.world import World

T = TypeVar("T")


class View:
    """One service of the world, as one actor calls it."""

    def __init__(self, world: World, by: str = "", account: str = "") -> None:
        self._world = world
        self._by = by
        self._account = account
        """Seen from this one; empty: the world's own."""

    def _call(self, name: str, effect: Callable[[], T], about: str = "") -> T:
        return self._world.call(name, effect, by=self._by, about=about)
