"""
Make each deliberate mistake, and let the simulation find it: `make sabotage`.

A mistake is made in a copy of the package; a process of its own plays the histories 1, 2, 3, … there until a promise
breaks. The table of the seeds that it took goes into docs/explanation/proof.md.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from mistakes import MISTAKES, Mistake  # beside this file, which is a script as well

import keyrota

HERE = Path(__file__).parent
PACKAGE = Path(keyrota.__file__).parent
PAGE = HERE.parents[1] / "docs/explanation/proof.md"
LIMIT = 250
"""No mistake takes more histories than this."""
_TABLE = re.compile(r"(<!-- begin: sabotage -->\n).*?(\n<!-- end: sabotage -->)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What came of one mistake."""

    mistake: Mistake
    seed: int | None
    """The first history in which something broke."""
    broken: tuple[str, ...]

    @property
    def is_noticed(self) -> bool:
        """Whether it broke what it was expected to break."""
        return any(broken.startswith(self.mistake.breaks) for broken in self.broken)

    @property
    def promises(self) -> str:
        """Name what broke; a pipeline that failed counts as served-key-lives, or verified-before-served."""
        names = (broken.partition(":")[0] for broken in self.broken)
        return ", ".join(dict.fromkeys("a pipeline failed" if " failed at " in name else name for name in names))


def a_copy(folder: Path, *mistakes: Mistake) -> Path:
    """Copy the package, and change the copy."""
    copy = folder / "keyrota"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for mistake in mistakes:
        for edit in mistake.edits:
            edit.make(copy)
    return copy


def play_in(copy: Path, limit: int) -> tuple[int | None, tuple[str, ...]]:
    """Play histories with a copy of the package until something breaks."""
    told = subprocess.run(
        [sys.executable, "sabotaged.py", str(limit)],
        cwd=HERE,
        env=os.environ | {"PYTHONPATH": str(copy.parent), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if told.returncode:
        raise RuntimeError(told.stderr[-2000:])
    found = json.loads(told.stdout)
    if found["package"] != str(copy):
        raise RuntimeError(f"{found['package']} was played, not the copy")
    return found["seed"], tuple(found["broken"])


def find(mistake: Mistake, folder: Path, limit: int = LIMIT) -> Found:
    """Make one mistake, and look for it."""
    seed, broken = play_in(a_copy(folder, mistake), limit)
    return Found(mistake=mistake, seed=seed, broken=broken)


def _find_somewhere(mistake: Mistake) -> Found:
    with tempfile.TemporaryDirectory() as folder:
        return find(mistake, Path(folder))


def table(found: list[Found]) -> Iterator[str]:
    """Draw it for the page."""
    yield "| deliberate mistake | first seed that notices it | what breaks there |"
    yield "| --- | --- | --- |"
    for one in found:
        yield f"| {one.mistake.name} | {one.seed or 'none'} | {one.promises or 'nothing'} |"


def main() -> int:
    """Find all of them, and renew the page."""
    chosen = [mistake for mistake in MISTAKES if all(word in mistake.name for word in sys.argv[1:])]
    found: list[Found] = []
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for one in pool.map(_find_somewhere, chosen):
            found.append(one)
            first = one.broken[0] if one.broken else "NOTHING BROKE"
            sys.stdout.write(f"{one.seed or '-':>4}  {one.mistake.name}: {first}\n")
            sys.stdout.flush()
    if len(chosen) == len(MISTAKES):
        text = PAGE.read_text(encoding="utf-8")
        rows = "\n".join(table(found))
        PAGE.write_text(_TABLE.sub(lambda match: f"{match[1]}{rows}{match[2]}", text), encoding="utf-8")
    unnoticed = [one.mistake.name for one in found if not one.is_noticed]
    sys.stdout.write(f"{len(found) - len(unnoticed)} of {len(found)} mistakes noticed\n")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
