"""What Bitbucket's places are, what their lists show beside the pair, and what other levels make of a write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from standin_rig import DEPLOYMENT, Rig, a_pair, a_rig, unjudged

from keyrota.core.model import PlaceId, ShownKey, TargetEvidence, TargetState, VariableState
from keyrota.errors import KeyrotaError
from keyrota_sandbox.faults import Fault

ID, SECRET = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
REPOSITORY: Mapping[str, Any] = {"workspace": "acme", "repository": "shop"}
WORKSPACE: Mapping[str, Any] = {"workspace": "acme"}
K1, K2 = a_pair("K1").id, a_pair("K2").id


@pytest.fixture
def rig() -> Iterator[Rig]:
    """An emulator with one repository of three environments."""
    with a_rig() as made:
        yield made


def asked(rig: Rig) -> list[str]:
    """Return the calls since the last time, in their order."""
    made = [operation for operation, _ in rig.standin.journal]
    rig.standin.journal.clear()
    return made


def place(rig: Rig, settings: Mapping[str, Any]) -> PlaceId | None:
    """Read what a place is, over a connection of its own: as the next run does."""
    return rig.connect({"token": "canary-token-3f9a"}).target(settings).read().place


@pytest.mark.parametrize(
    ("settings", "scope", "what"),
    [
        (DEPLOYMENT, ("acme", "shop", "Production"), "environment"),
        (REPOSITORY, ("acme", "shop"), "repository"),
        (WORKSPACE, ("acme",), "workspace"),
    ],
)
def test_a_place_is_its_uuid(rig: Rig, settings: Mapping[str, Any], scope: tuple[str, ...], what: str) -> None:
    expected = PlaceId(kind="bitbucket", origin=f"{rig.url}/bitbucket/2.0", id=f"{what} {rig.standin.uuid_of(*scope)}")
    assert place(rig, settings) == expected


def test_names_in_another_case_and_uuids_are_the_same_place(rig: Rig) -> None:
    """Two addresses of one place resolve to one ID."""
    repository = rig.standin.uuid_of("acme", "shop")
    environment = rig.standin.uuid_of("acme", "shop", "Production")
    aliases: list[Mapping[str, Any]] = [
        {"workspace": "ACME", "repository": "Shop"},
        {"workspace": "acme ", "repository": " shop"},
        {"workspace": rig.standin.uuid_of("acme"), "repository": repository},
        {"workspace": "acme", "repository": repository.upper()},
    ]
    assert {place(rig, alias) for alias in aliases} == {place(rig, REPOSITORY)}
    aliases = [{**DEPLOYMENT, "environment": environment}, {**aliases[3], "environment": environment.upper()}]
    assert {place(rig, alias) for alias in aliases} == {place(rig, DEPLOYMENT)}


@pytest.mark.parametrize("settings", [REPOSITORY, DEPLOYMENT])
def test_a_renamed_place_is_the_same_and_a_recreated_one_is_not(rig: Rig, settings: Mapping[str, Any]) -> None:
    """The name that was given to something else does not lead there."""
    before = place(rig, settings)
    rig.standin.rename_repository("acme", "shop", "store")
    assert place(rig, {**settings, "repository": "store"}) == before
    gone = rig.connect({"token": "canary-token-3f9a"}).target(settings).read()
    assert (gone.evidence, gone.is_gone, gone.place) == (TargetEvidence.FAILED, False, None), "renamed is not deleted"
    rig.standin.add_repository("acme", "shop")
    again = place(rig, settings)
    assert again is not None
    assert again != before


def test_only_what_is_named_by_uuid_is_known_to_be_gone(rig: Rig) -> None:
    """A name that is not there may be an old one."""
    environment, repository = rig.standin.uuid_of("acme", "shop", "Test"), rig.standin.uuid_of("acme", "shop")
    rig.standin.delete_environment("acme", "shop", "Test")

    def is_gone(settings: Mapping[str, Any]) -> bool:
        state = rig.connect({"token": "canary-token-3f9a"}).target(settings).read()
        assert state.evidence is TargetEvidence.FAILED
        return state.is_gone

    assert is_gone({**DEPLOYMENT, "environment": environment})
    assert not is_gone({**DEPLOYMENT, "environment": "Test"})
    rig.standin.delete_repository("acme", "shop")
    assert not is_gone({"workspace": "acme", "repository": repository}), "the token sees no other"
    rig.standin.add_repository("acme", "other")
    assert is_gone({"workspace": "acme", "repository": repository})
    assert not is_gone(REPOSITORY)
    assert not is_gone({**DEPLOYMENT, "environment": environment}), "its repository is not seen"
    assert not is_gone({"workspace": "nowhere"})


def test_a_place_costs_as_few_calls_as_possible(rig: Rig) -> None:
    """An environment none, a workspace one, a hundred repositories one, each once for a connection."""
    for _ in range(2):
        rig.target().read()
    assert asked(rig) == ["GET environments", "GET variables", "GET variables"]
    rig.standin.add_repository("acme", "web")
    for slug in ("shop", "SHOP", "web", "web"):
        assert rig.target({**REPOSITORY, "repository": slug}).read().place is not None
    assert asked(rig) == ["GET repositories", *["GET variables"] * 4]
    for _ in range(2):
        rig.target(WORKSPACE).read()
    assert asked(rig) == ["GET workspace", "GET variables", "GET variables"]


def test_a_long_list_of_repositories_is_read_as_far_as_it_pays(rig: Rig) -> None:
    """One target in a workspace of hundreds asks for its own; many read on, a page for each that was not found."""
    for number in range(240):
        rig.standin.add_repository("acme", f"r{number}", ())
    uuids = {rig.standin.uuid_of("acme", f"r{number}") for number in range(235, 240)}
    found = [rig.target({"workspace": "acme", "repository": f"r{number}"}).read().place for number in range(235, 240)]
    assert {place.id for place in found if place} == {f"repository {uuid}" for uuid in uuids}
    assert [each for each in asked(rig) if each != "GET variables"] == [
        *("GET repositories", "GET repository"),  # the first: not among the first hundred
        *("GET repositories", "GET repository"),  # the second: nor among the second
        "GET repositories",  # the third, and all others: here they are
    ]


def test_a_token_for_pipelines_alone_learns_the_repository_from_a_pipeline(rig: Rig) -> None:
    """`pipeline:variable` does not show a repository's record; without any pipeline the place is unknown."""
    rig.standin.may_see_repositories = False
    state = rig.target(REPOSITORY).read()
    assert (state.evidence, state.place) == (TargetEvidence.ABSENT, None)
    rig.standin.add_pipeline("acme", "shop")
    found = place(rig, REPOSITORY)
    rig.standin.may_see_repositories = True
    assert found is not None
    assert found == place(rig, REPOSITORY)


def test_an_id_that_cannot_be_asked_for_now_fails_the_read(rig: Rig) -> None:
    """Not answered is not unknown: a write must not go to a place that may be another."""
    rig.standin.faults.add(Fault(operation="GET repositories", status=503, times=-1))
    assert rig.target(REPOSITORY).read().evidence is TargetEvidence.FAILED


def test_each_variable_of_a_write_says_what_it_holds(rig: Rig) -> None:
    rig.set(ID, K1)
    expected = (
        VariableState(name=ID, is_present=True, key=K1, is_readable=True),
        VariableState(name=SECRET, is_present=False),
    )
    assert rig.target().read().variables == expected
    rig.set(SECRET, "hidden", secured=True)
    secret = VariableState(name=SECRET, is_present=True)
    assert rig.target().read().variables == (expected[0], secret)
    rig.set("BUNDLE", f"[default]\naws_access_key_id = {K2}\naws_secret_access_key = x")
    bundle = rig.target({**DEPLOYMENT, "bundle": "BUNDLE"}).read()
    assert bundle.variables == (VariableState(name="BUNDLE", is_present=True, key=K2, is_readable=True),)


def test_keys_under_other_names_are_shown_and_values_are_not(rig: Rig) -> None:
    """DEPLOY_KEY_ID shows the key; also within a text, and on the last page."""
    rig.target().write(a_pair())
    for number in range(110):
        rig.set(f"OTHER_{number}", "aB3" * 20)
    rig.set("DEPLOY_KEY_ID", f" {K1}\n")
    rig.set("DOTENV", f"export AWS_ACCESS_KEY_ID={K2}\nexport AWS_SECRET_ACCESS_KEY=very/secret")
    rig.set("SECURED", K1, secured=True)
    state = rig.target().read()
    where = "bitbucket acme/shop Production"
    assert state.shown == (
        ShownKey(key=K1, where=f"variable DEPLOY_KEY_ID of {where}"),
        ShownKey(key=K2, where=f"variable DOTENV of {where}"),
    )
    assert "very/secret" not in repr(state)
    assert "aB3aB3" not in repr(state)


def words(state: TargetState) -> str:
    """Put what conflicts say into one text."""
    return " / ".join(f"{conflict.what}; {conflict.remedy}" for conflict in state.conflicts)


def test_a_pair_under_other_names_is_a_conflict_that_proposes_names(rig: Rig) -> None:
    """A second pair would be made beside it."""
    rig.set("DEPLOY_KEY_ID", K1)
    rig.set("DEPLOY_SECRET_KEY", "x", secured=True)
    state = rig.target().read()
    assert f"DEPLOY_KEY_ID and DEPLOY_SECRET_KEY ({K1})" in words(state)
    assert "names: {id: DEPLOY_KEY_ID, secret: DEPLOY_SECRET_KEY}" in words(state)
    named = rig.target({**DEPLOYMENT, "names": {"id": "DEPLOY_KEY_ID", "secret": "DEPLOY_SECRET_KEY"}}).read()
    assert (named.conflicts, named.key) == ((), K1)


@pytest.mark.parametrize("half", [ID, SECRET])
def test_half_a_pair_at_the_place_is_a_conflict(rig: Rig, half: str) -> None:
    rig.set(half, K1, secured=half == SECRET)
    state = rig.target().read()
    assert (state.evidence, state.is_empty) == (TargetEvidence.ABSENT, False)
    assert f"half a pair: the variable {half} is there" in words(state)


def test_an_empty_place_and_a_whole_pair_have_no_conflict(rig: Rig) -> None:
    assert rig.target().read().conflicts == ()
    rig.set(ID, K1)
    rig.set(SECRET, "x", secured=True)
    assert rig.target().read().conflicts == ()
    assert rig.target().surroundings().conflicts == ()


def test_a_plain_pair_beside_a_bundle_is_a_lasting_conflict(rig: Rig) -> None:
    """AWS tools prefer the pair, at the place or at a level above."""
    bundle = {**DEPLOYMENT, "bundle": "AWS_SHARED_CREDENTIALS_FILE"}
    rig.target(bundle).write(a_pair())
    assert rig.target(bundle).read().conflicts == ()
    assert rig.target(bundle).surroundings().conflicts == ()
    rig.standin.set_variable("acme", "shop", None, ID, K1)
    rig.standin.set_variable("acme", "shop", None, SECRET, "x", secured=True)
    around = rig.connect({"token": "canary-token-3f9a"}).target(bundle).surroundings()
    assert [conflict.is_lasting for conflict in around.conflicts] == [True]
    assert "bitbucket acme/shop" in around.conflicts[0].what
    rig.set(ID, K1)
    assert [conflict.is_lasting for conflict in rig.target(bundle).read().conflicts] == [True]


# --- other levels ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("other", [("shop", "Production"), (None, None)], ids=["environment", "workspace"])
def test_a_pair_that_is_split_between_levels_is_a_conflict(rig: Rig, other: tuple[str | None, str | None]) -> None:
    """The ID at the repository, the secret at the environment or the workspace."""
    rig.standin.set_variable("acme", "shop", None, ID, K1)
    rig.standin.set_variable("acme", other[0], other[1], SECRET, "x", secured=True)
    conflicts = rig.target(REPOSITORY).surroundings().conflicts
    assert len(conflicts) == 1
    assert "split between two levels" in conflicts[0].what
    assert ("Production" in conflicts[0].what) is (other[1] is not None)
    assert "names:" in conflicts[0].remedy


def test_half_a_pair_below_is_a_conflict_and_a_whole_one_is_evidence(rig: Rig) -> None:
    """An environment wins over its repository, name by name: with half a pair, its jobs get halves of two."""
    rig.standin.set_variable("acme", "shop", "Staging", ID, K1)
    around = rig.target(REPOSITORY).surroundings()
    assert len(around.conflicts) == 1
    assert "bitbucket acme/shop Staging" in around.conflicts[0].what
    rig.standin.set_variable("acme", "shop", "Staging", SECRET, "x", secured=True)
    whole = rig.connect({"token": "canary-token-3f9a"}).target(REPOSITORY).surroundings()
    assert whole.conflicts == ()
    assert whole.shown == (ShownKey(key=K1, where=f"variable {ID} of bitbucket acme/shop Staging"),)


def test_a_session_token_at_another_level_is_a_lasting_conflict(rig: Rig) -> None:
    rig.standin.set_variable("acme", None, None, "AWS_SESSION_TOKEN", "x", secured=True)
    conflicts = rig.target().surroundings().conflicts
    assert [conflict.is_lasting for conflict in conflicts] == [True]
    assert "bitbucket acme:" in conflicts[0].what


def test_every_level_and_environment_is_looked_at_with_few_calls(rig: Rig) -> None:
    """What was listed within the last minute is not listed again."""
    rig.standin.set_variable("acme", None, None, "OLD", K1)
    rig.standin.set_variable("acme", "shop", None, "DEPLOY", f'{{"AccessKeyId": "{K2}"}}')
    rig.standin.set_variable("acme", "shop", "Test", "ANY", K1)
    target = rig.target()
    around = target.surroundings()
    assert around.unread == ()
    assert {shown.where: shown.key for shown in around.shown} == {
        "variable OLD of bitbucket acme": K1,
        "variable DEPLOY of bitbucket acme/shop": K2,
        "variable ANY of bitbucket acme/shop Test": K1,
    }
    assert asked(rig) == ["GET variables", "GET variables", "GET environments", *["GET variables"] * 3]
    rig.target({**DEPLOYMENT, "environment": "Test"}).surroundings()
    assert asked(rig) == []
    rig.clock.sleep(61)
    target.surroundings()
    assert asked(rig) == ["GET variables"] * 5


def test_a_look_after_a_write_sees_the_write(rig: Rig) -> None:
    """What was listed before it is not believed."""
    target = rig.target()
    rig.target(REPOSITORY).surroundings()
    target.write(a_pair())
    assert [shown.key for shown in rig.target(REPOSITORY).surroundings().shown] == [a_pair().id]


def test_a_workspace_is_looked_at_with_its_repositories_within_a_bound(rig: Rig) -> None:
    for number in range(25):
        rig.clock.sleep(60)
        rig.standin.add_repository("acme", f"r{number}", ())
        rig.standin.set_variable("acme", f"r{number}", None, ID, K1)
    around = rig.target(WORKSPACE).surroundings()
    assert len(around.shown) == 20
    assert any("r24" in shown.where for shown in around.shown), "the latest first"
    assert len(around.unread) == 1
    assert "20" in around.unread[0]
    assert len(around.conflicts) == 20, "half a pair below, each"


@pytest.mark.parametrize("status", [401, 403, 404, 503])
def test_what_cannot_be_read_is_named_and_never_raised(rig: Rig, status: int) -> None:
    rig.standin.faults.add(Fault(operation="GET *", status=status, times=-1))
    for settings in (DEPLOYMENT, REPOSITORY, WORKSPACE):
        around = rig.target(settings).surroundings()
        assert around.shown == ()
        assert around.unread
        assert all("bitbucket acme" in line for line in around.unread)


def test_one_level_that_is_refused_hides_no_other(rig: Rig) -> None:
    rig.standin.set_variable("acme", "shop", None, "OLD", K1)
    rig.standin.faults.add(Fault(operation="GET variables", status=403))  # the first: the workspace's
    around = rig.target().surroundings()
    assert [shown.key for shown in around.shown] == [K1]
    assert len(around.unread) == 1
    assert around.unread[0].startswith("bitbucket acme:")


# --- the emulator ---------------------------------------------------------------------------------------------------


def test_the_published_routes_rename_delete_and_make_anew(rig: Rig) -> None:
    with unjudged():  # people's routes: the description wants more of a body than Bitbucket does
        _walk(rig)


def _walk(rig: Rig) -> None:
    http = rig.target()._http  # type: ignore[attr-defined]  # the same credentials
    base = ("repositories", "acme", "shop")
    first = http.call("GET", base).object()["uuid"]
    renamed = http.call("PUT", base, body={"name": "Store"})
    assert (renamed.status, renamed.object()["slug"], renamed.object()["uuid"]) == (200, "store", first)
    assert http.call("GET", base).status == 404
    assert http.call("POST", base, body={"scm": "git"}).object()["uuid"] != first
    assert http.call("DELETE", base).status == 204
    store = ("repositories", "acme", "store", "environments")
    made = http.call("POST", store, body={"name": "QA"})
    assert made.status == 201
    assert http.call("POST", store, body={"name": "QA"}).status == 409
    assert http.call("DELETE", (*store, made.object()["uuid"])).status == 204
    assert http.call("DELETE", (*store, made.object()["uuid"])).status == 404
    with pytest.raises(KeyrotaError):
        rig.target().write(a_pair())
