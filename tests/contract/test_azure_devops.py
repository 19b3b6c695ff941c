"""What only Azure DevOps has: a group that is replaced as a whole, shared by projects, without an ETag."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from small_rigs import AzureRig, an_azure_rig
from standin_rig import CANARY_TOKEN, a_pair

from keyrota.core.model import RunsEvidence, TargetEvidence
from keyrota.errors import KeyrotaError, NotThere, ProviderRefused, ProviderUnavailable
from keyrota.http import Http
from keyrota.targets.azure_devops import KIND
from keyrota.targets.azure_devops.connection import AzureConnection
from keyrota_sandbox.faults import Fault, FaultKind
from keyrota_sandbox.memory import WorldClock

ID, SECRET = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"


@pytest.fixture
def rig() -> Iterator[AzureRig]:
    """Azure DevOps with a group."""
    with an_azure_rig() as made:
        yield made


@pytest.fixture
def group(rig: AzureRig) -> dict[str, Any]:
    """Everything that is stored of the usual group; made anew by each write."""
    return rig.standin.group(1)


def test_both_halves_go_in_one_put(rig: AzureRig) -> None:
    rig.target().write(a_pair("OLD"))
    rig.seen.clear()
    rig.target().write(a_pair())
    (put,) = [request for request in rig.seen if request.method != "GET"]
    assert {ID, SECRET} <= set(json.loads(put.body)["variables"])
    assert not rig.target().has_separate_variables


def test_a_new_secret_is_one_and_its_id_is_readable(rig: AzureRig) -> None:
    rig.target().write(a_pair())
    variables = rig.standin.group(1)["variables"]
    assert (variables[ID]["isSecret"], variables[SECRET]["isSecret"]) == (False, True)
    assert rig.target().read().key == a_pair().id


def test_everything_else_of_the_group_is_sent_back_as_it_was(rig: AzureRig, group: dict[str, Any]) -> None:
    """Secrets of others, read-only marks, description, and the projects that share the group."""
    rig.standin.set_variable(1, "THEIR_SECRET", "stays", isSecret=True)
    rig.standin.set_variable(1, "theirs", "stays too", isReadOnly=True)
    before = copy.deepcopy(group)
    rig.target().write(a_pair())
    after = rig.standin.group(1)
    ours = {ID: after["variables"].pop(ID), SECRET: after["variables"].pop(SECRET)}
    assert ours[ID]["value"] == a_pair().id
    assert after == before


def test_flags_and_spelling_of_ours_stay(rig: AzureRig) -> None:
    rig.standin.set_variable(1, "aws_access_key_id", "old", isSecret=True, isReadOnly=True)
    rig.standin.set_variable(1, SECRET, "old", isSecret=False)
    rig.target().write(a_pair())
    assert rig.standin.group(1)["variables"] == {
        "aws_access_key_id": {"value": a_pair().id, "isSecret": True, "isReadOnly": True},
        SECRET: {"value": a_pair().secret.reveal(), "isSecret": False},
    }
    state = rig.target().read()
    assert (state.evidence, state.key) == (TargetEvidence.CANNOT_TELL, None)
    assert "no secret variable" in state.notice


@pytest.mark.parametrize("how", ["429", "503", "cut", "after"])
def test_what_others_write_while_we_wait_is_not_put_back(
    rig: AzureRig, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """No PUT is repeated with what was read before: a stale group would undo a change of somebody else's."""
    fault = {
        "429": Fault(operation="PUT group", status=429, headers=(("Retry-After", "30"),)),
        "503": Fault(operation="PUT group", status=503),
        "cut": Fault(operation="PUT group", kind=FaultKind.LOST_BEFORE),
        "after": Fault(operation="PUT group", kind=FaultKind.LOST_AFTER),
    }[how]
    sleep = WorldClock.sleep

    def sleep_while_others_write(clock: WorldClock, seconds: float) -> None:
        rig.set("LATE", "somebody else's")
        sleep(clock, seconds)

    monkeypatch.setattr(WorldClock, "sleep", sleep_while_others_write)
    rig.standin.faults.add(fault)
    rig.target().write(a_pair())
    assert rig.values() == {ID: a_pair().id, SECRET: a_pair().secret.reveal(), "LATE": "somebody else's"}


@pytest.mark.parametrize("times", [1, 99])
def test_a_group_that_somebody_puts_back_is_written_again_and_then_told(
    rig: AzureRig, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """The group is read after the write: whoever read it before us and wrote after us has undone ours."""
    put = rig.standin._put
    undone: list[object] = []

    def put_and_undo(number: int, sent: dict[str, Any]) -> object:
        answer = put(number, sent)
        if len(undone) < times:
            undone.append(rig.standin.group(number)["variables"].pop(ID))
        return answer

    monkeypatch.setattr(rig.standin, "_put", put_and_undo)
    if times == 1:
        rig.target().write(a_pair())
        assert rig.values()[ID] == a_pair().id
    else:
        with pytest.raises(ProviderUnavailable, match="again and again"):
            rig.target().write(a_pair())


@pytest.mark.parametrize("second", [{"project": "acme", "group": "shop"}, {"project": "other", "group": 1}])
def test_pairs_of_two_users_in_one_group_do_not_undo_each_other(rig: AzureRig, second: dict[str, Any]) -> None:
    """Targets are written in parallel: a write that is slow would put back a group without the other pair."""
    rig.standin.faults.add(Fault(operation="PUT group", kind=FaultKind.SLOW, delay_s=0.3))
    slow = rig.target({**rig.usual, "names": {"id": "A", "secret": "B"}})
    quick = rig.target({**second, "names": {"id": "C", "secret": "D"}})
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(slow.write, a_pair())
        while not writing.done() and not any(request.method == "PUT" for request in rig.seen):
            pass
        quick.write(a_pair())
        writing.result()
    assert set(rig.values()) == {"A", "B", "C", "D"}


@pytest.mark.parametrize("references", [None, [], "x"])
def test_a_group_whose_projects_are_not_told_is_left_alone(
    rig: AzureRig, group: dict[str, Any], references: object
) -> None:
    """A write without them would take the group from every project that shares it."""
    body = json.dumps({**group, "variableGroupProjectReferences": references})
    rig.standin.faults.add(Fault(operation="GET group", kind=FaultKind.BODY, status=200, body=body, times=-1))
    assert "share" in rig.target().preflight().detail
    with pytest.raises(ProviderRefused, match="share"):
        rig.target().write(a_pair())
    assert rig.values() == {}


def test_a_group_of_key_vault_is_told_before_the_write(rig: AzureRig) -> None:
    number = rig.standin.add_group("acme", "vault", kind="AzureKeyVault")
    target = rig.target({"project": "acme", "group": number})
    assert "Key Vault" in target.preflight().detail
    with pytest.raises(ProviderRefused, match="Key Vault"):
        target.write(a_pair())


def test_a_name_is_found_among_many_and_a_number_needs_no_list(rig: AzureRig) -> None:
    for number in range(45):
        rig.standin.add_group("acme", f"group {number}")
    number = rig.standin.add_group("acme", "Deploy")
    rig.target({"project": "acme", "group": "deploy"}).write(a_pair())
    assert rig.standin.values(number)[ID] == a_pair().id
    rig.standin.journal.clear()
    rig.target({"project": "acme", "group": number}).write(a_pair())
    assert "GET groups" not in [operation for operation, _ in rig.standin.journal]


@pytest.mark.parametrize("group", ["nobody's", 99])
def test_a_group_that_is_not_there_is_told(rig: AzureRig, group: str | int) -> None:
    target = rig.target({"project": "acme", "group": group})
    with pytest.raises(NotThere):
        target.write(a_pair())
    assert target.read().evidence is TargetEvidence.FAILED


def test_two_groups_of_one_name_are_told(rig: AzureRig) -> None:
    rig.standin.add_group("acme", "SHOP")
    with pytest.raises(ProviderRefused, match="2 variable groups"):
        rig.target().write(a_pair())


def test_a_list_of_groups_is_read_to_its_end(rig: AzureRig) -> None:
    shown = {"value": [{"id": 9, "name": "else"}]}
    rig.standin.faults.add(
        Fault(
            operation="GET groups",
            kind=FaultKind.BODY,
            status=200,
            body=json.dumps(shown),
            headers=(("x-ms-continuationtoken", "1"),),
        )
    )
    rig.target().write(a_pair())
    assert rig.values()[ID] == a_pair().id
    assert [request.query.get("continuationToken") for request in rig.seen[:2]] == [None, "1"]


@pytest.mark.parametrize("body", ['{"value": 5}', "[]", "<html>sign in</html>"])
def test_a_list_of_groups_that_is_none_is_told(rig: AzureRig, body: str) -> None:
    rig.standin.faults.add(Fault(operation="GET groups", kind=FaultKind.BODY, status=200, body=body))
    assert "no list of variable groups" in rig.target().read().detail


@pytest.mark.parametrize("is_same", [True, False])
def test_endless_pages_have_an_end_and_are_no_short_list(rig: AzureRig, *, is_same: bool) -> None:
    """A group beyond the bound was said not to exist, and a key that another group shows could go off."""
    for number in range(51):
        more = (("x-ms-continuationtoken", "1" if is_same else str(number)),)
        fault = Fault(operation="GET groups", kind=FaultKind.BODY, status=200, body='{"value": []}', headers=more)
        rig.standin.faults.add(fault)
    words = "leads back to a page" if is_same else "more than 50 pages"
    assert words in rig.target().read().detail
    assert len(rig.seen) == (2 if is_same else 51)


def test_groups_beside_that_cannot_all_be_listed_are_unread(rig: AzureRig) -> None:
    target = rig.target()
    assert target.read().evidence is TargetEvidence.ABSENT
    for number in range(51):
        more = (("x-ms-continuationtoken", str(number)),)
        fault = Fault(operation="GET groups", kind=FaultKind.BODY, status=200, body='{"value": []}', headers=more)
        rig.standin.faults.add(fault)
    assert "more than 50 pages" in " ".join(target.surroundings().unread)


def test_a_sign_in_page_is_a_refused_token(rig: AzureRig) -> None:
    rig.standin.signs_in = True
    with an_azure_rig(token="wrong") as other:
        other.standin.signs_in = True
        detail = other.target().read().detail
        assert "does not accept the token" in detail
        other.standin.signs_in = False
        assert "does not accept the token" in other.target().read().detail


def test_a_token_of_entra_id_is_a_bearer(rig: AzureRig) -> None:
    rig.target().read()
    assert rig.seen[-1].headers["authorization"].startswith("Basic ")
    with an_azure_rig(entra_token=CANARY_TOKEN) as other:
        other.target().write(a_pair())
        assert other.seen[-1].headers["authorization"] == f"Bearer {CANARY_TOKEN}"


@pytest.mark.parametrize("body", ["<html>sign in</html>", '{"id": 2, "variables": {}}', "[]", ""])
def test_a_write_that_a_proxy_answered_is_not_believed(rig: AzureRig, body: str) -> None:
    rig.standin.faults.add(Fault(operation="PUT group", kind=FaultKind.BODY, status=200, body=body, times=-1))
    with pytest.raises(ProviderUnavailable, match="not known"):
        rig.target().write(a_pair())


def test_plain_values_of_others_stay_out_of_what_is_shown(rig: AzureRig) -> None:
    """Neither in errors and reprs, nor in a traceback with its locals."""
    rig.set("THEIRS", "canary-of-others-77")
    rig.standin.faults.add(Fault(operation="PUT group", status=400, message="canary-of-others-77", times=-1))
    with pytest.raises(KeyrotaError) as caught:
        rig.target().write(a_pair())
    told = f"{caught.value!r} {caught.value.remedy} {rig.target().read()!r} {rig.target()!r}"
    assert "canary-of-others-77" not in told
    inside = [repr(entry.frame.f_locals) for entry in caught.traceback if "test_azure" not in str(entry.path)]
    assert len(inside) >= 3
    assert "canary-of-others-77" not in "\n".join(inside)


def test_what_is_ours_is_taken_out_and_what_is_not_stays(rig: AzureRig) -> None:
    target = rig.target()
    target.write(a_pair())
    rig.set("OTHER", "stays")
    with pytest.raises(ProviderRefused, match="did not write"):
        target.clear(frozenset({a_pair("OTHER").id}))
    assert target.clear(frozenset({a_pair().id})) == (ID, SECRET)
    assert target.clear(frozenset()) == ()
    assert rig.values() == {"OTHER": "stays"}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"project": "a", "group": "b*"}, "number"),
        ({"project": "a", "group": 1, "names": {"id": "x", "secret": "X"}}, "two names"),
    ],
)
def test_what_does_not_fit_together_is_told(settings: dict[str, Any], words: str) -> None:
    assert words in " ".join(KIND.faults(settings))


def test_it_carries_nothing_and_names_itself(rig: AzureRig) -> None:
    target = rig.target()
    assert target.runs_with_old_key(datetime(2026, 1, 1, tzinfo=UTC)).evidence is RunsEvidence.NONE
    assert target.is_busy() is False
    assert (rig.connection.scopes(None), rig.connection.scan("x")) == ((), ())
    settings = {"project": "Acme", "group": 7, "names": {"id": "A"}}
    assert KIND.address(settings) == f"azure_devops Acme/7 (A, {SECRET})"
    assert KIND.is_within(settings, "acme")
    number = "6ce954b1-ce1f-45d1-b94d-e6bf2464ba2c"
    assert KIND.is_within(settings, number.upper()), "it may be the ID of Acme"
    assert KIND.is_within({"project": number, "group": 7}, "acme")
    assert not KIND.is_within({"project": number, "group": 7}, number.replace("6", "7"))
    assert not KIND.is_within(settings, "acme-2")
    assert KIND.variables(settings) == {"azure_devops acme/7: a", f"azure_devops acme/7: {SECRET.lower()}"}


# --- what a read shows beside the pair -----------------------------------------------------------------------------


def test_a_group_that_two_projects_share_is_one_place(rig: AzureRig) -> None:
    """Its number is unique in the organization; names of projects and groups are not."""
    here = rig.target().read().place
    assert here == rig.target({"project": "other", "group": "shop"}).read().place
    assert here == rig.target({"project": "ACME", "group": rig.standin.number("acme", "shop")}).read().place
    assert here is not None
    assert here.id == f"variable group {rig.standin.number('acme', 'shop')}"


def test_a_group_made_again_under_the_name_is_another_place(rig: AzureRig) -> None:
    before = rig.target().read().place
    rig.standin.group(rig.standin.number("acme", "shop"))["name"] = "shop-old"
    renamed = rig.target().read()
    assert (renamed.evidence, renamed.is_gone, renamed.place) == (TargetEvidence.FAILED, False, None)
    rig.standin.add_group("acme", "shop")
    assert rig.target().read().place not in {before, None}


@pytest.mark.parametrize(
    ("base", "origin"),
    [
        ("https://acme.visualstudio.com/", "https://dev.azure.com/acme"),
        ("https://dev.azure.com/acme", "https://dev.azure.com/acme"),
        ("https://tfs.example.test/Collection", "https://tfs.example.test/Collection"),
    ],
)
def test_both_addresses_of_an_organization_are_one_origin(base: str, origin: str) -> None:
    http = Http(base, clock=WorldClock(), own=(base,))
    assert AzureConnection(http, http, WorldClock()).origin == origin


def test_plain_variables_beside_the_pair_show_their_keys_and_nothing_else(rig: AzureRig) -> None:
    rig.target().write(a_pair())
    rig.set("config", f"[default]\naws_access_key_id={a_pair('OLD').id}\nhunter2\n")
    rig.set("hidden", a_pair("UNSEEN").id, secured=True)
    state = rig.target().read()
    assert [(shown.key, shown.where) for shown in state.shown] == [
        (a_pair("OLD").id, "variable config of azure_devops acme/shop")
    ]
    assert "hunter2" not in repr(state)


def test_names_in_other_letters_are_ours(rig: AzureRig) -> None:
    rig.set(ID.lower(), a_pair("OLD").id)
    rig.set(SECRET.title(), "x", secured=True)
    state = rig.target().read()
    assert [variable.name for variable in state.variables] == [ID.lower(), SECRET.title()]
    assert (state.variables[0].key, state.conflicts, state.shown) == (a_pair("OLD").id, (), ())


def test_a_group_linked_to_key_vault_is_a_lasting_conflict(rig: AzureRig) -> None:
    number = rig.standin.add_group("acme", "vault", kind="AzureKeyVault")
    rig.standin.set_variable(number, ID, "", isSecret=True)
    rig.standin.set_variable(number, SECRET, "", isSecret=True)
    (conflict,) = rig.target({"project": "acme", "group": "vault"}).read().conflicts
    assert "Key Vault" in conflict.what
    assert conflict.is_lasting


def test_other_groups_of_the_project_are_looked_at(rig: AzureRig) -> None:
    for number in range(25):
        rig.standin.add_group("acme", f"group-{number}")
    rig.standin.set_variable(rig.standin.number("acme", "group-24"), "K1", a_pair("OLD").id)
    rig.standin.set_variable(rig.standin.add_group("elsewhere", "x"), "K1", a_pair("ELSEWHERE").id)
    rig.target().write(a_pair())
    found = rig.target().surroundings()
    assert [shown.key for shown in found.shown] == [a_pair("OLD").id]
    assert "azure_devops acme/group-24" in found.shown[0].where
    assert (found.conflicts, found.unread) == ((), ())


def test_groups_that_may_not_be_listed_are_named(rig: AzureRig) -> None:
    rig.standin.faults.add(Fault(operation="GET groups", status=403, times=-1))
    assert "variable groups of acme" in rig.target().surroundings().unread[-1]


def test_a_read_by_number_is_one_call_and_by_name_two(rig: AzureRig) -> None:
    rig.target({"project": "acme", "group": rig.standin.number("acme", "shop")}).read()
    rig.target().read()
    assert [operation for operation, _ in rig.standin.journal] == ["GET group", "GET groups", "GET group"]
