"""The executor's parts that need no world: proof by STS, work side by side, one that fails alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from builders import NOW, OLD, USER, a_key, a_secret, an_id, current, observed, synced
from keyrota.core import plan as act
from keyrota.core.model import KeyPair, Observation, unknown_use
from keyrota.core.outcome import Outcome
from keyrota.core.plan import Plan
from keyrota.core.policy import CLASSIC
from keyrota.core.secret import Secret
from keyrota.errors import Bug, KeyrotaError, NotVerified, ProviderRefused, ProviderUnavailable
from keyrota.executor import CredentialContext, Preview, Run, Settings, apply_all, plan_all
from keyrota.executor.parallel import in_parallel
from keyrota.executor.verify import is_user, verify

ACCOUNT = "123456789012"
ARN = f"arn:aws:iam::{ACCOUNT}:user/{USER}"
PAIR = KeyPair(id=OLD, secret=Secret("made up"))


@dataclass
class Hands:
    """A clock that moves when somebody sleeps."""

    instant: datetime = NOW
    slept: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return self.instant

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.instant += timedelta(seconds=seconds)


@dataclass
class Says:
    """STS as a list of answers, the last one for ever."""

    answers: Sequence[Sequence[str | None]]
    asked: int = 0

    def whoami(self, credential: KeyPair) -> Sequence[str | None]:
        assert credential is PAIR
        self.asked += 1
        return self.answers[min(self.asked, len(self.answers)) - 1]


def a_subject(identity: object = None, **known: Any) -> CredentialContext:
    ports: dict[str, Any] = {"access_keys": None, "store": None, "identity": identity}
    return CredentialContext(user=USER, account=ACCOUNT, secret_name="s", policy=CLASSIC, targets=(), **(ports | known))


def proven(answers: Sequence[Sequence[str | None]], **known: Any) -> tuple[int, list[float]]:
    """How often STS was asked, and the pauses between."""
    clock, says = Hands(), Says(answers)
    verify(a_subject(says), PAIR, Settings(clock=clock, run="r", **known))
    return says.asked, clock.slept


YES, NO = (ARN,), (None,)


def test_a_key_is_proven_by_several_yes_in_a_row_spread_over_the_time() -> None:
    assert proven([YES]) == (4, [10.0, 10.0, 10.0])
    assert proven([YES], verify_times=1) == (1, [])
    assert proven([YES], verify_times=2, verify_span_s=7.0) == (2, [7.0])


def test_a_no_in_between_begins_the_count_anew() -> None:
    assert proven([YES, YES, YES, NO, YES])[0] == 8
    assert proven([(ARN, None), (ARN, ARN)])[0] == 5
    assert proven([(), YES])[0] == 5


def test_a_key_that_is_not_accepted_in_time_is_left_to_the_next_run() -> None:
    clock, says = Hands(), Says([NO])
    with pytest.raises(NotVerified, match="4 times in a row within 180 s"):
        verify(a_subject(says), PAIR, Settings(clock=clock, run="r"))
    assert sum(clock.slept) == 190


def test_the_last_moment_still_counts() -> None:
    clock, says = Hands(), Says([*[NO] * 17, YES])
    verify(a_subject(says), PAIR, Settings(clock=clock, run="r", verify_give_up_s=200.0))
    assert sum(clock.slept) == 200


def test_a_key_of_somebody_else_is_refused_at_once() -> None:
    clock, says = Hands(), Says([(None, f"{ARN}-other")])
    with pytest.raises(ProviderRefused, match="belongs to"):
        verify(a_subject(says), PAIR, Settings(clock=clock, run="r"))
    assert (says.asked, clock.slept) == (1, [])


@pytest.mark.parametrize(
    ("arn", "is_it"),
    [
        (ARN, True),
        (f"arn:aws-cn:iam::{ACCOUNT}:user/teams/ci/{USER}", True),
        (f"arn:aws:iam::210987654321:user/{USER}", False),
        (f"arn:aws:iam::{ACCOUNT}:role/{USER}", False),
        (f"arn:aws:iam::{ACCOUNT}:user/{USER}/other", False),
        (f"arn:aws:iam::{ACCOUNT}:user/x{USER}", False),
        (f"arn:aws:iam::{ACCOUNT}:root", False),
        (f"{ACCOUNT}:user/{USER}", False),
        ("", False),
    ],
)
def test_an_arn_is_the_user_s(arn: str, is_it: bool) -> None:
    assert is_user(arn, ACCOUNT, USER) is is_it


def test_things_are_done_side_by_side_and_answered_in_order() -> None:
    meeting = threading.Barrier(3, timeout=120)

    def meet(number: int) -> int:
        meeting.wait()  # comes to its end only if all three are under way
        return -number

    assert in_parallel(meet, iter([1, 2, 3]), 8) == [-1, -2, -3]
    assert in_parallel(meet, [], 8) == []


def test_no_more_at_once_than_was_said_and_one_thing_needs_no_thread() -> None:
    meeting, threads = threading.Barrier(2, timeout=0.3), set[int]()

    def meet(_: int) -> bool:
        threads.add(threading.get_ident())
        try:
            meeting.wait()
        except threading.BrokenBarrierError:
            return False
        return True

    assert in_parallel(meet, [1, 2, 3], 1) == [False, False, False]
    assert threading.get_ident() not in threads
    assert in_parallel(lambda _: threading.get_ident(), [1], 8) == [threading.get_ident()]


def test_the_writers_of_a_run_are_as_many_as_its_settings_say() -> None:
    said: list[int] = []

    def note(do: Callable[[Any], Any], things: Any, workers: int) -> list[Any]:
        said.append(workers)
        return [do(thing) for thing in things]

    settings = Settings(clock=Hands(), run="r", writers=3, parallel=note)
    assert settings.each(lambda x: x + 1, [1, 2]) == [2, 3]
    assert said == [3]


@dataclass
class Place:
    """A target that has an address."""

    address: str


def test_a_fingerprint_changes_with_the_set_of_targets_and_with_nothing_else() -> None:
    def of(*places: str, services: tuple[str, ...] = ()) -> str:
        return replace(a_subject(), targets=tuple(Place(place) for place in places), services=services).fingerprint  # type: ignore[misc]  # no whole targets

    assert of("a", "b") == of("b", "a")
    assert len({of("a"), of("b"), of("a", "b"), of(), of("a", services=("github https://ghe",)), of("ab")}) == 6
    assert len(of("a")) == 16
    assert of("a", "b") == "7e18f737311b2dc3"
    assert of("a") == "ca978112ca1bbdca"  # SHA-256 of the address: tags that were written before still count


# --- many at once ---------------------------------------------------------------------------------------------------

DUE = Plan(actions=(act.CreateKey(reason="due", due=NOW),))
REST = Plan()


class Fixed(Run):
    """A run whose plan and end are given."""

    def __init__(self, subject: CredentialContext, end: Callable[[], Outcome]) -> None:
        super().__init__(subject, Settings(clock=Hands(), run="r"))
        self._end = end

    def apply(self, *_: object) -> Outcome:
        return self._end()


def preview(plan: Plan | None = DUE, end: Callable[[], Outcome] | None = None, **known: Any) -> Preview:
    subject = a_subject()
    done = end or (lambda: Outcome(user=USER, account=ACCOUNT, plan=REST))
    seen = None if plan is None else observed()
    return Preview(subject=subject, run=Fixed(subject, done), plan=plan, observation=seen, **known)


def test_what_could_not_be_planned_is_an_error_of_its_own() -> None:
    error = ProviderUnavailable("IAM does not answer")
    outcomes = apply_all([preview(None, error=error), preview(None), preview()])
    assert [outcome.errors for outcome in outcomes] == [(error,), (), ()]
    assert [outcome.plan for outcome in outcomes] == [None, None, REST]
    assert {(outcome.user, outcome.account) for outcome in outcomes} == {(USER, ACCOUNT)}


def test_who_comes_late_leaves_what_is_due_to_the_next_run() -> None:
    late, idle = apply_all([preview(), preview(REST)], is_late=lambda: True)
    assert (late.left, late.done, late.plan) == (DUE.actions, (), DUE)
    assert (idle.left, idle.plan) == ((), REST)
    (begun,) = apply_all([preview()], is_late=lambda: False)
    assert begun.left == ()


def test_a_bug_on_one_credential_stops_no_other_and_shows_no_value() -> None:
    def fail() -> Outcome:
        raise ValueError("a secret value")

    first, before = preview(end=fail), ProviderUnavailable("what failed before")
    first.run._errors.append(before)
    broken, fine = apply_all([first, preview()])
    known, bug = broken.errors
    assert known is before
    assert isinstance(bug, Bug)
    assert bug.what == "a bug in keyrota: ValueError"
    assert bug.where is not None
    assert bug.where.startswith("fail, line ")
    assert (broken.plan, fine.errors) == (DUE, ())


def test_how_many_at_once_is_the_caller_s_choice() -> None:
    said: list[int] = []

    def note(do: Callable[[Any], Any], things: Any, workers: int) -> list[Any]:
        said.append(workers)
        return [do(thing) for thing in things]

    apply_all([preview()], parallel=note, at_once=5)
    apply_all([preview()], parallel=note)
    plan_all([], Settings(clock=Hands(), run="r", parallel=note), at_once=3)
    plan_all([], Settings(clock=Hands(), run="r", parallel=note))
    assert said == [5, 8, 3, 8]


@dataclass
class Iam:
    """IAM that answers with one thing."""

    answer: Exception | None

    def list(self, _: str) -> tuple[()]:
        if self.answer:
            raise self.answer
        return ()


@dataclass
class Vault:
    """A secret store with one secret."""

    seen: Observation = field(default_factory=lambda: observed(a_key(), secret=a_secret(current(), tags=[synced()])))

    def describe(self, _: str) -> object:
        return self.seen.secret


def test_a_credential_that_cannot_be_read_is_planned_alone() -> None:
    unread = ProviderUnavailable("IAM does not answer")
    subjects = [
        a_subject(access_keys=Iam(unread), store=Vault()),
        a_subject(access_keys=Iam(KeyError("a secret value")), store=Vault()),
        a_subject(access_keys=Iam(None), store=Vault()),
    ]
    first, second, third = plan_all(subjects, Settings(clock=Hands(), run="r"))
    assert (first.error, first.plan) == (unread, None)
    assert isinstance(second.error, Bug)
    assert "a secret value" not in str(second.error)
    assert (third.error, third.user) == (None, USER)
    assert third.plan is not None
    assert third.observation is not None
    assert isinstance(unread, KeyrotaError)


def test_a_pair_as_a_file() -> None:
    text = KeyPair(id=an_id("A"), secret=Secret("made up")).as_file().reveal()
    assert text == f"[default]\naws_access_key_id = {an_id('A')}\naws_secret_access_key = made up\n"


def test_an_unread_use_is_unknown() -> None:
    assert (unknown_use("x").evidence.value, unknown_use("x").why) == ("unknown", "x")
