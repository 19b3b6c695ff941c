"""The smaller providers' emulators answer what the services answer, also to requests that keyrota never sends."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
import urllib3

from keyrota_sandbox.memory import WorldClock
from keyrota_sandbox.providers.azure_devops import AzureEmulator
from keyrota_sandbox.providers.buildkite import BuildkiteEmulator
from keyrota_sandbox.providers.circleci import CircleEmulator
from keyrota_sandbox.providers.emulator import Emulator
from keyrota_sandbox.providers.forgejo import ForgejoEmulator
from keyrota_sandbox.providers.kubernetes import KubernetesEmulator
from keyrota_sandbox.providers.terraform import TerraformEmulator
from keyrota_sandbox.server import Server

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


def serving(standin: Emulator, **usual: str) -> Iterator[Ask]:
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
    standin = KubernetesEmulator(WorldClock(), token="t")
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
    standin = TerraformEmulator(WorldClock(), token="t")
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


# --- Forgejo and Gitea ----------------------------------------------------------------------------------------------


@pytest.fixture(params=[False, True], ids=["forgejo", "gitea"])
def forgejo(request: pytest.FixtureRequest) -> Iterator[Ask]:
    """Forgejo or Gitea with acme/shop, and 35 variables in it."""
    standin = ForgejoEmulator(WorldClock(), token="t", is_gitea=request.param)
    standin.add(("orgs", "acme"))
    standin.add(("repos", "acme", "shop"))
    for number in range(35):
        standin.set_variable(("repos", "acme", "shop"), f"V{number}", "x")
    yield from serving(standin, Authorization="token t")


@pytest.mark.parametrize("prefix", ["/api/v1", ""])
def test_forgejo_lists_renames_and_deletes_variables(forgejo: Ask, prefix: str) -> None:
    path = f"{prefix}/repos/acme/shop/actions/variables"
    pages = [len(forgejo("GET", f"{path}?page={page}")[1]) for page in (1, 2, 3)]
    assert pages == [30, 5, 0]
    assert forgejo("GET", f"{path}?page=x")[0] == 400
    assert forgejo("PUT", f"{path}/V1", {"name": "renamed", "value": "y"})[0] == 204
    assert forgejo("GET", f"{path}/RENAMED")[1]["data"] == "y"
    assert forgejo("GET", f"{path}/V1")[0] == 404
    assert forgejo("PUT", f"{path}/V2", {"name": "V3", "value": "y"})[0] == 409
    assert forgejo("PUT", f"{path}/V2", {"name": "1", "value": "y"})[0] == 400
    assert forgejo("DELETE", f"{path}/V2")[0] == 204


@pytest.mark.parametrize("body", [None, {}, {"value": 5}, {"value": ""}, []])
def test_forgejo_refuses_a_variable_or_a_secret_without_a_value(forgejo: Ask, body: Any) -> None:
    for method, path in (("POST", "variables/NEW"), ("PUT", "variables/V1"), ("PUT", "secrets/NEW")):
        assert forgejo(method, f"/repos/acme/shop/actions/{path}", body)[0] == 422


def test_forgejo_shows_its_places(forgejo: Ask) -> None:
    repository = forgejo("GET", "/repos/acme/shop")[1]
    assert (repository["full_name"], repository["archived"]) == ("acme/shop", False)
    assert forgejo("GET", "/orgs/acme")[1]["username"] == "acme"
    assert [each["id"] for each in forgejo("GET", "/orgs/acme/repos")[1]] == [repository["id"]]
    assert [each["id"] for each in forgejo("GET", "/user/repos")[1]] == [repository["id"]]
    assert forgejo("GET", "/user")[1]["login"]
    assert "gitea" in forgejo("GET", "/version")[1]["version"] or forgejo("GET", "/version")[1]["version"]
    assert forgejo("GET", "/orgs/other")[0] == 404
    assert forgejo("POST", "/repos/acme/shop")[0] == 404


# --- CircleCI -------------------------------------------------------------------------------------------------------


@pytest.fixture
def circleci() -> Iterator[Ask]:
    """CircleCI with a project and a context."""
    standin = CircleEmulator(WorldClock(), token="t")
    standin.add("project", "gh/acme/shop")
    standin.add("context", "c1")
    yield from serving(standin, Circle_Token="t")


@pytest.mark.parametrize("prefix", ["/api/v2", ""])
@pytest.mark.parametrize("slug", ["gh/acme/shop", "gh%2Facme%2Fshop"])
def test_circleci_takes_a_slug_with_its_slashes_and_encoded(circleci: Ask, prefix: str, slug: str) -> None:
    path = f"{prefix}/project/{slug}"
    assert circleci("GET", path)[1]["slug"] == "gh/acme/shop"
    assert circleci("POST", f"{path}/envvar", {"name": "A", "value": "12345678"})[1] == {
        "name": "A",
        "value": "xxxx5678",
    }
    assert circleci("GET", f"{path}/envvar/A")[1]["value"] == "xxxx5678"
    assert circleci("GET", f"{path}/envvar")[1]["next_page_token"] is None
    assert circleci("GET", f"{path}/envvar?page-token=x")[0] == 400
    assert circleci("DELETE", f"{path}/envvar/A")[0] == 200
    assert circleci("GET", f"{path}/envvar/A")[0] == 404
    assert circleci("GET", f"{prefix}/project/gh/acme/other")[0] == 404
    assert circleci("GET", f"{prefix}/me")[1]["login"]
    assert circleci("GET", f"{prefix}/context/c1")[1]["id"] == "c1"


@pytest.mark.parametrize("body", [None, {}, {"name": "A"}, {"value": "x"}, {"name": "A", "value": 5}, []])
def test_circleci_refuses_a_variable_without_name_or_value(circleci: Ask, body: Any) -> None:
    assert circleci("POST", "/project/gh/acme/shop/envvar", body)[0] == 400
    if not isinstance(body, dict) or body.get("value") != "x":
        assert circleci("PUT", "/context/c1/environment-variable/A", body)[0] == 400


# --- Azure DevOps ---------------------------------------------------------------------------------------------------

GROUPS = "/_apis/distributedtask/variablegroups"
V7 = "application/json;api-version=7.1-preview.2"


@pytest.fixture
def azure() -> Iterator[Ask]:
    """Azure DevOps with one group."""
    standin = AzureEmulator(WorldClock(), token="t")
    standin.add_group("acme", "shop")
    yield from serving(standin, Authorization="Bearer t", Accept=V7)


def test_azure_devops_says_where_its_resources_are(azure: Ask) -> None:
    """The official SDKs begin so, and put the version into `Accept`."""
    status, found = azure("OPTIONS", "/_apis")
    assert (status, {each["resourceName"] for each in found["value"]}) == (200, {"variablegroups", "ResourceAreas"})
    assert azure("GET", "/_apis/resourceAreas")[1]["value"] == []
    (project,) = azure("GET", "/_apis/projects")[1]["value"]
    assert azure("GET", f"/_apis/projects/{project['id'].replace(' ', '%20')}")[1]["name"] == "acme"
    assert azure("GET", "/_apis/projects/other")[0] == 404
    assert azure("GET", f"/acme{GROUPS}")[1]["count"] == 1
    assert azure("GET", f"/acme{GROUPS}", Accept="application/json")[0] == 400
    assert azure("GET", f"/acme{GROUPS}?api-version=7.1", Accept="application/json")[0] == 200
    assert azure("GET", f"/acme{GROUPS}?continuationToken=x")[0] == 400


def test_azure_devops_adds_replaces_and_deletes_groups(azure: Ask) -> None:
    reference = {"name": "new", "projectReference": {"name": "acme"}}
    sent = {"name": "new", "variables": {"A": {"value": "1"}}, "variableGroupProjectReferences": [reference]}
    status, made = azure("POST", GROUPS, sent)
    assert (status, made["variables"]) == (200, {"A": {"value": "1"}})
    assert azure("POST", GROUPS, sent)[0] == 409
    one = f"{GROUPS}/{made['id']}"
    changed = {**sent, "variables": {"B": {"value": "2", "isSecret": True}}}
    assert azure("PUT", f"/acme{one}", changed)[1]["variables"] == {"B": {"value": None, "isSecret": True}}
    assert azure("DELETE", f"{one}?projectIds=x")[0] == 204
    assert azure("GET", f"/acme{one}")[0] == 404


@pytest.mark.parametrize("body", [None, [], {"variables": []}, {}, {"name": "x"}])
def test_azure_devops_refuses_what_is_no_group(azure: Ask, body: Any) -> None:
    assert azure("POST", GROUPS, body)[0] == 400
    assert azure("PUT", f"{GROUPS}/1", body)[0] in {400, 401}


# --- Buildkite ------------------------------------------------------------------------------------------------------


@pytest.fixture
def buildkite() -> Iterator[Ask]:
    """Buildkite with one cluster."""
    standin = BuildkiteEmulator(WorldClock(), token="t")
    standin.add_cluster("acme", "c1")
    standin.add_pipeline(("acme", "c1"), "deploy", A="1")
    yield from serving(standin, Authorization="Bearer t")


@pytest.mark.parametrize("prefix", ["/v2", ""])
def test_buildkite_shows_one_secret_and_changes_description_and_policy(buildkite: Ask, prefix: str) -> None:
    path = f"{prefix}/organizations/acme/clusters/c1/secrets"
    status, made = buildkite("POST", path, {"key": "A", "value": "x", "policy": "- p: 1"})
    assert (status, "value" in made) == (201, False)
    one = f"{path}/{made['id']}"
    assert buildkite("GET", one)[1]["key"] == "A"
    assert buildkite("PUT", one, {"description": "d"})[1]["description"] == "d"
    after = buildkite("PUT", one, {"policy": "- p: 2", "value": "ignored", "key": "ignored"})[1]
    assert (after["policy"], after["description"], after["key"]) == ("- p: 2", "d", "A")
    assert buildkite("PUT", f"{one}/value", {})[0] == 422
    assert buildkite("GET", f"{path}?page=x")[0] == 400
    assert buildkite("GET", f"{path}/none")[0] == 404
    assert buildkite("GET", f"{prefix}/organizations/acme/clusters")[1][0]["id"] == "c1"
    assert buildkite("GET", f"{prefix}/organizations/acme/clusters/c1")[1]["id"] == "c1"
    assert buildkite("GET", f"{prefix}/organizations/acme/pipelines")[1][0]["env"] == {"A": "1"}
    assert buildkite("DELETE", one)[0] == 204


@pytest.mark.parametrize("body", [None, [], {}, {"key": "A"}, {"key": "A", "value": ""}, {"value": "x"}])
def test_buildkite_refuses_a_secret_without_key_or_value(buildkite: Ask, body: Any) -> None:
    assert buildkite("POST", "/organizations/acme/clusters/c1/secrets", body)[0] == 422


# --- all of them ----------------------------------------------------------------------------------------------------

WRITES = {
    "kubernetes": [("POST", SECRETS), ("PUT", f"{SECRETS}/aws"), ("PATCH", f"{SECRETS}/aws")],
    "terraform": [("POST", "/varsets/varset-1/relationships/vars")],
    "forgejo": [("PUT", "/repos/acme/shop/actions/secrets/A"), ("POST", "/repos/acme/shop/actions/variables/A")],
    "circleci": [("POST", "/project/gh/acme/shop/envvar"), ("PUT", "/context/c1/environment-variable/A")],
    "azure": [("POST", GROUPS), ("PUT", f"{GROUPS}/1")],
    "buildkite": [("POST", "/organizations/acme/clusters/c1/secrets")],
}
ODD: list[Any] = [
    None, [], "text", 5, {}, {"data": 5}, {"data": []}, {"data": {"attributes": []}}, {"metadata": []}, {"metadata": 5},
    {"metadata": {"name": "aws"}, "data": []}, {"metadata": {"name": "aws"}, "stringData": 5}, {"variables": {"A": 5}},
    {"name": "A", "variableGroupProjectReferences": 5}, {"name": "A", "variableGroupProjectReferences": [5]},
    {"name": 5, "value": 5}, {"key": 5, "value": 5}, {"key": "A", "value": []},
]  # fmt: skip


@pytest.mark.parametrize(("name", "forgejo"), [(name, False) for name in WRITES], indirect=["forgejo"])
def test_no_emulator_fails_at_an_odd_body(request: pytest.FixtureRequest, name: str, forgejo: Ask) -> None:
    """The service refuses; 500 is what an outage looks like."""
    ask: Ask = forgejo if name == "forgejo" else request.getfixturevalue(name)
    if name == "kubernetes":
        ask("POST", SECRETS, a_secret(stringData={"A": "1"}))
    for method, path in WRITES[name]:
        for body in ODD:
            kinds = [MERGE, PATCH] if method == "PATCH" else [API if name == "terraform" else "application/json"]
            for kind in kinds:
                status, answer = ask(method, path, body, Content_Type=kind)
                assert status < 500, (method, path, body, answer)
