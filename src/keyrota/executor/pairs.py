"""
Writing pairs so that each one that was begun becomes whole (promise whole-pair): the one way for every provider.

A provider writes both halves at once and reports which of them it wrote (`TornPair`). What is torn then is finished,
long after the patience of a single call; where that does not help, the old pair is put back, from the older version
of the secret, never from the provider. What stays torn is remembered in the secret's tag `keyrota:pairs`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from keyrota.core.lifecycle import KeyRing, KeyState, key_label
from keyrota.core.model import AccessKeyId, KeyPair, PairDoubt, PlaceId, TargetEvidence, TargetState
from keyrota.errors import Half, KeyrotaError, LeftByLimit, ProviderRefused, ProviderUnavailable, TornPair
from keyrota.executor.subject import Settings
from keyrota.http import current_waiting
from keyrota.ports import Target

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 5.0, 60.0
_WRITTEN_JUST_NOW = timedelta(seconds=10)
_ON_STOP_S = 1.0
"""The longest pause once the process was told to stop: whoever asked may lose patience and kill it."""


@dataclass(slots=True)
class Torn:
    """A place that is not whole: which halves hold the new key's, for certain or perhaps."""

    credential: KeyPair
    written: set[Half] = field(default_factory=set)
    unsure: set[Half] = field(default_factory=set)
    written_at: datetime | None = None
    """When the last attempt ended that wrote all of `written`."""

    def note(self, error: TornPair, now: datetime) -> None:
        """Add what one more attempt to write the new pair came to."""
        self.written |= error.written
        self.written_at = now if error.written == self.written else None
        # What an earlier attempt left unsure is settled by a later one that wrote it for certain, and by nothing else.
        self.unsure = (self.unsure | error.unsure) - self.written

    def note_back(self, error: TornPair) -> None:
        """Add what an attempt to write the old pair came to."""
        self.written -= error.written | error.unsure
        self.unsure = (self.unsure - error.written) | error.unsure

    @property
    def doubt(self) -> PairDoubt:
        """Put it into the word of the tag `keyrota:pairs`."""
        if self.unsure:
            return PairDoubt.UNSURE
        return PairDoubt.ID_IS_NEW if Half.ID in self.written else PairDoubt.SECRET_IS_NEW

    def half_of_ours(self, now: datetime) -> Half | None:
        """Return the one half that holds the new key's for certain, where the service has just confirmed that."""
        is_young = self.written_at is not None and now < self.written_at + _WRITTEN_JUST_NOW
        # After some seconds someone else may have put their own value there under the same name; deleting it would
        # break promise hands-off.
        return next(iter(self.written)) if is_young and len(self.written) == 1 and not self.unsure else None

    @property
    def is_whole(self) -> bool:
        """Whether nothing of the new key is left there."""
        return not self.written and not self.unsure


@dataclass(slots=True, kw_only=True)
class Pairs:
    """The pairs of one credential in one run of `sync`."""

    settings: Settings
    seen: KeyRing
    """As it was before the first write."""
    read: Callable[[AccessKeyId], KeyPair | None]
    """Reads the pair of an older key from the secret; None where that cannot be."""
    torn: dict[str, Torn] = field(default_factory=dict)
    """By address: what could be neither finished nor put back."""
    put_back: set[str] = field(default_factory=set)
    """Addresses of places that hold again what they held before."""

    def write(self, target: Target, credential: KeyPair) -> None:
        """
        Write a pair, and make it whole whatever happens.

        Raises:
            Stopped, LeftByLimit: It was not begun: the process was told to stop, or its time is nearly over.
            TornPair: Neither could it be finished, nor could the old pair be put back.
            KeyrotaError: It was not written; the place holds what it held before.
        """
        _demand_time(self.settings, target)
        _demand_answers(target)
        with self.settings.stop.whole():
            try:
                target.write(credential)
            except TornPair as error:
                is_same = self._find_former_key(target) == credential.id and self.seen.doubt_of(target.address) is None
                if not is_same:  # the same key once more tears nothing
                    self._make_whole(target, credential, error)
                    return
                raise ProviderUnavailable(
                    error.what, where=error.where, remedy=error.remedy, retry_after_s=error.retry_after_s
                ) from None

    def _make_whole(self, target: Target, credential: KeyPair, error: TornPair) -> None:
        torn = Torn(credential)
        torn.note(error, self.settings.clock.now())
        last: KeyrotaError = error
        pauses = self._pauses(error)
        for number, pause in enumerate(pauses):
            is_hopeless = pauses.is_last or (isinstance(last, TornPair) and last.is_refused)
            is_pressed = self.settings.stop.is_asked and number > 0
            if (is_hopeless or is_pressed) and self._put_back(target, torn):
                raise self._was_put_back(target, last)
            self.settings.clock.sleep(pause)
            try:
                self._demand_name(target)
                target.write(credential)
            except AnotherPlace as other:
                last = other
                break
            except TornPair as again:
                torn.note(again, self.settings.clock.now())
                last = again
            except KeyrotaError as again:
                last = again
            else:
                return
        if not isinstance(last, AnotherPlace) and self._put_back(target, torn):
            raise self._was_put_back(target, last)
        self.torn[target.address] = torn
        raise self._explain_torn(target, torn, last)

    def _pauses(self, error: TornPair) -> _Pauses:
        until = self.settings.clock.now() + self.settings.pair_patience
        if self.settings.until is not None:
            # Half of what was spared for the attempts, the other half for putting the old pair back and for noting how
            # it ended.
            until = min(until, self.settings.until - self.settings.pair_spare / 2)
        return _Pauses(self.settings, until, asked_s=error.retry_after_s)

    def _put_back(self, target: Target, torn: Torn) -> bool:
        """Write the old pair again, or delete our half where nothing was; returns whether the place is whole then."""
        # The new half is newer, but the old pair is whole: pipelines work with it as long as its key is Active, and the
        # overlap has not begun.
        old = self._old_pair(target, torn.credential)
        is_back = self._write_old(target, torn, old) if old is not None else self._delete_half(target, torn)
        if is_back:
            self.put_back.add(target.address)
        return is_back

    def _delete_half(self, target: Target, torn: Torn) -> bool:
        """
        Delete the half that was written into an empty place; returns whether the place is empty again.

        Only what is ours beyond doubt: nothing was there before, the service has confirmed this half within the last
        seconds, and the place shows it alone, with no other key. Anything else stays, and is reported as half a pair.
        """
        state, half = self._state(target), torn.half_of_ours(self.settings.clock.now())
        if state is None or not state.is_empty or half is None:
            return False
        try:
            self._demand_name(target)
            if not _shows_only(target.read(), half, torn.credential):
                return False
            target.delete_half(half)
            return target.read().is_empty
        except KeyrotaError:
            return False

    def _write_old(self, target: Target, torn: Torn, old: KeyPair) -> bool:
        try:
            self._demand_name(target)
            target.write(old)
        except TornPair as error:
            torn.note_back(error)
            is_back = torn.is_whole
        except KeyrotaError:
            is_back = False
        else:
            is_back = True
        return is_back

    def _demand_name(self, target: Target) -> None:
        """
        Write no half into what has the place's name by now: an attempt may come minutes after the first.

        Raises:
            AnotherPlace: The name was given to something else; the half pair is where the first attempt went.
            ProviderUnavailable: The provider does not answer, so that a write would not arrive either.
        """
        state = self._state(target)
        if state is None or state.place is None:
            return
        try:
            found = target.place_now()
        except ProviderRefused:
            return  # who may not ask may still write, and half a pair is worse
        if found is not None and found != state.place:
            remedy = "write the new name of the first one into the configuration, and run it at once"
            raise another_place(target, state.place.id, found, remedy)

    def _old_pair(self, target: Target, new: KeyPair) -> KeyPair | None:
        """Find what the place held before, if its key still works and the secret has it."""
        key_id = self._find_former_key(target)
        key = self.seen.key(key_id) if key_id and key_id != new.id else None
        # A revoked key would make the place whole for whoever found it, and for pipelines only until it is deactivated.
        if key is None or self.seen.is_revoked(key.id):
            return None
        is_working = self.seen.state_of(key) in {KeyState.SUPERSEDED, KeyState.CURRENT, KeyState.PENDING}
        return self.read(key.id) if is_working else None

    def _find_former_key(self, target: Target) -> AccessKeyId | None:
        """Find the key that the place held: as it shows it, or as the record of the last sync says."""
        state = self._state(target)
        if state is not None and state.evidence is TargetEvidence.HOLDS:
            return state.key
        return self._find_recorded_key(state)

    def _state(self, target: Target) -> TargetState | None:
        """Find what was read of the place before the first write."""
        states = (*self.seen.observation.targets, *self.seen.observation.left_behind)
        return next((state for state in states if state.address == target.address), None)

    def _find_recorded_key(self, state: TargetState | None) -> AccessKeyId | None:
        record = self.seen.synced
        # Where a place was read as absent or holding something else, the record of the last sync is out of date.
        is_there = state is None or state.evidence is TargetEvidence.CANNOT_TELL
        if record is None or not is_there:
            return None
        version = next((version for version in self.seen.versions if version.id == record.version), None)
        return key_label(version) if version else None

    def _was_put_back(self, target: Target, last: KeyrotaError) -> ProviderUnavailable:
        state = self._state(target)
        is_empty = state is not None and state.is_empty
        back = "its first half was deleted again: nothing was there before" if is_empty else "the old one was put back"
        return ProviderUnavailable(
            f"the new pair could not be finished, and {back}: {last.what}",
            where=last.where or target.address,
            remedy=last.remedy or "the next run writes the new pair",
        )

    def _explain_torn(self, target: Target, torn: Torn, last: KeyrotaError) -> TornPair:
        halves = describe_halves(torn.written, torn.unsure, new=torn.credential.id, old=self._find_former_key(target))
        cause = ProviderUnavailable(
            f"pipelines fail at {target.address} now: {halves} ({last.what})",
            where=last.where or target.address,
            remedy="the next run writes this place first; " + (last.remedy or "run it as soon as the provider answers"),
        )
        return TornPair(cause, written=frozenset(torn.written), unsure=frozenset(torn.unsure))


def _shows_only(state: TargetState, half: Half, credential: KeyPair) -> bool:
    """Return whether a place holds one half of a pair, and no key but ours."""
    present = [variable for variable in state.variables if variable.is_present and not variable.is_marker]
    if state.evidence is not TargetEvidence.ABSENT or state.is_empty or len(present) != 1:
        return False
    (shown,) = present
    return shown.key == credential.id if half is Half.ID and shown.is_readable else shown.key in {None, credential.id}


class AnotherPlace(ProviderRefused):
    """What has the place's name by now is not what was read or written under it (promise a-place-is-an-id)."""


def another_place(target: Target, was: str, found: PlaceId, remedy: str) -> AnotherPlace:
    """Say which place a name meant, by its ID, and which one it means now."""
    what = f"{target.address} means another place now: that was {was}, and this is {found.id}"
    return AnotherPlace(what, where=target.address, remedy=remedy)


class _Pauses:
    """The pauses between attempts; one that would outlast the time for a pair ends with it, and is the last."""

    def __init__(self, settings: Settings, until: datetime, *, asked_s: float | None) -> None:
        self._settings, self._until = settings, until
        self._next_s = asked_s or _FIRST_PAUSE_S
        self.is_last = False

    def __iter__(self) -> _Pauses:
        return self

    def __next__(self) -> float:
        pause = self._next_s
        if self._settings.stop.is_asked:
            pause = min(pause, _ON_STOP_S)
        left_s = (self._until - self._settings.clock.now()) / timedelta(seconds=1)
        if self.is_last or left_s <= 0:
            raise StopIteration
        self.is_last = pause > left_s
        pause = min(pause, left_s)
        self._next_s = min(2 * max(pause, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
        return pause


def describe_halves(written: set[Half], unsure: set[Half], *, new: AccessKeyId | None, old: AccessKeyId | None) -> str:
    """Say in words of which key each half is."""
    keys = {half: str(new) if half in written else str(old or "another key") for half in Half}
    for half in unsure:
        keys[half] = f"{new} or {old or 'another key'}"
    return f"half a pair: its ID is that of {keys[Half.ID]}, its secret that of {keys[Half.SECRET]}"


def _demand_answers(target: Target) -> None:
    """
    Begin no pair at a place whose service has used up what this credential waits for it: a pair is never cut.

    Only a read tells which service that was; one that is not asked any more refuses it at once.
    """
    account = current_waiting()
    if account is None or not account.is_used_up:
        return
    state = target.read()
    if state.evidence is TargetEvidence.FAILED:
        raise ProviderUnavailable(
            state.detail or f"{target.address} does not answer", where=target.address, is_undone=True
        )


def _demand_time(settings: Settings, target: Target) -> None:
    """Begin no pair that the end of this run's time could cut in half."""
    if settings.until is None or not target.has_separate_variables:
        return
    if settings.clock.now() > settings.until - settings.pair_spare:
        raise LeftByLimit(
            f"the time of this run ends at {settings.until:%Y-%m-%d %H:%M:%S} UTC, too soon to begin a pair",
            where=target.address,
            retry_at=settings.until,
        )
