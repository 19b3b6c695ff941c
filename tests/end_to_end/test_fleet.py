"""Many users and many variables: every page is found, the brake holds, and one that fails holds back nobody else."""

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


def test_every_user_and_every_variable_is_found(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """275 variables are three pages of a hundred; each target shows its own key."""
    code, document = _json(capsys, "--config", str(file), "plan")
    assert code == 0
    assert len(document["credentials"]) == USERS
    for credential in document["credentials"]:
        assert credential["targets"][0]["key"] == credential["keys"][0]["id"]


def test_the_brake_stops_before_the_first_write(file: Path, cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    """40 of 120 due at once is more than ten and more than 30 %."""
    before = len(cloud.aws.journal)
    code, document = _json(capsys, "--config", str(file), "apply")
    assert code == 1
    assert "40 of 120" in document["errors"][0]["message"]
    assert "--force" in document["errors"][0]["remedy"]
    writes = {"CreateAccessKey", "CreateSecret", "PutSecretValue", "TagResource"}
    assert not [call for call in cloud.aws.journal[before:] if call.operation.split(":")[1] in writes]


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
