"""A run that stops at a provider's limit: what a person, a pipeline and a program are told, and that it goes on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cli_rig import Sandbox, a_sandbox

from keyrota_sandbox.faults import Fault

TARGETS = 20
ID = "AWS_ACCESS_KEY_ID"


@pytest.fixture
def sandbox(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Sandbox]:
    """A user with twenty repositories at GitHub, two writes each, one a second; a run waits 15 s at most."""
    with a_sandbox(tmp_path, capsys) as made:
        url = made.cloud.url("github")
        provider = f"  github: {{base_url: '{url}', max_wait: 15s, auth: {{token: 'env:GITHUB_TOKEN'}}}}\n"
        made.configure("credentials:\n", provider + "credentials:\n")
        targets = ""
        for number in range(TARGETS):
            made.github.add_repository("acme", f"r{number}")
            targets += f"      - github: {{repository: acme/r{number}}}\n"
        made.configure("    targets:\n", "    targets:\n" + targets)
        yield made


def _written(sandbox: Sandbox) -> int:
    return sum(1 for number in range(TARGETS) if sandbox.github.values("acme", f"r{number}"))


def test_a_run_that_stops_at_a_limit_says_it_in_one_line_and_goes_on(sandbox: Sandbox) -> None:
    """Neither 0, for it is not done, nor 1, for nobody has to mend it; each run writes only what is left."""
    code, out, err = sandbox.run("apply")
    assert code == 3
    done = _written(sandbox)
    assert 0 < done < TARGETS
    left = TARGETS - done
    assert out.count("used up until") == 1
    assert "✗" not in out
    assert f"{left} targets are left: a run after 2026-01-01 0" in out.splitlines()[-1]
    assert " 0 failed" in out
    assert f"stopped at a limit: {left} targets are left" in err
    assert "failed" not in err
    for _ in range(TARGETS):
        sandbox.travel(minutes=2)
        before = len(sandbox.github.journal)
        code, out, _ = sandbox.run("apply")
        writes = [name for name, _ in sandbox.github.journal[before:] if name.startswith("PUT")]
        assert len(writes) == 2 * (_written(sandbox) - done)
        done = _written(sandbox)
        if code == 0:
            break
    assert (code, done) == (0, TARGETS)
    assert "left" not in out


def test_a_program_still_has_each_target(sandbox: Sandbox) -> None:
    """JSON names every one that is left, and when a run goes on: after STS was asked four times, and writes waited."""
    began = sandbox.cloud.clock.now()
    code, document = sandbox.json("apply")
    assert code == 3
    assert len(document["errors"]) == TARGETS - _written(sandbox)
    assert len({error["where"] for error in document["errors"]}) == len(document["errors"])
    for error in document["errors"]:
        assert timedelta(seconds=30) < datetime.fromisoformat(error["retry_at"]) - began < timedelta(minutes=3)


def test_a_failure_beside_a_limit_is_a_failure(sandbox: Sandbox) -> None:
    refused = "Resource not accessible"
    # A refused write is tried once more, and many are under way: with few faults none might be refused twice.
    sandbox.cloud.faults.add(Fault(operation="PUT secrets", status=403, message=refused, times=-1))
    code, document = sandbox.json("apply")
    assert code == 1
    assert {error["message"] for error in document["errors"] if error["retry_at"] is None} == {
        "the token is not allowed to do this (403)"
    }
    assert any(error["retry_at"] for error in document["errors"])


def _at_bitbucket(sandbox: Sandbox, calls: int) -> None:
    """Move the twenty to Bitbucket, with so many calls an hour."""
    auth = '    auth: {token: "env:BITBUCKET_TOKEN"}'
    sandbox.configure(auth, f"    calls_per_hour: {calls}\n    max_wait: 1m\n{auth}")
    for number in range(TARGETS):
        sandbox.bitbucket.add_repository("acme", f"r{number}")
        there = f"bitbucket: {{workspace: acme, repository: r{number}}}"
        sandbox.configure(f"github: {{repository: acme/r{number}}}", there)


def test_where_bitbucket_ends_its_hour_the_rest_is_left_as_well(sandbox: Sandbox) -> None:
    """There the look before a write counts too; what cannot be read afterwards is one line, not twenty-one."""
    _at_bitbucket(sandbox, 110)
    code, out, _ = sandbox.run("apply")
    done = sum(1 for number in range(TARGETS) if sandbox.bitbucket.values("acme", f"r{number}"))
    assert code == 3
    assert 0 < done < TARGETS
    assert "✗" not in out
    assert out.count("used up until") <= 2
    assert "targets are left: a run after 2026-01-01 07:0" in out.splitlines()[-1]


def test_many_targets_that_a_limit_keeps_from_being_looked_at_are_one_line(sandbox: Sandbox) -> None:
    """Nothing was begun: no key is made that could not be served."""
    _at_bitbucket(sandbox, 10)
    unseen = {TARGETS + 1 - 9, TARGETS + 1 - 8}
    """One of the ten calls lists repositories, and one asks for names of environments, if it is made."""
    code, out, _ = sandbox.run("plan", "--exit-code")
    assert code == 3
    assert out.count("used up until") == 2
    assert any(f"not rotated, because {count} targets would not take the new key" in out for count in unseen)
    code, document = sandbox.json("plan", "--exit-code")
    assert code == 3
    assert len({hold["target"] for hold in document["credentials"][0]["holds"]}) in unseen
    assert sandbox.run("apply")[0] == 3
    assert sandbox.keys() == {sandbox.old.id: "Active"}
