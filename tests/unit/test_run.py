"""The loop of one run: what it does of a plan, what it leaves, what it tells, and when it ends."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from builders import NEW, NOW, ODD, OLD, USER, a_key, observed
from keyrota.core import plan as act
from keyrota.core.emergency import Revoke, Rollback
from keyrota.core.model import AccessKeyId, Observation, VersionId
from keyrota.core.plan import Hold, Plan, Upcoming
from keyrota.core.planner import Intent, Routine
from keyrota.core.policy import CLASSIC
from keyrota.errors import LostRace, PlanChanged, ProviderUnavailable
from keyrota.executor import CredentialContext, Event, EventKind, Run, Settings
from keyrota.executor.run import _log_plan

V1 = VersionId("v1")
ODD_TIME = NOW + timedelta(days=1)


@dataclass
class Ports:
    """Ports that write down what is asked, and fail as they are told."""

    fails: dict[str, Exception] = field(default_factory=dict)
    calls: list[tuple[object, ...]] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        def ask(*given: object, **_: object) -> None:
            about = next((one for one in given if one not in (USER, "s") and isinstance(one, str)), "")
            self.calls.append((name, about))
            if name in self.fails:
                raise self.fails[name]

        return ask

    def now(self) -> datetime:
        return NOW

    def describe(self, _: str) -> None:
        return None


class Scripted(Run):
    """A run that sees one plan after the other, the last one for ever."""

    def __init__(self, *plans: Plan | Exception, ports: Ports | None = None, intent: Intent | None = None) -> None:
        self.ports = ports or Ports()
        known: dict[str, Any] = {"access_keys": self.ports, "identity": self.ports, "store": self.ports, "targets": ()}
        subject = CredentialContext(user=USER, account="1", secret_name="s", policy=CLASSIC, **known)
        super().__init__(subject, Settings(clock=self.ports, run="r"), intent)
        self._plans = list(plans)
        self.looks: list[bool] = []
        self.events: list[Event] = []

    def _look(self, *, is_fresh: bool) -> tuple[Observation, Plan]:
        self.looks.append(is_fresh)
        return self._decide(observed(a_key(OLD)))

    def _decide(self, read: Observation) -> tuple[Observation, Plan]:
        then = self._plans.pop(0) if len(self._plans) > 1 else self._plans[0]
        if isinstance(then, Exception):
            raise then
        return read, then

    def end(self, first: Plan) -> Any:
        return self.apply(first, observed(), self.events.append)


def tidy(label: str = "x", **known: Any) -> act.RemoveLabel:
    return act.RemoveLabel(label=label, version=V1, reason="", due=NOW, **known)


def off(key: AccessKeyId = OLD, **known: Any) -> act.Deactivate:
    return act.Deactivate(key=key, reason="", due=NOW, **known)


def gone(key: AccessKeyId = ODD, **known: Any) -> act.DeleteOrphan:
    return act.DeleteOrphan(key=key, reason="", due=NOW, **known)


def claim(**known: Any) -> act.TakeClaim:
    return act.TakeClaim(key=OLD, reason="", due=NOW, **known)


def promote(key: AccessKeyId = NEW, **known: Any) -> act.Promote:
    return act.Promote(key=key, version=V1, remove_from=None, reason="", due=NOW, **known)


def of(*actions: act.Action) -> Plan:
    return Plan(actions=actions)


NOTHING = Plan()


def test_what_is_done_is_told_and_listed() -> None:
    run = Scripted(NOTHING)
    outcome = run.end(of(promote()))
    assert [(one.action, one.at, one.key) for one in outcome.done] == [(promote(), NOW, NEW)]
    assert (outcome.user, outcome.account, outcome.errors, outcome.left) == (USER, "1", (), ())
    assert (outcome.plan, outcome.observation) == (NOTHING, observed(a_key(OLD)))
    assert [(event.kind, event.action, event.key, event.error) for event in run.events] == [
        (EventKind.DOING, promote(), NEW, None),
        (EventKind.DONE, promote(), NEW, None),
    ]
    assert {(event.at, event.user, event.account) for event in run.events} == {(NOW, USER, "1")}
    assert run.looks == [False]


def test_a_new_key_s_own_id_is_told_once_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keyrota.executor.run.perform", lambda *_: NEW)
    run = Scripted(NOTHING)
    outcome = run.end(of(claim()))
    assert [event.key for event in run.events] == [OLD, NEW]
    assert [one.key for one in outcome.done] == [NEW]


def test_a_failed_action_is_told_and_not_tried_again_and_others_go_on() -> None:
    error = ProviderUnavailable("503")
    both = of(promote(), tidy())
    run = Scripted(both, of(promote()), ports=Ports({"reactivate": error}))
    stuck = act.Reactivate(key=OLD, reason="", due=NOW)
    run = Scripted(of(stuck, promote()), of(stuck), ports=Ports({"reactivate": error}))
    outcome = run.end(of(stuck, promote()))
    assert [one.action for one in outcome.done] == [promote()]
    assert outcome.errors == (error,)
    assert [(event.kind, event.error) for event in run.events][:2] == [
        (EventKind.DOING, None),
        (EventKind.FAILED, error),
    ]
    assert run.ports.calls.count(("reactivate", OLD)) == 1


def test_targets_are_read_again_after_a_sync_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of them were written: what the report shows of them is what they hold."""

    def fail(*_: object) -> None:
        raise ProviderUnavailable("one of two")

    monkeypatch.setattr("keyrota.executor.run.perform", fail)
    run = Scripted(NOTHING)
    run._targets = ()
    outcome = run.end(of(act.Sync(key=OLD, targets=("a", "b"), reason="", due=NOW)))
    assert [error.what for error in outcome.errors] == ["one of two"]
    assert run._targets is None


def test_after_a_key_that_may_exist_no_new_claim_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answer was lost: claiming again would take it for one that was there before."""
    done: list[str] = []

    def perform(_: object, action: act.Action, *__: object) -> None:
        done.append(type(action).__name__)
        if not isinstance(action, act.TakeClaim):
            raise ProviderUnavailable("no answer")

    monkeypatch.setattr("keyrota.executor.run.perform", perform)
    create = act.CreateKey(key=OLD, reason="", due=NOW)
    Scripted(of(claim())).end(of(create))
    assert done == ["CreateKey"]
    done.clear()
    Scripted(of(claim()), NOTHING).end(of(promote(OLD)))
    assert done == ["Promote", "TakeClaim"]


def test_a_lost_race_is_an_error_only_if_nobody_did_it_instead() -> None:
    ports = Ports({"move_label": LostRace("another was first")})
    assert Scripted(NOTHING, ports=ports).end(of(promote())).errors == ()
    assert [event.kind for event in Scripted(NOTHING, ports=ports).events] == []
    run = Scripted(of(promote()), ports=ports)
    outcome = run.end(of(promote()))
    assert [str(error.what) for error in outcome.errors] == ["another was first"]
    assert (outcome.done, run.ports.calls) == ((), [("move_label", "AWSCURRENT")] * len(run.ports.calls))
    waits = Scripted(of(promote(follows=True)), ports=ports).end(of(promote()))
    assert waits.errors == ()


def test_what_follows_waits_and_what_was_not_planned_is_left() -> None:
    later = of(off(ODD, follows=True), off(ODD), promote())
    run = Scripted(later)
    outcome = run.end(of(claim(follows=True)))
    assert (outcome.done, outcome.left) == ((), ())
    run = Scripted(later, NOTHING)
    outcome = run.end(of(off(OLD, follows=True), promote()))
    assert [one.action for one in outcome.done] == [promote(), promote()]
    assert outcome.left == (off(ODD),)
    run = Scripted(of(off(ODD), promote(ODD)), NOTHING)
    outcome = run.end(of(promote(), off(OLD, follows=True)))
    assert outcome.left == (off(ODD),), "another key was promised"
    assert [one.action for one in outcome.done] == [promote(), promote(ODD)], "of a rotation's steps any is promised"


def test_of_what_takes_a_key_away_only_the_promised_key_s_is_done() -> None:
    for kind in (act.Deactivate, act.Delete, act.DeleteOrphan):
        other = _as(kind, off(ODD))
        outcome = Scripted(of(other), NOTHING).end(of(_as(kind, off(OLD, follows=True)), promote()))
        assert outcome.left == (other,)


KINDS: list[tuple[act.Action, bool]] = [
    (tidy(), True),
    (act.NoteActive(key=OLD, reason="", due=NOW), True),
    (act.NoteOrphan(key=OLD, reason="", due=NOW), True),
    (act.NoteStack(reason="", due=NOW), True),
    (act.MarkRevoked(key=OLD, reason="", due=NOW), True),
    (gone(), False),
    (act.Delete(key=OLD, version=None, reason="", due=NOW), False),
    (off(), False),
    (promote(), False),
]


@pytest.mark.parametrize(("action", "is_done"), KINDS, ids=[type(row[0]).__name__ for row in KINDS])
def test_books_are_kept_though_nobody_planned_it(action: act.Action, *, is_done: bool) -> None:
    run = Scripted(of(action), NOTHING)
    first = of(act.DenySessions(reason="", due=NOW))
    outcome = run.end(first)
    assert [type(one.action) for one in outcome.done] == [act.DenySessions, *([type(action)] if is_done else [])]
    assert outcome.left == (() if is_done else (action,))


def test_a_run_drops_what_it_made_itself() -> None:
    for made, is_done in ((ODD, True), (NEW, False)):
        run = Scripted(of(gone()), of(gone()), NOTHING)
        run._memory.made = {made: a_key(made)}
        outcome = run.end(of(act.DenySessions(reason="", due=NOW)))
        assert (("delete", ODD) in run.ports.calls) is is_done
        assert outcome.left == (() if is_done else (gone(),))


@pytest.mark.parametrize("intent", [Revoke(key=OLD), Rollback(to=OLD)])
def test_a_person_s_road_goes_on_whatever_the_first_plan_showed(intent: Intent) -> None:
    run = Scripted(of(promote()), NOTHING, intent=intent)
    outcome = run.end(of(act.DenySessions(reason="", due=NOW)))
    assert [type(one.action) for one in outcome.done] == [act.DenySessions, act.Promote]
    assert isinstance(Scripted(NOTHING)._intent, Routine)


PROVEN: list[tuple[str, Plan | Exception, bool]] = [
    ("it still is", of(off()), True),
    ("it is not due any more", NOTHING, False),
    ("it waits for something now", of(off(follows=True)), False),
    ("another key is", of(off(ODD)), False),
    ("it cannot be looked at", ProviderUnavailable("503"), False),
]


@pytest.mark.parametrize(("case", "then", "is_done"), PROVEN, ids=[row[0] for row in PROVEN])
def test_what_needs_proof_is_looked_at_once_more_in_the_same_step(
    case: str, then: Plan | Exception, *, is_done: bool
) -> None:
    for action, call in (
        (off(), "deactivate"),
        (gone(OLD), "delete"),
        (act.Delete(key=OLD, version=None, reason="", due=NOW), "delete"),
    ):
        kind = type(action)
        again: Plan | Exception = then
        if isinstance(then, Plan):
            again = of(*(_as(kind, one) for one in then.actions))
        run = Scripted(again, NOTHING)
        outcome = run.end(of(action, tidy()))
        assert ((call, OLD) in run.ports.calls) is is_done, case
        assert run.looks[0] is True
        kinds = [type(error) for error in outcome.errors]
        assert kinds == ([] if is_done else [ProviderUnavailable if isinstance(then, Exception) else PlanChanged])
        assert (("move_label", "x") in run.ports.calls) is not is_done, "what failed holds nothing else back"


def _as(kind: Any, action: act.Action) -> Any:
    known: dict[str, Any] = {"version": None} if kind is act.Delete else {}
    return kind(key=action.key, follows=action.follows, reason="", due=NOW, **known)


def test_a_run_that_cannot_look_ends_there() -> None:
    error = ProviderUnavailable("503")
    run = Scripted(error, of(tidy()))
    outcome = run.end(of(promote(), tidy()))
    assert (len(outcome.done), outcome.errors, len(run.looks)) == (1, (error,), 1)


def test_what_is_undone_each_time_is_given_up_and_said() -> None:
    """Somebody puts a label back as often as it is removed."""
    run = Scripted(of(tidy()))
    outcome = run.end(of(tidy()))
    assert len(run.ports.calls) == 5
    assert "was done 5 times in this run, and undone each time" in outcome.errors[0].what


def test_a_loop_without_end_is_a_bug() -> None:
    run = Scripted(*[of(tidy(f"x{number}")) for number in range(70)])
    with pytest.raises(RuntimeError, match="no end after 60 steps"):
        run.end(of(tidy("x")))
    assert len(run.ports.calls) == 60


def test_a_plan_asks_targets_afresh_and_is_made_with_their_answers() -> None:
    ask = act.Preflight(reason="", due=NOW)
    run = Scripted(of(ask, promote()), of(promote()))
    run._memory.carried = ()
    assert run.plan()[1] == of(promote())
    assert run.looks == [True]
    assert run._memory.readiness == ()
    assert run._memory.carried is None
    idle = Scripted(of(promote()))
    idle.plan()
    assert (idle.looks, idle._memory.readiness) == ([True], None)


def test_why_is_logged_for_whoever_asks(caplog: pytest.LogCaptureFixture) -> None:
    planned = Plan(
        actions=(promote(),),
        holds=(Hold(reason="held so"),),
        upcoming=(Upcoming(shown="rotate", due=NOW, reason="its age"),),
    )
    with caplog.at_level(logging.DEBUG, "keyrota"):
        _log_plan(Scripted(NOTHING)._subject, planned)
    assert [record.getMessage() for record in caplog.records] == [
        f"{USER}: Promote {NEW}: ",
        f"{USER}: held: held so",
        f"{USER}: rotate due {NOW.isoformat()}: its age",
    ]


def test_targets_are_asked_for_runs_as_well_before_a_plan_is_made() -> None:
    run = Scripted(of(act.AskRuns(key=OLD, before=NOW, reason="", due=NOW), off()), of(off()))
    assert run.plan()[1] == of(off())
    assert (run.looks, run._memory.carried) == ([True], ())


# --- each action has an identity of its own ---------------------------------------------------------------------------


def release(policy: str) -> act.ReleaseQuarantine:
    return act.ReleaseQuarantine(policy_arn=f"arn:aws:iam::aws:policy/{policy}", reason="", due=NOW)


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("release_quarantine", release("V2"), release("V3")),
        ("move_label", tidy("one"), tidy("two")),
        ("deactivate", off(OLD), off(NEW)),
    ],
)
def test_one_refused_action_does_not_keep_another_from_being_tried(
    name: str, first: act.Action, second: act.Action
) -> None:
    """`ReleaseQuarantine` of the first of two policies was refused, and the second was never tried."""
    assert first.identity != second.identity
    ports = Ports(fails={name: ProviderUnavailable("down")})
    run = Scripted(of(first, second), ports=ports, intent=Revoke(key=OLD))
    outcome = run.end(of(first, second))
    assert [call[0] for call in ports.calls].count(name) == 2
    assert len(outcome.errors) == 2


def test_an_action_is_the_same_for_another_reason_at_another_time() -> None:
    """Else what failed once would be tried again and again in one run."""
    again = act.Deactivate(key=OLD, reason="another", due=ODD_TIME, follows=True, is_emergency=True)
    assert again.identity == off(OLD).identity
    assert act.Sync(key=NEW, targets=("a", "b"), reason="", due=NOW).identity == (
        act.Sync(key=NEW, targets=("b",), reason="one is left", due=NOW).identity
    )


def test_no_two_kinds_of_action_share_an_identity() -> None:
    assert len({one.identity for one in (tidy(), off(), gone(OLD), claim(), promote(OLD), release("V3"))}) == 6
