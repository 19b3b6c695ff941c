"""
Make mutants of the core and the executor, let the tests judge them, and print the score: `make mutants`.

    python tests/mutation/run.py                    all of them; writes docs/reference/mutants.md
    python tests/mutation/run.py core/schedule.py   those of some files
    python tests/mutation/run.py --again            only those that no earlier run killed: while tests are written

A survivor that `survivors.txt` does not explain fails the run; so does an explanation of one that is killed by now.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from judge import FILES, OPTIONS, ROOT, SOURCE, TESTS, Judge, Verdict
from mutants import Mutant, mutants
from page import Score, explained, page

PACKAGES = ("core", "executor")
LEAST = 0.95
KNOWN = ROOT / ".mutants.json"
"""Which test killed which mutant the last time; without it a run takes longer, and says the same."""
PAGE = ROOT / "docs" / "reference" / "mutants.md"


def all_mutants(only: Sequence[str]) -> tuple[Mutant, ...]:
    """Make the mutants of the chosen files, or of all."""
    files = [f"{package}/{path.name}" for package in PACKAGES for path in sorted((SOURCE / package).glob("*.py"))]
    unknown = set(only) - set(files)
    if unknown:
        raise SystemExit(f"no such file: {', '.join(sorted(unknown))}")
    chosen = [file for file in files if not only or file in only]
    return tuple(mutant for file in chosen for mutant in mutants(file, (SOURCE / file).read_bytes()))


def main() -> int:
    """Judge, print, compare."""
    parser = argparse.ArgumentParser(description="mutation testing of the core and the executor")
    parser.add_argument("files", nargs="*", metavar="FILE", help="core/plan.py, executor/run.py, …; all if none")
    parser.add_argument("--again", action="store_true", help="only what was not killed before; trusts earlier kills")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args()
    began = time.monotonic()
    # pytest's own output is none of ours
    with os.fdopen(os.dup(sys.stderr.fileno()), "w", buffering=1) as loud:

        def tell(text: str) -> None:
            loud.write(f"{time.monotonic() - began:6.0f} s  {text}\n")

        known: dict[str, str] = json.loads(KNOWN.read_text()) if KNOWN.exists() else {}
        everything = all_mutants(chosen.files)
        trusted = [mutant for mutant in everything if chosen.again and mutant.full_name in known]
        judged = sorted(set(everything) - set(trusted), key=lambda mutant: (not mutant.function, mutant.full_name))
        judge = Judge(judged, known, chosen.jobs, tell)
        judge.verdicts += [Verdict(mutant=mutant, killer=known[mutant.full_name]) for mutant in trusted]
        try:
            pytest.main([*OPTIONS, *(str(TESTS / file) for file in FILES)], plugins=[judge])
        finally:
            killers = {verdict.mutant.full_name: verdict.killer for verdict in judge.verdicts}
            KNOWN.write_text(json.dumps(known | {name: killer for name, killer in killers.items() if killer}, indent=0))
        if judge.broken:
            tell(f"nothing can be judged: {', '.join(judge.broken)}")
            return 1
        score = Score(judge.verdicts, explained())
        if not chosen.files:
            PAGE.write_text(page(score))
        for line in score.lines():
            tell(line)
        return 0 if score.is_as_explained and (chosen.files or score.share >= LEAST) else 1


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    raise SystemExit(main())
