"""
ministack as the cloud: an independent emulator that delivers events, fires schedules and runs functions by itself.

It runs in an environment of its own (`make emulator`), as a process on a movable clock that its functions share. The
stack comes into it by `keyrota deploy`, as a user would bring it to AWS.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from runtime import CLOCK, LambdaRuntime, set_clock

from aws_session import a_session

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv" / "emulator" / "bin" / "python"
REGION, ACCOUNT = "eu-central-1", "123456789012"
_LAUNCH = """
import sys
import ministack.services.scheduler as scheduler
import ministack.services.eventbridge as eventbridge
scheduler._SCHEDULE_TICK_INTERVAL = 0.3  # seconds between two looks at the clock, 10 otherwise
tick = scheduler._tick_schedules
def tick_from_creation():  # it counts a cron schedule from its own first look, which may come after the clock moved
    for key, schedule in list(scheduler._schedules._data.items()):
        if schedule["ScheduleExpression"].startswith("cron("):
            scheduler._schedule_last_fired.setdefault(key, schedule["CreationDate"])
    tick()
scheduler._tick_schedules = tick_from_creation
eventbridge._put_events.__defaults__ = (True,)  # it has no CloudTrail: the test sends what CloudTrail would
from ministack.app import main
sys.argv = ["ministack"]
main()
"""


@dataclass(slots=True, kw_only=True)
class Ministack:
    """A running emulator."""

    folder: Path
    start: datetime
    process: subprocess.Popen[bytes] = field(init=False)
    port: int = field(init=False)
    session: botocore.session.Session = field(default_factory=a_session)
    clients: dict[tuple[str, str], Any] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """Variables for AWS tools, and the clock."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "NO_PROXY": "127.0.0.1",
            "KEYROTA_SANDBOX_HOST": "127.0.0.1",
        }

    @property
    def clock(self) -> Path:
        """The file that every process watches."""
        return self.folder / "now"

    def launch(self) -> None:
        """Start it, and wait until it answers."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._set_clock(self.start)
        watch = self.folder / "clock"
        watch.mkdir()
        (watch / "sitecustomize.py").write_text(CLOCK, "utf-8")
        LambdaRuntime.link_time_machine(watch)
        environment = {
            **self.environment,
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
            "PYTHONPATH": str(watch),
            "TEST_CLOCK": str(self.clock),
            "GATEWAY_PORT": str(self.port),
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_REGION": REGION,
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
            "STATE_DIR": str(self.folder / "state"),
            "LAMBDA_WARM_TTL_SECONDS": "9999999999",
            "LOG_LEVEL": "WARNING",
        }
        with (self.folder / "ministack.log").open("wb") as log:
            self.process = subprocess.Popen(
                [PYTHON, "-c", _LAUNCH], env=environment, stdout=log, stderr=log, start_new_session=True
            )
        self.wait_until(self._answers, "ministack answers")

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    def end(self) -> None:
        """Stop it and the functions that it started."""
        for process in (*_descendants(self.process.pid), self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self.process.wait()

    def travel(self, to: datetime) -> None:
        """Move the clock of the emulator and its functions, and wait until its answers show it."""
        self._set_clock(to)
        self.wait_until(lambda: self._told_time() >= to.replace(microsecond=0), "the emulator's clock has moved")

    def _set_clock(self, to: datetime) -> None:
        set_clock(self.clock, to.timestamp(), time.time())  # noqa: TID251  # the real time, for the file

    def _told_time(self) -> datetime:
        answer = self.client("sts").get_caller_identity()
        return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])

    def client(self, service: str, account: str = "test") -> Any:
        """A client of the account, or of a member's: the emulator takes the account from the access key."""
        if (service, account) not in self.clients:
            self.clients[service, account] = self.session.create_client(
                service,
                region_name=REGION,
                endpoint_url=f"http://127.0.0.1:{self.port}",
                aws_access_key_id=account,
                aws_secret_access_key="test",
            )
        return self.clients[service, account]

    def keyrota(self, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run the command as a user does, on the same clock."""
        environment = {
            **self.environment,
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(self.folder / "clock"),
            "TEST_CLOCK": str(self.clock),
            "AWS_CONFIG_FILE": os.devnull,
        }
        return subprocess.run(
            [sys.executable, "-m", "keyrota", *arguments],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def wait_until(self, holds: Callable[[], bool], what: str, *, timeout_s: float = 300.0) -> None:
        """Wait; fails with what was waited for."""
        until = time.monotonic() + timeout_s
        while not holds():
            if time.monotonic() > until:
                pytest.fail(f"within {timeout_s:.0f} s it did not come true that {what}")
            time.sleep(0.05)  # noqa: TID251  # real time: another process works meanwhile

    def lines(self, group: str, since: datetime | None = None) -> list[str]:
        """The lines that a function logged."""
        made: list[str] = []
        which = {"startTime": int(since.timestamp() * 1000)} if since else {}
        pages = self.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group, **which)
        for page in pages:
            made += [event["message"] for event in page["events"]]
        return made

    def outcome(self, result: Any) -> Any:
        """Read the answer of an invocation."""
        return json.loads(result["Payload"].read())


def _descendants(root: int) -> list[int]:
    """Find the processes that a process started, and those that they started: functions have sessions of their own."""
    parents: dict[int, int] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = status.read_text("utf-8", "replace").rpartition(")")[2].split()
            parents[int(status.parent.name)] = int(fields[1])
    found = [root]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


@contextlib.contextmanager
def a_ministack(folder: Path, start: datetime | None = None) -> Iterator[Ministack]:
    """Start an emulator; skips where it is not installed, and fails in CI."""
    if not PYTHON.exists():
        if os.environ.get("CI"):
            pytest.fail("ministack is not installed, and in CI this test must not skip: make emulator")
        pytest.skip("ministack is not installed: make emulator")
    made = Ministack(folder=folder, start=start or datetime(2026, 1, 1, tzinfo=UTC))
    made.launch()
    try:
        yield made
    finally:
        made.end()
