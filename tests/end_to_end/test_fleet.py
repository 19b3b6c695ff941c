"""Many users and many variables: every page is found, keys come in waves, and one that fails fails alone."""

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
from keyrota_sandbox.providers.bitbucket import BitbucketEmulator

USERS = 120
STRANGERS = 35


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """A sandbox with 120 users, whose keys lie in a repository with 35 variables of other people."""
    made = Cloud()
    bitbucket = BitbucketEmulator(made.clock)
    made.standins["bitbucket"] = bitbucket
    with made, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("AWS_", "KEYROTA_"))]:
            patch.delenv(name)
        for name, value in made.environment().items():
            patch.setenv(name, value)
        bitbucket.add_repository("acme", "shop")
        for number in range(STRANGERS):
            bitbucket.set_variable("acme", "shop", "Production", f"OTHER_{number}", f"value {number}")
        for number in range(USERS):
            made.admin.add_user(f"ci-{number}")
            pair = made.admin.add_key(f"ci-{number}", age=timedelta(days=91 if number < 40 else 20))
            bitbucket.set_variable("acme", "shop", "Production", f"ID_{number}", pair.id)
            bitbucket.set_variable("acme", "shop", "Production", f"SECRET_{number}", pair.secret.reveal(), secured=True)
        yield made


@pytest.fixture
def file(cloud: Cloud, tmp_path: Path) -> Path:
    """A configuration for all of them."""
    path = tmp_path / "keyrota.yaml"
    target = "{{workspace: acme, repository: shop, environment: Production, names: {{id: ID_{0}, secret: SECRET_{0}}}}}"
    entries = [f"  - user: ci-{n}\n    targets:\n      - bitbucket: {target.format(n)}\n" for n in range(USERS)]
    path.write_text(
        "version: 1\n"
        "providers:\n  bitbucket:\n    auth: {token: 'env:BITBUCKET_TOKEN'}\n"
        f"    base_url: {cloud.url('bitbucket')}/2.0\n"
        "credentials:\n" + "".join(entries),
        "utf-8",
    )
    return path


def _json(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = main([*arguments, "--json"])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, document


def test_every_user_and_every_variable_is_found(file: Path, cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    """
    275 variables are three pages of a hundred; each target shows its own key.

    40 of 120 keys are due: ten are replaced now, and the others are told their day, ten each.
    """
    code, document = _json(capsys, "--config", str(file), "plan", "--exit-code")
    assert code == 2
    assert len(document["credentials"]) == USERS
    for credential in document["credentials"]:
        assert credential["targets"][0]["key"] == credential["keys"][0]["id"]
    actions = [action["action"] for one in document["credentials"] for action in one["actions"]]
    assert actions.count("rotate") == 10
    holds = [hold for one in document["credentials"] for hold in one["holds"]]
    assert {hold["needs"] for hold in holds} == {"nobody"}
    days = [f"{cloud.clock.now() + timedelta(days=1 + number // 10):%Y-%m-%dT00:00:00Z}" for number in range(30)]
    assert sorted(hold["until"] for hold in holds) == days


def test_a_run_makes_no_more_than_it_is_told(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--max` is for one run; what waits needs nobody."""
    code, document = _json(capsys, "--config", str(file), "apply", "--max", "0", "--user", "ci-5", "--user", "ci-6")
    assert (code, [one["done"] for one in document["credentials"]]) == (0, [[], []])
    (hold,) = document["credentials"][0]["holds"]
    assert "this run makes at most 0 new keys (`--max`)" in hold["reason"]


def test_users_that_are_named_are_rotated_and_strangers_stay(
    file: Path, cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two of 120; other people's variables are as they were."""
    bitbucket = cloud.standins["bitbucket"]
    assert isinstance(bitbucket, BitbucketEmulator)
    before = bitbucket.values("acme", "shop", "Production")
    code, document = _json(capsys, "--config", str(file), "apply", "--user", "ci-0", "--user", "ci-1")
    assert code == 0
    assert [[done["action"] for done in one["done"]] for one in document["credentials"]] == [["rotate", "sync"]] * 2
    after = bitbucket.values("acme", "shop", "Production")
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {"ID_0", "SECRET_0", "ID_1", "SECRET_1"}


def test_a_user_that_does_not_exist_fails_alone(file: Path, cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    """Its error names it and says what to do; the other user is rotated."""
    text = file.read_text("utf-8").replace("user: ci-2\n", "user: ci-nobody\n")
    file.write_text(text, "utf-8")
    code, document = _json(capsys, "--config", str(file), "apply", "--user", "ci-nobody", "--user", "ci-3")
    assert code == 1
    (error,) = document["errors"]
    assert error["user"] == "ci-nobody"
    assert "does not exist" in error["message"]
    assert error["remedy"]
    assert {len(cloud.admin.keys("ci-3")), len(cloud.admin.keys("ci-2"))} == {1, 2}
