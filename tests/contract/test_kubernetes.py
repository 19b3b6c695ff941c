"""What only Kubernetes has: one PATCH, dry runs, immutable Secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from standin_rig import KubernetesRig, a_kubernetes_rig, a_pair

from keyrota.core.model import RunsEvidence, TargetEvidence
from keyrota.errors import NotThere, ProviderRefused
from keyrota.targets.kubernetes import KIND
from keyrota_sandbox.faults import Fault

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
    assert not target.has_separate_variables


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
    assert target.runs_with_old_key(datetime(2026, 1, 1, tzinfo=UTC)).evidence is RunsEvidence.NONE
    assert target.is_busy() is False
    assert (rig.connection.scopes(None), rig.connection.scan("x")) == ((), ())
    settings = {"namespace": "acme", "secret": "shop", "names": {"id": "A", "secret": "B"}}
    assert KIND.address(settings) == "kubernetes acme/shop (A, B)"
    assert KIND.is_within(settings, "acme")
    assert KIND.faults({**settings, "names": {"id": "A", "secret": "A"}})
    assert KIND.variables(settings) == {"acme/shop: A", "acme/shop: B"}


# --- what a read shows beside the pair -----------------------------------------------------------------------------


def test_a_secret_made_again_is_the_same_place_and_another_cluster_is_not(rig: KubernetesRig) -> None:
    """Pods find a Secret by its name; a namespace's UID differs from cluster to cluster."""
    rig.target().write(a_pair())
    before = rig.target().read().place
    rig.standin.remove("acme", "shop")
    rig.set("OTHER", "x")
    assert rig.target().read().place == before
    rig.standin.remove_namespace("acme")
    rig.standin.add_namespace("acme")
    with a_kubernetes_rig() as other:
        other.standin.add_namespace("acme")
        there = other.target().read().place
    assert before is not None
    assert there is not None
    assert before.id != there.id


def test_without_the_right_to_see_the_namespace_its_name_counts(rig: KubernetesRig) -> None:
    rig.standin.faults.add(Fault(operation="GET namespaces", status=403, times=-1))
    place = rig.target().read().place
    assert place is not None
    assert place.id == "namespace acme secret shop"


def test_a_namespace_that_is_deleted_is_gone_and_a_secret_that_is_deleted_is_absent(rig: KubernetesRig) -> None:
    state = rig.target({"namespace": "nowhere", "secret": "shop"}).read()
    assert (state.evidence, state.is_gone, state.place) == (TargetEvidence.FAILED, True, None)
    assert not rig.target().read().is_gone


def test_the_namespace_is_asked_for_once(rig: KubernetesRig) -> None:
    for name in ("shop", "web", "shop"):
        rig.target({"namespace": "acme", "secret": name}).read()
    assert sorted(operation for operation, _ in rig.standin.journal) == ["GET namespaces", *["GET secrets"] * 3]


@pytest.mark.parametrize(
    ("metadata", "who"),
    [
        ({"ownerReferences": [{"kind": "ExternalSecret", "name": "shop", "controller": True}]}, "ExternalSecret shop"),
        ({"ownerReferences": [{"kind": "SealedSecret", "name": "shop"}]}, "SealedSecret shop"),
        ({"labels": {"app.kubernetes.io/managed-by": "Helm"}}, "Helm"),
        ({"labels": {"reconcile.external-secrets.io/managed": "true"}}, "External Secrets"),
        ({"annotations": {"argocd.argoproj.io/tracking-id": "shop:/Secret:acme/shop"}}, "Argo CD"),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}}, "Flux"),
        ({"annotations": {"meta.helm.sh/release-name": "shop"}}, "Helm"),
        (
            {
                "managedFields": [
                    {"manager": "kustomize", "operation": "Apply", "fieldsV1": {"f:data": {f"f:{ID}": {}}}},
                    {"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:data": {f"f:{ID}": {}}}},
                    {"manager": "other", "operation": "Apply", "fieldsV1": {"f:data": {"f:OTHER": {}}}},
                ]
            },
            "the field manager kustomize",
        ),
    ],
)
def test_a_secret_that_someone_else_keeps_is_a_conflict(rig: KubernetesRig, metadata: dict[str, Any], who: str) -> None:
    """A controller puts the old value back after our write."""
    rig.set(ID, a_pair("OLD").id)
    rig.set(SECRET, "x")
    rig.standin.mark("acme", "shop", **metadata)
    (conflict,) = rig.target().read().conflicts
    assert f"managed by {who}," in conflict.what


def test_an_immutable_secret_is_a_lasting_conflict(rig: KubernetesRig) -> None:
    rig.target().write(a_pair())
    rig.standin.immutable.add(("acme", "shop"))
    (conflict,) = rig.target().read().conflicts
    assert conflict.is_lasting


def test_entries_with_dashes_are_a_pair_under_other_names(rig: KubernetesRig) -> None:
    rig.set("access-key-id", a_pair("OLD").id)
    rig.set("secret-access-key", "x")
    state = rig.target().read()
    assert "names: {id: access-key-id, secret: secret-access-key}" in state.conflicts[0].remedy
    assert [shown.key for shown in state.shown] == [a_pair("OLD").id]
    assert "kubernetes acme/shop" in state.shown[0].where


def test_an_id_with_a_line_break_is_not_the_key_and_still_shown(rig: KubernetesRig) -> None:
    """`echo` without -n: no AWS tool takes it, and still it says whose key the pods have."""
    rig.set(ID, f"{a_pair('OLD').id}\n")
    rig.set(SECRET, "x")
    state = rig.target().read()
    assert state.key is None
    assert state.variables[0].key == a_pair("OLD").id


def test_other_secrets_of_the_namespace_are_looked_at(rig: KubernetesRig) -> None:
    """On all pages; of values only key IDs are kept."""
    for number in range(120):
        rig.standin.set_entry("acme", f"a-{number:03}", "X", "hunter2")
    rig.standin.set_entry("acme", "web", "config", f"[default]\naws_access_key_id = {a_pair('OLD').id}\n")
    rig.standin.add_namespace("elsewhere")
    rig.standin.set_entry("elsewhere", "web", "config", a_pair("ELSEWHERE").id)
    rig.target().write(a_pair())
    found = rig.target().surroundings()
    assert [(shown.key, shown.where) for shown in found.shown] == [
        (a_pair("OLD").id, "entry config of kubernetes acme/web")
    ]
    assert "hunter2" not in repr(found)


def test_secrets_that_may_not_be_listed_are_named_as_unread(rig: KubernetesRig) -> None:
    rig.standin.faults.add(Fault(operation="GET list", status=403))
    found = rig.target().surroundings()
    assert "may not list" in found.unread[0]
    assert "namespace acme" in found.unread[0]
