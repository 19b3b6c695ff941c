"""Search all interleavings until something breaks: `python searched.py` (`sabotage.py` reads it)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from searches import SEARCHES

import keyrota


def main() -> None:
    """Print `{seed: null, search, broken, package}`."""
    found: dict[str, object] = {"seed": None, "broken": [], "package": str(Path(keyrota.__file__).parent)}
    for name, search in SEARCHES.items():
        if broken := search().run().broken:
            found |= {"search": name, "broken": broken}
            break
    sys.stdout.write(json.dumps(found) + "\n")


main()
