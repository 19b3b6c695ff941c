"""
A fleet at which nothing is due: `keyrota plan` beside what finds old keys otherwise.

All run in processes of their own against the same metered AWS, with a latency for each call: Cloud Custodian with the
filter that reads the credential report and with the one that lists keys, and a loop over boto3 that reads keys and last
use of one user after another. These look at keys alone; keyrota reads secrets and their records as well.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.results import Row
from keyrota_sandbox.cloud import Cloud
from keyrota_sandbox.fleet import add_fleet

LATENCY_S = 0.02
_CUSTODIAN = Path(__file__).parents[1] / ".venv/bench/bin"
_LOOP = """
import boto3
iam = boto3.client("iam")
for page in iam.get_paginator("list_users").paginate():
    for user in page["Users"]:
        for key in iam.list_access_keys(UserName=user["UserName"])["AccessKeyMetadata"]:
            iam.get_access_key_last_used(AccessKeyId=key["AccessKeyId"])
"""
_POLICY = """
policies:
  - name: old-keys
    resource: aws.iam-user
    filters:
      - {type: FILTER, key: KEY, value_type: age, value: 90, op: gte}
"""
_REPORT = {"FILTER": "credential", "KEY": "access_keys.last_rotated"}
_LIST = {"FILTER": "access-key", "KEY": "CreateDate"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one command took."""

    seconds: float
    calls: Counter[str]


def _cost(cloud: Cloud, command: Sequence[str | Path], folder: Path) -> Cost:
    cloud.aws.meter.reset()
    environment = {**os.environ, **cloud.environment(), "AWS_ACCOUNT_ID": cloud.aws.account_id}
    began = time.perf_counter()
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, env=environment, cwd=folder
    )
    seconds = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stderr[-1000:]}")
    return Cost(seconds=seconds, calls=Counter(cloud.aws.meter.calls))


def _custodian(folder: Path, words: dict[str, str]) -> list[str | Path]:
    policy = folder / f"{words['FILTER']}.yml"
    text = _POLICY
    for name, word in words.items():
        text = text.replace(name, word)
    policy.write_text(text, "utf-8")
    out = folder / f"out-{words['FILTER']}"
    return [_CUSTODIAN / "custodian", "run", "--cache-period", "0", "-s", out, policy]


def _keyrota(folder: Path, users: Sequence[str]) -> list[str | Path]:
    file = folder / "keyrota.yaml"
    entries = "".join(f"  - user: {user}\n" for user in users)
    file.write_text(f"version: 1\ncredentials:\n{entries}", "utf-8")
    return [sys.executable, "-m", "keyrota", "--config", file, "plan", "--quiet"]


def measured(size: int, *, is_alone: bool = False) -> list[Row]:
    """Measure a fleet of a size; alone: keyrota only."""
    with tempfile.TemporaryDirectory() as name, Cloud() as cloud:
        folder, users = Path(name), [f"ci-{number}" for number in range(size)]
        add_fleet(cloud, users)
        cloud.aws.meter.latency_s = LATENCY_S
        ours = _cost(cloud, _keyrota(folder, users), folder)
        what = f"{size:,} credentials at rest"
        rows = [Row.of_calls(what, "keyrota plan", ours.calls.total(), f"{size // 100} + 20", size // 100 + 20)]
        if is_alone:
            return rows
        others: dict[str, list[str | Path]] = {
            "a boto3 loop": [sys.executable, "-c", _LOOP],
            "Cloud Custodian, credential": _custodian(folder, _REPORT),
            "Cloud Custodian, access-key": _custodian(folder, _LIST),
        }
        for other, command in others.items():
            theirs = _cost(cloud, command, folder)
            rows.append(Row.of_ratio(f"{what}: calls", other, ours.calls.total(), theirs.calls.total()))
            rows.append(Row.of_ratio(f"{what}: time", other, ours.seconds, theirs.seconds))
        return rows
