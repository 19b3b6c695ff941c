"""
An independent judge: a mock server that Prism makes from each provider's own description.

Every request that our clients send is sent to it as well, and it refuses what the description does not allow; then the
clients themselves run against it, and must take whatever the description's examples hold without falling over.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import description
import pytest
import test_bitbucket
import test_github
import test_gitlab
import urllib3
from standin_rig import a_pair

from keyrota.core.secret import Secret
from keyrota.errors import KeyrotaError
from keyrota.targets import kinds
from keyrota_sandbox.memory import WorldClock

PRISM = Path(__file__).parent / "prism"
EXCHANGES: Mapping[str, Callable[[], tuple[list[description.Exchange], str]]] = {
    "bitbucket": test_bitbucket.exchanges,
    "github": test_github.exchanges,
    "gitlab": test_gitlab.exchanges,
}
PLACES: Mapping[str, dict[str, Any]] = {
    "bitbucket": {"workspace": "acme", "repository": "shop", "environment": "{1}"},
    "github": {"repository": "acme/shop", "environment": "production", "marker": True},
    "gitlab": {"project": "acme/shop", "environment_scope": "production"},
}
BASES = {"bitbucket": "", "github": "", "gitlab": "/api/v4"}
NARROWER = {"created"}
"""Fields of the query whose schema is narrower than the text beside it (GitHub's search syntax in a date-time)."""


@pytest.fixture(scope="module", params=EXCHANGES)
def prism(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """A mock server for each provider in turn: its name and its URL."""
    command = PRISM / "node_modules" / ".bin" / "prism"
    if not (command.exists() and shutil.which("node")):
        reason = "Prism is not installed: npm ci --prefix tests/contract/prism"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    name: str = request.param
    description.load(name)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    file = description.FOLDER / f"{name}.json"
    server = subprocess.Popen(
        [command, "mock", "--port", str(port), "--host", "127.0.0.1", file],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(server, url)
        yield name, url
    finally:
        server.terminate()
        server.wait(timeout=60)


def _wait_for(server: subprocess.Popen[bytes], url: str) -> None:
    until = time.monotonic() + 300
    while server.poll() is None and time.monotonic() < until:
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            urllib3.request("GET", url, retries=False, timeout=60)
            return
        time.sleep(0.1)  # noqa: TID251  # another process needs real time to start, and the processor
    pytest.fail(f"Prism did not start: {server.poll()}")


def test_every_request_is_one_that_the_description_allows(prism: tuple[str, str]) -> None:
    """Path, query, headers and body of each, as another implementation of the rules sees them."""
    name, url = prism
    found, base = EXCHANGES[name]()
    beyond = {"github": test_github.NOT_IN_THE_CUT, "gitlab": test_gitlab.NOT_IN_THE_CUT}.get(name, ())
    judged = 0
    for request, _ in found:
        if NARROWER & set(request.query):
            continue
        path = (request.base + request.target).removeprefix(base)
        if any(end in urlsplit(path).path for end in beyond) and "variables" not in path and "schedules" not in path:
            continue
        headers = {key: value for key, value in request.headers.items() if key not in {"host", "content-length"}}
        answer = urllib3.request(request.method, url + path, body=request.body or None, headers=headers, retries=False)
        kind = ""
        with contextlib.suppress(ValueError, AttributeError):
            kind = json.loads(answer.data).get("type", "")
        assert "prism/errors" not in str(kind), f"{request.method} {path}: {answer.data.decode()[:400]}"
        judged += 1
    assert judged > 20


def test_the_clients_take_the_descriptions_examples(prism: tuple[str, str]) -> None:
    """Whatever they hold: an answer or a clear error, never anything else."""
    name, url = prism
    settings = {"base_url": url + BASES[name], "auth": {"token": "env:T"}}
    connection = kinds()[name].connect(settings, secrets=lambda _: Secret("token"), clock=WorldClock())
    target = connection.target(PLACES[name])
    assert target.read().address
    assert target.preflight().address
    target.is_busy()
    with contextlib.suppress(KeyrotaError):
        target.write(a_pair())
    with contextlib.suppress(KeyrotaError):
        target.clear(frozenset())
    with contextlib.suppress(KeyrotaError):
        for scope in connection.scopes("acme"):
            tuple(connection.scan(scope))
