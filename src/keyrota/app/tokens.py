"""Which of a provider's tokens a duty uses: functions that only read get the reading one, where one is given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from keyrota.app.config.model import Reference
from keyrota.target_base.schema import READ_TOKEN

READING_DUTIES = frozenset({"deactivate", "delete", "watch"})
"""Functions that write to no target. The command line has one identity for everything, and uses the writing token."""


def settings_of(settings: Mapping[str, Any], duty: str) -> Mapping[str, Any]:
    """Choose a provider's token for a duty: what is left has no `read_token`."""
    auth = settings.get("auth")
    if not isinstance(auth, Mapping) or READ_TOKEN not in auth:
        return settings
    rest = {name: value for name, value in auth.items() if name != READ_TOKEN}
    if duty in READING_DUTIES:
        (field,) = [name for name in rest if name in _TOKENS]
        rest[field] = auth[READ_TOKEN]
    return {**settings, "auth": rest}


_TOKENS = frozenset({"token", "api_token", "entra_token"})
"""Fields that a reading token may stand beside."""


def leave_out_reading(references: Iterable[Reference]) -> Iterator[Reference]:
    """Leave the reading tokens out."""
    return (reference for reference in references if reference.field != READ_TOKEN)


def choose_reading(references: Iterable[Reference]) -> Iterator[Reference]:
    """Choose the reading token of a provider, or what it has in its place."""
    every = tuple(references)
    separate = {reference.provider for reference in every if reference.field == READ_TOKEN}
    return (one for one in every if (one.field == READ_TOKEN) is (one.provider in separate))
