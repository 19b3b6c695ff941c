"""One workspace or one variable set for one pair."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from keyrota.core.model import (
    AccessKeyId,
    CarriedRuns,
    Conflict,
    KeyPair,
    PlaceId,
    Readiness,
    ShownKey,
    Surroundings,
    TargetEvidence,
    TargetState,
)
from keyrota.core.secret import Secret
from keyrota.core.variables import Listed, find_shown, pair_conflicts, states_of
from keyrota.errors import Half, KeyrotaError
from keyrota.http import Response, run_concurrently
from keyrota.target_base.schema import ID_NAME, SECRET_NAME
from keyrota.target_base.target import BaseTarget
from keyrota.target_base.upsert import upsert
from keyrota.targets.terraform import runs
from keyrota.targets.terraform.around import Around
from keyrota.targets.terraform.connection import MEDIA, SAYS, Path, TerraformConnection, Variable, variables_path
from keyrota.targets.terraform.place import Category, address, place_of

_MISSING = 404
_USUAL = f"names: {{id: {ID_NAME}, secret: {SECRET_NAME}}}"
"""What needs no `names:` in the configuration."""
_DYNAMIC = "TFC_AWS_PROVIDER_AUTH"
"""Switches dynamic provider credentials on (HCP Terraform, "Dynamic Credentials with the AWS Provider")."""


class TerraformTarget(BaseTarget):
    """One workspace or one variable set."""

    def __init__(self, connection: TerraformConnection, settings: Mapping[str, Any]) -> None:
        super().__init__(address(settings))
        self._connection = connection
        self._http = connection.http
        self._place = place_of(settings)
        self._id_name, self._secret_name = self._place.names

    @property
    def has_separate_variables(self) -> bool:
        """Two variables."""
        return True

    @property
    def is_id_readable(self) -> bool:
        """A new ID is not sensitive; one that a person made sensitive cannot be told."""
        return True

    def preflight(self) -> Readiness:
        """List the variables. Honest limit: a token that may read may still not write; HCP cannot be asked."""
        return self.readiness(lambda: self._list(self._path()))

    def read(self) -> TargetState:
        """Return which key the ID names; a refusal is the value FAILED."""
        return self.read_or_failed(self._read)

    def _read(self) -> TargetState:
        path = self._path()
        everything = self._connection.variables(path, self._about(""))
        found = self._ours(everything)
        return replace(
            self._state(found),
            place=PlaceId(kind="terraform", origin=self._http.origin, id=self._id(path)),
            variables=states_of(self._place.names, [one.listed for one in found.values()], id_name=self._id_name),
            shown=self._find_shown(everything),
            conflicts=tuple(self._conflicts(everything)),
        )

    def _state(self, found: Mapping[str, Variable]) -> TargetState:
        missing = [name for name in self._place.names if name not in found]
        if missing:
            return self.absent_state(missing, is_empty=not found)
        telling = found[self._id_name]
        evidence = TargetEvidence.CANNOT_TELL if telling.is_sensitive else TargetEvidence.HOLDS
        notice = f"{self._secret_name} is not sensitive: whoever may read variables reads it"
        return TargetState(
            address=self.address,
            evidence=evidence,
            key=telling.listed.key,
            notice="" if found[self._secret_name].is_sensitive else notice,
            carried_for=runs.MAX_RUN_TIME,
        )

    def _id(self, path: Path) -> str:
        """Write the place's own ID: workspaces and variable sets have one that no other organization has."""
        kind = "workspace" if self._place.workspace else "variable set"
        more = " category terraform" if self._place.category is Category.TERRAFORM else ""
        return f"{kind} {path[1]}{more}"

    def _find_shown(self, everything: Sequence[Variable]) -> tuple[ShownKey, ...]:
        """Name the key IDs that readable variables of both categories contain, our own pair's aside."""
        own, other = self._place.category, self._place.category.other
        return (
            *find_shown(_of(everything, own), self.address, beside=self._place.names, noun=own.noun),
            *find_shown(_of(everything, other), self.address, noun=other.noun),
        )

    def _conflicts(self, everything: Sequence[Variable]) -> Iterator[Conflict]:
        own, other = self._place.category, self._place.category.other
        yield from pair_conflicts(_of(everything, own), *self._place.names, noun=own.noun)
        if not self._ours(everything):
            for found in pair_conflicts(_of(everything, other), "", "", noun=other.noun):
                yield replace(
                    found,
                    what=f"{found.what.partition(':')[0].replace(' under another name', '')} of the other category: "
                    f"a write would add {own.noun}s beside it, which no run may read",
                    remedy=f"set `category: {other}`{'' if _USUAL in found.remedy else f', and {found.remedy}'}",
                )
        if any(one.name == _DYNAMIC and one.category is Category.ENV for one in everything):
            yield Conflict(
                what=f"{_DYNAMIC} is set: runs get temporary credentials by OIDC, and may not use the pair",
                remedy=f"leave this place out of the configuration, or remove {_DYNAMIC}",
            )

    def surroundings(self) -> Surroundings:
        """Look at the variable sets that are applied to the workspace, or at the workspaces of the set."""
        try:
            path = self._path()
            present = frozenset(self._list(path))
        except KeyrotaError as error:
            return Surroundings(address=self.address, unread=(f"what else gives it variables: {error.what}",))
        return Around(self._connection, self._place, path[1]).surroundings(present)

    def runs_with_old_key(self, before: datetime) -> CarriedRuns:
        """Return whether runs wait, for a confirmation say, that were created before an instant."""
        try:
            return runs.find_runs(self._connection, self._place, self._path()[1], before)
        except KeyrotaError as error:
            return runs.unknown(self._place, error)

    def write(self, credential: KeyPair) -> None:
        """Create or update both variables at once; an update sends the value alone, so that every flag stays."""
        path = self._path()
        found = self._list(path)
        run_concurrently(
            partial(self._put, path, found.get(self._secret_name), self._secret_name, credential.secret),
            partial(self._put, path, found.get(self._id_name), self._id_name, Secret(credential.id)),
        )

    def clear(self, keys: frozenset[AccessKeyId]) -> tuple[str, ...]:
        """Delete both variables; a readable ID that is not one of ours forbids it."""
        path = self._path()
        found = self._list(path)
        known = found.get(self._id_name)
        if found and (known is None or (not known.is_sensitive and known.listed.key not in keys)):
            raise SAYS.not_ours(self._id_name, self._about(self._id_name))
        for name, variable in found.items():
            self._delete(path, name, variable.id)
        return tuple(found)

    def delete_half(self, half: Half) -> None:
        """Delete one variable."""
        name, path = self._id_name if half is Half.ID else self._secret_name, self._path()
        variable = self._list(path).get(name)
        if variable is not None:
            self._delete(path, name, variable.id)

    def _delete(self, path: Path, name: str, number: str) -> None:
        answer = self._call("DELETE", (*path, number), name)
        if answer.status != _MISSING:
            SAYS.raise_for_status(answer, self._about(name))

    # --- calls ------------------------------------------------------------------------------------------------------

    def _path(self) -> Path:
        """Find the path of the variables: a workspace has an ID besides its name."""
        if self._place.variable_set is not None:
            return variables_path(self._place.variable_set, is_set=True)
        return variables_path(self._connection.workspace(self._place, self._about("")), is_set=False)

    def _call(self, method: str, path: Path, name: str, **more: Any) -> Response:
        return self._http.call(method, path, where=self._about(name), **more)

    def _about(self, name: str) -> str:
        return f"{self.address}, variable {name}" if name else f"{self.address}, its variables"

    def _list(self, path: Path) -> dict[str, Variable]:
        return self._ours(self._connection.variables(path, self._about("")))

    def _ours(self, everything: Sequence[Variable]) -> dict[str, Variable]:
        """Take our own two; a variable of the other category and the same name is another one."""
        return {
            one.name: one
            for one in everything
            if one.category is self._place.category and one.name in self._place.names
        }

    def _put(self, path: Path, found: Variable | None, name: str, value: Secret) -> None:
        """Update the variable, or create it."""
        upsert(
            found,
            create=lambda: self._create(path, name, value),
            look=lambda: self._list(path).get(name),
            update=lambda there: self._update(path, there, value),
            confirm=partial(self._demand_written, name),
            lost=lambda: SAYS.write_lost("variable", self._about(name)),
        )

    def _update(self, path: Path, there: Variable, value: Secret) -> Response:
        body = {"data": {"type": "vars", "id": there.id, "attributes": {"value": value}}}
        return self._call("PATCH", (*path, there.id), there.name, body=body, content_type=MEDIA, is_repeatable=True)

    def _create(self, path: Path, name: str, value: Secret) -> Response:
        """Create a variable, the ID readable, the secret not."""
        attributes = {
            "key": name,
            "value": value,
            "category": str(self._place.category),
            "sensitive": name == self._secret_name,
        }
        body = {"data": {"type": "vars", "attributes": attributes}}
        return self._call("POST", path, name, body=body, content_type=MEDIA)

    def _demand_written(self, name: str, answer: Response) -> None:
        SAYS.raise_for_status(answer, self._about(name))
        data = answer.object().get("data")
        attributes = data.get("attributes") if isinstance(data, dict) else None
        if not isinstance(attributes, dict) or attributes.get("key") != name:
            what = "HCP Terraform's answer to the write is not the variable: whether it was written is not known"
            raise SAYS.make_response_error(what, self._about(name))


def _of(everything: Sequence[Variable], category: Category) -> tuple[Listed, ...]:
    return tuple(one.listed for one in everything if one.category is category)
