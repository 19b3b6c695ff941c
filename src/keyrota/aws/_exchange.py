"""
A deadline for each exchange with AWS: connection, headers and body together.

botocore's time-outs are for each read of the socket, so that an endpoint, or a proxy before it, which sends one byte
every few seconds would hold a run for ever. botocore has no setting for this; its client is changed in two places.
"""

from __future__ import annotations

import re
import time
from functools import partial
from typing import Any

from botocore.awsrequest import AWSHTTPConnection, AWSHTTPConnectionPool, AWSHTTPSConnection, AWSHTTPSConnectionPool
from botocore.exceptions import BotoCoreError, ReadTimeoutError

from keyrota.aws.pace import Pace
from keyrota.http.watch import Watched, deadline, hurry_left_s

EXCHANGE_S = 40.0
"""For one attempt, as at the providers; botocore makes up to four."""


class _Plain(Watched, AWSHTTPConnection):  # type: ignore[misc]  # botocore types its own less strictly
    pass


class _Secure(Watched, AWSHTTPSConnection):  # type: ignore[misc]  # as above
    pass


class _PlainPool(AWSHTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(AWSHTTPSConnectionPool):
    ConnectionCls = _Secure


def with_deadline(client: Any, pace: Pace | None = None) -> Any:
    """
    Bound each exchange of a client; one that takes longer raises botocore's ReadTimeoutError, which it repeats.

    With a pace, each attempt waits for its turn first, also one that botocore repeats.
    """
    session = client._endpoint.http_session  # noqa: SLF001  # botocore has no public way to its connections
    session._pool_classes_by_scheme.update(http=_PlainPool, https=_SecurePool)  # noqa: SLF001  # as above
    session.send = partial(_send, session) if pace is None else partial(_send_in_turn, session, pace)
    return client


class NoTimeLeftError(BotoCoreError):
    """The time for an emergency's question is over; botocore does not repeat it."""

    fmt = "AWS did not answer in time"


def _send_in_turn(session: Any, pace: Pace, request: Any) -> Any:
    """Send once the pace allows it; an emergency waits for no turn."""
    if hurry_left_s() is None:
        pace.wait()
    sent_at = time.monotonic()
    answer = _send(session, request)
    pace.note(sent_at=sent_at, is_refused=_is_throttled(answer))
    return answer


def _is_throttled(answer: Any) -> bool:
    return answer.status_code in _THROTTLED and _THROTTLING.search(answer.content[:_MAX_REFUSAL]) is not None


_THROTTLED = {400, 429, 503}
_THROTTLING = re.compile(rb"Throttl|TooManyRequests|RequestLimitExceeded")
_MAX_REFUSAL = 2000


def _send(session: Any, request: Any) -> Any:
    left_s = hurry_left_s()
    if left_s == 0:
        raise NoTimeLeftError
    with deadline(EXCHANGE_S if left_s is None else min(EXCHANGE_S, left_s)) as end:
        try:
            answer = type(session).send(session, request)
        except Exception:
            if not end.is_over:
                raise
    if end.is_over and hurry_left_s() == 0:
        raise NoTimeLeftError
    if end.is_over:  # a body that was cut short may have been taken for whole
        raise ReadTimeoutError(endpoint_url=request.url)
    return answer
