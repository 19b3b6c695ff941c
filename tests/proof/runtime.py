"""A function's zip in AWS's own runtime client: a child process against a small runtime API on loopback."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

_TIMEOUT_S = 900
_API = "/2018-06-01/runtime"
CLOCK = """
import os, sys, threading, time, time_machine
FILE = os.environ["TEST_CLOCK"]
real = time_machine.escape_hatch.time.time
now = open(FILE).read()
def wanted_time(text, clock):
    at, when = text.split()
    return float(at) + clock() - float(when)
traveller = time_machine.travel(wanted_time(now, time.time), tick=True).start()
time.time()  # the first reading is where all others count from
turn = threading.Lock()
def look():
    global now
    with turn:  # whoever read an older time must not be the last to move the clock
        wanted = open(FILE).read()
        if wanted != now:
            traveller.shift(wanted_time(wanted, real) - time.time())  # in one step: other threads read meanwhile
            now = wanted
def watch():
    while True:
        time.sleep(0.01)
        try: look()
        except (OSError, ValueError): pass
threading.Thread(target=watch, daemon=True).start()
class Stdin:  # the emulator's functions read an invocation a line: its clock is the one that was set before it
    def __init__(self, real): self.real = real
    def __getattr__(self, name): return getattr(self.real, name)
    def readline(self, *size):
        line = self.real.readline(*size)
        look()
        return line
sys.stdin = Stdin(sys.stdin)
"""


def set_clock(file: Path, at: float, real: float) -> None:
    """Tell every process that watches the file which time it is: `at`, when it really is `real`."""
    unfinished = file.with_suffix(".part")
    unfinished.write_text(f"{at} {real}", "utf-8")
    unfinished.replace(file)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What an invocation came to."""

    payload: Any = None
    error: str | None = None
    """The error's type and message; None if the handler returned."""


class LambdaRuntime:
    """One function, warm: a process that asks for one invocation after the other."""

    def __init__(self, code: Path, handler: str, environment: Mapping[str, str], clock: Path) -> None:
        self._waiting: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._answers: queue.Queue[tuple[str, Result]] = queue.Queue()
        self._code, self._name, self._environment, self._clock = code, handler, dict(environment), clock
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._process: subprocess.Popen[bytes] | None = None
        self.log = clock.parent / f"{handler}.log"

    def __enter__(self) -> Self:
        """Start the runtime API; the process starts with the first invocation."""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """End both."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._server.shutdown()
        self._server.server_close()

    def invoke(self, event: Any, timeout_s: float = 300.0) -> Result:
        """Invoke the function; a process that dies or hangs is a result, not a hang."""
        if self._process is None or self._process.poll() is not None:
            self._start()
        request = str(uuid.uuid4())
        self._waiting.put((request, json.dumps(event).encode()))
        for _ in range(round(timeout_s * 5)):
            try:
                answered, result = self._answers.get(timeout=0.2)
            except queue.Empty:
                if self._process is not None and self._process.poll() is not None:
                    return Result(error=f"the process died: {self.log.read_text('utf-8')[-500:]}")
            else:
                return result if answered in {request, ""} else Result(error="an answer to another invocation")
        return Result(error="the function did not answer in time")

    def _start(self) -> None:
        folder = self._clock.parent / "clock"
        folder.mkdir(exist_ok=True)
        (folder / "sitecustomize.py").write_text(CLOCK, "utf-8")
        self.link_time_machine(folder)
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{folder}{os.pathsep}{self._code}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "TEST_CLOCK": str(self._clock),
            "LAMBDA_TASK_ROOT": str(self._code),
            "AWS_LAMBDA_FUNCTION_NAME": self._name,
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._server.server_address[1]}",
            "NO_PROXY": "127.0.0.1",
            **self._environment,
        }
        command = [sys.executable, "-c", _BOOTSTRAP, self._name, str(_site("awslambdaric"))]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, cwd=self._code, env=environment, stdout=log, stderr=log)

    @staticmethod
    def link_time_machine(folder: Path) -> None:
        for place in _site("time_machine").glob("*time_machine*"):
            target = folder / place.name
            if not target.exists():
                target.symlink_to(place)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        waiting, answers, clock = self._waiting, self._answers, self._clock

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                """Say nothing."""

            def do_GET(self) -> None:
                """Give the next invocation."""
                request, event = waiting.get()
                self._send(200, event, request)

            def do_POST(self) -> None:
                """Take an answer."""
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                parts = self.path.removeprefix(_API).strip("/").split("/")
                if parts == ["init", "error"]:
                    answers.put(("", Result(error=body.decode())))
                elif parts[-1] == "response":
                    answers.put((parts[1], Result(payload=json.loads(body or b"null"))))
                else:
                    told = json.loads(body)
                    answers.put((parts[1], Result(error=f"{told['errorType']}: {told['errorMessage']}")))
                self._send(202, b"", "")

            def _send(self, status: int, body: bytes, request: str) -> None:
                self.send_response(status)
                if request:
                    self.send_header("Lambda-Runtime-Aws-Request-Id", request)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Lambda-Runtime-Trace-Id", "Root=1-0-0")
                    deadline = (float(clock.read_text("utf-8").split()[0]) + _TIMEOUT_S) * 1000
                    self.send_header("Lambda-Runtime-Deadline-Ms", str(int(deadline)))
                    self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:x:1:function:f")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        return Handler


_BOOTSTRAP = """
import sys
handler, ric = sys.argv[1:]
own = [path for path in sys.path if 'site-packages' not in path and 'dist-packages' not in path]
sys.path[:] = own
import importlib.machinery
class Ric:
    names = {'awslambdaric', 'runtime_client', 'simplejson', 'snapshot_restore_py'}
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in self.names:
            return importlib.machinery.PathFinder.find_spec(name, path or [ric], target)
sys.meta_path.append(Ric())
from awslambdaric.__main__ import main
from awslambdaric.lambda_runtime_client import LambdaRuntimeClient
from sitecustomize import look
wait = LambdaRuntimeClient.wait_next_invocation
def wait_and_look(self):  # the clock that was set before an invocation is the clock that it sees
    event = wait(self)
    look()
    return event
LambdaRuntimeClient.wait_next_invocation = wait_and_look
main(['awslambdaric', handler])
"""
"""Nothing of this machine's packages but the runtime client itself: what the zip lacks must not be found."""


def _site(name: str) -> Path:
    import importlib.util  # noqa: PLC0415  # beside its only use

    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"{name} is not installed")
    return Path(spec.origin).parents[1]
