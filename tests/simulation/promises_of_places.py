"""
Whose keys and which places a run touches, and into which secret a key is stored.

Promises right-credential, seen-key-lives, first-write-asks, a-place-is-an-id, emergency-first and nothing-leaks. What a
run was shown is taken from the answers that reached it; whose a key is, and which place a name means, from the world.
What changes between the last look and the call cannot be known, and is counted instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from record import Record

from keyrota.core.emergency import Revoke
from keyrota.core.model import AccessKeyId, KeyStatus, Surroundings, TargetEvidence, TargetState, UserName
from keyrota_sandbox.memory import Call
from keyrota_sandbox.simulation import RunInfo


@dataclass(slots=True)
class PlacePromises:
    """Judges what keys and places a run touches."""

    record: Record
    places: dict[tuple[str, UserName, str], int] = field(default_factory=dict)
    """Which place each name meant when keyrota wrote there last, for each user: the secret remembers it, so another
    configuration's secret, to which a user is moved, begins anew."""
    written: set[tuple[UserName, int]] = field(default_factory=set)
    """The places that keyrota has written for each user."""
    around: dict[tuple[str, str], Surroundings] = field(default_factory=dict)
    """What a run was last told of the surroundings of a place."""
    begun: set[tuple[UserName, int]] = field(default_factory=set)
    """The places into which a write was tried, arrived or not."""
    looked: dict[tuple[UserName, str], TargetState] = field(default_factory=dict)
    """What any run of a user was last told of a place."""
    looked_around: dict[tuple[UserName, str], Surroundings] = field(default_factory=dict)
    """The same, for any run of a user: one that died may have looked, and have left the write to the next one."""
    tried_off: set[tuple[str, AccessKeyId]] = field(default_factory=set)
    """Which keys each run has tried to deactivate."""

    # --- before a call ------------------------------------------------------------------------------------------------

    def attempted(self, call: Call) -> None:
        """Look at a call before anything can befall it."""
        run = self.record.history.runs[call.by]
        if call.name == "iam:UpdateAccessKey":
            self.tried_off.add((call.by, AccessKeyId(call.about.split()[0])))
        if call.name.startswith("target:write"):
            self._begins(call, run.users[0], call.name.split(" ", 2)[2])
        if call.name.startswith("target:delete"):
            self._deletes(call, *call.name.split(" ", 2)[1:])
        if call.name.startswith("target:") and isinstance(run.intent, Revoke) and run.intent.off_first:
            self._off_before_asked(call, run, run.intent.key)

    def _deletes(self, call: Call, half: str, address: str) -> None:
        """Only the half is deleted that this run has just written into an empty place, and that is alone there."""
        place = self.record.history.world.places[address]
        written = self.record.halves.get((call.by, address, place.ours), set()) if place.ours is not None else set()
        if written != {half} or place.half != half or place.by_hand:
            self.record.breaks("hands-off", f"{call.by} deletes the {half} at {address}, which it did not write alone")

    def _off_before_asked(self, call: Call, run: RunInfo, key: AccessKeyId) -> None:
        """No provider is asked while a key that is to be off at once is on."""
        found = self.record.history.world.find(key)
        is_on = found is not None and found[0] in run.users and found[1].status is KeyStatus.ACTIVE
        if is_on and (call.by, key) not in self.tried_off and key in self.record.stored_keys(run.users[0]):
            self.record.breaks("emergency-first", f"{call.by} calls {call.name} while {key} is Active")

    def hear(self, call: Call, answer: object) -> None:
        """Note what a run was told of a place, and of its surroundings."""
        if isinstance(answer, Surroundings):
            self.around[call.by, answer.address] = answer
            self.looked_around[self.record.history.runs[call.by].users[0], answer.address] = answer
        elif isinstance(answer, TargetState) and answer.evidence is not TargetEvidence.FAILED:
            self.looked[self.record.history.runs[call.by].users[0], answer.address] = answer

    # --- after a call -------------------------------------------------------------------------------------------------

    def look(self, call: Call, answer: object) -> None:
        """Judge one call."""
        if isinstance(answer, Exception):
            return
        run = self.record.history.runs[call.by]
        match call.name:
            case "iam:CreateAccessKey" if UserName(call.about) not in run.users:
                self.record.breaks("right-credential", f"{call.by} makes a key of {call.about}")
            case "iam:UpdateAccessKey" | "iam:DeleteAccessKey":
                self._touches(call, run, AccessKeyId(call.about.split()[0]))
            case "secretsmanager:PutSecretValue":
                self._stores(call, run)
            case name if name.startswith("target:delete"):
                self.record.forget_halves(call.by, name.split(" ", 2)[2])
            case name if name.startswith("target:write"):
                self._writes(call, run, name.split(" ", 2)[2])

    def _stores(self, call: Call, run: RunInfo) -> None:
        """No key is stored where another account may read it; nobody of these worlds has allowed one to."""
        stored = self.record.stored_by(run, run.users[0])
        is_key = AccessKeyId(call.about.split()[0]) in self.record.history.world.values
        if is_key and stored is not None and stored.resource_policy is not None:
            self.record.breaks("nothing-leaks", f"{call.by} stores {call.about} where another account may read it")

    def _touches(self, call: Call, run: RunInfo, key: AccessKeyId) -> None:
        owner = self.record.owners.get(key)
        if owner is not None and owner not in run.users:
            self.record.breaks("right-credential", f"{call.by} calls {call.name} for {key}, a key of {owner}")
        if key in self.record.history.runs_as.keys and not call.about.endswith(" Active"):
            self.record.breaks("right-credential", f"{call.by} ends {key} ({call.name}), with which it is running")
        if call.about.endswith(" Active"):
            return
        was = self.record.keys.get(key)
        is_ended = was is KeyStatus.ACTIVE or (was is not None and call.name == "iam:DeleteAccessKey")
        is_told = isinstance(run.intent, Revoke) and run.intent.off_first and run.intent.key == key
        where = self._shown_at(call.by, key) if is_ended and not is_told else None
        if where is not None:
            self.record.breaks("seen-key-lives", f"{call.by} ends {key} ({call.name}), which {where} shows")

    def _shown_at(self, by: str, key: AccessKeyId) -> str | None:
        """Find a place that showed a key to this run when it looked there last."""
        for (who, address), state in self.record.shown.items():
            if who == by and key in _keys_of(state):
                return address
        return next(
            (
                shown.where
                for (who, _), around in self.around.items()
                if who == by
                for shown in around.shown
                if shown.key == key
            ),
            None,
        )

    def _writes(self, call: Call, run: RunInfo, address: str) -> None:
        user, key, place = run.users[0], AccessKeyId(call.about), self.record.history.world.places[address]
        owner = self.record.owners.get(key)
        if owner is not None and owner != user:
            self.record.breaks("right-credential", f"{call.by} writes {key}, a key of {owner}, for {user}")
        before = self.places.get((run.keepings[user].secret, user, address))
        is_other = before is not None and before != place.number and address not in self.record.history.confirmed
        if is_other:
            self._another_place(call, address)
        else:
            self.places[run.keepings[user].secret, user, address] = place.number
        self.written.add((user, place.number))
        self.record.shown.pop((call.by, address), None)

    def _begins(self, call: Call, user: UserName, address: str) -> None:
        number = self.record.history.world.places[address].number
        if (user, number) not in self.written and address not in self.record.history.confirmed:
            self._first_write(call, user, address)
        self.begun.add((user, number))

    def _first_write(self, call: Call, user: UserName, address: str) -> None:
        """What is not this user's is not written over before a person has said so."""
        state = self.record.shown.get((call.by, address))
        if state is None or state.evidence is TargetEvidence.FAILED:
            state = self.looked.get((user, address))
        if state is None:
            self.record.breaks("first-write-asks", f"{call.by} writes {address} for the first time, and nobody read it")
            return
        if self.record.is_renamed_just_now(address):
            self.record.statistics["a name was given to another place on the way to the call"] += 1
            return
        keys = {state.key, *(variable.key for variable in state.variables)} - {None}
        strange = next((key for key in keys if key and self.record.owners.get(key) != user), None)
        is_half = state.evidence is TargetEvidence.ABSENT and not state.is_empty
        number = self.record.history.world.places[address].number
        if is_half and not strange and (user, number) in self.begun:
            return  # it may be the half that an earlier write has left: finished, and never asked about
        around = self.looked_around.get((user, address))
        conflicts = (*state.conflicts, *(around.conflicts if around else ()))
        if strange or is_half or conflicts:
            what = strange or ("half a pair" if is_half else conflicts[0].what)
            self.record.breaks("first-write-asks", f"{call.by} writes over {what} at {address}")

    def _another_place(self, call: Call, address: str) -> None:
        """A name that means something else than when keyrota wrote there is not written."""
        if self.record.is_renamed_just_now(address):
            self.record.statistics["a name was given to another place on the way to the call"] += 1
            return
        self.record.breaks("a-place-is-an-id", f"{call.by} writes {address}, which is another place now")


def _keys_of(state: TargetState) -> set[AccessKeyId]:
    shown = {one.key for one in state.shown}
    own = {state.key, *(variable.key for variable in state.variables)}
    return shown | {key for key in own if key is not None}
