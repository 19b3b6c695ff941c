"""The emulators on loopback, for clients that people use with the real services; each in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import pytest

from keyrota_sandbox.providers.emulator import Emulator
from keyrota_sandbox.server import Server, Service

HERE = Path(__file__).parent
PYTHON = HERE.parents[1] / ".venv" / "clients" / "bin" / "python"
NODE_MODULES = HERE / "node" / "node_modules"
TIMEOUT_S = 300
S = TypeVar("S", bound=Emulator)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served(Generic[S]):
    """One emulator that listens."""

    emulator: S
    url: str
    environment: Mapping[str, str] = field(default_factory=dict)

    def python(self, name: str, **settings: str) -> Any:
        """Run a script with a client from PyPI; returns what it printed, as JSON."""
        return run_python(name, {**self.environment, "BASE_URL": self.url, **settings})

    def node(self, name: str, **settings: str) -> Any:
        """Run a script with a client from npm; returns what it printed, as JSON."""
        node = shutil.which("node")
        demand(node is not None and NODE_MODULES.exists(), "the clients from npm are not installed: make clients")
        script = str(HERE / "node" / f"{name}.mjs")
        return _run([node or "node", script], {**self.environment, "BASE_URL": self.url, **settings})


def run_python(name: str, environment: Mapping[str, str]) -> Any:
    """Run a script with a client from PyPI; returns what it printed, as JSON."""
    demand(PYTHON.exists(), "the clients from PyPI are not installed: make clients")
    return _run([str(PYTHON), str(HERE / "scripts" / f"{name}.py")], environment)


def _run(command: list[str], environment: Mapping[str, str]) -> Any:
    """Run with nothing of our own environment but where programs are, and an empty home: some keep caches."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    with tempfile.TemporaryDirectory() as home:
        variables = {"NO_PROXY": "127.0.0.1", **kept, "HOME": home, **environment}
        done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    if done.returncode != 0:
        pytest.fail(f"{command[-1]} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout)


def demand(is_there: bool, reason: str) -> None:  # reads as a sentence
    """Skip with the reason where a client is missing; in CI it must not be."""
    if is_there:
        return
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def serve(emulator: S, prefix: str = "", beside: Mapping[str, Service] | None = None) -> Iterator[Served[S]]:
    """Serve an emulator below a prefix, as `keyrota sandbox` does."""
    services: dict[str, Service] = {"/": emulator, **(beside or {})}
    if prefix:
        services[prefix] = emulator
    server = Server(services)
    try:
        yield Served(emulator=emulator, url=server.url + prefix, environment=emulator.environment)
    finally:
        server.close()
