"""The CI providers: one module each, found by the entry point group `keyrota.targets`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from types import MappingProxyType

from keyrota.target_base.provider import Provider

GROUP = "keyrota.targets"


@cache
def kinds() -> Mapping[str, Provider]:
    """
    Find every kind of target that is installed, by the name that the configuration uses; a process looks once.

    Each look reads the entry points of every distribution that is installed: some milliseconds for each target.
    """
    return MappingProxyType({point.name: point.load() for point in entry_points(group=GROUP)})
