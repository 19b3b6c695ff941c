"""Whether one of many repositories has a run in progress: asked one after the other, within bounds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice

from keyrota.errors import NotThere
from keyrota.http.budget import Budget, Limit
from keyrota.ports import Clock

_AN_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much is asked."""

    most: int
    """So many repositories at one look; where more see the variable, the look cannot be finished."""
    an_hour: int
    """So many repositories in any hour, all looks with one token together: what is left of the limit is for writes."""


class ManyRepositories:
    """
    Looks whether any of the repositories that see one variable is busy; all targets of one token share it.

    The one that was found busy is asked first the next time, alone: waiting for a long run costs no walk.
    """

    def __init__(self, clock: Clock, bounds: Bounds, name: str) -> None:
        """`name` is what the repositories are called: `repositories of the workspace`."""
        limit = Limit(calls=bounds.an_hour, seconds=_AN_HOUR_S)
        self._share = Budget(clock, [limit], bound=timedelta(), name=f"the share of calls for looking at {name}")
        self._most, self._name = bounds.most, name
        self._busy: dict[str, str] = {}
        self._too_many: set[str] = set()

    def is_busy(self, whose: str, listed: Callable[[], Iterable[str]], ask: Callable[[str], bool]) -> bool | None:
        """
        Look.

        Args:
            whose: The workspace, organization or group.
            listed: Lists the repositories, what was active last in front, so that a busy one is found early.
            ask: Tells whether one of them is busy.

        Returns:
            None: more see it than are asked, so that nobody can say that all are at rest.

        Raises:
            KeyrotaError: One of them could not be asked, or the share of the hour is used up.
        """
        known = self._busy.pop(whose, None)
        if known is not None and self._ask(whose, known, ask):
            return True
        # One more than may be asked: so that "too many" is certain without reading the whole list.
        names = tuple(islice(listed(), self._most + 1))
        if len(names) > self._most:
            self._too_many.add(whose)
            return None
        self._too_many.discard(whose)
        return any(self._ask(whose, name, ask) for name in names)

    def _ask(self, whose: str, name: str, ask: Callable[[str], bool]) -> bool:
        self._share.take(f"{name}, for `wait_for_idle`")
        is_busy = ask(name)
        if is_busy:
            self._busy[whose] = name
        return is_busy

    def may_ask(self, listed: Callable[[], Iterable[str]], ask: Callable[[str], bool]) -> None:
        """
        Ask the first one alone: whether the token may look at all.

        Raises:
            KeyrotaError: It may not. One that is listed and answers 404 has no runs to show; that forbids no write.
        """
        for name in islice(listed(), 1):
            try:
                ask(name)
            except NotThere:
                return

    def notice(self, whose: str) -> str:
        """Return the notice that asking cannot help, once that was found; otherwise an empty text."""
        if whose not in self._too_many:
            return ""
        return f"`wait_for_idle` waits its whole time: over {self._most} {self._name} see the variable, too many to ask"
