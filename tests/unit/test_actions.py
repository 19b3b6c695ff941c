"""What each action asks of the ports, in which order, and what the run remembers of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from builders import (
    NEVER,
    NEW,
    NOW,
    ODD,
    OLD,
    SHOP,
    USER,
    a_claim,
    a_key,
    a_secret,
    a_version,
    claim_version,
    current,
    observed,
    pending,
    previous,
)
from keyrota.core import plan as act
from keyrota.core.lifecycle import CLOCKS_DIFFER, CREATED_WITHIN, SIGNED_WITHIN, interpret
from keyrota.core.model import (
    Caller,
    CarriedRuns,
    Claim,
    CreatedKey,
    KeyOwner,
    KeyPair,
    KeyStatus,
    Readiness,
    RunsEvidence,
    SecretState,
    UserName,
    VersionId,
    claim_token,
    key_token,
    make_restored_token,
)
from keyrota.core.policy import CLASSIC
from keyrota.core.secret import Secret
from keyrota.errors import KeyrotaError, LostRace, OwnKey, ProviderRefused, ProviderUnavailable, SecretUnusable
from keyrota.executor import CredentialContext, Settings
from keyrota.executor.actions import perform
from keyrota.executor.claims import create_under_claim
from keyrota.executor.run_state import RunState

ARN = f"arn:aws:iam::123456789012:user/{USER}"
STAMP = NOW.isoformat()
PAIR = KeyPair(id=NEW, secret=Secret("made up"))
BESIDE = Secret("{}")
Call = tuple[object, ...]
PROBE = ("tag", {"keyrota:user": USER})
"""Whoever may not write tags makes no key."""


@dataclass
class Stage:
    """Ports that write down what is asked of them, and answer as they are told."""

    secret: SecretState | None = field(default_factory=lambda: a_secret(previous(ODD), current()))
    answers: dict[str, Any] = field(default_factory=lambda: {"delete": True})
    """What a call returns, or raises, by its name."""
    calls: list[Call] = field(default_factory=list)
    instant: datetime = NOW
    slow: dict[str, timedelta] = field(default_factory=dict)
    """How long a call takes."""
    arn: str | None = ARN

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def ask(*given: object, **named: object) -> Any:
            if name == "describe":
                return self.secret
            self.calls.append(
                (name, *(one for one in given if one not in (USER, "keyrota/ci-deploy")), *named.values())
            )
            self.instant += self.slow.get(name, timedelta())
            answer = self.answers.get(name)
            answer = answer.pop(0) if isinstance(answer, list) else answer
            if isinstance(answer, Exception):
                raise answer
            return answer

        return ask

    def now(self) -> datetime:
        return self.instant

    def sleep(self, seconds: float) -> None:
        self.instant += timedelta(seconds=seconds)

    def whoami(self, _: KeyPair) -> tuple[str | None, ...]:
        self.calls.append(("whoami",))
        return (self.arn,)

    @property
    def settings(self) -> Settings:
        return Settings(clock=self, run="this-run", verify_times=1)

    def subject(self, *targets: Any, **known: Any) -> CredentialContext:
        ports: dict[str, Any] = {"access_keys": self, "identity": self, "store": self, "targets": targets}
        known = {"stack": "the stack", "tags": {"team": "ci"}} | known
        return CredentialContext(
            user=USER, account="123456789012", secret_name="keyrota/ci-deploy", policy=CLASSIC, **ports, **known
        )

    def perform(
        self, action: act.Action, memory: RunState | None = None, *keys: Any, targets: tuple[Any, ...] = ()
    ) -> Any:
        seen = observed(*(keys or (a_key(OLD),)), secret=self.secret)
        return perform(self.subject(*targets), action, seen, self.settings, memory or RunState())


def tagged(tag: str, value: str) -> Call:
    return ("tag", {f"keyrota:{tag}": value})


CALLS: list[tuple[str, Callable[..., act.Action], Mapping[str, Any], list[Call]]] = [
    (
        "a secret is created with the user's tags and its owner",
        act.CreateSecret,
        {},
        [("create", {"team": "ci", "keyrota:user": USER})],
    ),
    (
        "the current version is adopted with its key",
        act.Adopt,
        {"version": "v1", "key": OLD},
        [("move_label", OLD, "v1", "v1"), tagged("user", USER)],
    ),
    (
        "the version that was seen, whatever is current by then",
        act.Adopt,
        {"version": "v0", "key": ODD},
        [("move_label", ODD, "v0", "v0"), tagged("user", USER)],
    ),
    (
        "the version that is current by then, where there was none",
        act.Adopt,
        {"version": None, "key": NEW},
        [("move_label", NEW, "v1", None), tagged("user", USER)],
    ),
    (
        "promotion: away from the version that was observed",
        act.Promote,
        {"key": NEW, "version": "v2", "remove_from": "v1"},
        [("move_label", "AWSCURRENT", "v2", "v1")],
    ),
    (
        "a label comes off",
        act.RemoveLabel,
        {"label": "keyrota:pending", "version": "v1"},
        [("move_label", "keyrota:pending", None, "v1")],
    ),
    ("off, and noted", act.Deactivate, {"key": OLD}, [("deactivate", OLD), tagged("deactivated", f"{OLD}@{STAMP}")]),
    ("seen on again", act.NoteActive, {"key": OLD}, [tagged("deactivated", f"{OLD}@{STAMP}@on")]),
    ("the stack", act.NoteStack, {}, [tagged("stack", "the stack")]),
    ("a lost key", act.NoteOrphan, {"key": NEW}, [tagged("orphan", f"{NEW}@{STAMP}")]),
    (
        "revoked: its version is marked",
        act.MarkRevoked,
        {"key": OLD},
        [("move_label", f"keyrota:revoked:{OLD}", "v1", None)],
    ),
    ("revoked, and in no version", act.MarkRevoked, {"key": NEW}, []),
    (
        "on again, and noted",
        act.Reactivate,
        {"key": OLD},
        [("reactivate", OLD), tagged("deactivated", f"{OLD}@{STAMP}@on")],
    ),
    (
        "deleted, and its label off",
        act.Delete,
        {"key": ODD, "version": "v0"},
        [("delete", ODD), ("move_label", ODD, None, "v0")],
    ),
    ("deleted by who moves no labels", act.Delete, {"key": ODD, "version": None}, [("delete", ODD)]),
    ("a lost key is deleted", act.DeleteOrphan, {"key": NEW}, [("delete", NEW)]),
    ("sessions are denied from now on", act.DenySessions, {}, [("deny_sessions_before", NOW)]),
    ("a quarantine is lifted", act.ReleaseQuarantine, {"policy_arn": "arn"}, [("release_quarantine", "arn")]),
]


@pytest.mark.parametrize(("case", "kind", "known", "calls"), CALLS, ids=[row[0] for row in CALLS])
def test_an_action_asks(
    case: str, kind: Callable[..., act.Action], known: Mapping[str, Any], calls: list[Call]
) -> None:
    stage = Stage()
    action = kind(reason="", due=NOW, **known)
    assert (stage.perform(action), stage.calls) == (action.key, calls), case


def test_a_revoked_key_is_marked_once_and_trusted_again_when_a_person_asks_for_it() -> None:
    marked = a_version("v1", "AWSCURRENT", OLD, f"keyrota:revoked:{OLD}")
    stage = Stage(a_secret(marked))
    stage.perform(act.MarkRevoked(key=OLD, reason="", due=NOW))
    assert stage.calls == []
    stage.perform(act.Reactivate(key=OLD, reason="", due=NOW))
    assert stage.calls[:2] == [("move_label", f"keyrota:revoked:{OLD}", None, "v1"), ("reactivate", OLD)]


def test_a_label_that_somebody_else_took_off_is_off() -> None:
    stage = Stage(answers={"move_label": LostRace("it is gone")})
    stage.perform(act.RemoveLabel(label="x", version=VersionId("v1"), reason="", due=NOW))
    with pytest.raises(LostRace):
        stage.perform(act.Promote(key=NEW, version=VersionId("v2"), remove_from=VersionId("v1"), reason="", due=NOW))


def test_a_label_that_could_not_be_taken_off_is_an_error() -> None:
    """Or the run would say that it is off, plan it again, and come to no end."""
    stage = Stage(answers={"move_label": ProviderUnavailable("no answer")})
    with pytest.raises(ProviderUnavailable):
        stage.perform(act.RemoveLabel(label="x", version=VersionId("v1"), reason="", due=NOW))


@pytest.mark.parametrize(
    ("answers", "dropped"),
    [
        ({}, set()),
        ({"move_label": ProviderUnavailable("the answer is lost")}, set()),
        ({"move_label": LostRace("another run was first")}, {NEW}),
    ],
    ids=["promoted", "perhaps promoted", "another run was first"],
)
def test_a_run_drops_of_its_own_keys_what_was_never_aws_current(
    answers: dict[str, KeyrotaError], dropped: set[str]
) -> None:
    """Whoever synced since then gave the key to targets, and AWSCURRENT may have moved on by now."""
    stage, memory = Stage(answers=answers), RunState()
    memory.made = {NEW: a_key(NEW)}
    with contextlib.suppress(KeyrotaError):
        stage.perform(
            act.Promote(key=NEW, version=VersionId("v2"), remove_from=VersionId("v1"), reason="", due=NOW), memory
        )
    assert memory.add_to(observed(a_key(OLD))).made_here == dropped


@pytest.mark.parametrize(
    "action",
    [
        act.Promote(key=None, version=None, remove_from=None, reason="", due=NOW),
        act.Promote(key=NEW, version=None, remove_from=None, reason="", due=NOW),
        act.Promote(key=None, version=VersionId("v2"), remove_from=None, reason="", due=NOW),
        act.Verify(key=None, version=None, reason="", due=NOW),
        act.CreateKey(reason="", due=NOW),
    ],
)
def test_what_is_only_projected_is_not_carried_out(action: act.Action) -> None:
    stage = Stage()
    with pytest.raises(RuntimeError, match="projected"):
        stage.perform(action)
    assert stage.calls == []


# --- what a run remembers -------------------------------------------------------------------------------------------


def test_a_run_sees_its_own_doings_though_iam_s_list_lags() -> None:
    stage, memory = Stage(), RunState()
    memory.made = {key: a_key(key) for key in (NEW, ODD)}
    for action in (
        act.Deactivate(key=OLD, reason="", due=NOW),
        act.DeleteOrphan(key=ODD, reason="", due=NOW),
        act.DenySessions(reason="", due=NOW),
    ):
        stage.perform(action, memory)
    memory.seen_gone.add(ODD)
    memory.verified.add(NEW)
    seen = memory.add_to(observed(a_key(OLD), a_key(ODD)))
    assert seen.keys == (a_key(OLD, status=KeyStatus.INACTIVE), a_key(NEW))
    assert (set(seen.made_here), set(seen.seen_gone), set(seen.verified)) == ({NEW}, {ODD}, {NEW})
    assert seen.are_sessions_denied
    assert (seen.readiness, seen.carried) == (None, None)
    stage.perform(act.Reactivate(key=OLD, reason="", due=NOW), memory)
    again = memory.add_to(observed(a_key(OLD, status=KeyStatus.INACTIVE), a_key(NEW, age_days=3)))
    assert again.keys == (a_key(OLD), a_key(NEW, age_days=3)), "what IAM lists itself is taken from there"
    stage.perform(act.Delete(key=OLD, version=None, reason="", due=NOW), memory)
    assert memory.add_to(observed(a_key(OLD))).keys == (a_key(NEW),)


def test_a_run_that_did_nothing_adds_nothing() -> None:
    strange = replace(a_key(OLD), status=KeyStatus.OTHER, status_word="Asleep")
    for seen in (
        replace(observed(key), surroundings=None, first_looks=None, readers=None, user_tag=None)
        for key in (a_key(OLD), strange)
    ):
        assert RunState().add_to(seen) == seen


@dataclass
class Asked:
    """A target that answers questions."""

    address: str = SHOP
    before: list[datetime] = field(default_factory=list)

    def preflight(self) -> Readiness:
        return Readiness(address=self.address, is_ready=True)

    def runs_with_old_key(self, before: datetime) -> CarriedRuns:
        self.before.append(before)
        return CarriedRuns(address=self.address, evidence=RunsEvidence.NONE)


def test_answers_of_targets_are_remembered() -> None:
    stage, memory, target = Stage(), RunState(), Asked()
    stage.perform(act.Preflight(reason="", due=NOW), memory, targets=(target,))
    assert stage.perform(act.AskRuns(key=OLD, before=NOW, reason="", due=NOW), memory, targets=(target,)) == OLD
    seen = memory.add_to(observed())
    assert seen.readiness == (Readiness(address=SHOP, is_ready=True),)
    assert (seen.carried, target.before) == ((CarriedRuns(address=SHOP, evidence=RunsEvidence.NONE),), [NOW])


# --- adopting what somebody else wrote ------------------------------------------------------------------------------

UNKNOWN_PAIR = act.Adopt(version=VersionId("v1"), key=None, reason="", due=NOW)


def test_a_foreign_version_is_read_proven_and_labelled() -> None:
    stage, memory = Stage(a_secret(a_version("v1", "AWSCURRENT"))), RunState()
    stage.answers["read"] = PAIR
    assert stage.perform(UNKNOWN_PAIR, memory, a_key(OLD), a_key(NEW)) == NEW
    assert stage.calls == [("read", "v1"), ("whoami",), ("move_label", NEW, "v1", None), tagged("user", USER)]
    assert memory.verified == {NEW}


@pytest.mark.parametrize("call", ["move_label", "tag"])
def test_a_key_whose_label_could_not_be_put_on_is_not_adopted(call: str) -> None:
    stage, memory = Stage(a_secret(a_version("v1", "AWSCURRENT", "keyrota:placeholder"))), RunState()
    stage.answers[call] = ProviderUnavailable("no answer")
    with pytest.raises(ProviderUnavailable):
        stage.perform(act.Adopt(version=VersionId("v1"), key=OLD, reason="", due=NOW), memory)
    assert interpret(memory.add_to(observed(a_key(OLD), secret=stage.secret))).current_key is None


@pytest.mark.parametrize("call", ["Verify", "Adopt"])
def test_a_key_that_is_asked_about_again_is_not_known_until_sts_has_answered(call: str) -> None:
    """Another run may have changed what AWSCURRENT is since; a key that is no longer accepted is served nowhere."""
    stage, memory = Stage(a_secret(a_version("v1", "AWSCURRENT"))), RunState()
    stage.answers["read"], stage.arn = PAIR, None
    memory.verified.add(NEW)
    asked = act.Verify(key=NEW, version=VersionId("v1"), reason="", due=NOW) if call == "Verify" else UNKNOWN_PAIR
    with contextlib.suppress(KeyrotaError):
        stage.perform(asked, memory, a_key(OLD), a_key(NEW))
    assert memory.verified == set()


def test_a_foreign_version_without_a_pair_counts_as_a_placeholder() -> None:
    stage, memory = Stage(a_secret(a_version("v0", "keyrota:placeholder"), a_version("v1", "AWSCURRENT"))), RunState()
    assert stage.perform(UNKNOWN_PAIR, memory) is None
    assert stage.calls == [("read", "v1"), ("move_label", "keyrota:placeholder", "v1", "v0"), tagged("user", USER)]
    assert memory.verified == set()


def test_a_sync_run_moves_no_label_and_knows_the_key_all_the_same() -> None:
    stage, memory = Stage(a_secret(a_version("v0", NEW), a_version("v1", "AWSCURRENT"))), RunState()
    stage.answers["read"] = PAIR
    unlabelled = replace(UNKNOWN_PAIR, is_labelled=False)
    assert stage.perform(unlabelled, memory, a_key(OLD), a_key(NEW)) == NEW
    assert stage.calls == [("read", "v1"), ("whoami",)]
    seen = memory.add_to(observed(a_key(NEW), secret=stage.secret))
    assert interpret(seen).current_key == NEW
    assert seen.secret is not None
    assert [version.labels for version in seen.secret.versions] == [frozenset(), {"AWSCURRENT", NEW}]


def test_a_pair_of_another_user_is_refused_and_not_adopted() -> None:
    stage, memory = Stage(a_secret(a_version("v1", "AWSCURRENT")), answers={"read": PAIR}), RunState()
    stage.answers["list"] = (a_key(NEW),)
    other = replace(stage.subject(), user=UserName("ci-other"))
    seen = observed(a_key(OLD), secret=stage.secret)
    assert perform(other, UNKNOWN_PAIR, seen, stage.settings, memory) is None
    assert stage.calls == [("read", "v1"), ("whoami",)]
    assert memory.refused is not None
    assert f"the key {NEW} belongs to {ARN}" in memory.refused.reason
    assert memory.labels == {}


def test_a_key_that_iam_does_not_list_yet_is_waited_for() -> None:
    stage, memory = Stage(a_secret(a_version("v1", "AWSCURRENT")), answers={"read": PAIR}), RunState()
    stage.answers["list"] = [(a_key(OLD),), (a_key(OLD), a_key(NEW))]
    assert stage.perform(UNKNOWN_PAIR, memory) == NEW
    assert stage.instant == NOW + timedelta(seconds=4)


def test_a_pair_that_sts_does_not_accept_is_waited_for_only_while_its_key_may_be_new() -> None:
    for age_days, waited in ((1.0, 30), (0.001, 60)):
        stage, memory = Stage(a_secret(a_version("v1", "AWSCURRENT")), answers={"read": PAIR}), RunState()
        stage.arn = None
        assert stage.perform(UNKNOWN_PAIR, memory, a_key(NEW, age_days=age_days)) is None
        assert memory.refused is not None
        assert "STS does not accept the pair" in memory.refused.reason
        assert waited <= (stage.instant - NOW).total_seconds() <= waited + 60


def test_an_old_key_is_proven_as_often_as_any_other() -> None:
    """Several times in a row takes its time: accepted once is no refusal."""
    stage, memory = Stage(a_secret(a_version("v1", "AWSCURRENT")), answers={"read": PAIR}), RunState()
    stage.slow["read"] = timedelta(seconds=1)
    seen = observed(a_key(NEW, age_days=40), secret=stage.secret)
    settings = replace(stage.settings, verify_times=4)
    assert perform(stage.subject(), UNKNOWN_PAIR, seen, settings, memory) == NEW
    assert stage.calls.count(("whoami",)) == 4


def test_an_inactive_key_is_refused_at_once() -> None:
    stage, memory = Stage(a_secret(a_version("v1", "AWSCURRENT")), answers={"read": PAIR}), RunState()
    assert stage.perform(UNKNOWN_PAIR, memory, a_key(NEW, status=KeyStatus.INACTIVE)) is None
    assert stage.calls == [("read", "v1")]
    assert memory.refused is not None
    assert "which is Inactive" in memory.refused.reason


def test_a_value_without_a_pair_is_refused_where_a_version_held_one() -> None:
    stage, memory = Stage(a_secret(a_version("v0", OLD), a_version("v1", "AWSCURRENT"))), RunState()
    assert stage.perform(UNKNOWN_PAIR, memory) is None
    assert stage.calls == [("read", "v1")]
    assert memory.refused is not None
    assert "holds no access key" in memory.refused.reason


def test_what_is_not_current_any_more_cannot_be_adopted() -> None:
    for secret in (None, a_secret(previous())):
        stage = Stage(secret)
        with pytest.raises(LostRace):
            stage.perform(act.Adopt(version=None, key=OLD, reason="", due=NOW))
        assert stage.calls == []


# --- a claim, and a key under it ------------------------------------------------------------------------------------

TAKE = act.TakeClaim(key=OLD, keys_seen=frozenset({OLD}), reason="", due=NOW)
ARN_OF_SECRET = a_secret().arn


def token(generation: int) -> VersionId:
    return claim_token(ARN_OF_SECRET, VersionId("v1"), generation)


def taken(generation: int, at: datetime = NOW) -> Claim:
    return Claim(
        version=token(generation),
        run="this-run",
        at=at,
        lease_until=at + timedelta(minutes=10),
        keys_seen=frozenset({OLD}),
    )


def test_the_first_claim_that_nobody_has_used_is_taken() -> None:
    for used_up in range(3):
        stage, memory = Stage(a_secret(current(), *(a_version(token(number)) for number in range(used_up)))), RunState()
        stage.perform(TAKE, memory)
        assert stage.calls == [PROBE, ("put_claim", taken(used_up))]
        assert memory.claim == taken(used_up)


def test_a_claim_that_is_refused_and_that_nobody_wears_was_used_up() -> None:
    answers = {"put_claim": [LostRace("used up"), None], "claim": taken(0, NOW - timedelta(minutes=1))}
    stage, memory = Stage(a_secret(current()), answers=answers), RunState()
    stage.perform(TAKE, memory)
    assert memory.claim == taken(1)
    assert stage.calls[2] == ("claim", token(0))


def test_a_claim_that_is_refused_because_another_run_holds_it_is_lost() -> None:
    class Race(Stage):
        def put_claim(self, *_: object) -> None:
            self.secret = a_secret(current(), a_version(token(0), "keyrota:claim"))
            raise LostRace("another was first")

    memory = RunState()
    with pytest.raises(LostRace, match="another was first"):
        Race(a_secret(current())).perform(TAKE, memory)
    assert memory.claim is None


def test_a_claim_of_another_run_that_is_not_shown_yet_is_lost_all_the_same() -> None:
    """Soak 523: two claims at once took each other's label, and the key of one of them was nobody's for good."""

    class Late(Stage):
        def describe(self, _: str) -> SecretState:
            is_shown = self.instant > NOW + timedelta(seconds=10)
            return a_secret(current(), *([a_version(token(0), "keyrota:claim")] if is_shown else []))

    for claim in (taken(0, NOW - timedelta(seconds=2)), None):  # what cannot be read is not shown yet either
        stage, memory = Late(answers={"put_claim": LostRace("another was first"), "claim": claim}), RunState()
        with pytest.raises(LostRace, match="another was first"):
            stage.perform(TAKE, memory)
        assert memory.claim is None


def test_a_young_claim_that_came_off_is_waited_for_and_was_used_up() -> None:
    """IAM refused a key to the run before: its claim came off at once, which an old answer does not tell apart."""
    answers = {"put_claim": [LostRace("used up"), None], "claim": taken(0, NOW - timedelta(seconds=50))}
    stage, memory = Stage(a_secret(current()), answers=answers), RunState()
    stage.perform(TAKE, memory)
    assert memory.claim is not None
    assert (memory.claim.version, memory.claim.at) == (token(1), stage.instant)
    assert stage.instant >= NOW + timedelta(seconds=10)


def test_a_claim_that_came_since_the_plan_was_made_is_somebody_s() -> None:
    stage = Stage(a_secret(current(), claim_version()))
    with pytest.raises(LostRace, match="meanwhile"):
        perform(stage.subject(), TAKE, observed(a_key(), secret=a_secret(current())), stage.settings, RunState())
    assert stage.calls == []
    stage.perform(TAKE)  # the plan saw it, and found it to be over
    assert stage.calls == [PROBE, ("put_claim", taken(0))]


def test_a_secret_that_is_gone_is_not_claimed() -> None:
    with pytest.raises(LostRace, match="is gone"):
        Stage(None).perform(TAKE)


def test_a_thousand_claims_are_enough() -> None:
    used_up = tuple(a_version(token(number)) for number in range(1024))
    with pytest.raises(ProviderRefused, match="1024 claims on one version"):
        Stage(a_secret(current(), *used_up)).perform(TAKE)
    stage, memory = Stage(a_secret(current(), *used_up[:-1])), RunState()
    stage.perform(TAKE, memory)
    assert memory.claim == taken(1023)


MADE = CreatedKey(credential=PAIR, created=NOW)
CREATE = act.CreateKey(key=OLD, base=VersionId("v1"), reason="", due=NOW)


def test_a_key_is_stored_with_the_very_next_call() -> None:
    stage = Stage(answers={"create": MADE, "other_fields": BESIDE})
    memory = RunState(claim=taken(0))
    assert stage.perform(CREATE, memory) == NEW
    assert stage.calls == [
        ("other_fields", "v1"),
        ("create",),
        ("put_pending", key_token(NEW, VersionId("v1")), PAIR, BESIDE),
    ]
    assert memory.made == {NEW: a_key(NEW, age_days=0, use=NEVER)}


RESTORE = act.Restore(key=NEW, version=VersionId("v0"), base=VersionId("v1"), reason="", due=NOW)
RESTORED = make_restored_token(NEW, VersionId("v1"))


def test_an_older_pair_is_stored_again_beside_today_s_fields() -> None:
    """What people changed beside the pair does not go back with it."""
    stage = Stage(answers={"read": PAIR, "other_fields": BESIDE})
    assert stage.perform(RESTORE) == NEW
    assert stage.calls == [("read", "v0"), ("other_fields", "v1"), ("put_restored", RESTORED, PAIR, BESIDE)]


def test_a_version_without_that_pair_is_not_stored_again() -> None:
    stage = Stage(answers={"read": None})
    with pytest.raises(ProviderRefused, match="does not hold that key"):
        stage.perform(RESTORE)
    assert stage.calls == [("read", "v0")]


def test_a_key_is_stored_for_the_version_that_was_planned_for() -> None:
    """AWSCURRENT may have moved since: a key that counted as made for the new one would be promoted over it."""
    stage = Stage(a_secret(previous(OLD, "v1"), current(ODD, "v9")), answers={"create": MADE, "other_fields": BESIDE})
    stage.perform(CREATE, RunState(claim=taken(0)))
    assert stage.calls[0] == ("other_fields", "v1")
    assert stage.calls[-1] == ("put_pending", key_token(NEW, VersionId("v1")), PAIR, BESIDE)


LATEST = timedelta(minutes=10) - SIGNED_WITHIN - 2 * CLOCKS_DIFFER
TIMES: list[tuple[str, timedelta, timedelta, bool, bool]] = [
    ("at once", timedelta(), timedelta(), True, True),
    ("a moment before the claim is too old", CREATED_WITHIN - timedelta(seconds=1), timedelta(), True, True),
    ("the claim is too old", CREATED_WITHIN, timedelta(), False, False),
    ("made in time, answered in time", timedelta(), LATEST - timedelta(seconds=1), True, True),
    ("made in time, answered too late to store it", timedelta(), LATEST, True, False),
]


@pytest.mark.parametrize(("case", "waits", "takes", "is_made", "is_stored"), TIMES, ids=[row[0] for row in TIMES])
def test_a_key_is_made_while_its_claim_lasts(
    *, case: str, waits: timedelta, takes: timedelta, is_made: bool, is_stored: bool
) -> None:
    stage = Stage(answers={"create": MADE}, slow={"create": takes})
    memory = RunState(claim=taken(0))
    stage.instant += waits
    try:
        create_under_claim(stage.subject(), stage.settings, memory)
        was_stored, remedy = True, ""
    except LostRace as error:
        was_stored, remedy = False, error.remedy
    assert ("run the same command again" in remedy) is not was_stored
    assert (("create",) in stage.calls, set(memory.made) == {NEW}, was_stored) == (is_made, is_made, is_stored), case


def test_without_a_claim_no_key_is_made() -> None:
    stage = Stage(answers={"create": MADE})
    with pytest.raises(LostRace):
        create_under_claim(stage.subject(), stage.settings, RunState())
    assert stage.calls == []


def test_a_claim_comes_off_when_iam_refuses_the_key_for_good() -> None:
    stage = Stage(answers={"create": ProviderRefused("no"), "other_fields": BESIDE})
    memory = RunState(claim=a_claim(run="this-run"))
    with pytest.raises(ProviderRefused):
        stage.perform(CREATE, memory)
    assert stage.calls[2:] == [("move_label", "keyrota:claim", None, "claim")]
    assert memory.made == {}


def test_a_claim_stays_when_the_answer_is_lost() -> None:
    """A key may have been made: by the claim alone a later run tells it from a stranger's."""
    stage = Stage(answers={"create": ProviderUnavailable("no answer"), "other_fields": BESIDE})
    with pytest.raises(ProviderUnavailable):
        stage.perform(CREATE, RunState(claim=a_claim(run="this-run")))
    assert [call[0] for call in stage.calls] == ["other_fields", "create"]


VERIFY = act.Verify(key=NEW, version=VersionId("v2"), reason="", due=NOW)


def test_a_stored_key_is_proven_and_remembered() -> None:
    stage, memory = Stage(a_secret(current(), pending()), answers={"read": PAIR}), RunState()
    assert stage.perform(VERIFY, memory) == NEW
    assert (stage.calls, memory.verified) == ([("read", "v2"), ("whoami",)], {NEW})


@pytest.mark.parametrize("held", [None, KeyPair(id=ODD, secret=Secret("x"))])
def test_a_version_that_does_not_hold_its_key_is_refused(held: KeyPair | None) -> None:
    stage, memory = Stage(answers={"read": held}), RunState()
    with pytest.raises(ProviderRefused, match=f"the version labelled {NEW} does not hold that key"):
        stage.perform(VERIFY, memory)
    assert (stage.calls, memory.verified) == ([("read", "v2")], set())


def test_a_key_that_another_run_deleted_is_that_run_s_to_report() -> None:
    """Two runs delete the same key: each deed is reported once, and neither run failed."""
    stage, memory = Stage(answers={"delete": False}), RunState()
    with pytest.raises(LostRace, match="another run has deleted"):
        stage.perform(act.Delete(key=ODD, version=VersionId("v0"), reason="", due=NOW), memory)
    assert stage.calls == [("delete", ODD), ("move_label", ODD, None, "v0")]
    assert memory.deleted == {ODD}


ENDS = [
    act.Deactivate(key=OLD, reason="", due=NOW),
    act.Delete(key=OLD, version=VersionId("v1"), reason="", due=NOW),
    act.DeleteOrphan(key=OLD, reason="", due=NOW),
]


@pytest.mark.parametrize("action", ENDS, ids=lambda action: type(action).__name__)
def test_the_own_key_is_not_ended_whatever_was_planned(action: act.Action) -> None:
    """Promise right-credential: the last look, at the call itself."""
    for keys, is_refused in (({OLD}, True), ({NEW}, False)):
        stage = Stage()
        seen = replace(observed(a_key(OLD), secret=stage.secret), runs_as=Caller(keys=frozenset(keys)))
        with pytest.raises(OwnKey) if is_refused else contextlib.nullcontext():
            perform(stage.subject(), action, seen, stage.settings, RunState())
        assert bool(stage.calls) is not is_refused


@pytest.mark.parametrize("action", ENDS[1:], ids=lambda action: type(action).__name__)
@pytest.mark.parametrize("is_ours", [True, False])
def test_each_deletion_is_reported_by_the_run_that_did_it(action: act.Action, is_ours: bool) -> None:
    stage, memory = Stage(answers={"delete": is_ours}), RunState(made={OLD: a_key(OLD)})
    with contextlib.nullcontext() if is_ours else pytest.raises(LostRace):
        stage.perform(action, memory)
    assert memory.deleted == {OLD}


@pytest.mark.parametrize(
    ("account", "user", "status", "expected"),
    [
        ("123456789012", USER, None, KeyOwner(key=ODD, account="123456789012", user=USER)),
        (
            "123456789012",
            UserName("web"),
            KeyStatus.INACTIVE,
            KeyOwner(key=ODD, account="123456789012", user=UserName("web"), status=KeyStatus.INACTIVE),
        ),
        (None, UserName("web"), None, KeyOwner(key=ODD, account="123456789012", user=UserName("web"))),
        (None, None, None, KeyOwner(key=ODD)),
        ("222222222222", UserName("never asked"), None, KeyOwner(key=ODD, account="222222222222")),
    ],
    ids=["this user", "another user", "no account is told", "nobody knows", "another account"],
)
def test_whose_key_a_place_shows(
    account: str | None, user: UserName | None, status: KeyStatus | None, expected: KeyOwner
) -> None:
    """The list of another user's keys holds others too; that of another account is not asked for."""
    listed = [a_key(NEW), *([a_key(ODD, status=status)] if status else [])]
    stage, memory = Stage(answers={"account_of": account, "user_of": user, "list": [listed]}), RunState()
    stage.perform(act.AskFirst(keys=(ODD,), reason="", due=NOW), memory)
    assert memory.owners == (expected,)
    assert memory.readers is None
    stage.calls.clear()
    stage.perform(act.AskFirst(keys=(ODD,), reason="", due=NOW), memory)
    assert stage.calls == []


@pytest.mark.parametrize("kind", [ProviderRefused, ProviderUnavailable])
@pytest.mark.parametrize("remedy", ["do this", ""])
def test_readers_that_cannot_be_asked_for_are_not_known(kind: type[KeyrotaError], remedy: str) -> None:
    stage, memory = Stage(answers={"resource_policy": kind("no", remedy=remedy)}), RunState()
    stage.perform(act.AskFirst(asks_readers=True, reason="", due=NOW), memory)
    assert memory.readers is not None
    assert "no" in memory.readers.why_unknown
    assert memory.readers.remedy == remedy or (not remedy and "GetResourcePolicy" in memory.readers.remedy)


def test_a_value_is_asked_for_once() -> None:
    stage, memory = Stage(answers={"read": SecretUnusable("no pair")}), RunState()
    stage.perform(act.AskValue(version=VersionId("v1"), reason="", due=NOW), memory)
    assert memory.add_to(observed(a_key(OLD))).value_asked == "v1"
