"""One place at GitLab for one pair."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from keyrota.core.lifecycle import KEY_ID
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
from keyrota.core.variables import key_ids
from keyrota.errors import Half, KeyrotaError, NotThere, ProviderRefused, ProviderUnavailable
from keyrota.http import Response, run_concurrently
from keyrota.target_base.errors import DELETED, make_response_error, write_lost
from keyrota.target_base.target import PlaceTarget
from keyrota.target_base.upsert import put_or_create
from keyrota.targets.gitlab import pipelines
from keyrota.targets.gitlab.around import Around
from keyrota.targets.gitlab.connection import GitLabConnection, is_absent_variable, name_refused_fields
from keyrota.targets.gitlab.gone import is_gone
from keyrota.targets.gitlab.place import Place
from keyrota.targets.gitlab.shown import Variable, conflicts, states

_MAX_LENGTH = 10_000
_IN_A_FILE = re.compile(r"^aws_access_key_id\s*=\s*(\S+)\s*$", re.MULTILINE)
_MISSING, _BAD = 404, 400


class GitLabTarget(PlaceTarget[GitLabConnection, Place]):
    """One place for one pair."""

    @property
    def is_id_readable(self) -> bool:
        """The key ID can be read back, even masked."""
        return True

    def preflight(self) -> Readiness:
        """
        Look at the token's own record and at the very variables that would be written.

        Honest limit: a role that may read variables may write them, so far as GitLab documents it.
        """
        token = self._connection.token()
        try:
            trouble, remedy = next(self._troubles(), ("", ""))
        except KeyrotaError as error:
            trouble, remedy = error.what, error.remedy
        return Readiness(
            address=self.address,
            is_ready=not trouble,
            detail=trouble,
            remedy=remedy,
            token_expires=token.expires,
        )

    def _troubles(self) -> Iterator[tuple[str, str]]:
        token = self._connection.token()
        if token.is_revoked:
            yield "the token is revoked", "make a new one and put it where `providers: gitlab: auth:` points"
        if token.scopes is not None and "api" not in token.scopes:
            yield "the token lacks the scope api", "make a token with the scope api"
        for variable in self._read_ours().values():
            trouble = self._misfit(variable)
            if trouble is not None:
                yield trouble.what, trouble.remedy
            sample = KeyPair(id=AccessKeyId("A" * 20), secret=Secret("s" * 40))
            if not variable.masks(sample.as_file() if self._place.bundle else sample.secret):
                yield f"{variable.name} is masked, and GitLab would refuse to mask the new value", "unmask it in GitLab"
        if self.wait_for_idle:
            pipelines.may_look(self._connection, self._place)

    def read(self) -> TargetState:
        """Return what is there; a refusal is the value FAILED."""
        try:
            found = self._read_ours()
            place = self._connection.identities.place(self._place)
            record = self._connection.identities.record(self._place)
        except NotThere as error:
            return self._not_there(error)
        except KeyrotaError as error:
            return self._state(TargetEvidence.FAILED, detail=error.what, remedy=error.remedy)
        state = replace(self._interpret(found), place=place, is_archived=record is not None and record.is_archived)
        misfits = (self._misfit(variable) for variable in found.values())
        unfit = tuple(Conflict(what=misfit.what, remedy=misfit.remedy) for misfit in misfits if misfit is not None)
        return replace(state, variables=states(self._place, found), conflicts=(*unfit, *conflicts(self._place, found)))

    def _not_there(self, error: NotThere) -> TargetState:
        state = self._state(TargetEvidence.FAILED, detail=error.what, remedy=error.remedy)
        if not is_gone(self._connection, self._place):
            return state
        forget = f"{DELETED} '{self.address}'"
        what = "the project does not exist any more (404)"
        return replace(state, is_gone=True, detail=what, remedy=forget)

    def _interpret(self, found: Mapping[str, Variable]) -> TargetState:
        missing = [name for name in self._place.names if name not in found]
        if missing:
            return replace(self._state(TargetEvidence.ABSENT, detail=" and ".join(missing)), is_empty=not found)
        telling = found[self._place.bundle or self._place.id_name]
        evidence = TargetEvidence.CANNOT_TELL if telling.is_hidden else TargetEvidence.HOLDS
        misfits = [trouble.what for variable in found.values() if (trouble := self._misfit(variable))]
        state = self._state(evidence, key=telling.key)
        return replace(state, notice="; ".join(filter(None, [state.notice, *misfits])))

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
            token_expires=self._connection.token().expires if evidence is not TargetEvidence.FAILED else None,
        )

    def place_now(self) -> PlaceId | None:
        """Ask for the number of the project or the group once more."""
        self._connection.identities.forget(self._place)
        return self._connection.identities.place(self._place)

    def write(self, credential: KeyPair) -> None:
        """
        Create or update the pair, both halves at once.

        A job that starts between the two effects reads half a pair; `bundle` is the cure.
        """
        if self._place.bundle:
            values = {self._place.bundle: credential.as_file()}
        else:
            values = {self._place.secret_name: credential.secret, self._place.id_name: Secret(credential.id)}
        found = self._read_ours()
        for name, value in values.items():
            self._refuse_unfit(found.get(name), name, value)
        # Half a pair that is made anew is as protected as the other half: people set that by hand.
        is_protected = any(variable.is_protected for variable in found.values()) if found else self._place.protected
        self._connection.http.reserve(len(values), self._place.scope)
        run_concurrently(
            *(
                partial(self._put, name, value, is_there=name in found, is_protected=is_protected)
                for name, value in values.items()
            )
        )

    def is_busy(self) -> bool | None:
        """Look whether a pipeline that reads the variables runs; GitLab cannot be asked for one environment."""
        try:
            return pipelines.in_progress(self._connection, self._place)
        except KeyrotaError:
            return None

    def surroundings(self) -> Surroundings:
        """Look at all scopes of the project or group, at what is above it, and at its pipeline schedules."""
        return Around(self._connection, self._place).look(self.address)

    def clear(self, keys: frozenset[AccessKeyId]) -> tuple[str, ...]:
        """Delete the variables; a readable key ID that is not one of ours forbids it."""
        found = self._read_ours()
        known = found.get(self._place.bundle or self._place.id_name)
        if found and (known is None or (not known.is_hidden and keys.isdisjoint(known.keys))):
            raise ProviderRefused(
                f"{self._place.id_name} holds {(known and known.key) or 'something'} that keyrota did not write",
                where=self._about(self._place.id_name),
                remedy="look at it, and delete it by hand if nothing needs it",
            )
        for name in found:
            self._delete(name)
        return tuple(found)

    def delete_half(self, half: Half) -> None:
        """Delete one variable."""
        self._delete(self._place.id_name if half is Half.ID else self._place.secret_name)

    def _delete(self, name: str) -> None:
        answer = self._call("DELETE", name)
        if answer.status != _MISSING:
            self._connection.raise_for_status(answer, self._about(name), self._place)

    # --- variables --------------------------------------------------------------------------------------------------

    def _read_ours(self) -> dict[str, Variable]:
        """Get our own variables, one by one; nobody else's value is ever asked for."""
        # Not by the list, which returns every variable's value in clear (docs/facts/gitlab.md): other people's secrets
        # would pass through this process.
        found = {name: self._get(name) for name in self._place.names}
        return {name: variable for name, variable in found.items() if variable is not None}

    def _get(self, name: str) -> Variable | None:
        answer = self._call("GET", name)
        if is_absent_variable(answer):
            return None
        self._connection.raise_for_status(answer, self._about(name), self._place)
        content = answer.object()
        self._demand_variable(content, name, "it is no list and no variable")
        value = content.get("value")
        text = value if isinstance(value, str) else ""
        within = _IN_A_FILE.search(text) if name == self._place.bundle else None
        text = within[1] if within else text
        key = AccessKeyId(text) if KEY_ID.fullmatch(text) else None
        is_telling = name in {self._place.id_name, self._place.bundle}
        return Variable(
            name=name,
            is_file=content.get("variable_type") == "file",
            is_masked=bool(content.get("masked")),
            is_hidden=bool(content.get("hidden")) or value is None,
            is_raw=bool(content.get("raw")),
            is_protected=bool(content.get("protected")),
            key=key if is_telling else None,
            keys=key_ids(text) if is_telling else (),
        )

    def _demand_variable(self, content: Mapping[str, Any], name: str, what: str) -> None:
        """Believe an answer only if it shows our variable, in our scope: a login page answers 200 as well."""
        # An instance's variables have no scope.
        scope = content.get("environment_scope", self._place.environment_scope)
        if content.get("key") != name or scope != self._place.environment_scope:
            raise make_response_error(
                f"GitLab's answer is not the variable that was asked for: {what}", self._about(name)
            )

    def _refuse_unfit(self, variable: Variable | None, name: str, value: Secret) -> None:
        """See before the write what GitLab would refuse, or what a pipeline could not use."""
        intended = variable or self._new(name)
        trouble = self._misfit(variable) if variable else None
        if trouble is not None:
            raise trouble
        if not intended.masks(value):
            raise ProviderRefused(
                f"GitLab would refuse to mask this value of {name}: 8 characters at least, one line, no white space",
                where=self._about(name),
                remedy="switch masking off for this variable, or `masked: false` for a new one; nothing was written",
            )
        if len(value.reveal()) > _MAX_LENGTH:
            raise ProviderRefused(
                f"the value of {name} is longer than {_MAX_LENGTH} characters", where=self._about(name)
            )

    def _misfit(self, variable: Variable) -> ProviderRefused | None:
        """Find a variable that exists as another type than a pipeline needs."""
        wants_file = self._place.bundle is not None
        if variable.is_file == wants_file:
            return None
        is_now, should = ("a file", "a plain variable") if variable.is_file else ("a plain variable", "a file")
        return ProviderRefused(
            f"{variable.name} exists as {is_now}, and must be {should}",
            where=self._about(variable.name),
            remedy="change its type in GitLab, or give another name; nothing was written",
        )

    def _new(self, name: str) -> Variable:
        where = self._place
        is_file = where.bundle is not None
        return Variable(
            name=name,
            is_file=is_file,
            is_masked=where.masked,
            is_hidden=self._hides(name),
            is_raw=where.raw,
            is_protected=where.protected,
            key=None,
        )

    def _hides(self, name: str) -> bool:
        """Return whether a new variable is hidden: the ID never, so that drift shows."""
        return self._place.hidden and name != self._place.id_name

    def _put(self, name: str, value: Secret, *, is_there: bool, is_protected: bool) -> None:
        """Update the variable, or create it; one that was deleted since we looked is created with all attributes."""
        self._connection.lists.drop(self._place.variables_path)
        put_or_create(
            # The value alone: GitLab leaves what is not sent as it is, and `environment_scope` in a PUT would move the
            # variable.
            put=lambda: self._call("PUT", name, body={"value": value}, is_reserved=True),
            create=lambda: self._create(name, value, is_protected=is_protected),
            confirm=partial(self._demand_written, name),
            is_taken=_is_taken,
            is_missing=is_absent_variable,
            lost=partial(self._make_write_lost, name),
            is_there=is_there,
        )

    def _make_write_lost(self, name: str) -> ProviderUnavailable:
        return write_lost("GitLab", "variable", self._about(name))

    def _create(self, name: str, value: Secret, *, is_protected: bool) -> Response:
        """Create a variable with all its attributes."""
        intended = self._new(name)
        body: dict[str, Any] = {
            "key": name,
            "value": value,
            "variable_type": "file" if intended.is_file else "env_var",
            "protected": is_protected,
            "masked": intended.is_masked,
            "raw": intended.is_raw,
        }
        if intended.is_hidden and not self._place.is_instance:
            # Only at its creation: GitLab hides no variable that exists (17.4), and keyrota does not delete one in
            # order to hide it.
            body |= {"masked_and_hidden": True}
        if not self._place.is_instance:
            body |= {"environment_scope": self._place.environment_scope}
        path, about = self._connection.path(self._place), self._about(name)
        return self._connection.call(self._place, "POST", path, about, body=body, is_reserved=True)

    def _demand_written(self, name: str, answer: Response) -> None:
        if is_absent_variable(answer):  # it was taken, and someone deleted it
            raise self._make_write_lost(name)
        self._connection.raise_for_status(answer, self._about(name), self._place)
        self._demand_variable(answer.object(), name, "whether it was written is not known")

    def _call(self, method: str, name: str, **more: Any) -> Response:
        path = (*self._connection.path(self._place), name)
        return self._connection.call(
            self._place, method, path, self._about(name), query=self._place.filter or None, **more
        )

    def _about(self, name: str) -> str:
        return f"{self._place.scope}, variable {name}"


def _is_taken(answer: Response) -> bool:
    """Return whether a variable of that name and scope exists by now."""
    # GitLab answers 400 and not 409, `(KEY) has already been taken`; the words are the service's to change, the field
    # is not.
    return answer.status == _BAD and "key" in name_refused_fields(answer)
