"""What is Bitbucket's own: scopes, environments by name and UUID, credentials, bundles, and its API description."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from openapi_core import OpenAPI
from openapi_core.templating.responses.exceptions import ResponseNotFound
from openapi_core.testing import MockRequest, MockResponse
from standin_rig import DEPLOYMENT, Rig, a_pair, a_rig

from keyrota.core.model import TargetEvidence
from keyrota.errors import ConfigError, NotThere, ProviderRefused, ProviderUnavailable
from keyrota.ports import TargetConnection
from keyrota.sandbox.bitbucket import BitbucketStandIn
from keyrota.sandbox.faults import Fault, FaultKind
from keyrota.sandbox.http import Request, Response, Server
from keyrota.sandbox.world import WorldClock
from keyrota.targets.bitbucket import KIND

ID, SECRET = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
CONTRACT = Path(__file__).parents[3] / "shared" / "contracts" / "bitbucket.json"


@pytest.fixture
def rig() -> Iterator[Rig]:
    """A stand-in with one repository."""
    with a_rig() as made:
        yield made


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        (DEPLOYMENT, "bitbucket acme/shop Production"),
        ({"workspace": "acme", "repository": "shop"}, "bitbucket acme/shop"),
        ({"workspace": "acme"}, "bitbucket acme"),
        (DEPLOYMENT | {"bundle": "AWS"}, "bitbucket acme/shop Production (AWS)"),
    ],
)
def test_each_scope_has_its_address_and_takes_the_pair(rig: Rig, settings: dict[str, Any], address: str) -> None:
    target = rig.target(settings)
    assert target.address == address
    target.write(a_pair())
    assert a_pair().id in "".join(rig.values().values())


def test_the_secret_is_secured_and_the_id_is_not(rig: Rig) -> None:
    """The ID is readable, so that drift shows; the API never returns the secret."""
    rig.target().write(a_pair())
    answers = [json.loads(request.body) for request in rig.seen if request.method == "POST"]
    assert {answer["key"]: answer["secured"] for answer in answers} == {SECRET: True, ID: False}
    assert [answer["key"] for answer in answers] == [SECRET, ID]
    assert all(set(answer) == {"type", "key", "value", "secured"} for answer in answers)


def test_a_secured_id_is_kept_secured_and_cannot_be_told(rig: Rig) -> None:
    """Somebody hid it: PUT cannot unhide it, and it is no reason to fail."""
    rig.set(ID, "old", secured=True)
    target = rig.target()
    target.write(a_pair())
    assert target.read().evidence is TargetEvidence.CANNOT_TELL
    assert rig.values()[ID] == a_pair().id


def test_the_id_is_hidden_on_wish(rig: Rig) -> None:
    target = rig.target(DEPLOYMENT | {"id_secured": True})
    target.write(a_pair())
    assert not target.is_id_readable
    assert target.read().evidence is TargetEvidence.CANNOT_TELL


def test_a_secret_that_lay_open_is_secured(rig: Rig) -> None:
    rig.set(SECRET, "open")
    rig.target().write(a_pair())
    put = next(json.loads(request.body) for request in rig.seen if request.method == "PUT")
    assert put["secured"] is True


def test_a_bundle_is_an_aws_credentials_file_in_one_write(rig: Rig, tmp_path: Path) -> None:
    """Botocore reads the file that a pipeline makes of it; no half pair is possible."""
    target = rig.target(DEPLOYMENT | {"bundle": "AWS_CREDENTIALS"})
    target.write(a_pair())
    file = tmp_path / "credentials"
    file.write_text(rig.values()["AWS_CREDENTIALS"], "utf-8")
    from botocore.session import Session  # noqa: PLC0415  # only here

    session = Session()
    session.set_config_variable("credentials_file", str(file))
    session.set_config_variable("profile", "default")
    found = session.get_credentials()
    assert found is not None
    assert (found.access_key, found.secret_key) == (a_pair().id, a_pair().secret.reveal())
    assert not target.is_torn_possible
    assert sum(request.method != "GET" for request in rig.seen) == 1


def test_an_environment_is_found_by_name_and_by_uuid(rig: Rig) -> None:
    uuid = rig.standin.scope("acme", "shop", "Production")[2]
    rig.target(DEPLOYMENT | {"environment": uuid}).write(a_pair())
    assert rig.values()[ID] == a_pair().id
    assert not any("environments?" in request.target for request in rig.seen)
    assert any("%7B" in request.target for request in rig.seen)
    assert not any("{" in request.target for request in rig.seen)


def test_an_environment_on_the_second_page_is_found(rig: Rig) -> None:
    names = tuple(f"Env {number}" for number in range(120))
    rig.standin.add_repository("acme", "many", names)
    rig.target({"workspace": "acme", "repository": "many", "environment": "Env 119"}).write(a_pair())
    assert rig.standin.values("acme", "many", "Env 119")[ID] == a_pair().id


def test_a_missing_environment_lists_what_there_is(rig: Rig) -> None:
    with pytest.raises(NotThere) as caught:
        rig.target(DEPLOYMENT | {"environment": "production"}).write(a_pair())
    assert "'production'" in caught.value.what
    assert "Production, Staging, Test" in caught.value.remedy


def test_two_environments_of_one_name_are_not_guessed_between(rig: Rig) -> None:
    rig.standin.add_repository("acme", "twin", ("Production", "Production"))
    with pytest.raises(ProviderRefused, match="2 deployment environments") as caught:
        rig.target(DEPLOYMENT | {"repository": "twin"}).write(a_pair())
    assert caught.value.remedy.count("{") == 2


def test_an_api_token_goes_with_the_e_mail(rig: Rig) -> None:
    connection = rig.connect({"email": "ci@example.com", "api_token": "sandbox-api-token"})
    connection.target(DEPLOYMENT).write(a_pair())
    assert rig.seen[0].headers["authorization"].startswith("Basic ")


def test_an_oauth_token_is_fetched_once_and_renewed_before_it_ends(rig: Rig) -> None:
    """Client credentials: one token for an hour."""
    auth = {"client_id": "sandbox-client", "client_secret": "sandbox-client-secret"}
    connection = rig.connect(auth, token_url=f"{rig.url}/bitbucket/site/oauth2/access_token")
    target = connection.target(DEPLOYMENT)
    target.write(a_pair())
    target.write(a_pair())
    assert [operation for operation, _ in rig.standin.journal].count("POST token") == 1
    rig.clock.sleep(3600)
    target.write(a_pair())
    assert [operation for operation, _ in rig.standin.journal].count("POST token") == 2


def test_a_wrong_oauth_secret_is_told(rig: Rig) -> None:
    auth = {"client_id": "sandbox-client", "client_secret": "wrong"}
    connection = rig.connect(auth, token_url=f"{rig.url}/bitbucket/site/oauth2/access_token")
    state = connection.target(DEPLOYMENT).read()
    assert state.evidence is TargetEvidence.FAILED
    assert "OAuth" in state.detail


@pytest.mark.parametrize("url", ["http://api.bitbucket.org/2.0", "https://user:pw@api.bitbucket.org/2.0", "ftp://x"])
def test_a_base_url_that_would_give_the_token_away_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        KIND.connect(
            {"base_url": url, "auth": {"token": "x"}},
            secrets=lambda _: pytest.fail("the token was read"),
            clock=WorldClock(),
        )


def test_the_calls_are_counted(rig: Rig) -> None:
    """One list of environments a connection; then one list and two writes."""
    rig.target().write(a_pair("OLD"))
    rig.standin.journal.clear()
    rig.target().write(a_pair())
    assert rig.standin.journal == [("GET variables", 200), ("PUT variables", 200), ("PUT variables", 200)]


def test_a_conflict_is_settled_by_looking_again(rig: Rig) -> None:
    """Somebody else creates the variable between our list and our POST."""
    rig.standin.faults.add(Fault(operation="POST variables", kind=FaultKind.ERROR, status=409))
    real = rig.standin.faults.take

    def race(operation: str) -> Fault | None:
        fault = real(operation)
        if fault is not None:
            rig.set(SECRET, "of the other run", secured=True)
        return fault

    rig.standin.faults.take = race  # type: ignore[method-assign]  # the other run, at this very moment
    rig.target().write(a_pair())
    assert rig.values()[SECRET] == a_pair().secret.reveal()


def test_odd_values_in_a_list_are_passed_over(rig: Rig) -> None:
    body = '{"values": [1, null, {"key": 5}, {"key": "AWS_ACCESS_KEY_ID"}, {"uuid": "x"}]}'
    rig.standin.faults.add(Fault(operation="GET variables", kind=FaultKind.BODY, status=200, body=body))
    assert rig.target().read().evidence is TargetEvidence.ABSENT


def test_no_page_of_another_host_is_followed(rig: Rig) -> None:
    body = '{"values": [], "next": "http://127.0.0.2:9/2.0/more"}'
    rig.standin.faults.add(Fault(operation="GET variables", kind=FaultKind.BODY, status=200, body=body))
    with pytest.raises(ProviderRefused, match="another host"):
        rig.target().write(a_pair())


def test_endless_pages_have_an_end(rig: Rig) -> None:
    body = f'{{"values": [], "next": "{rig.url}/bitbucket/2.0/repositories/acme/shop/x/variables"}}'
    rig.standin.faults.add(Fault(operation="GET variables", kind=FaultKind.BODY, status=200, body=body, times=-1))
    with pytest.raises(ProviderUnavailable, match="pages"):
        rig.target().write(a_pair())


# --- the provider's own description -----------------------------------------------------------------------------

KNOWN_DIFFERENCES = {"pagelen", "page"}
"""Query parameters that the service takes and the description does not name (contracts/README.md)."""


UNDESCRIBED = {400, 401, 403, 404, 429}
"""Statuses that occur and are not described everywhere (contracts/README.md; a list's 404)."""


@pytest.fixture(scope="module")
def description() -> dict[str, Any]:
    """The description; in CI it must be there."""
    if not CONTRACT.exists():
        reason = "the providers' API descriptions (shared/contracts) are not beside this checkout"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    document: dict[str, Any] = json.loads(CONTRACT.read_text("utf-8"))
    return document


@pytest.mark.filterwarnings("ignore:Unsupported scheme type:UserWarning:openapi_core")  # it cannot check OAuth
def test_requests_and_answers_are_as_the_description_says(description: dict[str, Any]) -> None:
    """Everything that the client sends and the stand-in answers, over all scopes; the operations are listed."""
    clock = WorldClock()
    standin = BitbucketStandIn(clock)
    standin.add_repository("acme", "shop")
    exchanges: list[tuple[Request, Response]] = []

    def recorded(request: Request) -> Response:
        response = standin(request)
        exchanges.append((request, response))
        return response

    server = Server({"/": lambda _: Response(status=404), "/bitbucket": recorded})
    try:
        connection = KIND.connect(
            {"base_url": f"{server.url}/bitbucket/2.0", "auth": {"token": "env:T"}},
            secrets=lambda _: _token(),
            clock=clock,
        )
        _use_everything(connection)
        description["servers"] = [{"url": f"{server.url}/bitbucket/2.0"}]
        api = OpenAPI.from_dict(description)
        used = {_held_against(api, description, request, response) for request, response in exchanges}
    finally:
        server.close()
    assert used == {
        "GET environments",
        "GET variables (deployment)",
        "POST variables (deployment)",
        "PUT variables (deployment)",
        "GET variables (repository)",
        "POST variables (repository)",
        "PUT variables (repository)",
        "GET variables (workspace)",
        "POST variables (workspace)",
        "PUT variables (workspace)",
    }


def _token() -> Any:
    from keyrota.core.secret import Secret  # noqa: PLC0415  # only here
    from keyrota.sandbox.bitbucket import TOKEN  # noqa: PLC0415

    return Secret(TOKEN)


def _use_everything(connection: TargetConnection) -> None:
    for settings in (DEPLOYMENT, {"workspace": "acme", "repository": "shop"}, {"workspace": "acme"}):
        target = connection.target(settings)
        target.preflight()
        target.write(a_pair("OLD"))
        target.write(a_pair("NEW"))
        target.read()
    with pytest.raises(NotThere):
        connection.target(DEPLOYMENT | {"repository": "nowhere", "environment": "{x}"}).write(a_pair())


def _held_against(api: OpenAPI, description: dict[str, Any], request: Request, response: Response) -> str:
    at = urlsplit(request.base + request.target)
    assert set(request.query) <= KNOWN_DIFFERENCES
    body = request.body or None
    sent = MockRequest(
        f"{at.scheme}://{at.netloc}",
        request.method.lower(),
        at.path,
        headers={"Content-Type": "application/json"} if body else {},
        data=body,
        content_type="application/json",
    )
    api.validate_request(sent)
    if body:
        fields = description["components"]["schemas"]["pipeline_variable"]
        known = {name for part in fields.get("allOf", [fields]) for name in part.get("properties", {})} | {"type"}
        assert set(json.loads(body)) <= known
    try:
        api.validate_response(sent, MockResponse(response.body, status_code=response.status))
    except ResponseNotFound:
        # A gap in the description, no fault of the stand-in: the error's shape is held against the schema by hand.
        assert response.status in UNDESCRIBED, f"{request.method} {at.path}: {response.status}"
        content = json.loads(response.body)
        assert content["type"] == "error"
        assert set(content["error"]) <= {"message", "detail", "data"}
    if at.path.endswith("/environments"):
        return "GET environments"
    scope = (
        "deployment"
        if "/deployments_config/" in at.path
        else "workspace"
        if "/workspaces/" in at.path
        else "repository"
    )
    return f"{request.method} variables ({scope})"
