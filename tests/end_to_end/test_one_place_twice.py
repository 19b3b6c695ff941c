"""One place under two names, configured for two users, is refused also where each run looks at one of them only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cli_rig import USER, Sandbox, a_sandbox
from function_rig import Context, Rig, native, rig
from several_rig import OTHER

from keyrota.app.functions import sync
from keyrota_sandbox.cloud import Cloud, Emulator
from keyrota_sandbox.providers.forgejo import ForgejoEmulator

__all__ = ["rig"]
OTHERS = 12
SECRETS = ("ListSecrets", "DescribeSecret")


@pytest.fixture
def sandbox(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Sandbox]:
    """The user's place is a project by its path, another user's the same project by its number; more users beside."""
    with a_sandbox(tmp_path, capsys) as made:
        number = made.gitlab.add_project("acme/shop")
        names = ["ci-web", *(f"ci-{each}" for each in range(OTHERS))]
        for name in names:
            made.cloud.admin.add_user(name)
            made.cloud.admin.add_key(name, age=timedelta(days=91))
        for name in names[1:]:
            made.gitlab.add_project(f"acme/{name}")
        places = {name: f"acme/{name}" for name in names} | {"ci-web": str(number)}
        entries = "".join(
            f"  - user: {name}\n    targets: [{{gitlab: {{project: {places[name]}}}}}]\n" for name in names
        )
        made.configure(
            "credentials:\n",
            f"  gitlab: {{base_url: '{made.cloud.url('gitlab')}/api/v4', auth: {{token: 'env:GITLAB_TOKEN'}}}}\n"
            f"credentials:\n{entries}",
        )
        made.configure(
            "bitbucket: {workspace: acme, repository: shop, environment: Production}", "gitlab: {project: acme/shop}"
        )
        yield made


def calls(sandbox: Sandbox, since: int, *names: str) -> list[str]:
    """Name the calls to Secrets Manager since a moment of the journal."""
    found = (call.operation.partition(":")[2] for call in sandbox.cloud.aws.journal[since:])
    return [call for call in found if call in names]


@pytest.mark.parametrize("command", [("apply", "--user"), ("sync", "--user"), ("rotate",)])
def test_the_second_of_two_runs_is_refused(sandbox: Sandbox, command: tuple[str, ...]) -> None:
    """Each run of one user sees that user alone; the place is known from the other's secret."""
    assert sandbox.run("apply", "--user", USER)[0] == 0
    held = sandbox.gitlab.values("acme/shop")
    since = len(sandbox.cloud.aws.journal)
    code, out, err = sandbox.run(*command, "ci-web", *(["--yes"] if command == ("rotate",) else []))
    assert (code, "are one place" in out + err) == (1, True)
    assert not calls(sandbox, since, "PutSecretValue")
    assert sandbox.gitlab.values("acme/shop") == held


def test_who_only_looks_is_told_as_well(sandbox: Sandbox) -> None:
    assert sandbox.run("apply", "--user", USER)[0] == 0
    assert sandbox.run("check", "--user", "ci-web")[0] == 1
    code, out, _ = sandbox.run("plan", "--user", "ci-web")
    assert (code, "are one place" in out) == (1, True)
    code, out, _ = sandbox.run("plan", "--user", USER)
    assert (code, "are one place" in out) == (0, False), "what was not written there is no neighbour"


def test_an_event_of_one_secret(rig: Rig) -> None:  # the fixture
    """The sync function sees the credential of the event alone."""
    box = rig.box
    number = box.gitlab.add_project("acme/shop")
    box.cloud.admin.add_user("ci-web")
    box.cloud.admin.add_key("ci-web", age=timedelta(days=91))
    provider = f"  gitlab: {{base_url: '{box.cloud.url('gitlab')}/api/v4', auth: {{token: 'env:GITLAB_TOKEN'}}}}\n"
    theirs = f"  - user: ci-web\n    targets: [{{gitlab: {{project: {number}}}}}]\n"
    box.configure("credentials:\n", f"{provider}credentials:\n{theirs}")
    box.configure("{workspace: acme, repository: shop, environment: Production}", "{project: acme/shop}")
    box.configure("- bitbucket:", "- gitlab:")
    assert box.run("apply", "--user", "ci-web")[0] == 0
    assert box.run("apply", "--user", USER, "--only", "rotate")[0] == 1
    rig.store()
    held = box.gitlab.values("acme/shop")
    answer = sync.handler({"Records": [{"messageId": "1", "body": json.dumps(native())}]}, Context())
    assert "are one place" in answer["failed"][0]["reason"]
    assert answer["batchItemFailures"]
    assert box.gitlab.values("acme/shop") == held


def test_secrets_of_others_are_listed_in_bulk(sandbox: Sandbox) -> None:
    """However many are configured, a run of one user lists an account's secrets once, and asks for none of them."""
    for name in ("ci-web", *(f"ci-{each}" for each in range(OTHERS))):
        assert sandbox.run("apply", "--user", name)[0] == 0
    since = len(sandbox.cloud.aws.journal)
    assert sandbox.run("status", "--user", "ci-3")[0] == 0
    assert calls(sandbox, since, *SECRETS) == ["DescribeSecret", "ListSecrets"]
    since = len(sandbox.cloud.aws.journal)
    sandbox.run("status")
    assert "ListSecrets" not in calls(sandbox, since, *SECRETS), "who looks at everything lists nothing"


def test_two_that_wrote_before_are_both_refused(sandbox: Sandbox) -> None:
    """They wrote over each other before; whichever run comes next says so and writes nothing."""
    sandbox.gitlab.add_project("acme/other")
    sandbox.configure("gitlab: {project: acme/shop}", "gitlab: {project: acme/other}")
    for name in ("ci-web", USER):
        assert sandbox.run("apply", "--user", name)[0] == 0
    sandbox.gitlab.delete_project("acme/other")
    sandbox.configure("gitlab: {project: acme/other}", "gitlab: {project: acme/shop}")
    code, out, _ = sandbox.run("sync", "--user", USER)
    assert (code, "are one place" in out) == (1, True)


def test_a_place_that_was_given_from_one_user_to_another_is_no_neighbour_s(sandbox: Sandbox) -> None:
    """The first user's secret remembers it, but the configuration gives it to the second one alone now."""
    assert sandbox.run("apply", "--user", "ci-web")[0] == 0
    number = sandbox.gitlab.id_of("acme/shop")
    sandbox.gitlab.add_project("acme/web")
    sandbox.configure(f"project: {number}", "project: acme/web")
    assert sandbox.run("apply", "--user", "ci-web")[0] == 0
    code, out, err = sandbox.run("plan", "--user", USER)
    assert "are one place" not in out + err
    assert code == 0


@pytest.mark.parametrize("how", [(), ("--now",)])
def test_a_key_that_leaked_is_replaced_all_the_same(sandbox: Sandbox, how: tuple[str, ...]) -> None:
    """A revocation is not refused for a place that is shared; that place alone is not written."""
    assert sandbox.run("apply", "--user", USER)[0] == 0
    served = sandbox.gitlab.values("acme/shop")["AWS_ACCESS_KEY_ID"]
    ((leaked, _),) = sandbox.cloud.admin.keys("ci-web")
    code, out, err = sandbox.run("revoke", "ci-web", *how, "--yes")
    assert "are one place" in out + err
    assert code != 0
    assert (dict(sandbox.cloud.admin.keys("ci-web"))[leaked] == "Inactive") is bool(how)
    assert sandbox.gitlab.values("acme/shop")["AWS_ACCESS_KEY_ID"] == served


def test_another_account_s_user(sandbox: Sandbox) -> None:
    """The two users are of two accounts: a first write asks the other account as well."""
    other = sandbox.cloud.add_account(OTHER)
    other.add_user("ci-web")
    other.add_key("ci-web", age=timedelta(days=91))
    sandbox.configure("  - user: ci-web\n", f'  - user: ci-web\n    account: "{OTHER}"\n    role: keyrota\n')
    assert sandbox.run("apply", "--user", "ci-web")[0] == 0
    code, out, err = sandbox.run("apply", "--user", USER)
    assert (code, "are one place" in out + err) == (1, True)


def test_one_service_under_two_kinds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A Forgejo that is configured as `gitea` as well is one service: the repository is one place."""

    def forge(cloud: Cloud) -> dict[str, Emulator]:
        made = ForgejoEmulator(cloud.clock, cloud.faults)
        made.add(("repos", "acme", "shop"))
        return {"forgejo": made}

    with a_sandbox(tmp_path, capsys, more=forge) as box:
        box.cloud.admin.add_user("ci-web")
        box.cloud.admin.add_key("ci-web", age=timedelta(days=91))
        (token,) = box.cloud.standins["forgejo"].environment
        provider = f"{{base_url: '{box.cloud.url('forgejo')}', auth: {{token: 'env:{token}'}}}}"
        web = "  - user: ci-web\n    targets: [{gitea: {repository: acme/shop}}]\n"
        box.configure("credentials:\n", f"  forgejo: {provider}\n  gitea: {provider}\ncredentials:\n{web}")
        box.configure(
            "bitbucket: {workspace: acme, repository: shop, environment: Production}",
            "forgejo: {repository: acme/shop}",
        )
        assert box.run("apply", "--user", USER)[0] == 0
        held = box.cloud.standins["forgejo"]
        assert isinstance(held, ForgejoEmulator)
        values = dict(held.values(("repos", "acme", "shop")))
        code, out, err = box.run("apply", "--user", "ci-web")
        assert (code, "are one place" in out + err) == (1, True)
        assert held.values(("repos", "acme", "shop")) == values
