"""botocore against boto3: time and memory until three clients are there, in fresh processes, in turn."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

_BOTOCORE = """
import botocore.session
session = botocore.session.Session()
make = lambda name: session.create_client(name, region_name="eu-west-1")
"""
_BOTO3 = """
import boto3
session = boto3.Session()
make = lambda name: session.client(name, region_name="eu-west-1")
"""
_REST = """
import resource
for name in ("iam", "sts", "secretsmanager"):
    make(name)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
ROUNDS = 7


def _once(code: str) -> tuple[float, float]:
    began = time.perf_counter()
    environment = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code + _REST], capture_output=True, check=True, env=environment
    )  # our own code
    return time.perf_counter() - began, int(done.stdout) / 1024


def main() -> None:
    """Measure, and print medians and ratios."""
    _once(_BOTOCORE)
    _once(_BOTO3)
    pairs = [(_once(_BOTOCORE), _once(_BOTO3)) for _ in range(ROUNDS)]
    for index, (name, unit) in enumerate((("time", "s"), ("memory", "MiB"))):
        ours, theirs = ([pair[side][index] for pair in pairs] for side in (0, 1))
        ratio = statistics.median(left / right for left, right in zip(ours, theirs, strict=True))
        print(  # a bench prints
            f"start-up {name}: botocore {statistics.median(ours):.2f} {unit}, "
            f"boto3 {statistics.median(theirs):.2f} {unit}, ratio {ratio:.2f} (median of {ROUNDS} pairs)"
        )


if __name__ == "__main__":
    main()
