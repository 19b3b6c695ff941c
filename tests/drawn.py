"""
How Hypothesis draws: the same examples in each run, on any machine, however busy and whatever else is tested there.

`HYPOTHESIS_PROFILE=long` hunts for new ones instead.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

settings.register_profile(
    "same", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("long", settings.get_profile("same"), derandomize=False)


def draw_the_same() -> None:
    """Choose the profile."""
    if os.environ.get("HYPOTHESIS_PROFILE") == "long":
        settings.load_profile("long")
        return
    settings.load_profile("same")
    # It mixes in constants of the modules that are loaded by then: with another file beside it, a test drew others.
    none = providers._local_constants
    providers._get_local_constants = lambda: none
