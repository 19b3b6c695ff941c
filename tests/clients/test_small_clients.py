"""Clients of Kubernetes, HCP Terraform, Gitea, Azure DevOps and Buildkite against their emulators."""

from __future__ import annotations

from client_rig import serve

from keyrota_sandbox.faults import Faults
from keyrota_sandbox.memory import WorldClock
from keyrota_sandbox.providers.kubernetes import KubernetesEmulator
from keyrota_sandbox.small_providers import SMALL


def test_the_kubernetes_client() -> None:
    emulator = KubernetesEmulator(WorldClock(), Faults())
    emulator.add_namespace("ci")
    with serve(emulator, "/kubernetes") as served:
        assert served.python("kubernetes_client") == {
            "made": [{"A": "one", "B": "two"}, {"team": "shop"}, True],
            "again": 409,
            "no such namespace": 404,
            "merged": {"A": "new", "B": "two"},
            "json patch": {"A": "new", "B": "2"},
            "replaced": {"C": "three"},
            "stale": 409,
            "listed": ["aws"],
            "everywhere": ["aws"],
            "deleted": "Success",
            "gone": 404,
            "wrong token": 401,
        }


def test_terrasnek() -> None:
    with serve(SMALL["terraform"](WorldClock(), Faults()), "/terraform") as served:  # type: ignore[type-var]
        assert served.python("terrasnek_client") == {
            "workspace": "shop",
            "not in pages": 25,
            "updated": "new",
            "sensitive": [None, "terraform"],
            "left": 25,
            "missing": 404,
        }


def test_gitea_js() -> None:
    with serve(SMALL["gitea"](WorldClock(), Faults()), "/gitea") as served:  # type: ignore[type-var]
        assert served.node("gitea") == {
            "user": "deploy",
            "repository": "acme/shop",
            "missing": 404,
            "secret": 201,
            "secretAgain": 204,
            "secrets": ["S"],
            "variable": "v",
            "again": 409,
            "renamed": [404, "new"],
            "variables": ["W"],
            "gone": 404,
            "secretsLater": 0,
            "organization": 201,
        }


def test_pytfe() -> None:
    with serve(SMALL["terraform"](WorldClock(), Faults()), "/terraform") as served:  # type: ignore[type-var]
        assert served.python("pytfe_client") == {"workspace": "shop", "listed": 22, "updated": "new", "left": 21}


def test_the_sdk_of_azure_devops() -> None:
    with serve(SMALL["azure_devops"](WorldClock(), Faults()), "/azure") as served:  # type: ignore[type-var]
        assert served.python("azure_devops_client") == {
            "group": "aws",
            "by number": "aws",
            "variables": {"A": ["one", False], "B": [None, True]},
            "missing": "variable group not found",
        }
