"""A variable group as Azure DevOps shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from keyrota.core.lifecycle import KEY_ID
from keyrota.core.model import AccessKeyId
from keyrota.core.secret import Secret
from keyrota.core.variables import Listed, describe_variable


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A variable group as it was read; other people's plain values are in it as secrets, to be sent back."""

    content: Mapping[str, Any] = field(repr=False)

    @property
    def variables(self) -> dict[str, Any]:
        """Return all variables, each as it is."""
        return dict(self.content["variables"])

    def find_name(self, name: str) -> str | None:
        """Find a variable, however its name is spelled; None if it is not there."""
        return next((other for other in self.variables if other.casefold() == name.casefold()), None)

    def get(self, name: str) -> dict[str, Any] | None:
        """Get a variable; None if it is not there."""
        found = self.variables.get(self.find_name(name) or "")
        return found if isinstance(found, dict) else None

    def key(self, name: str) -> AccessKeyId | None:
        """Read a key ID; None for a secret, and for anything that is none."""
        value = (self.get(name) or {}).get("value")
        if not isinstance(value, Secret) or not KEY_ID.fullmatch(value.reveal()):
            return None
        return AccessKeyId(value.reveal())

    def list_variables(self) -> tuple[Listed, ...]:
        """List all variables; of a plain value only the key IDs are kept."""
        return tuple(
            _describe_variable(name, variable)
            for name, variable in self.variables.items()
            if isinstance(variable, dict)
        )

    def is_secret(self, name: str) -> bool:
        """Return whether a variable can never be read."""
        return (self.get(name) or {}).get("isSecret") is True


def _describe_variable(name: str, variable: Mapping[str, Any]) -> Listed:
    value = variable.get("value")
    is_readable = isinstance(value, Secret) and variable.get("isSecret") is not True
    return describe_variable(
        name, value.reveal() if is_readable and isinstance(value, Secret) else None, is_readable=is_readable
    )


def hide(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Keep every value as a secret, plain ones too: they are someone else's, and a traceback shows locals."""
    return {
        name: {**variable, "value": Secret(variable["value"])}
        if isinstance(variable, dict) and isinstance(variable.get("value"), str)
        else variable
        for name, variable in variables.items()
    }
