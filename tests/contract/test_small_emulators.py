"""The smaller providers' emulators answer what the services answer, also to requests that keyrota never sends."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
import urllib3

from keyrota.sandbox.http import Server
from keyrota.sandbox.kubernetes import KubernetesStandIn
from keyrota.sandbox.standin import StandIn
from keyrota.sandbox.terraform import TerraformStandIn
from keyrota.sandbox.world import WorldClock

Ask = Callable[..., tuple[int, Any]]


def asking(url: str, **usual: str) -> Ask:
    """Make a client that sends what it is told."""
    pool = urllib3.PoolManager()

    def ask(method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        sent = {name.replace("_", "-"): value for name, value in {**usual, **headers}.items()}
        text = json.dumps(body).encode() if body is not None else None
        answer = pool.request(method, url + path, body=text, headers=sent, retries=False)
        return answer.status, json.loads(answer.data) if answer.data else None

    return ask


def serving(standin: StandIn, **usual: str) -> Iterator[Ask]:
    """Serve an emulator alone."""
    with closing(Server({"/": standin})) as server:
        yield asking(server.url, **usual)


def encoded(text: str) -> str:
    """Write a text as `data` holds it."""
    return base64.b64encode(text.encode()).decode()


# --- Kubernetes -----------------------------------------------------------------------------------------------------

SECRETS = "/api/v1/namespaces/ci/secrets"
MERGE, STRATEGIC, PATCH, APPLY = (
    f"application/{kind}"
    for kind in ("merge-patch+json", "strategic-merge-patch+json", "json-patch+json", "apply-patch+yaml")
)


@pytest.fixture
def kubernetes() -> Iterator[Ask]:
    """An API server with the namespace ci."""
    standin = KubernetesStandIn(WorldClock(), token="t")
    standin.add_namespace("ci")
    yield from serving(standin, Authorization="Bearer t")


def a_secret(name: str = "aws", **more: Any) -> dict[str, Any]:
    """Make a Secret as a manifest has it."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, **more}


def test_string_data_is_stored_in_data_and_never_shown(kubernetes: Ask) -> None:
    manifest = a_secret(stringData={"A": "ä"}, data={"B": encoded("b")})
    manifest["metadata"]["labels"] = {"team": "ci"}
    status, made = kubernetes("POST", SECRETS, manifest)
    assert (status, made["data"], "stringData" in made) == (201, {"A": encoded("ä"), "B": encoded("b")}, False)
    assert made["metadata"]["labels"] == {"team": "ci"}
    assert made["metadata"]["uid"]


@pytest.mark.parametrize(
    ("kind", "patch", "data"),
    [
        (MERGE, {"data": {"A": None, "B": encoded("2")}}, {"B": encoded("2")}),
        (STRATEGIC, {"stringData": {"B": "3"}}, {"A": encoded("1"), "B": encoded("3")}),
        (APPLY, {"data": {"C": encoded("4")}}, {"A": encoded("1"), "C": encoded("4")}),
        (PATCH, [{"op": "replace", "path": "/data/A", "value": encoded("5")}], {"A": encoded("5")}),
        (PATCH, [{"op": "remove", "path": "/data/A"}], {}),
        (PATCH, [{"op": "add", "path": "/metadata/labels", "value": {"x": "y"}}], {"A": encoded("1")}),
    ],
)
def test_every_kind_of_patch_is_taken(kubernetes: Ask, kind: str, patch: Any, data: dict[str, str]) -> None:
    kubernetes("POST", SECRETS, a_secret(stringData={"A": "1"}))
    status, after = kubernetes("PATCH", f"{SECRETS}/aws", patch, Content_Type=kind)
    assert (status, after["data"]) == (200, data)
    assert kubernetes("GET", f"{SECRETS}/aws")[1]["data"] == data


@pytest.mark.parametrize(
    ("kind", "patch", "status"),
    [
        ("application/json", {}, 415),
        (PATCH, {}, 422),
        (PATCH, [{"op": "remove", "path": "/data/NOT_THERE"}], 422),
        (PATCH, [{"op": "add", "path": "no pointer"}], 422),
        (MERGE, {"data": {"A": "no Base64!"}}, 400),
        (MERGE, [], 400),
        (MERGE, {"metadata": {"resourceVersion": "0"}}, 409),
    ],
)
def test_a_patch_that_does_not_fit_is_refused(kubernetes: Ask, kind: str, patch: Any, status: int) -> None:
    kubernetes("POST", SECRETS, a_secret(stringData={"A": "1"}))
    assert kubernetes("PATCH", f"{SECRETS}/aws", patch, Content_Type=kind)[0] == status
    assert kubernetes("GET", f"{SECRETS}/aws")[1]["data"] == {"A": encoded("1")}


def test_a_put_replaces_and_the_uid_stays(kubernetes: Ask) -> None:
    _, made = kubernetes("POST", SECRETS, a_secret(stringData={"A": "1"}))
    made["data"] = {"B": encoded("2")}
    status, after = kubernetes("PUT", f"{SECRETS}/aws", made)
    assert (status, after["data"], after["metadata"]["uid"]) == (200, {"B": encoded("2")}, made["metadata"]["uid"])
    status, refused = kubernetes("PUT", f"{SECRETS}/aws", made)
    assert (status, refused["reason"]) == (409, "Conflict")


def test_a_delete_and_what_is_absent(kubernetes: Ask) -> None:
    kubernetes("POST", SECRETS, a_secret())
    assert kubernetes("DELETE", f"{SECRETS}/aws?dryRun=All")[0] == 200
    assert kubernetes("DELETE", f"{SECRETS}/aws")[1]["status"] == "Success"
    status, refused = kubernetes("GET", f"{SECRETS}/aws")
    assert (status, refused["reason"], refused["details"]["kind"]) == (404, "NotFound", "secrets")
    assert kubernetes("POST", "/api/v1/namespaces/no/secrets", a_secret())[1]["details"]["kind"] == "namespaces"
    assert kubernetes("GET", "/api/v1/namespaces/no/secrets/aws")[1]["details"]["kind"] == "secrets"
    assert kubernetes("GET", "/api/v1/namespaces/no")[0] == 404
    assert kubernetes("GET", "/api/v1/namespaces/ci")[1]["metadata"]["name"] == "ci"
    assert [each["metadata"]["name"] for each in kubernetes("GET", "/api/v1/namespaces")[1]["items"]] == ["ci"]
    assert kubernetes("GET", "/version")[1]["major"] == "1"
    assert kubernetes("OPTIONS", "/version")[0] == 404
    assert kubernetes("PUT", SECRETS, {})[0] == 405


def test_lists_have_pages_and_selectors(kubernetes: Ask) -> None:
    for number in range(5):
        made = a_secret(f"aws-{number}")
        made["metadata"]["labels"] = {"n": str(number)}
        kubernetes("POST", SECRETS, made)
    names: list[str] = []
    token = ""
    while True:
        _, page = kubernetes("GET", f"{SECRETS}?limit=2&continue={token}")
        names += [each["metadata"]["name"] for each in page["items"]]
        token = page["metadata"].get("continue", "")
        if not token:
            break
    assert names == [f"aws-{number}" for number in range(5)]
    assert len(kubernetes("GET", "/api/v1/secrets")[1]["items"]) == 5
    assert len(kubernetes("GET", f"{SECRETS}?labelSelector=n%3D3")[1]["items"]) == 1
    assert len(kubernetes("GET", f"{SECRETS}?labelSelector=n")[1]["items"]) == 5
    assert len(kubernetes("GET", f"{SECRETS}?fieldSelector=metadata.name%3Daws-4")[1]["items"]) == 1
    assert kubernetes("GET", f"{SECRETS}?limit=x")[0] == 400


@pytest.mark.parametrize(("body", "status"), [([], 400), (None, 400), ({"metadata": {}}, 422), ({}, 422)])
def test_a_secret_that_is_none_is_refused(kubernetes: Ask, body: Any, status: int) -> None:
    assert kubernetes("POST", SECRETS, body)[0] == status


# --- HCP Terraform --------------------------------------------------------------------------------------------------

API = "application/vnd.api+json"


@pytest.fixture
def terraform() -> Iterator[Ask]:
    """HCP Terraform with 25 variables in acme/shop, and a variable set with as many."""
    standin = TerraformStandIn(WorldClock(), token="t")
    standin.add_workspace("acme", "shop")
    standin.add_set("varset-1", standin.place("acme", "shop"))
    for place in (standin.place("acme", "shop"), ("varsets", "varset-1")):
        for number in range(25):
            standin.set_variable(place, f"V{number}", "x")
    yield from serving(standin, Authorization="Bearer t", Content_Type=API)


@pytest.mark.parametrize("prefix", ["/api/v2", ""])
def test_terraform_lists_a_workspaces_variables_whole_and_a_sets_by_pages(terraform: Ask, prefix: str) -> None:
    number = terraform("GET", f"{prefix}/organizations/acme/workspaces/shop")[1]["data"]["id"]
    assert len(terraform("GET", f"{prefix}/workspaces/{number}/vars")[1]["data"]) == 25
    page = terraform("GET", f"{prefix}/varsets/varset-1/relationships/vars")[1]
    assert (len(page["data"]), page["meta"]["pagination"]["next-page"]) == (20, 2)
    assert terraform("GET", f"{prefix}/varsets/varset-1/relationships/vars?page%5Bnumber%5D=x")[0] == 400
    assert terraform("GET", f"{prefix}/ping")[0] == 204
    assert terraform("GET", f"{prefix}/workspaces/{number}")[1]["data"]["attributes"]["name"] == "shop"
    assert len(terraform("GET", f"{prefix}/workspaces/{number}/varsets")[1]["data"]) == 1
    assert len(terraform("GET", f"{prefix}/organizations/acme/workspaces")[1]["data"]) == 1
    assert len(terraform("GET", f"{prefix}/organizations/acme/varsets")[1]["data"]) == 1
    assert terraform("GET", f"{prefix}/organizations/acme")[0] == 200
    assert terraform("GET", f"{prefix}/organizations/other")[0] == 404
    assert terraform("GET", f"{prefix}/account/details")[0] == 200


@pytest.mark.parametrize(
    "body", [None, [], {}, {"data": []}, {"data": {"type": "vars"}}, {"data": {"type": "x", "attributes": {}}}]
)
def test_terraform_refuses_what_is_no_variable(terraform: Ask, body: Any) -> None:
    number = terraform("GET", "/organizations/acme/workspaces/shop")[1]["data"]["id"]
    assert terraform("POST", f"/workspaces/{number}/vars", body)[0] == 422


def test_terraform_takes_one_variable_by_its_id(terraform: Ask) -> None:
    number = terraform("GET", "/organizations/acme/workspaces/shop")[1]["data"]["id"]
    path = f"/workspaces/{number}/vars"
    sent = {"data": {"type": "vars", "attributes": {"key": "NEW", "category": "env"}}}
    status, made = terraform("POST", path, sent)
    assert (status, made["data"]["attributes"]["value"]) == (201, "")
    one = f"{path}/{made['data']['id']}"
    assert terraform("GET", one)[1]["data"]["attributes"]["key"] == "NEW"
    taken = {"data": {"type": "vars", "attributes": {"key": "V1"}}}
    assert terraform("PATCH", one, taken)[0] == 422
    renamed = {"data": {"type": "vars", "attributes": {"key": "RENAMED"}}}
    assert terraform("PATCH", one, renamed)[1]["data"]["attributes"]["key"] == "RENAMED"
    other = {"data": {"type": "vars", "attributes": {"category": "terraform"}}}
    assert terraform("PATCH", one, other)[0] == 422
    assert terraform("DELETE", one)[0] == 204
    assert terraform("GET", one)[0] == 404
