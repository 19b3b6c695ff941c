"""A CI provider's variables as the world has them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from keyrota.core.model import (
    CarriedRuns,
    KeyPair,
    PlaceId,
    Readiness,
    RunsEvidence,
    ShownKey,
    Surroundings,
    TargetEvidence,
    TargetState,
)
from keyrota.core.variables import Listed, bundle_conflicts, describe_variable, find_shown, pair_conflicts, states_of
from keyrota.errors import Half, KeyrotaError, NotThere, ProviderRefused, ProviderUnavailable, TornPair
from keyrota.http.ahead import ahead_of
from keyrota.ports import Clock
from keyrota_sandbox.memory.view import View

if TYPE_CHECKING:
    from keyrota.core.model import AccessKeyId
    from keyrota_sandbox.memory.contents import Variables
    from keyrota_sandbox.memory.world import World


_BUNDLE = "AWS_SHARED_CREDENTIALS_FILE"
_NAMES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def _is_open(error: KeyrotaError) -> bool:
    """Return whether what failed may have been done all the same."""
    return isinstance(error, ProviderUnavailable) and not error.is_undone


class WorldTarget(View):
    """A place at a CI provider, behind the port Target. A pair is two writes, unless it is bundled."""

    def __init__(self, world: World, address: str, by: str = "", clock: Clock | None = None) -> None:
        super().__init__(world, by)
        self._address = address
        self._clock = clock or world.clock
        """Of the machine that asks; what the provider tells is by its own."""
        self._sent: datetime | None = None
        """When the provider says that it answered last."""
        self._ahead = timedelta()

    @property
    def address(self) -> str:
        """Where it is."""
        return self._address

    @property
    def has_separate_variables(self) -> bool:
        """Two variables."""
        return not self._place.is_bundle

    @property
    def is_id_readable(self) -> bool:
        """Whether the ID can be read back."""
        return self._place.is_id_readable

    @property
    def _place(self) -> Variables:
        return self._world.places[self._address]

    def _answer(self) -> Variables:
        """
        Give what is there.

        Raises:
            ProviderUnavailable, ProviderRefused: It is down in one way or another.
        """
        if self._place.is_down:
            raise self._place.outage.error(self._address)
        if self._place.is_gone:
            raise NotThere(f"{self._address} is not there", where=self._address)
        return self._place

    def preflight(self) -> Readiness:
        """Return whether it would take a write."""

        def effect() -> Readiness:
            self._answer()
            is_ready = self._place.is_ready and not self._place.is_archived
            detail = "" if is_ready else "it would not take the write"
            return Readiness(address=self._address, is_ready=is_ready, detail=detail)

        try:
            return self._call(f"target:preflight {self._address}", effect)
        except KeyrotaError as error:
            return Readiness(address=self._address, is_ready=False, detail=error.what)

    def place_now(self) -> PlaceId | None:
        """Say which place has this name now."""
        return PlaceId(kind="world", origin=self._place.origin, id=f"place {self._place.number}")

    def read(self) -> TargetState:
        """Return what is there."""

        def effect() -> TargetState:
            place = self._answer()
            is_passed_over = self._world.lags is not None and self._world.lags.is_passed_over()
            names = (_BUNDLE,) if place.is_bundle else _NAMES
            listed = self._list(place, is_empty=place.pair is None or is_passed_over)
            state = TargetState(
                address=self._address,
                evidence=TargetEvidence.HOLDS if place.is_id_readable else TargetEvidence.CANNOT_TELL,
                key=place.pair.id if place.is_id_readable and place.pair else None,
                changed_at=self._stamp(place),
                carried_for=place.carried_for,
                shown=(*self._list_beside(place), *find_shown(listed, self._address, beside=names)),
                place=self.place_now(),
                variables=states_of(names, listed, id_name=names[0]),
                conflicts=tuple(
                    bundle_conflicts(listed, _BUNDLE) if place.is_bundle else pair_conflicts(listed, *_NAMES)
                ),
                is_archived=place.is_archived,
            )
            missing = [name for name in names if name not in {variable.name for variable in listed}]
            if not missing:
                return state
            return replace(
                state,
                evidence=TargetEvidence.ABSENT,
                key=None,
                detail=json.dumps(missing),
                is_empty=len(missing) == len(names),
                changed_at=None,
                carried_for=timedelta(),
            )

        asked = self._clock.now()
        try:
            state = self._call(f"target:read {self._address}", effect)
        except KeyrotaError as error:
            return TargetState(
                address=self._address,
                evidence=TargetEvidence.FAILED,
                detail=error.what,
                is_gone=isinstance(error, NotThere),
            )
        if self._sent is not None:
            self._ahead = ahead_of(self._sent, asked, self._clock.now())
        return replace(state, changed_at=state.changed_at - self._ahead) if state.changed_at else state

    def _stamp(self, place: Variables) -> datetime | None:
        """Return when the variables were changed, by the provider's clock, in whole seconds."""
        self._sent = (self._world.clock.now() + place.clock_ahead).replace(microsecond=0)
        is_told = place.is_change_told and place.changed_at is not None
        return (place.changed_at + place.was_ahead).replace(microsecond=0) if is_told and place.changed_at else None

    def _list(self, place: Variables, *, is_empty: bool) -> tuple[Listed, ...]:
        """List the variables of a place as its provider shows them."""
        found = [describe_variable(name, value) for name, value in sorted(place.others.items())]
        if is_empty or place.pair is None:
            return tuple(found)
        if place.is_bundle:
            return (describe_variable(_BUNDLE, place.pair.id if place.is_id_readable else None), *found)
        shown = place.pair.id if place.is_id_readable else None
        pair = {"id": describe_variable(_NAMES[0], shown), "secret": describe_variable(_NAMES[1], None)}
        return (*(pair[half] for half in pair if place.half in {"", half}), *found)

    def _list_beside(self, place: Variables) -> tuple[ShownKey, ...]:
        return tuple(
            ShownKey(key=key, where=f"variable {name} of {self._address}") for name, key in sorted(place.beside.items())
        )

    def write(self, credential: KeyPair) -> None:
        """Write both halves, whatever becomes of the first; the secret comes first, or the ID."""
        if self._place.is_bundle:
            self._part("pair", credential)
            return
        refused: dict[Half, KeyrotaError] = {}
        for half in (Half.ID, Half.SECRET) if self._world.is_id_first else (Half.SECRET, Half.ID):
            try:
                self._part(half.value.lower(), credential)
            except KeyrotaError as error:
                refused[half] = error
        if not refused:
            return
        written = frozenset(Half) - refused.keys()
        unsure = frozenset(half for half, error in refused.items() if _is_open(error))
        first = next(iter(refused.values()))
        raise TornPair(first, written=written, unsure=unsure) if written or unsure else first

    def _part(self, part: str, credential: KeyPair) -> None:
        def effect() -> None:
            place, now = self._answer(), self._world.clock.now()
            if place.is_archived:
                raise ProviderRefused(f"{self._address} is archived (403)", where=self._address)
            if place.pair is None and not place.is_bundle:
                place.half = part
            elif place.half != part:
                place.half = ""
            old = place.pair or credential
            match part:
                case "id":
                    place.pair = KeyPair(id=credential.id, secret=old.secret)
                case "secret":
                    place.pair = KeyPair(id=old.id, secret=credential.secret)
                case _:
                    place.pair = credential
            place.ours, place.by_hand = credential.id, False
            is_torn = bool(place.half) or self._world.values.get(place.pair.id) != place.pair.secret
            place.torn_since = (place.torn_since or now) if is_torn else None
            place.changed_at, place.was_ahead = now, place.clock_ahead
            place.writes += 1

        self._call(f"target:write {part} {self._address}", effect, credential.id)

    def delete_half(self, half: Half) -> None:
        """Delete one variable."""

        def effect() -> None:
            place, part = self._answer(), half.value.lower()
            if place.half == part:
                place.pair, place.ours, place.half, place.torn_since = None, None, "", None
            elif place.pair is not None:
                place.half = "secret" if half is Half.ID else "id"

        self._call(f"target:delete {half.value.lower()} {self._address}", effect)

    @property
    def wait_for_idle(self) -> timedelta:
        """How long a write waits for runs."""
        return self._place.wait_for_idle

    def is_busy(self) -> bool | None:
        """Return whether a run is in progress."""
        try:
            return self._call(
                f"target:busy {self._address}", lambda: self._world.clock.now() < self._answer().busy_until
            )
        except KeyrotaError:
            return None

    def runs_with_old_key(self, before: datetime) -> CarriedRuns:
        """Return whether runs that were queued before an instant are under way."""

        def effect() -> CarriedRuns:
            waiting = [queued for queued in self._answer().queued if queued < before + self._ahead]
            evidence = RunsEvidence.SOME if waiting else RunsEvidence.NONE
            return CarriedRuns(address=self._address, evidence=evidence, detail=f"{len(waiting)} runs")

        try:
            return self._call(f"target:runs {self._address}", effect)
        except KeyrotaError as error:
            return CarriedRuns(address=self._address, evidence=RunsEvidence.UNKNOWN, detail=error.what)

    def surroundings(self) -> Surroundings:
        """Return what other scopes of the same project show."""

        def effect() -> Surroundings:
            place = self._answer()
            shown = tuple(ShownKey(key=key, where=where) for where, key in sorted(place.around.items()))
            return Surroundings(
                address=self._address, shown=shown, unread=place.unread, conflicts=place.conflicts_around
            )

        try:
            return self._call(f"target:surroundings {self._address}", effect)
        except KeyrotaError as error:
            return Surroundings(address=self._address, unread=(f"{self._address}: {error.what}",))

    def clear(self, keys: frozenset[AccessKeyId]) -> tuple[str, ...]:
        """Delete the pair, if it is one of these."""

        def effect() -> tuple[str, ...]:
            place = self._answer()
            if place.pair is not None and place.is_id_readable and place.pair.id not in keys:
                raise ProviderRefused(f"{self._address} holds a key of somebody else's", where=self._address)
            place.pair = None
            return ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID")

        return self._call(f"target:clear {self._address}", effect)


def open_target(world: World, address: str, by: str = "", clock: Clock | None = None) -> WorldTarget:
    """Name a place at a CI provider, as a machine with this clock asks it; it is empty when it is new."""
    if address not in world.places:
        world.place_at(address)
    return WorldTarget(world, address, by, clock)
