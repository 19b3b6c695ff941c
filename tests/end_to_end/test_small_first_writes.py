"""What a person sees before keyrota's first write to one of the smaller places does harm: commands as typed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from cli_rig import SECRET as STORE
from cli_rig import Sandbox, a_sandbox
from test_small_places import ID, SECRET, _standins

from keyrota_sandbox.providers.forgejo import ForgejoEmulator
from keyrota_sandbox.providers.kubernetes import KubernetesEmulator
from keyrota_sandbox.providers.terraform import TerraformEmulator

BITBUCKET = "      - bitbucket: {workspace: acme, repository: shop, environment: Production}\n"
HOME = ("repos", "acme", "shop")
Begin = Callable[[str], AbstractContextManager[Sandbox]]


@pytest.fixture
def begin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Begin:
    """Start a sandbox whose user has a key of 91 days, and one more target beside Bitbucket."""

    @contextmanager
    def start(target: str) -> Iterator[Sandbox]:
        with a_sandbox(tmp_path, capsys, more=_standins) as made:
            name = target.partition(":")[0]
            if name == "ssm":
                provider = "  ssm: {}\n"
            else:
                (variable,) = made.cloud.standins[name].environment
                provider = f"  {name}: {{base_url: '{made.cloud.url(name)}', auth: {{token: 'env:{variable}'}}}}\n"
            made.configure("credentials:\n", provider + "credentials:\n")
            made.configure(BITBUCKET, f"{BITBUCKET}      - {target}\n")
            yield made

    return start


def held(sandbox: Sandbox, *words: str) -> None:
    """Apply: nothing is made and nothing is written; the hold says each of the words, and the exit code is 3."""
    code, out, err = sandbox.run("apply")
    assert code == 3, out + err
    for word in words:
        assert word in out, (word, out)
    assert sandbox.keys() == {sandbox.old.id: "Active"}


def test_half_a_pair_at_forgejo_whose_id_is_a_variable(begin: Begin) -> None:
    """The pipeline reads the ID as a variable and the secret as a secret."""
    with begin("forgejo: {repository: acme/shop}") as sandbox:
        forgejo = sandbox.cloud.standins["forgejo"]
        assert isinstance(forgejo, ForgejoEmulator)
        forgejo.set_variable(HOME, ID, sandbox.old.id)
        forgejo.set_secret(HOME, SECRET, "x")
        held(sandbox, "half a pair", f"marker: {ID}", "keyrota confirm")
        assert forgejo.values(HOME) == {SECRET: "x"}


def test_the_pair_in_other_entries_of_a_kubernetes_secret(begin: Begin) -> None:
    """Entries with dashes, as charts have them."""
    with begin("kubernetes: {namespace: acme, secret: shop}") as sandbox:
        kubernetes = sandbox.cloud.standins["kubernetes"]
        assert isinstance(kubernetes, KubernetesEmulator)
        kubernetes.set_entry("acme", "shop", "access-key-id", sandbox.old.id)
        kubernetes.set_entry("acme", "shop", "secret-access-key", "x")
        held(sandbox, sandbox.old.id, "names: {id: access-key-id, secret: secret-access-key}")


def test_a_kubernetes_secret_that_a_controller_keeps(begin: Begin) -> None:
    """Before the first write instead of after it."""
    with begin("kubernetes: {namespace: acme, secret: shop}") as sandbox:
        kubernetes = sandbox.cloud.standins["kubernetes"]
        assert isinstance(kubernetes, KubernetesEmulator)
        kubernetes.set_entry("acme", "shop", ID, sandbox.old.id)
        kubernetes.set_entry("acme", "shop", SECRET, "x")
        kubernetes.mark("acme", "shop", ownerReferences=[{"kind": "ExternalSecret", "name": "shop"}])
        held(sandbox, "managed by ExternalSecret shop")
        code, out, err = sandbox.run("confirm", "kubernetes acme/shop", "--yes")
        assert code == 0, out + err
        assert sandbox.run("apply")[0] == 0
        assert kubernetes.values("acme", "shop")[ID] != sandbox.old.id


def test_the_pair_in_the_other_category_of_hcp_terraform(begin: Begin) -> None:
    """With `category: terraform` the pair is replaced where runs read it."""
    with begin("terraform: {organization: acme, workspace: shop}") as sandbox:
        terraform = sandbox.cloud.standins["terraform"]
        assert isinstance(terraform, TerraformEmulator)
        home = terraform.place("acme", "shop")
        terraform.set_variable(home, ID, sandbox.old.id, category="terraform")
        terraform.set_variable(home, SECRET, "x", category="terraform", sensitive=True)
        held(sandbox, "category: terraform", sandbox.old.id)
        assert terraform.values(home) == {}
        sandbox.configure("workspace: shop}", "workspace: shop, category: terraform}")
        assert sandbox.run("apply")[0] == 0
        assert terraform.values(home) == {}
        assert terraform.values(home, "terraform")[ID] != sandbox.old.id


def test_another_workspace_under_the_name_of_ours(begin: Begin) -> None:
    """The ID that was remembered at the first write is another one."""
    with begin("terraform: {organization: acme, workspace: shop}") as sandbox:
        terraform = sandbox.cloud.standins["terraform"]
        assert isinstance(terraform, TerraformEmulator)
        assert sandbox.run("apply")[0] == 0
        written = terraform.values(terraform.place("acme", "shop"))
        terraform.rename_workspace("acme", "shop", "shop-old")
        terraform.add_workspace("acme", "shop")
        code, out, err = sandbox.run("apply")
        assert code == 1, out + err  # pipelines fail there now: the pair is gone
        assert "not the place that keyrota wrote" in out
        assert terraform.values(terraform.place("acme", "shop")) == {}
        sandbox.travel(days=12)
        sandbox.run("apply")
        assert sandbox.keys()[written[ID]] == "Active"


def test_a_parameter_that_keyrota_did_not_write(begin: Begin) -> None:
    """What reads it may not expect a JSON document."""
    with begin("ssm: {parameter: /ci/acme/deploy}") as sandbox:
        ssm = sandbox.admin("ssm")
        ssm.put_parameter(Name="/ci/acme/deploy", Value="theirs", Type="SecureString")
        held(sandbox, "without the tag keyrota:key", "SecureString, version 1")
        assert ssm.get_parameter(Name="/ci/acme/deploy", WithDecryption=True)["Parameter"]["Value"] == "theirs"


def test_an_archived_repository_holds_nothing_back(begin: Begin) -> None:
    """It runs nothing; it is noted, and not counted."""
    with begin("forgejo: {repository: acme/shop, marker: true}") as sandbox:
        forgejo = sandbox.cloud.standins["forgejo"]
        assert isinstance(forgejo, ForgejoEmulator)
        assert sandbox.run("apply")[0] == 0
        new = forgejo.values(HOME)[ID]
        forgejo.archived.add(HOME)
        for days in (12, 12):
            sandbox.travel(days=days)
            assert sandbox.run("apply")[0] in {0, 3}
        assert sandbox.keys() == {new: "Active"}


def test_a_key_that_another_group_of_levels_shows_stays(begin: Begin) -> None:
    """The organization above the repository shows the old key."""
    with begin("forgejo: {repository: acme/shop, marker: true}") as sandbox:
        forgejo = sandbox.cloud.standins["forgejo"]
        assert isinstance(forgejo, ForgejoEmulator)
        forgejo.add(("orgs", "acme"))
        assert sandbox.run("apply")[0] == 0
        forgejo.set_variable(("orgs", "acme"), "LEGACY", f"aws_access_key_id={sandbox.old.id}")
        sandbox.travel(days=12)
        code, out, err = sandbox.run("apply")
        assert code == 3, out + err
        assert "LEGACY" in out
        assert sandbox.keys()[sandbox.old.id] == "Active"


def test_a_run_of_hcp_terraform_that_waits_holds_the_older_key(begin: Begin) -> None:
    """It was planned with it, and would fail at its apply."""
    with begin("terraform: {organization: acme, workspace: shop}") as sandbox:
        terraform = sandbox.cloud.standins["terraform"]
        assert isinstance(terraform, TerraformEmulator)
        home = terraform.place("acme", "shop")
        run = terraform.add_run(home, "planned", f"{sandbox.cloud.clock.now():%Y-%m-%dT%H:%M:%SZ}")
        assert sandbox.run("apply")[0] == 0
        sandbox.travel(days=12)
        code, out, err = sandbox.run("apply")
        assert code == 3, out + err  # no run of HCP Terraform ends by itself
        assert run in out
        assert sandbox.keys()[sandbox.old.id] == "Active"
        terraform.end_run(run)
        assert sandbox.run("apply")[0] == 0
        assert sandbox.keys()[sandbox.old.id] == "Inactive"


def test_a_secret_whose_pair_is_in_other_fields(begin: Begin) -> None:
    """The message proposes the names, and nothing is added."""
    with begin("kubernetes: {namespace: acme, secret: shop}") as sandbox:
        store = sandbox.admin("secretsmanager")
        value = json.dumps({"accessKeyId": sandbox.old.id, "secretAccessKey": sandbox.old.secret.reveal()})
        store.create_secret(Name=STORE, SecretString=value)
        code, out, err = sandbox.run("apply")
        assert code in {1, 3}
        assert "names: {id: accessKeyId, secret: secretAccessKey}" in out + err
        assert store.get_secret_value(SecretId=STORE)["SecretString"] == value
        assert sandbox.keys() == {sandbox.old.id: "Active"}
