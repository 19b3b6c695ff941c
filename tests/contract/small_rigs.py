"""Rigs of the smaller places; `RIGS` has those of all providers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import standin_rig
from standin_rig import CANARY_TOKEN, REPOSITORY, WORKSPACE, AnyRig, connect, serving

from keyrota.targets import azure_devops, buildkite, codespaces, forgejo, terraform
from keyrota_sandbox.memory import WorldClock
from keyrota_sandbox.providers.azure_devops import AzureEmulator
from keyrota_sandbox.providers.buildkite import BuildkiteEmulator
from keyrota_sandbox.providers.codespaces import CodespacesEmulator
from keyrota_sandbox.providers.forgejo import ForgejoEmulator
from keyrota_sandbox.providers.terraform import TerraformEmulator

VARIABLE_SET = "varset-47qC3LmA47piVan7"


class TerraformRig(AnyRig[TerraformEmulator]):
    """HCP Terraform: a workspace."""

    def values(self) -> dict[str, str]:
        """What a run sees."""
        return self.values_of(REPOSITORY)

    def set(self, name: str, value: str, *, secured: bool = False) -> None:
        """Set a variable."""
        self.standin.set_variable(self.standin.place(WORKSPACE, REPOSITORY), name, value, sensitive=secured)

    def set_up(self, name: str) -> Mapping[str, Any]:
        """Make another workspace."""
        self.standin.add_workspace(WORKSPACE, name)
        return {"organization": WORKSPACE, "workspace": name}

    def values_of(self, name: str) -> dict[str, str]:
        """What a run sees there."""
        return self.standin.values(self.standin.place(WORKSPACE, name))


class AzureRig(AnyRig[AzureEmulator]):
    """Azure DevOps: a variable group."""

    def renew(self) -> None:
        """Make the group again where an update has renamed it, or taken it out of its project."""
        if not self.standin.has_group(WORKSPACE, REPOSITORY):
            self.standin.add_group(WORKSPACE, REPOSITORY, shared_with=("other",))

    def values(self) -> dict[str, str]:
        """What a job sees."""
        return self.values_of(WORKSPACE)

    def set(self, name: str, value: str, *, secured: bool = False) -> None:
        """Set a variable."""
        number = self.standin.number(WORKSPACE, REPOSITORY)
        self.standin.set_variable(number, name, value, **({"isSecret": True} if secured else {}))

    def set_up(self, name: str) -> Mapping[str, Any]:
        """Make another project with such a group."""
        self.standin.add_group(name, REPOSITORY)
        return {"project": name, "group": REPOSITORY}

    def values_of(self, name: str) -> dict[str, str]:
        """What a job sees there."""
        return self.standin.values(self.standin.number(name, REPOSITORY))


class BuildkiteRig(AnyRig[BuildkiteEmulator]):
    """Buildkite: a cluster."""

    def values(self) -> dict[str, str]:
        """What a job may read."""
        return self.values_of(REPOSITORY)

    def set(self, name: str, value: str, *, secured: bool = False) -> None:  # noqa: ARG002  # every secret is one
        """Set a secret."""
        self.standin.set_secret((WORKSPACE, REPOSITORY), name, value)

    def set_up(self, name: str) -> Mapping[str, Any]:
        """Make another cluster."""
        self.standin.add_cluster(WORKSPACE, name)
        return {"organization": WORKSPACE, "cluster": name}

    def values_of(self, name: str) -> dict[str, str]:
        """What a job may read there."""
        return self.standin.values((WORKSPACE, name))


class CodespacesRig(AnyRig[CodespacesEmulator]):
    """GitHub Codespaces: a repository."""

    def values(self) -> dict[str, str]:
        """What a codespace sees."""
        return self.values_of(REPOSITORY)

    def set(self, name: str, value: str, *, secured: bool = False) -> None:  # noqa: ARG002  # every secret is one
        """Set a secret."""
        self.standin.set_secret(f"{WORKSPACE}/{REPOSITORY}", name, value)

    def set_up(self, name: str) -> Mapping[str, Any]:
        """Make another repository."""
        self.standin.add(f"{WORKSPACE}/{name}")
        return {"repository": f"{WORKSPACE}/{name}"}

    def values_of(self, name: str) -> dict[str, str]:
        """What a codespace sees there."""
        return self.standin.values(f"{WORKSPACE}/{name}")


class ForgejoRig(AnyRig[ForgejoEmulator]):
    """Forgejo or Gitea: a repository, with a marker."""

    def values(self) -> dict[str, str]:
        """What a job sees."""
        return self.values_of(REPOSITORY)

    def set(self, name: str, value: str, *, secured: bool = False) -> None:  # noqa: ARG002  # every secret is one
        """Set a secret."""
        self.standin.set_secret(("repos", WORKSPACE, REPOSITORY), name, value)

    def set_up(self, name: str) -> Mapping[str, Any]:
        """Make another repository."""
        self.standin.add(("repos", WORKSPACE, name))
        return {"repository": f"{WORKSPACE}/{name}", "marker": True}

    def values_of(self, name: str) -> dict[str, str]:
        """What a job sees there."""
        return self.standin.values(("repos", WORKSPACE, name))


@contextmanager
def a_terraform_rig() -> Iterator[TerraformRig]:
    """Start HCP Terraform with one workspace and one variable set."""
    clock = WorldClock()
    standin = TerraformEmulator(clock, token=CANARY_TOKEN)
    standin.add_workspace(WORKSPACE, REPOSITORY)
    standin.add_set(VARIABLE_SET)
    with serving("/terraform", standin) as (url, seen):
        yield TerraformRig(
            standin=standin,
            clock=clock,
            url=url,
            seen=seen,
            connection=connect(terraform.KIND, f"{url}/terraform", clock, {"token": CANARY_TOKEN}),
            usual={"organization": WORKSPACE, "workspace": REPOSITORY},
            reads="GET variables",
            creates="POST variables",
            updates="PATCH variables",
            begins="GET workspaces",
            scope="read and write variables",
            no_list="no list",
        )


@contextmanager
def an_azure_rig(**auth: str) -> Iterator[AzureRig]:
    """Start Azure DevOps with one variable group, which two projects share."""
    clock = WorldClock()
    standin = AzureEmulator(clock, token=CANARY_TOKEN)
    standin.add_group(WORKSPACE, REPOSITORY, shared_with=("other",))
    with serving("/azure", standin) as (url, seen):
        yield AzureRig(
            standin=standin,
            clock=clock,
            url=url,
            seen=seen,
            connection=connect(azure_devops.KIND, f"{url}/azure", clock, auth or {"token": CANARY_TOKEN}),
            usual={"project": WORKSPACE, "group": REPOSITORY},
            reads="GET group",
            creates="PUT group",
            updates="PUT group",
            begins="GET groups",
            scope="Variable Groups (read, create and manage)",
            no_list="no variable group",
        )


@contextmanager
def a_buildkite_rig() -> Iterator[BuildkiteRig]:
    """Start Buildkite with one cluster; the schema checks what an ID looks like, not the target."""
    clock = WorldClock()
    standin = BuildkiteEmulator(clock, token=CANARY_TOKEN)
    standin.add_cluster(WORKSPACE, REPOSITORY)
    with serving("/buildkite", standin) as (url, seen):
        yield BuildkiteRig(
            standin=standin,
            clock=clock,
            url=url,
            seen=seen,
            connection=connect(buildkite.KIND, f"{url}/buildkite", clock, {"token": CANARY_TOKEN}, max_wait="30d"),
            usual={"organization": WORKSPACE, "cluster": REPOSITORY},
            reads="GET secrets",
            creates="POST secrets",
            updates="PUT value",
            scope="write_secrets",
            no_list="no list",
            empty="[]",
        )


@contextmanager
def a_codespaces_rig() -> Iterator[CodespacesRig]:
    """Start GitHub Codespaces with one repository."""
    clock = WorldClock()
    standin = CodespacesEmulator(clock, token=CANARY_TOKEN)
    standin.add(f"{WORKSPACE}/{REPOSITORY}")
    with serving("/codespaces", standin) as (url, seen):
        yield CodespacesRig(
            standin=standin,
            clock=clock,
            url=url,
            seen=seen,
            connection=connect(codespaces.KIND, f"{url}/codespaces", clock, {"token": CANARY_TOKEN}, max_wait="30d"),
            usual={"repository": f"{WORKSPACE}/{REPOSITORY}"},
            reads="GET secrets",
            creates="PUT secrets",
            updates="PUT secrets",
            begins="GET public-key",
            scope="Codespaces secrets: read and write",
            no_list="no list",
        )


@contextmanager
def a_forgejo_rig(*, is_gitea: bool = False) -> Iterator[ForgejoRig]:
    """Start Forgejo (or Gitea) with one repository in one organization."""
    clock = WorldClock()
    standin = ForgejoEmulator(clock, token=CANARY_TOKEN, is_gitea=is_gitea)
    standin.add(("orgs", WORKSPACE))
    standin.add(("repos", WORKSPACE, REPOSITORY))
    kind = forgejo.GITEA if is_gitea else forgejo.FORGEJO
    with serving("/forgejo", standin) as (url, seen):
        yield ForgejoRig(
            standin=standin,
            clock=clock,
            url=url,
            seen=seen,
            connection=connect(kind, f"{url}/forgejo", clock, {"token": CANARY_TOKEN}),
            usual={"repository": f"{WORKSPACE}/{REPOSITORY}", "marker": True},
            reads="GET secrets",
            creates="PUT secrets",
            updates="PUT secrets",
            begins="GET variable",
            scope="write:repository",
            no_list="no list",
            empty="[]",
        )


RIGS: Mapping[str, Callable[[], Any]] = {
    **standin_rig.RIGS,
    "terraform": a_terraform_rig,
    "azure_devops": an_azure_rig,
    "buildkite": a_buildkite_rig,
    "codespaces": a_codespaces_rig,
    "forgejo": a_forgejo_rig,
}
