"""What a command does not need is not imported for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("keyrota.core", "keyrota.report.text", "keyrota.app.config", "botocore", "jsonschema", "urllib3", "yaml")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["no-such-command"]])
def test_help_imports_nothing_that_plans(arguments: list[str]) -> None:
    code = (
        "import contextlib, io, sys\n"
        "from keyrota.app.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):\n"
        "    main(sys.argv[1:])\n"
        "print('\\n'.join(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert [name for name in loaded if name.startswith(HEAVY)] == []
