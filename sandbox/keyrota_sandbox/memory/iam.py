"""IAM as the world has it."""

from __future__ import annotations

from datetime import datetime

from keyrota.core.model import (
    SECRET_TAG,
    AccessKey,
    AccessKeyId,
    CreatedKey,
    Evidence,
    KeyStatus,
    LastUse,
    UserName,
)
from keyrota.errors import KeyrotaError, NotThere, ProviderRefused
from keyrota_sandbox.memory.contents import SLOTS
from keyrota_sandbox.memory.sts import ACCOUNT, in_world
from keyrota_sandbox.memory.view import View


class WorldAccessKeys(View):
    """IAM, behind the port AccessKeys."""

    def _name_in_world(self, user: UserName) -> UserName:
        return UserName(in_world(self._account or ACCOUNT, user))

    def _user(self, user: UserName) -> dict[AccessKeyId, AccessKey]:
        if user not in self._world.users:
            raise NotThere(f"the IAM user {user} does not exist", remedy="correct `user`")
        return self._world.users[user]

    def list(self, user: UserName) -> tuple[AccessKey, ...]:
        """Return all keys, oldest first."""
        user = self._name_in_world(user)
        keys = self._call("iam:ListAccessKeys", lambda: self._world.list_keys(user), user)
        return tuple(sorted(keys, key=lambda key: (key.created, key.id)))

    def last_use(self, key: AccessKeyId) -> LastUse:
        """Return the evidence."""
        try:
            return self._call("iam:GetAccessKeyLastUsed", lambda: self._world.show_use(key), key)
        except KeyrotaError as error:
            return LastUse(evidence=Evidence.UNKNOWN, why=str(error))

    def user_of(self, key: AccessKeyId) -> UserName | None:
        """Name the user of a key."""

        def effect() -> UserName | None:
            found = self._world.find(key)
            return found[0] if found else None

        try:
            return self._call("iam:GetAccessKeyLastUsed", effect, key)
        except KeyrotaError:
            return None

    def create(self, user: UserName) -> CreatedKey:
        """Make a key; the quota is counted from a list that may be old (docs/facts/aws.md, IAM)."""
        user = self._name_in_world(user)

        def effect() -> CreatedKey:
            if len(self._world.list_keys(user)) >= SLOTS:
                raise ProviderRefused("Cannot exceed quota for AccessKeysPerUser: 2")
            made = self._world.add_key(user, by=self._by)
            return CreatedKey(credential=made, created=self._world.clock.now())

        return self._call("iam:CreateAccessKey", effect, user)

    def _set(self, user: UserName, key: AccessKeyId, status: KeyStatus) -> None:
        user = self._name_in_world(user)

        def effect() -> None:
            if key not in self._user(user):
                raise NotThere(f"the access key {key} does not exist")
            self._world.change(key, status=status, status_word=status.value)

        self._call("iam:UpdateAccessKey", effect, f"{key} {status.value}")

    def deactivate(self, user: UserName, key: AccessKeyId) -> None:
        """Set the key Inactive."""
        self._set(user, key, KeyStatus.INACTIVE)

    def reactivate(self, user: UserName, key: AccessKeyId) -> None:
        """Set the key Active."""
        self._set(user, key, KeyStatus.ACTIVE)

    def delete(self, user: UserName, key: AccessKeyId) -> bool:
        """Delete the key, and return whether it was there; those of a user that is gone are gone."""
        user = self._name_in_world(user)

        def effect() -> bool:
            if user not in self._world.users:
                return False
            was_there = key in self._world.users[user]
            self._world.remove_key(user, key)
            return was_there

        return self._call("iam:DeleteAccessKey", effect, key)

    def secret_tag(self, user: UserName) -> str:
        """Return the user's tag."""
        user = self._name_in_world(user)

        def effect() -> str:
            self._user(user)
            return self._world.user_tags.get(user, {}).get(SECRET_TAG, "")

        return self._call("iam:ListUserTags", effect, user)

    def set_secret_tag(self, user: UserName, secret: str) -> None:
        """Set the user's tag."""
        user = self._name_in_world(user)

        def effect() -> None:
            self._user(user)
            self._world.user_tags.setdefault(user, {})[SECRET_TAG] = secret

        self._call("iam:TagUser", effect, f"{user} {secret}")

    def remove_secret_tag(self, user: UserName) -> None:
        """Remove the user's tag."""
        user = self._name_in_world(user)
        self._call("iam:UntagUser", lambda: self._world.user_tags.get(user, {}).pop(SECRET_TAG, None), user)

    def quarantine_policies(self, user: UserName) -> tuple[str, ...]:
        """Return the quarantine policies."""
        user = self._name_in_world(user)

        def effect() -> tuple[str, ...]:
            self._user(user)
            return self._world.quarantine.get(user, ())

        return self._call("iam:ListAttachedUserPolicies", effect, user)

    def release_quarantine(self, user: UserName, policy_arn: str) -> None:
        """Detach one."""
        user = self._name_in_world(user)

        def effect() -> None:
            left = tuple(arn for arn in self._world.quarantine.get(user, ()) if arn != policy_arn)
            self._world.quarantine[user] = left

        self._call("iam:DetachUserPolicy", effect, user)

    def deny_sessions_before(self, user: UserName, instant: datetime) -> None:
        """Note the denial."""
        user = self._name_in_world(user)

        def effect() -> None:
            self._user(user)
            self._world.denied[user] = instant

        self._call("iam:PutUserPolicy", effect, user)
