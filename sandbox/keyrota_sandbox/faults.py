"""Trouble on demand, for any service of the sandbox."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import StrEnum


class FaultKind(StrEnum):
    """What goes wrong."""

    ERROR = "error"
    """The service refuses or fails, and nothing happened."""
    ERROR_AFTER = "error-after"
    """It happened, and the service answers with a failure all the same."""
    LOST_BEFORE = "lost-before"
    """The connection is cut, and nothing happened."""
    LOST_AFTER = "lost-after"
    """It happened, and the connection is cut before the answer."""
    BODY = "body"
    """It answers with another body (HTML, broken JSON)."""
    SLOW = "slow"
    """It answers as usual, after `delay_s`."""
    SHIFT = "shift"
    """A list is read as if its first entry had just been deleted: what follows moves up, and pages overlap badly."""


@dataclass(slots=True, kw_only=True)
class Fault:
    """One kind of trouble for one operation."""

    operation: str
    """As the service's journal names it, `iam:CreateAccessKey`, `PUT variables`; `*` at the end fits any rest."""
    kind: FaultKind = FaultKind.ERROR
    times: int = 1
    """So many calls; -1 until it is taken away."""
    skip: int = 0
    """So many calls go well first."""
    status: int = 503
    code: str = "ServiceUnavailable"
    message: str = "trouble on demand"
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    delay_s: float = 0.0
    """Real seconds before the answer, whatever else is wrong."""

    def fits(self, operation: str) -> bool:
        """Return whether it is about this operation."""
        if self.operation.endswith("*"):
            return operation.startswith(self.operation[:-1])
        return operation == self.operation


class Faults:
    """The trouble that is planned; shared by the services and those who plan it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Plan trouble."""
        with self._lock:
            self._planned.append(fault)

    def clear(self) -> None:
        """End all trouble."""
        with self._lock:
            self._planned.clear()

    def take(self, operation: str) -> Fault | None:
        """Return what goes wrong with this call, and count it."""
        with self._lock:
            for fault in self._planned:
                if not fault.fits(operation):
                    continue
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                if fault.times > 0:
                    fault.times -= 1
                if fault.times == 0:
                    self._planned.remove(fault)
                return fault
        return None
