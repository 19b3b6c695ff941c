"""What the distribution keyrota-sandbox brings, found by its entry points: keyrota imports nothing of it."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from keyrota.errors import SandboxMissing


def load(group: str, name: str, missing: str, remedy: str = "") -> Any:
    """
    Load an entry point of the sandbox.

    Args:
        group: `keyrota.commands` or `keyrota.clocks`.
        name: In that group.
        missing: What to report where the sandbox is not installed.
        remedy: What else helps than to install it.

    Raises:
        SandboxMissing: It is not installed.
    """
    for found in entry_points(group=group, name=name):
        return found.load()
    raise SandboxMissing(missing, remedy=f'pip install "keyrota[sandbox]"{remedy}')
