"""
Many rotations at once: under a limit of calls, and through the waits for propagation.

Both in real time, with the default verification: a new key is asked about four times over thirty seconds.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.results import Row
from keyrota_sandbox.cloud import Cloud
from keyrota_sandbox.fleet import add_fleet
from keyrota_sandbox.providers.bitbucket import BitbucketEmulator

LATENCY_S = 0.05
WAVE, WAVE_S = 200, 90.0
LIMITED, RATE = 10, 10.0
_PROVIDER = "providers:\n  bitbucket: {{auth: {{token: 'env:BITBUCKET_TOKEN'}}, base_url: {url}/2.0}}\n"
_ENTRY = "  - user: ci-{number}\n    targets: [{{bitbucket: {{workspace: acme, repository: r{number}}}}}]\n"


def _rotate(size: int, rate: float | None) -> tuple[float, int, int]:
    """Rotate so many keys at once; returns seconds, calls to AWS and refused ones."""
    cloud = Cloud(start=datetime.now(UTC))  # noqa: TID251  # real time: it is what is measured
    bitbucket = BitbucketEmulator(cloud.clock)
    cloud.standins["bitbucket"] = bitbucket
    with tempfile.TemporaryDirectory() as name, cloud:
        users = [f"ci-{number}" for number in range(size)]
        add_fleet(cloud, users, age=timedelta(days=91))
        for number in range(size):
            bitbucket.add_repository("acme", f"r{number}")
        entries = "".join(_ENTRY.format(number=number) for number in range(size))
        file = Path(name) / "keyrota.yaml"
        file.write_text(f"version: 1\n{_PROVIDER.format(url=cloud.url('bitbucket'))}credentials:\n{entries}", "utf-8")
        cloud.aws.meter.latency_s, cloud.aws.meter.rate = LATENCY_S, rate
        environment = {**os.environ, **cloud.environment()}
        del environment["KEYROTA_SANDBOX"]  # with the system's clock: waits take their time
        command = [sys.executable, "-m", "keyrota", "--config", str(file), "--allow-host"]
        command += [cloud.aws_url.removeprefix("http://"), "apply", "--force", "--reason", "a test", "--quiet"]
        began = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        seconds = time.perf_counter() - began
        if done.returncode:
            raise RuntimeError(f"exit code {done.returncode}: {done.stdout[-1500:]}{done.stderr[-1500:]}")
        meter = cloud.aws.meter
        return seconds, meter.calls.total(), meter.refused.total()


def measured() -> list[Row]:
    """Measure both."""
    _, calls, refused = _rotate(LIMITED, RATE)
    share = Row.of_ratio(
        f"{LIMITED} rotations under {RATE:g} calls a second: refused calls", "all calls", refused, calls, at_most=0.02
    )
    seconds, _, _ = _rotate(WAVE, None)
    wave = Row.of_ratio(f"{WAVE} rotations, one target each: time", f"{WAVE_S:g} s", seconds, WAVE_S, at_most=1)
    return [share, wave]
