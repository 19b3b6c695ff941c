"""
Play histories until a promise breaks: `python sabotaged.py LIMIT FIRST` prints the seed and what broke (for a copy).

It begins with history FIRST. `python sabotaged.py LIMIT FIRST SCENE` plays that scene instead.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import keyrota

sys.path.insert(0, str(Path(__file__).parent))

from play import play
from scenes import play_scene


def main() -> None:
    """Print `{seed, scene, broken, package}`; seed and scene are null if nothing broke."""
    found: dict[str, object] = {"seed": None, "broken": [], "package": str(Path(keyrota.__file__).parent)}
    limit, first, scenes = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    for scene in scenes:
        found |= {"scene": scene, "broken": list(play_scene(scene))}
    for seed in (*range(first, limit + 1), *range(1, first)) if not scenes else ():
        if broken := play(seed).broken:
            found |= {"seed": seed, "broken": list(broken)}
            break
    sys.stdout.write(json.dumps(found) + "\n")


main()
