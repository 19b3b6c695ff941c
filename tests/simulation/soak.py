"""
Many histories on all cores: `python tests/simulation/soak.py SECONDS` (that is `make soak`).

Prints histories, steps and key lifetimes a second, how long pairs were torn, and which fault met which step of the
protocol. Ends with 1 if a promise broke, or if a soak of four thousand histories left a pair of fault and step unmet.
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

BLOCK = 10
ENOUGH = 4000
"""So many histories meet every pair of fault and step."""


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
        """Name the pairs of fault and step that never met, and could have."""
        pairs = [(fault, step) for fault in self.faults for step in self.steps_met]
        return [pair for pair in pairs if is_possible(*pair) and not self.covered[pair]]

    @property
    def faults(self) -> list[str]:
        """All that went wrong."""
        return sorted({fault for fault, _ in self.covered})

    @property
    def steps_met(self) -> list[str]:
        """All that keyrota did."""
        return sorted({step for _, step in self.covered})

    def table(self) -> Iterator[str]:
        """Draw fault kinds against steps: how often they met."""
        steps = self.steps_met
        wide = max(len(fault) for fault in self.faults)
        yield " " * wide + "".join(f"{step[:11]:>12}" for step in steps)
        for fault in self.faults:
            cells = (str(self.covered[fault, step]) if is_possible(fault, step) else "-" for step in steps)
            yield f"{fault:<{wide}}" + "".join(f"{cell:>12}" for cell in cells)


def is_possible(fault: str, step: str) -> bool:
    """Tell whether a fault can meet a step: last use and lists of variables are read by looks alone."""
    return fault not in {"last use unreadable", "pages shift"} or step == "look"


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
    for fault, step in total.gaps():
        yield f"never met: {fault} at {step}"
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
    return 1 if total.broken or (total.histories >= ENOUGH and total.gaps()) else 0


if __name__ == "__main__":
    sys.exit(main())
