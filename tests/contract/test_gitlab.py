"""What only GitLab has: scopes, attributes that people set, masking, hidden values, strangers' values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import description
import pytest
from standin_rig import CANARY_TOKEN, ENVIRONMENT, GitLabRig, a_gitlab_rig, a_pair

from keyrota.core.model import RunsEvidence, TargetEvidence
from keyrota.core.secret import Secret
from keyrota.errors import NotThere, ProviderRefused, ProviderUnavailable
from keyrota.target_base.provider import Connection
from keyrota.targets.gitlab import KIND
from keyrota_sandbox.faults import Fault, FaultKind
from keyrota_sandbox.providers.gitlab import JOB_TOKEN, GitLabEmulator, Variable
from keyrota_sandbox.server import Request, Response

ID, SECRET = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
PROJECT, GROUP, INSTANCE = ("project", "acme/shop"), ("group", "acme"), ("instance", "")
SCOPES: dict[str, tuple[dict[str, Any], tuple[str, str], str]] = {
    "project": ({"project": "acme/shop"}, PROJECT, "*"),
    "project, scope": ({"project": "acme/shop", "environment_scope": "review/*"}, PROJECT, "review/*"),
    "group": ({"group": "acme"}, GROUP, "*"),
    "instance": ({"instance": True}, INSTANCE, "*"),
}


@pytest.fixture
def rig() -> Iterator[GitLabRig]:
    """GitLab with a project in a group."""
    with a_gitlab_rig() as made:
        yield made


def _stored(rig: GitLabRig, name: str, scope: str = "*") -> Variable:
    found = rig.standin.variable(PROJECT, name, scope)
    assert found is not None
    return found


def _writes(rig: GitLabRig) -> list[Request]:
    return [request for request in rig.seen if request.method != "GET"]


@pytest.mark.parametrize("name", SCOPES)
def test_each_level_holds_a_pair(rig: GitLabRig, name: str) -> None:
    settings, level, scope = SCOPES[name]
    target = rig.target(settings)
    assert target.read().evidence is TargetEvidence.ABSENT
    assert target.preflight().is_ready
    target.write(a_pair("OLD"))
    target.write(a_pair())
    stored = {it.key: (it.value, it.environment_scope) for it in rig.standin.copy_variables(level)}
    assert stored == {ID: (a_pair().id, scope), SECRET: (a_pair().secret.reveal(), scope)}
    assert target.read().key == a_pair().id


def test_the_same_key_in_several_scopes_is_told_apart(rig: GitLabRig) -> None:
    """The others stay as they are, and nothing moves."""
    for scope in ("*", "staging", "production"):
        for name in (ID, SECRET):
            rig.standin.set_variable(PROJECT, name, f"old {scope}", scope=scope)
    rig.target({"project": "acme/shop", "environment_scope": "production"}).write(a_pair())
    seen = {(it.key, it.environment_scope): it.value for it in rig.standin.copy_variables(PROJECT)}
    assert seen == {
        (ID, "*"): "old *",
        (SECRET, "*"): "old *",
        (ID, "staging"): "old staging",
        (SECRET, "staging"): "old staging",
        (ID, "production"): a_pair().id,
        (SECRET, "production"): a_pair().secret.reveal(),
    }


def test_a_variable_of_another_scope_is_never_taken_for_ours(rig: GitLabRig) -> None:
    """Without a filter GitLab would give, and overwrite, the only variable of that name."""
    rig.standin.set_variable(PROJECT, ID, "of staging", scope="staging")
    target = rig.target({"project": "acme/shop"})
    assert ID in target.read().detail
    target.write(a_pair())
    assert _stored(rig, ID, "staging").value == "of staging"
    assert all(
        "filter%5Benvironment_scope%5D" in request.target for request in rig.seen if "variables/" in request.path
    )


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("protected", [False, True])
@pytest.mark.parametrize("raw", [False, True])
def test_attributes_that_people_set_are_kept(rig: GitLabRig, *, masked: bool, protected: bool, raw: bool) -> None:
    """An update sends the value alone."""
    for name in (ID, SECRET):
        more = {"masked": masked, "protected": protected, "raw": raw, "description": "ours"}
        rig.standin.set_variable(PROJECT, name, "12345678", **more)
    rig.target({"project": "acme/shop", "masked": not masked, "protected": not protected, "raw": not raw}).write(
        a_pair()
    )
    seen = _stored(rig, SECRET)
    assert (seen.masked, seen.protected, seen.raw, seen.description) == (masked, protected, raw, "ours")
    bodies = [json.loads(request.body) for request in _writes(rig)]
    assert sorted(bodies, key=str) == sorted([{"value": a_pair().secret.reveal()}, {"value": a_pair().id}], key=str)


def test_a_new_variable_has_the_attributes_that_are_wished(rig: GitLabRig) -> None:
    rig.target({"project": "acme/shop", "masked": True, "protected": True, "hidden": True}).write(a_pair())
    assert (_stored(rig, SECRET).hidden, _stored(rig, SECRET).masked, _stored(rig, SECRET).protected) == (True,) * 3
    assert (_stored(rig, ID).hidden, _stored(rig, ID).masked) == (False, True)


def test_a_hidden_value_is_written_and_cannot_be_told(rig: GitLabRig) -> None:
    for name in (ID, SECRET):
        rig.standin.set_variable(PROJECT, name, "12345678", masked=True, hidden=True)
    target = rig.target({"project": "acme/shop"})
    target.write(a_pair())
    assert target.read().evidence is TargetEvidence.CANNOT_TELL
    assert _stored(rig, ID).value == a_pair().id


def test_a_bundle_is_a_variable_of_type_file(rig: GitLabRig) -> None:
    """Named AWS_SHARED_CREDENTIALS_FILE, every AWS tool finds it by itself."""
    target = rig.target({"project": "acme/shop", "bundle": "AWS_SHARED_CREDENTIALS_FILE"})
    target.write(a_pair())
    stored = _stored(rig, "AWS_SHARED_CREDENTIALS_FILE")
    assert (stored.variable_type, stored.masked) == ("file", False)
    assert stored.value == a_pair().as_file().reveal()
    assert not target.has_separate_variables
    assert len(_writes(rig)) == 1


def test_a_value_that_cannot_be_masked_is_seen_before_any_write(rig: GitLabRig) -> None:
    rig.standin.set_variable(PROJECT, "FILE", "12345678", masked=True, variable_type="file")
    with pytest.raises(ProviderRefused, match="refuse to mask"):
        rig.target({"project": "acme/shop", "bundle": "FILE"}).write(a_pair())
    assert _writes(rig) == []


@pytest.mark.parametrize(("bundle", "kind"), [(None, "file"), (ID, "env_var")])
def test_a_variable_of_another_type_is_told_before_any_write(rig: GitLabRig, bundle: str | None, kind: str) -> None:
    rig.standin.set_variable(PROJECT, ID, "12345678", variable_type=kind)
    target = rig.target({"project": "acme/shop"} | ({"bundle": bundle} if bundle else {}))
    assert "must be" in target.preflight().detail
    with pytest.raises(ProviderRefused, match="must be"):
        target.write(a_pair())
    assert _writes(rig) == []


@pytest.mark.parametrize("protected", [True, False])
def test_half_a_pair_made_anew_is_as_protected_as_the_other_half(rig: GitLabRig, *, protected: bool) -> None:
    rig.standin.set_variable(PROJECT, ID, "12345678", protected=protected)
    rig.target({"project": "acme/shop", "protected": not protected}).write(a_pair())
    assert _stored(rig, SECRET).protected is protected


def test_a_bundle_tells_its_key(rig: GitLabRig) -> None:
    target = rig.target({"project": "acme/shop", "bundle": "FILE"})
    target.write(a_pair())
    assert target.read().key == a_pair().id
    with pytest.raises(ProviderRefused, match="did not write"):
        target.clear(frozenset({a_pair("OTHER").id}))
    assert target.clear(frozenset({a_pair().id})) == ("FILE",)


def test_a_secret_without_its_id_is_not_deleted(rig: GitLabRig) -> None:
    rig.set(SECRET, "whose is it?")
    state = rig.target().read()
    assert (state.evidence, state.is_empty) == (TargetEvidence.ABSENT, False)
    with pytest.raises(ProviderRefused):
        rig.target().clear(frozenset({a_pair().id}))


def test_a_type_that_somebody_changed_and_a_mask_that_cannot_be_are_told(rig: GitLabRig) -> None:
    target = rig.target()
    target.write(a_pair())
    _stored(rig, ID, ENVIRONMENT).variable_type = "file"
    assert "must be a plain variable" in target.read().notice
    rig.standin.set_variable(PROJECT, "FILE", "12345678", masked=True, variable_type="file")
    assert "refuse to mask" in rig.target({"project": "acme/shop", "bundle": "FILE"}).preflight().detail


def test_a_project_by_number_may_lie_in_any_group() -> None:
    """A breach leaves nothing out because it cannot be told."""
    assert KIND.is_within({"project": 1}, "acme")
    assert KIND.is_within({"project": "acme/x"}, "acme")
    assert not KIND.is_within({"project": "other/x"}, "acme")


def test_what_is_handed_down_to_a_group_was_served_there() -> None:
    """A subgroup's pipelines read the variables of its parents and of the instance, and not those of their projects."""
    assert KIND.is_within({"group": "acme"}, "acme/platform")
    assert KIND.is_within({"instance": True}, "acme/platform")
    assert not KIND.is_within({"group": "ac"}, "acme/platform")
    assert not KIND.is_within({"project": "acme/shop"}, "acme/platform")
    assert not KIND.is_within({"group": "acme/web"}, "acme/platform")


def test_nobody_elses_value_is_ever_asked_for(rig: GitLabRig) -> None:
    """A list hands out every value in clear: there is none."""
    rig.standin.set_variable(PROJECT, "OTHER", "stranger's secret")
    target = rig.target({"project": "acme/shop"})
    target.preflight()
    target.write(a_pair())
    target.read()
    assert not any(request.path.endswith("/variables") and request.method == "GET" for request in rig.seen)


def test_a_subgroups_path_is_one_segment(rig: GitLabRig) -> None:
    rig.standin.add_project("acme/platform/deep/shop")
    rig.target({"project": "acme/platform/deep/shop"}).write(a_pair())
    assert any("acme%2Fplatform%2Fdeep%2Fshop" in request.target for request in rig.seen)


def test_a_project_by_number_is_the_same_project(rig: GitLabRig) -> None:
    number = rig.standin.add_project("acme/web")
    rig.target({"project": number}).write(a_pair())
    assert rig.standin.values("acme/web")[ID] == a_pair().id


def test_a_moved_project_is_followed_on_its_host_and_reported(rig: GitLabRig) -> None:
    rig.standin.move_project("acme/shop", "acme/store")
    target = rig.target({"project": "acme/shop"})
    target.write(a_pair())
    assert "moved" in target.read().notice
    assert rig.standin.values("acme/store")[SECRET] == a_pair().secret.reveal()


def test_a_race_is_settled_by_updating(rig: GitLabRig) -> None:
    """Somebody creates the variable between our look and our POST."""
    real = rig.standin.faults.take

    def race(operation: str) -> Fault | None:
        if operation == "POST variables" and rig.standin.variable(PROJECT, SECRET) is None:
            rig.standin.set_variable(PROJECT, SECRET, "of the other run")
        return real(operation)

    rig.standin.faults.take = race  # type: ignore[method-assign]  # the other run, at this very moment
    rig.target({"project": "acme/shop"}).write(a_pair())
    assert _stored(rig, SECRET).value == a_pair().secret.reveal()


@pytest.mark.parametrize("form", ["{}\n", " {}", "{}\r\n"])
def test_a_key_id_with_white_space_around_it_is_no_key_id(rig: GitLabRig, form: str) -> None:
    """Jobs get the value as it is, and AWS refuses it; the place shows the key all the same, and may be cleared."""
    target = rig.target({"project": "acme/shop"})
    target.write(a_pair())
    assert target.read().key == a_pair().id
    rig.standin.set_variable(PROJECT, ID, form.format(a_pair().id))
    state = target.read()
    assert (state.evidence, state.key) == (TargetEvidence.HOLDS, None)
    assert {variable.name: variable.key for variable in state.variables}[ID] == a_pair().id
    assert set(target.clear(frozenset({a_pair().id}))) == {ID, SECRET}


def test_a_variable_that_is_deleted_meanwhile_is_made_again(rig: GitLabRig) -> None:
    target = rig.target({"project": "acme/shop"})
    target.write(a_pair("OLD"))
    real = rig.standin.faults.take

    gone: list[str] = []

    def delete(operation: str) -> Fault | None:
        if operation == "PUT variables" and not gone:
            rig.standin.remove_variable(PROJECT, SECRET)
            gone.append(SECRET)
        return real(operation)

    rig.standin.faults.take = delete  # type: ignore[method-assign]  # somebody, at this very moment
    target.write(a_pair())
    assert rig.standin.values("acme/shop") == {ID: a_pair().id, SECRET: a_pair().secret.reveal()}


# --- the token --------------------------------------------------------------------------------------------------------


def test_the_tokens_end_is_read_once(rig: GitLabRig) -> None:
    rig.standin.token_expires = date(2026, 1, 20)
    assert rig.target().read().token_expires == datetime(2026, 1, 20, tzinfo=UTC)
    assert rig.target().preflight().token_expires == datetime(2026, 1, 20, tzinfo=UTC)
    assert [operation for operation, _ in rig.standin.journal].count("GET token") == 1


@pytest.mark.parametrize("change", [{"is_token_revoked": True}, {"token_expires": date(2026, 1, 1)}], ids=str)
def test_a_token_that_has_ended_opens_nothing(rig: GitLabRig, change: dict[str, Any]) -> None:
    """Its own record tells nothing then either: 401 for all."""
    for name, value in change.items():
        setattr(rig.standin, name, value)
    state = rig.target().read()
    assert (state.evidence, "401" in state.detail) == (TargetEvidence.FAILED, True)
    assert "make a new token" in state.remedy
    assert not rig.target().preflight().is_ready


@pytest.mark.parametrize(
    ("change", "words"),
    [({"token_scopes": ["read_api"]}, "scope api"), ({"is_token_revoked": True}, "revoked")],
)
def test_a_token_that_cannot_write_is_told_before_a_key_is_made(
    rig: GitLabRig, change: dict[str, Any], words: str
) -> None:
    for name, value in change.items():
        setattr(rig.standin, name, value)
    assert words in rig.target().preflight().detail


def test_a_role_that_may_not_write_is_told_with_the_role_it_needs(rig: GitLabRig) -> None:
    rig.standin.is_read_only = True
    for settings, role in (({"project": "acme/shop"}, "Maintainer"), ({"group": "acme"}, "Owner")):
        with pytest.raises(ProviderRefused) as caught:
            rig.target(settings).write(a_pair())
        assert role in caught.value.remedy


def test_a_job_token_does_not_open_variables(rig: GitLabRig) -> None:
    """GitLab answers 401 (doc/ci/jobs/ci_job_token.md); so the configuration has no place for one."""
    for path in ("projects/acme%2Fshop/variables", "projects/acme%2Fshop/variables/X", "groups/acme/variables"):
        request = Request(
            method="GET",
            target=f"/api/v4/{path}",
            headers={"job-token": JOB_TOKEN},
            body=b"",
            base=f"{rig.url}/gitlab",
        )
        assert rig.standin(request).status == 401
    assert "job_token" not in json.dumps(KIND.provider_schema)


def test_a_limit_in_plain_text_is_waited_out(rig: GitLabRig) -> None:
    rig.standin.faults.add(Fault(operation="PUT variables", status=429, headers=(("Retry-After", "42"),)))
    target = rig.target()
    target.write(a_pair("OLD"))
    began = rig.clock.now()
    target.write(a_pair())
    assert rig.clock.now() - began == timedelta(seconds=42)


def test_a_missing_project_and_a_missing_variable_are_two_things(rig: GitLabRig) -> None:
    assert rig.target({"project": "acme/shop"}).read().evidence is TargetEvidence.ABSENT
    assert rig.target({"project": "acme/nowhere"}).read().evidence is TargetEvidence.FAILED
    with pytest.raises(NotThere, match="404"):
        rig.target({"group": "nowhere"}).write(a_pair())


# --- pipelines, removing ----------------------------------------------------------------------------------------------


def test_quiet_looks_for_running_pipelines(rig: GitLabRig) -> None:
    target = rig.target({"project": "acme/shop", "wait_for_idle": "5m"})
    assert target.is_busy() is False
    number = rig.standin.add_pipeline("acme/shop")
    assert target.is_busy() is True
    rig.standin.end_pipeline("acme/shop", number)
    assert target.is_busy() is False
    rig.standin.faults.add(Fault(operation="GET pipelines", status=403, times=-1))
    assert target.is_busy() is None
    assert not target.preflight().is_ready
    assert target.runs_with_old_key(rig.clock.now()).evidence is RunsEvidence.NONE


def test_what_is_ours_is_deleted_and_what_is_not_stays(rig: GitLabRig) -> None:
    target = rig.target()
    target.write(a_pair())
    with pytest.raises(ProviderRefused, match="did not write"):
        target.clear(frozenset({a_pair("OTHER").id}))
    rig.standin.set_variable(PROJECT, ID, "another scope's", scope="*")
    assert target.clear(frozenset({a_pair().id})) == (ID, SECRET)
    assert target.clear(frozenset()) == ()
    assert _stored(rig, ID, "*").value == "another scope's"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "one of"),
        ({"project": "a/b", "group": "a"}, "one of"),
        ({"instance": True, "environment_scope": "x"}, "instance's"),
        ({"instance": True, "hidden": True}, "instance's"),
        ({"project": "a/b", "bundle": "X", "masked": True}, "masks one line"),
        ({"project": "a/b", "hidden": True, "masked": False}, "masked as well"),
        ({"project": "a/b", "names": {"id": "X", "secret": "X"}}, "two names"),
    ],
)
def test_what_does_not_fit_together_is_told(settings: dict[str, Any], words: str) -> None:
    assert words in " ".join(KIND.faults(settings))


def test_an_answer_for_another_scope_is_no_proof_of_a_write(rig: GitLabRig) -> None:
    target = rig.target()
    target.write(a_pair("OLD"))
    body = json.dumps({"key": SECRET, "environment_scope": "*", "value": "x"})
    rig.standin.faults.add(Fault(operation="PUT variables", kind=FaultKind.BODY, status=200, body=body, times=-1))
    with pytest.raises(ProviderUnavailable, match="not known"):
        target.write(a_pair())


# --- GitLab's own description -----------------------------------------------------------------------------------------

NOT_IN_THE_CUT = ("/api/v4/projects", "/api/v4/groups")


def exchanges() -> tuple[list[description.Exchange], str]:
    """Use every operation, over all levels; returns what was sent and answered, and the base URL."""
    with a_gitlab_rig() as made, description.recording("/gitlab", made.standin) as (url, found):
        settings = {"base_url": f"{url}/gitlab/api/v4", "auth": {"token": CANARY_TOKEN}}
        _use_everything(KIND.connect(settings, secrets=Secret, clock=made.clock), made.standin)
    return found, f"{url}/gitlab"


@pytest.mark.filterwarnings("ignore:Unsupported scheme type:UserWarning:openapi_core")
def test_requests_and_answers_are_as_the_description_says() -> None:
    """Everything that the client sends and the emulator answers; the operations are listed."""
    document = description.load("gitlab")
    found, base = exchanges()
    api = description.Description(
        document,
        base,
        undescribed={401, 403, 404, 409, 429},
        queries={"filter[environment_scope]", "page", "per_page"},
        loose={"filter[environment_scope]"},
        beyond=NOT_IN_THE_CUT,
    )
    assert {_held(api, request, response) for request, response in found} - {""} == description.operations("gitlab")


def _held(api: description.Description, request: Request, response: Response) -> str:
    """Hold an exchange; lists are described as an object, nulls as texts, 204 with a body (contracts/README.md)."""
    content = json.loads(response.body) if response.body else None
    is_known_gap = isinstance(content, list) or response.status == 204
    if isinstance(content, dict):
        shown = {name: value for name, value in content.items() if value is not None}
        shown |= {name: value[0] for name, value in shown.items() if name == "variables" and isinstance(value, list)}
        response = Response(status=response.status, body=json.dumps(shown).encode(), headers=response.headers)
    return api.hold(request, response, answers=not is_known_gap)


def _use_everything(connection: Connection, standin: GitLabEmulator) -> None:
    standin.add_schedule("acme/shop", "nightly", {ID: a_pair().id})
    for settings, _, _ in SCOPES.values():
        target = connection.target(settings | {"wait_for_idle": "1m"})
        target.preflight()
        target.write(a_pair("OLD"))
        target.write(a_pair("NEW"))
        target.read()
        target.surroundings()
    for scope in (*connection.scopes("acme"), "instance"):
        tuple(connection.scan(scope))
    for settings, _, _ in SCOPES.values():
        connection.target(settings).clear(frozenset({a_pair("NEW").id}))
    with pytest.raises(NotThere):
        connection.target({"project": "acme/nowhere", "environment_scope": ENVIRONMENT}).write(a_pair())
