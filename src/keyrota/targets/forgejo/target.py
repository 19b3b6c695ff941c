"""One place at Forgejo or Gitea for one pair."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from keyrota.core.detect import LONG_LIVED
from keyrota.core.levels import Level, Side, Written, level_conflicts
from keyrota.core.model import (
    AccessKeyId,
    Conflict,
    KeyPair,
    PlaceId,
    Readiness,
    Surroundings,
    TargetEvidence,
    TargetState,
    VariableState,
)
from keyrota.core.secret import Secret
from keyrota.core.variables import Listed, describe_variable, find_shown, pair_conflicts, states_of
from keyrota.errors import Half, KeyrotaError, ProviderRefused
from keyrota.http import Response, run_concurrently
from keyrota.target_base.schema import marker_of, name_place, name_provider, names_of
from keyrota.target_base.target import BaseTarget
from keyrota.target_base.upsert import put_or_create
from keyrota.targets.forgejo.around import Around
from keyrota.targets.forgejo.connection import MISSING, ForgejoConnection, Path, text_of

_WRITTEN = {201, 204}
_GONE = 204


class ForgejoTarget(BaseTarget):
    """One place for one pair: two secrets, and a readable marker where one is wanted."""

    def __init__(self, connection: ForgejoConnection, settings: Mapping[str, Any]) -> None:
        super().__init__(address(connection.says.key, settings))
        self._connection, self._http, self._says = connection, connection.http, connection.says
        owner, _, repository = str(settings.get("repository", "")).partition("/")
        self._is_listed = "token_user" not in settings
        if "repository" in settings:
            self._home: Path = ("repos", owner, repository)
        elif self._is_listed:
            self._home = ("orgs", settings["organization"])
        else:
            self._home = ("user",)
        self._path: Path = (*self._home, "actions")
        self._id_name, self._secret_name = (name.upper() for name in names_of(settings))
        self._marker_name = marker_of(settings, self._id_name)

    @property
    def has_separate_variables(self) -> bool:
        """Two secrets."""
        return True

    @property
    def is_id_readable(self) -> bool:
        """Whether a marker names the key: no secret can be read back."""
        return self._marker_name is not None

    def preflight(self) -> Readiness:
        """Ask for everything that a write needs. Honest limit: a token that may list may still not write."""
        return self.readiness(self._look)

    def _look(self) -> None:
        self._list()
        self._refuse_strangers(self._marker())

    def read(self) -> TargetState:
        """Return what is there; a refusal is the value FAILED."""
        return self.read_or_failed(self._read)

    def _read(self) -> TargetState:
        home = self._connection.home(self._home, self._about(""))
        secrets = self._connection.secrets(self._home, self._about("")) if self._is_listed else {}
        variables = self._connection.variables(self._home, self._about(self._marker_name or ""))
        marker = self._marker() if variables is None else variables.get(self._marker_name or "")
        return replace(
            self._state(secrets, marker),
            notice=self._describe_move() if home.is_moved else "",
            place=PlaceId(kind=self._says.key, origin=self._http.origin, id=home.id),
            variables=self._states(secrets, marker),
            shown=find_shown(_each(variables or {}), self.address, beside=(self._marker_name or "",)),
            conflicts=tuple(self._conflicts(secrets, _each(variables or {}))),
            is_archived=home.is_archived,
        )

    def _describe_move(self) -> str:
        return f"{self._says.name} redirects {self.address}: it was renamed or moved; correct the configuration"

    def _state(self, secrets: Mapping[str, str], marker: Mapping[str, str] | None) -> TargetState:
        found = [name for name in self._names if name in secrets]
        missing = [name for name in self._names if name not in found] if self._is_listed else []
        if self._marker_name and marker is None:
            missing.append(self._marker_name)
        if missing:  # what cannot be listed may be there: a user's secrets are never empty
            return self.absent_state(missing, is_empty=self._is_listed and not found and marker is None)
        if marker is None:
            return TargetState(address=self.address, evidence=TargetEvidence.CANNOT_TELL)
        return TargetState(
            address=self.address, evidence=TargetEvidence.HOLDS, key=describe_variable("", marker["data"]).key
        )

    @property
    def _names(self) -> tuple[str, str]:
        return self._id_name, self._secret_name

    def _states(self, secrets: Mapping[str, str], marker: Mapping[str, str] | None) -> tuple[VariableState, ...]:
        """Say what a write replaces; what cannot be listed counts as present."""
        there = [describe_variable(name, None) for name in self._names if name in secrets or not self._is_listed]
        names = [*self._names]
        if self._marker_name:
            names.append(self._marker_name)
            there += [describe_variable(self._marker_name, marker["data"])] if marker else []
        return states_of(names, there, id_name=self._marker_name or "", marker=self._marker_name)

    def _conflicts(self, secrets: Mapping[str, str], variables: Sequence[Listed]) -> Iterator[Conflict]:
        if self._is_listed:
            yield from pair_conflicts(
                [describe_variable(name, None) for name in secrets], *self._names, noun="secret", remedy=self._remedy
            )
        beside = Level(name=self.address, side=Side.BESIDE, variables=tuple(variables))
        yield from level_conflicts(self._describe_write(secrets), [beside], remedy=self._remedy)

    @property
    def _remedy(self) -> str:
        return (
            f"if the variable {self._id_name} holds the ID, set `marker: {self._id_name}`; "
            f"if the pair has other names, set `names:`; otherwise complete or delete the half"
        )

    def _describe_write(self, secrets: Mapping[str, str]) -> Written:
        present = frozenset(name for name in self._names if name in secrets or not self._is_listed)
        return Written(pair=self._names, bundle=None, present=present, marker=self._marker_name)

    def surroundings(self) -> Surroundings:
        """Look at the owner's secrets and variables, or at those of an organization's repositories."""

        def describe() -> Written:
            return self._describe_write(self._list())

        return Around(self._connection, self._home, self.address).surroundings(describe)

    def is_known_gone(self) -> bool:
        """
        Return whether a repository is deleted: a renamed one redirects, and an owner of its organization sees it.

        Who may list the organization's secrets is an owner.
        """
        if self._home[0] != "repos":
            return False
        try:
            self._connection.secrets(("orgs", self._home[1]), self._about(""))
        except KeyrotaError:
            return False
        return True

    def write(self, credential: KeyPair) -> None:
        """Make or change both secrets at once, and the marker when both are there; descriptions stay."""
        marker = self._marker()
        self._refuse_strangers(marker)
        found = self._list()
        run_concurrently(
            partial(self._put, self._secret_name, credential.secret, found.get(self._secret_name, "")),
            partial(self._put, self._id_name, Secret(credential.id), found.get(self._id_name, "")),
        )
        if self._marker_name:
            self._mark(self._marker_name, credential.id, marker or {})

    def clear(self, keys: frozenset[AccessKeyId]) -> tuple[str, ...]:
        """Delete the secrets and the marker; a marker that names another key than ours forbids it."""
        marker = self._marker()
        if marker is not None and marker["data"] not in keys:
            raise self._says.not_ours(self._marker_name or "", self._about(self._marker_name or ""))
        self._list()  # refuses where nothing may be seen: that is not gone
        gone = [name for name in (self._id_name, self._secret_name) if self._delete("secrets", name)]
        if self._marker_name and self._delete("variables", self._marker_name):
            gone.append(self._marker_name)
        return tuple(gone)

    def delete_half(self, half: Half) -> None:
        """Delete one secret."""
        self._delete("secrets", self._id_name if half is Half.ID else self._secret_name)

    # --- calls ------------------------------------------------------------------------------------------------------

    def _call(self, method: str, path: Path, name: str, **more: Any) -> Response:
        return self._http.call(method, path, where=self._about(name), **more)

    def _about(self, name: str) -> str:
        kind = "variable" if name == self._marker_name else "secret"
        return f"{self.address}, {kind} {name}" if name else f"{self.address}, its secrets"

    def _list(self) -> dict[str, str]:
        """Find the secrets, with their descriptions; of a user, only see that the token is good."""
        if self._is_listed:
            return self._secrets()
        self._connection.home(self._home, self._about(""))
        return {}

    def _secrets(self) -> dict[str, str]:
        """List the secrets before a write; 404 may mean here that the place itself is not there."""
        found = self._connection.items((*self._path, "secrets"), self._about(""))
        return {str(secret.get("name")).upper(): text_of(secret.get("description")) for secret in found}

    def _put(self, name: str, value: Secret, description: str) -> None:
        """Make or change a secret: doing it twice does no harm."""
        body = {"data": value} | ({"description": description} if description else {})
        self._demand_written(self._call("PUT", (*self._path, "secrets", name), name, body=body), name)

    def _delete(self, what: str, name: str) -> bool:
        answer = self._call("DELETE", (*self._path, what, name), name)
        if answer.status == MISSING:
            return False
        self._says.raise_for_status(answer, self._about(name))
        if answer.status != _GONE:
            what = f"{self._says.name}'s answer to the deletion is none of its own: whether it is gone is not known"
            raise self._says.make_response_error(what, self._about(name))
        return True

    def _demand_written(self, answer: Response, name: str) -> None:
        self._says.raise_for_status(answer, self._about(name))
        if answer.status not in _WRITTEN:
            what = f"{self._says.name}'s answer to the write is none of its own: whether it was written is not known"
            raise self._says.make_response_error(what, self._about(name))

    # --- the marker -------------------------------------------------------------------------------------------------

    def _marker(self) -> dict[str, str] | None:
        """Read the variable that names the key, and its description; None if it is not there, or not wanted."""
        if self._marker_name is None:
            return None
        answer = self._call("GET", (*self._path, "variables", self._marker_name), self._marker_name)
        if answer.status == MISSING:
            return None
        self._says.raise_for_status(answer, self._about(self._marker_name))
        value = answer.object().get("data")
        if not isinstance(value, str):
            what = f"{self._says.name}'s answer is no list and no variable"
            raise self._says.make_response_error(what, self._about(self._marker_name))
        return {"data": value, "description": text_of(answer.object().get("description"))}

    def _refuse_strangers(self, marker: Mapping[str, str] | None) -> None:
        if marker is not None and not LONG_LIVED.fullmatch(marker["data"]):
            raise ProviderRefused(
                f"the variable {self._marker_name} exists and holds no key ID: it is somebody else's",
                where=self._about(self._marker_name or ""),
                remedy="give the marker another name: `marker: NAME`",
            )

    def _mark(self, name: str, key: AccessKeyId, before: Mapping[str, str]) -> None:
        """Change the variable, or make it."""
        path, body = (*self._path, "variables", name), {"value": str(key)}
        if before.get("description"):
            body["description"] = before["description"]
        put_or_create(
            put=lambda: self._call("PUT", path, name, body=body),
            create=lambda: self._call("POST", path, name, body=body),
            confirm=lambda answer: self._demand_written(answer, name),
            is_missing=lambda answer: answer.status == MISSING,
            lost=lambda: self._says.write_lost("variable", self._about(name)),
        )


def where_of(settings: Mapping[str, Any]) -> str:
    """Name a place in words, without the service."""
    if "token_user" in settings:
        return "user"
    return str(settings.get("repository") or f"organization {settings['organization']}")


def address(key: str, settings: Mapping[str, Any]) -> str:
    """Name a repository, an organization or a user in words."""
    return name_place(f"{name_provider(settings, key)} {where_of(settings)}", settings)


def _each(variables: Mapping[str, Mapping[str, str]]) -> tuple[Listed, ...]:
    return tuple(describe_variable(name, variable["data"]) for name, variable in variables.items())
