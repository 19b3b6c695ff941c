"""The promises of docs/design.md as predicates over the world, not over keyrota's own opinion."""

from __future__ import annotations

from datetime import timedelta

from keyrota.core.model import AWSCURRENT, AccessKeyId, KeyStatus, UserName
from keyrota.core.policy import RotationPolicy
from keyrota_sandbox.memory import SLOTS, World

DROPPED_WITHIN = timedelta(minutes=15)
"""A run drops what it made itself and could not bring home while it is there; what is older went through a grace."""


class Watch:
    """Looks at the world after every single call, and remembers what it needs to judge the next one."""

    def __init__(self, world: World, policy: RotationPolicy) -> None:
        self._world = world
        self._policy = policy
        self.may_switch_off_served = False
        """Only `revoke --now` may."""
        self._inactive_since: dict[AccessKeyId, object] = {}
        self._before = self._keys()
        self._born = {key.id: key.created for keys in world.users.values() for key in keys.values()}
        self.broken: list[str] = []

    def _keys(self) -> dict[AccessKeyId, KeyStatus]:
        return {key.id: key.status for keys in self._world.users.values() for key in keys.values()}

    def __call__(self, name: str, _: World) -> None:
        """Judge the state after one call."""
        now = self._keys()
        self._born |= {key.id: key.created for keys in self._world.users.values() for key in keys.values()}
        self._check_served_key_lives(name, now)
        self._check_verified_before_served(name)
        self._check_off_before_gone(name, now)
        if any(len(keys) > SLOTS for keys in self._world.users.values()):
            self._break("one-winner", name, "more than two keys")
        for key, status in now.items():
            if status is KeyStatus.INACTIVE and self._before.get(key) is not KeyStatus.INACTIVE:
                self._inactive_since[key] = self._world.clock.now()
            if status is KeyStatus.ACTIVE:
                self._inactive_since.pop(key, None)
        self._before = now

    def person_deletes(self, user: UserName, key: AccessKeyId) -> None:
        """Delete a key as a person does, who needs no grace."""
        self._world.remove_key(user, key)
        self._before.pop(key, None)

    def _served(self) -> set[AccessKeyId]:
        return {place.pair.id for place in self._world.places.values() if place.pair is not None}

    def _check_served_key_lives(self, name: str, now: dict[AccessKeyId, KeyStatus]) -> None:
        for key in self._served():
            if now.get(key) is not KeyStatus.ACTIVE and not self.may_switch_off_served:
                self._break("served-key-lives", name, f"{key} is served and {now.get(key)}")

    def _check_verified_before_served(self, name: str) -> None:
        for key in self._served():
            found = self._world.find(key)
            if found and self._world.clock.now() - found[1].created < self._world.propagation:
                self._break("verified-before-served", name, f"{key} is served before AWS accepts it")

    def _check_off_before_gone(self, name: str, now: dict[AccessKeyId, KeyStatus]) -> None:
        for key in self._before.keys() - now.keys():
            since = self._inactive_since.get(key)
            is_young = self._world.clock.now() - self._born[key] < DROPPED_WITHIN
            is_dropped = since is None and key not in self._served() and is_young
            if is_dropped and not self._was_current(key):
                continue  # a run drops what it made itself and could not bring home
            if since is None or self._world.clock.now() - since < self._policy.grace:  # type: ignore[operator]  # a datetime
                self._break("off-before-gone", name, f"{key} was deleted, Inactive since {since}")

    def _was_current(self, key: AccessKeyId) -> bool:
        return any(
            {key, AWSCURRENT} <= version.labels
            for secret in self._world.secrets.values()
            for version in secret.versions.values()
        )

    def _break(self, promise: str, name: str, what: str) -> None:
        self.broken.append(f"{promise} after {name} at {self._world.clock.now()}: {what}")


def at_rest(world: World, user: str, secret: str) -> list[str]:
    """Return what is not as it should be when all is quiet: one-winner, newest-wins, nothing left over."""
    faults = []
    keys = world.users[user].values()  # type: ignore[index]  # a plain str
    stored = world.secrets[secret]
    labels = {label for version in stored.versions.values() for label in version.labels}
    active = [key for key in keys if key.status is KeyStatus.ACTIVE]
    if len(active) != 1:
        faults.append(f"{len(active)} Active keys")
    served = {place.pair.id for place in world.places.values() if place.pair}
    current = next(version for version in stored.versions.values() if AWSCURRENT in version.labels)
    if current.pair is None or served - {current.pair.id}:
        faults.append(f"targets hold {served}, AWSCURRENT another")
    if leftover := labels & {"keyrota:claim", "keyrota:pending"}:
        faults.append(f"left over: {leftover}")
    return faults


A_DAY = timedelta(days=1)
