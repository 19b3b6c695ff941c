"""Many users at which nothing is due: what a run asks of AWS, and what it says of what it did not read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from keyrota.app.cli import main
from keyrota_sandbox.cloud import Cloud
from keyrota_sandbox.faults import Fault
from keyrota_sandbox.fleet import add_fleet

SIZE = 120


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """A sandbox with as many users, each with one key that keyrota made."""
    with Cloud() as made, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("AWS_", "KEYROTA_"))]:
            patch.delenv(name)
        for name, value in made.environment().items():
            patch.setenv(name, value)
        add_fleet(made, [f"ci-{number}" for number in range(SIZE)])
        yield made


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A configuration for all of them."""
    path = tmp_path / "keyrota.yaml"
    entries = "".join(f"  - user: ci-{number}\n" for number in range(SIZE))
    path.write_text(f"version: 1\ncredentials:\n{entries}", "utf-8")
    return str(path)


def _plan(capsys: pytest.CaptureFixture[str], file: str, command: str = "plan") -> tuple[dict[str, Any], str]:
    assert main(["--config", file, command, "--json"]) == 0
    told = capsys.readouterr()
    document: dict[str, Any] = json.loads(told.out)
    return document, told.err


@pytest.mark.parametrize("command", ["plan", "status", "apply"])
def test_a_fleet_at_rest_costs_a_few_calls(
    command: str, cloud: Cloud, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The report may have to be made first; two pages of secrets."""
    cloud.aws.meter.reset()
    document, _ = _plan(capsys, file, command)
    cost = dict(cloud.aws.meter.calls)
    assert cost.pop("iam:GenerateCredentialReport") in {1, 2}
    assert cost == {"sts:GetCallerIdentity": 1, "iam:GetCredentialReport": 1, "secretsmanager:ListSecrets": 2}
    assert document["not_read"] == {"credentials": SIZE, "places": 0, "as_of": document["credentials"][0]["as_of"]}
    assert document["notes"] == []
    assert [key["state"] for one in document["credentials"] for key in one["keys"]] == ["current"] * SIZE


def test_a_person_reads_how_much_was_not_read(cloud: Cloud, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cloud.aws.meter.rate is None
    for command in ("plan", "status", "check"):
        main(["--config", file, command])
        told = capsys.readouterr().out
        assert f"not read one by one: {SIZE} credentials, at rest by the credential report of 2026-" in told, command


@pytest.mark.parametrize(
    ("operation", "fault"),
    [
        ("iam:GenerateCredentialReport", {"status": 409, "code": "LimitExceeded"}),
        ("iam:GetCredentialReport", {"status": 403, "code": "AccessDenied"}),
        ("iam:GetCredentialReport", {"status": 404, "code": "ReportInProgress"}),
        ("secretsmanager:ListSecrets", {"status": 400, "code": "AccessDeniedException"}),
    ],
    ids=lambda value: value["code"] if isinstance(value, dict) else value,
)
def test_without_a_list_each_is_read_by_itself_and_that_is_said(
    operation: str, fault: dict[str, Any], cloud: Cloud, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.aws.meter.reset()
    cloud.faults.add(Fault(operation=operation, times=-1, **fault))
    try:
        document, err = _plan(capsys, file)
    finally:
        cloud.faults.clear()
    assert cloud.aws.meter.calls["iam:ListAccessKeys"] == SIZE
    assert document["not_read"] == {"credentials": 0, "places": 0, "as_of": None}
    (note,) = document["notes"]
    assert note.startswith(f"account {cloud.aws.account_id}: {SIZE} credentials are read one by one")
    assert f"note: {note}" in err


def test_few_that_are_named_are_read_by_themselves(cloud: Cloud, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    cloud.aws.meter.reset()
    main(["--config", file, "plan", "ci-1", "ci-2"])
    assert cloud.aws.meter.calls["iam:ListAccessKeys"] == 2
    assert cloud.aws.meter.calls["iam:GetCredentialReport"] == 0
    assert "not read" not in capsys.readouterr().out


def test_what_is_due_is_read_and_nothing_else(cloud: Cloud, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The report that AWS still has is older than the day on which all keys are due but one."""
    key = cloud.admin.keys("ci-5")[0][0]
    cloud.clock.travel(timedelta(days=71))
    add_fleet(cloud, ["ci-new"])
    cloud.aws.meter.reset()
    with Path(file).open("a", encoding="utf-8") as more:
        more.write("  - user: ci-new\n")
    document, _ = _plan(capsys, file)
    read = {one["user"] for one in document["credentials"] if one["as_of"] is None}
    assert read == {f"ci-{number}" for number in range(SIZE)}
    assert cloud.aws.meter.calls["iam:ListAccessKeys"] == SIZE
    assert document["not_read"]["credentials"] == 1
    due = {found["key"] for one in document["credentials"] for found in (*one["actions"], *one["holds"])}
    assert key in due
