"""What only CircleCI has: contexts, masked values, page tokens."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from standin_rig import CONTEXT, CircleRig, a_circle_rig, a_pair

from keyrota.core.model import RunsEvidence, TargetEvidence
from keyrota.errors import ProviderUnavailable
from keyrota.targets.circleci import KIND
from keyrota_sandbox.faults import Fault, FaultKind

ID, SECRET = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"


@pytest.fixture
def rig() -> Iterator[CircleRig]:
    """CircleCI with a project and a context."""
    with a_circle_rig() as made:
        yield made


def test_a_context_takes_the_pair_and_tells_when_it_was_changed(rig: CircleRig) -> None:
    target = rig.target({"context": CONTEXT})
    assert target.read().evidence is TargetEvidence.ABSENT
    target.write(a_pair())
    assert rig.standin.values("context", CONTEXT) == {ID: a_pair().id, SECRET: a_pair().secret.reveal()}
    assert target.read().changed_at == rig.clock.now().replace(microsecond=0)


@pytest.mark.parametrize("settings", [{"project": "gh/acme/shop"}, {"context": CONTEXT}])
def test_both_variables_are_deleted_and_others_stay(rig: CircleRig, settings: dict[str, Any]) -> None:
    target = rig.target(settings)
    target.write(a_pair())
    kind, name = next(iter(settings.items()))
    rig.standin.set_variable(kind, name, "OTHER", "stays")
    assert set(target.clear(frozenset())) == {ID, SECRET}
    assert target.clear(frozenset()) == ()
    assert rig.standin.values(kind, name) == {"OTHER": "stays"}


def test_an_answer_for_another_variable_is_no_proof(rig: CircleRig) -> None:
    fault = Fault(operation="POST variables", kind=FaultKind.BODY, status=201, body='{"name": "X"}', times=-1)
    rig.standin.faults.add(fault)
    with pytest.raises(ProviderUnavailable, match="not known"):
        rig.target().write(a_pair())


def test_pages_that_lead_round_are_left(rig: CircleRig) -> None:
    body = '{"items": [], "next_page_token": "1"}'
    rig.standin.faults.add(Fault(operation="GET variables", kind=FaultKind.BODY, status=200, body=body, times=-1))
    assert "a page that was read already" in rig.target().read().detail


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "either"),
        ({"project": "gh/a/b", "context": CONTEXT}, "either"),
        ({"project": "gh/a/b", "names": {"id": "X", "secret": "X"}}, "two names"),
    ],
)
def test_what_does_not_fit_together_is_told(settings: dict[str, Any], words: str) -> None:
    assert words in " ".join(KIND.faults(settings))


def test_it_carries_nothing_and_names_itself(rig: CircleRig) -> None:
    assert rig.target().runs_with_old_key(datetime(2026, 1, 1, tzinfo=UTC)).evidence is RunsEvidence.NONE
    assert rig.target().is_busy() is False
    assert (rig.connection.scopes(None), rig.connection.scan("x")) == ((), ())
    assert KIND.address({"context": CONTEXT, "names": {"id": "A"}}).endswith("(A, AWS_SECRET_ACCESS_KEY)")
    assert KIND.is_within({"project": "gh/acme/shop"}, "gh/acme")
    assert KIND.is_within({"project": "github/Acme/shop"}, "gh/acme")
    assert not KIND.is_within({"project": "gh/acme-2/shop"}, "gh/acme")
    assert not KIND.is_within({"project": "bb/acme/shop"}, "github/acme")
    assert KIND.is_within({"context": CONTEXT}, "gh/acme"), "its organization is not known: it may be this one"
    assert KIND.is_within({"project": "circleci/8vR1/5nQz"}, "gh/acme")
    assert KIND.is_within({"project": "gh/acme/shop"}, "circleci/8vR1")
    assert not KIND.is_within({"project": "circleci/8vR1/5nQz"}, "circleci/9999")
    assert len(KIND.variables({"context": CONTEXT})) == 2


# --- what a read shows beside the pair -----------------------------------------------------------------------------


def test_a_strangers_lower_case_variable_is_another_one(rig: CircleRig) -> None:
    """CircleCI compares names with case: neither half of ours is there, and theirs stays."""
    rig.set(ID.lower(), "theirs")
    rig.set(SECRET.lower(), "theirs")
    state = rig.target().read()
    assert (state.evidence, state.is_empty) == (TargetEvidence.ABSENT, True)
    assert not any(variable.is_present for variable in state.variables)
    assert f"names: {{id: {ID.lower()}, secret: {SECRET.lower()}}}" in state.conflicts[0].remedy
    rig.target().write(a_pair())
    assert rig.values()[ID.lower()] == "theirs"
    assert set(rig.target().clear(frozenset())) == {ID, SECRET}
    assert rig.values() == {ID.lower(): "theirs", SECRET.lower(): "theirs"}


def test_a_renamed_project_is_the_same_place_and_its_successor_is_not(rig: CircleRig) -> None:
    before = rig.target().read().place
    rig.standin.rename("gh/acme/shop", "gh/acme/shop-old")
    renamed = rig.target().read()
    assert (renamed.evidence, renamed.is_gone) == (TargetEvidence.FAILED, False)  # 404 proves nothing here
    assert rig.target({"project": "gh/acme/shop-old"}).read().place == before
    rig.standin.add("project", "gh/acme/shop")
    assert rig.target().read().place not in {before, None}


def test_a_read_of_a_project_is_two_calls_and_of_a_context_one(rig: CircleRig) -> None:
    rig.target().read()
    assert [operation for operation, _ in rig.standin.journal] == ["GET project", "GET variables"]
    rig.standin.journal.clear()
    state = rig.target({"context": CONTEXT}).read()
    assert [operation for operation, _ in rig.standin.journal] == ["GET variables"]
    assert state.place is not None
    assert state.place.id == f"context {CONTEXT}"


def test_what_circleci_does_not_list_is_named(rig: CircleRig) -> None:
    assert "contexts" in rig.target().surroundings().unread[0]
    assert "projects" in rig.target({"context": CONTEXT}).surroundings().unread[0]


@pytest.mark.parametrize("body", ["{}", '{"id": 5}', "[]"])
def test_an_odd_project_is_no_project(rig: CircleRig, body: str) -> None:
    rig.standin.faults.add(Fault(operation="GET project", kind=FaultKind.BODY, status=200, body=body))
    assert "no project" in rig.target().read().detail
