"""What GitLab's places are, and what other scopes, groups, the instance and schedules show and make of a write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from standin_rig import CANARY_TOKEN, GitLabRig, a_gitlab_rig, a_pair, unjudged

from keyrota.core.levels import Side
from keyrota.core.model import PlaceId, ShownKey, Surroundings, TargetEvidence, TargetState, VariableState
from keyrota.targets.gitlab.scopes import side_of
from keyrota_sandbox.faults import Fault

ID, SECRET, FILE = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SHARED_CREDENTIALS_FILE"
SHOP, ACME, INSTANCE = ("project", "acme/shop"), ("group", "acme"), ("instance", "")
PROJECT: Mapping[str, Any] = {"project": "acme/shop"}
PRODUCTION: Mapping[str, Any] = {"project": "acme/shop", "environment_scope": "production"}
GROUP: Mapping[str, Any] = {"group": "acme"}
K1, K2 = a_pair("K1").id, a_pair("K2").id


@pytest.fixture
def rig() -> Iterator[GitLabRig]:
    """GitLab with a project in a group."""
    with a_gitlab_rig() as made:
        yield made


def read(rig: GitLabRig, settings: Mapping[str, Any]) -> TargetState:
    """Read over a connection of its own, as the next run does."""
    return rig.connect({"token": CANARY_TOKEN}).target(settings).read()


def around(rig: GitLabRig, settings: Mapping[str, Any]) -> Surroundings:
    """Look around over a connection of its own."""
    return rig.connect({"token": CANARY_TOKEN}).target(settings).surroundings()


def asked(rig: GitLabRig) -> list[str]:
    """Return the calls since the last time, in their order."""
    made = [operation for operation, _ in rig.standin.journal]
    rig.standin.journal.clear()
    return made


# --- places -----------------------------------------------------------------------------------------------------------


def test_a_place_is_its_number_and_scope(rig: GitLabRig) -> None:
    project, group = rig.standin.id_of("acme/shop"), rig.standin.id_of("acme")
    assert project != group
    expected = [
        (PROJECT, f"project {project} scope *"),
        (PRODUCTION, f"project {project} scope production"),
        (GROUP, f"group {group} scope *"),
        ({"instance": True}, "instance"),
    ]
    for settings, number in expected:
        assert read(rig, settings).place == PlaceId(kind="gitlab", origin=f"{rig.url}/gitlab/api/v4", id=number)


def test_paths_numbers_and_cases_are_the_same_place(rig: GitLabRig) -> None:
    """{project: acme/shop} and {project: 1}."""
    number, group = rig.standin.id_of("acme/shop"), rig.standin.id_of("acme")
    for alias in (number, str(number), "ACME/Shop", " acme/shop "):
        assert read(rig, {"project": alias}).place == read(rig, PROJECT).place
    for alias in (group, "Acme"):
        assert read(rig, {"group": alias}).place == read(rig, GROUP).place


@pytest.mark.parametrize("settings", [PROJECT, PRODUCTION])
def test_a_moved_place_is_the_same_and_a_recreated_one_is_not(rig: GitLabRig, settings: Mapping[str, Any]) -> None:
    """By its old path it is redirected, until another project takes that path."""
    before = read(rig, settings).place
    rig.standin.add_group("other")
    rig.standin.move_project("acme/shop", "other/store")
    assert read(rig, settings).place == before
    assert read(rig, {**settings, "project": "other/store"}).place == before
    rig.standin.add_project("acme/shop")
    again = read(rig, settings).place
    assert again is not None
    assert again != before


def test_a_place_costs_one_call_for_each_project(rig: GitLabRig) -> None:
    connection = rig.connect({"token": CANARY_TOKEN})
    for settings in (PROJECT, PRODUCTION, PROJECT):
        connection.target(settings).read()
    assert asked(rig) == ["GET variables", "GET variables", "GET project", "GET token", *["GET variables"] * 4]


def test_a_record_that_is_refused_leaves_the_place_unknown_and_one_that_fails_the_read(rig: GitLabRig) -> None:
    rig.standin.faults.add(Fault(operation="GET project", status=403))
    state = read(rig, PROJECT)
    assert (state.evidence, state.place) == (TargetEvidence.ABSENT, None)
    rig.standin.faults.add(Fault(operation="GET project", status=503, times=-1))
    assert read(rig, PROJECT).evidence is TargetEvidence.FAILED


def test_an_archived_project_says_so(rig: GitLabRig) -> None:
    """It runs nothing."""
    rig.target(PROJECT).write(a_pair())
    assert not read(rig, PROJECT).is_archived
    rig.standin.archive("acme/shop")
    state = read(rig, PROJECT)
    assert (state.evidence, state.key, state.is_archived) == (TargetEvidence.HOLDS, a_pair().id, True)


def test_a_deleted_project_is_gone_where_the_token_sees_another_of_its_group(rig: GitLabRig) -> None:
    """With the command that forgets it; 404 alone is also: no permission."""
    number = rig.standin.id_of("acme/shop")
    rig.standin.delete_project("acme/shop")
    assert not read(rig, PROJECT).is_gone
    rig.standin.add_project("acme/other")
    state = read(rig, PROJECT)
    assert (state.evidence, state.is_gone) == (TargetEvidence.FAILED, True)
    assert "keyrota forget 'gitlab acme/shop'" in state.remedy
    assert not read(rig, {"project": number}).is_gone
    assert not read(rig, {"group": "nowhere"}).is_gone


# --- what a read shows ------------------------------------------------------------------------------------------------


def test_each_variable_of_a_write_says_what_it_holds(rig: GitLabRig) -> None:
    rig.standin.set_variable(SHOP, ID, K1)
    assert rig.target(PROJECT).read().variables == (
        VariableState(name=ID, is_present=True, key=K1, is_readable=True),
        VariableState(name=SECRET, is_present=False),
    )
    rig.standin.set_variable(SHOP, FILE, a_pair("K2").as_file().reveal(), variable_type="file")
    bundle = rig.target({**PROJECT, "bundle": FILE}).read().variables
    assert bundle == (VariableState(name=FILE, is_present=True, key=K2, is_readable=True),)
    rig.standin.set_variable(SHOP, "HIDDEN", K1, masked=True, hidden=True)
    hidden = rig.target({**PROJECT, "names": {"id": "HIDDEN", "secret": "X"}}).read().variables[0]
    assert hidden == VariableState(name="HIDDEN", is_present=True)


@pytest.mark.parametrize("half", [ID, SECRET])
def test_half_a_pair_is_a_conflict(rig: GitLabRig, half: str) -> None:
    rig.standin.set_variable(SHOP, half, K1)
    [conflict] = rig.target(PROJECT).read().conflicts
    assert f"half a pair: the variable {half}" in conflict.what


def test_halves_that_are_protected_differently_are_a_conflict(rig: GitLabRig) -> None:
    """On a branch that is not protected a job gets one half of the pair."""
    rig.standin.set_variable(SHOP, ID, K1)
    rig.standin.set_variable(SHOP, SECRET, "12345678", protected=True)
    [conflict] = rig.target(PROJECT).read().conflicts
    assert conflict.what.startswith(f"{SECRET} is protected and {ID} is not")
    rig.standin.remove_variable(SHOP, ID)
    rig.standin.set_variable(SHOP, ID, K1, protected=True)
    assert rig.target(PROJECT).read().conflicts == ()


# --- around -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "own", "side"),
    [
        ("production", "*", Side.BELOW),
        ("*", "production", Side.ABOVE),
        ("review/*", "review/app-1", Side.ABOVE),
        ("review/app-1", "review/*", Side.BELOW),
        ("staging", "production", Side.APART),
        ("prod", "production", Side.APART),
        ("review/*", "re", Side.APART),
        ("a.c", "abc", Side.APART),
    ],
)
def test_the_closer_scope_wins(other: str, own: str, side: Side) -> None:
    assert side_of(other, own) is side


def test_keys_in_all_scopes_and_levels_are_shown_and_no_value_is_kept(rig: GitLabRig) -> None:
    """The target is scope `*`; `production` shows the old key. Groups, the instance and schedules as well."""
    rig.standin.set_variable(SHOP, ID, K1, scope="production")
    rig.standin.set_variable(SHOP, SECRET, "stranger/secret", scope="production")
    rig.standin.set_variable(SHOP, "DEPLOY_KEY_ID", K2)
    rig.standin.set_variable(ACME, "CI_KEY", f'{{"id": "{K1}", "secret": "stranger/secret"}}', masked=True)
    rig.standin.set_variable(INSTANCE, "ROOT_KEY", K2)
    rig.standin.add_schedule("acme/shop", "nightly", {"NIGHTLY_KEY": K1})
    rig.standin.set_variable(SHOP, "HIDDEN", K1, masked=True, hidden=True)
    found = around(rig, PROJECT)
    [schedule] = [shown for shown in found.shown if "schedule" in shown.where]
    assert set(found.shown) - {schedule} == {
        ShownKey(key=K1, where=f"variable {ID} of gitlab acme/shop production"),
        ShownKey(key=K2, where="variable DEPLOY_KEY_ID of gitlab acme/shop"),
        ShownKey(key=K1, where="variable CI_KEY of gitlab group acme"),
        ShownKey(key=K2, where="variable ROOT_KEY of gitlab instance"),
    }
    assert (schedule.key, schedule.where.startswith("variable NIGHTLY_KEY of gitlab acme/shop schedule ")) == (K1, True)
    assert found.unread == ()
    assert "stranger/secret" not in repr(found)


def test_what_was_listed_is_kept_without_values(rig: GitLabRig) -> None:
    target = rig.connect({"token": CANARY_TOKEN}).target(PROJECT)
    rig.standin.set_variable(SHOP, "OTHER", "stranger/secret")
    target.surroundings()
    kept = target._connection.lists._known  # type: ignore[attr-defined]  # nothing of it may be a value
    assert "OTHER" in repr(kept)
    assert "stranger/secret" not in repr(kept)


def test_halves_between_scopes_groups_and_schedules_are_conflicts(rig: GitLabRig) -> None:
    assert around(rig, PROJECT).conflicts == ()
    rig.standin.set_variable(SHOP, ID, K1)
    rig.standin.set_variable(SHOP, SECRET, "12345678", scope="production")
    [split] = around(rig, PROJECT).conflicts
    assert "split between two levels" in split.what
    assert "gitlab acme/shop production" in split.what
    [split] = around(rig, PRODUCTION).conflicts
    assert "split between two levels" in split.what
    rig.standin.remove_variable(SHOP, SECRET, "production")
    rig.standin.set_variable(ACME, SECRET, "12345678", scope="production")
    [split] = around(rig, PROJECT).conflicts
    assert "gitlab group acme production" in split.what
    staging = {**PROJECT, "environment_scope": "staging"}
    assert "gitlab acme/shop," not in " ".join(conflict.what for conflict in around(rig, PRODUCTION).conflicts[1:])
    assert all("group acme" not in conflict.what for conflict in around(rig, staging).conflicts)
    rig.standin.remove_variable(ACME, SECRET, "production")
    rig.standin.remove_variable(SHOP, ID)
    rig.standin.add_schedule("acme/shop", "nightly", {SECRET: "12345678"})
    [below] = around(rig, PROJECT).conflicts
    assert "schedule" in below.what


def test_a_pair_under_other_names_is_a_conflict_that_proposes_names(rig: GitLabRig) -> None:
    """Seen before the first write, because only then a list is asked for."""
    rig.standin.set_variable(SHOP, "DEPLOY_KEY_ID", K1)
    rig.standin.set_variable(SHOP, "DEPLOY_SECRET_KEY", "12345678", masked=True)
    [conflict] = around(rig, PROJECT).conflicts
    assert "names: {id: DEPLOY_KEY_ID, secret: DEPLOY_SECRET_KEY}" in conflict.remedy


def test_a_plain_pair_beside_or_above_a_bundle_is_a_lasting_conflict(rig: GitLabRig) -> None:
    """AWS tools prefer the pair, so the bundle is dead."""
    bundle = {**PROJECT, "bundle": FILE}
    rig.target(bundle).write(a_pair())
    assert around(rig, bundle).conflicts == ()
    for level, scope in ((SHOP, "*"), (ACME, "*"), (SHOP, "production"), (INSTANCE, "*")):
        for name in (ID, SECRET):
            rig.standin.set_variable(level, name, K1, scope=scope)
        assert [conflict.is_lasting for conflict in around(rig, bundle).conflicts] == [True], level
        for name in (ID, SECRET):
            rig.standin.remove_variable(level, name, scope)


def test_a_look_costs_few_calls_and_those_of_the_last_minute_none(rig: GitLabRig) -> None:
    target = rig.target(PROJECT)
    target.read()
    asked(rig)
    target.surroundings()
    assert asked(rig) == [*["GET variables"] * 3, "GET schedules"]
    rig.target(PRODUCTION).surroundings()
    assert asked(rig) == ["GET schedules"]
    target.write(a_pair())
    asked(rig)
    assert a_pair().id in {shown.key for shown in rig.target(PRODUCTION).surroundings().shown}


def test_every_parent_group_is_read(rig: GitLabRig) -> None:
    rig.standin.add_project("acme/platform/deep/shop")
    for number, path in enumerate(("acme", "acme/platform", "acme/platform/deep")):
        rig.standin.set_variable(("group", path), f"KEY_{number}", K1)
    found = around(rig, {"project": "acme/platform/deep/shop"})
    assert [shown.where.partition(" of ")[2] for shown in found.shown] == [
        "gitlab group acme",
        "gitlab group acme/platform",
        "gitlab group acme/platform/deep",
    ]
    parents = around(rig, {"group": "acme/platform/deep"})
    assert {shown.where.partition(" of ")[2] for shown in parents.shown} >= {
        "gitlab group acme",
        "gitlab group acme/platform",
    }


def test_a_group_is_looked_at_with_its_projects_within_a_bound(rig: GitLabRig) -> None:
    for number in range(25):
        rig.clock.sleep(60)
        rig.standin.add_project(f"acme/p{number}")
        rig.standin.set_variable(("project", f"acme/p{number}"), ID, K1)
    found = around(rig, GROUP)
    assert len(found.shown) == len(found.conflicts) == 20
    assert any("p24" in shown.where for shown in found.shown)
    assert len(found.unread) == 1


@pytest.mark.parametrize("status", [401, 403, 404, 503])
def test_what_cannot_be_read_is_named_and_never_raised(rig: GitLabRig, status: int) -> None:
    rig.standin.faults.add(Fault(operation="GET *", status=status, times=-1))
    for settings in (PROJECT, PRODUCTION, GROUP, {"instance": True}):
        found = around(rig, settings)
        assert found.shown == ()
        assert found.unread
        assert all("gitlab" in line for line in found.unread)


def test_a_group_that_is_refused_hides_no_other(rig: GitLabRig) -> None:
    rig.standin.set_variable(INSTANCE, "ROOT_KEY", K2)
    rig.target(PROJECT).surroundings()
    rig.standin.faults.add(Fault(operation="GET variables", status=403))
    rig.clock.sleep(61)
    found = rig.target(PROJECT).surroundings()
    assert [shown.key for shown in found.shown] == [K2]
    assert len(found.unread) == 1


# --- the emulator -----------------------------------------------------------------------------------------------------


def test_the_published_routes_move_archive_delete_and_make_anew(rig: GitLabRig) -> None:
    with unjudged():  # people's routes
        _walk(rig)


def _walk(rig: GitLabRig) -> None:
    http = rig.target()._connection.http  # type: ignore[attr-defined]  # the same credentials
    base = ("projects", "acme/shop")
    first = http.call("GET", base).object()
    assert (first["id"], first["namespace"]["id"]) == (rig.standin.id_of("acme/shop"), rig.standin.id_of("acme"))
    assert http.call("GET", ("groups", "acme")).object()["id"] == first["namespace"]["id"]
    assert http.call("PUT", base, body={"path": "store"}).object()["path_with_namespace"] == "acme/store"
    assert http.call("GET", base).object()["id"] == first["id"], "redirected"
    made = http.call("POST", ("projects",), body={"path": "shop", "namespace_id": first["namespace"]["id"]})
    assert (made.status, made.object()["path_with_namespace"]) == (201, "acme/shop")
    assert http.call("GET", base).object()["id"] == made.object()["id"] != first["id"]
    assert http.call("POST", (*base, "archive")).object()["archived"] is True
    assert http.call("POST", (*base, "unarchive")).object()["archived"] is False
    assert http.call("DELETE", base).status == 202
    assert http.call("GET", base).status == 404
