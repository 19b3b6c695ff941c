"""What only Kubernetes has: one PATCH, dry runs, immutable Secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from standin_rig import KubernetesRig, a_kubernetes_rig, a_pair

from keyrota.core.model import RunsEvidence, TargetEvidence
from keyrota.errors import NotThere, ProviderRefused
from keyrota.sandbox.faults import Fault
from keyrota.targets.kubernetes import KIND

ID, SECRET = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"


@pytest.fixture
def rig() -> Iterator[KubernetesRig]:
    """An API server with a namespace."""
    with a_kubernetes_rig() as made:
        yield made


def test_both_halves_go_in_one_patch(rig: KubernetesRig) -> None:
    target = rig.target()
    target.write(a_pair("OLD"))
    rig.seen.clear()
    target.write(a_pair())
    (patch,) = [request for request in rig.seen if request.method != "GET"]
    assert set(json.loads(patch.body)["data"]) == {ID, SECRET}
    assert not target.is_torn_possible


def test_preflight_is_a_dry_run_and_finds_what_only_a_write_would(rig: KubernetesRig) -> None:
    """A token that may read and not write is told before a key is made."""
    rig.set("OTHER", "x")
    rig.standin.faults.add(Fault(operation="PATCH dry-run", status=403))
    answer = rig.target().preflight()
    assert not answer.is_ready
    assert "patch" in answer.remedy
    assert rig.values() == {"OTHER": "x"}


def test_an_immutable_secret_is_told_before_the_write(rig: KubernetesRig) -> None:
    rig.set(ID, "old")
    rig.standin.immutable.add(("acme", "shop"))
    assert "immutable" in rig.target().preflight().detail
    with pytest.raises(ProviderRefused, match="immutable"):
        rig.target().write(a_pair())


def test_a_missing_namespace_is_no_missing_secret(rig: KubernetesRig) -> None:
    settings = {"namespace": "nowhere", "secret": "shop"}
    assert rig.target(settings).read().evidence is TargetEvidence.FAILED
    with pytest.raises(NotThere, match="namespace"):
        rig.target(settings).write(a_pair())


def test_what_is_ours_is_taken_out_and_what_is_not_stays(rig: KubernetesRig) -> None:
    target = rig.target()
    target.write(a_pair())
    rig.set("OTHER", "stays")
    with pytest.raises(ProviderRefused, match="did not write"):
        target.clear(frozenset({a_pair("OTHER").id}))
    assert target.clear(frozenset({a_pair().id})) == (ID, SECRET)
    assert target.clear(frozenset()) == ()
    assert rig.values() == {"OTHER": "stays"}


def test_it_carries_nothing_and_names_itself(rig: KubernetesRig) -> None:
    target = rig.target()
    assert target.carried_runs(datetime(2026, 1, 1, tzinfo=UTC)).evidence is RunsEvidence.NONE
    assert target.is_busy() is False
    assert (rig.connection.areas(None), rig.connection.survey("x")) == ((), ())
    settings = {"namespace": "acme", "secret": "shop", "names": {"id": "A", "secret": "B"}}
    assert KIND.address(settings) == "kubernetes acme/shop (A, B)"
    assert KIND.is_within(settings, "acme")
    assert KIND.faults({**settings, "names": {"id": "A", "secret": "A"}})
    assert KIND.variables(settings) == {"acme/shop: A", "acme/shop: B"}
