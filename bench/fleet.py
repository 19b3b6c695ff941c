"""
A quiet day with many users: `keyrota plan` against the loop that a user would write instead.

Both run in a process of their own against the same sandbox. The loop asks IAM for keys and last use, one user after
the other, and knows nothing of secrets or targets; keyrota reads those as well.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from keyrota_sandbox.cloud import Cloud

USERS, ROUNDS = 60, 5
_LOOP = """
import boto3
iam = boto3.client("iam")
for page in iam.get_paginator("list_users").paginate():
    for user in page["Users"]:
        for key in iam.list_access_keys(UserName=user["UserName"])["AccessKeyMetadata"]:
            iam.get_access_key_last_used(AccessKeyId=key["AccessKeyId"])
"""


def _seconds(command: list[str], environment: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return time.perf_counter() - began


def main() -> None:
    """Measure, and print medians, the ratio and the calls."""
    with tempfile.TemporaryDirectory() as folder, Cloud() as cloud:
        for number in range(USERS):
            cloud.admin.add_user(f"ci-{number}")
            cloud.admin.add_key(f"ci-{number}", age=timedelta(days=20))
        file = Path(folder) / "keyrota.yaml"
        users = "".join(f"  - user: ci-{number}\n" for number in range(USERS))
        file.write_text(f"version: 1\ncredentials:\n{users}", "utf-8")
        environment = {**os.environ, **cloud.environment()}
        ours = [sys.executable, "-m", "keyrota", "--config", str(file), "plan"]
        theirs = [sys.executable, "-c", _LOOP]
        pairs, calls = [], []
        for _ in range(ROUNDS):
            before = len(cloud.aws.journal)
            left = _seconds(ours, environment)
            between = len(cloud.aws.journal)
            pairs.append((left, _seconds(theirs, environment)))
            calls.append((between - before, len(cloud.aws.journal) - between))
        ratio = statistics.median(left / right for left, right in pairs)
        print(
            f"quiet day, {USERS} users: keyrota plan {statistics.median(left for left, _ in pairs):.2f} s "
            f"({calls[-1][0]} calls, secrets included), boto3 loop "
            f"{statistics.median(right for _, right in pairs):.2f} s ({calls[-1][1]} calls), ratio {ratio:.2f} "
            f"(median of {ROUNDS} pairs)"
        )


if __name__ == "__main__":
    main()
