"""What only GitHub Codespaces has: sealed values, keys that are renewed, repositories that are renamed or archived."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from small_rigs import CodespacesRig, a_codespaces_rig
from standin_rig import a_pair

from keyrota.core.model import TargetEvidence
from keyrota.errors import ProviderRefused, ProviderUnavailable
from keyrota.targets.codespaces import KIND
from keyrota_sandbox.faults import Fault, FaultKind

ID, SECRET = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
HOME = "acme/shop"


@pytest.fixture
def rig() -> Iterator[CodespacesRig]:
    """GitHub Codespaces with a repository."""
    with a_codespaces_rig() as made:
        yield made


def test_values_are_sealed(rig: CodespacesRig) -> None:
    rig.target().write(a_pair())
    sent = [json.loads(request.body) for request in rig.seen if request.method == "PUT"]
    assert [set(body) for body in sent] == [{"encrypted_value", "key_id"}] * 2
    assert not any(a_pair().secret.reveal() in str(body) or a_pair().id in str(body) for body in sent)
    assert rig.values() == {ID: a_pair().id, SECRET: a_pair().secret.reveal()}


def test_a_key_that_was_renewed_before_the_value_came_is_fetched_once_more(rig: CodespacesRig) -> None:
    rig.standin.faults.add(Fault(operation="PUT secrets", kind=FaultKind.ERROR, status=422))
    rig.standin.renew_key(HOME)
    rig.target().write(a_pair())
    assert rig.values() == {ID: a_pair().id, SECRET: a_pair().secret.reveal()}
    assert [operation for operation, _ in rig.standin.journal].count("GET public-key") == 3


def test_a_value_that_is_refused_again_is_a_refusal(rig: CodespacesRig) -> None:
    for _ in range(4):
        rig.standin.faults.add(Fault(operation="PUT secrets", kind=FaultKind.ERROR, status=422))
    with pytest.raises(ProviderRefused, match="422"):
        rig.target().write(a_pair())


@pytest.mark.parametrize("body", ["{}", '{"key_id": "1", "key": "AAAA"}', '{"key_id": 1, "key": 1}'])
def test_nothing_is_sealed_for_what_is_no_public_key(rig: CodespacesRig, body: str) -> None:
    for _ in range(2):
        rig.standin.faults.add(Fault(operation="GET public-key", kind=FaultKind.BODY, status=200, body=body))
    with pytest.raises(ProviderUnavailable, match="no public key"):
        rig.target().write(a_pair())
    assert not [request for request in rig.seen if request.method == "PUT"]


def test_a_deletion_that_github_did_not_answer_is_not_believed(rig: CodespacesRig) -> None:
    rig.target().write(a_pair())
    rig.standin.faults.add(Fault(operation="DELETE secrets", kind=FaultKind.BODY, status=200, body="<html>"))
    with pytest.raises(ProviderUnavailable, match="whether it is gone is not known"):
        rig.target().clear(frozenset())


def test_a_place_is_the_repositorys_number_whatever_its_name(rig: CodespacesRig) -> None:
    before = rig.target().read().place
    rig.standin.rename(HOME, "acme/store")
    assert rig.target({"repository": "acme/store"}).read().place == before
    rig.standin.add(HOME)
    assert rig.target().place_now() not in {None, before}


def test_an_archived_repository_is_reported(rig: CodespacesRig) -> None:
    rig.standin.archive(HOME)
    assert rig.target().read().is_archived


def test_a_repository_that_is_not_there_is_no_proof_that_it_was_deleted(rig: CodespacesRig) -> None:
    state = rig.target({"repository": "acme/none"}).read()
    assert (state.evidence, state.is_gone) == (TargetEvidence.FAILED, False)
    assert not rig.target({"repository": "acme/none"}).preflight().is_ready


def test_names_are_compared_without_case(rig: CodespacesRig) -> None:
    target = rig.target({**rig.usual, "names": {"id": "ci_id", "secret": "ci_secret"}})
    target.write(a_pair())
    assert set(rig.values()) == {"CI_ID", "CI_SECRET"}
    assert target.read().evidence is TargetEvidence.CANNOT_TELL
    assert target.clear(frozenset()) == ("CI_ID", "CI_SECRET")
    assert not rig.values()


def test_what_cannot_be_read_is_named(rig: CodespacesRig) -> None:
    (unread,) = rig.target().surroundings().unread
    assert "organization" in unread


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({"id": "A", "secret": "a"}, "two names"),
        ({"id": "github_id", "secret": "B"}, "GITHUB_ID"),
    ],
)
def test_names_that_github_refuses_are_found_in_the_configuration(names: dict[str, str], words: str) -> None:
    assert words in " ".join(KIND.faults({"repository": HOME, "names": names}))


def test_a_target_is_named_by_its_repository() -> None:
    settings = {"repository": "Acme/shop", "names": {"id": "A", "secret": "B"}}
    assert KIND.address(settings) == "codespaces Acme/shop (A, B)"
    assert KIND.is_within(settings, "acme")
    assert not KIND.is_within(settings, "acm")
    assert KIND.variables(settings) == {"codespaces acme/shop: a", "codespaces acme/shop: b"}
