"""What people do meanwhile, without telling anybody."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from keyrota.core import plan as act
from keyrota.core.adoption import Adoption
from keyrota.core.emergency import Revoke, Rollback
from keyrota.core.lifecycle import KEY_ID
from keyrota.core.model import (
    ADOPT_TAG,
    AWSCURRENT,
    AWSPREVIOUS,
    ORPHAN_TAG,
    REVOKED,
    STACK_TAG,
    SYNCED_TAG,
    AccessKeyId,
    KeyPair,
    KeyStatus,
    UserName,
    VersionId,
)
from keyrota.core.planner import SyncOnly
from keyrota.core.policy import Drift
from keyrota_sandbox.memory import SLOTS, Call, Outage, StoredSecret
from keyrota_sandbox.simulation.colleague import Colleague
from keyrota_sandbox.simulation.elsewhere import Elsewhere
from keyrota_sandbox.simulation.jobs import NOBODYS
from keyrota_sandbox.simulation.setup import Place, SimulatedCredential
from keyrota_sandbox.simulation.strikes import ACTS, RECONFIGURED, Aim

if TYPE_CHECKING:
    from keyrota_sandbox.simulation.history import Simulation

_GROWING = 0.1
"""Share of the histories in which the set of targets grows all the time."""
_MOVING = 0.5
"""Share of the histories with two configurations in which users are moved from one to the other."""
_SOME_TIME_S = 2 * 86400.0
_TRIES = 3
"""A person repeats a command that failed."""
_MISSED = 0.2
"""Share of the keys that go off which someone switches on again."""


class Operators(Colleague):
    """The people of one history: colleagues with a console, and one who cleans up in the end."""

    def __init__(self, history: Simulation) -> None:
        super().__init__(history)
        self._places = 0
        self._elsewhere = Elsewhere(history)
        self.has_acted: set[str] = set()

    def schedule(self, until: datetime) -> None:
        """Announce what they will do: more often while a rotation is under way is for the runs to meet."""
        a_month = self._history.setup.climate.people
        if a_month:
            self._history.meanwhile += [self.act, self._reconfigure]
            self._history.moves += [self._move_current]
            self._history.watchers += [self._misses_a_key, self._elsewhere.sees]
        if a_month and self._lots.random() < _GROWING:
            self._grow(until)
        if a_month and self._history.deployments.others and self._lots.random() < _MOVING:
            self._move_users(until)
        when = self._world.clock.instant
        while a_month:
            when += timedelta(days=self._lots.expovariate(a_month / 30))
            if when > until:
                return
            self._history.timeline.at(when, self.act)

    def _grow(self, until: datetime) -> None:
        """Announce a new target every few days: none of them ever held an older key."""
        when = self._world.clock.instant
        while (when := when + timedelta(days=self._lots.uniform(2, 7))) <= until:
            user = self._lots.choice(sorted(self._history.credentials))
            self._history.timeline.at(when, partial(self._do, self._adds_a_target, user))

    def _move_users(self, until: datetime) -> None:
        """Announce when users go to the other configuration, and back."""
        when = self._world.clock.instant
        while (when := when + timedelta(days=self._lots.uniform(1, 6))) <= until:
            for user in self._history.deployments.others:
                self._history.timeline.at(when, partial(self._do, self._moves_a_user, user))

    def schedule_outages(self, until: datetime) -> None:
        """Announce when providers are down, or refuse the token."""
        a_month = self._history.setup.climate.outages
        if a_month:
            self._history.meanwhile.append(self._outage)
        when = self._world.clock.instant
        while a_month and (when := when + timedelta(days=self._lots.expovariate(a_month / 30))) <= until:
            self._history.timeline.at(when, self._outage)

    def _outage(self, _: UserName | None = None) -> None:
        self._fails(self._lots.choice(sorted(self._world.places)), self._lots.choice(tuple(Outage)))

    def _goes_down(self, outage: Outage, user: UserName) -> None:
        if (place := self._any_place(user)) is not None:
            self._fails(place.address, outage)

    def _fails(self, address: str, outage: Outage) -> None:
        place, lasts = self._world.places[address], self._lots.choice((300.0, 7200.0, 100000.0, 300000.0))
        place.is_down, place.outage = True, outage
        self._history.touch(place.outage.value)
        self._history.echo(address, f"{place.outage.value} for {timedelta(seconds=lasts)}")

        def end() -> None:
            place.is_down = False

        self._history.timeline.after(lasts, end)

    def act(self, user: UserName | None = None) -> None:
        """Do something."""
        user = user or self._lots.choice(sorted(self._history.credentials))
        self._do(self._lots.choice(self._actions()), user)

    def _reconfigure(self, user: UserName) -> None:
        self._do(self._lots.choice(self._reconfiguring), user)

    @property
    def _reconfiguring(self) -> tuple[Callable[[UserName], bool], ...]:
        return (self._adds_a_target, self._removes_a_target, self._moves_a_target)

    def _surely(self, actions: Sequence[Callable[[UserName], bool]], user: UserName) -> None:
        """Do one of these: the first, in some order, that can be done now."""
        for action in self._lots.sample(actions, len(actions)):
            if self._do(action, user):
                return

    def seek(self, aim: Aim, until: datetime) -> None:
        """Do what leads to a step, again and again, and what an aim lets happen there."""
        others = [action for action in self._actions() if action not in self._reconfiguring]
        self._history.befall |= {
            ACTS: lambda user: self._surely(others, user),
            RECONFIGURED: lambda user: self._surely(self._reconfiguring, user),
            **{outage.value: partial(self._goes_down, outage) for outage in Outage},
        }
        when = self._world.clock.instant
        while (action := self._ways().get(aim.step)) is not None and when <= until:
            for user in self._history.credentials:
                self._history.timeline.at(when, partial(self._do, action, user))
            when += timedelta(days=self._lots.uniform(0.2, 1))

    def _ways(self) -> dict[str, Callable[[UserName], bool]]:
        """Name the action that leads to a step, where keyrota does not take it by itself."""
        return {
            act.Adopt.__name__: self._elsewhere.changes_another_field,
            act.Choose.__name__: self._chooses_a_key_again,
            act.DeleteOrphan.__name__: self._releases_a_key,
            act.DenySessions.__name__: self._revokes_a_key_that_leaked,
            act.MarkRevoked.__name__: self._goes_on_to_revoke,
            act.NoteActive.__name__: self._switches_a_key_on,
            act.NoteStack.__name__: partial(self._removes_a_tag, STACK_TAG),
            act.Reactivate.__name__: self._brings_the_key_back,
            act.Release.__name__: self._releases_a_key_again,
            act.ReleaseQuarantine.__name__: self._revokes_a_key_that_leaked,
            act.Restore.__name__: self._rolls_back,
            act.TakeOver.__name__: self._moves_a_user,
        }

    def _move_current(self, user: UserName) -> None:
        ways = (self._stores_a_key_by_hand, self._stores_an_older_key, self._moves_the_label_back, self._rolls_back)
        self._do(self._lots.choice(ways), user)

    def _do(self, action: Callable[[UserName], bool], user: UserName) -> bool:
        if user in self._world.users and action(user):
            name = getattr(action, "__name__", "removes a tag")
            self.has_acted.add(name)
            self._history.touch(RECONFIGURED if action in self._reconfiguring else ACTS)
            self._history.echo("somebody", f"{name.strip('_').replace('_', ' ')} ({user})")
            return True
        return False

    def _actions(self) -> tuple[Callable[[UserName], bool], ...]:
        return (
            self._makes_a_key,
            self._makes_a_key_and_uses_it,
            self._switches_a_key_off,
            self._switches_a_key_off_and_on,
            self._switches_a_key_on,
            self._deletes_a_key,
            self._changes_the_variables,
            self._empties_the_variables,
            self._writes_an_older_pair,
            self._stores_a_key_by_hand,
            self._stores_an_older_key,
            self._breaks_the_secret,
            self._moves_the_label_back,
            self._removes_our_record,
            self._schedules_the_deletion_of_the_secret,
            self._deletes_the_user_and_makes_it_again,
            self._revokes_the_key,
            self._rolls_back,
            self._adopts_a_key,
            self._revokes_a_key_that_leaked,
            self._releases_a_key,
            self._adds_a_target,
            self._removes_a_target,
            self._moves_a_target,
            *self._elsewhere.actions(),
            *((self._moves_a_user,) if self._history.deployments.others else ()),
        )

    # --- keys -----------------------------------------------------------------------------------------------------

    def _makes_a_key(self, user: UserName) -> bool:
        if len(self._world.users[user]) >= SLOTS:
            return False
        self._world.add_key(user)
        return True

    def _makes_a_key_and_uses_it(self, user: UserName) -> bool:
        if len(self._world.users[user]) >= SLOTS:
            return False
        pair = self._world.add_key(user)
        self._history.timeline.after(self._lots.uniform(30, 300), lambda: self._world.use(pair))
        return True

    def _switches_a_key_off(self, user: UserName) -> bool:
        key = self._any_key(user, KeyStatus.ACTIVE)
        if key is None:
            return False
        self._world.change(key, status=KeyStatus.INACTIVE, status_word="Inactive")
        self._history.jobs.spoiled.add(key)
        if key == self._current_key(user):  # pipelines fail, and the report names the command that helps
            later = self._lots.uniform(60, _SOME_TIME_S)
            self._history.timeline.after(later, lambda: self._history.run(Rollback(to=key), users=(user,)))
        return True

    def _switches_a_key_off_and_on(self, user: UserName) -> bool:
        key = self._any_key(user, KeyStatus.ACTIVE)
        if key is None:
            return False
        self._world.change(key, status=KeyStatus.INACTIVE, status_word="Inactive")
        self._history.jobs.spoiled.add(key)

        def on_again() -> None:
            if self._world.find(key):
                self._world.change(key, status=KeyStatus.ACTIVE, status_word="Active")

        self._history.timeline.after(self._lots.uniform(60, _SOME_TIME_S), on_again)
        return True

    def _switches_a_key_on(self, user: UserName) -> bool:
        key = self._any_key(user, KeyStatus.INACTIVE)
        if key is None:
            return False
        self._switch_on(key)
        return True

    def _switch_on(self, key: AccessKeyId) -> None:
        self._world.change(key, status=KeyStatus.ACTIVE, status_word="Active")
        self._history.switched_on[key] = self._world.clock.instant

    def _misses_a_key(self, call: Call, answer: object) -> None:
        """Someone's forgotten job fails, hours or days after its key went off: by the console, or by `rollback`."""
        is_off = call.name == "iam:UpdateAccessKey" and call.about.endswith("Inactive")
        is_calm = not self._history.weather.climate.people
        if not is_off or isinstance(answer, Exception):
            return
        key = AccessKeyId(call.about.split()[0])
        found = self._world.find(key)
        if key in self._history.released:
            return
        if found is not None and self._is_private(found[0], key):
            self._wants_it_back(found[0], key)
        elif found is not None and not is_calm and self._lots.random() <= _MISSED:
            later = self._lots.uniform(3600, _SOME_TIME_S)
            action = self._lots.choice((self._switches_a_key_on, self._rolls_back))
            self._history.timeline.after(later, lambda: self._do(action, found[0]))

    def _is_private(self, user: UserName, key: AccessKeyId) -> bool:
        """Return whether a person made the key for a purpose of their own: no version of the secret holds it."""
        return not self._world.makers.get(key) and key not in _name_keys(self._secret(user))

    def _wants_it_back(self, user: UserName, key: AccessKeyId) -> None:
        """Whoever made a key for themselves notices within the grace that it does not work, and switches it on."""
        grace = self._history.credentials[user].policy.grace.total_seconds()

        def on_again() -> None:
            if self._world.find(key):
                self._switch_on(key)

        self._history.timeline.after(self._lots.uniform(0.1, 0.8) * grace, on_again)

    def _deletes_a_key(self, user: UserName) -> bool:
        keys = sorted(self._world.users[user])
        if not keys:
            return False
        key = self._lots.choice(keys)
        self._history.jobs.spoiled.add(key)
        self._world.remove_key(user, key)
        return True

    def _deletes_the_user_and_makes_it_again(self, user: UserName) -> bool:
        if self._lots.random() < 0.5:  # noqa: PLR2004  # it ruins everything else: half as often
            return False
        self._history.jobs.spoil_all(user)
        self._world.delete_user(user)

        def again() -> None:
            self._world.add_user(user)

        self._history.timeline.after(self._lots.uniform(60, _SOME_TIME_S), again)
        return True

    # --- variables ------------------------------------------------------------------------------------------------

    def _changes_the_variables(self, user: UserName) -> bool:
        place = self._any_place(user)
        if place is None:
            return False
        self._world.person_sets(place.address, KeyPair(id=AccessKeyId("AKIASOMEBODYELSES01"), secret=NOBODYS))
        return True

    def _empties_the_variables(self, user: UserName) -> bool:
        place = self._any_place(user)
        if place is None:
            return False
        self._world.person_sets(place.address, None)
        return True

    def _writes_an_older_pair(self, user: UserName) -> bool:
        place, stored = self._any_place(user), self._secret(user)
        pairs = [version.pair for version in stored.versions.values() if version.pair] if stored else []
        if place is None or not pairs:
            return False
        self._world.person_sets(place.address, self._lots.choice(pairs))
        return True

    # --- the secret -----------------------------------------------------------------------------------------------

    def _secret(self, user: UserName) -> StoredSecret | None:
        return self._world.secret(self._history.credentials[user].secret)

    def _stores_a_key_by_hand(self, user: UserName) -> bool:
        stored = self._secret(user)
        if stored is None or stored.deleted_at or len(self._world.users[user]) >= SLOTS:
            return False
        self._world.person_puts(self._history.credentials[user].secret, self._world.add_key(user))
        self._history.announce_change()
        return True

    def _stores_an_older_key(self, user: UserName) -> bool:
        """Paste a pair that worked yesterday."""
        stored, current = self._secret(user), self._current_key(user)
        keys = self._world.users[user].values()
        others = sorted(key.id for key in keys if key.status is KeyStatus.ACTIVE and key.id != current)
        if stored is None or stored.deleted_at or not others:
            return False
        key = self._lots.choice(others)
        self._world.person_puts(self._history.credentials[user].secret, KeyPair(id=key, secret=self._world.values[key]))
        self._history.announce_change()
        return True

    def _breaks_the_secret(self, user: UserName) -> bool:
        stored = self._secret(user)
        if stored is None or stored.deleted_at:
            return False
        self._world.person_puts(self._history.credentials[user].secret, None, is_broken=True)
        self._history.announce_change()
        self._history.timeline.after(self._lots.uniform(60, _SOME_TIME_S), lambda: self._mends_the_secret(user))
        return True

    def _mends_the_secret(self, user: UserName) -> None:
        stored = self._secret(user)
        if stored is None:
            return
        current = _find_labelled(stored, AWSCURRENT)
        if current is not None and self._is_broken(stored):
            whole = [name for name, version in stored.versions.items() if version.pair and version.labels]
            if whole:
                self._world.move_current(stored, whole[-1])
                del stored.versions[current]
                self._announce(user, stored)

    def _replace_lost(self, user: UserName, key: AccessKeyId) -> None:
        """Do what keyrota's report says about a current key that IAM does not have any more."""
        stored = self._secret(user)
        if stored is not None and any(key in version.labels for version in stored.versions.values()):
            self._history.run(Revoke(key=key), users=(user,))
        else:
            self._stores_some_key(user)

    def _stores_some_key(self, user: UserName) -> None:
        """Put a key that works into the secret: one that the user has, or a new one."""
        active = self._any_key(user, KeyStatus.ACTIVE)
        pair = KeyPair(id=active, secret=self._world.values[active]) if active else self._world.add_key(user)
        self._world.person_puts(self._history.credentials[user].secret, pair)

    @staticmethod
    def _is_broken(stored: StoredSecret) -> bool:
        current = _find_labelled(stored, AWSCURRENT)
        return current is not None and stored.versions[current].is_broken

    def _moves_the_label_back(self, user: UserName) -> bool:
        stored = self._secret(user)
        previous = _find_labelled(stored, AWSPREVIOUS) if stored else None
        if stored is None or previous is None or not stored.versions[previous].pair:
            return False
        self._world.move_current(stored, previous)
        self._announce(user, stored)
        self._history.announce_change()
        return True

    def _announce(self, user: UserName, stored: StoredSecret) -> None:
        """Note when a secret was changed: it is shown as it was before for some seconds."""
        stored.changed_at = self._world.clock.instant
        self._world.remember_secret(self._history.credentials[user].secret)

    def _removes_our_record(self, user: UserName) -> bool:
        return self._removes_a_tag(SYNCED_TAG, user)

    def _schedules_the_deletion_of_the_secret(self, user: UserName) -> bool:
        stored = self._secret(user)
        if stored is None or stored.deleted_at:
            return False
        name = self._history.credentials[user].secret
        self._world.person_deletes_secret(name)

        def restore() -> None:
            if stored.deleted_at:
                self._world.person_restores_secret(name)

        self._history.timeline.after(self._lots.uniform(60, _SOME_TIME_S), restore)
        return True

    # --- commands -------------------------------------------------------------------------------------------------

    def _current_key(self, user: UserName) -> AccessKeyId | None:
        stored = self._secret(user)
        current = _find_labelled(stored, AWSCURRENT) if stored else None
        version = stored.versions[current] if stored and current else None
        adopted = [AccessKeyId(label) for label in version.labels if KEY_ID.fullmatch(label)] if version else []
        return version.pair.id if version and version.pair else next(iter(adopted), None)

    def _revokes_the_key(self, user: UserName) -> bool:
        key = self._current_key(user)
        if key is None:
            return False
        self._history.jobs.spoiled.add(key)
        self._history.run(Revoke(key=key), users=(user,))
        return True

    def _goes_on_to_revoke(self, user: UserName) -> bool:
        """Revoke what was to be revoked before and is not off yet; else the only key."""
        stored, keys = self._secret(user), self._world.users[user]
        marked = [key for key in _name_keys(stored) if key in keys and stored and _find_labelled(stored, REVOKED + key)]
        active = [key for key in sorted(marked) if keys[AccessKeyId(key)].status is KeyStatus.ACTIVE]
        key = AccessKeyId(active[0]) if active else self._current_key(user) if len(keys) == 1 else None
        if key is None:
            return False
        self._history.jobs.spoiled.add(key)
        self._history.run(Revoke(key=key), users=(user,))
        return True

    def _brings_the_key_back(self, user: UserName) -> bool:
        """Switch the current key off by mistake, and do what the report says."""
        key = self._current_key(user)
        if key is None or key not in self._world.users[user]:
            return False
        if self._world.users[user][key].status is KeyStatus.ACTIVE:
            self._world.change(key, status=KeyStatus.INACTIVE, status_word="Inactive")
            self._history.jobs.spoiled.add(key)
        self._history.run(Rollback(to=key), users=(user,))
        return True

    def _chooses_a_key_again(self, user: UserName) -> bool:
        """Forget a choice, and make it once more."""
        self._removes_a_tag(ADOPT_TAG, user)
        return self._adopts_a_key(user)

    def _removes_a_tag(self, tag: str, user: UserName) -> bool:
        stored = self._secret(user)
        if stored is None or tag not in stored.tags:
            return False
        self._world.person_untags(self._history.credentials[user].secret, tag)
        return True

    def _revokes_a_key_that_leaked(self, user: UserName) -> bool:
        """AWS has found a key in public, and attached its policy; a person revokes it, with all that it has opened."""
        key = self._current_key(user)
        if key is None:
            return False
        self._world.quarantine[user] = ("arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3",)
        self._history.jobs.spoiled.add(key)
        self._history.run(Revoke(key=key, with_sessions=True, releases_quarantine=True), users=(user,))
        return True

    def _releases_a_key(self, user: UserName) -> bool:
        """Make a key for some purpose, and say some time later that nothing needs it."""
        stored, keys = self._secret(user), self._world.users[user]
        if stored is None or len(keys) >= SLOTS:
            return False
        key = self._world.add_key(user).id

        def release() -> None:
            if user in self._world.users and key in self._world.users[user]:
                self._history.released.add(key)
                self._history.run(Adoption(release=key), users=(user,))

        for _ in range(_TRIES):
            self._history.timeline.after(self._lots.uniform(90000, 2 * _SOME_TIME_S), release)
        return True

    def _releases_a_key_again(self, user: UserName) -> bool:
        """Forget that a key was released, and say once more that nothing needs it; the first time, make one."""
        keys = self._world.users[user]
        known = [key for key in sorted(self._history.released) if key in keys and keys[key].status is KeyStatus.ACTIVE]
        if not known:
            return self._releases_a_key(user)
        self._removes_a_tag(ORPHAN_TAG, user)
        self._history.run(Adoption(release=known[0]), users=(user,))
        return True

    def _rolls_back(self, user: UserName) -> bool:
        stored = self._secret(user)
        previous = _find_labelled(stored, AWSPREVIOUS) if stored else None
        pair = stored.versions[previous].pair if stored and previous else None
        if pair is None or self._world.find(pair.id) is None:
            return False
        self._history.run(Rollback(to=pair.id), users=(user,))
        return True

    def _adopts_a_key(self, user: UserName) -> bool:
        """Say which key is to be kept, or that a first one is wanted."""
        if self._current_key(user) is not None:
            return False
        active = self._any_key(user, KeyStatus.ACTIVE)
        wish = Adoption(key=active) if active else Adoption(makes_first=True)
        self._history.run(wish, users=(user,))
        return True

    # --- the configuration ----------------------------------------------------------------------------------------

    def _set_places(self, keeping: SimulatedCredential, places: tuple[Place, ...]) -> None:
        self._history.credentials[keeping.user] = replace(keeping, places=places)

    def _adds_a_target(self, user: UserName) -> bool:
        keeping = self._history.credentials[user]
        self._places += 1
        place = Place(address=f"gitlab acme/added-{self._places}", deployments_a_day=2, is_id_readable=True)
        key = self._current_key(user)
        pair = KeyPair(id=key, secret=self._world.values[key]) if key else None
        self._history.add_place(place, pair)
        self._world.places[place.address].by_hand = True
        self._history.jobs.schedule_at(place, self._world.clock.instant + timedelta(days=20))
        self._set_places(keeping, (*keeping.places, place))
        return True

    def _removes_a_target(self, user: UserName) -> bool:
        keeping = self._history.credentials[user]
        if len(keeping.places) < 2:  # noqa: PLR2004  # the last one stays
            return False
        gone = self._lots.choice(keeping.places)
        self._history.removed.setdefault(user, []).append(gone.address)
        self._set_places(keeping, tuple(place for place in keeping.places if place is not gone))
        return True

    def _moves_a_target(self, user: UserName) -> bool:
        return self._adds_a_target(user) and self._removes_a_target(user)

    def _moves_a_user(self, user: UserName) -> bool:
        """Move a user to the second configuration, by the book: with all targets, and `adopt --take-over`."""
        other, now = self._history.deployments.others.get(user), self._history.credentials[user]
        key = self._current_key(user)
        if other is None or key is None or key not in self._world.users[user]:
            return False
        numbers = {self._world.places[place.address].number for place in now.places}
        own = tuple(place for place in other.places if self._world.places[place.address].number not in numbers)
        moved = replace(other, places=(*now.places, *own))
        self._history.deployments.others[user] = moved
        stored = self._world.secret(moved.secret)
        if stored is not None and not stored.deleted_at:  # it was there before, and knows no key that was made since
            self._world.person_puts(moved.secret, KeyPair(id=key, secret=self._world.values[key]))
        self._history.run(Adoption(takes_over=True), keepings={user: moved})
        later = self._lots.uniform(60, _SOME_TIME_S)
        self._history.timeline.after(later, lambda: self._adopts_what_is_in_use(user))
        return True

    def _ends_the_second_configuration(self, user: UserName) -> None:
        """Do what its report says: one configuration for a user; what only the other one knew is taken away."""
        other, kept = self._history.deployments.others.pop(user, None), self._history.credentials[user]
        if other is None:
            return
        stored = self._world.secret(other.secret)
        current = _find_labelled(stored, AWSCURRENT) if stored else None
        pair = stored.versions[current].pair if stored and current else None
        is_new = self._current_key(user) is None and pair is not None and self._world.find(pair.id) is not None
        for place in kept.places if is_new else ():  # one key is kept, and put everywhere
            held = self._world.places[place.address].pair
            if held is not None and held != pair:
                self._world.person_sets(place.address, pair)
        pairs = (self._world.places[place.address].pair for place in kept.places)
        needed = _name_keys(self._secret(user)) | {pair.id for pair in pairs if pair is not None}
        theirs = _name_keys(self._world.secret(other.secret)) & self._world.users.get(user, {}).keys()
        for key in sorted(theirs - needed):
            self._remove(user, AccessKeyId(key))
        for place in set(other.places) - set(kept.places):
            self._world.person_sets(place.address, None)

    # --- in the end -----------------------------------------------------------------------------------------------

    def clean_up(self) -> None:
        """Mend what only people can: what they broke themselves."""
        self._elsewhere.clean_up()
        for user, keeping in self._history.credentials.items():
            if user not in self._world.users:
                self._world.add_user(user)
            self._ends_the_second_configuration(user)
            stored = self._secret(user)
            if stored is not None:
                if stored.deleted_at:
                    self._world.person_restores_secret(keeping.secret)
                self._mends_the_secret(user)
                if self._is_broken(stored):
                    self._stores_some_key(user)
            self._clean_keys(user, stored)
            self._adopts_what_is_in_use(user)
            if not self._world.users[user]:
                self._history.run(Adoption(makes_first=True), users=(user,))  # as the report says
            for address in self._history.removed.pop(user, []):
                self._world.person_sets(address, None)
            current = self._current_key(user)
            for place in keeping.places:
                self._put_back(place, current)
            self._history.confirm(user)
            if keeping.policy.drift is Drift.HOLD and self._is_changed(keeping):
                self._history.run(SyncOnly(), users=(user,))

    def _clean_keys(self, user: UserName, stored: StoredSecret | None) -> None:
        named, current = _name_keys(stored), self._current_key(user)
        held = {pair.id for place in self._world.places.values() if (pair := place.pair) is not None}
        keys = self._world.users[user]
        taken = {*self._history.jobs.spoiled, *self._history.switched_on}
        theirs = [key for key in sorted(keys) if not self._world.makers[key] or key in taken]
        for key in theirs:  # what keyrota made and lost it has to find by itself
            is_free = key not in held and (key not in named or len(keys) > SLOTS)
            if is_free and key != current:
                self._remove(user, key)
        if current is not None and current not in keys:
            self._replace_lost(user, current)
            return
        needed = {current} if current else {key for key in held if not self._world.makers.get(key)}
        for key in sorted(needed & keys.keys()):
            self._world.change(key, status=KeyStatus.ACTIVE, status_word="Active")

    def _adopts_what_is_in_use(self, user: UserName) -> None:
        """Do what the report says of keys that the secret to which a user was moved does not know: keep one of them."""
        keys = self._world.users.get(user, {})
        is_known = not keys.keys().isdisjoint(_name_keys(self._secret(user)))
        if user not in self._history.deployments.taken_over or is_known or not keys:
            return
        places = self._history.credentials[user].places
        held = {place.address: pair.id for place in places if (pair := self._world.places[place.address].pair)}
        kept = next((key for key in held.values() if key in keys), max(keys))
        if keys[kept].status is KeyStatus.INACTIVE:
            self._switch_on(kept)
        other = next((key for key in sorted(keys) if key != kept), None)
        if other is None:
            return  # keyrota adopts the only key by itself
        for address in [address for address, key in held.items() if key == other]:
            self._world.person_sets(address, KeyPair(id=kept, secret=self._world.values[kept]))
        self._history.run(Adoption(key=kept), users=(user,))
        self._history.released.add(other)
        self._history.timeline.after(60, lambda: self._history.run(Adoption(release=other), users=(user,)))

    def _remove(self, user: UserName, key: AccessKeyId) -> None:
        self._world.remove_key(user, key)
        self._history.jobs.spoiled.add(key)

    def _is_changed(self, keeping: SimulatedCredential) -> bool:
        """
        Return whether a report says so: someone changed a target, and keyrota leaves it to people.

        Where a provider's clock was set since a write, its times look as if someone had; and where a user was moved,
        the other configuration has.
        """
        places = [self._world.places[place.address] for place in keeping.places]
        is_moved = keeping.user in self._history.deployments.taken_over
        return is_moved or any(place.by_hand or place.was_ahead != place.clock_ahead for place in places)

    def _put_back(self, place: Place, current: AccessKeyId | None) -> None:
        """Take back a key that someone wrote: a dead one, or an older one where nobody else can see it."""
        held = self._world.places[place.address]
        if current is None or current not in self._world.values or not held.by_hand:
            return
        if held.pair is None:  # keyrota does not write a place anew that someone has emptied
            self._world.person_sets(place.address, KeyPair(id=current, secret=self._world.values[current]))
            return
        is_hidden = held.pair.id != current and not (held.is_id_readable or held.is_change_told)
        if is_hidden or self._world.refusal(held.pair):
            self._world.person_sets(place.address, KeyPair(id=current, secret=self._world.values[current]))


def _name_keys(stored: StoredSecret | None) -> set[str]:
    """Name the keys that are keyrota's to look after: the current one, and whatever it labelled."""
    versions = stored.versions.values() if stored else ()
    current = {version.pair.id for version in versions if version.pair and AWSCURRENT in version.labels}
    return current | {label for version in versions for label in version.labels}


def _find_labelled(stored: StoredSecret, label: str) -> VersionId | None:
    return next((name for name, version in stored.versions.items() if label in version.labels), None)
