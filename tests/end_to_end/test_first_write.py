"""The first write to a place, with the command as typed: what plan says, what is held, and who confirms it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cli_rig import Sandbox, a_sandbox

ID, SECRET = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
PRODUCTION = ("acme", "shop", "Production")
SHOP = "bitbucket acme/shop Production"
ELSEWHERE = "AKIA6ODU5DHTQQQQQQQQ"
"""A key ID of another account, which is within the ID."""
ACCOUNT = "992382622183"


@pytest.fixture
def sandbox(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Sandbox]:
    """A user with a key that its pipeline holds."""
    with a_sandbox(tmp_path, capsys) as made:
        yield made


def writes(sandbox: Sandbox) -> list[str]:
    calls = [call.operation for call in sandbox.cloud.aws.journal]
    return [call for call in calls if call in {"iam:CreateAccessKey", "secretsmanager:PutSecretValue"}]


def test_a_key_of_another_account_is_held_named_and_confirmed(sandbox: Sandbox) -> None:
    """The wrong AWS profile was at work; nothing is made or written before a person has looked."""
    sandbox.bitbucket.set_variable(*PRODUCTION, ID, ELSEWHERE)
    code, out, _ = sandbox.run("plan")
    assert f"{ID} replaces {ELSEWHERE} (a key of the account {ACCOUNT})" in out
    assert f"it holds {ELSEWHERE}, a key of the account {ACCOUNT}" in out
    assert f"keyrota confirm '{SHOP}'" in out
    assert sandbox.run("check")[0] == 1
    code, _, _ = sandbox.run("apply")
    assert code == 3
    assert sandbox.held()[ID] == ELSEWHERE
    assert not writes(sandbox)
    code, _, err = sandbox.run("confirm", SHOP, "--yes")
    assert code == 0, err
    assert f"a key of the account {ACCOUNT}" in err
    assert sandbox.run("apply")[0] == 0
    assert sandbox.held()[ID] in dict(sandbox.keys())


def test_a_confirmation_reports_a_place_that_fails_until_it_is_written(sandbox: Sandbox) -> None:
    """It holds another user's key, which is Inactive: to be silent about that would be an all-clear."""
    sandbox.cloud.admin.add_user("ci-web")
    theirs = sandbox.cloud.admin.add_key("ci-web", status="Inactive")
    sandbox.bitbucket.set_variable(*PRODUCTION, ID, theirs.id)
    code, out, _ = sandbox.run("confirm", SHOP, "--yes")
    assert (code, f"confirmed: {SHOP}" in out, "is Inactive" in out) == (1, True, True)
    assert "keyrota sync --user ci-deploy" in out, "and no second `confirm`"
    sandbox.bitbucket.set_variable(*PRODUCTION, ID, sandbox.old.id)
    sandbox.admin("iam").update_access_key(UserName="ci-deploy", AccessKeyId=sandbox.old.id, Status="Inactive")
    sandbox.bitbucket.set_variable(*PRODUCTION, ID, ELSEWHERE)
    code, document = sandbox.json("confirm", SHOP, "--yes")
    assert (code, document["broken"]) == (0, []), "of another account's key nobody can tell"


def test_a_confirmation_says_of_whom_and_of_what(sandbox: Sandbox) -> None:
    """A script that confirms records what it did: the document had the user's name alone."""
    sandbox.bitbucket.set_variable(*PRODUCTION, ID, ELSEWHERE)
    code, document = sandbox.json("confirm", SHOP, "--yes")
    assert code == 0
    assert (document["target"], document["users"]) == (SHOP, ["ci-deploy"])
    (one,) = document["confirmed"]
    assert (one["user"], one["account"]) == ("ci-deploy", "123456789012")
    since = datetime.fromisoformat(one["at"]) - datetime(2026, 1, 1, 6, tzinfo=UTC)
    assert timedelta() <= since < timedelta(minutes=2)  # as long as the commands took
    assert one["place"].startswith("bitbucket http")
    assert one["reasons"] == [f"it holds {ELSEWHERE}, a key of the account {ACCOUNT}"]
    assert one["by"] == "arn:aws:iam::123456789012:user/administrator"
    _, planned = sandbox.json("plan")
    assert not planned["credentials"][0]["holds"], "exactly that was confirmed"


def test_a_key_of_another_user_is_named(sandbox: Sandbox) -> None:
    sandbox.cloud.admin.add_user("ci-web")
    theirs = sandbox.cloud.admin.add_key("ci-web", age=timedelta(days=3))
    sandbox.bitbucket.set_variable(*PRODUCTION, ID, theirs.id)
    code, document = sandbox.json("apply")
    (hold,) = document["credentials"][0]["holds"]
    assert code == 3
    assert f"it holds {theirs.id}, a key of the user ci-web" in hold["reason"]


def test_half_a_pair_in_a_variable_is_held_before_a_key_is_made(sandbox: Sandbox) -> None:
    """The ID is a variable and the secret a secret; two new secrets would leave the job with the old ID."""
    sandbox.github.add_organization("acme")
    sandbox.github.add_repository("acme", "shop")
    repository = ("repo", "acme", "shop")
    sandbox.github.set_variable(repository, ID, sandbox.old.id)
    sandbox.github.set_secret(repository, SECRET, sandbox.old.secret.reveal())
    sandbox.configure(
        "credentials:\n",
        f"  github:\n    base_url: {sandbox.cloud.url('github')}\n    auth: {{token: 'env:GITHUB_TOKEN'}}\n"
        "credentials:\n",
    )
    sandbox.configure(
        "bitbucket: {workspace: acme, repository: shop, environment: Production}", "github: {repository: acme/shop}"
    )
    code, document = sandbox.json("apply")
    held = " ".join(hold["reason"] + hold["remedy"] for hold in document["credentials"][0]["holds"])
    assert code == 3
    assert ID in held
    assert "marker" in held or "names" in held
    assert not writes(sandbox)
    assert sandbox.keys() == {sandbox.old.id: "Active"}


def test_a_target_that_waits_for_nobody_lists_those_that_do(sandbox: Sandbox) -> None:
    sandbox.bitbucket.set_variable(*PRODUCTION, ID, ELSEWHERE)
    code, _, err = sandbox.run("confirm", "bitbucket acme/shop Test")
    assert code != 0
    assert f"waiting: '{SHOP}'" in err


def test_the_configuration_can_answer_too(sandbox: Sandbox) -> None:
    sandbox.bitbucket.set_variable(*PRODUCTION, ID, ELSEWHERE)
    sandbox.configure("environment: Production}", "environment: Production}\n        first_write: confirmed")
    assert sandbox.run("apply")[0] == 0
    assert sandbox.held()[ID] in dict(sandbox.keys())


def test_a_repository_made_anew_under_the_old_name_gets_no_key(sandbox: Sandbox) -> None:
    """The real one was renamed; its key stays, and the report says which IDs it saw."""
    assert sandbox.run("apply")[0] == 0
    given = sandbox.held()[ID]
    sandbox.bitbucket.rename_repository("acme", "shop", "store")
    sandbox.bitbucket.add_repository("acme", "shop", ("Production",))
    sandbox.travel(days=100)
    code, document = sandbox.json("apply")
    reasons = " ".join(hold["reason"] for hold in document["credentials"][0]["holds"])
    assert code == 1
    assert "this name now means" in reasons
    assert not sandbox.held()
    assert sandbox.keys()[given] == "Active"
    sandbox.configure("repository: shop,", "repository: store,")
    sandbox.run("apply")
    assert sandbox.bitbucket.values("acme", "store", "Production")[ID] in dict(sandbox.keys())


def test_two_users_of_one_place_are_refused(sandbox: Sandbox) -> None:
    """By its path, and by its number."""
    sandbox.gitlab.add_group("acme")
    number = sandbox.gitlab.add_project("acme/shop")
    sandbox.cloud.admin.add_user("ci-web")
    sandbox.cloud.admin.add_key("ci-web", age=timedelta(days=91))
    sandbox.configure(
        "credentials:\n",
        f"  gitlab:\n    base_url: {sandbox.cloud.url('gitlab')}/api/v4\n    auth: {{token: 'env:GITLAB_TOKEN'}}\n"
        "credentials:\n"
        "  - user: ci-web\n    targets:\n"
        f"      - gitlab: {{project: {number}}}\n",
    )
    sandbox.configure(
        "bitbucket: {workspace: acme, repository: shop, environment: Production}", "gitlab: {project: acme/shop}"
    )
    code, out, err = sandbox.run("apply")
    assert code == 1
    assert "are one place" in out + err
    assert not writes(sandbox)
    assert sandbox.run("check")[0] == 1
