"""`keyrota simulate`: a person's own policy and targets, played ahead without asking anybody anything."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from test_pages import README

from keyrota.app.cli import main

NASTY = """
version: 1
policy: {preset: strict, adopt: now, drift: hold, freeze: [{weekdays: [fri, sat, sun], timezone: Europe/Berlin}]}
providers: {bitbucket: {auth: {token: "env:BITBUCKET_TOKEN"}}}
credentials:
  - user: no-targets
  - user: week
    policy: {rotate_after: 7d, deactivate_after: 9d, delete_after: 11d}
    targets: [{bitbucket: {workspace: acme, repository: week}}]
  - {user: ci, account: "111111111111", role: keyrota, targets: [{bitbucket: {workspace: acme, repository: one}}]}
  - {user: ci, account: "222222222222", role: keyrota, targets: [{bitbucket: {workspace: acme, repository: two}}]}
"""
START = ("--start", "2026-01-01")


@pytest.fixture(autouse=True)
def nobody_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials, no tokens, and a network that leads nowhere."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "KEYROTA_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setattr("socket.socket.connect", _refuse)


def _refuse(*_: object) -> None:
    raise AssertionError("simulate asked the network")


@pytest.fixture
def readme(tmp_path: Path) -> Path:
    """The README's own configuration."""
    file = tmp_path / "keyrota.yaml"
    file.write_text(README.split("```yaml\n")[1].split("```")[0], "utf-8")
    return file


def told(
    capsys: pytest.CaptureFixture[str], file: Path, *arguments: str, expected: int = 0
) -> tuple[list[str], list[str]]:
    """Run it; the lines of stdout and of stderr."""
    assert main(["simulate", "--config", str(file), *START, *arguments]) == expected
    captured = capsys.readouterr()
    return captured.out.splitlines(), captured.err.splitlines()


def document(capsys: pytest.CaptureFixture[str], file: Path, *arguments: str) -> dict[str, Any]:
    """Run it with --json."""
    lines, _ = told(capsys, file, *arguments, "--json")
    made: dict[str, Any] = json.loads("\n".join(lines))
    assert made["version"] == 1
    return made


def days(made: dict[str, Any], what: str) -> list[str]:
    """The days on which something was done."""
    return list(dict.fromkeys(event["at"][:10] for event in made["events"] if event["what"] == what))


def test_the_calendar_of_the_readme(capsys: pytest.CaptureFixture[str], readme: Path) -> None:
    """The preset strict: 75, 87, 97 days, and no key Active past 90."""
    made = document(capsys, readme, "--days", "200")
    assert days(made, "rotated") == ["2026-03-17", "2026-06-01"]
    assert days(made, "deactivated") == ["2026-03-30", "2026-06-14"]
    assert days(made, "deleted") == ["2026-04-10", "2026-06-25"]
    assert made["holds"] == []
    assert made["summary"]["failed_pipeline_runs"] == {}
    assert made["summary"]["pipeline_runs"] > 2000
    assert made["summary"]["oldest_active_key_days"]["ci-deploy"] < 90


def test_a_person_reads_it(capsys: pytest.CaptureFixture[str], readme: Path) -> None:
    lines, errors = told(capsys, readme, "--days", "120", "--seed", "2")  # with 1 a pipeline reads a torn pair
    assert lines[0] == "120 days from 2026-01-01, faults: none, seed 2"
    assert any(line.startswith("day  75  2026-03-17 03:00  ci-deploy       rotated AKIA") for line in lines)
    assert lines[-1].endswith("pipeline runs, 0 failed")
    assert errors == []


def test_a_seed_is_one_history(capsys: pytest.CaptureFixture[str], readme: Path) -> None:
    one = document(capsys, readme, "--faults", "usual", "--seed", "5", "--days", "150")
    again = document(capsys, readme, "--faults", "usual", "--seed", "5", "--days", "150")
    other = document(capsys, readme, "--faults", "usual", "--seed", "6", "--days", "150")
    assert one == again
    assert one["events"] != other["events"]


@pytest.mark.parametrize("seed", ["1", "2", "3"])
def test_brutal_faults_hold_things_and_break_no_pipeline_but_by_a_torn_pair(
    capsys: pytest.CaptureFixture[str], readme: Path, seed: str
) -> None:
    made = document(capsys, readme, "--faults", "brutal", "--seed", seed)
    assert made["holds"]
    assert all(span["reason"] for span in made["holds"])
    assert set(made["summary"]["failed_pipeline_runs"]) <= {"torn pair", "somebody's doing"}


def test_keys_that_are_old_already(capsys: pytest.CaptureFixture[str], readme: Path) -> None:
    made = document(capsys, readme, "--key-age", "300d", "--days", "30")
    assert days(made, "rotated") == ["2026-01-01"]


def test_a_freeze_window_is_held_and_says_so(capsys: pytest.CaptureFixture[str], readme: Path) -> None:
    text = readme.read_text("utf-8")
    frozen = 'policy: {preset: strict, freeze: [{from: "2026-03-20", to: "2026-04-20"}]}'
    readme.write_text(text.replace("policy: {preset: strict}", frozen), "utf-8")
    made = document(capsys, readme, "--days", "150")
    assert days(made, "deactivated")[0] >= "2026-04-20"
    assert any("freeze" in span["reason"] or "frozen" in span["reason"] for span in made["holds"])


def _fleet(readme: Path, count: int, per_run: int) -> None:
    """Make several users of the one that the page has."""
    head, credentials = readme.read_text("utf-8").split("credentials:\n")
    many = [credentials.replace("ci-deploy", f"ci-{one}").replace("shop", f"shop-{one}") for one in range(count)]
    text = f"{head}rollout: {{per_run: {per_run}}}\ncredentials:\n" + "".join(many)
    readme.write_text(text, "utf-8")


def test_a_fleet_that_is_due_at_once_gets_its_keys_in_waves(capsys: pytest.CaptureFixture[str], readme: Path) -> None:
    _fleet(readme, 3, per_run=2)
    made = document(capsys, readme, "--days", "2", "--key-age", "730d")
    assert [(wave["made"], wave["waiting"]) for wave in made["waves"]] == [(2, 1), (1, 0)]
    rotated = Counter(event["at"][:10] for event in made["events"] if event["what"] == "rotated")
    assert rotated == {"2026-01-01": 2, "2026-01-02": 1}
    (span,) = made["holds"]
    assert "waits for its turn" in span["reason"]


def test_the_days_of_a_wave_are_shown(capsys: pytest.CaptureFixture[str], readme: Path) -> None:
    """One waits to the end of what is played, and is told when it is its turn."""
    _fleet(readme, 3, per_run=1)
    assert main(["--config", str(readme), "simulate", "--days", "2", "--key-age", "730d", *START]) == 0
    out = capsys.readouterr().out
    assert "Waves of new keys:" in out
    waves = [line.split("  ")[-1] for line in out.splitlines() if line.endswith(" waiting")]
    assert waves == ["1 made, 2 waiting", "1 made, 1 waiting"]
    assert "(to the end): a new key is due, and waits for its turn: a day brings 1 new key, and" in out
    assert "its turn comes about 2026-01-03" in out


def test_the_times_of_json_are_whole_seconds(capsys: pytest.CaptureFixture[str], readme: Path) -> None:
    made = document(capsys, readme, "--days", "120", "--faults", "usual")
    times = [event["at"] for event in made["events"]] + [span["first"] for span in made["holds"]]
    assert times
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", time) for time in times)


def test_one_user_of_several(capsys: pytest.CaptureFixture[str], readme: Path) -> None:
    made = document(capsys, readme, "--user", "ci-deploy", "--days", "80")
    assert {event["user"] for event in made["events"]} == {"ci-deploy"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--user", "nobody"), "nobody is not configured"),
        (("--key-age", "soon"), "soon"),
        (("--days", "0"), "0"),
        (("--faults", "some"), "some"),
        (("--start", "0001-01-01"), "--start 0001-01-01"),
        (("--start", "9999-12-30"), "--start 9999-12-30"),
        (("--seed", "-5"), "-5 is not in the range"),  # it would be the history of seed 5
        (("--key-age", "900000d"), "--key-age 900000d"),
    ],
)
def test_bad_input_is_named(
    capsys: pytest.CaptureFixture[str], readme: Path, arguments: tuple[str, ...], words: str
) -> None:
    lines, errors = told(capsys, readme, *arguments, expected=1)
    assert lines == []
    assert words in errors[0]
    assert not any("Traceback" in line for line in errors)


def test_ctrl_c_says_no_more_than_that(
    capsys: pytest.CaptureFixture[str], readme: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was done anywhere, and no next run goes on with it."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("keyrota_sandbox.preview.play_ahead", interrupted)
    assert told(capsys, readme, expected=130) == ([], ["interrupted"])


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_nobody_has_to_read_on(readme: Path, more: tuple[str, ...]) -> None:
    """`| head -1` closes the pipe: no failure, and no word about it."""
    reads, writes = os.pipe()
    os.close(reads)
    command = (sys.executable, "-m", "keyrota", "simulate", "--config", str(readme), *START, "--days", "120", *more)
    ended = subprocess.run(command, stdout=writes, stderr=subprocess.PIPE, check=False)
    os.close(writes)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_a_long_name_keeps_its_column(capsys: pytest.CaptureFixture[str], readme: Path) -> None:
    """And one day is a day."""
    text, name = readme.read_text("utf-8"), "a-long-name-of-a-user-that-nobody-likes"
    readme.write_text(text + text.split("credentials:\n")[1].replace("ci-deploy", name).replace("shop", "web"), "utf-8")
    lines, _ = told(capsys, readme, "--key-age", "80d", "--days", "1")
    assert lines[0].startswith("1 day from ")
    assert {line.index("rotated") for line in lines if " rotated AKIA" in line} == {29 + len(name)}
    assert f"{name}: its oldest Active key reached 81 days" in lines


def test_the_oldest_key_is_measured_when_it_goes_off(capsys: pytest.CaptureFixture[str], readme: Path) -> None:
    """At 03:00 on its 88th day, not at the midnight before."""
    made = document(capsys, readme, "--days", "100")
    assert made["summary"]["oldest_active_key_days"]["ci-deploy"] == pytest.approx(88.1)


def test_everything_at_once(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A user without targets, one name in two accounts, a life of days, freeze windows, `adopt: now`, `drift: hold`."""
    file = tmp_path / "keyrota.yaml"
    file.write_text(NASTY, "utf-8")
    made = document(capsys, file, "--days", "40", "--faults", "brutal", "--seed", "3")
    users = {event["user"] for event in made["events"]}
    assert users == {"no-targets", "week", "111111111111:ci", "222222222222:ci"}
    assert any(span["reason"].endswith("in a freeze window") for span in made["holds"])
    assert set(made["summary"]["failed_pipeline_runs"]) <= {"torn pair", "somebody's doing"}
    lines, errors = told(capsys, file, "--days", "40", "--quiet")
    assert errors == []
    times = [line[: len("day  12  2026-01-13 03:01  ")] for line in lines]
    assert all(time.startswith("day ") and time.endswith("  ") for time in times), times
    assert times == sorted(times)  # holds only, by day; within a minute as configured
