"""What a provider answered, and how long it asks its callers to wait."""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from keyrota.core.timestamps import require_sane_utc

_SERVER_FAILS = 500
_SHORTEST_PAUSE_S = 0.5
A_YEAR_S = 365 * 86400.0
_LIMITS = ("x-ratelimit", "ratelimit", "ratelimit-user")
_COUNTED = ("remaining", "limit", "reset")
_ROOM = 20
"""So many calls of others may come between the look at what is left of a limit and the two halves of a pair."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What a provider answered. Its repr shows no content: lists hold other people's values."""

    status: int
    content: Any = field(repr=False)
    """The JSON document; None if the answer was none."""
    is_json: bool
    headers: Mapping[str, str] = field(repr=False)
    """Names in lower case."""
    moved_to: str = field(default="", repr=False)
    """The address of the same host to which the service redirected; empty: it did not."""

    @property
    def is_moved(self) -> bool:
        """Whether the service redirected."""
        return bool(self.moved_to)

    @property
    def is_success(self) -> bool:
        """Whether the service did what was asked."""
        return 200 <= self.status < 300  # noqa: PLR2004  # HTTP: success

    def next_link(self) -> str | None:
        """The next page, as the header `Link` names it (RFC 8288); None on the last one."""
        for address, parameters in re.findall(r"<([^<>]*)>([^<]*)", self.headers.get("link", "")):
            if re.search(r'\brel="?next"?', parameters):
                return str(address)
        return None

    @property
    def sent_at(self) -> datetime | None:
        """
        When the service says that it sent this, by its own clock, in whole seconds (RFC 9110, `Date`).

        None where it does not say, and of an answer that a cache kept (`Age`).
        """
        # A cache's answer was sent long ago: the service's clock would look as if it were behind.
        if self.headers.get("age", "0") != "0":
            return None
        try:
            return require_sane_utc(parsedate_to_datetime(self.headers.get("date", "")))
        except (ValueError, TypeError, OverflowError):
            return None

    def object(self) -> dict[str, Any]:
        """The content as a JSON object; an empty one if it is something else."""
        return self.content if isinstance(self.content, dict) else {}


@dataclass(frozen=True, slots=True)
class NoResponse:
    """No answer, and in few words why not; whether something happened is not known. False where it is tested."""

    why: str = ""
    is_unsent: bool = False
    """There was no connection: nothing can have happened."""
    is_slow: bool = False
    """The time for the exchange was over."""

    def __bool__(self) -> Literal[False]:
        """Be no answer."""
        return False

    def __str__(self) -> str:
        """Put the words behind others."""
        return f" ({self.why})" if self.why else ""


def read_pause(answer: Response, now: datetime) -> float | None:
    """
    Read Retry-After (seconds or a date), or, of a limit, when it is reset.

    A date is the service's own time: what counts is how far it lies behind the answer's `Date`.
    """
    now = answer.sent_at or now
    text = answer.headers.get("retry-after", "")
    with contextlib.suppress(ValueError):
        seconds = float(text)
        # `float` reads `inf` and `nan`, and neither is a time that can be waited.
        if math.isfinite(seconds):
            return max(_SHORTEST_PAUSE_S, seconds)
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        return max(_SHORTEST_PAUSE_S, (parsedate_to_datetime(text).astimezone(UTC) - now).total_seconds())
    return _until_reset(answer, now)


def _until_reset(answer: Response, now: datetime) -> float | None:
    """Read when a limit is reset, if what is left of it is said to be nothing, or is not said."""
    if answer.status >= _SERVER_FAILS:
        return None
    for prefix in _LIMITS:
        if answer.headers.get(f"{prefix}-remaining", "0") != "0":
            continue  # another limit than the one that is counted here
        with contextlib.suppress(ValueError):
            ahead = _ahead_s(float(answer.headers.get(f"{prefix}-reset", "nan")), now)
            if math.isfinite(ahead):
                return max(_SHORTEST_PAUSE_S, ahead)
    return None


def _ahead_s(reset: float, now: datetime) -> float:
    """
    Return how far away a reset is, in seconds.

    It is told as a moment since 1970 (GitHub, GitLab, Azure DevOps), or as a span from now (Buildkite, HCP Terraform);
    no span is longer than a year, and no moment that long ago.
    """
    return reset if reset < A_YEAR_S else reset - now.timestamp()


def read_remaining(answer: Response, now: datetime) -> tuple[int, datetime] | None:
    """Read what is left of the limit that the service counts, less some room, and when it counts anew by our clock."""
    theirs = answer.sent_at or now
    for prefix in _LIMITS:
        with contextlib.suppress(ValueError, OverflowError):
            rest, most, reset = (int(answer.headers.get(f"{prefix}-{name}", "")) for name in _COUNTED)
            # A tenth of a small limit, so that a limit of 20 calls leaves any at all.
            return rest - min(_ROOM, most // 10), now + timedelta(seconds=_ahead_s(reset, theirs))
    return None


def parse_json(data: bytes) -> tuple[Any, bool]:
    """Read a JSON document; tells whether it was one."""
    try:
        return json.loads(data), True
    except (ValueError, RecursionError):
        return None, False
