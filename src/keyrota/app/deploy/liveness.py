"""
What `keyrota check --stack` looks at beside the stack itself: whether it still runs, and would be heard if it did not.

Schedules and rules can be disabled, queues can fill, alarms can have no one to ring for. None of it fails anything, so
each is asked for here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from keyrota.app.deploy.alarms import alarms
from keyrota.app.deploy.deployed import Deployed, Seen
from keyrota.app.deploy.runs import functions, last_runs, queues
from keyrota.app.deploy.starts import mappings, rules, schedules
from keyrota.errors import KeyrotaError


def alive(stack: Deployed) -> Iterator[Seen]:
    """Look at schedules, rules, queues, functions, last runs and alarms; what may not be asked is unknown."""
    looks: tuple[tuple[str, Callable[[Deployed], Iterator[Seen]]], ...] = (
        ("schedules", schedules),
        ("event rules", rules),
        ("queues", queues),
        ("event source mappings", mappings),
        ("functions", functions),
        ("last runs", last_runs),
        ("alarms", alarms),
    )
    for what, look in looks:
        try:
            yield from look(stack)
        except KeyrotaError as error:
            yield stack.report(f"{what} cannot be told: {error}", error.remedy, is_good=None)
