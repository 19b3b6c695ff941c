"""What every test has."""

import os
from collections.abc import Iterator

import pytest

from drawn import draw_the_same

LOOPBACK = "127.0.0.1,localhost,[::1]"
os.environ.setdefault("KEYROTA_SANDBOX_HOST", LOOPBACK)
"""Emulators listen on loopback, each test on ports of its own; tests of hosts say themselves what is allowed."""
draw_the_same()


@pytest.fixture(autouse=True)
def an_environment_is_left_as_it_was_found() -> Iterator[None]:
    """Fail the test that takes or changes the allowance, not those that come after it in the same process."""
    before = os.environ["KEYROTA_SANDBOX_HOST"]
    yield
    after = os.environ.get("KEYROTA_SANDBOX_HOST")
    os.environ["KEYROTA_SANDBOX_HOST"] = before
    assert after == before, "this test left os.environ with another KEYROTA_SANDBOX_HOST"
