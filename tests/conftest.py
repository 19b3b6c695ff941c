"""
What every test has: Hypothesis draws the same examples in each run, on any machine, however busy.

`HYPOTHESIS_PROFILE=long` hunts for new ones instead.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "same", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("long", settings.get_profile("same"), derandomize=False)
settings.load_profile("long" if os.environ.get("HYPOTHESIS_PROFILE") == "long" else "same")
