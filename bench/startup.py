"""How long it takes until something begins: the command line, and a function with its clients, beside bare botocore."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

from bench.results import Row

ROUNDS = 9
_ARGPARSE = "import argparse"
_HELP = "import sys; sys.argv = ['keyrota', '--help']; from keyrota.app.cli import main; main()"
_BARE = """
import botocore.session
session = botocore.session.Session()
for name in ("iam", "sts", "secretsmanager"):
    session.create_client(name, region_name="eu-west-1")
"""
_FUNCTION = """
import keyrota.app.functions.rotate
from keyrota.aws.account import Account
account = Account(region="eu-west-1")
for name in ("iam", "sts", "secretsmanager"):
    account.client(name)
"""


def _once(code: str) -> float:
    environment = {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "PATH": os.environ.get("PATH", ""),
        "POWERTOOLS_METRICS_NAMESPACE": "keyrota",
    }
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=environment)
    return time.perf_counter() - began


def _pairs(ours: str, theirs: str) -> list[tuple[float, float]]:
    _once(ours)
    _once(theirs)
    return [(_once(ours), _once(theirs)) for _ in range(ROUNDS)]


def measured() -> list[Row]:
    """Measure both, in turn, medians of several pairs."""
    helps = _pairs(_HELP, _ARGPARSE)
    less = statistics.median((ours - 0.06) / theirs for ours, theirs in helps)
    functions = _pairs(_FUNCTION, _BARE)
    import_ratio = statistics.median(ours / theirs for ours, theirs in functions)
    return [
        Row.of_ratio("`keyrota --help`, less 60 ms: time", '`python -c "import argparse"`', less, 1, at_most=1.5),
        Row.of_ratio("cold import of a function with its clients: time", "bare botocore", import_ratio, 1, at_most=1.3),
    ]
