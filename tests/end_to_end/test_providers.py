"""The commands with three providers, as a person types them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from cli_rig import CANARY_TOKEN, USER, Sandbox, a_sandbox
from cli_rig import SECRET as SECRET_NAME

from keyrota.app.config import load
from keyrota.core.model import KeyPair
from keyrota_sandbox.faults import Fault, FaultKind

ID, SECRET = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
REPO = ("repo", "acme", "shop")
SHOP = "bitbucket acme/shop Production"


@pytest.fixture
def sandbox(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Sandbox]:
    """A user with a key at three providers."""
    with a_sandbox(tmp_path, capsys) as made:
        made.github.add_organization("acme")
        made.github.add_repository("acme", "shop")
        made.gitlab.add_project("acme/shop")
        providers = (
            f"  github:\n    base_url: {made.cloud.url('github')}\n    auth: {{token: 'env:GITHUB_TOKEN'}}\n"
            f"  gitlab:\n    base_url: {made.cloud.url('gitlab')}/api/v4\n    auth: {{token: 'env:GITLAB_TOKEN'}}\n"
        )
        made.configure("credentials:\n", providers + "credentials:\n")
        targets = (
            "      - bitbucket: {workspace: acme, repository: shop, environment: Production}\n"
            "      - github: {repository: acme/shop, marker: true}\n"
            "      - gitlab: {project: acme/shop, environment_scope: production}\n"
        )
        made.configure(targets.splitlines(keepends=True)[0], targets)
        yield made


def _held(sandbox: Sandbox) -> set[str]:
    """The key IDs that jobs see, at all three providers."""
    return {
        sandbox.held()[ID],
        sandbox.github.values("acme", "shop")[ID],
        sandbox.gitlab.values("acme/shop", "production")[ID],
    }


def test_a_rotation_reaches_all_three(sandbox: Sandbox) -> None:
    """One key everywhere; the next plan has nothing to do."""
    assert sandbox.run("apply")[0] == 0
    assert len(_held(sandbox)) == 1
    assert _held(sandbox) != {sandbox.old.id}
    code, document = sandbox.json("plan")
    assert (code, document["credentials"][0]["actions"]) == (0, [])


def test_one_provider_that_fails_holds_back_nothing_but_itself(sandbox: Sandbox) -> None:
    """Named with what to do; the old key lives, and the next run writes only what is left."""
    sandbox.cloud.faults.add(Fault(operation="POST variables", status=403, times=2))
    code, out, _ = sandbox.run("apply")
    assert code == 1
    assert "not allowed to do this (403)" in out
    assert sandbox.keys()[sandbox.old.id] == "Active"
    sandbox.github.journal.clear()
    assert sandbox.run("apply")[0] == 0
    assert len(_held(sandbox)) == 1
    assert not any(operation.startswith("PUT") for operation, _ in sandbox.github.journal)


def _no_environment(sandbox: Sandbox) -> None:
    sandbox.configure("{repository: acme/shop, marker: true}", "{repository: acme/shop, environment: prod}")


def _another_type(sandbox: Sandbox) -> None:
    sandbox.gitlab.set_variable(("project", "acme/shop"), ID, "/builds/x", scope="production", variable_type="file")


def _no_visibility(sandbox: Sandbox) -> None:
    sandbox.configure("{repository: acme/shop, marker: true}", "{organization: acme}")


def _only_sees(sandbox: Sandbox) -> None:
    sandbox.github.may_push = False


def _reads_only(sandbox: Sandbox) -> None:
    sandbox.gitlab.token_scopes = ["read_api"]


def _gone(sandbox: Sandbox) -> None:
    sandbox.configure("{project: acme/shop, environment_scope: production}", "{project: acme/nowhere}")


def test_an_archived_repository_holds_nothing_up(sandbox: Sandbox) -> None:
    """It runs nothing: noted, not written, and written once it is not archived any more."""
    sandbox.github.archive("acme", "shop")
    code, document = sandbox.json("apply")
    assert code == 0
    assert any("archived" in notice["reason"] for notice in document["credentials"][0]["notices"])
    assert sandbox.held()[ID] != sandbox.old.id
    assert not sandbox.github.values("acme", "shop")


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (_no_environment, "no environment 'prod'"),
        (_another_type, "half a pair"),
        (_no_visibility, "who may see it"),
        (_only_sees, "may not write to it"),
        (_reads_only, "scope api"),
        (_gone, "404"),
    ],
)
def test_what_a_target_would_refuse_is_told_before_any_key_is_made(
    sandbox: Sandbox, trouble: Callable[[Sandbox], None], words: str
) -> None:
    """The target is named, and what to do; the old key goes on."""
    trouble(sandbox)
    code, document = sandbox.json("apply")
    assert code in {1, 3}
    held = [hold for hold in document["credentials"][0]["holds"] if words in hold["reason"]]
    assert held, document
    assert held[0]["target"].startswith(("github", "gitlab"))
    assert held[0]["remedy"]
    assert sandbox.keys() == {sandbox.old.id: "Active"}
    assert sandbox.deploys()


@pytest.mark.parametrize(
    "fault",
    [
        Fault(operation="PUT secrets", status=403, message="Resource not accessible", times=-1),
        Fault(operation="PUT secrets", status=429, times=-1),
        Fault(operation="PUT secrets", status=422, message="no", times=-1),
        Fault(operation="PUT secrets", kind=FaultKind.BODY, status=200, body="<html>sign in</html>", times=-1),
        Fault(operation="PUT secrets", kind=FaultKind.LOST_BEFORE, times=-1),
    ],
    ids=["403", "429 without a time", "422", "200 with HTML", "cut"],
)
def test_what_a_target_refuses_at_the_write_leaves_the_others_going_on(sandbox: Sandbox, fault: Fault) -> None:
    """Named with what to do; the other targets have the new key, the old one stays alive, and the next run mends it."""
    sandbox.cloud.faults.add(fault)
    code, document = sandbox.json("apply")
    assert code == 1
    (error,) = document["errors"]
    assert "github acme/shop" in error["where"]
    assert error["remedy"]
    assert sandbox.keys()[sandbox.old.id] == "Active"
    assert len({sandbox.held()[ID], sandbox.gitlab.values("acme/shop", "production")[ID]} - {sandbox.old.id}) == 1
    sandbox.cloud.faults.clear()
    sandbox.travel(hours=2)
    assert sandbox.run("apply")[0] == 0
    assert len(_held(sandbox)) == 1


def test_a_renamed_repository_is_noted_in_the_plan(sandbox: Sandbox) -> None:
    sandbox.run("apply")
    sandbox.github.rename("acme", "shop", "store")
    code, out, _ = sandbox.run("plan")
    assert code == 0
    assert "! note" in out
    assert "renamed or moved" in out


def test_a_token_that_ends_soon_is_noted(sandbox: Sandbox) -> None:
    sandbox.run("apply")
    sandbox.github.token_expires = sandbox.cloud.clock.now() + timedelta(days=9, hours=1)
    _, document = sandbox.json("status")
    (notice,) = document["credentials"][0]["notices"]
    assert "the token for github ends in 9 days" in notice["reason"]


# --- left behind ------------------------------------------------------------------------------------------------------


def test_a_target_that_is_taken_out_is_left_behind_until_it_is_forgotten(sandbox: Sandbox) -> None:
    sandbox.run("apply")
    sandbox.configure("      - github: {repository: acme/shop, marker: true}\n", "")
    code, out, _ = sandbox.run("status")
    assert "github acme/shop: removed from the configuration" in out
    assert "keyrota forget 'github acme/shop'" in out
    code, document = sandbox.json("plan")
    assert document["credentials"][0]["left_behind"][0]["key"] in _held(sandbox)
    code, out, err = sandbox.run("forget", "github acme/shop", "--delete-variables", "--yes")
    assert code == 0
    assert f"deleted {ID}, {SECRET}" in out
    assert "a pipeline there fails then" in err
    assert sandbox.github.secrets(REPO) == {}
    assert "removed from the configuration" not in sandbox.run("status")[1]


def test_a_command_to_copy_is_quoted(sandbox: Sandbox) -> None:
    """Whoever may name an environment must not put words into an operator's shell."""
    name = "prod'; rm -rf /"
    sandbox.github.add_repository("acme", "odd", (name,))
    target = f'      - github: {{repository: acme/odd, environment: "{name}"}}\n'
    sandbox.configure("      - github: {repository: acme/shop, marker: true}\n", target)
    sandbox.run("apply")
    sandbox.configure(target, "")
    (line,) = [line for line in sandbox.run("status")[1].splitlines() if "keyrota forget" in line]
    words = shlex.split(line.partition("or: ")[2])
    assert words == ["keyrota", "forget", f"github acme/odd {name}"]
    assert sandbox.run(*words[1:], "--yes")[0] == 0


def test_forget_refuses_what_is_configured_or_unknown(sandbox: Sandbox) -> None:
    sandbox.run("apply")
    code, _, err = sandbox.run("forget", SHOP, "--yes")
    assert (code, "remove it there first" in err) == (1, True)
    code, _, err = sandbox.run("forget", "nowhere", "--yes")
    assert (code, "removed targets: none" in err) == (1, True)


def test_forget_does_not_delete_a_key_of_somebody_else(sandbox: Sandbox) -> None:
    sandbox.run("apply")
    sandbox.configure("      - gitlab: {project: acme/shop, environment_scope: production}\n", "")
    sandbox.gitlab.set_variable(("project", "acme/shop"), ID, "AKIAOFSOMEBODYELSE00", scope="production")
    code, _, err = sandbox.run("forget", "gitlab acme/shop production", "--delete-variables", "--yes")
    assert code == 1
    assert "did not write" in err
    assert "removed from the configuration" in sandbox.run("status")[1]


def test_what_a_provider_held_is_left_behind_when_the_provider_goes(sandbox: Sandbox) -> None:
    """Its token is gone from the configuration: it cannot be asked, and forgetting still works."""
    sandbox.run("apply")
    text = sandbox.file.read_text("utf-8")
    lines = [line for line in text.splitlines(keepends=True) if "gitlab" not in line.lower()]
    sandbox.file.write_text("".join(lines), "utf-8")
    assert "gitlab is not configured any more" in sandbox.run("status")[1]
    assert sandbox.run("forget", "gitlab acme/shop production", "--yes")[0] == 0
    assert "removed from the configuration" not in sandbox.run("status")[1]


# --- drift ------------------------------------------------------------------------------------------------------------


def test_drift_is_shown_and_held_where_that_is_wished(sandbox: Sandbox) -> None:
    sandbox.configure("version: 1\n", "version: 1\npolicy: {drift: hold}\n")
    sandbox.run("apply")
    sandbox.travel(days=1)
    sandbox.github.set_secret(REPO, SECRET, "of somebody else")
    code, out, _ = sandbox.run("apply")
    assert code == 3
    assert "was changed at" in out
    assert sandbox.run("sync")[0] == 0
    assert sandbox.github.secrets(REPO)[SECRET] != "of somebody else"
    assert sandbox.run("plan", "--exit-code")[0] in {0, 2}


def test_each_target_tells_its_own_drift(sandbox: Sandbox) -> None:
    """Not that of all others as well; and `status` shows what cannot be read back, and was changed."""
    sandbox.configure("github: {repository: acme/shop, marker: true}", "github: {repository: acme/shop}")
    sandbox.run("apply")
    sandbox.travel(hours=1)
    sandbox.github.set_secret(REPO, SECRET, "of somebody else")
    sandbox.gitlab.remove_variable(("project", "acme/shop"), ID, "production")
    _, document = sandbox.json("plan")
    reasons = {action["target"]: action["reason"] for action in document["credentials"][0]["actions"]}
    assert reasons["gitlab acme/shop production"] == f"lacks {ID}"
    assert reasons["github acme/shop"].startswith("was changed at ")
    assert "@ github acme/shop: was changed at " in sandbox.run("status")[1]
    assert sandbox.run("sync")[0] == 0
    assert "was changed" not in sandbox.run("status")[1]


# --- a breached provider ----------------------------------------------------------------------------------------------


def _another_user(sandbox: Sandbox, user: str, repository: str) -> KeyPair:
    """A second user, whose key lies at GitHub only."""
    sandbox.cloud.admin.add_user(user)
    pair = sandbox.cloud.admin.add_key(user, age=timedelta(days=5))
    sandbox.github.add_repository("acme", repository)
    with sandbox.file.open("a", encoding="utf-8") as file:
        file.write(f"  - user: {user}\n    targets:\n      - github: {{repository: acme/{repository}, marker: true}}\n")
    return pair


def _live(sandbox: Sandbox) -> None:
    """Let the first rotation come to its end, so that both of IAM's slots are not taken."""
    for _ in range(3):
        assert sandbox.run("apply", "--force", "--reason", "a test")[0] == 0
        sandbox.travel(days=11, hours=1)
    assert len(sandbox.keys()) == 1


def test_every_key_that_a_breached_provider_ever_held_is_made_new(sandbox: Sandbox) -> None:
    """Also that of a target that was removed from the configuration; as it shows the key, this takes `--now`."""
    mine = _another_user(sandbox, "ci-web", "web")
    sandbox.cloud.admin.add_user("ci-other")
    sandbox.bitbucket.add_repository("acme", "other")
    other = sandbox.cloud.admin.add_key("ci-other", age=timedelta(days=5))
    with sandbox.file.open("a", encoding="utf-8") as file:
        file.write("  - user: ci-other\n    targets:\n      - bitbucket: {workspace: acme, repository: other}\n")
    _live(sandbox)
    sandbox.configure("      - github: {repository: acme/shop, marker: true}\n", "")
    exposed = _held(sandbox) | {mine.id}
    code, out, err = sandbox.run("revoke", "--served-by", "github", "--yes")
    assert code == 1, out + err
    assert "safe again: 1 of 2" in out
    assert "github acme/shop still shows it" in out
    now = out.partition("or deactivate the key all the same: keyrota ")[2].splitlines()[0].split()
    assert now[-1] == "--now"
    assert sandbox.deploys()
    again = out.partition("to continue: keyrota ")[2].split()
    sandbox.run(*now, "--yes")
    code, out, err = sandbox.run(*again, "--yes")
    assert code == 0, out + err
    assert "safe again: 2 of 2" in out
    for user in (USER, "ci-web"):
        status = dict(sandbox.cloud.admin.keys(user))
        assert all(word == "Inactive" for key, word in status.items() if key in exposed)
    assert dict(sandbox.cloud.admin.keys("ci-other")) == {other.id: "Active"}


def test_a_breach_goes_on_where_it_stopped(sandbox: Sandbox) -> None:
    """GitHub is down for one of two: that one is not yet safe, and the printed command finishes it, once."""
    _another_user(sandbox, "ci-web", "web")
    _live(sandbox)
    sandbox.github.down.add(("acme", "web"))
    code, out, _ = sandbox.run("revoke", "--served-by", "github:acme", "--yes")
    assert code == 1
    assert "safe again: 1 of 2" in out
    assert "✗ ci-web" in out
    again = out.partition("to continue: keyrota ")[2].split()
    before = {user: set(dict(sandbox.cloud.admin.keys(user))) for user in (USER, "ci-web")}
    sandbox.github.down.clear()
    sandbox.travel(minutes=20)
    code, out, _ = sandbox.run(*again, "--yes")
    assert code == 0, out
    assert "safe again: 2 of 2" in out
    after = {user: set(dict(sandbox.cloud.admin.keys(user))) for user in (USER, "ci-web")}
    assert after[USER] == before[USER]
    assert len(after["ci-web"]) == 2
    assert sum(word == "Active" for word in dict(sandbox.cloud.admin.keys("ci-web")).values()) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("revoke", "--served-by", "jenkins"), "unknown provider"),
        (("revoke", "--served-by", "github", "ci-deploy"), "stands alone"),
        (("revoke", "--served-by", "github", "--before", "yesterday"), "is no time"),
        (("revoke", "--served-by", "github", "--before", "0001-01-01T00:00:00+14:00"), "is no time"),
        (("revoke",), "name a user"),
        (("revoke", "ci-deploy", "--before", "2026-01-01T00:00:00Z"), "name a user"),
    ],
)
def test_what_is_no_breach_is_told(sandbox: Sandbox, arguments: tuple[str, ...], words: str) -> None:
    code, _, err = sandbox.run(*arguments, "--yes")
    assert code == 1
    assert words in err


def test_a_breach_in_an_overlap_says_what_only_a_person_may_do(sandbox: Sandbox) -> None:
    """Both slots are taken: the old key goes off at once, and the grace forbids keyrota to delete it."""
    sandbox.run("apply")
    sandbox.travel(days=1)
    code, out, _ = sandbox.run("revoke", "--served-by", "github", "--yes")
    assert code == 1
    assert sandbox.keys()[sandbox.old.id] == "Inactive"
    assert "delete it yourself" in out
    again = out.partition("to continue: keyrota ")[2].split()
    sandbox.admin("iam").delete_access_key(UserName=USER, AccessKeyId=sandbox.old.id)
    code, out, _ = sandbox.run(*again, "--yes")
    assert (code, "safe again: 1 of 1" in out) == (0, True)
    assert len(_held(sandbox)) == 1


def test_an_area_that_holds_nothing_replaces_nothing(sandbox: Sandbox) -> None:
    sandbox.run("apply")
    before = sandbox.keys()
    code, out, err = sandbox.run("revoke", "--served-by", "gitlab:other", "--yes")
    assert (code, "safe again: 0 of 0" in out) == (0, True)
    assert sandbox.keys() == before
    assert "no key of this configuration was ever written to gitlab:other" in err, "it may be mistyped"
    assert "gitlab acme/shop production" in err


def test_a_breach_leaves_nobody_out_whose_index_cannot_be_read(sandbox: Sandbox) -> None:
    """Somebody edited the tag that remembers former targets: it may have been there."""
    sandbox.run("apply")
    sandbox.admin("secretsmanager").tag_resource(
        SecretId="keyrota/ci-deploy", Tags=[{"Key": "keyrota:targets", "Value": "edited by hand"}]
    )
    code, out, _ = sandbox.run("revoke", "--served-by", "gitlab:other", "--yes")
    assert code == 1
    assert "safe again: 0 of 1" in out
    assert "keyrota revoke ci-deploy" in out


# --- discovery --------------------------------------------------------------------------------------------------------


def _discover(sandbox: Sandbox, provider: str, *more: str) -> tuple[int, Path, str]:
    output = sandbox.file.parent / f"{provider}.yaml"
    code, out, err = sandbox.run("discover", "--provider", provider, "--output", str(output), *more)
    return code, output, out + err


def _plant(sandbox: Sandbox) -> None:
    """Put keys wherever they can hide."""
    key, secret = sandbox.old.id, sandbox.old.secret.reveal()
    for name, value in ((ID, key), (SECRET, secret)):
        sandbox.gitlab.set_variable(("project", "acme/shop"), name, value, scope="production")
        sandbox.gitlab.set_variable(("group", "acme"), name, value)
        sandbox.github.set_secret(REPO, name, value)
        sandbox.github.set_secret(("env", "acme", "shop", "production"), name, value)
        sandbox.github.set_secret(("dependabot", "acme", "shop"), name, value)
        sandbox.github.set_secret(("org", "acme"), name, value, visibility="all")
        sandbox.bitbucket.set_variable("acme", "shop", None, name, value, secured=name == SECRET)
        sandbox.bitbucket.set_variable("acme", None, None, f"OPS_{name}", value, secured=True)
    sandbox.gitlab.add_schedule("acme/shop", "nightly", {ID: key, SECRET: secret})
    sandbox.github.set_variable(REPO, "DEPLOY_KEY", key)
    sandbox.gitlab.set_variable(("project", "acme/shop"), "FOREIGN", "AKIAOFANOTHERACCOUNT")


@pytest.mark.parametrize(
    ("provider", "scope", "places"),
    [
        (
            "bitbucket",
            ("--workspace", "acme"),
            ["Production", "- bitbucket: {", "OPS_AWS_ACCESS_KEY_ID", '"repository": "shop"}'],
        ),
        (
            "github",
            ("--org", "acme"),
            [
                '"environment": "production"',
                '"dependabot": true',
                '{"organization": "acme"}',
                "DEPLOY_KEY",
                "a readable",
            ],
        ),
        (
            "gitlab",
            ("--group", "acme"),
            [
                '"environment_scope": "production"',
                '{"group": "acme"}',
                "schedule",
                "FOREIGN holds AKIAOFANOTHERACCOUNT",
            ],
        ),
    ],
)
def test_every_planted_key_is_found(sandbox: Sandbox, provider: str, scope: tuple[str, ...], places: list[str]) -> None:
    """What is certain stands in a file that loads; what is a guess is a comment; no secret is in it."""
    _plant(sandbox)
    code, file, told = _discover(sandbox, provider, *scope)
    text = file.read_text("utf-8")
    assert code == 0, told
    for place in places:
        assert place in text, text
    assert sandbox.old.secret.reveal() not in text
    assert CANARY_TOKEN not in text
    if provider != "github":  # every secret of GitHub's is a guess
        (credential,) = load(file).credentials
        assert credential.user == USER
        assert all(target.kind == provider for target in credential.targets)
    else:
        assert yaml.safe_load(text)["credentials"] == []
        assert USER in text


def test_what_keyrota_wrote_at_github_is_found_again_with_its_marker(sandbox: Sandbox) -> None:
    """The marker tells the key, and is no key of its own; whether a name is an ID's or a bundle's may be a guess."""
    targets = (
        "{repository: acme/shop, marker: true}\n"
        "      - github: {repository: acme/shop, environment: production, bundle: AWS_KEYS, marker: true}\n"
        "      - github: {organization: acme, visibility: all, marker: true,\n"
        "          names: {id: OPS_KEY_ID, secret: OPS_SECRET_KEY}}"
    )
    sandbox.configure("{repository: acme/shop, marker: true}", targets)
    assert sandbox.run("apply")[0] == 0
    sandbox.github.set_variable(REPO, "DEPLOY_KEY", sandbox.old.id)
    sandbox.github.set_variable(REPO, f"KEYROTA_{ID}_OF_OLD", sandbox.old.id)
    sandbox.github.set_variable(REPO, ID, sandbox.old.id)
    code, file, told = _discover(sandbox, "github", "--org", "acme")
    assert code == 0, told
    (credential,) = load(file).credentials
    assert credential.user == USER
    assert [dict(target.settings) for target in credential.targets] == [
        {"organization": "acme", "names": {"id": "OPS_KEY_ID", "secret": "OPS_SECRET_KEY"}, "marker": True},
        {"repository": "acme/shop", "marker": True},
    ]
    text = file.read_text("utf-8")
    assert "github acme/shop production: AWS_KEYS holds" in text
    assert "or a bundle?" in text
    assert f"KEYROTA_{ID} holds" not in text
    assert "DEPLOY_KEY holds" in text
    assert f"KEYROTA_{ID}_OF_OLD holds" in text
    assert f"variables: {ID} holds {sandbox.old.id}" in text
    assert "Guesses" not in text
    sandbox.file.write_text(text.replace("targets:", f"secret: {SECRET_NAME}\n    targets:"), "utf-8")
    evidence = {it["target"]: it["evidence"] for it in sandbox.json("status")[1]["credentials"][0]["targets"]}
    assert set(evidence.values()) == {"holds"}


def test_a_marker_whose_secret_is_gone_is_told_as_a_variable(sandbox: Sandbox) -> None:
    assert sandbox.run("apply")[0] == 0
    sandbox.github.remove_secret(REPO, ID)
    sandbox.github.remove_secret(REPO, SECRET)
    code, file, _ = _discover(sandbox, "github", "--org", "acme")
    assert code == 0
    assert f"KEYROTA_{ID} holds" in file.read_text("utf-8")
    assert yaml.safe_load(file.read_text("utf-8"))["credentials"] == []


def test_discovery_goes_on_after_a_limit(sandbox: Sandbox) -> None:
    """It says how far it came; the same command finishes, and asks no place twice."""
    _plant(sandbox)
    for number in range(6):
        sandbox.gitlab.add_project(f"acme/p{number}")
    limit = Fault(operation="GET variables", status=429, headers=(("Retry-After", "7200"),), skip=4)
    sandbox.cloud.faults.add(limit)
    code, file, told = _discover(sandbox, "gitlab", "--group", "acme")
    assert code == 1
    assert "the same command continues there" in told
    assert not file.exists()
    first = len(sandbox.gitlab.journal)
    code, file, told = _discover(sandbox, "gitlab", "--group", "acme")
    assert code == 0
    lists = [operation for operation, status in sandbox.gitlab.journal if (operation, status) == ("GET variables", 200)]
    assert len(lists) == 8
    assert len(sandbox.gitlab.journal) > first
    assert not list(file.parent.glob("*.partial"))


def test_a_name_that_no_configuration_may_hold_spoils_no_file(sandbox: Sandbox) -> None:
    """It is told as a comment, and the rest loads."""
    _plant(sandbox)
    sandbox.gitlab.set_variable(("project", "acme/shop"), ID, sandbox.old.id, scope="x\n- evil: [")
    code, file, _ = _discover(sandbox, "gitlab", "--group", "acme")
    assert code == 0
    assert len(load(file).credentials[0].targets) == 2
    assert r"x\x0a- evil" in file.read_text("utf-8")


def test_discovery_never_writes_over_a_file(sandbox: Sandbox) -> None:
    code, out, err = sandbox.run("discover", "--provider", "gitlab", "--output", str(sandbox.file))
    assert code == 1
    assert "exists" in out + err


def test_a_token_on_the_command_line_is_refused_and_not_repeated(sandbox: Sandbox) -> None:
    code, _, told = _discover(sandbox, "github", "--token", "ghp_realtoken")
    assert code == 1
    assert "ghp_realtoken" not in told


@pytest.mark.parametrize(
    ("provider", "scope", "operation", "kept"),
    [
        ("gitlab", ("--group", "acme"), "GET schedules", '{"project": "acme/shop", "environment_scope": "production"}'),
        ("bitbucket", ("--workspace", "acme"), "GET environments", '{"workspace": "acme", "repository": "shop"}'),
        ("github", ("--org", "acme"), "GET environments", '{"repository": "acme/shop"}'),
    ],
)
def test_a_place_that_may_not_be_looked_into_is_named(
    sandbox: Sandbox, provider: str, scope: tuple[str, ...], operation: str, kept: str
) -> None:
    """What was seen before the refusal is kept."""
    _plant(sandbox)
    sandbox.cloud.faults.add(Fault(operation=operation, status=403, times=-1))
    code, file, _ = _discover(sandbox, provider, *scope)
    text = file.read_text("utf-8")
    assert code == 0
    assert kept in text
    assert "Not looked into" in text
    assert "acme/shop, in part: " in text


def test_without_aws_credentials_nothing_is_certain_and_nothing_is_lost(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was found is written all the same."""
    _plant(sandbox)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    code, file, told = _discover(sandbox, "gitlab", "--group", "acme")
    assert code == 0
    assert "whose keys they are is not known" in told
    assert sandbox.old.id in file.read_text("utf-8")


def test_discovery_is_told_in_numbers(sandbox: Sandbox) -> None:
    _plant(sandbox)
    file = sandbox.file.parent / "found.yaml"
    code, out, _ = sandbox.run("discover", "--provider", "gitlab", "--group", "acme", "--output", str(file), "--json")
    assert code == 0
    document = json.loads(out)
    assert (document["certain"], document["elsewhere"], document["other_accounts"]) == (2, 1, 1)
