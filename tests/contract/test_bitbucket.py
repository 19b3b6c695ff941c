"""What is Bitbucket's own: scopes, environments by name and UUID, credentials, bundles, and its API description."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import description
import pytest
from standin_rig import CANARY_TOKEN, DEPLOYMENT, Rig, a_pair, a_rig

from keyrota.core.model import TargetEvidence
from keyrota.core.secret import Secret
from keyrota.errors import ConfigError, NotThere, ProviderRefused, ProviderUnavailable
from keyrota.target_base.provider import Connection
from keyrota.targets.bitbucket import KIND
from keyrota_sandbox.faults import Fault, FaultKind
from keyrota_sandbox.memory import WorldClock

ID, SECRET = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"


@pytest.fixture
def rig() -> Iterator[Rig]:
    """An emulator with one repository."""
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
    assert sorted((answer["key"], answer["secured"]) for answer in answers) == [(ID, False), (SECRET, True)]
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
    assert not target.has_separate_variables
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


@pytest.mark.parametrize("name", ["{x}", "{", "{deadbeef}"])
def test_a_name_in_braces_is_a_name(rig: Rig, name: str) -> None:
    """Only a UUID is one."""
    rig.standin.add_repository("acme", "braces", (name,))
    rig.target({"workspace": "acme", "repository": "braces", "environment": name}).write(a_pair())
    assert rig.standin.values("acme", "braces", name)["AWS_ACCESS_KEY_ID"] == a_pair().id


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


def test_a_workspace_by_its_slug_may_be_the_one_of_a_uuid() -> None:
    """`revoke --served-by bitbucket:acme` said that nothing was ever written there, where the target gives the UUID."""
    number = "{84f5b027-29e9-58cc-9ddd-7e0ae38c9551}"
    assert KIND.is_within({"workspace": "Acme"}, "acme")
    assert KIND.is_within({"workspace": number}, "acme")
    assert KIND.is_within({"workspace": "acme"}, number)
    assert KIND.is_within({"workspace": number.upper()}, number)
    assert not KIND.is_within({"workspace": number}, number.replace("8", "9"))
    assert not KIND.is_within({"workspace": "acme-2"}, "acme")


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
            rig.set(ID, "of the other run", secured=False)
        return fault

    rig.standin.faults.take = race  # type: ignore[method-assign]  # the other run, at this very moment
    rig.target().write(a_pair())
    assert (rig.values()[ID], rig.values()[SECRET]) == (a_pair().id, a_pair().secret.reveal())


def test_odd_values_in_a_list_are_passed_over(rig: Rig) -> None:
    body = '{"values": [1, null, {"key": 5}, {"key": "AWS_ACCESS_KEY_ID"}, {"uuid": "x"}]}'
    rig.standin.faults.add(Fault(operation="GET variables", kind=FaultKind.BODY, status=200, body=body))
    assert rig.target().read().evidence is TargetEvidence.ABSENT


def test_no_page_of_another_host_is_followed(rig: Rig) -> None:
    body = '{"values": [], "next": "http://127.0.0.2:9/2.0/more"}'
    rig.standin.faults.add(Fault(operation="GET variables", kind=FaultKind.BODY, status=200, body=body))
    with pytest.raises(ProviderRefused, match="another host"):
        rig.target().write(a_pair())


def test_pages_that_lead_round_are_left(rig: Rig) -> None:
    body = f'{{"values": [], "next": "{rig.url}/bitbucket/2.0/repositories/acme/shop/x/variables"}}'
    rig.standin.faults.add(Fault(operation="GET variables", kind=FaultKind.BODY, status=200, body=body, times=-1))
    with pytest.raises(ProviderUnavailable, match="a page that was read already"):
        rig.target().write(a_pair())


def test_quiet_looks_for_pipelines_in_progress(rig: Rig) -> None:
    """A paused one reads its variables when its next step starts; what is not understood counts as busy."""
    target = rig.target(DEPLOYMENT | {"wait_for_idle": "10m"})
    assert target.wait_for_idle == timedelta(minutes=10)
    assert target.is_busy() is False
    key = rig.standin.add_pipeline("acme", "shop", "PENDING")
    assert target.is_busy() is True
    rig.standin.end_pipeline("acme", "shop", key)
    assert target.is_busy() is False
    states = [{"name": "PENDING", "stage": {"name": "PAUSED"}}, {"name": "WHAT?"}, None, 5]
    said = []
    for state in states:
        body = json.dumps({"values": [{"state": state}]})
        rig.standin.faults.add(Fault(operation="GET pipelines", kind=FaultKind.BODY, status=200, body=body))
        said.append(target.is_busy())
    assert said == [False, True, True, True]
    rig.standin.faults.add(Fault(operation="GET pipelines", status=403, times=-1))
    assert target.is_busy() is None
    assert not target.preflight().is_ready


def test_each_of_a_thousand_calls_an_hour_counts(rig: Rig) -> None:
    """The page says how many a target costs: its users plan by that."""
    connection = rig.connect({"token": CANARY_TOKEN})
    first, second = (connection.target({**DEPLOYMENT, "environment": name}) for name in ("Staging", "Test"))

    def asked() -> list[str]:
        made = [operation for operation, _ in rig.standin.journal]
        rig.standin.journal.clear()
        return made

    assert (first.read().evidence, second.read().evidence) == (TargetEvidence.ABSENT, TargetEvidence.ABSENT)
    assert asked() == ["GET environments", "GET variables", "GET variables"]
    assert first.preflight().is_ready
    assert asked() == []
    rig.clock.sleep(301)
    assert first.preflight().is_ready
    assert asked() == ["GET variables"]
    first.write(a_pair())
    assert sorted(asked()) == ["GET variables", "POST variables", "POST variables"]


def test_what_is_ours_is_deleted_and_what_is_not_stays(rig: Rig) -> None:
    target = rig.target()
    target.write(a_pair())
    with pytest.raises(ProviderRefused, match="did not write"):
        target.clear(frozenset({a_pair("OTHER").id}))
    rig.set("OTHER", "stays")
    assert sorted(target.clear(frozenset({a_pair().id}))) == [ID, SECRET]
    assert target.clear(frozenset()) == ()
    assert rig.values() == {"OTHER": "stays"}


def test_the_hour_has_a_thousand_calls_and_no_more(rig: Rig) -> None:
    """Then the rest is left to a run after that time, without a call."""
    connection = rig.connect({"token": CANARY_TOKEN}, calls_per_hour=20)
    stopped = []
    for _ in range(30):
        state = connection.target(DEPLOYMENT).read()
        if state.evidence is TargetEvidence.FAILED:
            stopped.append(state.detail)
    assert len(rig.standin.journal) == 20
    assert all("used up until 2026-01-01 01:00" in detail for detail in stopped)
    rig.clock.travel(timedelta(hours=1))
    assert connection.target(DEPLOYMENT).read().evidence is TargetEvidence.ABSENT


def test_a_date_that_the_user_knows_is_warned_about(rig: Rig) -> None:
    """Bitbucket does not tell when a token ends."""
    connection = rig.connect({"token": CANARY_TOKEN}, expires="2026-02-01")
    assert connection.target(DEPLOYMENT).read().token_expires == datetime(2026, 2, 1, tzinfo=UTC)


def test_an_oauth_token_that_ends_early_is_renewed_once(rig: Rig) -> None:
    auth = {"client_id": "sandbox-client", "client_secret": "sandbox-client-secret"}
    connection = rig.connect(auth, token_url=f"{rig.url}/bitbucket/site/oauth2/access_token")
    connection.target(DEPLOYMENT).write(a_pair("OLD"))
    rig.standin._given.clear()  # Bitbucket revoked it
    connection.target(DEPLOYMENT).write(a_pair())
    assert rig.values()[ID] == a_pair().id


# --- Bitbucket's own description ------------------------------------------------------------------------------------


def exchanges() -> tuple[list[description.Exchange], str]:
    """Use every operation, over all scopes; returns what was sent and answered, and the base URL."""
    with a_rig() as made, description.recording("/bitbucket", made.standin) as (url, found):
        base = f"{url}/bitbucket/2.0"
        settings = {"base_url": base, "auth": {"token": CANARY_TOKEN}}
        _use_everything(KIND.connect(settings, secrets=Secret, clock=made.clock))
    return found, base


@pytest.mark.filterwarnings("ignore:Unsupported scheme type:UserWarning:openapi_core")  # it cannot check OAuth
def test_requests_and_answers_are_as_the_description_says() -> None:
    """Everything that the client sends and the emulator answers; the operations are listed."""
    document = description.load("bitbucket")
    found, base = exchanges()
    api = description.Description(
        document, base, undescribed={400, 401, 403, 404, 429}, queries={"fields", "pagelen", "page"}
    )
    assert {api.hold(request, response) for request, response in found} == description.operations("bitbucket")


def _use_everything(connection: Connection) -> None:
    for settings in (DEPLOYMENT, {"workspace": "acme", "repository": "shop"}, {"workspace": "acme"}):
        target = connection.target(settings | {"wait_for_idle": "1m"})
        target.preflight()
        target.write(a_pair("OLD"))
        target.write(a_pair("NEW"))
        target.read()
        target.surroundings()
    connection.target({"workspace": "acme", "repository": "nowhere"}).read()
    for scope in (*connection.scopes(None), *connection.scopes("acme")):
        tuple(connection.scan(scope))
    for settings in (DEPLOYMENT, {"workspace": "acme", "repository": "shop"}, {"workspace": "acme"}):
        connection.target(settings).clear(frozenset({a_pair("NEW").id}))
    with pytest.raises(NotThere):
        connection.target(DEPLOYMENT | {"repository": "nowhere", "environment": "{x}"}).write(a_pair())
