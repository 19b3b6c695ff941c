"""Examples are the same in each run: a verdict that another machine does not give is none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
CODE = """
import importlib, sys
for module in sys.argv[1:]:
    importlib.import_module(module)
from drawn import draw_the_same
draw_the_same()
from fuzz_rig import ANYTHING
from hypothesis import given

@given(ANYTHING)
def tell(drawn):
    print(ascii(drawn))

tell()
"""


def test_examples_do_not_hang_on_what_else_is_loaded() -> None:
    """Nor on the seed of hashes, nor on chance."""
    told = set()
    for seed, modules in (("1", ()), ("2", ("keyrota.app.cli", "keyrota_sandbox.memory", "keyrota.targets.github"))):
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS / 'fuzz'}"}
        environment.pop("HYPOTHESIS_PROFILE", None)
        command = [sys.executable, "-c", CODE, *modules]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        told.add(done.stdout)
    (drawn,) = told
    assert drawn.count("\n") >= 100
