"""
Make mutants of the product, let the tests judge them, and print the score: `make mutants`.

    python tests/mutation/run.py                          a sample of each package; writes docs/contributing/mutants.md
    python tests/mutation/run.py --sample 1               all of them, which takes hours
    python tests/mutation/run.py core/schedule.py app/cli only those of some files or folders
    python tests/mutation/run.py --again                  only those that no earlier run killed: while tests are written
    python tests/mutation/run.py --minutes 30             begins no mutant after half an hour

What a run has found is kept while it goes on: one that is stopped (Ctrl-C, SIGTERM, or its time is over) writes its
page with what it has judged, and the next one asks first the test that killed a mutant the last time.

The run fails where a package has fewer killed than `packages.py` demands, where a survivor in the core or the executor
is not explained in `survivors.txt`, and where that explains a mutant that is killed, or is not there any more.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import pytest
from forks import write
from judge import OPTIONS, Judge, Verdict
from measure import TESTS
from mutants import Mutant
from packages import PACKAGES, ROOT, files_of, mutants_of, package_of
from page import Score, explained, page

KNOWN = ROOT / ".mutants.json"
"""Which test killed which mutant the last time; without it a run takes longer, and says the same."""
KEEP_EACH_S = 5.0
"""So often what was found is written down."""
PAGE = ROOT / "docs" / "contributing" / "mutants.md"


def chosen_files(only: Sequence[str]) -> tuple[str, ...]:
    """Find the chosen files, or those in the chosen folders; all if nothing was chosen."""
    files = [file for package in PACKAGES for file in files_of(package)]
    unknown = [name for name in only if not any(_is_in(file, name) for file in files)]
    if unknown:
        raise SystemExit(f"no such file: {', '.join(unknown)}")
    return tuple(file for file in files if not only or any(_is_in(file, name) for name in only))


def _is_in(file: str, name: str) -> bool:
    return file == name or file.startswith(f"{name.rstrip('/')}/")


class Kills:
    """Which test killed which mutant, in this run or an earlier one; kept in a file while the run goes on."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.known: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
        self._kept_at = time.monotonic()

    def note(self, verdict: Verdict) -> None:
        """Note a verdict; what survives now was not killed."""
        self.known.pop(verdict.mutant.full_name, None)
        if verdict.killer is not None:
            self.known[verdict.mutant.full_name] = verdict.killer
        if time.monotonic() - self._kept_at > KEEP_EACH_S:
            self.keep()

    def keep(self) -> None:
        """Write the file."""
        write(self._file, json.dumps(self.known, indent=0))
        self._kept_at = time.monotonic()


def main() -> int:
    """Judge, print, compare."""
    parser = argparse.ArgumentParser(description="mutation testing")
    parser.add_argument("files", nargs="*", metavar="FILE", help="core/plan.py, app/cli, …; all if none")
    parser.add_argument(
        "--sample", type=int, metavar="N", help="one mutant of N, 1 for all; packages.py says the usual"
    )
    parser.add_argument(
        "--again", action="store_true", help="only what was not killed before; trusts earlier kills, writes no page"
    )
    parser.add_argument("--minutes", type=float, default=math.inf, metavar="N", help="begin no mutant after so long")
    parser.add_argument(
        "--as-measured",
        action="store_true",
        help="choose tests by what an earlier run measured, whatever has changed since; more survive then, none fewer",
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    began = time.monotonic()
    # pytest's own output is none of ours
    with os.fdopen(os.dup(sys.stderr.fileno()), "w", buffering=1) as loud:

        def tell(text: str) -> None:
            loud.write(f"{time.monotonic() - began:6.0f} s  {text}\n")

        kills = Kills(KNOWN)
        files = chosen_files(chosen.files)
        everything = tuple(mutant for file in files for mutant in mutants_of(file))
        sample = _sample(everything, chosen.sample)
        trusted = [mutant for mutant in sample if chosen.again and mutant.full_name in kills.known]
        judge = Judge(
            sorted(set(sample) - set(trusted), key=lambda mutant: mutant.lot),
            kills.known,
            chosen.jobs,
            is_measure_trusted=chosen.as_measured,
            is_late=lambda: time.monotonic() - began > 60 * chosen.minutes,
            note=kills.note,
            tell=tell,
        )
        judge.verdicts += [Verdict(mutant=mutant, killer=kills.known[mutant.full_name]) for mutant in trusted]
        judges = dict.fromkeys(name for file in files for name in package_of(file).judges)
        try:
            pytest.main([*OPTIONS, *(str(TESTS / name) for name in judges)], plugins=[judge])
        finally:
            kills.keep()
        if judge.broken:
            tell(f"nothing can be judged: {', '.join(judge.broken)}")
            return 1
        score = Score(judge.verdicts, sample, everything, explained(), judge.unsound)
        if judge.verdicts and not chosen.files and not chosen.again:
            PAGE.write_text(page(score, time.strftime("%Y-%m-%d")))
        for line in score.lines():
            tell(line)
        return 0 if score.is_as_demanded else 1


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


def _sample(everything: Sequence[Mutant], one_of: int | None) -> tuple[Mutant, ...]:
    return tuple(mutant for mutant in everything if package_of(mutant.file).is_in_sample(mutant, one_of))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    raise SystemExit(main())
