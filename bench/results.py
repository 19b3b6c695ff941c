"""What was measured, as rows of bench/results.md: ratios and counts, which mean the same on another machine."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parent / "results.md"
_ROWS = re.compile(r"(<!-- begin: measured -->\n).*?(<!-- end: measured -->)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measurement."""

    what: str
    beside: str
    measured: str
    bound: str = ""
    """Empty: none was promised."""
    is_met: bool = True

    @staticmethod
    def of_ratio(what: str, beside: str, ours: float, theirs: float, *, at_most: float | None = None) -> Row:
        """Compare what keyrota takes with what something else takes in the same run."""
        ratio = ours / theirs
        bound = f"at most {at_most:g}" if at_most is not None else ""
        is_met = at_most is None or ratio <= at_most
        return Row(what=what, beside=beside, measured=f"{ratio:.3g}", bound=bound, is_met=is_met)

    @staticmethod
    def of_calls(what: str, beside: str, calls: int, bound: str, at_most: int) -> Row:
        """Compare a number of calls with its bound."""
        return Row(what=what, beside=beside, measured=f"{calls:,}", bound=f"at most {bound}", is_met=calls <= at_most)

    def line(self) -> str:
        """Write a row of the table."""
        bound = f"{self.bound}{'' if self.is_met else ', **missed**'}" or "none"
        return f"| {self.what} | {self.beside} | {self.measured} | {bound} |"


def write(rows: Iterable[Row]) -> None:
    """Renew the table, and print it."""
    kind = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    head = ["| what | beside | measured | bound |", "| --- | --- | --- | --- |"]
    text = "\n".join([f"Machine: {kind}.", "", *head, *(row.line() for row in rows)])
    print(text)
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(_ROWS.sub(lambda found: f"{found[1]}\n{text}\n\n{found[2]}", page), encoding="utf-8")
