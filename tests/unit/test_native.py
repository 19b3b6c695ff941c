"""The four steps of Secrets Manager's own rotation: what each refuses, does, and takes over."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from builders import (
    NEW,
    NOW,
    ODD,
    OLD,
    USER,
    a_claim,
    a_key,
    a_secret,
    a_version,
    current,
    pending,
    placeholder,
    previous,
    remembers,
    revoked,
)
from builders import observed as seen_as
from keyrota.core.lifecycle import KeyState, interpret
from keyrota.core.model import (
    AccessKey,
    AccessKeyId,
    Claim,
    CreatedKey,
    IndexEntry,
    KeyPair,
    KeyStatus,
    Readiness,
    SecretState,
    SecretVersion,
    Surroundings,
    TargetEvidence,
    TargetState,
    VersionId,
)
from keyrota.core.policy import CLASSIC
from keyrota.core.records import Index, format_index
from keyrota.core.secret import Secret
from keyrota.errors import KeyrotaError, NotThere, NotVerified, ProviderRefused, ProviderUnavailable
from keyrota.executor import CredentialContext, Run, Settings
from keyrota.executor.native import Step, rotate
from keyrota.executor.observe import observe

TOKEN = VersionId("token")
OFF = KeyStatus.INACTIVE
ARN = f"arn:aws:iam::123456789012:user/{USER}"
PAIR = KeyPair(id=NEW, secret=Secret("made up"))
BESIDE = Secret("{}")
Call = tuple[object, ...]
EMPTY = a_version(TOKEN, "AWSPENDING")
"""The version as Secrets Manager has labelled it before it calls."""
MADE = a_version(TOKEN, "AWSPENDING", NEW)


@dataclass
class Aws:
    """IAM, STS and Secrets Manager, as far as one step goes; writes down what is asked."""

    keys: tuple[AccessKey, ...]
    secret: SecretState | None
    holds: KeyPair | None = PAIR
    accepts: bool = True
    taken: Claim | None = None
    is_ready: bool = True
    calls: list[Call] = field(default_factory=list)
    address: str = "a"
    policy: str | None = None
    tag: str = ":s"
    """Of the user: which secret keeps its keys."""

    def now(self) -> datetime:
        return NOW

    def sleep(self, _: float) -> None:
        raise AssertionError("one yes is enough here, one no ends it")

    def list(self, _: str) -> tuple[AccessKey, ...]:
        return self.keys

    def last_use(self, key: AccessKeyId) -> Any:
        return next(one.last_use for one in self.keys if one.id == key)

    def secret_tag(self, _: str) -> str:
        return self.tag

    def set_secret_tag(self, _: str, secret: str) -> None:
        self.calls.append(("tag the user", secret))
        self.tag = secret

    def create(self, _: str) -> CreatedKey:
        self.calls.append(("create",))
        return CreatedKey(credential=PAIR, created=NOW)

    def whoami(self, _: KeyPair) -> tuple[str | None]:
        self.calls.append(("whoami",))
        if not self.accepts:
            raise NotVerified("no")
        return (ARN,)

    def describe(self, _: str) -> SecretState | None:
        return self.secret

    def resource_policy(self, _: str) -> str | None:
        return self.policy

    def claim(self, _: str, __: VersionId | None = None) -> Claim | None:
        return self.taken

    def read(self, _: str, version: VersionId) -> KeyPair | None:
        self.calls.append(("read", version))
        return self.holds

    def other_fields(self, _: str, version: VersionId) -> Secret:
        self.calls.append(("other_fields", version))
        return BESIDE

    def put_claim(self, _: str, claim: Claim) -> None:
        self.calls.append(("put_claim", claim.keys_seen, claim.run))

    def put_rotating(self, _: str, *given: object, **named: object) -> None:
        self.calls.append(("put_rotating", *given, *named.values()))

    def move_label(self, _: str, label: str, *, to: str | None, remove_from: str | None) -> None:
        self.calls.append(("move_label", label, to, remove_from))

    def preflight(self) -> Readiness:
        return Readiness(address="a", is_ready=self.is_ready, detail="token expired", remedy="renew it")

    def read_target(self) -> TargetState:
        return TargetState(address="a", evidence=TargetEvidence.CANNOT_TELL)

    @property
    def subject(self) -> CredentialContext:
        target = _Target(self)
        ports: dict[str, Any] = {"access_keys": self, "identity": self, "store": self, "targets": (target,)}
        return CredentialContext(
            user=USER, account="123456789012", secret_name="s", policy=CLASSIC, stack="here", **ports
        )

    def step(self, step: Step, token: VersionId = TOKEN) -> AccessKeyId | None:
        settings = Settings(clock=self, run="r", verify_times=1)
        return rotate(self.subject, settings, step, token, rotation_token="its token")


@dataclass
class _Target:
    aws: Aws
    address: str = "a"

    def preflight(self) -> Readiness:
        return self.aws.preflight()

    def read(self) -> TargetState:
        return self.aws.read_target()

    def surroundings(self) -> Surroundings:
        return Surroundings(address=self.address)


def rotating(*versions: SecretVersion, **known: Any) -> SecretState:
    return replace(a_secret(*versions), rotates_itself=True, **known)


def an_aws(*versions: SecretVersion, keys: tuple[AccessKey, ...] = (a_key(OLD),), **known: Any) -> Aws:
    return Aws(keys, rotating(*(versions or (current(), EMPTY))), **known)


# --- createSecret ---------------------------------------------------------------------------------------------------

STORED: Call = ("put_rotating", TOKEN, PAIR, BESIDE, "its token")
ROAD: list[Call] = [("put_claim", frozenset({OLD}), "r"), ("other_fields", "v1"), ("create",), STORED]


def test_a_key_is_made_under_a_claim_and_stored_under_the_token() -> None:
    aws = an_aws()
    assert aws.step(Step.CREATE) == NEW
    assert aws.calls == ROAD


def test_asked_again_it_makes_no_second_one() -> None:
    aws = an_aws(current(), MADE, keys=(a_key(OLD), a_key(NEW)))
    assert aws.step(Step.CREATE) == NEW
    assert aws.calls == []


STRANGE = replace(a_key(ODD), status=KeyStatus.OTHER, status_word="Asleep")
REFUSED: list[tuple[str, Aws, str]] = [
    ("AWSCURRENT was written outside keyrota", an_aws(a_version("v1", "AWSCURRENT"), EMPTY), "outside keyrota"),
    ("there is no AWSCURRENT", an_aws(EMPTY), "has no value"),
    ("both slots are taken", an_aws(keys=(a_key(OLD), a_key(ODD))), "slots are taken"),
    ("a third key", an_aws(keys=(a_key(OLD, status=OFF), a_key(ODD), a_key(NEW))), "3 access keys"),
    ("a status that is not known", an_aws(keys=(a_key(OLD), STRANGE)), "'Asleep'"),
    (
        "another run makes a key",
        an_aws(current(), EMPTY, a_version("c", "keyrota:claim"), taken=a_claim()),
        "holds the claim",
    ),
    ("a target is not ready", an_aws(is_ready=False), "a would not take the new key: token expired"),
    (
        "the newest key is what a rollback left behind",
        an_aws(current(OLD, "v0"), previous(NEW, "v1"), EMPTY, keys=(a_key(OLD, age_days=91), a_key(NEW))),
        "slots are taken",
    ),
    (
        "the other key is older than the current one",
        an_aws(current(NEW), a_version("x", OLD), EMPTY, keys=(a_key(OLD, age_days=91), a_key(NEW))),
        "slots are taken",
    ),
    (
        "the key that was left over is Inactive",
        an_aws(current(), a_version("x", NEW), EMPTY, keys=(a_key(OLD, age_days=91), a_key(NEW, status=OFF))),
        "slots are taken",
    ),
]


@pytest.mark.parametrize(("case", "aws", "words"), REFUSED, ids=[row[0] for row in REFUSED])
def test_nothing_is_begun(case: str, aws: Aws, words: str) -> None:
    with pytest.raises(ProviderRefused) as caught:
        aws.step(Step.CREATE)
    assert words in caught.value.what, case
    assert caught.value.remedy
    assert aws.calls == []


def test_a_revoked_key_that_was_left_over_is_not_taken_over() -> None:
    left = an_aws(current(), a_version("x", NEW), EMPTY, keys=(a_key(OLD, age_days=91), a_key(NEW)))
    marked = revoked(seen_as(secret=left.secret), NEW).secret
    left.secret = marked
    with pytest.raises(ProviderRefused, match="slots are taken"):
        left.step(Step.CREATE)


LEFT_OVER = [
    ("of an earlier rotation", a_version("x", NEW)),
    ("of our own road", pending()),
]


@pytest.mark.parametrize(("case", "version"), LEFT_OVER, ids=[row[0] for row in LEFT_OVER])
def test_the_newest_key_that_was_left_over_is_taken_over(case: str, version: SecretVersion) -> None:
    aws = an_aws(current(), version, EMPTY, keys=(a_key(OLD, age_days=91), a_key(NEW)))
    assert aws.step(Step.CREATE) == NEW, case
    assert aws.calls == [("read", version.id), ("other_fields", version.id), STORED]
    empty = an_aws(current(), version, EMPTY, keys=(a_key(OLD, age_days=91), a_key(NEW)), holds=None)
    with pytest.raises(ProviderRefused, match="holds no key"):
        empty.step(Step.CREATE)


def test_the_first_key_is_made_behind_a_placeholder() -> None:
    aws = an_aws(placeholder(), EMPTY, keys=())
    assert aws.step(Step.CREATE) == NEW


def test_no_first_key_is_made_where_another_account_may_read_the_secret() -> None:
    aws = an_aws(placeholder(), EMPTY, keys=())
    aws.policy = json.dumps(
        {"Statement": {"Effect": "Allow", "Principal": {"AWS": "999999999999"}, "Action": "*", "Resource": "*"}}
    )
    with pytest.raises(ProviderRefused, match="its resource policy allows \\* to 999999999999"):
        aws.step(Step.CREATE)
    assert aws.calls == []


# --- a call by hand -------------------------------------------------------------------------------------------------

BY_HAND: list[tuple[str, SecretState | None, type[KeyrotaError], str]] = [
    ("no secret", None, NotThere, "no secret"),
    ("rotation is off", a_secret(current(), EMPTY), ProviderRefused, "not switched on"),
    ("no such version", rotating(current()), ProviderRefused, "not AWSPENDING"),
    ("another label", rotating(current(), a_version(TOKEN, "x")), ProviderRefused, "not AWSPENDING"),
]


@pytest.mark.parametrize("step", [Step.CREATE, Step.TEST, Step.FINISH])
@pytest.mark.parametrize(("case", "secret", "kind", "words"), BY_HAND, ids=[row[0] for row in BY_HAND])
def test_a_call_by_hand_is_refused(
    case: str, secret: SecretState | None, kind: type[KeyrotaError], words: str, step: Step
) -> None:
    aws = Aws((a_key(OLD),), secret)
    with pytest.raises(kind, match=words):
        aws.step(step)
    assert aws.calls == [], case


# --- setSecret, testSecret, finishSecret ----------------------------------------------------------------------------

TWO = (a_key(OLD), a_key(NEW, age_days=0))


def test_there_is_nothing_to_set() -> None:
    aws = an_aws()
    assert (aws.step(Step.SET), aws.calls) == (None, [])


PROOF: list[Call] = [("read", TOKEN), ("whoami",)]


def test_the_key_is_proven_and_then_proven_again_and_promoted() -> None:
    aws = an_aws(current(), MADE, keys=TWO)
    assert (aws.step(Step.TEST), aws.calls) == (NEW, PROOF)
    aws.calls.clear()
    assert aws.step(Step.FINISH) == NEW
    assert aws.calls == [*PROOF, ("move_label", "AWSCURRENT", TOKEN, "v1")]


def test_the_first_version_is_promoted_from_nowhere() -> None:
    aws = an_aws(MADE, keys=TWO)
    aws.step(Step.FINISH)
    assert aws.calls[-1] == ("move_label", "AWSCURRENT", TOKEN, None)


def test_what_became_current_since_the_look_is_not_overtaken() -> None:
    """Somebody went back while the key was proven: the call names the version that was seen, and is refused."""
    after = rotating(a_version("v0", "AWSCURRENT", ODD), a_version("v1", "AWSPREVIOUS", OLD), MADE)
    aws = Moving(TWO, rotating(current(), MADE), then=[(timedelta(), TWO, rotating(current(), MADE))])
    aws.then.append((timedelta(), TWO, after))
    aws.step(Step.FINISH)
    assert aws.secret == after
    assert aws.calls[-1] == ("move_label", "AWSCURRENT", TOKEN, "v1")


@pytest.mark.parametrize("step", [Step.TEST, Step.FINISH])
def test_what_is_current_already_needs_nothing(step: Step) -> None:
    aws = an_aws(previous(), a_version(TOKEN, "AWSCURRENT", NEW), keys=TWO)
    assert (aws.step(step), aws.calls) == (NEW, [])


@pytest.mark.parametrize("step", [Step.TEST, Step.FINISH])
def test_what_is_not_proven_is_not_promoted(step: Step) -> None:
    unproven = an_aws(current(), MADE, keys=TWO, accepts=False)
    with pytest.raises(NotVerified):
        unproven.step(step)
    for holds in (None, KeyPair(id=ODD, secret=Secret("x"))):
        other = an_aws(current(), MADE, keys=TWO, holds=holds)
        with pytest.raises(ProviderRefused, match=f"does not hold {NEW}"):
            other.step(step)
        assert other.calls == [("read", TOKEN)]
    with pytest.raises(ProviderRefused, match="has no key yet"):
        an_aws().step(step)
    assert not [call for call in unproven.calls if call[0] == "move_label"]


# --- what a run sees ------------------------------------------------------------------------------------------------


def test_an_observation_joins_all_that_is_known() -> None:
    tags = format_index(Index((IndexEntry(address="x", kind="k", settings="{}"),))).items()
    aws = Aws((a_key(OLD),), a_secret(current(), a_version("c", "keyrota:claim"), tags=tags), taken=a_claim())
    settings = Settings(clock=aws, run="r")
    seen = observe(aws.subject, settings)
    assert (seen.run, seen.stack, seen.user, seen.claim) == ("r", "here", USER, a_claim())
    assert seen.targets == (aws.read_target(),)
    assert observe(aws.subject, settings, with_claim=False).claim is None
    assert observe(aws.subject, settings, known_targets=(), known_left=()).targets == ()
    assert observe(aws.subject, settings, known_targets=(), known_left=()).left_behind == ()


def test_a_run_reads_targets_once_for_a_plan_and_remembers_what_was_gone() -> None:
    tags = format_index(Index((IndexEntry(address="x", kind="k", settings="{}"),))).items()
    aws = Aws((a_key(NEW, age_days=95),), a_secret(a_version("v0", OLD), current(NEW), tags=tags))
    reads: list[str] = []

    @dataclass
    class Counted(_Target):
        def read(self) -> TargetState:
            reads.append(self.address)
            return super().read()

    counted: dict[str, Any] = {"targets": (Counted(aws),), "reach": lambda _: Counted(aws, "x")}
    subject = replace(aws.subject, **counted)
    run = Run(subject, Settings(clock=aws, run="r"))
    _, planned = run.plan()
    assert planned.makes_key
    assert sorted(reads) == ["a", "x"]
    assert run._memory.seen_gone == {OLD}
    assert aws.secret is not None
    aws.secret = replace(aws.secret, changed_at=NOW)
    run.plan()
    assert run._memory.seen_gone == {OLD}, "what was gone before this run wrote anything stays gone"
    assert sorted(reads) == ["a", "a", "x", "x"]


def test_a_target_left_behind_that_cannot_be_reached_has_failed() -> None:
    tags = format_index(Index((IndexEntry(address="x", kind="k", settings="{}"),))).items()
    aws = Aws((a_key(OLD),), a_secret(current(), tags=tags))
    settings = Settings(clock=aws, run="r")

    def left(reach: Any) -> TargetState:
        (state,) = observe(replace(aws.subject, reach=reach), settings).left_behind
        return state

    lost = TargetState(address="x", evidence=TargetEvidence.FAILED, detail="it cannot be reached")
    assert left(None) == lost
    assert left(lambda _: ProviderUnavailable("no token")) == replace(lost, detail="no token")
    assert left(lambda _: _Target(aws)) == replace(aws.read_target(), address="x")


@dataclass
class Moving(Aws):
    """Another run is at work: each read shows what was there, and then a bit more comes."""

    then: list[tuple[timedelta, tuple[AccessKey, ...], SecretState]] = field(default_factory=list)
    instant: datetime = NOW

    def now(self) -> datetime:
        return self.instant

    def _go_on(self) -> None:
        if self.then:
            took, self.keys, self.secret = self.then.pop(0)
            self.instant += took

    def list(self, user: str) -> tuple[AccessKey, ...]:
        seen = super().list(user)
        self._go_on()
        return seen

    def describe(self, name: str) -> SecretState | None:
        seen = super().describe(name)
        self._go_on()
        return seen


def test_a_first_key_that_comes_while_a_run_looks_is_not_taken_for_one_that_was_there() -> None:
    """Whatever the list shows was stored, or claimed, before the secret is read: so IAM is asked first."""
    before = a_secret(placeholder())
    after = a_secret(placeholder(), a_version("claim", "keyrota:claim"), pending())
    aws = Moving((), before, then=[(timedelta(), (a_key(NEW, age_days=0),), after)])
    seen = observe(aws.subject, Settings(clock=aws, run="r"))
    assert not interpret(seen).in_state(KeyState.ADOPTABLE, KeyState.FOREIGN)


def test_what_is_over_was_over_when_a_run_began_to_look() -> None:
    """A run that stands still in the midst of its look takes no claim for over whose key it could not see stored."""
    claimed = a_secret(current(), a_version("claim", "keyrota:claim"), tags=remembers("a"))
    keys = (a_key(OLD), a_key(NEW, age_days=0))
    aws = Moving(keys, claimed, taken=a_claim(), then=[(timedelta(minutes=20), keys, claimed)])
    seen, planned = Run(aws.subject, Settings(clock=aws, run="r")).plan()
    assert [key.id for key in interpret(seen).in_state(KeyState.ORPHAN)] == [NEW]
    assert not [action for action in planned.actions if action.key == NEW]
    assert any(hold.key == NEW for hold in planned.holds)
