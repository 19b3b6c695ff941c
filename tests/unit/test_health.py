"""What does not work now is found whatever was asked for, and decides the exit code (promise says-broken)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders import (
    NEW,
    NOW,
    ODD,
    OLD,
    a_key,
    a_secret,
    absent,
    cannot_tell,
    current,
    down,
    holds,
    observed,
    previous,
    synced,
)
from keyrota.app import words
from keyrota.app.cli.progress import exit_code, exit_code_of_choice, exit_code_of_request
from keyrota.core.adoption import Adoption
from keyrota.core.emergency import Revoke, Rollback
from keyrota.core.model import KeyStatus, Observation, TargetState
from keyrota.core.plan import Duty, Hold, Needs, Plan
from keyrota.core.planner import Intent, Only, Rotate, Routine, SyncOnly, plan
from keyrota.core.policy import CLASSIC
from keyrota.report.data import CredentialReport

OFF = KeyStatus.INACTIVE


def seen(target: TargetState, *, old: KeyStatus = OFF) -> Observation:
    return observed(
        a_key(OLD, age_days=101, status=old),
        a_key(NEW, age_days=11),
        secret=a_secret(previous(OLD), current(NEW), tags=[synced()]),
        targets=(target,),
    )


def broken(observation: Observation, intent: Intent | None = None) -> list[str]:
    planned = plan(observation, CLASSIC, NOW, intent)
    return [hold.reason for hold in planned.holds if hold.needs is Needs.REPAIR]


@pytest.mark.parametrize(
    "intent", [Routine(), SyncOnly(), Revoke(key=OLD), Rollback(to=OLD), Adoption(release=OLD)], ids=str
)
def test_a_place_with_an_inactive_key_is_broken_whatever_was_asked(intent: Intent) -> None:
    assert f"it holds {OLD}, which is Inactive" in broken(seen(holds(OLD)), intent)[0]


@pytest.mark.parametrize(
    ("target", "old", "is_broken"),
    [
        (holds(NEW), OFF, False),
        (holds(OLD), KeyStatus.ACTIVE, False),
        (holds(ODD), OFF, False),  # nobody can tell whose key that is
        (cannot_tell(), OFF, False),
        (down(), OFF, False),
        (absent(), OFF, True),
    ],
)
def test_what_cannot_be_read_is_not_called_broken(target: TargetState, old: KeyStatus, *, is_broken: bool) -> None:
    assert bool(broken(seen(target, old=old))) is is_broken


def test_a_place_with_a_deleted_key_of_ours_is_broken() -> None:
    observation = observed(
        a_key(NEW, age_days=11),
        secret=a_secret(previous(OLD), current(NEW), tags=[synced()], changed=1),
        targets=(holds(OLD),),
    )
    assert f"it holds {OLD}, which is deleted" in broken(observation)[0]


def a_dead_current_key(*tags: tuple[str, str]) -> Observation:
    secret = a_secret(current(NEW), tags=[synced(), *tags], changed=1)
    return observed(a_key(OLD), secret=secret, targets=(holds(NEW),))


@pytest.mark.parametrize(
    "intent",
    [
        Routine(),
        Rotate(key=NEW),
        SyncOnly(),
        Only(duty=Duty.SYNC),
        Only(duty=Duty.ROTATE),
        Rollback(to=ODD),
        Adoption(release=OLD),
        Adoption(key=OLD),
        Adoption(takes_over=True),
    ],
    ids=str,
)
@pytest.mark.parametrize("is_inactive", [True, False])
def test_whatever_is_asked_for_reports_a_current_key_that_does_not_work(intent: Intent, *, is_inactive: bool) -> None:
    """Seed 532: `adopt` ended with 0, and was silent about the key that every target held."""
    others = [a_key(NEW, age_days=11, status=OFF)] if is_inactive else []
    secret = a_secret(current(NEW), tags=[synced()], changed=1)
    observation = observed(a_key(OLD), *others, secret=secret, targets=(holds(NEW),))
    assert [reason for reason in broken(observation, intent) if f"{NEW} is the key that targets hold" in reason]


@pytest.mark.parametrize("intent", [Routine(), SyncOnly(), Only(duty=Duty.SYNC), Only(duty=Duty.ROTATE)], ids=str)
def test_what_stops_every_change_silences_nobody_about_a_dead_key(intent: Intent) -> None:
    """Nothing is done about a secret that is scheduled for deletion, and pipelines fail all the same."""
    alive = a_dead_current_key()
    assert alive.secret is not None
    deleted = replace(alive, secret=replace(alive.secret, deleted_at=NOW))
    assert [intent, *broken(deleted, intent)] == [intent, *broken(alive, intent)]
    assert any("IAM does not have it any more" in reason for reason in broken(deleted, intent))


def test_a_secret_of_another_user_says_nothing_about_the_keys_in_it() -> None:
    """IAM lists this user's keys alone."""
    assert broken(a_dead_current_key(("keyrota:user", "somebody"))) == []


def report(*holds_: Hold) -> CredentialReport:
    return CredentialReport(user="u", account="1", secret_name="s", now=NOW, plan=Plan(holds=holds_))


@pytest.mark.parametrize(
    ("needs", "routine", "request_code"),
    [
        (Needs.NOBODY, words.EXIT_DONE, words.EXIT_FAILED),
        (Needs.PERSON, words.EXIT_HELD, words.EXIT_FAILED),
        (Needs.REPAIR, words.EXIT_FAILED, words.EXIT_FAILED),
    ],
)
def test_the_exit_code_follows_from_who_has_to_act(needs: Needs, routine: int, request_code: int) -> None:
    """A hold that ends by itself is information; a command for one thing is not done while anything holds it."""
    held = [report(Hold(reason="r", needs=needs))]
    assert (exit_code(held), exit_code_of_request(held)) == (routine, request_code)


@pytest.mark.parametrize(
    ("hold", "code"),
    [
        (None, words.EXIT_DONE),
        (Hold(reason="a place waits for a person", target="gitlab acme/shop"), words.EXIT_DONE),
        (Hold(reason="a place fails", target="gitlab acme/shop", needs=Needs.REPAIR), words.EXIT_FAILED),
        (Hold(reason="the current key is Inactive", key=NEW, needs=Needs.REPAIR), words.EXIT_FAILED),
        (Hold(reason="it is not released"), words.EXIT_FAILED),
    ],
)
def test_a_choice_that_is_noted_ends_with_0_only_where_everything_works(hold: Hold | None, code: int) -> None:
    """What waits at a place does not concern the choice; exit code 0 beside a dead key would be an all-clear."""
    assert exit_code_of_choice([report(*filter(None, [hold]))]) == code


def test_the_worst_hold_counts() -> None:
    both = report(Hold(reason="a", needs=Needs.NOBODY), Hold(reason="b", needs=Needs.REPAIR), Hold(reason="c"))
    assert (both.needs, Hold(reason="d").needs) == (Needs.REPAIR, Needs.PERSON)
