"""How a text is coloured; apart, because the command line needs it before anything is reported."""

from __future__ import annotations

from collections.abc import Callable

Paint = Callable[[str, str], str]
"""Colours a text by its role: `title`, `good`, `due`, `held`, `bad`, `quiet`."""


def plain(_: str, text: str) -> str:
    """Colour nothing."""
    return text
