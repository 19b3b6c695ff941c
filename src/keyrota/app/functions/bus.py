"""Sending events so that a bus that refuses some of them is asked again, and what it never takes is reported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from keyrota.app.functions.logs import log
from keyrota.app.session import Session
from keyrota.errors import KeyrotaError

_AT_ONCE = 10
"""PutEvents takes up to this many entries (EventBridge API Reference)."""
_PAUSES_S = (1.0, 2.0, 4.0)
"""PutEvents answers 200 and refuses single entries (ThrottlingException, InternalFailure): those are sent again."""


def send(session: Session, entries: Sequence[dict[str, Any]]) -> int:
    """
    Send events; what the bus does not take after some attempts is logged, and holds nothing back.

    Returns:
        How many were not taken.
    """
    pieces = (entries[at : at + _AT_ONCE] for at in range(0, len(entries), _AT_ONCE))
    lost = [one for piece in pieces for one in _send(session, piece)]
    for entry, why, remedy in lost:
        extra = {"detail_type": entry["DetailType"], "detail": entry["Detail"], "error": why, "remedy": remedy}
        log.error("an event was not taken by the bus", extra=extra)
    return len(lost)


def _send(session: Session, piece: Sequence[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], str, str]]:
    """Send up to ten events, and those that are refused again."""
    from keyrota.aws.notices import put_events  # noqa: PLC0415  # only where there is something to tell

    waiting = [(entry, "") for entry in piece]
    for pause in (*_PAUSES_S, None):
        try:
            waiting = list(put_events(session.wiring.own_account(), [entry for entry, _ in waiting]))
        except KeyrotaError as error:
            yield from ((entry, str(error), error.remedy) for entry, _ in waiting)
            return
        if not waiting or pause is None:
            break
        session.clock.sleep(pause)
    yield from (
        (entry, code, "see the bus's quotas and policy; the log line holds the event") for entry, code in waiting
    )
