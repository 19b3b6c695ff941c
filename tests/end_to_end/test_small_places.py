"""The commands with the smaller places side by side, as a person types them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cli_rig import Sandbox, a_sandbox

from keyrota_sandbox.cloud import Cloud, Emulator
from keyrota_sandbox.faults import Fault
from keyrota_sandbox.providers.azure_devops import AzureEmulator
from keyrota_sandbox.providers.buildkite import BuildkiteEmulator
from keyrota_sandbox.providers.circleci import CircleEmulator
from keyrota_sandbox.providers.codespaces import CodespacesEmulator
from keyrota_sandbox.providers.forgejo import ForgejoEmulator
from keyrota_sandbox.providers.kubernetes import KubernetesEmulator
from keyrota_sandbox.providers.terraform import TerraformEmulator

ID, SECRET = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
OTHER = "AKIAOTHEROTHEROTHER0"
CLUSTER = "0d5cd3ca-6c0d-4f0c-9d5c-0a3c5a1f0001"
PLACES = {
    "azure_devops": "{project: acme, group: shop}",
    "buildkite": f"{{organization: acme, cluster: {CLUSTER}}}",
    "circleci": "{project: gh/acme/shop}",
    "codespaces": "{repository: acme/shop}",
    "forgejo": "{repository: acme/shop, marker: true}",
    "gitea": "{token_user: true, marker: true}",
    "kubernetes": "{namespace: acme, secret: shop}",
    "terraform": "{organization: acme, workspace: shop}",
}


@dataclass(slots=True, kw_only=True)
class Places:
    """A sandbox, and what a job sees at each place."""

    sandbox: Sandbox

    def values(self, name: str) -> dict[str, str]:  # noqa: PLR0911  # a case for each provider
        """What a job sees at one place."""
        match self.sandbox.cloud.standins[name]:
            case AzureEmulator() as azure:
                return azure.values(1)
            case BuildkiteEmulator() as buildkite:
                return buildkite.values(("acme", CLUSTER))
            case CircleEmulator() as circle:
                return circle.values("project", "gh/acme/shop")
            case CodespacesEmulator() as codespaces:
                return codespaces.values("acme/shop")
            case ForgejoEmulator() as forgejo:
                return forgejo.values(("repos", "acme", "shop") if name == "forgejo" else ("user",))
            case KubernetesEmulator() as kubernetes:
                return kubernetes.values("acme", "shop")
            case TerraformEmulator() as terraform:
                return terraform.values(terraform.place("acme", "shop"))
        raise AssertionError(name)

    def break_all(self) -> None:
        """Write another key everywhere, as a person would."""
        for name in PLACES:
            match self.sandbox.cloud.standins[name]:
                case AzureEmulator() as azure:
                    azure.set_variable(1, ID, OTHER)
                case BuildkiteEmulator() as buildkite:
                    buildkite.set_secret(("acme", CLUSTER), ID, OTHER)
                case CircleEmulator() as circle:
                    circle.set_variable("project", "gh/acme/shop", ID, OTHER)
                case CodespacesEmulator() as codespaces:
                    codespaces.set_secret("acme/shop", ID, OTHER)
                case ForgejoEmulator() as forgejo:
                    place = ("repos", "acme", "shop") if name == "forgejo" else ("user",)
                    forgejo.set_secret(place, ID, OTHER)
                    forgejo.set_variable(place, f"KEYROTA_{ID}", OTHER)
                case KubernetesEmulator() as kubernetes:
                    kubernetes.set_entry("acme", "shop", ID, OTHER)
                case TerraformEmulator() as terraform:
                    terraform.set_variable(terraform.place("acme", "shop"), ID, OTHER)

    def held(self) -> dict[str, str]:
        """The key IDs that jobs see, by provider."""
        return {name: self.values(name)[ID] for name in PLACES}

    def one_key(self) -> str:
        """The ID of the one whole pair that every job sees."""
        ((key, _),) = {(self.values(name)[ID], self.values(name)[SECRET]) for name in PLACES}
        return key


@pytest.fixture
def places(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Places]:
    """A user whose key of 91 days is to go to eight places, and nowhere else."""
    with a_sandbox(tmp_path, capsys, more=_standins) as made:
        standins = {name: made.cloud.standins[name] for name in PLACES}
        providers = "".join(
            f"  {name}: {{base_url: '{made.cloud.url(name)}', auth: {{token: 'env:{variable}'}}}}\n"
            for name, standin in standins.items()
            for variable in standin.environment
        )
        made.configure("credentials:\n", providers + "credentials:\n")
        targets = "".join(f"      - {name}: {settings}\n" for name, settings in PLACES.items())
        made.configure("      - bitbucket: {workspace: acme, repository: shop, environment: Production}\n", targets)
        yield Places(sandbox=made)


def _standins(cloud: Cloud) -> dict[str, Emulator]:
    """Make the places, all of them empty."""
    clock, faults = cloud.clock, cloud.faults
    azure, buildkite = AzureEmulator(clock, faults), BuildkiteEmulator(clock, faults)
    circle, kubernetes = CircleEmulator(clock, faults), KubernetesEmulator(clock, faults)
    forgejo, gitea = ForgejoEmulator(clock, faults), ForgejoEmulator(clock, faults, is_gitea=True)
    terraform, codespaces = TerraformEmulator(clock, faults), CodespacesEmulator(clock, faults)
    azure.add_group("acme", "shop")
    buildkite.add_cluster("acme", CLUSTER)
    circle.add("project", "gh/acme/shop")
    codespaces.add("acme/shop")
    forgejo.add(("repos", "acme", "shop"))
    kubernetes.add_namespace("acme")
    terraform.add_workspace("acme", "shop")
    made = (azure, buildkite, circle, codespaces, forgejo, gitea, kubernetes, terraform)
    return dict(zip(PLACES, made, strict=True))


def test_a_rotation_reaches_every_place_and_the_old_key_goes(places: Places) -> None:
    """From 91 days to the deletion, run by run; nobody sees half a pair, and no plan is left over."""
    sandbox = places.sandbox
    assert sandbox.run("check")[0] == 0
    code, out, _ = sandbox.run("apply")
    assert code == 0, out
    new = places.one_key()
    assert new != sandbox.old.id
    code, document = sandbox.json("plan")
    assert (code, document["credentials"][0]["actions"]) == (0, [])
    for days in (1, 15, 15):
        sandbox.travel(days=days)
        assert sandbox.run("apply")[0] in {0, 3}
    assert sandbox.keys() == {new: "Active"}
    assert places.one_key() == new


def test_drift_shows_where_an_id_can_be_read_and_is_mended(places: Places) -> None:
    """By the ID itself, by a marker, or by the time of the last change."""
    sandbox = places.sandbox
    sandbox.run("apply")
    new = places.one_key()
    sandbox.travel(hours=2)
    places.break_all()
    _, document = sandbox.json("plan")
    actions = document["credentials"][0]["actions"]
    drifted = {action["target"].partition(" ")[0] for action in actions if action["action"] == "sync"}
    assert drifted == set(PLACES) - {"circleci"}  # masked values, no times: nothing to see there
    assert sandbox.run("apply")[0] == 0
    assert {name: held for name, held in places.held().items() if name != "circleci"} == dict.fromkeys(drifted, new)


def test_places_that_are_taken_out_are_forgotten_with_their_variables(places: Places) -> None:
    sandbox = places.sandbox
    sandbox.run("apply")
    for name, settings in PLACES.items():
        sandbox.configure(f"      - {name}: {settings}\n", "")
    sandbox.configure("    targets:\n", "")
    told = sandbox.run("status")[1].splitlines()
    left = [line.split("'")[1] for line in told if "keyrota forget '" in line]
    assert {address.partition(" ")[0] for address in left} == set(PLACES)
    for address in left:
        assert sandbox.run("forget", address, "--delete-variables", "--yes")[0] == 0
    assert [places.values(name) for name in PLACES] == [{}] * len(PLACES)


def test_no_command_says_a_secret(places: Places) -> None:
    """Of the pairs and of the tokens; with every place refusing once."""
    sandbox, told = places.sandbox, ""
    for status in (401, 403, 422, 500):
        for kind in ("PUT", "POST", "PATCH"):
            sandbox.cloud.faults.add(Fault(operation=f"{kind} *", status=status, times=2))
        told += "".join(map(str, sandbox.run("--debug", "apply")))
    sandbox.cloud.faults.clear()
    assert sandbox.run("apply")[0] == 0
    told += "".join(map(str, sandbox.run("--debug", "status")))
    secrets = {places.values(name)[SECRET] for name in PLACES}
    tokens = {value for name in PLACES for value in sandbox.cloud.standins[name].environment.values()}
    assert len(secrets) == 1
    assert not [value for value in secrets | tokens if value in told]


def test_check_says_once_for_each_kind_what_is_not_known_of_runs_that_wait(places: Places) -> None:
    """Where a provider is not asked for waiting runs, and where it is: HCP Terraform."""
    code, out, _ = places.sandbox.run("check")
    assert code == 0
    said = [line for line in out.splitlines() if "what still has the old key" in line]
    for name in ("azure_devops", "buildkite", "circleci", "codespaces", "forgejo", "gitea", "kubernetes"):
        assert len([line for line in said if f"{name}, " in line]) == 1, name
    assert not any("terraform, " in line for line in said)
    (azure,) = [line for line in said if "azure_devops" in line]
    assert "approval" in azure
