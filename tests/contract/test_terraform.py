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
from keyrota.targets.terraform import KIND
from keyrota_sandbox.faults import Fault, FaultKind

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


def test_a_pair_of_the_other_category_is_a_conflict_that_proposes_it(rig: TerraformRig, home: tuple[str, str]) -> None:
    """Environment twins that no run reads would be made, and the key in use would go."""
    rig.standin.set_variable(home, ID, a_pair("OLD").id, category="terraform")
    rig.standin.set_variable(home, SECRET, "theirs", category="terraform", sensitive=True)
    state = rig.target().read()
    assert (state.evidence, state.is_empty) == (TargetEvidence.ABSENT, True)
    (conflict,) = state.conflicts
    assert "of the other category" in conflict.what
    assert conflict.remedy == "set `category: terraform`"
    assert [shown.key for shown in state.shown] == [a_pair("OLD").id]
    rig.target().write(a_pair())
    assert rig.standin.attributes(home, ID, "terraform")["value"] == a_pair("OLD").id
    assert set(rig.target().clear(frozenset({a_pair().id}))) == {ID, SECRET}
    assert rig.standin.attributes(home, SECRET, "terraform")["value"] == "theirs"


def test_terraform_variables_are_written_where_they_are_asked_for(rig: TerraformRig, home: tuple[str, str]) -> None:
    """Flags stay, new ones are sensitive for the secret alone, and environment variables are others."""
    names = {"id": "aws_access_key", "secret": "aws_secret_key"}
    settings = {"organization": "acme", "workspace": "shop", "category": "terraform", "names": names}
    target = rig.target(settings)
    env = rig.target()
    assert target.read().place != env.read().place
    target.write(a_pair("OLD"))
    target.write(a_pair())
    assert rig.standin.values(home, "terraform") == {
        "aws_access_key": a_pair().id,
        "aws_secret_key": a_pair().secret.reveal(),
    }
    assert rig.standin.values(home) == {}
    flags = rig.standin.attributes(home, "aws_secret_key", "terraform")
    assert (flags["sensitive"], flags["hcl"]) == (True, False)
    assert target.read().key == a_pair().id
    assert KIND.variables(settings).isdisjoint(KIND.variables({**settings, "category": "env"}))
    assert KIND.address(settings) != KIND.address({**settings, "category": "env"})
    assert "category: terraform" in env.read().conflicts[0].remedy
    assert "names: {id: aws_access_key, secret: aws_secret_key}" in env.read().conflicts[0].remedy


def test_a_renamed_workspace_is_the_same_place_and_its_successor_is_not(rig: TerraformRig) -> None:
    before = rig.target().read().place
    rig.standin.rename_workspace("acme", "shop", "shop-old")
    renamed = rig.target().read()
    assert (renamed.evidence, renamed.is_gone) == (TargetEvidence.FAILED, False)  # 404 proves nothing here
    assert rig.target({"organization": "acme", "workspace": "shop-old"}).read().place == before
    rig.standin.add_workspace("acme", "shop")
    assert rig.target().read().place != before


def test_a_read_asks_for_the_workspace_and_its_variables_alone(rig: TerraformRig) -> None:
    rig.target().read()
    assert [operation for operation, _ in rig.standin.journal] == ["GET workspaces", "GET variables"]


def test_dynamic_credentials_beside_the_pair_are_a_conflict(rig: TerraformRig) -> None:
    rig.set("TFC_AWS_PROVIDER_AUTH", "true")
    (conflict,) = rig.target().read().conflicts
    assert "OIDC" in conflict.what


# --- variable sets --------------------------------------------------------------------------------------------------

OTHER_SET = "varset-8r4TvBjm3YDW5bP7"


@pytest.mark.parametrize(
    ("attributes", "words"),
    [({"priority": True}, "goes before"), ({}, "runs use that one now")],
    ids=["priority", "ordinary"],
)
def test_a_set_that_gives_the_workspace_the_pair_as_well_is_a_conflict(
    rig: TerraformRig, home: tuple[str, str], attributes: dict[str, Any], words: str
) -> None:
    rig.standin.add_set(OTHER_SET, home, name="aws", **attributes)
    rig.standin.set_variable(("varsets", OTHER_SET), ID, a_pair("OLD").id)
    rig.standin.set_variable(("varsets", OTHER_SET), SECRET, "x", sensitive=True)
    found = rig.target().surroundings()
    assert [shown.key for shown in found.shown] == [a_pair("OLD").id]
    (conflict,) = found.conflicts
    assert words in conflict.what
    assert "the variable set aws" in conflict.what
    rig.target().write(a_pair())
    assert bool(rig.target().surroundings().conflicts) == bool(attributes)


def test_half_a_pair_in_a_set_is_a_conflict_and_other_sets_are_not_looked_at(
    rig: TerraformRig, home: tuple[str, str]
) -> None:
    rig.standin.add_set(OTHER_SET, home)
    rig.standin.set_variable(("varsets", OTHER_SET), SECRET, "x", sensitive=True)
    rig.standin.set_variable(SET, ID, a_pair("ELSEWHERE").id)
    found = rig.target().surroundings()
    assert SECRET in found.conflicts[0].what
    assert found.shown == ()
    rig.standin.set_variable(("varsets", OTHER_SET), ID, "theirs", category="terraform")
    assert len(rig.target().surroundings().conflicts) == 1


def test_a_global_set_reaches_every_workspace(rig: TerraformRig) -> None:
    rig.standin.add_set(OTHER_SET, is_global=True)
    rig.standin.set_variable(("varsets", OTHER_SET), "OLD_KEY", a_pair("OLD").id, category="terraform")
    (shown,) = rig.target().surroundings().shown
    assert shown.key == a_pair("OLD").id
    assert "Terraform variable OLD_KEY" in shown.where


def test_around_a_set_are_the_workspaces_that_it_is_applied_to(rig: TerraformRig, home: tuple[str, str]) -> None:
    rig.standin.add_set(OTHER_SET, home)
    rig.set(ID, a_pair("OLD").id)
    rig.set(SECRET, "x", secured=True)
    found = rig.target({**IN_A_SET, "variable_set": OTHER_SET}).surroundings()
    assert [shown.key for shown in found.shown] == [a_pair("OLD").id]
    assert "goes before" in found.conflicts[0].what
    assert found.unread == ()
    rig.standin.add_set(OTHER_SET, is_global=True)
    assert "all" in rig.target({**IN_A_SET, "variable_set": OTHER_SET}).surroundings().unread[0]


@pytest.mark.parametrize("operation", ["GET varsets", "GET workspaces", "GET variables"])
def test_levels_that_may_not_be_read_are_named(rig: TerraformRig, home: tuple[str, str], operation: str) -> None:
    rig.standin.add_set(OTHER_SET, home)
    rig.standin.faults.add(Fault(operation=operation, status=404, times=-1))
    assert rig.target().surroundings().unread


# --- runs that wait -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [None, IN_A_SET], ids=["workspace", "variable set"])
def test_a_run_that_waits_for_confirmation_carries_the_older_key(
    rig: TerraformRig, home: tuple[str, str], settings: dict[str, Any] | None
) -> None:
    """It was planned before the write, and its apply would fail with a deactivated key."""
    rig.standin.add_set(VARIABLE_SET, home)
    rig.standin.add_workspace("acme", "other")
    target = rig.target(settings)
    target.write(a_pair())
    assert target.read().carried_for.days == 90
    written = datetime(2026, 3, 1, tzinfo=UTC)
    assert target.runs_with_old_key(written).evidence is RunsEvidence.NONE
    rig.standin.add_run(home, "planned", "2026-03-02T00:00:00Z")
    rig.standin.add_run(home, "applied", "2026-02-01T00:00:00Z")
    rig.standin.add_run(rig.standin.place("acme", "other"), "planned", "2026-02-01T00:00:00Z")
    assert target.runs_with_old_key(written).evidence is RunsEvidence.NONE
    run = rig.standin.add_run(home, "planned", "2026-02-14T09:30:00Z")
    answer = target.runs_with_old_key(written)
    assert answer.evidence is RunsEvidence.SOME
    assert "2026-02-14T09:30" in answer.detail
    assert run in answer.remedy
    rig.standin.end_run(run)
    assert target.runs_with_old_key(written).evidence is RunsEvidence.NONE


def test_runs_that_may_not_be_read_are_unknown(rig: TerraformRig) -> None:
    rig.standin.faults.add(Fault(operation="GET runs", status=404))
    answer = rig.target().runs_with_old_key(datetime(2026, 3, 1, tzinfo=UTC))
    assert answer.evidence is RunsEvidence.UNKNOWN
    assert "Runs: read" in answer.remedy


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
    assert target.runs_with_old_key(datetime(2026, 1, 1, tzinfo=UTC)).evidence is RunsEvidence.NONE
    assert (target.is_busy(), target.has_separate_variables) == (False, True)
    assert (rig.connection.scopes(None), rig.connection.scan("x")) == ((), ())
    assert KIND.address(IN_A_SET) == f"terraform acme/variable set {VARIABLE_SET}"
    assert KIND.is_within(IN_A_SET, "ACME")
    assert not KIND.is_within(IN_A_SET, "acme2")
    assert KIND.variables({"organization": "A", "workspace": "b"}) == {
        f"terraform a/b: {name}" for name in (ID, SECRET)
    }
