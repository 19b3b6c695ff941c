"""The default target: two variables that are written by their names, and whose values nobody can read back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Protocol

from keyrota.core.model import (
    AccessKeyId,
    KeyPair,
    PlaceId,
    Readiness,
    Surroundings,
    TargetEvidence,
    TargetState,
)
from keyrota.core.secret import Secret
from keyrota.core.variables import describe_variable, pair_conflicts, states_of
from keyrota.errors import Half
from keyrota.http import Response, run_concurrently
from keyrota.target_base.errors import ProviderErrors
from keyrota.target_base.target import BaseTarget

_MISSING, _GONE = 404, 204


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """What has the variables: a project, a repository."""

    id: PlaceId
    notice: str = ""
    """What a person should know of it: that it was renamed."""
    is_archived: bool = False


class Variables(Protocol):
    """The variables of one place; `about` is what errors name."""

    @property
    def says(self) -> ProviderErrors:
        """How errors speak of the provider."""
        ...

    def home(self, about: str) -> Home:
        """Identify the place; raises where it is not there."""
        ...

    def times(self, about: str) -> Mapping[str, datetime | None]:
        """List all variables with the time of their last change, None where it is not told."""
        ...

    def put(self, name: str, value: Secret, about: str) -> None:
        """Create or update one, twice without harm; raises unless the answer is the provider's own."""
        ...

    def delete(self, name: str, about: str) -> Response:
        """Delete one."""
        ...


class PairTarget(BaseTarget):
    """
    One place with two variables.

    Args:
        address: Names the place.
        names: Of the variables: that of the ID, that of the secret.
        variables: Reaches them.
        noun: What the provider calls a variable.
        unread: What else gives jobs their variables, and cannot be read.
    """

    has_separate_variables = True
    is_id_readable = False

    def __init__(
        self, address: str, names: tuple[str, str], variables: Variables, *, noun: str, unread: tuple[str, ...] = ()
    ) -> None:
        super().__init__(address)
        self._names = names
        self._variables = variables
        self._noun = noun
        self._unread = unread

    def preflight(self) -> Readiness:
        """List the variables. Honest limit: a token that may list may still not write."""
        return self.readiness(lambda: self._variables.times(self._about()))

    def read(self) -> TargetState:
        """Return whether the variables are there, and when one of them was changed last."""
        return self.read_or_failed(self._read)

    def _read(self) -> TargetState:
        home = self._variables.home(self._about())
        times = self._variables.times(self._about())
        everything = [describe_variable(name, None) for name in times]
        return replace(
            self._state({name: times[name] for name in self._names if name in times}),
            place=home.id,
            notice=home.notice,
            is_archived=home.is_archived,
            variables=states_of(self._names, everything, id_name=self._names[0]),
            conflicts=tuple(pair_conflicts(everything, *self._names, noun=self._noun)),
        )

    def _state(self, found: Mapping[str, datetime | None]) -> TargetState:
        missing = [name for name in self._names if name not in found]
        if missing:
            return self.absent_state(missing, is_empty=not found)
        changed = max((at for at in found.values() if at is not None), default=None)
        return TargetState(address=self.address, evidence=TargetEvidence.CANNOT_TELL, changed_at=changed)

    def surroundings(self) -> Surroundings:
        """Name what cannot be read."""
        return Surroundings(address=self.address, unread=self._unread)

    def write(self, credential: KeyPair) -> None:
        """Create or update both variables at once."""
        id_name, secret_name = self._names
        run_concurrently(
            partial(self._variables.put, secret_name, credential.secret, self._about(secret_name)),
            partial(self._variables.put, id_name, Secret(credential.id), self._about(id_name)),
        )

    def clear(self, keys: frozenset[AccessKeyId]) -> tuple[str, ...]:  # noqa: ARG002  # no value can be read
        """Delete both variables; whose key they hold cannot be read."""
        times = self._variables.times(self._about())
        return tuple(name for name in self._names if name in times and self._delete(name))

    def delete_half(self, half: Half) -> None:
        """Delete one variable."""
        self._delete(self._names[half is Half.SECRET])

    def _delete(self, name: str) -> bool:
        says, about = self._variables.says, self._about(name)
        answer = self._variables.delete(name, about)
        if answer.status == _MISSING:
            return False
        says.raise_for_status(answer, about)
        if answer.status != _GONE:
            what = f"{says.name}'s answer to the deletion is none of its own: whether it is gone is not known"
            raise says.make_response_error(what, about)
        return True

    def _about(self, name: str = "") -> str:
        return f"{self.address}, {self._noun} {name}" if name else f"{self.address}, its {self._noun}s"
