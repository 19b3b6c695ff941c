"""What the CI providers' emulators share: trouble on demand, a journal, and the way from a refusal to an answer."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any

from keyrota.ports import Clock
from keyrota_sandbox.faults import Fault, FaultKind, Faults
from keyrota_sandbox.server import Cut, Request, Response


class Refusal(Exception):  # it is what the service does
    """The service refuses; the answer is made already."""

    def __init__(self, response: Response) -> None:
        super().__init__(str(response.status))
        self.response = response


class Emulator(ABC):
    """
    A provider on loopback.

    Its journal names operation and status of each call; faults are planned by operation (`PUT variables`).
    """

    prefix: tuple[str, ...] = ()
    """Segments that begin every path of the real service; here they may be left out."""

    def __init__(self, clock: Clock, faults: Faults | None = None) -> None:
        self.clock = clock
        self.faults = faults or Faults()
        self.journal: list[tuple[str, int]] = []
        self.latency_s = 0.0
        """Real seconds that each call takes, for measuring."""
        self.ahead = timedelta()
        """So far the service's own clock is ahead of everyone else's, as of a server that nobody sets."""
        self._lock = threading.RLock()
        self._is_shifted = False

    # --- what each provider says ------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def environment(self) -> Mapping[str, str]:
        """Variables with the tokens that it accepts, for the environment of keyrota."""

    @abstractmethod
    def kind(self, request: Request) -> str:
        """Name what a request is about: with its method, the operation."""

    @abstractmethod
    def route(self, request: Request) -> Response:
        """Answer a request; `Refusal` for a refusal. Called with the lock held."""

    @abstractmethod
    def refusal(self, status: int, message: str) -> Response:
        """Make an error in the service's own shape."""

    @abstractmethod
    def every_value(self) -> Iterator[str]:
        """Go through all values that are stored, for tests that look for secrets."""

    def now(self) -> datetime:
        """Return the time by the service's own clock."""
        return self.clock.now() + self.ahead

    # --- what all of them do ----------------------------------------------------------------------------------------

    def __call__(self, request: Request) -> Response:
        """Answer one request."""
        request = self._below_prefix(request)
        operation = f"{request.method} {self.kind(request)}"
        fault = self.faults.take(operation)
        delay_s = self.latency_s + (fault.delay_s if fault else 0.0)
        if delay_s:
            time.sleep(delay_s)  # noqa: TID251  # real time: it is what is measured, or waited for
        response = self._answer(request, fault)
        with self._lock:
            self.journal.append((operation, response.status))
        if fault and fault.kind in {FaultKind.LOST_BEFORE, FaultKind.LOST_AFTER}:
            raise Cut
        return replace(response, headers={"Date": format_datetime(self.now(), usegmt=True), **response.headers})

    def _answer(self, request: Request, fault: Fault | None) -> Response:
        if fault and fault.kind in {FaultKind.ERROR, FaultKind.LOST_BEFORE}:
            answer = self.refusal(fault.status, fault.message)
            return Response(status=answer.status, body=answer.body, headers={**answer.headers, **dict(fault.headers)})
        if fault and fault.kind is FaultKind.BODY:
            return Response(status=fault.status, body=fault.body.encode(), headers=dict(fault.headers))
        try:
            with self._lock:
                self._is_shifted = fault is not None and fault.kind is FaultKind.SHIFT
                response = self.route(request)
        except Refusal as refused:
            response = refused.response
        if fault and fault.kind is FaultKind.ERROR_AFTER:
            return self.refusal(fault.status, fault.message)
        return response

    def _below_prefix(self, request: Request) -> Request:
        begin = "/" + "/".join(self.prefix)
        if not self.prefix or not f"{request.path}/".startswith(begin + "/"):
            return request
        rest = request.target[len(begin) :]
        target = rest if rest.startswith("/") else f"/{rest}"
        return replace(request, target=target, base=request.base + begin)

    def read_number(self, request: Request, name: str, default: int) -> int:
        """Read a field of the query that counts from 1; what is no number is refused, as each service does."""
        text = request.query.get(name) or str(default)
        if not (text.isascii() and text.isdigit()):
            raise self.refuse(400, f"{name} is no number")
        return max(1, int(text[:9]))

    def page_of(self, values: list[dict[str, Any]], number: int, length: int) -> list[dict[str, Any]]:
        """Take one page, counted from 1."""
        begin = (number - 1) * length + self._is_shifted
        return values[begin : begin + length]

    def refuse(self, status: int, message: str) -> Refusal:
        """Make what `route` raises."""
        return Refusal(self.refusal(status, message))
