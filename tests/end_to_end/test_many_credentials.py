"""The example of a fleet in the how-to page: 204 credentials in 60 lines."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from keyrota.app.cli import main
from keyrota.app.config import load

PAGE = (Path(__file__).parents[2] / "docs/how-to/many-credentials.md").read_text("utf-8")
(EXAMPLE,) = re.findall(r"<!-- test: fleet -->\n```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "keyrota.yaml"
    path.write_text(EXAMPLE, "utf-8")
    return path


def test_a_fleet_of_204_credentials_fits_in_60_lines(file: Path) -> None:
    assert len(EXAMPLE.splitlines()) <= 60
    found = load(file).credentials
    assert len(found) == 204
    assert {*Counter(entry.account for entry in found).values()} == {17}
    assert {*Counter(entry.user for entry in found).values()} == {12}
    (most,) = [entry for entry in found if len(entry.targets) == 30]
    assert (most.user, most.account, most.role) == ("release", "100000000001", None)
    assert {entry.role for entry in found} == {None, "keyrota-{duty}"}
    assert {entry.policy.deactivate_after.days for entry in found} == {87}


def test_it_is_checked_without_a_network(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(file), "check", "--offline"]) == 0
    assert "204 credentials" in capsys.readouterr().out


def test_it_can_be_simulated(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["100000000001:release", "100000000005:lake"]
    assert main(["--config", str(file), "--json", "simulate", "--days", "2", "--key-age", "80d", *names]) == 0
    assert json.loads(capsys.readouterr().out)["summary"]["done"]["rotated"] == 2


def test_config_prints_what_the_file_stands_for_and_reads_it_back(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each value has its line; what is printed means the same as the file."""
    assert main(["--config", str(file), "config"]) == 0
    out = capsys.readouterr().out
    again = file.with_name("expanded.yaml")
    again.write_text(out, "utf-8")
    assert [replace(entry, where="", targets=()) for entry in load(again).credentials] == [
        replace(entry, where="", targets=()) for entry in load(file).credentials
    ]
    assert main(["--config", str(file), "config", "100000000010:api"]) == 0
    out = capsys.readouterr().out
    lines = dict(re.findall(r"^ +(?:- )?(?:\w+: )?(\S.*?) +# (.*)$", out, re.MULTILINE))
    assert lines["api"] == f"{file}:34"
    assert lines["keyrota-security"] == f"{file}:12 accounts.security.external_id"
    assert lines['"keyrota-{duty}"'] == f"{file}:23 defaults.credential.role"
    assert lines["security"] == f"{file}:28 defaults.target.bitbucket.environment"


def test_config_as_json_points_to_the_place_of_each_value(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(file), "--json", "config", "100000000001:release"]) == 0
    found = json.loads(capsys.readouterr().out)
    (credential,) = found["configuration"]["credentials"]
    assert credential["account"] == "100000000001"
    assert found["origins"]["/credentials/0/account"] == f"{file}:3:20"
    assert found["origins"]["/credentials/0/targets/29/bitbucket/repository"].startswith(f"{file}:")
    assert found["configuration"]["providers"]["data"]["auth"] == {"token": "env:BITBUCKET_DATA_TOKEN"}


def test_config_counts(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(file), "config", "--summary"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "1 file",
        "204 credentials: 17 users, 12 accounts",
        "233 targets: bitbucket 185, data 48",
    ]
    assert main(["--config", str(file), "--json", "config", "--summary"]) == 0
    assert json.loads(capsys.readouterr().out)["summary"]["targets"] == {"bitbucket": 185, "data": 48}


def test_config_never_prints_a_token(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BITBUCKET_TOKEN", "canary-token-0123456789")
    file.write_text(EXAMPLE.replace('"env:BITBUCKET_TOKEN"', '"canary-token-0123456789"'), "utf-8")
    assert main(["--config", str(file), "config"]) == 1
    told = capsys.readouterr()
    assert "canary" not in told.out + told.err
