"""What only HCP Terraform has: sensitive values, categories, variable sets, JSON:API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from small_rigs import VARIABLE_SET, TerraformRig, a_terraform_rig
from standin_rig import a_pair

from keyrota.core.model import RunsEvidence, TargetEvidence
from keyrota.errors import ProviderRefused, ProviderUnavailable
from keyrota.sandbox.faults import Fault, FaultKind
from keyrota.targets.terraform import KIND

ID, SECRET = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
IN_A_SET = {"organization": "acme", "variable_set": VARIABLE_SET}
SET = ("varsets", VARIABLE_SET)


@pytest.fixture
def rig() -> Iterator[TerraformRig]:
    """HCP Terraform with a workspace and a variable set."""
    with a_terraform_rig() as made:
        yield made


@pytest.fixture
def home(rig: TerraformRig) -> tuple[str, str]:
    """The usual workspace."""
    return rig.standin.place("acme", "shop")


def test_a_new_secret_is_sensitive_and_its_id_is_readable(rig: TerraformRig, home: tuple[str, str]) -> None:
    rig.target().write(a_pair())
    flags = {name: rig.standin.attributes(home, name) for name in (ID, SECRET)}
    assert [(flags[name]["category"], flags[name]["sensitive"]) for name in (ID, SECRET)] == [
        ("env", False),
        ("env", True),
    ]
    assert rig.target().read().key == a_pair().id


def test_an_update_sends_the_value_alone_and_every_flag_stays(rig: TerraformRig, home: tuple[str, str]) -> None:
    kept = {"description": "set by hand", "hcl": True}
    rig.standin.set_variable(home, ID, "old", sensitive=True, **kept)
    rig.standin.set_variable(home, SECRET, "old", sensitive=False, **kept)
    rig.target().write(a_pair())
    sent = [json.loads(request.body)["data"]["attributes"] for request in rig.seen if request.method == "PATCH"]
    assert [set(attributes) for attributes in sent] == [{"value"}, {"value"}]
    for name, is_sensitive in ((ID, True), (SECRET, False)):
        now = rig.standin.attributes(home, name)
        assert {**kept, "sensitive": is_sensitive}.items() <= now.items()


def test_a_sensitive_id_cannot_be_told_and_a_readable_secret_is_noted(rig: TerraformRig, home: tuple[str, str]) -> None:
    rig.standin.set_variable(home, ID, a_pair().id, sensitive=True)
    rig.standin.set_variable(home, SECRET, "x", sensitive=False)
    state = rig.target().read()
    assert (state.evidence, state.key) == (TargetEvidence.CANNOT_TELL, None)
    assert "not sensitive" in state.notice


def test_a_terraform_variable_of_the_same_name_is_another_one(rig: TerraformRig, home: tuple[str, str]) -> None:
    rig.standin.set_variable(home, ID, "theirs", category="terraform")
    rig.standin.set_variable(home, SECRET, "theirs", category="terraform")
    assert rig.target().read().evidence is TargetEvidence.ABSENT
    rig.target().write(a_pair())
    assert rig.standin.attributes(home, ID, "terraform")["value"] == "theirs"
    assert set(rig.target().clear(frozenset({a_pair().id}))) == {ID, SECRET}
    assert rig.standin.attributes(home, SECRET, "terraform")["value"] == "theirs"


def test_a_variable_set_takes_the_pair(rig: TerraformRig) -> None:
    target = rig.target(IN_A_SET)
    assert target.read().is_empty
    target.write(a_pair())
    assert rig.standin.values(SET) == {ID: a_pair().id, SECRET: a_pair().secret.reveal()}
    assert target.read().key == a_pair().id
    assert not any(operation.endswith("workspaces") for operation, _ in rig.standin.journal)


def test_every_write_is_json_api(rig: TerraformRig) -> None:
    rig.target().write(a_pair("OLD"))
    rig.target().write(a_pair())
    writes = [request for request in rig.seen if request.method != "GET"]
    assert {request.headers["content-type"] for request in writes} == {"application/vnd.api+json"}
    assert {request.method for request in writes} == {"POST", "PATCH"}
    assert all(request.headers["accept"] == "application/vnd.api+json" for request in rig.seen)


@pytest.mark.parametrize("has_pages", [True, False])
def test_a_list_with_and_without_pages_is_read_to_its_end(rig: TerraformRig, *, has_pages: bool) -> None:
    rig.standin.has_pages = has_pages
    for number in range(220):
        rig.set(f"OTHER_{number}", "x")
    rig.target().write(a_pair())
    rig.target().write(a_pair())
    assert rig.target().read().key == a_pair().id


def test_endless_pages_have_an_end(rig: TerraformRig) -> None:
    body = '{"data": [], "meta": {"pagination": {"next-page": 1}}}'
    rig.standin.faults.add(Fault(operation="GET variables", kind=FaultKind.BODY, status=200, body=body, times=-1))
    assert "leads back to a page that was read already" in rig.target().read().detail
    assert sum(1 for name, _ in rig.standin.journal if name == rig.reads) == 2


def test_what_a_person_wrote_is_not_deleted(rig: TerraformRig, home: tuple[str, str]) -> None:
    target = rig.target()
    target.write(a_pair())
    with pytest.raises(ProviderRefused, match="did not write"):
        target.clear(frozenset({a_pair("OTHER").id}))
    rig.set("OTHER", "stays")
    assert set(target.clear(frozenset({a_pair().id}))) == {ID, SECRET}
    assert target.clear(frozenset()) == ()
    assert rig.standin.values(home) == {"OTHER": "stays"}


@pytest.mark.parametrize("operation", ["POST variables", "PATCH variables"])
@pytest.mark.parametrize("body", ["<html>sign in</html>", '{"data": {"attributes": {"key": "X"}}}', "[]", ""])
def test_a_write_that_a_proxy_answered_is_not_believed(rig: TerraformRig, operation: str, body: str) -> None:
    if operation.startswith("PATCH"):
        rig.target().write(a_pair("OLD"))
    rig.standin.faults.add(Fault(operation=operation, kind=FaultKind.BODY, status=200, body=body, times=-1))
    with pytest.raises(ProviderUnavailable, match="not known"):
        rig.target().write(a_pair())


def test_a_refused_creation_is_told_if_nobody_else_made_the_variable(rig: TerraformRig) -> None:
    """422 is no race where the variable is not there afterwards."""
    rig.standin.faults.add(Fault(operation="POST variables", status=422, times=-1))
    with pytest.raises(ProviderRefused, match="422"):
        rig.target().write(a_pair())


@pytest.mark.parametrize("body", ['{"data": {"id": "ws-1"}}', '{"data": []}', '{"data": {"type": "workspaces"}}'])
def test_an_odd_workspace_is_no_workspace(rig: TerraformRig, body: str) -> None:
    rig.standin.faults.add(Fault(operation="GET workspaces", kind=FaultKind.BODY, status=200, body=body))
    assert "no workspace" in rig.target().preflight().detail


def test_calls_keep_below_the_limit_of_the_user(rig: TerraformRig) -> None:
    """30 a second for each user, others included: 60 calls take two seconds at least."""
    began = rig.clock.now()
    for _ in range(30):
        rig.target().read()
    assert (rig.clock.now() - began).total_seconds() >= 2


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"organization": "a"}, "either"),
        ({"organization": "a", "workspace": "b", "variable_set": VARIABLE_SET}, "either"),
        ({"organization": "a", "workspace": "b", "names": {"id": "X", "secret": "X"}}, "two names"),
    ],
)
def test_what_does_not_fit_together_is_told(settings: dict[str, Any], words: str) -> None:
    assert words in " ".join(KIND.faults(settings))


def test_it_carries_nothing_and_names_itself(rig: TerraformRig) -> None:
    target = rig.target()
    assert target.carried_runs(datetime(2026, 1, 1, tzinfo=UTC)).evidence is RunsEvidence.NONE
    assert (target.is_busy(), target.is_torn_possible) == (False, True)
    assert (rig.connection.areas(None), rig.connection.survey("x")) == ((), ())
    assert KIND.address(IN_A_SET) == f"terraform acme/variable set {VARIABLE_SET}"
    assert KIND.is_within(IN_A_SET, "ACME")
    assert not KIND.is_within(IN_A_SET, "acme2")
    assert KIND.variables({"organization": "A", "workspace": "b"}) == {
        f"terraform a/b: {name}" for name in (ID, SECRET)
    }
