"""One variable group for one pair."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from keyrota.core.levels import Side, Written
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
from keyrota.core.variables import Listed, find_shown, pair_conflicts, states_of
from keyrota.target_base.look import Look
from keyrota.target_base.schema import name_place, name_provider, names_of
from keyrota.target_base.target import BaseTarget
from keyrota.targets.azure_devops.connection import SAYS, AzureConnection, is_linked, whole
from keyrota.targets.azure_devops.group import Group


class AzureTarget(BaseTarget):
    """One variable group."""

    def __init__(self, connection: AzureConnection, settings: Mapping[str, Any]) -> None:
        super().__init__(address(settings))
        self._connection = connection
        self._project: str = settings["project"]
        self._group: str = str(settings["group"])
        self._is_number = isinstance(settings["group"], int)
        self._id_name, self._secret_name = names_of(settings)

    @property
    def has_separate_variables(self) -> bool:
        """One PUT changes both halves."""
        return False

    @property
    def is_id_readable(self) -> bool:
        """A new ID is no secret; one that a person made secret cannot be told."""
        return True

    def preflight(self) -> Readiness:
        """Read the group, and see whether it could be sent back. Honest limit: who may read may still not manage."""
        return self.readiness(lambda: whole(self._get(self._number()), self._about(), {}))

    def read(self) -> TargetState:
        """Return which key the ID names; a refusal is the value FAILED."""
        return self.read_or_failed(self._read)

    def _read(self) -> TargetState:
        number = self._number()
        group = self._get(number)
        variables, names = group.list_variables(), self._spell(group)
        return replace(
            self._state(group),
            place=PlaceId(kind="azure_devops", origin=self._connection.origin, id=f"variable group {number}"),
            variables=states_of(names, variables, id_name=names[0]),
            shown=find_shown(variables, self.address, beside=names),
            conflicts=tuple(self._conflicts(group)),
        )

    def _state(self, group: Group) -> TargetState:
        missing = [name for name in (self._id_name, self._secret_name) if group.get(name) is None]
        if missing:
            return self.absent_state(missing, is_empty=len(missing) == 2)  # noqa: PLR2004  # a pair
        evidence = TargetEvidence.CANNOT_TELL if group.is_secret(self._id_name) else TargetEvidence.HOLDS
        state = TargetState(address=self.address, evidence=evidence, key=group.key(self._id_name))
        if group.is_secret(self._secret_name):
            return state
        return replace(state, notice=f"{self._secret_name} is no secret variable: whoever may see the group reads it")

    def _spell(self, group: Group) -> tuple[str, str]:
        """Spell the pair's names as the group does, which compares them without case."""
        id_name, secret_name = self._id_name, self._secret_name
        return group.find_name(id_name) or id_name, group.find_name(secret_name) or secret_name

    def _conflicts(self, group: Group) -> Iterator[Conflict]:
        yield from pair_conflicts(group.list_variables(), *self._spell(group))
        if is_linked(group):
            yield Conflict(
                what="the variables of this group are linked from Azure Key Vault, which alone can change them",
                remedy="give a variable group that keeps its variables itself",
                is_lasting=True,
            )

    def surroundings(self) -> Surroundings:
        """Look at the other variable groups of the project: a pipeline may use several, none goes before another."""
        look = Look()
        ask = self._connection.others
        number = look.attempt(self.address, self._number)
        others = look.attempt(
            f"the other variable groups of {self._project}", lambda: ask(self._project, number or "", self._about())
        )
        for name, variables in (others or {}).items():
            look.level(f"azure_devops {self._project}/{name}", Side.APART, partial(_as_is, variables))
        written = Written(pair=(self._id_name, self._secret_name), bundle=None, present=frozenset())
        return look.conclude(self.address, written)

    def write(self, credential: KeyPair) -> None:
        """Put the pair into the group with one PUT; flags of variables that exist stay."""

        def with_pair(group: Group) -> dict[str, Any]:
            changed = group.variables
            for name, value, is_secret in (
                (self._id_name, Secret(credential.id), False),
                (self._secret_name, credential.secret, True),
            ):
                known = group.get(name) or {"isSecret": is_secret}
                changed[group.find_name(name) or name] = {**known, "value": value}
            return changed

        def holds_pair(group: Group) -> bool:
            is_told = group.is_secret(self._id_name) or group.key(self._id_name) == credential.id
            return is_told and group.get(self._secret_name) is not None

        self._replace(self._number(), with_pair, holds_pair)

    def clear(self, keys: frozenset[AccessKeyId]) -> tuple[str, ...]:
        """Take both variables out of the group; a readable ID that is not one of ours forbids it."""
        number = self._number()
        names = self._ours(self._get(number), keys)

        def without_pair(group: Group) -> dict[str, Any]:
            ours = self._ours(group, keys)  # looked at again: someone may have written since
            return {name: value for name, value in group.variables.items() if name not in ours}

        if names:
            self._replace(number, without_pair, lambda group: not self._ours(group, keys))
        return names

    def _ours(self, group: Group, keys: frozenset[AccessKeyId]) -> tuple[str, ...]:
        """Name the variables of the pair that are there, as they are spelled."""
        found = [name for wanted in (self._id_name, self._secret_name) if (name := group.find_name(wanted))]
        is_known = group.is_secret(self._id_name) or group.key(self._id_name) in keys
        if found and not is_known:
            raise SAYS.not_ours(self._id_name, self._about())
        return tuple(found)

    # --- calls ------------------------------------------------------------------------------------------------------

    def _about(self) -> str:
        return f"{self.address}, variables {self._id_name} and {self._secret_name}"

    def _number(self) -> str:
        if self._is_number:
            return self._group
        return self._connection.number(self._project, self._group, self._about())

    def _get(self, number: str) -> Group:
        return self._connection.get(self._project, number, self._about())

    def _replace(
        self, number: str, change: Callable[[Group], dict[str, Any]], is_done: Callable[[Group], bool]
    ) -> None:
        self._connection.replace(self._project, number, self._about(), change=change, is_done=is_done)


def _as_is(variables: tuple[Listed, ...]) -> tuple[Listed, ...]:
    return variables


def address(settings: Mapping[str, Any]) -> str:
    """Name a variable group in words."""
    return name_place(f"{name_provider(settings, 'azure_devops')} {settings['project']}/{settings['group']}", settings)
