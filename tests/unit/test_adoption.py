"""What a person decides about keys that keyrota did not make, and what no report advises."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders import (
    NEVER,
    NEW,
    NOW,
    ODD,
    OLD,
    SHOP,
    UNKNOWN,
    a_key,
    a_secret,
    a_version,
    cannot_tell,
    current,
    down,
    holds,
    observed,
    off_since,
    placeholder,
    previous,
    synced,
    used,
)
from keyrota.core import plan as act
from keyrota.core.adoption import Adoption, describe, find_shown_key
from keyrota.core.emergency import Revoke
from keyrota.core.lifecycle import interpret
from keyrota.core.model import (
    AWSCURRENT,
    AccessKeyId,
    FirstWrite,
    KeyOwner,
    KeyStatus,
    Observation,
    ShownKey,
    Surroundings,
    TargetState,
    UserName,
)
from keyrota.core.plan import Hold, Needs
from keyrota.core.planner import Intent, Routine, SyncOnly, plan
from keyrota.core.policy import CLASSIC, Drift
from keyrota.core.renewal import cannot_rotate
from keyrota.core.situation import Situation

OFF = KeyStatus.INACTIVE
TWO = observed(a_key(OLD, age_days=900, status=OFF), a_key(NEW, age_days=200, use=used(0.2)), targets=(holds(NEW),))
"""An Inactive key of 900 days, and an Active one that the target shows; nothing is stored."""
BOTH_ACTIVE = observed(
    a_key(OLD, age_days=900, use=used(300)), a_key(NEW, age_days=200, use=used(300)), targets=(holds(NEW),)
)


def case_of(seen: Observation) -> Situation:
    return Situation(view=interpret(seen), policy=CLASSIC, now=NOW)


def tagged(seen: Observation, *tags: tuple[str, str]) -> Observation:
    return replace(seen, secret=a_secret(placeholder(), tags=tags))


KEPT = [
    ("the only Active one", TWO, NEW),
    ("the one that a target shows", BOTH_ACTIVE, NEW),
    (
        "the one that another scope shows",
        replace(
            BOTH_ACTIVE,
            targets=(),
            surroundings=(Surroundings(address="a", shown=(ShownKey(key=OLD, where="variable X of a, production"),)),),
        ),
        OLD,
    ),
    ("none is shown", replace(BOTH_ACTIVE, targets=(cannot_tell(),)), None),
    ("both are shown", replace(BOTH_ACTIVE, targets=(holds(NEW), holds(OLD, "gitlab acme/web"))), None),
    ("there is none", observed(), None),
]


@pytest.mark.parametrize(("case", "seen", "key"), KEPT, ids=[row[0] for row in KEPT])
def test_the_key_to_keep_is_the_one_that_is_shown(case: str, seen: Observation, key: AccessKeyId | None) -> None:
    assert find_shown_key(interpret(seen)) == key, case


def test_what_is_known_of_a_key_is_said() -> None:
    case = case_of(BOTH_ACTIVE)
    old, new = (describe(case, key) for key in BOTH_ACTIVE.keys)
    assert "900 days old" in old
    assert "last used" in old
    assert "shown at no place" in old
    assert "shown by bitbucket acme/shop Production" in new
    assert "never used" in describe(case, a_key(use=NEVER))
    assert "unknown (throttled)" in describe(case, a_key(use=UNKNOWN))


ADOPTIONS: list[tuple[str, Observation, Adoption, tuple[str, ...]]] = [
    ("the choice is noted on a secret made for it", TWO, Adoption(key=NEW), ("CreateSecret", "Choose")),
    ("and on one that is there", tagged(TWO), Adoption(key=NEW), ("Choose",)),
    ("once", tagged(TWO, ("keyrota:adopt", f"{NEW}@{NOW.isoformat()}")), Adoption(key=NEW), ()),
    ("keep one, release the other", tagged(TWO), Adoption(key=NEW, release=OLD), ("Choose", "Release")),
    ("release an Active one that nothing shows", tagged(BOTH_ACTIVE), Adoption(release=OLD), ("Release",)),
    (
        "release what stands beside the current key",
        observed(a_key(OLD, age_days=900, status=OFF), a_key(NEW), secret=a_secret(current(NEW), tags=[synced()])),
        Adoption(release=OLD),
        ("Release",),
    ),
    ("a first key", observed(targets=(holds(OLD),)), Adoption(makes_first=True), ("CreateSecret", "Choose")),
    (
        "a first key beside an Inactive one",
        observed(a_key(status=OFF)),
        Adoption(makes_first=True),
        ("CreateSecret", "Choose"),
    ),
]


@pytest.mark.parametrize(("case", "seen", "wish", "do"), ADOPTIONS, ids=[row[0] for row in ADOPTIONS])
def test_what_adopt_does(case: str, seen: Observation, wish: Adoption, do: tuple[str, ...]) -> None:
    planned = plan(seen, CLASSIC, NOW, wish)
    assert [type(action).__name__ for action in planned.actions] == list(do), case
    assert planned.holds == ()


REFUSED: list[tuple[str, Observation, Adoption, str]] = [
    ("a key that a place shows", BOTH_ACTIVE, Adoption(release=NEW), "bitbucket acme/shop Production shows it"),
    (
        "a key that was used lately",
        observed(a_key(OLD, age_days=900, use=used(0.5)), a_key(NEW, age_days=9)),
        Adoption(release=OLD),
        "last used",
    ),
    (
        "a key of unknown use",
        observed(a_key(OLD, age_days=900, use=UNKNOWN), a_key(NEW, age_days=9)),
        Adoption(release=OLD),
        "could not be read",
    ),
    ("the only Active key", replace(TWO, targets=()), Adoption(release=NEW), "the user's only Active key"),
    (
        "a key that is an hour old",
        observed(a_key(OLD, age_days=900), a_key(NEW, age_days=0.04)),
        Adoption(release=NEW),
        "less than a day old",
    ),
    ("the key that is kept", TWO, Adoption(key=NEW, release=NEW), "the key that is kept"),
    ("a key of keyrota's", observed(a_key(OLD), secret=a_secret(current())), Adoption(release=OLD), "it is current"),
    ("a key that is not there", TWO, Adoption(release=ODD), "IAM does not list it"),
    ("to keep an Inactive key", TWO, Adoption(key=OLD), "it is Inactive"),
    ("to keep a key that is not there", TWO, Adoption(key=ODD), "IAM does not list it"),
    (
        "to keep a key beside a current one",
        observed(a_key(OLD), a_key(NEW), secret=a_secret(current())),
        Adoption(key=NEW),
        "without its secret access key",
    ),
    (
        "while AWSCURRENT is not read",
        observed(a_key(OLD), a_key(NEW), secret=a_secret(a_version("x", AWSCURRENT))),
        Adoption(key=NEW),
        "which key it holds is read first",
    ),
    ("a first key where there is one", observed(a_key()), Adoption(makes_first=True), "the user has a key"),
    (
        "a first key where the current one is deleted",
        observed(secret=a_secret(current())),
        Adoption(makes_first=True),
        "IAM does not have it any more",
    ),
    (
        "a first key where the current one is Inactive",
        observed(a_key(OLD, status=KeyStatus.INACTIVE), secret=a_secret(current())),
        Adoption(makes_first=True),
        "it is Inactive",
    ),
    ("of three keys", observed(a_key(OLD), a_key(NEW), a_key(ODD)), Adoption(key=OLD), "more than IAM's quota"),
]


@pytest.mark.parametrize(("case", "seen", "wish", "why"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_adopt_refuses(case: str, seen: Observation, wish: Adoption, why: str) -> None:
    planned = plan(seen, CLASSIC, NOW, wish)
    assert not [action for action in planned.actions if not isinstance(action, act.LOOKS)], case
    assert any(why in hold.reason and hold.remedy for hold in planned.holds), planned.holds


def test_a_chosen_key_is_replaced_when_the_other_one_is_gone() -> None:
    chosen = ("keyrota:adopt", f"{NEW}@{NOW.isoformat()}")
    released = ("keyrota:orphan", f"{OLD}@{NOW.isoformat()}@released")
    waits = plan(tagged(TWO, chosen), CLASSIC, NOW)
    assert waits.actions == ()
    assert any("both of IAM's two slots" in hold.reason for hold in waits.holds)
    going = plan(tagged(TWO, chosen, released), CLASSIC, NOW)
    assert [(type(action), action.key) for action in going.actions] == [(act.Deactivate, OLD)], "notes since when"
    dated = [hold.until for hold in plan(tagged(TWO, chosen, released, off_since(3, OLD)), CLASSIC, NOW).holds]
    assert len(dated) == 1
    assert dated[0] is not None
    gone = replace(tagged(TWO, chosen, released), keys=TWO.keys[1:])
    assert any(isinstance(action, act.CreateKey) for action in plan(gone, CLASSIC, NOW).actions)


ADVICE = [
    ("an old one beside one that is shown", TWO),
    ("both Active", BOTH_ACTIVE),
    ("one is young", observed(a_key(OLD), a_key(NEW, age_days=0.1))),
    ("beside a current key", observed(a_key(OLD, use=used(0.1)), a_key(NEW), secret=a_secret(current(NEW)))),
    ("a shown key, revoked", observed(a_key(OLD), a_key(NEW), secret=a_secret(current(NEW)), targets=(holds(OLD),))),
]


@pytest.mark.parametrize(("case", "seen"), ADVICE, ids=[row[0] for row in ADVICE])
@pytest.mark.parametrize("intent", [None, Revoke(key=NEW), Revoke(key=NEW, off_first=True)], ids=str)
def test_no_report_advises_to_delete_a_key_that_may_be_in_use(
    case: str, seen: Observation, intent: Revoke | None
) -> None:
    known = case_of(seen)
    for hold in plan(seen, CLASSIC, NOW, intent).holds:
        for key in seen.keys:
            advises = f"--access-key-id {key.id}" in hold.remedy and "delete-access-key" in hold.remedy
            releases = f"--release {key.id}" in hold.remedy
            is_shown = any(target.key == key.id for target in seen.targets)
            is_used = key.last_use.at is not None and (NOW - key.last_use.at).days < 1
            others = [other for other in seen.keys if other.id != key.id and other.status is KeyStatus.ACTIVE]
            is_only = key.status is KeyStatus.ACTIVE and not others
            assert not ((advises or releases) and (is_shown or is_used or is_only)), (case, hold, known.now)


def test_an_unneeded_key_may_be_released_and_the_shown_one_adopted() -> None:
    remedies = {hold.key: hold.remedy for hold in plan(TWO, CLASSIC, NOW).holds}
    assert f"keyrota adopt ci-deploy --release {OLD}" in remedies[OLD]
    assert f"keyrota adopt ci-deploy --key {NEW}" in remedies[NEW]
    assert "delete-access-key" not in "".join(remedies.values())


NO_KEY: list[tuple[str, Observation, str]] = [
    ("the only key is Inactive", observed(a_key(status=OFF), targets=(cannot_tell(),)), f"{OLD} is Inactive"),
    ("and nothing is configured", observed(a_key(status=OFF)), f"{OLD} is Inactive"),
    ("both keys are Inactive", observed(a_key(OLD, status=OFF), a_key(NEW, status=OFF)), f"{OLD} is Inactive"),
    ("the key is deleted, and a target shows it", observed(targets=(holds(OLD),)), f"holds {OLD}: someone deleted"),
    ("the key is deleted, and a target cannot be read back", observed(targets=(cannot_tell(),)), "cannot be read"),
    ("the key is deleted, and a target does not answer", observed(targets=(down(),)), "cannot be read"),
    ("beside a secret without a value", tagged(observed(targets=(holds(OLD),))), f"holds {OLD}: someone deleted"),
]


@pytest.mark.parametrize(("case", "seen", "why"), NO_KEY, ids=[row[0] for row in NO_KEY])
def test_no_first_key_is_made_where_a_person_took_the_last_one_away(case: str, seen: Observation, why: str) -> None:
    planned = plan(seen, CLASSIC, NOW)
    assert not planned.makes_key, case
    held = [hold for hold in planned.holds if why in hold.reason]
    assert held
    assert all("keyrota adopt ci-deploy --new-key" in hold.remedy for hold in held if hold.key or hold.target)
    wanted = ("keyrota:adopt", f"new@{NOW.isoformat()}")
    if len(seen.keys) < 2 and seen.targets[:1] != (down(),):
        known = replace(tagged(seen, wanted), first_writes=((SHOP, FirstWrite.CONFIRMED),))
        assert plan(known, CLASSIC, NOW).makes_key, "a person wants one"


@pytest.mark.parametrize(
    ("target", "owner", "needs"),
    [
        (holds(OLD), KeyOwner(key=OLD, account="123456789012"), Needs.REPAIR),
        (holds(OLD), KeyOwner(key=OLD), Needs.REPAIR),
        (holds(OLD), KeyOwner(key=OLD, account="123456789012", user=UserName("ci-web")), Needs.PERSON),
        (holds(OLD), KeyOwner(key=OLD, account="210987654321"), Needs.PERSON),
        (cannot_tell(), KeyOwner(key=OLD, account="210987654321"), Needs.REPAIR),
    ],
)
def test_a_place_that_shows_another_s_key_does_not_prove_that_one_was_deleted(
    target: TargetState, owner: KeyOwner, needs: Needs
) -> None:
    """A target was given to a new user: it works, with the other one's key, and a person decides."""
    seen = replace(observed(targets=(target,)), owners=(owner,))
    planned = plan(seen, CLASSIC, NOW)
    (found,) = [hold for hold in planned.holds if "the user has no access key" in hold.reason]
    assert (found.needs, "someone deleted the key" in found.reason) == (needs, needs is Needs.REPAIR)
    assert not planned.makes_key


def test_a_user_that_never_had_a_key_gets_its_first_one() -> None:
    empty = TargetState(address="github acme/new", evidence=holds(OLD).evidence.ABSENT, is_empty=True)
    assert plan(observed(), CLASSIC, NOW).makes_key
    assert plan(observed(targets=(empty,)), CLASSIC, NOW).makes_key


STUCK: list[tuple[str, Observation, str]] = [
    ("two keys that keyrota did not make", TWO, "was not made by keyrota"),
    ("no slot", TWO, "both of IAM's two slots"),
    (
        "a key that takes the second slot",
        observed(a_key(OLD, status=OFF), a_key(NEW), secret=a_secret(current(NEW))),
        "both of IAM's two slots",
    ),
    ("an Inactive key alone", observed(a_key(status=OFF)), f"{OLD} is Inactive"),
    (
        "a secret that someone else made",
        replace(observed(a_key(), secret=replace(a_secret(a_version("x", AWSCURRENT)), tags=()))),
        "keyrota did not make it",
    ),
    ("the current key is gone", observed(secret=a_secret(current())), "does not have it any more"),
]


@pytest.mark.parametrize(("case", "seen", "why"), STUCK, ids=[row[0] for row in STUCK])
def test_check_names_what_cannot_be_rotated(case: str, seen: Observation, why: str) -> None:
    found: list[Hold] = list(cannot_rotate(case_of(seen)))
    assert any(why in hold.reason and hold.remedy and hold.needs is not Needs.NOBODY for hold in found), (case, found)


FREE = [
    ("one key, before keyrota", observed(a_key(), targets=(holds(OLD),))),
    ("one key of ours", observed(a_key(), secret=a_secret(current()))),
    ("the overlap", observed(a_key(OLD), a_key(NEW), secret=a_secret(previous(OLD), current(NEW)))),
    ("no key yet", observed()),
]


@pytest.mark.parametrize(("case", "seen"), FREE, ids=[row[0] for row in FREE])
def test_check_passes_what_can_be_rotated(case: str, seen: Observation) -> None:
    assert list(cannot_rotate(case_of(seen))) == [], case


OURS = observed(a_key(OLD, age_days=20), a_key(ODD, age_days=1), secret=a_secret(current(OLD), tags=[synced()]))
WEB = "gitlab acme/web"
THEIRS: list[tuple[str, Observation, bool]] = [
    ("another Active key of the user", replace(OURS, targets=(holds(ODD),)), True),
    ("at one of many targets", replace(OURS, targets=(holds(OLD), holds(ODD, WEB))), True),
    ("the current key", replace(OURS, targets=(holds(OLD),)), False),
    (
        "an Inactive one: what runs there fails already",
        replace(OURS, keys=(OURS.keys[0], a_key(ODD, age_days=1, status=OFF)), targets=(holds(ODD),)),
        False,
    ),
    (
        "an older key of ours, which a run that died wrote",
        replace(OURS, secret=a_secret(previous(ODD), current(OLD), tags=[synced()]), targets=(holds(ODD),)),
        False,
    ),
    ("before keyrota has a key of its own", replace(observed(a_key(OLD)), targets=(holds(OLD),)), False),
]


@pytest.mark.parametrize(("case", "seen", "is_held"), THEIRS, ids=[row[0] for row in THEIRS])
@pytest.mark.parametrize("drift", Drift)
@pytest.mark.parametrize("intent", [Routine(), SyncOnly()], ids=["the routine", "keyrota sync"])
def test_another_key_of_the_user_is_not_written_over(
    case: str, seen: Observation, is_held: bool, drift: Drift, intent: Intent
) -> None:
    planned = plan(seen, replace(CLASSIC, drift=drift), NOW, intent)
    held = [hold for hold in planned.holds if f"{ODD}, another Active key of this user" in hold.reason]
    assert bool(held) is is_held, case
    written = {target for action in planned.actions if isinstance(action, act.Sync) for target in action.targets}
    assert not written & {hold.target for hold in held}
    assert all("put-secret-value" in hold.remedy and "keyrota confirm" in hold.remedy for hold in held)
