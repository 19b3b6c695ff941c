"""Promise right-credential: keyrota never deactivates, deletes or denies what it is running with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from builders import NEW, NOW, OLD, USER, a_key, a_secret, by_run, current, holds, observed, previous, synced, used
from keyrota.core import plan as act
from keyrota.core.emergency import Revoke, Rollback
from keyrota.core.model import Caller, CredentialId, Observation
from keyrota.core.own_key import refusal, without_own_key
from keyrota.core.plan import Duty, Hold, Needs, Plan
from keyrota.core.planner import Intent, Only, Routine, plan
from keyrota.core.policy import CLASSIC

OURS = CredentialId(account="123456789012", user=USER)
ELSEWHERE = CredentialId(account="222222222222", user=USER)
SECRET = a_secret(current(NEW, "v2"), previous(OLD, "v1"), tags=(synced("v2", since=40),))
OVERLAP_OVER = by_run(
    observed(a_key(OLD, age_days=140), a_key(NEW, age_days=50), secret=SECRET, targets=(holds(NEW),)), carried=()
)


def _planned(seen: Observation, caller: Caller, intent: Intent | None = None) -> Plan:
    return plan(replace(seen, runs_as=caller), CLASSIC, NOW, intent)


def _ended(actions: Iterable[act.Action]) -> set[object]:
    return {action.key for action in actions if isinstance(action, (act.Deactivate, act.Delete, act.DeleteOrphan))}


@pytest.mark.parametrize("intent", [Routine(), Only(duty=Duty.DEACTIVATE)])
@pytest.mark.parametrize("caller", [Caller(keys=frozenset({OLD})), Caller(session_of=OURS)])
def test_the_routine_holds_its_own_key(caller: Caller, intent: Intent) -> None:
    assert _ended(_planned(OVERLAP_OVER, Caller(), intent).actions) == {OLD}, "the case is one of deactivation"
    planned = _planned(OVERLAP_OVER, caller, intent)
    assert _ended(planned.actions) == set()
    (hold,) = [hold for hold in planned.holds if "keyrota's own key" in hold.reason]
    assert (hold.key, hold.needs) == (OLD, Needs.PERSON)
    assert "another identity" in hold.remedy


def test_that_its_own_key_is_still_used_is_no_news() -> None:
    """It is keyrota that uses it: the hold says so instead."""
    busy = replace(OVERLAP_OVER, keys=(a_key(OLD, age_days=140, use=used(0.1)), a_key(NEW, age_days=50)))
    (usual,) = _planned(busy, Caller()).holds
    assert "used" in usual.reason
    (hold,) = _planned(busy, Caller(keys=frozenset({OLD}))).holds
    assert "keyrota's own key" in hold.reason


@pytest.mark.parametrize("caller", [Caller(keys=frozenset({NEW})), Caller(session_of=ELSEWHERE), Caller()])
def test_another_key_is_not_held(caller: Caller) -> None:
    """The user's other key, and a session of the user of that name in another account."""
    assert _ended(_planned(OVERLAP_OVER, caller).actions) == {OLD}


@pytest.mark.parametrize("more", [{}, {"off_first": True}, {"with_sessions": True}, {"releases_quarantine": True}])
@pytest.mark.parametrize("caller", [Caller(keys=frozenset({NEW})), Caller(session_of=OURS)])
def test_a_revocation_of_the_own_key_is_refused_as_a_whole(caller: Caller, more: dict[str, bool]) -> None:
    """`revoke --now` deactivated its own key first, and nobody was left to make the next one."""
    wish = Revoke(key=NEW, **more)
    assert _planned(OVERLAP_OVER, Caller(), wish).actions
    planned = _planned(OVERLAP_OVER, caller, wish)
    assert planned.actions == ()
    assert any("keyrota's own key" in hold.reason or "own session" in hold.reason for hold in planned.holds)


def test_the_other_key_of_the_own_user_is_revoked() -> None:
    assert _planned(OVERLAP_OVER, Caller(keys=frozenset({NEW})), Revoke(key=OLD)).actions


def test_a_rollback_ends_no_key_and_goes_on() -> None:
    assert _planned(OVERLAP_OVER, Caller(keys=frozenset({NEW})), Rollback(to=OLD)).actions


def test_a_refusal_names_the_key_or_the_session() -> None:
    seen = replace(OVERLAP_OVER, runs_as=Caller(keys=frozenset({OLD})))
    assert (held := refusal(seen, OLD)) is not None
    assert held.reason.startswith(f"{OLD} is keyrota's own key")
    assert refusal(seen, NEW) is None
    session = replace(OVERLAP_OVER, runs_as=Caller(session_of=OURS))
    assert (held := refusal(session, OLD)) is not None
    assert f"temporary credentials of {OURS}" in held.reason


def test_what_does_not_work_is_reported_beside_the_own_key() -> None:
    """That a replaced key is still used is no news of keyrota's own; that a place fails is."""
    seen = replace(OVERLAP_OVER, runs_as=Caller(keys=frozenset({OLD})))
    broken = Hold(reason="a place fails", key=OLD, needs=Needs.REPAIR)
    waiting, of_other = Hold(reason="still used", key=OLD), Hold(reason="something else", key=NEW)
    planned = Plan(actions=(act.Deactivate(key=OLD, reason="", due=NOW),), holds=(broken, waiting, of_other))
    found = without_own_key(planned, seen, None)
    assert found.actions == ()
    assert found.holds[:2] == (broken, of_other)
    assert [hold.key for hold in found.holds[2:]] == [OLD]
    assert without_own_key(planned, replace(seen, runs_as=Caller()), None) == planned
