"""
Make mutants of the product, let the tests judge them, and print the score: `make mutants`.

    python tests/mutation/run.py                          a sample of each package; writes docs/contributing/mutants.md
    python tests/mutation/run.py --sample 1               all of them, which takes hours
    python tests/mutation/run.py core/schedule.py app/cli only those of some files or folders
    python tests/mutation/run.py --again                  only those that no earlier run killed: while tests are written

The run fails where a package has fewer killed than `packages.py` demands, where a survivor in the core or the executor
is not explained in `survivors.txt`, and where that explains a mutant that is killed, or is not there any more.
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
from judge import OPTIONS, Judge, Verdict
from measure import TESTS
from mutants import Mutant
from packages import PACKAGES, ROOT, files_of, mutants_of, package_of
from page import Score, explained, page

KNOWN = ROOT / ".mutants.json"
"""Which test killed which mutant the last time; without it a run takes longer, and says the same."""
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


def main() -> int:
    """Judge, print, compare."""
    parser = argparse.ArgumentParser(description="mutation testing")
    parser.add_argument("files", nargs="*", metavar="FILE", help="core/plan.py, app/cli, …; all if none")
    parser.add_argument(
        "--sample", type=int, metavar="N", help="one mutant of N, 1 for all; packages.py says the usual"
    )
    parser.add_argument("--again", action="store_true", help="only what was not killed before; trusts earlier kills")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args()
    began = time.monotonic()
    # pytest's own output is none of ours
    with os.fdopen(os.dup(sys.stderr.fileno()), "w", buffering=1) as loud:

        def tell(text: str) -> None:
            loud.write(f"{time.monotonic() - began:6.0f} s  {text}\n")

        known = _known()
        files = chosen_files(chosen.files)
        everything = tuple(mutant for file in files for mutant in mutants_of(file))
        sample = _sample(everything, chosen.sample)
        trusted = [mutant for mutant in sample if chosen.again and mutant.full_name in known]
        judged = sorted(set(sample) - set(trusted), key=lambda mutant: (not mutant.function, mutant.full_name))
        judge = Judge(judged, known, chosen.jobs, tell)
        judge.verdicts += [Verdict(mutant=mutant, killer=known[mutant.full_name]) for mutant in trusted]
        judges = dict.fromkeys(name for file in files for name in package_of(file).judges)
        try:
            pytest.main([*OPTIONS, *(str(TESTS / name) for name in judges)], plugins=[judge])
        finally:
            killers = {verdict.mutant.full_name: verdict.killer for verdict in judge.verdicts}
            now_known = _known() | {name: killer for name, killer in killers.items() if killer}
            KNOWN.write_text(json.dumps(now_known, indent=0))
        if judge.broken:
            tell(f"nothing can be judged: {', '.join(judge.broken)}")
            return 1
        score = Score(judge.verdicts, everything, explained())
        if not chosen.files:
            PAGE.write_text(page(score))
        for line in score.lines():
            tell(line)
        return 0 if score.is_as_demanded else 1


def _known() -> dict[str, str]:
    return json.loads(KNOWN.read_text()) if KNOWN.exists() else {}


def _sample(everything: Sequence[Mutant], one_of: int | None) -> tuple[Mutant, ...]:
    return tuple(mutant for mutant in everything if package_of(mutant.file).is_in_sample(mutant, one_of))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    raise SystemExit(main())
