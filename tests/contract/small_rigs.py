"""Rigs of the smaller places; `RIGS` has those of all providers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import standin_rig
from standin_rig import CANARY_TOKEN, REPOSITORY, WORKSPACE, AnyRig, connect, serving

from keyrota.sandbox.terraform import TerraformStandIn
from keyrota.sandbox.world import WorldClock
from keyrota.targets import terraform

VARIABLE_SET = "varset-47qC3LmA47piVan7"


class TerraformRig(AnyRig[TerraformStandIn]):
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


@contextmanager
def a_terraform_rig() -> Iterator[TerraformRig]:
    """Start HCP Terraform with one workspace and one variable set."""
    clock = WorldClock()
    standin = TerraformStandIn(clock, token=CANARY_TOKEN)
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


RIGS: Mapping[str, Callable[[], Any]] = {
    **standin_rig.RIGS,
    "terraform": a_terraform_rig,
}
