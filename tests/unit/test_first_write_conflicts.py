"""Which conflicts and which missing variables make a first write wait for a person."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders import NEW, NOW, ODD, OLD, SHOP, a_key, a_secret, absent, current, observed
from keyrota.core.model import (
    AccessKeyId,
    Conflict,
    CredentialId,
    TargetEvidence,
    TargetState,
    UserName,
    VariableState,
)
from keyrota.core.planner import plan
from keyrota.core.policy import CLASSIC

OTHER = CredentialId(account="210987654321", user=UserName("ci-other"))
PAIR_ELSEWHERE = Conflict(what="a pair under another name", remedy="set `names:`", key=ODD)


def held(target: TargetState, *, neighbours: dict[AccessKeyId, CredentialId] | None = None) -> list[str]:
    """Plan the first write of a user's key to one place; say what is held."""
    seen = observed(a_key(OLD, age_days=1), secret=a_secret(current(OLD)), targets=(target,))
    seen = replace(seen, neighbours=tuple((neighbours or {}).items()))
    return [hold.reason for hold in plan(seen, CLASSIC, NOW).holds if hold.target == SHOP]


def test_a_pair_under_another_name_asks_unless_another_configured_user_has_it() -> None:
    """One place may hold the pairs of two users, each under its own names."""
    target = replace(absent(), is_empty=True, conflicts=(PAIR_ELSEWHERE,))
    assert "a pair under another name" in held(target)[0]
    assert held(target, neighbours={NEW: OTHER})
    assert held(target, neighbours={ODD: OTHER}) == []


@pytest.mark.parametrize(
    ("present", "marker", "is_held"),
    [((True, True), False, False), ((True, False), False, True), ((True, False), True, True), ((), False, True)],
    ids=["only the marker is missing", "a half is missing", "the marker is there", "nothing is known of it"],
)
def test_a_missing_marker_is_no_half_of_a_pair(present: tuple[bool, ...], marker: bool, is_held: bool) -> None:
    """Secrets that a person set, and `marker: true` in the configuration: the first write makes the marker."""
    variables = tuple(VariableState(name=f"V{number}", is_present=each) for number, each in enumerate(present))
    variables += (VariableState(name="MARK", is_present=marker, is_marker=True),) if present else ()
    target = TargetState(address=SHOP, evidence=TargetEvidence.ABSENT, detail="MARK", variables=variables)
    assert bool(held(target)) is is_held
