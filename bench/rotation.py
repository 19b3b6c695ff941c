"""
One rotation with three targets, beside the same steps as a script of bare botocore would take them.

Both run in a process of their own against the metered AWS and the providers' emulators, every answer after 50 ms. The
waits for propagation pass on the sandbox's clock, so that calls and rounds are what is measured.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

from bench.results import Row
from keyrota_sandbox.cloud import Cloud
from keyrota_sandbox.providers.bitbucket import BitbucketEmulator
from keyrota_sandbox.providers.github import GitHubEmulator
from keyrota_sandbox.providers.gitlab import GitLabEmulator

LATENCY_S = 0.05
CALLS, ROUNDS = 26, 18
USER = "ci-deploy"
_CONFIGURATION = """\
version: 1
providers:
  bitbucket: {{auth: {{token: 'env:BITBUCKET_TOKEN'}}, base_url: {bitbucket}/2.0}}
  github: {{auth: {{token: 'env:GITHUB_TOKEN'}}, base_url: {github}}}
  gitlab: {{auth: {{token: 'env:GITLAB_TOKEN'}}, base_url: {gitlab}/api/v4}}
credentials:
  - user: {user}
    targets:
      - bitbucket: {{workspace: acme, repository: shop, environment: Production}}
      - github: {{repository: acme/shop}}
      - gitlab: {{project: acme/shop}}
"""


def _make(cloud: Cloud) -> None:
    bitbucket, github, gitlab = BitbucketEmulator(cloud.clock), GitHubEmulator(cloud.clock), GitLabEmulator(cloud.clock)
    bitbucket.add_repository("acme", "shop")
    github.add_repository("acme", "shop")
    gitlab.add_project("acme/shop")
    cloud.standins.update(bitbucket=bitbucket, github=github, gitlab=gitlab)


def measured() -> list[Row]:
    """Count the calls of a rotation that replaces a key which keyrota made, and time it."""
    with tempfile.TemporaryDirectory() as name:
        cloud = Cloud()
        _make(cloud)
        with cloud:
            cloud.admin.add_user(USER)
            cloud.admin.add_key(USER, age=timedelta(days=91))
            file = Path(name) / "keyrota.yaml"
            urls = {kind: cloud.url(kind) for kind in cloud.standins}
            file.write_text(_CONFIGURATION.format(user=USER, **urls), "utf-8")
            for days in (0, 1, 15, 15, 65):
                cloud.clock.travel(timedelta(days=days))
                cloud.aws.meter.reset()
                seconds = _apply(cloud, file)
            calls = Counter(cloud.aws.meter.calls)
    print(f"one rotation: {dict(calls)}, {seconds:.1f} s")  # a bench prints
    return [Row.of_calls("a rotation with three targets: calls to AWS", "", calls.total(), str(CALLS), CALLS)]


def _apply(cloud: Cloud, file: Path) -> float:
    command = [sys.executable, "-m", "keyrota", "--config", str(file), "apply"]
    began = time.perf_counter()
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **cloud.environment()}
    )
    if done.returncode:
        raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
    return time.perf_counter() - began
