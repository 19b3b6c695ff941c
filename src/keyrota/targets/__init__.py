"""The CI providers: one module each, found by the entry point group `keyrota.targets`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points

from keyrota.target_base.provider import Provider

GROUP = "keyrota.targets"


def kinds() -> Mapping[str, Provider]:
    """Find every kind of target that is installed, by the name that the configuration uses."""
    return {point.name: point.load() for point in entry_points(group=GROUP)}
