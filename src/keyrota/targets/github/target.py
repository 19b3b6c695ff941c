"""One place at GitHub for one pair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from keyrota.core.detect import LONG_LIVED
from keyrota.core.lifecycle import KEY_ID
from keyrota.core.model import (
    AccessKeyId,
    CarriedRuns,
    KeyPair,
    PlaceId,
    Readiness,
    Surroundings,
    TargetEvidence,
    TargetState,
)
from keyrota.core.secret import Secret
from keyrota.errors import Half, KeyrotaError, NotThere, ProviderRefused
from keyrota.http import Response, run_concurrently
from keyrota.target_base.errors import DELETED, make_response_error, write_lost
from keyrota.target_base.github_api import PublicKey
from keyrota.target_base.target import PlaceTarget
from keyrota.target_base.upsert import put_or_create
from keyrota.targets.github import runs
from keyrota.targets.github.around import Around
from keyrota.targets.github.connection import GitHubConnection, describe_needs
from keyrota.targets.github.place import Path, Place
from keyrota.targets.github.readiness import preflight
from keyrota.targets.github.shown import conflicts_of, is_gone, names_only, variables_of
from keyrota.targets.github.visibility import Visibility, visibility_of

_WRITTEN = {201, 204}
_GONE = 204
_MISSING, _CONFLICT, _UNPROCESSABLE = 404, 409, 422


class GitHubTarget(PlaceTarget[GitHubConnection, Place]):
    """One place for one pair: two secrets (or a bundle), and a readable marker where one is wanted."""

    @property
    def is_id_readable(self) -> bool:
        """Whether a marker names the key: no secret can be read back."""
        return self._place.marker is not None

    def preflight(self) -> Readiness:
        """
        Ask for everything that a write needs, without one.

        Honest limit: a fine-grained token that may list may still not write; GitHub has no way to ask.
        """
        try:
            if self.wait_for_idle:
                runs.may_look(self._connection, self._place)
            self._marker_is_ours(self._marker())
            answer = preflight(self._connection, self._place)
        except KeyrotaError as error:
            answer = Readiness(address=self.address, is_ready=False, detail=error.what, remedy=error.remedy)
        return replace(answer, token_expires=self._connection.token_expires)

    def read(self) -> TargetState:
        """Return what is there; a refusal is the value FAILED."""
        try:
            return self._read()
        except NotThere as error:
            return self._not_there(error)
        except KeyrotaError as error:
            return self._state(TargetEvidence.FAILED, detail=error.what, remedy=error.remedy)

    def _not_there(self, error: NotThere) -> TargetState:
        state = self._state(TargetEvidence.FAILED, detail=error.what, remedy=error.remedy)
        if not is_gone(self._connection, self._place):
            return state
        forget = f"{DELETED} '{self.address}'"
        if self._place.environment:  # a name that was misspelt needs those that exist
            return replace(state, is_gone=True, remedy=f"{error.remedy}; {forget}")
        return replace(state, is_gone=True, detail="the repository does not exist any more (404)", remedy=forget)

    def _read(self) -> TargetState:
        where, connection = self._place, self._connection
        found = self._secrets()
        marker = self._marker()
        place = connection.identities.place(where, connection.http(where.owner, where.repository).origin)
        record = connection.identities.repository(where)
        everything = connection.lists.read(where.secrets_path, lambda: names_only(found))
        return replace(
            self._interpret(found, marker),
            place=place,
            variables=variables_of(where, found, marker),
            conflicts=conflicts_of(connection, where, everything, marker),
            is_archived=record is not None and record.is_archived,
        )

    def _interpret(self, found: Mapping[str, Mapping[str, Any]], marker: str | None) -> TargetState:
        told = self._connection.http(self._place.owner, self._place.repository).parse_time
        times = {name: at for name, secret in found.items() if (at := told(secret.get("updated_at")))}
        for name, at in times.items():
            # The limit of writes is GitHub's, by the hour and for all runs of a token: what another run wrote within it
            # counts here as well (docs/facts/github.md, limits).
            self._connection.count_write(self._place, name, at)
        changed = max(times.values(), default=None)
        missing = [name for name in self._place.names if name not in found]
        # Without its marker nobody can tell whose key the secrets hold, so that the place counts as not written, and is
        # repaired.
        if self._place.marker and marker is None:
            missing.append(self._place.marker)
        if missing:
            return replace(
                self._state(TargetEvidence.ABSENT, detail=" and ".join(missing)), is_empty=not found and marker is None
            )
        if marker is None:
            return self._state(TargetEvidence.CANNOT_TELL, changed_at=changed)
        key = AccessKeyId(marker) if KEY_ID.fullmatch(marker) else None
        return self._state(TargetEvidence.HOLDS, key=key, changed_at=changed)

    def _state(
        self,
        evidence: TargetEvidence,
        *,
        key: AccessKeyId | None = None,
        changed_at: datetime | None = None,
        detail: str = "",
        remedy: str = "",
    ) -> TargetState:
        return TargetState(
            address=self.address,
            evidence=evidence,
            key=key,
            changed_at=changed_at,
            detail=detail,
            remedy=remedy,
            notice=self._connection.notice(self._place),
            token_expires=self._connection.token_expires,
            carried_for=runs.MAX_RUN_TIME if runs.may_carry(self._place) else timedelta(),
        )

    def place_now(self) -> PlaceId | None:
        """Ask for the numbers of the repository and the environment once more."""
        where, connection = self._place, self._connection
        connection.identities.forget(where)
        return connection.identities.place(where, connection.http(where.owner, where.repository).origin)

    def write(self, credential: KeyPair) -> None:
        """
        Create or update the pair, both halves at once, and the marker when both are there.

        A run that is queued between the two effects gets half a pair; `bundle` is the cure.
        """
        self._marker_is_ours(self._marker())
        where = self._place
        pair = (
            {where.bundle: credential.as_file()}
            if where.bundle
            else {where.secret_name: credential.secret, where.id_name: Secret(credential.id)}
        )
        # A PUT of an organization's secret sets its visibility; a selection that is not sent again is lost (reported,
        # docs/facts/github.md).
        seen = {name: self._visibility(name) for name in pair} if where.repository is None else {}
        self._connection.public_key(where)  # fetched once, before both need it
        # Both turns at once: the second half must not wait for a limit that the first one has used up.
        self._connection.http(where.owner, where.repository).reserve(len(pair), where.scope)
        run_concurrently(*(partial(self._put, name, value, seen.get(name)) for name, value in pair.items()))
        # Last, because it names the key that is there. Written first, a run that dies would leave a marker that does
        # not tell the truth.
        if where.marker:
            self._mark(where.marker, credential.id)

    def is_busy(self) -> bool | None:
        """Look whether a workflow run that reads the secrets is in progress."""
        try:
            return runs.in_progress(self._connection, self._place)
        except KeyrotaError:
            return None

    def runs_with_old_key(self, before: datetime) -> CarriedRuns:
        """Look for runs that were queued before an instant: they carry the secrets of that time."""
        return runs.find_runs(self._connection, self._place, before)

    def surroundings(self) -> Surroundings:
        """Look at the variables beside the secrets, and at what the organization and the environments have."""
        return Around(self._connection, self._place).look(self.address)

    def clear(self, keys: frozenset[AccessKeyId]) -> tuple[str, ...]:
        """Delete the secrets and the marker; a marker that names another key than ours forbids it."""
        marker = self._marker()
        if marker is not None and marker not in keys:
            raise ProviderRefused(
                f"the variable {self._place.marker} does not name a key that keyrota wrote",
                where=self._about(self._place.marker or ""),
                remedy="look at it, and delete the secrets by hand if nobody needs them",
            )
        gone = [name for name in self._place.names if self._delete((*self._place.secrets_path, name), name)]
        if self._place.marker and self._delete((*self._place.variables_path, self._place.marker), self._place.marker):
            gone.append(self._place.marker)
        if not gone:
            self._connection.pages_of_secrets(self._place)  # refuses where nothing may be seen: that is not gone
        return tuple(gone)

    def delete_half(self, half: Half) -> None:
        """Delete one secret."""
        name = self._place.id_name if half is Half.ID else self._place.secret_name
        self._delete((*self._place.secrets_path, name), name)

    def _delete(self, path: Path, name: str) -> bool:
        answer = self._call("DELETE", path, name)
        if answer.status == _MISSING:
            return False
        self._demand(answer, name)
        if answer.status != _GONE:
            raise make_response_error(
                "GitHub's answer to the deletion is not GitHub's: whether it is gone is not known", self._about(name)
            )
        return True

    # --- secrets ----------------------------------------------------------------------------------------------------

    def _secrets(self) -> dict[str, dict[str, Any]]:
        """Find our own secrets: name, times, and of an organization's the visibility. No value is ever told."""
        if self._place.repository is None:
            found = {name: self._secret(name) for name in self._place.names}
            return {name: secret for name, secret in found.items() if secret is not None}
        values = self._connection.pages_of_secrets(self._place)
        # GitHub stores names in upper case, and takes any case.
        everything = names_only(str(value.get("name", "")).upper() for value in values)
        self._connection.lists.keep(self._place.secrets_path, everything)
        return {str(value["name"]).upper(): value for value in values if self._is_ours(value)}

    def _is_ours(self, value: Mapping[str, Any]) -> bool:
        return str(value.get("name", "")).upper() in self._place.names

    def _secret(self, name: str) -> dict[str, Any] | None:
        """Get one secret; None if it is not there, an error if its organization is not."""
        answer = self._call("GET", (*self._place.secrets_path, name), name)
        if answer.status == _MISSING:
            self._connection.public_key(self._place)  # refuses if it is the organization that is not there
            return None
        self._demand(answer, name)
        if answer.object().get("name") is None:
            raise make_response_error("GitHub's answer is no list and no secret", self._about(name))
        return answer.object()

    def _put(self, name: str, value: Secret, seen: Visibility | None) -> None:
        """Seal and send; a key that was renewed meanwhile is fetched once more."""
        self._connection.lists.drop(self._place.secrets_path)
        key = self._connection.public_key(self._place)
        answer = self._send(name, value, seen, key)
        if answer.status == _UNPROCESSABLE:
            # GitHub may renew a scope's key at any time. With the key that was just refused left out, a second refusal
            # is about something else.
            answer = self._send(name, value, seen, self._connection.public_key(self._place, refused=key))
        self._demand_written(name, answer)

    def _send(self, name: str, value: Secret, seen: Visibility | None, key: PublicKey) -> Response:
        body: dict[str, Any] = {"encrypted_value": key.seal(value), "key_id": key.id}
        if seen is not None:
            body |= seen.fields()
        return self._call("PUT", (*self._place.secrets_path, name), name, body=body, is_reserved=True)

    def _visibility(self, name: str) -> Visibility:
        """Read who may see an organization's secret, because every write sets it."""
        return visibility_of(self._connection, self._place, name, self._secret(name))

    # --- the marker -------------------------------------------------------------------------------------------------

    def _marker(self) -> str | None:
        """Read the variable that names the key; None if it is not there, or not wanted."""
        if self._place.marker is None:
            return None
        answer = self._call("GET", (*self._place.variables_path, self._place.marker), self._place.marker)
        if answer.status == _MISSING:
            return None
        self._demand(answer, self._place.marker)
        value = answer.object().get("value")
        if not isinstance(value, str):
            raise make_response_error("GitHub's answer is no list and no variable", self._about(self._place.marker))
        return value

    def _marker_is_ours(self, value: str | None) -> None:
        if value is not None and not LONG_LIVED.fullmatch(value):
            raise ProviderRefused(
                f"the variable {self._place.marker} exists and holds no key ID: it is somebody else's",
                where=self._about(self._place.marker or ""),
                remedy="give the marker another name: `marker: NAME`",
            )

    def _mark(self, name: str, key: AccessKeyId) -> None:
        """Update the variable, or create it."""
        self._connection.lists.drop(self._place.variables_path)
        body: dict[str, Any] = {"name": name, "value": str(key)}
        path = (*self._place.variables_path, name)
        put_or_create(
            put=lambda: self._call("PATCH", path, name, body=body, is_repeatable=True),
            create=lambda: self._create_marker(name, body),
            confirm=partial(self._demand_written, name),
            is_missing=lambda answer: answer.status == _MISSING,
            lost=lambda: write_lost("GitHub", "variable", self._about(name)),
        )

    def _create_marker(self, name: str, body: dict[str, Any]) -> Response:
        # A marker that fewer repositories see than the secrets would be missing where it is looked for.
        more = self._visibility(self._place.names[-1]).fields() if self._place.repository is None else {}
        return self._call("POST", self._place.variables_path, name, body=body | more)

    def _demand_written(self, name: str, answer: Response) -> None:
        self._demand(answer, name)
        if answer.status not in _WRITTEN:
            what = "GitHub's answer to the write is not GitHub's: whether it was written is not known"
            raise make_response_error(what, self._about(name))

    # --- calls ------------------------------------------------------------------------------------------------------

    def _call(self, method: str, path: Path, name: str, **more: Any) -> Response:
        return self._connection.call(self._place, method, path, self._about(name), **more)

    def _demand(self, answer: Response, name: str) -> None:
        if answer.status == _CONFLICT:
            raise ProviderRefused(
                f"GitHub refused: a conflict ({answer.status})",
                where=self._about(name),
                remedy=f"somebody changes it at the same time; {describe_needs(self._place, answer)}",
            )
        self._connection.raise_for_status(answer, self._place, self._about(name))

    def _about(self, name: str) -> str:
        kind = "variable" if name == self._place.marker else "secret"
        return f"{self._place.scope}, {kind} {name}"
