"""How far a service's clock is ahead of ours: its times and ours are compared in no other way."""

from __future__ import annotations

from datetime import datetime, timedelta

_SAME_TIME = timedelta(seconds=5)
"""`Date` is in whole seconds, and an answer takes a while: clocks that lie no further apart count as one."""


def ahead_of(sent: datetime, asked: datetime, got: datetime) -> timedelta:
    """
    Return by how much a service's clock is ahead of ours, at least.

    Args:
        sent: When the service says that it sent an answer, by its own clock.
        asked: When we asked, by ours; the service sent its answer no sooner.
        got: When we had the answer, by ours.

    Returns:
        Negative where it is behind; nothing where the difference may be that of the way.
    """
    ahead = sent - min(max(sent, asked), got)
    return ahead if abs(ahead) > _SAME_TIME else timedelta()
