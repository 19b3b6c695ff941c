"""Users that a selector finds when keyrota runs: they are rotated as if they had been named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cli_rig import SECRET, USER, Sandbox, a_sandbox

from keyrota.aws.account import Account
from keyrota.aws.users import AccountUsers

ACCOUNT = "123456789012"


@pytest.fixture
def box(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Sandbox]:
    """The user ci-deploy is selected by a tag, which names the repository as well."""
    with a_sandbox(tmp_path, capsys) as made:
        made.admin("iam").tag_user(UserName=USER, Tags=[{"Key": "repository", "Value": "shop"}])
        made.configure(f"user: {USER}", 'users: {name: "ci-*", tags: {repository: "*"}, except: [ci-never]}')
        made.configure(f"secret: {SECRET}", "secret: keyrota/{user}")
        made.configure("repository: shop", 'repository: "{tag:repository}"')
        yield made


def add_user(box: Sandbox, name: str, repository: str = "") -> None:
    box.cloud.admin.add_user(name)
    box.cloud.admin.add_key(name, age=timedelta(days=1))
    if repository:
        box.admin("iam").tag_user(UserName=name, Tags=[{"Key": "repository", "Value": repository}])


def test_a_selected_user_is_rotated_and_one_that_leaves_the_selection_is_reported(box: Sandbox) -> None:
    add_user(box, "ci-never", "shop")
    add_user(box, "ci-untagged")
    code, out, _ = box.run("apply")
    assert code == 0
    assert len(box.keys()) == 2
    assert box.deploys()
    assert "ci-never" not in out
    assert "ci-untagged" not in out
    box.admin("iam").untag_user(UserName=USER, TagKeys=["repository"])
    code, out, err = box.run("apply")
    assert code == 1  # it matches nobody now, which is not taken for everybody's leaving
    assert "it matches no user" in out
    assert len(box.keys()) == 2
    assert "is not in the configuration" not in err
    add_user(box, "ci-other", "web")
    box.bitbucket.add_repository("acme", "web", ("Production",))
    code, _, err = box.run("apply")
    assert f"warning: {ACCOUNT}:{USER} is not in the configuration" in err


def test_many_new_users_wait_for_a_person(box: Sandbox) -> None:
    """The one that is kept goes on; nothing is done for the others until `at_most` says that they are meant."""
    box.run("apply")
    for number in range(11):
        add_user(box, f"ci-{number:02}", f"r{number:02}")
    code, document = box.json("plan")
    assert code == 1
    assert [one["user"] for one in document["credentials"] if one["user"].startswith("ci-")] == [USER]
    assert "it matches 12 users, and keyrota keeps 1 of them" in json.dumps(document)
    box.configure("except: [ci-never]", "except: [ci-never], at_most: 12")
    _, document = box.json("plan")
    assert len(document["credentials"]) == 12


def test_all_users_are_read_with_their_tags_in_pages(box: Sandbox) -> None:
    box.admin("iam").create_user(UserName="ci-a", Path="/ci/", Tags=[{"Key": "team", "Value": "a b:c"}])
    found = {str(user.name): user for user in AccountUsers(Account(region="eu-central-1")).list()}
    assert (found["ci-a"].path, dict(found["ci-a"].tags)) == ("/ci/", {"team": "a b:c"})
    assert dict(found[USER].tags)["repository"] == "shop"


def test_the_policy_allows_the_list_and_the_users_by_pattern(box: Sandbox) -> None:
    caller = f"arn:aws:iam::{ACCOUNT}:role/keyrota"
    code, out, _ = box.run("policy", "--caller", caller)
    assert code == 0
    statements: list[dict[str, Any]] = json.loads(out)["Statement"]
    assert {"Effect": "Allow", "Action": ["iam:GetAccountAuthorizationDetails"], "Resource": ["*"]} in statements
    (keys,) = [one for one in statements if "iam:CreateAccessKey" in one["Action"]]
    assert keys["Resource"] == [f"arn:aws:iam::{ACCOUNT}:user/ci-*", f"arn:aws:iam::{ACCOUNT}:user/*/ci-*"]
    (secrets,) = [one for one in statements if "secretsmanager:PutSecretValue" in one["Action"]]
    assert secrets["Resource"] == [f"arn:aws:secretsmanager:*:{ACCOUNT}:secret:keyrota/*-??????"]


def test_config_shows_a_selector_as_it_is_written_and_asks_nobody(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    code, out, _ = box.run("config")
    assert code == 0
    assert '"{tag:repository}"' in out
    file = box.file.with_name("expanded.yaml")
    file.write_text(out, "utf-8")
    assert box.run("config", "--summary", "--config", str(file))[1] == box.run("config", "--summary")[1]
    assert "1 selection of users" in box.run("config", "--summary")[1]
    assert box.run("check", "--offline")[0] == 0
