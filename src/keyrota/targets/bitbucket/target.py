"""One place at Bitbucket for one pair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from keyrota.core.model import (
    AccessKeyId,
    Conflict,
    KeyPair,
    PlaceId,
    Readiness,
    Surroundings,
    TargetEvidence,
    TargetState,
)
from keyrota.core.secret import Secret
from keyrota.core.variables import Listed, bundle_conflicts, find_shown, pair_conflicts, states_of
from keyrota.errors import Half, KeyrotaError, NotThere, ProviderRefused
from keyrota.http import run_concurrently
from keyrota.target_base.errors import write_lost
from keyrota.target_base.target import PlaceTarget
from keyrota.target_base.upsert import is_conflict, upsert
from keyrota.targets.bitbucket.around import Around, environment_path, repository_path, workspace_path
from keyrota.targets.bitbucket.connection import ERRORS, BitbucketConnection
from keyrota.targets.bitbucket.gone import is_gone
from keyrota.targets.bitbucket.lists import Listing, Path, Variable, read_listing
from keyrota.targets.bitbucket.place import Place

_JUST_NOW = timedelta(minutes=5)
"""A list that is no older proves as much as another one; of 1,000 calls an hour each one counts."""


class BitbucketTarget(PlaceTarget[BitbucketConnection, Place]):
    """One place for one pair."""

    def __init__(self, connection: BitbucketConnection, where: Place) -> None:
        super().__init__(connection, where)
        self._http = connection.http
        self._listed_at: datetime | None = None

    @property
    def is_id_readable(self) -> bool:
        """Whether the key ID can be read back."""
        return self._place.bundle is None and not self._place.id_secured

    def preflight(self) -> Readiness:
        """
        List the very variables that would be written, unless they were listed just now.

        Honest limit: a token that may list may still not write; Bitbucket has no way to ask without
        writing.
        """
        at, now = self._listed_at, self._connection.clock.now()
        try:
            # Bitbucket counts 1,000 calls an hour, and gives no number of those that remain.
            if at is None or now - at > _JUST_NOW:
                self._list()
            if self.wait_for_idle:
                self._connection.may_look(self._place)
        except KeyrotaError as error:
            return Readiness(address=self.address, is_ready=False, detail=error.what, remedy=error.remedy)
        return Readiness(address=self.address, is_ready=True, token_expires=self._connection.token_expires)

    def read(self) -> TargetState:
        """Return what is there, and what else the list shows; a refusal is the value FAILED."""
        try:
            # First, because one list of repositories serves all targets: with a budget, better a few read than none.
            place = self._connection.identities.place(self._place, self._environment())
            listing = self._list()
        except KeyrotaError as error:
            state = self._state(TargetEvidence.FAILED, detail=error.what, remedy=error.remedy)
            is_missing = isinstance(error, NotThere) and is_gone(self._connection, self._place)
            return replace(state, is_gone=is_missing)
        where = self._place
        return replace(
            self._interpret(listing.ours),
            place=place,
            variables=states_of(where.names, listing.everything, id_name=where.bundle or where.id_name),
            shown=find_shown(listing.everything, where.scope, beside=where.names),
            conflicts=self._conflicts(listing.everything),
        )

    def _interpret(self, found: Mapping[str, Variable]) -> TargetState:
        missing = [name for name in self._place.names if name not in found]
        if missing:
            return replace(self._state(TargetEvidence.ABSENT, detail=" and ".join(missing)), is_empty=not found)
        if self._place.bundle or found[self._place.id_name].is_secured:
            return self._state(TargetEvidence.CANNOT_TELL)
        value = found[self._place.id_name].value
        return self._state(TargetEvidence.HOLDS, key=AccessKeyId(value) if value else None)

    def _conflicts(self, everything: tuple[Listed, ...]) -> tuple[Conflict, ...]:
        where = self._place
        if where.bundle:
            return tuple(bundle_conflicts(everything, where.bundle))
        return tuple(pair_conflicts(everything, where.id_name, where.secret_name))

    def _state(
        self, evidence: TargetEvidence, *, key: AccessKeyId | None = None, detail: str = "", remedy: str = ""
    ) -> TargetState:
        return TargetState(
            address=self.address,
            evidence=evidence,
            key=key,
            detail=detail,
            remedy=remedy,
            notice=self._connection.notice(self._place),
            token_expires=self._connection.token_expires,
        )

    def place_now(self) -> PlaceId | None:
        """Ask for the UUID of the repository or the workspace once more; an environment is written by its UUID."""
        environment = self._environment()
        identities = self._connection.identities
        return identities.place(self._place, environment) if environment else identities.again(self._place)

    def write(self, credential: KeyPair) -> None:
        """
        Create or update the pair, both halves at once.

        A step that starts between the two effects reads half a pair; `bundle` is the cure.
        """
        found = self._list().ours
        if self._place.bundle:
            self._http.reserve(1, self._place.scope)
            self._put(found, self._place.bundle, credential.as_file(), is_secured=True)
            return
        self._http.reserve(2, self._place.scope)
        known = found.get(self._place.id_name)
        is_secured = self._place.id_secured or (known is not None and known.is_secured)
        run_concurrently(
            lambda: self._put(found, self._place.secret_name, credential.secret, is_secured=True),
            lambda: self._put(found, self._place.id_name, Secret(credential.id), is_secured=is_secured),
        )

    def is_busy(self) -> bool | None:
        """Look whether a pipeline is in progress; Bitbucket cannot be asked for one environment."""
        try:
            return self._connection.is_busy(self._place)
        except KeyrotaError:
            return None

    def surroundings(self) -> Surroundings:
        """Look at the workspace, the repository and its environments; the place itself is listed only once a minute."""

        def here() -> tuple[Listed, ...]:
            return self._connection.lists.read(self._path(), lambda: self._list().everything)

        return Around(self._connection, self._place).look(self.address, here)

    def clear(self, keys: frozenset[AccessKeyId]) -> tuple[str, ...]:
        """Delete the variables; a readable key ID that is not one of ours forbids it."""
        found = self._list().ours
        known = found.get(self._place.id_name)
        if found and not self._place.bundle and known is None:
            raise ProviderRefused(
                f"{self._place.id_name} is not there: whose secret it is cannot be told",
                where=self._about(self._place.secret_name),
                remedy="look at it, and delete it by hand if nothing needs it",
            )
        if known is not None and not known.is_secured and known.value not in keys:
            raise ProviderRefused(
                f"{self._place.id_name} holds {known.value or 'something'} that keyrota did not write",
                where=self._about(self._place.id_name),
                remedy="look at it, and delete it by hand if nothing needs it",
            )
        for variable in found.values():
            self._delete(variable)
        return tuple(found)

    def delete_half(self, half: Half) -> None:
        """Delete one variable."""
        name = self._place.id_name if half is Half.ID else self._place.secret_name
        variable = self._list().ours.get(name)
        if variable is not None:
            self._delete(variable)

    def _delete(self, variable: Variable) -> None:
        answer = self._http.call("DELETE", (*self._path(), variable.uuid), where=self._about(variable.name))
        if answer.status != 404:  # noqa: PLR2004  # HTTP: not found; it is gone already
            ERRORS.raise_for_status(answer, self._about(variable.name))

    # --- variables ------------------------------------------------------------------------------------------------

    def _environment(self) -> str | None:
        return self._connection.environment_uuid(self._place) if self._place.environment is not None else None

    def _path(self) -> Path:
        where, environment = self._place, self._environment()
        if where.repository is None:
            return workspace_path(where.workspace)
        if environment is None:
            return repository_path(where.workspace, where.repository)
        return environment_path(where.workspace, where.repository, environment)

    def _list(self) -> Listing:
        """Read the whole list, all pages."""
        what, self._listed_at = f"the variables of {self._place.scope}", None
        path = self._path()
        found = read_listing(self._connection.values(path, what), self._place)
        self._connection.lists.keep(path, found.everything)
        self._listed_at = self._connection.clock.now()
        return found

    def _put(self, found: Mapping[str, Variable], name: str, value: Secret, *, is_secured: bool) -> None:
        """Update the variable, or create it."""
        self._connection.lists.drop(self._path())
        body, about = _body(name, value, is_secured), self._about(name)
        upsert(
            found.get(name),
            create=lambda: self._http.call("POST", self._path(), body=body, where=about, is_reserved=True),
            look=lambda: self._list().ours.get(name),
            update=lambda there: self._http.call(
                "PUT", (*self._path(), there.uuid), body=body | {"uuid": there.uuid}, where=about, is_reserved=True
            ),
            confirm=lambda answer: self._connection.demand_written(answer, name, about),
            lost=lambda: write_lost("Bitbucket", "variable", about),
            is_taken=is_conflict,
        )

    def _about(self, name: str) -> str:
        return f"{self._place.scope}, variable {name}"


def _body(name: str, value: Secret, is_secured: bool) -> dict[str, Any]:
    """All four fields, always: what an omitted flag means is not documented."""
    return {"type": "pipeline_variable", "key": name, "value": value, "secured": is_secured}
