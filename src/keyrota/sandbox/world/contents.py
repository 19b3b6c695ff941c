"""What the world is made of: secrets with their versions, and places that hold a pair."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from keyrota.core.model import AccessKeyId, Credential
from keyrota.sandbox.world.stored import LONG_AGO, StoredSecret, Version

__all__ = ["LONG_AGO", "SLOTS", "StoredSecret", "Variables", "Version"]

SLOTS = 2
"""IAM's quota of access keys a user."""


@dataclass(slots=True)
class Variables:
    """What a target holds."""

    pair: Credential | None = None
    is_id_readable: bool = True
    is_down: bool = False
    is_ready: bool = True
    writes: int = 0
    changed_at: datetime | None = None
    is_change_told: bool = False
    """The provider tells when the variables were changed last."""
    quiet_for: timedelta = timedelta()
    busy_until: datetime = LONG_AGO
    carried_for: timedelta = timedelta()
    queued: list[datetime] = field(default_factory=list)
    """Runs that wait for an approval, with the pair of the moment at which they were queued."""
    is_bundle: bool = False
    """The pair is one variable (`bundle`): one write, never torn."""
    ours: AccessKeyId | None = None
    """The key that keyrota wrote last."""
    torn_since: datetime | None = None
    """A write of ours has brought one half, and not yet the other."""
    by_hand: bool = False
    """Somebody else wrote it last."""
