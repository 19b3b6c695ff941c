"""What only Forgejo and Gitea have: values in clear inside TLS, names in capitals, and what differs between them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from small_rigs import ForgejoRig, a_forgejo_rig
from standin_rig import a_pair

from keyrota.core.model import RunsEvidence, TargetEvidence
from keyrota.errors import ConfigError, NotThere, ProviderRefused, ProviderUnavailable
from keyrota.targets.forgejo import FORGEJO, GITEA
from keyrota_sandbox.faults import Fault, FaultKind

ID, SECRET, MARKER = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "KEYROTA_AWS_ACCESS_KEY_ID"
HOME, ORGANIZATION, USER = ("repos", "acme", "shop"), ("orgs", "acme"), ("user",)
IN_ORGANIZATION = {"organization": "acme"}
OF_USER = {"token_user": True}


@pytest.fixture(params=[False, True], ids=["forgejo", "gitea"])
def rig(request: pytest.FixtureRequest) -> Iterator[ForgejoRig]:
    """Forgejo, then Gitea."""
    with a_forgejo_rig(is_gitea=request.param) as made:
        yield made


@pytest.mark.parametrize(
    ("settings", "place"),
    [({"repository": "acme/shop"}, HOME), (IN_ORGANIZATION, ORGANIZATION), (OF_USER, USER)],
    ids=["repository", "organization", "user"],
)
def test_every_place_takes_the_pair_and_its_marker(
    rig: ForgejoRig, settings: dict[str, Any], place: tuple[str, ...]
) -> None:
    plain, marked = rig.target(settings), rig.target({**settings, "marker": True})
    plain.write(a_pair("OLD"))
    assert (plain.read().evidence, plain.is_id_readable) == (TargetEvidence.CANNOT_TELL, False)
    assert (marked.read().evidence, marked.read().detail) == (TargetEvidence.ABSENT, MARKER)
    marked.write(a_pair())
    marked.write(a_pair())
    assert rig.standin.values(place) == {ID: a_pair().id, SECRET: a_pair().secret.reveal()}
    assert rig.standin.variables(place) == {MARKER: a_pair().id}
    assert (marked.read().key, marked.is_id_readable) == (a_pair().id, True)
    assert marked.preflight().is_ready


def test_what_a_user_s_secrets_are_cannot_be_told(rig: ForgejoRig) -> None:
    """Neither service lists them: without a marker, nothing is known but that the token is good."""
    assert rig.target(OF_USER).read().evidence is TargetEvidence.CANNOT_TELL
    rig.standin.faults.add(Fault(operation="GET user", status=401, times=-1))
    assert rig.target(OF_USER).read().evidence is TargetEvidence.FAILED
    with pytest.raises(ProviderRefused, match="401"):
        rig.target(OF_USER).write(a_pair())
    assert rig.standin.values(USER) == {}


def test_descriptions_stay(rig: ForgejoRig) -> None:
    """Gitea clears a description that an update leaves out; Forgejo has none, and is sent none."""
    for name in (ID, SECRET):
        rig.standin.set_secret(HOME, name, "old", description="by hand")
    rig.standin.set_variable(HOME, MARKER, a_pair("OLD").id, description="by hand")
    rig.target().write(a_pair())
    is_gitea = "GITEA_TOKEN" in rig.standin.environment
    sent = [json.loads(request.body) for request in rig.seen if request.method == "PUT"]
    assert len(sent) == 3
    assert all(("description" in body) == is_gitea for body in sent)
    if is_gitea:
        assert set(rig.standin.descriptions(HOME).values()) == {"by hand"}


def test_names_are_upper_case_and_compared_so(rig: ForgejoRig) -> None:
    names = {"id": "deploy_id", "secret": "Deploy_Secret"}
    target = rig.target({"repository": "acme/shop", "names": names})
    target.write(a_pair())
    assert rig.values() == {"DEPLOY_ID": a_pair().id, "DEPLOY_SECRET": a_pair().secret.reveal()}
    assert target.read().evidence is TargetEvidence.CANNOT_TELL


def test_a_renamed_repository_is_written_where_it_is_now_and_told(rig: ForgejoRig) -> None:
    rig.standin.rename(HOME, ("repos", "acme", "store"))
    target = rig.target()
    assert target.preflight().is_ready
    target.write(a_pair())
    assert rig.standin.values(("repos", "acme", "store"))[SECRET] == a_pair().secret.reveal()
    state = target.read()
    assert state.key == a_pair().id
    assert "renamed or moved" in state.notice
    assert rig.target(IN_ORGANIZATION).read().notice == ""


def test_no_secret_travels_without_tls() -> None:
    """There is no sealed box here: TLS is all there is around a value."""
    settings = {"base_url": "http://forge.example/api/v1", "auth": {"token": "x"}}
    with pytest.raises(ConfigError, match="https"):
        FORGEJO.connect(settings, secrets=lambda _: a_pair().secret, clock=None)  # type: ignore[arg-type]  # unused


def test_a_stranger_s_variable_is_not_written_over(rig: ForgejoRig) -> None:
    rig.standin.set_variable(HOME, MARKER, "somebody's text")
    assert "somebody else's" in rig.target().preflight().detail
    with pytest.raises(ProviderRefused, match="somebody else's"):
        rig.target().write(a_pair())
    assert rig.values() == {}


def test_drift_shows_by_the_marker(rig: ForgejoRig) -> None:
    rig.target().write(a_pair())
    rig.standin.set_variable(HOME, MARKER, a_pair("OTHER").id)
    assert rig.target().read().key == a_pair("OTHER").id
    rig.standin.set_variable(HOME, MARKER, "no key")
    state = rig.target().read()
    assert (state.evidence, state.key) == (TargetEvidence.HOLDS, None)


@pytest.mark.parametrize("kind", [FaultKind.LOST_BEFORE, FaultKind.LOST_AFTER, FaultKind.ERROR_AFTER, FaultKind.ERROR])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_a_cut_at_the_marker_is_mended_by_looking_again(rig: ForgejoRig, method: str, kind: FaultKind) -> None:
    rig.standin.faults.add(Fault(operation=f"{method} variable", kind=kind, status=500))
    try:
        rig.target().write(a_pair())
    except ProviderUnavailable:
        rig.target().write(a_pair())
    assert rig.standin.variables(HOME) == {MARKER: a_pair().id}


def test_two_who_make_the_marker_at_once_both_succeed(rig: ForgejoRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """409: somebody was first; it is changed instead."""
    answer = rig.standin._variable

    def first_by_another(request: Any, place: Any, name: str) -> Any:
        if request.method == "POST":
            rig.standin.set_variable(place, name, a_pair("OTHER").id)
        return answer(request, place, name)

    monkeypatch.setattr(rig.standin, "_variable", first_by_another)
    rig.target().write(a_pair())
    assert rig.standin.variables(HOME) == {MARKER: a_pair().id}


def test_a_version_without_variables_says_so(rig: ForgejoRig) -> None:
    rig.standin.has_variables = False
    with pytest.raises(NotThere, match="this version has no such call"):
        rig.target().write(a_pair())
    rig.target({"repository": "acme/shop"}).write(a_pair())


@pytest.mark.parametrize("has_count", [True, False])
def test_a_list_is_read_to_its_end_with_and_without_a_count(rig: ForgejoRig, *, has_count: bool) -> None:
    for number in range(120):
        rig.set(f"A_{number}", "x")
    rig.target().write(a_pair())
    if not has_count:
        body = json.dumps([{"name": "x"}])
        rig.standin.faults.add(Fault(operation="GET secrets", kind=FaultKind.BODY, status=200, body=body))
    assert rig.target().read().key == a_pair().id


def test_endless_pages_have_an_end(rig: ForgejoRig) -> None:
    body = '[{"name": "x"}]'
    rig.standin.faults.add(Fault(operation="GET secrets", kind=FaultKind.BODY, status=200, body=body, times=-1))
    assert "pages" in rig.target().read().detail


@pytest.mark.parametrize("operation", ["PUT secrets", "POST variable", "PUT variable", "DELETE secrets"])
@pytest.mark.parametrize("body", ["<html>sign in</html>", "{}"])
def test_200_is_no_answer_of_these_services(rig: ForgejoRig, operation: str, body: str) -> None:
    """They answer 201 or 204 without a body: a login page is not believed."""
    if operation in {"PUT variable", "DELETE secrets"}:
        rig.target().write(a_pair("OLD"))
    rig.standin.faults.add(Fault(operation=operation, kind=FaultKind.BODY, status=200, body=body, times=-1))
    target = rig.target()
    clear, write = partial(target.clear, frozenset({a_pair("OLD").id})), partial(target.write, a_pair())
    road = clear if operation.startswith("DELETE") else write
    with pytest.raises(ProviderUnavailable, match="not known"):
        road()


@pytest.mark.parametrize("body", ["<html>sign in</html>", '{"login": 5}', "[]", ""])
def test_a_login_page_is_no_user(rig: ForgejoRig, body: str) -> None:
    rig.standin.faults.add(Fault(operation="GET user", kind=FaultKind.BODY, status=200, body=body))
    assert "no user" in rig.target(OF_USER).preflight().detail


@pytest.mark.parametrize("body", ["<html>sign in</html>", '{"data": 5}', "[]", ""])
def test_a_login_page_is_no_variable(rig: ForgejoRig, body: str) -> None:
    rig.standin.faults.add(Fault(operation="GET variable", kind=FaultKind.BODY, status=200, body=body, times=-1))
    assert "no variable" in rig.target().preflight().detail
    with pytest.raises(ProviderUnavailable, match="no variable"):
        rig.target().write(a_pair())


@pytest.mark.parametrize("body", ["<html>sign in</html>", '{"data": 5}', '[{"name": "KEYROTA_AWS_ACCESS_KEY_ID"}]', ""])
def test_a_login_page_is_no_list_of_variables(rig: ForgejoRig, body: str) -> None:
    counted = (("X-Total-Count", "1"),)
    rig.standin.faults.add(
        Fault(operation="GET variables", kind=FaultKind.BODY, status=200, body=body, headers=counted, times=-1)
    )
    assert "no list" in rig.target().read().detail


@pytest.mark.parametrize("body", ["<html>sign in</html>", '{"id": true}', "[]", '{"id": "7"}', ""])
def test_a_login_page_is_no_repository(rig: ForgejoRig, body: str) -> None:
    rig.standin.faults.add(Fault(operation="GET repository", kind=FaultKind.BODY, status=200, body=body, times=-1))
    assert "no repository" in rig.target().read().detail


# --- what a read shows beside the pair -----------------------------------------------------------------------------


def test_a_users_secrets_are_never_empty(rig: ForgejoRig) -> None:
    """No API lists them, so that a missing marker says nothing of them: forgetting the place would leave them."""
    target = rig.target({"token_user": True, "marker": True})
    state = target.read()
    assert (state.evidence, state.is_empty) == (TargetEvidence.ABSENT, False)
    assert [variable.is_present for variable in state.variables] == [True, True, False]
    assert not any(variable.is_readable for variable in state.variables)
    assert state.conflicts == ()
    target.write(a_pair())
    assert target.read().key == a_pair().id
    assert rig.target({"token_user": True}).read().evidence is TargetEvidence.CANNOT_TELL


def test_a_renamed_repository_is_the_same_place_and_its_successor_is_not(rig: ForgejoRig) -> None:
    """The old name redirects, until something else is made there."""
    before = rig.target().read().place
    rig.standin.rename(HOME, ("repos", "acme", "shop-old"))
    assert rig.target().read().place == before
    rig.standin.add(HOME)
    assert rig.target().read().place != before
    assert before is not None
    assert before.id.startswith("repository ")


def test_a_repository_an_organization_and_a_user_are_places_of_their_own(rig: ForgejoRig) -> None:
    places = [
        rig.target(settings).read().place
        for settings in (None, {"organization": "acme"}, {"token_user": True, "marker": True})
    ]
    assert len(set(places)) == 3
    assert None not in places


def test_an_archived_repository_is_known_as_one_and_a_deleted_one_is_gone(rig: ForgejoRig) -> None:
    rig.target().write(a_pair())
    rig.standin.archived.add(HOME)
    state = rig.target().read()
    assert (state.is_archived, state.key) == (True, a_pair().id)
    with pytest.raises(ProviderRefused, match="423"):
        rig.target().write(a_pair("NEXT"))
    gone = rig.target({"repository": "acme/nowhere", "marker": True}).read()
    assert (gone.evidence, gone.is_gone) == (TargetEvidence.FAILED, True)
    rig.standin.faults.add(Fault(operation="GET secrets", status=403, times=-1))
    hidden = rig.target({"repository": "acme/nowhere", "marker": True}).read()
    assert (hidden.is_gone, "keyrota forget" in hidden.remedy) == (False, True)


def test_a_place_without_a_list_of_secrets_is_not_gone(rig: ForgejoRig) -> None:
    """The repository is there; the token may not see the list, or the version has none."""
    rig.standin.faults.add(Fault(operation="GET secrets", status=404))
    state = rig.target().read()
    assert (state.evidence, state.is_gone) == (TargetEvidence.FAILED, False)


def test_one_read_is_three_calls_and_an_old_version_is_asked_for_the_marker_alone(rig: ForgejoRig) -> None:
    rig.target().read()
    assert [operation for operation, _ in rig.standin.journal] == ["GET repository", "GET secrets", "GET variables"]
    rig.standin.has_variables = False
    rig.standin.journal.clear()
    assert rig.target({"repository": "acme/shop"}).read().evidence is TargetEvidence.ABSENT


def test_a_variable_with_the_name_of_half_the_pair_is_a_conflict(rig: ForgejoRig) -> None:
    """The job reads the ID as a variable and the secret as a secret."""
    rig.standin.set_variable(HOME, ID, a_pair("OLD").id)
    rig.set(SECRET, "old")
    state = rig.target().read()
    assert [shown.key for shown in state.shown] == [a_pair("OLD").id]
    assert any(f"marker: {ID}" in conflict.remedy for conflict in state.conflicts)
    assert any("half a pair" in conflict.what for conflict in state.conflicts)


def test_a_variable_under_any_name_shows_its_key(rig: ForgejoRig) -> None:
    for number in range(60):
        rig.standin.set_variable(HOME, f"V{number}", "x")
    rig.standin.set_variable(HOME, "OLD_CREDENTIALS", f"[default]\naws_access_key_id={a_pair('OLD').id}\n")
    (shown,) = rig.target().read().shown
    assert (shown.key, "OLD_CREDENTIALS" in shown.where) == (a_pair("OLD").id, True)


def test_the_organization_above_is_looked_at(rig: ForgejoRig) -> None:
    """Half a pair there makes a mixed one with what is written here."""
    rig.standin.set_secret(ORGANIZATION, SECRET, "x")
    rig.standin.set_variable(ORGANIZATION, "K1", a_pair("OLD").id)
    found = rig.target().surroundings()
    assert [shown.key for shown in found.shown] == [a_pair("OLD").id]
    assert SECRET in found.conflicts[0].what
    assert "organization acme" in found.conflicts[0].what
    assert found.unread == ()


def test_the_repositories_of_an_organization_are_looked_at(rig: ForgejoRig) -> None:
    rig.standin.set_variable(HOME, "K1", a_pair("OLD").id)
    rig.set(ID, "x")
    found = rig.target({"organization": "acme"}).surroundings()
    assert [shown.key for shown in found.shown] == [a_pair("OLD").id]
    assert ID in found.conflicts[0].what
    for number in range(25):
        rig.standin.add(("repos", "acme", f"more-{number}"))
    assert "more than 20 repositories" in rig.target({"organization": "acme"}).surroundings().unread[0]


def test_above_a_users_repository_are_the_users_variables(rig: ForgejoRig) -> None:
    rig.standin.add(("repos", "deploy", "mine"))
    rig.standin.add(("repos", "someone", "theirs"))
    rig.standin.set_variable(("user",), "K1", a_pair("OLD").id)
    mine = rig.target({"repository": "deploy/mine"}).surroundings()
    assert [shown.key for shown in mine.shown] == [a_pair("OLD").id]
    assert "no API lists a user's secrets" in mine.unread[0]
    theirs = rig.target({"repository": "someone/theirs"}).surroundings()
    assert (theirs.shown, "another user's" in theirs.unread[0]) == ((), True)
    assert rig.target({"token_user": True}).surroundings().unread


@pytest.mark.parametrize("operation", ["GET organization", "GET repository"])
def test_levels_that_may_not_be_read_are_named(rig: ForgejoRig, operation: str) -> None:
    rig.standin.faults.add(Fault(operation=operation, status=403, times=-1))
    assert rig.target().surroundings().unread
    assert rig.values() == {}


def test_what_is_ours_is_deleted_and_what_is_not_stays(rig: ForgejoRig) -> None:
    target = rig.target()
    target.write(a_pair())
    rig.set("OTHER", "stays")
    with pytest.raises(ProviderRefused, match="did not write"):
        target.clear(frozenset({a_pair("OTHER").id}))
    assert target.clear(frozenset({a_pair().id})) == (ID, SECRET, MARKER)
    assert target.clear(frozenset()) == ()
    assert rig.values() == {"OTHER": "stays"}
    assert rig.standin.variables(HOME) == {}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "one of"),
        ({"repository": "a/b", "token_user": True}, "one of"),
        ({"token_user": True, "names": {"id": "x", "secret": "X"}}, "two names"),
        ({"token_user": True, "names": {"id": "gitea_x"}}, "refused"),
        ({"token_user": True, "marker": "github_x"}, "refused"),
    ],
)
def test_what_does_not_fit_together_is_told(settings: dict[str, Any], words: str) -> None:
    assert words in " ".join(GITEA.faults(settings))


def test_it_carries_nothing_and_names_itself(rig: ForgejoRig) -> None:
    target = rig.target()
    assert target.runs_with_old_key(datetime(2026, 1, 1, tzinfo=UTC)).evidence is RunsEvidence.NONE
    assert (target.is_busy(), target.has_separate_variables) == (False, True)
    assert (rig.connection.scopes(None), rig.connection.scan("x")) == ((), ())
    settings = {"repository": "Acme/shop", "names": {"id": "a"}, "marker": "told"}
    assert FORGEJO.address(settings) == f"forgejo Acme/shop (a, {SECRET})"
    assert GITEA.address(IN_ORGANIZATION) == "gitea organization acme"
    assert GITEA.address(OF_USER) == "gitea user"
    assert [GITEA.is_within(each, "acme") for each in (settings, IN_ORGANIZATION, OF_USER)] == [True, True, True]
    assert not GITEA.is_within(settings, "shop")
    assert FORGEJO.faults(settings) == ()
    scope = "forgejo acme/shop"
    assert FORGEJO.variables(settings) == {f"{scope}: A", f"{scope}: {SECRET}", f"{scope} variables: TOLD"}
    assert "Gitea" in str(GITEA.provider_schema)
    assert "marker" in str(GITEA.target_schema)
