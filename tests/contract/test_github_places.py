"""What GitHub's places are, what a read shows beside the key, and what variables and other levels make of a write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from standin_rig import CANARY_TOKEN, GitHubRig, a_github_rig, a_pair, unjudged
from test_github import make_app_keys

from keyrota.core.model import PlaceId, ShownKey, TargetEvidence, TargetState, VariableState
from keyrota.errors import KeyrotaError
from keyrota_sandbox.faults import Fault
from keyrota_sandbox.providers.github import APP_ID

ID, SECRET, MARKER = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "KEYROTA_AWS_ACCESS_KEY_ID"
REPO, ENV, ORG = ("repo", "acme", "shop"), ("env", "acme", "shop", "Production"), ("org", "acme")
REPOSITORY: Mapping[str, Any] = {"repository": "acme/shop"}
ENVIRONMENT: Mapping[str, Any] = {"repository": "acme/shop", "environment": "Production"}
ORGANIZATION: Mapping[str, Any] = {"organization": "acme"}
K1, K2 = a_pair("K1").id, a_pair("K2").id


@pytest.fixture
def rig() -> Iterator[GitHubRig]:
    """An emulator with one repository of three environments."""
    with a_github_rig() as made:
        yield made


def read(rig: GitHubRig, settings: Mapping[str, Any]) -> TargetState:
    """Read over a connection of its own, as the next run does."""
    return rig.connect({"token": CANARY_TOKEN}).target(settings).read()


def asked(rig: GitHubRig) -> list[str]:
    """Return the calls since the last time, in their order."""
    made = [operation for operation, _ in rig.standin.journal]
    rig.standin.journal.clear()
    return made


def words(state: TargetState) -> str:
    """Put what conflicts say into one text."""
    return " / ".join(f"{conflict.what}; {conflict.remedy}" for conflict in state.conflicts)


# --- places -----------------------------------------------------------------------------------------------------------


def test_a_place_is_its_number(rig: GitHubRig) -> None:
    repository, organization = rig.standin.id_of("acme", "shop"), rig.standin.id_of("acme")
    environment = rig.standin.id_of("acme", "shop", "Production")
    expected = {
        "organization": (ORGANIZATION, f"organization {organization}"),
        "repository": (REPOSITORY, f"repository {repository}"),
        "environment": (ENVIRONMENT, f"repository {repository} environment {environment}"),
        "dependabot": ({**REPOSITORY, "dependabot": True}, f"repository {repository} dependabot"),
    }
    assert len({repository, organization, environment}) == 3
    for settings, number in expected.values():
        assert read(rig, settings).place == PlaceId(kind="github", origin=f"{rig.url}/github", id=number)


def test_names_in_another_case_are_the_same_place(rig: GitHubRig) -> None:
    """GitHub takes names in any case."""
    assert read(rig, {"repository": "ACME/Shop"}).place == read(rig, REPOSITORY).place
    aliased = read(rig, {"repository": "Acme/SHOP", "environment": "production"})
    assert aliased.place == read(rig, ENVIRONMENT).place
    assert read(rig, {"organization": "Acme"}).place == read(rig, ORGANIZATION).place


@pytest.mark.parametrize("settings", [REPOSITORY, ENVIRONMENT])
def test_a_renamed_place_is_the_same_and_a_recreated_one_is_not(rig: GitHubRig, settings: Mapping[str, Any]) -> None:
    """By its old name it is redirected, until another repository takes that name."""
    before = read(rig, settings).place
    rig.standin.rename("acme", "shop", "store")
    redirected = read(rig, settings)
    assert redirected.place == before
    assert "renamed" in redirected.notice
    assert read(rig, {**settings, "repository": "acme/store"}).place == before
    rig.standin.add_repository("acme", "shop", ("Production",))
    again = read(rig, settings).place
    assert again is not None
    assert again != before


def test_a_recreated_environment_is_another_place(rig: GitHubRig) -> None:
    before = read(rig, ENVIRONMENT).place
    rig.standin.delete_environment("acme", "shop", "Production")
    rig.standin.add_environment("acme", "shop", "Production")
    assert read(rig, ENVIRONMENT).place not in (before, None)


def test_a_token_that_may_not_list_environments_knows_them_by_repository_and_name(rig: GitHubRig) -> None:
    """Without `Actions: read`: a name in another repository is still another place; asked for once."""
    rig.standin.may_read_actions = False
    target = rig.target(ENVIRONMENT)
    expected = f"repository {rig.standin.id_of('acme', 'shop')} environment 'production'"
    for _ in range(2):
        place = target.read().place
        assert place is not None
        assert place.id == expected
    assert asked(rig).count("GET environments") == 1
    rig.standin.rename("acme", "shop", "store")
    rig.standin.add_repository("acme", "shop", ("Production",))
    other = read(rig, ENVIRONMENT).place
    assert other is not None
    assert other.id != expected


def test_a_place_costs_as_few_calls_as_possible(rig: GitHubRig) -> None:
    """One call for a repository, one more for all its environments, each once for a connection."""
    for _ in range(2):
        rig.target(REPOSITORY).read()
    assert asked(rig) == ["GET secrets", "GET repository", "GET secrets"]
    for name in ("Production", "Staging", "Test"):
        rig.target({**REPOSITORY, "environment": name}).read()
    assert asked(rig) == ["GET secrets", "GET environments", "GET secrets", "GET secrets"]
    for _ in range(2):
        rig.target(ORGANIZATION).read()
    assert asked(rig).count("GET organization") == 1


def test_an_id_that_cannot_be_asked_for_now_fails_the_read(rig: GitHubRig) -> None:
    rig.standin.faults.add(Fault(operation="GET repository", status=503, times=-1))
    assert rig.target(REPOSITORY).read().evidence is TargetEvidence.FAILED


# --- archived and gone ------------------------------------------------------------------------------------------------


def test_an_archived_repository_says_so_and_is_read_all_the_same(rig: GitHubRig) -> None:
    """It runs nothing."""
    rig.target(REPOSITORY).write(a_pair())
    rig.standin.archive("acme", "shop")
    state = read(rig, REPOSITORY)
    assert (state.evidence, state.is_archived, state.is_gone) == (TargetEvidence.CANNOT_TELL, True, False)
    assert not read(rig, ORGANIZATION).is_archived


def test_a_deleted_repository_is_gone_where_the_token_sees_others_of_its_owner(rig: GitHubRig) -> None:
    """Said on the first day, with the command that forgets it."""
    rig.standin.add_repository("acme", "public", is_private=False)
    rig.standin.delete_repository("acme", "shop")
    alone = read(rig, REPOSITORY)
    assert (alone.evidence, alone.is_gone) == (TargetEvidence.FAILED, False), "404 is also: no permission"
    rig.standin.add_repository("acme", "other")
    state = read(rig, REPOSITORY)
    assert (state.evidence, state.is_gone) == (TargetEvidence.FAILED, True)
    assert "keyrota forget 'github acme/shop'" in state.remedy


def test_a_persons_deleted_repository_is_gone_where_the_token_sees_another_of_theirs(rig: GitHubRig) -> None:
    """A person is no organization: their repositories are listed as the token's own."""
    rig.standin.add_repository("ann", "tools", ())
    rig.standin.delete_repository("ann", "tools")
    assert not read(rig, {"repository": "ann/tools"}).is_gone, "acme's do not count"
    rig.standin.add_repository("ann", "dotfiles", ())
    assert read(rig, {"repository": "ann/tools"}).is_gone


@pytest.mark.parametrize(("selection", "expected"), [("all", True), ("selected", False)])
def test_an_app_knows_what_is_gone_only_where_it_sees_everything(selection: str, expected: bool) -> None:
    private, public = make_app_keys()
    with a_github_rig(app_key=public) as rig:
        rig.standin.selection = selection
        rig.standin.add_repository("acme", "other")
        rig.standin.delete_repository("acme", "shop")
        connection = rig.connect({"app_id": APP_ID, "private_key": private.decode()})
        connection.target({"repository": "acme/other"}).read()  # the app's installation is found through it
        assert connection.target(REPOSITORY).read().is_gone is expected


def test_a_deleted_environment_is_gone_and_one_that_may_not_be_listed_is_not(rig: GitHubRig) -> None:
    rig.standin.delete_environment("acme", "shop", "Production")
    assert read(rig, ENVIRONMENT).is_gone
    rig.standin.may_read_actions = False
    assert not read(rig, ENVIRONMENT).is_gone


def test_an_organization_that_answers_404_is_not_known_to_be_gone(rig: GitHubRig) -> None:
    state = read(rig, {"organization": "nowhere"})
    assert (state.evidence, state.is_gone, state.place) == (TargetEvidence.FAILED, False, None)


# --- what a read shows ------------------------------------------------------------------------------------------------


def test_each_secret_and_the_marker_say_what_a_write_replaces(rig: GitHubRig) -> None:
    assert [(state.name, state.is_present) for state in rig.target().read().variables] == [
        (ID, False),
        (SECRET, False),
        (MARKER, False),
    ]
    rig.target().write(a_pair("K1"))
    assert rig.target().read().variables == (
        VariableState(name=ID, is_present=True),
        VariableState(name=SECRET, is_present=True),
        VariableState(name=MARKER, is_present=True, key=K1, is_readable=True, is_marker=True),
    )


def test_the_id_as_a_variable_and_the_secret_as_a_secret_is_a_conflict(rig: GitHubRig) -> None:
    """The pipeline passed before and would fail after; `marker:` or `names:` is the remedy."""
    rig.standin.set_variable(REPO, ID, K1)
    rig.standin.set_secret(REPO, SECRET, "x")
    target = rig.target(REPOSITORY)
    state = target.read()
    assert (state.evidence, state.is_empty) == (TargetEvidence.ABSENT, False)
    assert f"the variable {ID} ({K1}) is in github acme/shop" in state.conflicts[0].what
    assert f"marker: {ID}" in words(state)
    assert "names:" in words(state)
    assert asked(rig) == ["GET secrets", "GET repository", "GET variables"]
    marked = rig.target({**REPOSITORY, "marker": ID})
    assert marked.read().conflicts == ()
    assert marked.surroundings().conflicts == ()
    marked.write(a_pair("K2"))
    assert rig.standin.variables(REPO) == {ID: K2}
    assert rig.standin.secrets(REPO)[SECRET] == a_pair("K2").secret.reveal()


@pytest.mark.parametrize("half", [ID, SECRET])
def test_half_a_pair_is_a_conflict_also_where_no_variable_is_seen(rig: GitHubRig, half: str) -> None:
    """A variable that completes it may be hidden from this token."""
    rig.standin.set_secret(ENV, half, "x")
    rig.standin.faults.add(Fault(operation="GET variables", status=403, times=-1))
    state = rig.target(ENVIRONMENT).read()
    assert f"half a pair: the secret {half}" in words(state)


def test_secrets_under_other_names_are_a_conflict_that_proposes_names(rig: GitHubRig) -> None:
    rig.standin.set_secret(REPO, "PROD_AWS_ACCESS_KEY_ID", "x")
    rig.standin.set_secret(REPO, "PROD_AWS_SECRET_ACCESS_KEY", "x")
    state = rig.target(REPOSITORY).read()
    assert "names: {id: PROD_AWS_ACCESS_KEY_ID, secret: PROD_AWS_SECRET_ACCESS_KEY}" in words(state)
    rig.standin.set_secret(REPO, ID, "x")
    rig.standin.set_secret(REPO, SECRET, "x")
    assert rig.target(REPOSITORY).read().conflicts == ()


def test_a_pair_for_which_there_is_no_room_is_a_conflict(rig: GitHubRig) -> None:
    """GitHub would take one half and refuse the other, and that half would shadow the organization's pair."""
    for number in range(99):
        rig.standin.set_secret(REPO, f"OTHER_{number}", "x")
    assert "it has 99 secrets, 2 more are needed, and GitHub takes 100" in words(rig.target(REPOSITORY).read())
    assert rig.target({**REPOSITORY, "bundle": "AWS_CREDENTIALS"}).read().conflicts == ()
    with pytest.raises(KeyrotaError):
        rig.target(REPOSITORY).write(a_pair())
    assert len({ID, SECRET} & set(rig.standin.secrets(REPO))) == 1, "what it comes to without the question"
    rig.standin.remove_secret(REPO, "OTHER_7")
    rig.target(REPOSITORY).write(a_pair())
    assert rig.target(REPOSITORY).read().conflicts == (), "a pair that is there needs no room"


def test_a_plain_pair_beside_a_bundle_is_a_lasting_conflict(rig: GitHubRig) -> None:
    bundle = {**REPOSITORY, "bundle": "AWS_CREDENTIALS"}
    rig.target(bundle).write(a_pair())
    assert rig.target(bundle).read().conflicts == ()
    rig.standin.set_secret(REPO, ID, "x")
    rig.standin.set_secret(REPO, SECRET, "x")
    assert [conflict.is_lasting for conflict in rig.target(bundle).read().conflicts] == [True]


# --- around -----------------------------------------------------------------------------------------------------------


def conflicts(rig: GitHubRig, settings: Mapping[str, Any]) -> list[str]:
    """Look around over a connection of its own."""
    around = rig.connect({"token": CANARY_TOKEN}).target(settings).surroundings()
    assert around.unread == ()
    return [conflict.what for conflict in around.conflicts]


def test_halves_between_levels_are_conflicts(rig: GitHubRig) -> None:
    """Secrets and variables of environment, repository and organization."""
    assert conflicts(rig, ENVIRONMENT) == []
    rig.standin.set_secret(REPO, ID, "x")
    rig.standin.set_secret(ENV, SECRET, "x")
    for settings in (REPOSITORY, ENVIRONMENT):
        [what] = conflicts(rig, settings)
        assert "split between two levels" in what
    rig.standin.remove_secret(REPO, ID)
    rig.standin.set_variable(ORG, ID, K1, visibility="all")
    [what] = conflicts(rig, ENVIRONMENT)
    assert f"the variable {ID} ({K1}) is in github acme:" in what
    rig.standin.remove_variable(ORG, ID)
    rig.standin.set_secret(ORG, ID, "x", visibility="all")
    [what] = conflicts(rig, ENVIRONMENT)
    assert "the secret AWS_ACCESS_KEY_ID is in github acme," in what


def test_what_the_repository_does_not_see_of_its_organization_is_no_conflict(rig: GitHubRig) -> None:
    rig.standin.set_variable(ORG, ID, K1, visibility="selected")
    assert conflicts(rig, REPOSITORY) == []


def test_readable_variables_of_all_levels_and_environments_show_their_keys(rig: GitHubRig) -> None:
    """Vars are readable, whatever they are called."""
    rig.standin.set_variable(ORG, "CI_KEY", K1, visibility="all")
    rig.standin.set_variable(REPO, "DEPLOY_KEY_ID", K2)
    rig.standin.set_variable(ENV, "JSON", f'{{"id": "{K1}", "secret": "very/secret"}}')
    rig.standin.set_variable(("env", "acme", "shop", "Test"), "ANY", K2)
    expected = {
        ShownKey(key=K1, where="variable CI_KEY of github acme"),
        ShownKey(key=K2, where="variable DEPLOY_KEY_ID of github acme/shop"),
        ShownKey(key=K1, where="variable JSON of github acme/shop Production"),
        ShownKey(key=K2, where="variable ANY of github acme/shop Test"),
    }
    for settings in (REPOSITORY, ENVIRONMENT):
        around = rig.target(settings).surroundings()
        assert set(around.shown) == expected
        assert around.unread == ()
        assert "very/secret" not in repr(around)


def test_a_look_costs_few_calls_and_those_of_the_last_minute_none(rig: GitHubRig) -> None:
    target = rig.target(ENVIRONMENT)
    target.read()
    asked(rig)
    target.surroundings()
    assert asked(rig) == [
        *("GET variables", "GET secrets", "GET secrets", "GET variables"),  # repository, organization
        *("GET variables", "GET variables", "GET variables"),  # three environments
    ]
    rig.target({**ENVIRONMENT, "environment": "Test"}).surroundings()
    assert asked(rig) == ["GET secrets"]
    target.write(a_pair())
    asked(rig)
    target.surroundings()
    assert asked(rig) == ["GET secrets"], "what was written is listed again"


def test_an_organization_is_looked_at_with_its_repositories_within_a_bound(rig: GitHubRig) -> None:
    for number in range(25):
        rig.clock.sleep(60)
        rig.standin.add_repository("acme", f"r{number}", ())
        rig.standin.set_variable(("repo", "acme", f"r{number}"), "KEY", K1)
    rig.standin.archive("acme", "r24")
    around = rig.target({**ORGANIZATION, "visibility": "all"}).surroundings()
    assert len(around.shown) == 20
    assert {"r23", "r24"} & {shown.where.rpartition("/")[2] for shown in around.shown} == {"r23"}
    assert len(around.unread) == 1


def test_dependabots_secrets_are_looked_at_above_and_nowhere_else(rig: GitHubRig) -> None:
    rig.standin.set_secret(("org-dependabot", "acme"), ID, "x", visibility="all")
    rig.standin.set_variable(REPO, ID, K1)
    [what] = conflicts(rig, {**REPOSITORY, "dependabot": True})
    assert "github acme (Dependabot)" in what


@pytest.mark.parametrize("status", [401, 403, 404, 503])
def test_what_cannot_be_read_is_named_and_never_raised(rig: GitHubRig, status: int) -> None:
    rig.standin.faults.add(Fault(operation="GET *", status=status, times=-1))
    for settings in (REPOSITORY, ENVIRONMENT, ORGANIZATION, {**REPOSITORY, "dependabot": True}):
        around = rig.target(settings).surroundings()
        assert around.shown == ()
        assert around.unread
        assert all("github acme" in line for line in around.unread)


# --- the emulator -----------------------------------------------------------------------------------------------------


def test_the_published_routes_rename_archive_delete_and_make_anew(rig: GitHubRig) -> None:
    with unjudged():  # people's routes
        _walk(rig)


def _walk(rig: GitHubRig) -> None:
    http = rig.target()._connection.http("acme", None)  # type: ignore[attr-defined]  # the same credentials
    base = ("repos", "acme", "shop")
    first = http.call("GET", base).object()
    assert (first["id"], first["owner"]["id"]) == (rig.standin.id_of("acme", "shop"), rig.standin.id_of("acme"))
    assert http.call("GET", ("orgs", "acme")).object()["id"] == first["owner"]["id"]
    assert http.call("PATCH", base, body={"name": "store", "archived": True}).object()["archived"] is True
    assert http.call("GET", base).object()["id"] == first["id"], "redirected"
    assert http.call("POST", ("orgs", "acme", "repos"), body={"name": "shop"}).status == 201
    assert http.call("GET", base).object()["id"] != first["id"]
    environment = (*base, "environments", "qa")
    made = http.call("PUT", environment).object()["id"]
    assert http.call("DELETE", environment).status == 204
    assert http.call("PUT", environment).object()["id"] != made
    assert http.call("DELETE", base).status == 204
    assert http.call("GET", base).status == 404
