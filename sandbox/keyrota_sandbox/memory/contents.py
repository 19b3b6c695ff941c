"""What the world is made of: secrets with their versions, and places that hold a pair."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from keyrota.core.model import AccessKeyId, Conflict, KeyPair
from keyrota.errors import KeyrotaError, ProviderRefused, ProviderUnavailable
from keyrota_sandbox.memory.stored import LONG_AGO, StoredSecret, Version

__all__ = ["LONG_AGO", "SLOTS", "Outage", "StoredSecret", "Variables", "Version"]

SLOTS = 2
"""IAM's quota of access keys a user."""


class Outage(StrEnum):
    """Why a target takes nothing and tells nothing (docs/facts/README.md, what all providers have in common)."""

    DOWN = "target down"
    TOKEN_ENDED = "token ended"  # noqa: S105  # a reason, no token
    LIMITED = "429 that says when"
    LIMITED_UNTOLD = "429 without a time"

    def error(self, address: str) -> KeyrotaError:
        """Give the error that an adapter raises then."""
        match self:
            case Outage.DOWN:
                return ProviderUnavailable(f"{address} does not answer", where=address, is_undone=True)
            case Outage.TOKEN_ENDED:
                return ProviderRefused(f"{address}: the token has ended (401)", where=address)
            case Outage.LIMITED:
                return ProviderUnavailable(
                    f"{address}: too many requests (429)", where=address, retry_after_s=3600, is_undone=True
                )
            case Outage.LIMITED_UNTOLD:
                return ProviderUnavailable(f"{address}: too many requests (429)", where=address, is_undone=True)


@dataclass(slots=True)
class Variables:
    """What a target holds."""

    pair: KeyPair | None = None
    is_id_readable: bool = True
    is_down: bool = False
    outage: Outage = Outage.DOWN
    """How it is down, while it is."""
    is_ready: bool = True
    writes: int = 0
    changed_at: datetime | None = None
    is_change_told: bool = False
    """The provider tells when the variables were changed last."""
    clock_ahead: timedelta = timedelta()
    """By how much its provider's clock is ahead; negative: behind."""
    was_ahead: timedelta = timedelta()
    """The same, when the variables were changed last: the time that is told is by that."""
    wait_for_idle: timedelta = timedelta()
    busy_until: datetime = LONG_AGO
    carried_for: timedelta = timedelta()
    queued: list[datetime] = field(default_factory=list)
    """Since when runs wait for an approval, by the provider's clock; they carry the pair of that moment."""
    is_bundle: bool = False
    """The pair is one variable (`bundle`): one write, never torn."""
    beside: dict[str, AccessKeyId] = field(default_factory=dict)
    """Other readable variables of the same list that hold a key ID, by name: `read` shows them."""
    around: dict[str, AccessKeyId] = field(default_factory=dict)
    """What other scopes and levels of the same project show, by the scope in words."""
    unread: tuple[str, ...] = ()
    """Scopes of the same project that the token cannot read, each with the reason."""
    number: int = 0
    """The provider's own ID of the place; a name can be given to another place, the number cannot."""
    origin: str = "https://ci.example"
    """Where its service is."""
    half: str = ""
    """`id` or `secret`: only this half of the pair is there."""
    others: dict[str, str] = field(default_factory=dict)
    """Other readable variables of the same list, with their values: a pair under other names, AWS_PROFILE."""
    conflicts_around: tuple[Conflict, ...] = ()
    """What another level of the same project makes of a write."""
    is_archived: bool = False
    """It exists, runs nothing and takes no write."""
    is_gone: bool = False
    """The place itself is deleted."""
    ours: AccessKeyId | None = None
    """The key that keyrota wrote last."""
    torn_since: datetime | None = None
    """A write of ours has brought one half, and not yet the other."""
    by_hand: bool = False
    """Someone else wrote it last."""
