"""Real processes, real signals: nothing breaks off in the middle of a pair, and what is torn is said first."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_rig import USER, Sandbox, a_sandbox

from keyrota_sandbox.faults import Fault, FaultKind

SLOW_S = 3.0


@pytest.fixture
def sandbox(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Sandbox]:
    """One for each test."""
    with a_sandbox(tmp_path, capsys) as made:
        yield made


def started(sandbox: Sandbox, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "keyrota", "--config", str(sandbox.file), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def in_the_middle(sandbox: Sandbox) -> subprocess.Popen[str]:
    """Start an `apply`, and return when one half of its pair is written and the other one is on its way."""
    sandbox.cloud.faults.add(Fault(operation="PUT variables", kind=FaultKind.SLOW, delay_s=SLOW_S))
    process = started(sandbox, "apply")
    until = time.monotonic() + 60
    while ("PUT variables", 200) not in sandbox.bitbucket.journal:
        assert time.monotonic() < until
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)  # noqa: TID251  # real time, between processes
    return process


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_waits_until_the_pair_is_whole(sandbox: Sandbox, number: signal.Signals, code: int) -> None:
    """Also the second signal."""
    process = in_the_middle(sandbox)
    process.send_signal(number)
    time.sleep(0.3)  # noqa: TID251  # real time, between processes
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, sandbox.deploys()) == (code, True), err
    assert "stopping: a pair is being written; it is made whole first" in err
    assert "still stopping" in err
    assert sandbox.held()["AWS_ACCESS_KEY_ID"] != sandbox.old.id
    assert sandbox.run("apply")[0] == 0


def test_a_killed_process_leaves_a_place_that_is_reported_and_repaired(sandbox: Sandbox) -> None:
    process = in_the_middle(sandbox)
    process.kill()
    process.communicate(timeout=60)
    for command in ("plan", "status"):
        code, out, _ = sandbox.run(command)
        assert code == 1
        first = next(line for line in out.splitlines() if line.startswith("  "))
        assert "✗ broken" in first
        assert "pipelines fail at bitbucket acme/shop Production now: it may hold half a pair" in first
    code, document = sandbox.json("plan")
    assert (code, document["credentials"][0]["holds"][0]["torn"]) == (1, True)
    time.sleep(SLOW_S)  # noqa: TID251  # the write that is still on its way
    assert sandbox.run("apply", "--user", USER)[0] == 0
    assert sandbox.deploys()
    assert sandbox.run("plan")[0] == 0


def test_half_a_minute_of_errors_is_outlasted(sandbox: Sandbox) -> None:
    """One of the two PUTs meets 500s for longer than one call is repeated."""
    sandbox.cloud.faults.add(Fault(operation="PUT variables", skip=1, status=500, times=9))
    code, out, err = sandbox.run("apply")
    assert (code, sandbox.deploys()) == (0, True), out + err


HOUR = (("Retry-After", "3600"),)


def test_an_hour_is_asked_for_and_the_old_pair_is_not_known(sandbox: Sandbox) -> None:
    """The secret of a key that was there before keyrota was never stored; the pair is finished after 10 minutes."""
    sandbox.cloud.faults.add(Fault(operation="PUT variables", skip=1, status=429, headers=HOUR))
    before = sandbox.cloud.clock.now()
    assert sandbox.run("apply")[0] == 0
    assert sandbox.deploys()
    assert 500 < (sandbox.cloud.clock.now() - before).total_seconds() < 1200


def test_a_wait_of_an_hour_is_not_kept_in_the_middle_of_a_pair(sandbox: Sandbox) -> None:
    """`Retry-After: 3600` for one half; the old pair is put back, and the place works all the time."""
    sandbox.run("apply")
    sandbox.travel(days=11)
    sandbox.run("apply")
    sandbox.travel(days=15)
    sandbox.run("apply")
    sandbox.travel(days=70)
    old = sandbox.held()["AWS_ACCESS_KEY_ID"]
    sandbox.cloud.faults.add(Fault(operation="PUT variables", skip=1, status=429, headers=HOUR))
    before = sandbox.cloud.clock.now()
    code, out, _ = sandbox.run("apply")
    assert (code, sandbox.deploys()) == (1, True), out
    assert "the old one was put back" in out
    assert sandbox.held()["AWS_ACCESS_KEY_ID"] == old
    assert (sandbox.cloud.clock.now() - before).total_seconds() < 300
    assert sandbox.run("apply")[0] == 0
    assert sandbox.held()["AWS_ACCESS_KEY_ID"] != old


def test_a_torn_place_is_said_first_and_exits_with_1(sandbox: Sandbox) -> None:
    """Neither finished nor put back: both roads are closed by the provider."""
    sandbox.cloud.faults.add(Fault(operation="PUT variables", skip=1, status=500, times=-1))
    code, out, _ = sandbox.run("apply")
    assert (code, sandbox.deploys()) == (1, False)
    first = next(line for line in out.splitlines() if line.startswith("  "))
    assert "✗ broken" in first
    assert "pipelines fail at bitbucket acme/shop Production now" in first
    assert sandbox.run("plan")[0] == 1
    sandbox.cloud.faults.clear()
    assert sandbox.run("sync")[0] == 0
    assert (sandbox.deploys(), sandbox.run("status")[0]) == (True, 0)
