"""What a read shows beside the pair, whatever the provider: the place, each variable, other keys, conflicts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from small_rigs import RIGS
from standin_rig import AnyRig, a_pair

from keyrota.core.model import TargetEvidence
from keyrota_sandbox.faults import Fault

ID, SECRET = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
Rig = AnyRig[Any]
SMALL = ("kubernetes", "circleci", "terraform", "azure_devops", "buildkite", "codespaces", "forgejo")


@pytest.fixture(params=SMALL)
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """An emulator for each of the smaller providers in turn."""
    with RIGS[request.param]() as made:
        yield made


def test_a_place_is_the_same_before_and_after_the_first_write(rig: Rig) -> None:
    """Otherwise what was remembered at the first write would be another place at the next look."""
    before = rig.target().read().place
    rig.target().write(a_pair())
    assert before is not None
    assert rig.target().read().place == before
    assert before.origin.startswith(rig.url)
    assert rig.target().address.startswith(before.kind)


def test_another_place_of_the_same_provider_has_another_id(rig: Rig) -> None:
    here, there = rig.target().read().place, rig.target(rig.set_up("other-place")).read().place
    assert here is not None
    assert there is not None
    assert here != there
    assert (here.kind, here.origin) == (there.kind, there.origin)


def test_each_variable_is_new_and_then_replaced(rig: Rig) -> None:
    before = {variable.name: variable for variable in rig.target().read().variables}
    assert {ID, SECRET} <= set(before)
    assert not any(variable.is_present for variable in before.values())
    rig.target().write(a_pair("OLD"))
    after = {variable.name: variable for variable in rig.target().read().variables}
    assert set(after) == set(before)
    assert all(variable.is_present for variable in after.values())
    telling = {variable.key for variable in after.values()} - {None}
    assert telling == ({a_pair("OLD").id} if rig.target().is_id_readable else set())


def test_another_users_key_is_shown_for_what_it_is(rig: Rig) -> None:
    """Whoever decides about the first write sees the key that it would replace, where a read shows one."""
    is_shown = rig.target().is_id_readable and rig.target().read().variables[-1].name in {ID, SECRET}
    rig.set(ID, a_pair("STRANGER").id)
    rig.set(SECRET, "theirs", secured=True)
    keys = {variable.name: variable.key for variable in rig.target().read().variables}
    assert keys.get(ID) == (a_pair("STRANGER").id if is_shown else None)
    assert keys.get(SECRET) is None


@pytest.mark.parametrize(("there", "missing"), [(ID, SECRET), (SECRET, ID)])
def test_exactly_one_half_is_a_conflict(rig: Rig, there: str, missing: str) -> None:
    rig.set(there, "something" if there == SECRET else a_pair("OLD").id)
    state = rig.target().read()
    (conflict,) = [each for each in state.conflicts if "half a pair" in each.what]
    assert there in conflict.what
    assert missing in conflict.what
    assert conflict.remedy
    assert state.evidence is TargetEvidence.ABSENT
    assert not state.is_empty


def test_a_whole_pair_and_an_empty_place_are_no_conflict(rig: Rig) -> None:
    rig.set("OTHER", "x")
    assert rig.target().read().conflicts == ()
    rig.target().write(a_pair())
    assert rig.target().read().conflicts == ()


def test_the_pair_under_other_names_is_a_conflict_that_proposes_them(rig: Rig) -> None:
    """A second pair beside it would be read by nothing, and the first one's key would go."""
    rig.set("DEPLOY_AWS_ACCESS_KEY_ID", a_pair("OLD").id)
    rig.set("DEPLOY_AWS_SECRET_ACCESS_KEY", "x", secured=True)
    (conflict,) = rig.target().read().conflicts
    assert "names: {id: DEPLOY_AWS_ACCESS_KEY_ID, secret: DEPLOY_AWS_SECRET_ACCESS_KEY}" in conflict.remedy
    assert not conflict.is_lasting


def test_a_session_token_beside_the_pair_is_a_lasting_conflict(rig: Rig) -> None:
    rig.target().write(a_pair())
    rig.set("AWS_SESSION_TOKEN", "x", secured=True)
    (conflict,) = rig.target().read().conflicts
    assert "session token" in conflict.what
    assert conflict.is_lasting


def test_surroundings_never_raise(rig: Rig) -> None:
    """What cannot be read is named."""
    rig.standin.faults.add(Fault(operation="*", status=403, times=-1))
    found = rig.target().surroundings()
    assert found.address == rig.target().address
    assert found.shown == ()
