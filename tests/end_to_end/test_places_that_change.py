"""Places that are archived, deleted, renamed or made anew at GitHub, GitLab and Bitbucket, through the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_rig import CANARY_TOKEN, Sandbox, a_sandbox

from keyrota.core.model import AccessKeyId
from keyrota_sandbox.clock import TimeMachine
from keyrota_sandbox.cloud import Cloud, Emulator
from keyrota_sandbox.providers.gitlab import GitLabEmulator

ID, SECRET = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
TARGETS = """\
      - github: {repository: acme/web}
      - github: {repository: acme/api}
      - gitlab: {project: acme/site}
"""


@pytest.fixture
def sandbox(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Sandbox]:
    """Two repositories at GitHub and a project at GitLab, all written once."""
    with a_sandbox(tmp_path, capsys) as made:
        providers = "".join(
            f"  {name}: {{base_url: '{made.cloud.url(name)}{path}', auth: {{token: 'env:{name.upper()}_TOKEN'}}}}\n"
            for name, path in (("github", ""), ("gitlab", "/api/v4"))
        )
        made.configure("credentials:\n", providers + "credentials:\n")
        made.configure("    targets:\n", "    targets:\n" + TARGETS)
        for name in ("web", "api", "other"):
            made.github.add_repository("acme", name)
        for name in ("site", "blog"):
            made.gitlab.add_project(f"acme/{name}")
        assert made.run("apply")[0] == 0
        made.travel(days=1)
        yield made


def test_an_archived_repository_is_noted_and_not_counted(sandbox: Sandbox) -> None:
    """Rotation and retirement go on without it."""
    sandbox.github.archive("acme", "web")
    sandbox.gitlab.archive("acme/site")
    code, out, _ = sandbox.run("plan")
    assert code == 0
    assert out.count("archived") == 2
    sandbox.travel(days=30)
    assert sandbox.run("apply")[0] == 0
    assert sandbox.keys()[sandbox.old.id] != "Active"


def test_a_deleted_repository_is_one_forget_away_on_the_first_day(sandbox: Sandbox) -> None:
    """The hold says so, with the command."""
    sandbox.github.delete_repository("acme", "web")
    sandbox.gitlab.delete_project("acme/site")
    code, out, _ = sandbox.run("plan", "--exit-code")
    assert code in {1, 3}
    for address in ("github acme/web", "gitlab acme/site"):
        assert f"keyrota forget '{address}'" in out
    sandbox.configure(TARGETS, "      - github: {repository: acme/api}\n")
    for address in ("github acme/web", "gitlab acme/site"):
        assert sandbox.run("forget", address, "--yes")[0] == 0
    assert sandbox.run("plan")[0] == 0


def test_a_name_that_was_given_to_something_else_is_not_written(sandbox: Sandbox) -> None:
    """The production key must not go into another repository."""
    sandbox.github.rename("acme", "web", "web-old")
    code, out, _ = sandbox.run("plan")
    assert code == 0, "a renamed place is followed"
    assert "renamed" in out
    sandbox.github.add_repository("acme", "web")
    sandbox.gitlab.move_project("acme/site", "acme/site-old")
    sandbox.gitlab.add_project("acme/site")
    code, out, _ = sandbox.run("apply")
    assert code in {1, 3}
    assert sandbox.github.values("acme", "web") == {}
    assert sandbox.gitlab.values("acme/site") == {}
    for address in ("github acme/web", "gitlab acme/site"):
        assert address in out


def test_a_repository_at_bitbucket_that_was_made_anew_is_not_written(sandbox: Sandbox) -> None:
    sandbox.bitbucket.rename_repository("acme", "shop", "shop-old")
    sandbox.bitbucket.add_repository("acme", "shop")
    code, out, _ = sandbox.run("apply")
    assert code in {1, 3}
    assert sandbox.bitbucket.values("acme", "shop", "Production") == {}
    assert "another place answers to that name" in out


def _rename_during_the_run(sandbox: Sandbox, patch: pytest.MonkeyPatch) -> None:
    """Give each name to something new while the new key is verified: some 40 seconds after the places were read."""
    sleep, done = TimeMachine.sleep, list[bool]()

    def change() -> None:
        sandbox.github.rename("acme", "web", "web-old")
        sandbox.github.add_repository("acme", "web")
        sandbox.gitlab.move_project("acme/site", "acme/site-old")
        sandbox.gitlab.add_project("acme/site")
        sandbox.bitbucket.rename_repository("acme", "docs", "docs-old")
        sandbox.bitbucket.add_repository("acme", "docs")

    def changed(clock: TimeMachine, seconds: float) -> None:
        if not done:
            done.append(True)
            change()
        sleep(clock, seconds)

    patch.setattr(TimeMachine, "sleep", changed)


def test_a_name_that_is_given_to_something_else_during_the_run(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between read and write: the new key went into the new repository, exit 0, for the ID was looked up once."""
    sandbox.bitbucket.add_repository("acme", "docs")
    sandbox.configure("    targets:\n", "    targets:\n      - bitbucket: {workspace: acme, repository: docs}\n")
    assert sandbox.run("apply")[0] == 0
    for days in (12, 11):
        sandbox.travel(days=days)
        assert sandbox.run("apply")[0] == 0
    (served,) = sandbox.keys()
    sandbox.travel(days=80)
    _rename_during_the_run(sandbox, monkeypatch)
    code, out, _ = sandbox.run("apply")
    assert code == 1
    assert sandbox.github.values("acme", "web") == sandbox.gitlab.values("acme/site") == {}
    assert sandbox.bitbucket.values("acme", "docs") == {}
    for address in ("github acme/web", "gitlab acme/site", "bitbucket acme/docs"):
        assert f"{address} means another place now" in out
    monkeypatch.undo()
    assert sandbox.github.values("acme", "web-old")[ID] == served
    assert sandbox.github.values("acme", "api")[ID] != served, "the others are written"
    sandbox.travel(days=30)
    assert sandbox.run("apply")[0] == 3
    assert sandbox.keys()[AccessKeyId(served)] == "Active", "the renamed places hold it still"


def test_another_host_of_the_provider_leaves_the_old_one_s_key_active(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`base_url` moved from one GitLab to another: the old one was forgotten, and the key that it holds went off."""

    def second(cloud: Cloud) -> dict[str, Emulator]:
        return {"elsewhere": GitLabEmulator(cloud.clock, cloud.faults, token=f"{CANARY_TOKEN}-gitlab")}

    with a_sandbox(tmp_path, capsys, more=second) as sandbox:
        elsewhere = sandbox.cloud.standins["elsewhere"]
        assert isinstance(elsewhere, GitLabEmulator)
        for gitlab in (sandbox.gitlab, elsewhere):
            gitlab.add_project("acme/shop")
        url = sandbox.cloud.url("gitlab")
        sandbox.configure(
            "credentials:\n",
            f"  gitlab: {{base_url: '{url}/api/v4', auth: {{token: 'env:GITLAB_TOKEN'}}}}\ncredentials:\n",
        )
        sandbox.configure(
            "bitbucket: {workspace: acme, repository: shop, environment: Production}", "gitlab: {project: acme/shop}"
        )
        assert sandbox.run("apply")[0] == 0
        sandbox.travel(days=1)
        sandbox.configure(f"{url}/", f"{sandbox.cloud.url('elsewhere')}/")
        name = f"gitlab acme/shop at {url}/api/v4"
        code, out, _ = sandbox.run("apply")
        assert (code, f"note       {name}: removed from the configuration" in out) == (0, True), out
        assert sandbox.run("check")[0] == 0, "nothing is due yet"
        sandbox.travel(days=12)
        code, out, _ = sandbox.run("apply")
        assert (code, f"{sandbox.old.id} stays Active: {name} was left behind" in out) == (3, True), out
        code, out, _ = sandbox.run("check")
        assert (code, f"{sandbox.old.id} stays Active: {name} was left behind" in out) == (1, True), out
        assert sandbox.keys()[sandbox.old.id] == "Active"
        assert sandbox.run("forget", name, "--yes")[0] == 0
        assert sandbox.run("apply")[0] == 0
        assert sandbox.keys()[sandbox.old.id] == "Inactive"
        assert sandbox.run("check")[0] == 0
