"""What targets share where a provider's runs are not looked at, and nothing is searched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

from keyrota.core.model import (
    CarriedRuns,
    PlaceId,
    Readiness,
    RunsEvidence,
    Surroundings,
    TargetEvidence,
    TargetState,
)
from keyrota.errors import Half, KeyrotaError, NotThere, ProviderRefused

C = TypeVar("C")
P = TypeVar("P", bound="Place")


class BaseTarget:
    """A place whose runs are not looked at: the part of the port Target that follows from it."""

    def __init__(self, address: str) -> None:
        self._address = address

    @property
    def address(self) -> str:
        """Provider and scope in words."""
        return self._address

    @property
    def wait_for_idle(self) -> timedelta:
        """Zero: whose run uses the place is not known here."""
        return timedelta()

    def read(self) -> TargetState:
        """Return what is there; each place has its own."""
        raise NotImplementedError

    def place_now(self) -> PlaceId | None:
        """Read the place again; None where that fails."""
        return self.read().place

    def is_busy(self) -> bool | None:
        """Return False: a write never waits here."""
        return False

    def runs_with_old_key(self, before: datetime) -> CarriedRuns:  # noqa: ARG002  # the port's signature
        """Return none: the overlap covers what runs, and the key's last use tells the rest."""
        return CarriedRuns(address=self.address, evidence=RunsEvidence.NONE)

    def surroundings(self) -> Surroundings:
        """Return nothing beyond what `read` shows."""
        return Surroundings(address=self.address)

    def delete_half(self, half: Half) -> None:
        """Refuse: where both halves are written at once, none is ever alone."""
        raise ProviderRefused(f"the {half} cannot be deleted alone here", where=self.address)

    def readiness(self, look: Callable[[], object]) -> Readiness:
        """Answer preflight by looking; a refusal is a value."""
        try:
            look()
        except KeyrotaError as error:
            return Readiness(address=self.address, is_ready=False, detail=error.what, remedy=error.remedy)
        return Readiness(address=self.address, is_ready=True)

    def read_or_failed(self, look: Callable[[], TargetState]) -> TargetState:
        """Answer a read by looking; a refusal is the value FAILED."""
        try:
            return look()
        except KeyrotaError as error:
            return TargetState(
                address=self.address,
                evidence=TargetEvidence.FAILED,
                detail=error.what,
                remedy=error.remedy,
                is_gone=isinstance(error, NotThere) and self.is_known_gone(),
            )

    def is_known_gone(self) -> bool:
        """
        Return whether a place that is not found is deleted; asked only then.

        Most services answer 404 also to what was renamed, and to what the token may not see: that is no proof.
        """
        return False

    def absent_state(self, names: Sequence[str], *, is_empty: bool) -> TargetState:
        """Return which variables are missing."""
        return TargetState(
            address=self.address, evidence=TargetEvidence.ABSENT, detail=" and ".join(names), is_empty=is_empty
        )


class Place(Protocol):
    """Where the variables of a target are."""

    @property
    def address(self) -> str:
        """The place in words, unique in a configuration."""
        ...

    @property
    def bundle(self) -> str | None:
        """The name of the variable that holds the whole pair; None where the pair is two variables."""
        ...

    @property
    def wait_for_idle(self) -> timedelta:
        """How long a write waits for runs in progress."""
        ...


class PlaceTarget(BaseTarget, Generic[C, P]):
    """
    A place whose runs can be looked at, and whose pair may be bundled.

    Args:
        connection: Reaches the provider.
        where: The place.
    """

    def __init__(self, connection: C, where: P) -> None:
        super().__init__(where.address)
        self._connection, self._place = connection, where

    @property
    def has_separate_variables(self) -> bool:
        """Two variables, unless the pair is bundled: none of these providers writes two at once."""
        return self._place.bundle is None

    @property
    def wait_for_idle(self) -> timedelta:
        """How long a write waits for runs in progress."""
        return self._place.wait_for_idle
