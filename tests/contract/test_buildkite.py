"""What only Buildkite has: policies, the token's own scopes, a limit for a whole organization."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from small_rigs import BuildkiteRig, a_buildkite_rig
from standin_rig import a_pair

from keyrota.core.model import RunsEvidence, TargetEvidence
from keyrota.errors import ProviderRefused, ProviderUnavailable
from keyrota.targets.buildkite import KIND
from keyrota_sandbox.faults import Fault, FaultKind

ID, SECRET = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
HOME = ("acme", "shop")
POLICY = "- pipeline_slug: shop\n  build_branch: main"


@pytest.fixture
def rig() -> Iterator[BuildkiteRig]:
    """Buildkite with a cluster."""
    with a_buildkite_rig() as made:
        yield made


def test_policy_and_description_of_what_exists_stay(rig: BuildkiteRig) -> None:
    for name in (ID, SECRET):
        rig.standin.set_secret(HOME, name, "old", policy=POLICY, description="set by hand")
    settings = {**rig.usual, "policy": [{"pipeline_slug": "another"}]}
    rig.target(settings).write(a_pair())
    writes = [request for request in rig.seen if request.method != "GET"]
    assert [(request.method, set(json.loads(request.body))) for request in writes] == [("PUT", {"value"})] * 2
    for name in (ID, SECRET):
        shown = rig.standin.show(HOME, name)
        assert (shown["policy"], shown["description"]) == (POLICY, "set by hand")
    assert rig.values() == {ID: a_pair().id, SECRET: a_pair().secret.reveal()}


def test_a_new_secret_gets_the_policy_that_is_configured(rig: BuildkiteRig) -> None:
    """As the page on access policies writes it: rules, claims, one condition or several."""
    rules = [
        {"pipeline_slug": ["frontend", 'odd "name": #'], "build_branch": "main"},
        {"build_branch": "gh-readonly-queue/*"},
    ]
    rig.target({**rig.usual, "policy": rules}).write(a_pair())
    policy = str(rig.standin.show(HOME, ID)["policy"])
    assert policy.splitlines()[0] == "- pipeline_slug:"
    assert yaml.safe_load(policy) == rules
    assert rig.standin.show(HOME, SECRET)["policy"] == policy


def test_without_a_policy_none_is_sent(rig: BuildkiteRig) -> None:
    rig.target().write(a_pair())
    assert all("policy" not in json.loads(request.body) for request in rig.seen if request.method == "POST")


def test_the_time_of_the_last_change_is_told(rig: BuildkiteRig) -> None:
    rig.target().write(a_pair())
    written = rig.clock.now().replace(microsecond=0)
    assert rig.target().read().changed_at == written
    rig.clock.sleep(3600)
    rig.set(SECRET, "by hand")
    assert rig.target().read().changed_at == rig.clock.now().replace(microsecond=0)


@pytest.mark.parametrize("missing", ["read_secret_details", "write_secrets"])
def test_a_scope_that_lacks_is_told_before_a_key_is_made(rig: BuildkiteRig, missing: str) -> None:
    rig.standin.scopes.remove(missing)
    answer = rig.target().preflight()
    assert not answer.is_ready
    assert answer.detail == f"the token lacks the scope {missing}"
    with pytest.raises(ProviderRefused, match="not allowed"):
        rig.target().write(a_pair())


def test_the_end_of_the_token_is_told(rig: BuildkiteRig) -> None:
    rig.standin.expires = datetime(2026, 3, 1, 6, 7, 42, tzinfo=UTC)
    assert rig.target().preflight().token_expires == rig.standin.expires
    assert rig.target().read().token_expires == rig.standin.expires
    rig.target().write(a_pair())
    assert rig.target().read().token_expires == rig.standin.expires


@pytest.mark.parametrize("body", ["[]", "{}", '{"scopes": 7, "expires_at": "soon"}', '{"expires_at": null}', "<html>"])
def test_a_token_that_tells_nothing_of_itself_is_no_trouble(rig: BuildkiteRig, body: str) -> None:
    rig.standin.faults.add(Fault(operation="GET token", kind=FaultKind.BODY, status=200, body=body))
    answer = rig.target().preflight()
    assert (answer.is_ready, answer.token_expires) == (True, None)


@pytest.mark.parametrize("scope", ["", "User-"])
def test_a_limit_of_the_organization_and_of_the_user_is_waited_out(rig: BuildkiteRig, scope: str) -> None:
    """Each has a reset of its own, and counts from now."""
    other = {"": "User-", "User-": ""}[scope]
    headers = (
        (f"RateLimit-{scope}Remaining", "0"),
        (f"RateLimit-{scope}Reset", "42"),
        (f"RateLimit-{other}Remaining", "80"),
        (f"RateLimit-{other}Reset", "7"),
    )
    rig.standin.faults.add(Fault(operation="GET secrets", status=429, headers=headers))
    began = rig.clock.now()
    rig.target().write(a_pair())
    assert 42 <= (rig.clock.now() - began).total_seconds() < 60


def test_forty_calls_a_minute_are_ours(rig: BuildkiteRig) -> None:
    """200 are for everybody in the organization: nobody is refused because of keyrota."""
    began = rig.clock.now()
    for _ in range(40):
        rig.target().write(a_pair())
    assert (rig.clock.now() - began).total_seconds() >= 120
    assert 429 not in [status for _, status in rig.standin.journal]


def test_a_link_to_another_host_is_not_followed(rig: BuildkiteRig) -> None:
    link = (("Link", '<http://127.0.0.2:9/v2/x?page=2>; rel="next"'),)
    fault = Fault(operation="GET secrets", kind=FaultKind.BODY, status=200, body="[]", headers=link, times=-1)
    rig.standin.faults.add(fault)
    with pytest.raises(ProviderRefused, match="another host"):
        rig.target().write(a_pair())


def test_endless_pages_have_an_end(rig: BuildkiteRig) -> None:
    link = (("Link", f'<{rig.url}/buildkite/organizations/acme/clusters/shop/secrets?page=1>; rel="next"'),)
    fault = Fault(operation="GET secrets", kind=FaultKind.BODY, status=200, body="[]", headers=link, times=-1)
    rig.standin.faults.add(fault)
    assert "leads back to a page that was read already" in rig.target().read().detail
    assert sum(1 for name, _ in rig.standin.journal if name == rig.reads) == 2


def test_a_refused_creation_is_told_if_nobody_else_made_the_secret(rig: BuildkiteRig) -> None:
    rig.standin.faults.add(Fault(operation="POST secrets", status=422, times=-1))
    with pytest.raises(ProviderRefused, match="422"):
        rig.target().write(a_pair())


@pytest.mark.parametrize("operation", ["POST secrets", "PUT value"])
@pytest.mark.parametrize("body", ["<html>sign in</html>", '{"key": "OTHER"}', "[]", ""])
def test_a_write_that_a_proxy_answered_is_not_believed(rig: BuildkiteRig, operation: str, body: str) -> None:
    if operation.startswith("PUT"):
        rig.target().write(a_pair("OLD"))
    rig.standin.faults.add(Fault(operation=operation, kind=FaultKind.BODY, status=200, body=body, times=-1))
    with pytest.raises(ProviderUnavailable, match="not known"):
        rig.target().write(a_pair())


def test_both_secrets_are_deleted_and_others_stay(rig: BuildkiteRig) -> None:
    target = rig.target()
    target.write(a_pair())
    rig.set("OTHER", "stays")
    assert set(target.clear(frozenset())) == {ID, SECRET}
    assert target.clear(frozenset()) == ()
    assert rig.values() == {"OTHER": "stays"}


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({"id": "X", "secret": "X"}, "two names"),
        ({"id": "BK_ID"}, "BK_ID"),
        ({"id": "buildkite_id"}, "buildkite_id"),
        ({"secret": "_SECRET"}, "a letter first"),
    ],
)
def test_names_that_buildkite_refuses_are_told(names: dict[str, str], words: str) -> None:
    assert words in " ".join(KIND.faults({"names": names}))


def test_it_carries_nothing_and_names_itself(rig: BuildkiteRig) -> None:
    target = rig.target()
    assert target.read().evidence is TargetEvidence.ABSENT
    assert target.runs_with_old_key(datetime(2026, 1, 1, tzinfo=UTC)).evidence is RunsEvidence.NONE
    assert (target.is_busy(), target.has_separate_variables) == (False, True)
    assert (rig.connection.scopes(None), rig.connection.scan("x")) == ((), ())
    settings: dict[str, Any] = {"organization": "acme", "cluster": "0d5c", "names": {"id": "A"}}
    assert KIND.address(settings) == f"buildkite acme cluster 0d5c (A, {SECRET})"
    assert KIND.is_within(settings, "Acme")
    assert KIND.faults(settings) == ()
    assert KIND.variables(settings) == {"buildkite 0d5c: A", f"buildkite 0d5c: {SECRET}"}


# --- what a read shows beside the pair -----------------------------------------------------------------------------


def test_a_cluster_is_known_by_its_uuid_in_any_letters(rig: BuildkiteRig) -> None:
    place = rig.target().read().place
    assert place is not None
    assert (place.kind, place.id) == ("buildkite", "cluster shop")
    rig.standin.add_cluster("acme", "SHOP")
    assert rig.target({"organization": "acme", "cluster": "SHOP"}).read().place == place


def test_a_read_is_one_list(rig: BuildkiteRig) -> None:
    rig.target().read()
    assert [operation for operation, _ in rig.standin.journal].count("GET secrets") == 1
    assert {operation for operation, _ in rig.standin.journal} == {"GET secrets", "GET token"}


def test_environments_of_the_clusters_pipelines_are_looked_at(rig: BuildkiteRig) -> None:
    """What a pipeline's settings set is readable, and goes into every step."""
    rig.standin.add_cluster("acme", "other")
    rig.standin.add_pipeline(("acme", "shop"), "deploy", K1=a_pair("OLD").id, **{SECRET: "hunter2"})
    rig.standin.add_pipeline(("acme", "other"), "web", K1=a_pair("ELSEWHERE").id)
    found = rig.target().surroundings()
    assert [(shown.key, shown.where) for shown in found.shown] == [
        (a_pair("OLD").id, "variable K1 of buildkite acme/deploy")
    ]
    assert SECRET in found.conflicts[0].what
    assert "hunter2" not in repr(found)


def test_without_the_scope_for_pipelines_they_are_named_as_unread(rig: BuildkiteRig) -> None:
    rig.standin.scopes.remove("read_pipelines")
    found = rig.target().surroundings()
    assert "read_pipelines" in found.unread[0]
    assert rig.target().preflight().is_ready
