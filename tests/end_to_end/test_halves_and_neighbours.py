"""Halves of a pair, pairs under other names and other levels, at GitHub, GitLab and Bitbucket: no key is made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_rig import Sandbox, a_sandbox

ID, SECRET = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
REPO = ("repo", "acme", "shop")


@pytest.fixture
def sandbox(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Sandbox]:
    """A user with one place at Bitbucket; GitHub and GitLab are at hand."""
    with a_sandbox(tmp_path, capsys) as made:
        providers = "".join(
            f"  {name}: {{base_url: '{made.cloud.url(name)}{path}', auth: {{token: 'env:{name.upper()}_TOKEN'}}}}\n"
            for name, path in (("github", ""), ("gitlab", "/api/v4"))
        )
        made.configure("credentials:\n", providers + "credentials:\n")
        made.github.add_organization("acme")
        made.github.add_repository("acme", "shop")
        made.gitlab.add_project("acme/shop")
        made.bitbucket.add_repository("acme", "web")
        yield made


def held(sandbox: Sandbox, *targets: str) -> str:
    """Configure targets, apply, and return what is held; no key may be made, and nothing written."""
    sandbox.configure("    targets:\n", "    targets:\n" + "".join(f"      - {each}\n" for each in targets))
    code, out, _ = sandbox.run("apply")
    assert code == 3, out
    assert sandbox.keys() == {sandbox.old.id: "Active"}
    assert " is not written: " in out
    return out


def test_an_id_as_a_variable_and_a_secret_as_a_secret(sandbox: Sandbox) -> None:
    """With `marker:` the pair is written whole, and the pipeline passes before and after."""
    sandbox.github.set_variable(REPO, ID, sandbox.old.id)
    sandbox.github.set_secret(REPO, SECRET, sandbox.old.secret.reveal())
    out = held(sandbox, "github: {repository: acme/shop}")
    assert f"marker: {ID}" in out
    assert sandbox.github.secrets(REPO) == {SECRET: sandbox.old.secret.reveal()}
    sandbox.configure("github: {repository: acme/shop}", f"github: {{repository: acme/shop, marker: {ID}}}")
    code, out, err = sandbox.run("apply")
    assert code == 0, out + err
    new = sandbox.held()[ID]
    assert sandbox.github.variables(REPO)[ID] == new != sandbox.old.id
    assert sandbox.github.secrets(REPO)[SECRET] == sandbox.held()[SECRET]


def test_the_id_at_the_repository_and_the_secret_at_the_environment(sandbox: Sandbox) -> None:
    sandbox.bitbucket.set_variable("acme", "web", None, ID, sandbox.old.id)
    sandbox.bitbucket.set_variable("acme", "web", "Production", SECRET, "x", secured=True)
    out = held(sandbox, "bitbucket: {workspace: acme, repository: web}")
    assert "bitbucket acme/web Production" in out


def test_a_pair_under_other_names(sandbox: Sandbox) -> None:
    sandbox.bitbucket.set_variable("acme", "web", "Production", "DEPLOY_KEY_ID", sandbox.old.id)
    sandbox.bitbucket.set_variable("acme", "web", "Production", "DEPLOY_SECRET_KEY", "x", secured=True)
    out = held(sandbox, "bitbucket: {workspace: acme, repository: web, environment: Production}")
    assert "names: {id: DEPLOY_KEY_ID, secret: DEPLOY_SECRET_KEY}" in out


def test_one_project_by_path_and_by_number(sandbox: Sandbox) -> None:
    number = sandbox.gitlab.id_of("acme/shop")
    out = held(sandbox, "gitlab: {project: acme/shop}", f"gitlab: {{project: {number}}}")
    assert f"gitlab {number} is the same place" in out


def test_a_plain_pair_in_the_group_above_a_bundle(sandbox: Sandbox) -> None:
    for name, value in ((ID, sandbox.old.id), (SECRET, "x" * 40)):
        sandbox.gitlab.set_variable(("group", "acme"), name, value)
    out = held(sandbox, "gitlab: {project: acme/shop, bundle: AWS_SHARED_CREDENTIALS_FILE}")
    assert "gitlab group acme" in out


def test_a_key_in_another_scope_stays_active(sandbox: Sandbox) -> None:
    """The overlap is over, and scope `production` still shows the old key."""
    for name, value in ((ID, sandbox.old.id), (SECRET, "x" * 40)):
        sandbox.gitlab.set_variable(("project", "acme/shop"), name, value, scope="production")
    sandbox.configure("    targets:\n", "    targets:\n      - gitlab: {project: acme/shop}\n")
    assert sandbox.run("apply")[0] == 0
    for _ in range(2):
        sandbox.travel(days=12)
        code, out, _ = sandbox.run("apply")
        assert code == 3
        assert f"variable {ID} of gitlab acme/shop production still shows it" in out
        assert sandbox.keys()[sandbox.old.id] == "Active"
    sandbox.gitlab.remove_variable(("project", "acme/shop"), ID, "production")
    sandbox.gitlab.remove_variable(("project", "acme/shop"), SECRET, "production")
    assert sandbox.run("apply")[0] == 0
    assert sandbox.keys()[sandbox.old.id] == "Inactive"
