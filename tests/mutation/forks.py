"""Processes that are forked for one question each, silent, bounded in time and memory, and answered by a file."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TypeVar

T = TypeVar("T")

MEMORY = 4 << 30
"""So much more memory than at its start a child may take: a loop that collects has no end, a thread asks for much."""
LEAST_CPU_S, TIMES_CPU = 10.0, 30
LEAST_WALL_S, TIMES_WALL = 90.0, 60
"""A test may take so many times its own time, of the processor and by the clock, and always at least this."""

DIED = "the end of the interpreter"


@dataclass(frozen=True, slots=True)
class Child:
    """A process that is at work on a question."""

    pid: int
    answer: Path

    def read(self) -> object:
        """Read what it answered before it ended; one that ended without a word says that."""
        try:
            return json.loads(self.answer.read_text())
        except (OSError, ValueError):
            return DIED


def started(question: Callable[[Callable[[object], None]], object]) -> Child:
    """Fork, and let the child answer; it can also answer early, and end, by calling what the question is given."""
    descriptor, name = tempfile.mkstemp(prefix="mutant-")
    os.close(descriptor)
    pid = os.fork()
    if pid:
        return Child(pid, Path(name))

    def end(answer: object) -> None:
        Path(name).write_text(json.dumps(answer))
        os._exit(0)

    with contextlib.suppress(BaseException):  # whatever a mutant raises here, the parent must not go on twice
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the parent's way to stop is not the child's
        _hush()
        end(question(end))
    os._exit(1)


def finished(children: dict[int, tuple[Child, T]]) -> tuple[T, object]:
    """Wait for any of the children, and take its answer."""
    pid, _ = os.wait()
    child, about = children.pop(pid)
    try:
        return about, child.read()
    finally:
        child.answer.unlink(missing_ok=True)


def stopped(children: Mapping[int, tuple[Child, T]]) -> None:
    """End the children, whatever they are at; what they would have answered is lost."""
    for pid, (child, _) in children.items():
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        child.answer.unlink(missing_ok=True)


def _hush() -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115  # lives as long as the process
    sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def write(file: Path, text: str) -> None:
    """Write a file whole: who reads it meanwhile, or stops this process, finds the old text or the new one."""
    new = file.with_name(f"{file.stem}.new{file.suffix}")
    new.write_text(text)
    new.replace(file)


def limit_memory() -> None:
    """Let what this process asks for beyond what it has fail."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, resource.RLIM_INFINITY))


@contextlib.contextmanager
def bounded(seconds: float, end: Callable[[], object]) -> Iterator[None]:
    """End the process when what is inside takes far longer than the seconds that it usually takes."""

    def stop(_: int, __: FrameType | None) -> None:
        end()

    signal.signal(signal.SIGVTALRM, stop)
    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, LEAST_CPU_S + TIMES_CPU * seconds)
    signal.setitimer(signal.ITIMER_REAL, LEAST_WALL_S + TIMES_WALL * seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
