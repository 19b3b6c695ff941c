"""
Many histories on all cores: `python tests/simulation/soak.py SECONDS` (that is `make soak`).

Prints histories, steps and key lifetimes a second, how long pairs were torn, and which trouble met which step of the
protocol. Ends with 1 if a promise broke, or if a soak of enough histories left a cell of that table empty.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from os import cpu_count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from play import Verdict, play

from keyrota_sandbox.simulation import LOOKING, SHIFTED, STEPS, TROUBLES, UNREADABLE

BLOCK = 10
ENOUGH = 1000
"""So many histories meet every trouble at every step."""
ONLY_LOOKS = {
    UNREADABLE: "last use is read by looks alone",
    SHIFTED: "lists of variables are read by looks alone",
}
"""What cannot happen at other steps, and why."""
ROWS = (*TROUBLES, *ONLY_LOOKS)


@dataclass(slots=True)
class Sum:
    """What many histories came to."""

    histories: int = 0
    steps: int = 0
    lifetimes: int = 0
    jobs: int = 0
    torn: int = 0
    torn_for: list[float] = field(default_factory=list)
    covered: Counter[tuple[str, str]] = field(default_factory=Counter)
    statistics: Counter[str] = field(default_factory=Counter)
    broken: dict[int, tuple[str, ...]] = field(default_factory=dict)

    def add(self, verdict: Verdict) -> None:
        """Count one more."""
        self.histories += 1
        self.steps += verdict.steps
        self.lifetimes += verdict.lifetimes
        self.jobs += verdict.jobs
        self.torn += verdict.torn
        self.torn_for += verdict.torn_for
        self.covered += verdict.covered
        self.statistics += verdict.statistics
        if verdict.broken:
            self.broken[verdict.seed] = verdict.broken

    def gaps(self) -> list[tuple[str, str]]:
        """Name the cells in which trouble and step never met, and could have."""
        cells = ((trouble, step) for trouble in ROWS for step in STEPS)
        return [cell for cell in cells if is_possible(*cell) and not self.covered[cell]]

    def wrong(self) -> list[tuple[str, str]]:
        """Name the cells in which trouble and step met, and could not have."""
        return sorted(
            cell for cell in self.covered if cell[0] not in ROWS or cell[1] not in STEPS or not is_possible(*cell)
        )

    def table(self) -> Iterator[str]:
        """Draw troubles against steps: how often they met."""
        wide = max(map(len, ROWS))
        yield " " * wide + "".join(f"{step[:11]:>12}" for step in STEPS)
        for trouble in ROWS:
            cells = (self._cell(trouble, step) for step in STEPS)
            yield f"{trouble:<{wide}}" + "".join(f"{cell:>12}" for cell in cells)
        yield from (f"- {trouble}: {reason}" for trouble, reason in ONLY_LOOKS.items())

    def _cell(self, trouble: str, step: str) -> str:
        return str(self.covered[trouble, step]) if self.covered[trouble, step] or is_possible(trouble, step) else "-"


def is_possible(trouble: str, step: str) -> bool:
    """Return whether a trouble can meet a step."""
    return trouble not in ONLY_LOOKS or step == LOOKING


def play_block(first: int) -> list[Verdict]:
    """Play some histories, one after the other."""
    return [play(seed) for seed in range(first, first + BLOCK)]


def soak(seconds: float, first: int, processes: int) -> Sum:
    """Play until the time is over."""
    total, end = Sum(), time.monotonic() + seconds
    with ProcessPoolExecutor(processes) as pool:
        waiting = [pool.submit(play_block, first + BLOCK * number) for number in range(2 * processes)]
        following = first + BLOCK * len(waiting)
        while waiting:
            for verdict in waiting.pop(0).result():
                total.add(verdict)
            if time.monotonic() < end:
                waiting.append(pool.submit(play_block, following))
                following += BLOCK
    return total


def _told(total: Sum, seconds: float, processes: int) -> Iterator[str]:
    windows = sorted(total.torn_for)
    yield from total.table()
    yield ""
    yield f"{seconds:.0f} s on {processes} cores"
    yield f"{total.histories} histories: {total.histories / seconds:.1f} a second"
    yield f"{total.steps} calls: {total.steps / seconds:.0f} a second"
    yield f"{total.lifetimes} keys from their making to their end: {total.lifetimes / seconds:.1f} a second"
    yield f"{total.statistics['runs']} runs of keyrota"
    yield f"{total.jobs} pipeline runs, {total.torn} of which met a torn pair"
    if windows:
        middle, late = windows[len(windows) // 2], windows[len(windows) * 99 // 100]
        yield f"{len(windows)} pairs were torn: half of them for {middle:.2f} s at most, 99 % for {late:.2f} s"
    for trouble, step in total.gaps():
        yield f"never met: {trouble} at {step}"
    for trouble, step in total.wrong():
        yield f"met, and was not to: {trouble} at {step}"
    for seed, broken in total.broken.items():
        yield f"seed {seed}: {broken[0]}"
        yield f"  the whole story: python tests/simulation/play.py {seed}"
    yield f"broken promises: {sum(map(len, total.broken.values()))}"


def main() -> int:
    """Run as a command."""
    parser = argparse.ArgumentParser(description="Play histories until the time is over.")
    parser.add_argument("seconds", type=float)
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--processes", type=int, default=cpu_count() or 1)
    asked = parser.parse_args()
    began = time.monotonic()
    total = soak(asked.seconds, asked.first, asked.processes)
    sys.stdout.write("\n".join(_told(total, time.monotonic() - began, asked.processes)) + "\n")
    return 1 if total.broken or total.wrong() or (total.histories >= ENOUGH and total.gaps()) else 0


if __name__ == "__main__":
    sys.exit(main())
