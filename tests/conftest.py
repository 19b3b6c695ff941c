"""What every test has."""

import os
from collections import defaultdict
from collections.abc import Iterator

import pytest

from drawn import draw_the_same
from keyrota.aws import pace

LOOPBACK = "127.0.0.1,localhost,[::1]"
os.environ.setdefault("KEYROTA_SANDBOX_HOST", LOOPBACK)
"""Emulators listen on loopback, each test on ports of its own; tests of hosts say themselves what is allowed."""
draw_the_same()


@pytest.fixture(autouse=True)
def an_environment_is_left_as_it_was_found() -> Iterator[None]:
    """
    Restore all variables after each test.

    `monkeypatch` may be undone after a sandbox that set the same variable; it then leaves what the sandbox had set.
    """
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    for name, value in before.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


@pytest.fixture(autouse=True)
def no_call_waits_for_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test pay, in real time, for what another one was refused on purpose."""
    monkeypatch.setattr(pace, "FIRST_RATE", pace.FREE_RATE)
    monkeypatch.setattr(pace, "_paces", defaultdict(pace.Pace))
