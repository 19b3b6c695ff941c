"""
What people do where keyrota does not look by itself, or not first: other variables, names, archives, controllers, tags.

Each action ends by itself after some days, or when everybody cleans up: what is left then is keyrota's.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from keyrota.core.model import AWSCURRENT, AccessKeyId, KeyPair, KeyStatus, UserName
from keyrota_sandbox.memory import MAX_TAGS, SLOTS, Call, Variables
from keyrota_sandbox.simulation.colleague import Colleague
from keyrota_sandbox.simulation.jobs import NOBODYS
from keyrota_sandbox.simulation.setup import Place

if TYPE_CHECKING:
    from keyrota_sandbox.simulation.history import Simulation

_SOON_S, _LATE_S = 600.0, 5 * 86400.0
_A_TAG = "team-"
_CLOCK_OFF_MIN = 15.0
_SPARE = 3
"""So many tags of the quota are left at most: keyrota needs several."""


class Elsewhere(Colleague):
    """Colleagues who work beside keyrota."""

    def __init__(self, history: Simulation) -> None:
        super().__init__(history)
        self._numbers = 0
        self._undo: list[Callable[[], None]] = []
        self._reverted: dict[str, KeyPair] = {}
        self._given: set[str] = set()
        """Names that mean another place for some time."""

    def actions(self) -> tuple[Callable[[UserName], bool], ...]:
        """Name what they do."""
        return (
            self._shows_a_key_elsewhere,
            self._adds_a_place_of_others,
            self._rotates_by_hand,
            self._renames_a_place,
            self._gives_a_name_to_another_place,
            self._archives_a_place,
            self._runs_a_controller,
            self._sets_the_clock_of_a_provider,
            self.changes_another_field,
            self._tags_the_secret,
        )

    def clean_up(self) -> None:
        """End whatever is still under way."""
        for end in self._undo[::-1]:
            end()

    def _for_some_time(self, end: Callable[[], object]) -> None:
        """End it after a while, once."""

        def once() -> None:
            if once in self._undo:
                self._undo.remove(once)
                end()

        self._undo.append(once)
        self._history.timeline.after(self._lots.uniform(_SOON_S, _LATE_S), once)

    # --- variables ------------------------------------------------------------------------------------------------

    def _shows_a_key_elsewhere(self, user: UserName) -> bool:
        """Copy a key's ID to another variable of a place, or to another scope of the same project."""
        place = self._any_place(user)
        key = self._any_key(user, KeyStatus.ACTIVE)
        if place is None or key is None:
            return False
        held = self._world.places[place.address]
        self._numbers += 1
        name = f"DEPLOY_{self._numbers}_KEY_ID"
        shown = held.beside if self._lots.random() < 0.5 else held.around  # noqa: PLR2004  # either
        shown[name] = key
        self._for_some_time(lambda: shown.pop(name, None))
        return True

    def _runs_a_controller(self, user: UserName) -> bool:
        """Let something write back, within a second, what was there before each write of keyrota's."""
        place = self._any_place(user)
        pair = self._world.places[place.address].pair if place else None
        if place is None or pair is None or place.address in self._reverted:
            return False
        address = place.address
        self._reverted[address] = pair
        self._for_some_time(lambda: self._reverted.pop(address, None))
        return True

    def sees(self, call: Call, answer: object) -> None:
        """Let controllers notice a write; a place that was archived is up to date again."""
        if not call.name.startswith("target:write") or isinstance(answer, Exception):
            return
        address = call.name.split(" ", 2)[2]
        self._history.awakened.discard(address)
        pair = self._reverted.get(address)
        if pair is not None:
            self._history.timeline.after(self._lots.expovariate(1), lambda: self._put_back(address, pair))

    def _put_back(self, address: str, pair: KeyPair) -> None:
        if self._reverted.get(address) == pair:
            self._world.person_sets(address, pair)

    def _sets_the_clock_of_a_provider(self, user: UserName) -> bool:
        """Set it right, or wrong by minutes; the times of what was changed before stay as they are."""
        place = self._any_place(user)
        if place is None:
            return False
        minutes = self._lots.choice((0, 0, self._lots.uniform(-_CLOCK_OFF_MIN, _CLOCK_OFF_MIN)))
        self._world.places[place.address].clock_ahead = timedelta(minutes=minutes)
        return True

    # --- places ---------------------------------------------------------------------------------------------------

    def _renames_a_place(self, user: UserName) -> bool:
        """Give a place another name, in the configuration too; the old name leads to it."""
        place = self._any_place(user)
        if place is None or place.address in self._given:
            return False
        self._numbers += 1
        new = f"{place.address.split('+')[0]}+{self._numbers}"
        self._world.person_renames(place.address, new)
        self._history.rename(user, place.address, new)
        return True

    def _gives_a_name_to_another_place(self, user: UserName) -> bool:
        """Rename a place, and make an empty one under its old name, which is what the configuration says."""
        place = self._any_place(user)
        if place is None or place.address in self._given:
            return False
        address, before = place.address, self._world.places[place.address]
        self._given.add(address)
        made = self._world.place_at(address)
        made.is_bundle, made.is_id_readable = before.is_bundle, before.is_id_readable
        made.is_change_told, made.clock_ahead = before.is_change_told, before.clock_ahead
        self._note_named(address)

        def back() -> None:
            self._given.discard(address)
            if self._world.places.get(address) is made:
                self._world.places[address] = before
                self._note_named(address)

        self._for_some_time(back)
        return True

    def _note_named(self, address: str) -> None:
        self._history.named_since[address] = self._world.clock.instant

    def _archives_a_place(self, user: UserName) -> bool:
        place = self._any_place(user)
        if place is None:
            return False
        held: Variables = self._world.places[place.address]
        held.is_archived = True

        def back() -> None:
            held.is_archived = False
            self._history.awakened.add(place.address)

        self._for_some_time(back)
        return True

    def _adds_a_place_of_others(self, user: UserName) -> bool:
        """Put a place into the configuration that is empty, or shows what is not this user's whole pair."""
        self._numbers += 1
        place = Place(address=f"gitlab acme/others-{self._numbers}", deployments_a_day=1)
        self._history.add_place(place, None)
        made, key = self._world.places[place.address], self._key_in_use(user)
        match self._lots.choice(("empty", "a stranger's", "half", "under other names")):
            case "a stranger's":
                made.pair = KeyPair(id=AccessKeyId(f"AKIASTRANGER{self._numbers:08d}"), secret=NOBODYS)
            case "half" if key:
                made.pair, made.half = KeyPair(id=key, secret=self._world.values[key]), "id"
            case "under other names" if key:
                made.others = {"DEPLOY_KEY_ID": key, "DEPLOY_SECRET_KEY": "x"}
                self._for_some_time(made.others.clear)
        made.by_hand = True
        self._history.configure(user, place)
        return True

    def _key_in_use(self, user: UserName) -> AccessKeyId | None:
        """Find the key that the first place holds, if it is one of this user's."""
        place = next(iter(self._history.credentials[user].places), None)
        pair = self._world.places[place.address].pair if place else None
        return pair.id if pair is not None and pair.id in self._world.users[user] else None

    def _rotates_by_hand(self, user: UserName) -> bool:
        """Make a key, put it everywhere, into the secret too, and delete the older one a day later."""
        name, old = self._history.credentials[user].secret, self._any_key(user, KeyStatus.ACTIVE)
        stored = self._world.secret(name)
        if stored is None or stored.deleted_at or old is None or len(self._world.users[user]) >= SLOTS:
            return False
        pair = self._world.add_key(user)
        for place in self._history.credentials[user].places:
            self._world.person_sets(place.address, pair)
        current = stored.find_labelled(AWSCURRENT)
        self._world.person_puts(name, pair, stored.versions[current].fields if current else {})
        self._history.announce_change()

        def deletes() -> None:
            if user in self._world.users:
                self._history.jobs.spoiled.add(old)
                self._world.remove_key(user, old)

        self._history.timeline.after(self._lots.uniform(86400, 2 * 86400), deletes)
        return True

    # --- the secret -----------------------------------------------------------------------------------------------

    def changes_another_field(self, user: UserName) -> bool:
        """Store the pair of now once more, with another value in a field beside it."""
        name = self._history.credentials[user].secret
        stored = self._world.secret(name)
        current = stored.find_labelled(AWSCURRENT) if stored else None
        if stored is None or stored.deleted_at or current is None or stored.versions[current].pair is None:
            return False
        self._numbers += 1
        content = stored.versions[current]
        self._world.person_puts(name, content.pair, {**content.fields, "DB_PASSWORD": f"field-{self._numbers}"})
        self._history.announce_change()
        return True

    def _tags_the_secret(self, user: UserName) -> bool:
        """Use up nearly all tags that a secret can have."""
        name = self._history.credentials[user].secret
        stored = self._world.secret(name)
        free = MAX_TAGS - len(stored.tags) - self._lots.randint(0, _SPARE) if stored else 0
        if stored is None or stored.deleted_at or free <= 0:
            return False
        tags = {f"{_A_TAG}{number}": "x" for number in range(free)}
        self._world.person_tags(name, tags)

        def back() -> None:
            kept = self._world.secret(name)
            for tag in tags if kept is not None else ():
                self._world.person_untags(name, tag)

        self._for_some_time(back)
        return True
