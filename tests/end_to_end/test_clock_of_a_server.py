"""A GitHub Enterprise Server whose clock is minutes off, through the command line."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from cli_rig import Sandbox, a_sandbox


def _writes(sandbox: Sandbox) -> int:
    """Run once more, and count what it writes to GitHub."""
    sandbox.github.journal.clear()
    assert sandbox.run("apply")[0] == 0
    return sum(operation.startswith("PUT") for operation, _ in sandbox.github.journal)


@pytest.mark.parametrize("minutes", [3, -4])
def test_our_own_writes_are_not_taken_for_someone_elses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], minutes: int
) -> None:
    """The pair is written twice, as always, and not at every run; the old key leaves."""
    with a_sandbox(tmp_path, capsys) as sandbox:
        provider = f"  github: {{base_url: '{sandbox.cloud.url('github')}', auth: {{token: 'env:GITHUB_TOKEN'}}}}\n"
        sandbox.configure("credentials:\n", provider + "credentials:\n")
        sandbox.configure("    targets:\n", "    targets:\n      - github: {repository: acme/shop}\n")
        sandbox.github.add_repository("acme", "shop")
        sandbox.github.ahead = timedelta(minutes=minutes)
        made = [_writes(sandbox), _writes(sandbox)]
        for _ in range(12):
            sandbox.travel(days=1)
            made.append(_writes(sandbox))
        assert made[:3] == [2, 0, 2]
        assert sum(made) <= 6, made
        assert sandbox.keys()[sandbox.old.id] == "Inactive"
