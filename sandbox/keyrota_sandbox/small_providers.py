"""The smaller places that `keyrota sandbox` serves, with what their how-to pages name: to try a page as it stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from keyrota.ports import Clock
from keyrota_sandbox.cloud import Emulator
from keyrota_sandbox.faults import Faults
from keyrota_sandbox.providers.azure_devops import AzureEmulator
from keyrota_sandbox.providers.buildkite import BuildkiteEmulator
from keyrota_sandbox.providers.circleci import CircleEmulator
from keyrota_sandbox.providers.codespaces import CodespacesEmulator
from keyrota_sandbox.providers.forgejo import ForgejoEmulator
from keyrota_sandbox.providers.kubernetes import KubernetesEmulator
from keyrota_sandbox.providers.terraform import TerraformEmulator

CLUSTER = CONTEXT = "0d5cd3ca-6c0d-4f0c-9d5c-0a3c5a1f0001"
VARIABLE_SET = "varset-47qC3LmA47piVan7"


def _azure_devops(clock: Clock, faults: Faults) -> Emulator:
    made = AzureEmulator(clock, faults)
    made.add_group("shop", "aws")
    return made


def _buildkite(clock: Clock, faults: Faults) -> Emulator:
    made = BuildkiteEmulator(clock, faults)
    made.add_cluster("acme", CLUSTER)
    return made


def _circleci(clock: Clock, faults: Faults) -> Emulator:
    made = CircleEmulator(clock, faults)
    made.add("project", "gh/acme/shop")
    made.add("context", CONTEXT)
    return made


def _codespaces(clock: Clock, faults: Faults) -> Emulator:
    made = CodespacesEmulator(clock, faults)
    made.add("acme/shop")
    return made


def _forge(*, is_gitea: bool) -> Callable[[Clock, Faults], Emulator]:
    def make(clock: Clock, faults: Faults) -> Emulator:
        made = ForgejoEmulator(clock, faults, is_gitea=is_gitea)
        made.add(("orgs", "acme"))
        made.add(("repos", "acme", "shop"))
        return made

    return make


def _kubernetes(clock: Clock, faults: Faults) -> Emulator:
    made = KubernetesEmulator(clock, faults)
    made.add_namespace("ci")
    return made


def _terraform(clock: Clock, faults: Faults) -> Emulator:
    made = TerraformEmulator(clock, faults)
    made.add_workspace("acme", "shop")
    made.add_set(VARIABLE_SET)
    return made


SMALL: Mapping[str, Callable[[Clock, Faults], Emulator]] = {
    "azure_devops": _azure_devops,
    "buildkite": _buildkite,
    "circleci": _circleci,
    "codespaces": _codespaces,
    "forgejo": _forge(is_gitea=False),
    "gitea": _forge(is_gitea=True),
    "kubernetes": _kubernetes,
    "terraform": _terraform,
}
"""By the provider's name in a configuration."""


def providers(urls: Mapping[str, str], standins: Mapping[str, Emulator]) -> str:
    """Write the `providers` of a configuration for them."""
    return "".join(
        f'  {name}: {{base_url: "{urls[name]}", auth: {{token: "env:{variable}"}}}}\n'
        for name in SMALL
        for variable in standins[name].environment
    )
