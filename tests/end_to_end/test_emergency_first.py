"""`revoke --now`: the key is off within 5 s, whatever providers do (promise emergency-first)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cli_rig import USER, Sandbox, a_sandbox

from keyrota.sandbox.faults import Fault, FaultKind

HANGS = "hangs"
TROUBLE = {
    "503": Fault(operation="*", status=503, times=-1),
    "429": Fault(operation="*", status=429, times=-1, headers=(("Retry-After", "60"),)),
    HANGS: Fault(operation="*", kind=FaultKind.SLOW, delay_s=2.0, times=-1),
}


@pytest.fixture
def sandbox(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Sandbox]:
    """One for each test."""
    with a_sandbox(tmp_path, capsys) as made:
        yield made


@pytest.mark.parametrize("trouble", list(TROUBLE))
def test_the_key_is_off_before_any_provider_is_asked(sandbox: Sandbox, trouble: str) -> None:
    """D5: by the sandbox's clock, and by the order of the calls."""
    assert sandbox.run("apply")[0] == 0
    sandbox.configure("environment: Production}", "environment: Production, quiet: 10m}")
    leaked = sandbox.held()["AWS_ACCESS_KEY_ID"]
    seen: list[tuple[str, datetime]] = []
    bitbucket = type(sandbox.bitbucket)
    original = bitbucket.__call__

    def noted(self: object, request: object) -> object:
        seen.append((sandbox.keys()[leaked], sandbox.cloud.clock.now()))
        return original(self, request)  # type: ignore[arg-type]

    fault = TROUBLE[trouble]
    for method in ("GET", "PUT", "POST"):
        sandbox.cloud.faults.add(
            Fault(
                operation=f"{method} *",
                kind=fault.kind,
                status=fault.status,
                delay_s=fault.delay_s,
                headers=fault.headers,
                times=2 if trouble == HANGS else -1,
            )
        )
    began = sandbox.cloud.clock.now()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bitbucket, "__call__", noted)
        sandbox.run("revoke", USER, "--now", "--yes")
    assert sandbox.keys()[leaked] == "Inactive"
    assert seen, "the providers are asked afterwards"
    assert {status for status, _ in seen} == {"Inactive"}
    (off,) = [call for call in sandbox.cloud.aws.journal if call.operation == "iam:UpdateAccessKey"]
    assert off.at - began < timedelta(seconds=5)
    assert off.at <= seen[0][1]
