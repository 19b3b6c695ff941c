"""Play histories until a promise breaks: `python sabotaged.py LIMIT` prints the seed and what broke (for a copy)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import keyrota

sys.path.insert(0, str(Path(__file__).parent))

from play import play


def main() -> None:
    """Print `{seed, broken, package}`; the seed is null if nothing broke."""
    found: dict[str, object] = {"seed": None, "broken": [], "package": str(Path(keyrota.__file__).parent)}
    for seed in range(1, int(sys.argv[1]) + 1):
        if broken := play(seed).broken:
            found |= {"seed": seed, "broken": list(broken)}
            break
    sys.stdout.write(json.dumps(found) + "\n")


main()
