"""
Make each deliberate mistake, and let the simulation find it: `make sabotage`.

A mistake is made in a copy of the package; a process of its own plays histories there until a promise breaks: 1, 2, 3,
…, or the one that noticed it the last time first. The table of what noticed each goes into docs/explanation/proof.md.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from mistakes import MISTAKES, Mistake  # beside this file, which is a script as well
from searches import SEARCHES

import keyrota

HERE = Path(__file__).parent
PACKAGE = Path(keyrota.__file__).parent
PAGE = HERE.parents[1] / "docs/explanation/proof.md"
LIMIT = 600
"""No mistake takes more histories than this."""
_BLOCK = r"(<!-- begin: {0} -->\n).*?(<!-- end: {0} -->)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What came of one mistake."""

    mistake: Mistake
    seed: int | None
    """The first history in which something broke."""
    search: str | None
    """The search in which something broke."""
    scene: str | None
    """The scene in which something broke."""
    broken: tuple[str, ...]

    @property
    def where(self) -> str:
        """Say what noticed it first."""
        if self.scene:
            return f"the scene: {self.scene}"
        return f"history {self.seed}" if self.seed else f"the search: {self.search}" if self.search else "nothing"

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
    shutil.copytree(PACKAGE, copy)  # with its bytecode, which Python drops for a source that has another time
    for mistake in mistakes:
        for edit in mistake.edits:
            edit.make(copy)
    return copy


def run_in(copy: Path, *script: str) -> dict[str, Any]:
    """Play histories, or search, with a copy of the package until something breaks."""
    told = subprocess.run(
        [sys.executable, *script],
        cwd=HERE,
        env=os.environ | {"PYTHONPATH": str(copy.parent), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if told.returncode:
        raise RuntimeError(told.stderr[-2000:])
    found: dict[str, Any] = json.loads(told.stdout)
    if found["package"] != str(copy):
        raise RuntimeError(f"{found['package']} was played, not the copy")
    return found


def find(mistake: Mistake, folder: Path, limit: int = LIMIT) -> Found:
    """Make one mistake, and look for it."""
    is_sought = mistake.is_searched and not mistake.scene
    script = (
        ("searched.py",)
        if is_sought
        else ("sabotaged.py", str(limit), str(mistake.first), *filter(None, [mistake.scene]))
    )
    told = run_in(a_copy(folder, mistake), *script)
    return Found(
        mistake=mistake,
        seed=told["seed"],
        search=told.get("search"),
        scene=told.get("scene"),
        broken=tuple(told["broken"]),
    )


def _find_somewhere(mistake: Mistake) -> Found:
    with tempfile.TemporaryDirectory() as folder:
        return find(mistake, Path(folder))


def table(found: list[Found]) -> Iterator[str]:
    """Draw it for the page."""
    yield "| deliberate mistake | noticed first by | what breaks there |"
    yield "| --- | --- | --- |"
    for one in found:
        yield f"| {one.mistake.name} | {one.where} | {one.promises or 'nothing'} |"


def searched() -> Iterator[str]:
    """Search with the package as it is, and draw what was visited."""
    yield "| two runs, one crash | states | transitions | ends | broken promises |"
    yield "| --- | --- | --- | --- | --- |"
    for name, search in SEARCHES.items():
        found = search().run()
        yield f"| {name} | {found.states:,} | {found.transitions:,} | {found.ends} | {len(found.broken)} |"


def _renew(name: str, rows: Iterable[str]) -> None:
    text, block = PAGE.read_text(encoding="utf-8"), re.compile(_BLOCK.format(name), re.DOTALL)
    filled = "\n".join(rows)
    PAGE.write_text(block.sub(lambda match: f"{match[1]}{filled}\n{match[2]}", text), encoding="utf-8")


def main() -> int:
    """Find all of them, and renew the page."""
    chosen = [mistake for mistake in MISTAKES if all(word in mistake.name for word in sys.argv[1:])]
    found: list[Found] = []
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for one in pool.map(_find_somewhere, chosen):
            found.append(one)
            first = one.broken[0] if one.broken else "NOTHING BROKE"
            sys.stdout.write(f"{one.where}: {one.mistake.name}: {first}\n")
            sys.stdout.flush()
    if len(chosen) == len(MISTAKES):
        _renew("sabotage", table(found))
        _renew("exhaustive", searched())
    unnoticed = [one.mistake.name for one in found if not one.is_noticed]
    sys.stdout.write(f"{len(found) - len(unnoticed)} of {len(found)} mistakes noticed\n")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
