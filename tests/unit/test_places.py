"""What is asked before a place is written, and what a place is (promises first-write-asks, a-place-is-an-id)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from builders import (
    NEW,
    NOW,
    ODD,
    OLD,
    a_key,
    a_secret,
    ago,
    current,
    down,
    looked_around,
    observed,
    previous,
    synced,
)
from keyrota.core import plan as act
from keyrota.core.changes import changes
from keyrota.core.lifecycle import interpret
from keyrota.core.model import (
    Confirmation,
    Conflict,
    CredentialId,
    FirstWrite,
    IndexEntry,
    KeyOwner,
    Observation,
    PlaceId,
    Surroundings,
    TargetEvidence,
    TargetState,
    UserName,
    VariableState,
    VersionId,
    Written,
    version_mark,
)
from keyrota.core.places import doubts, find_unwritable
from keyrota.core.plan import Plan
from keyrota.core.planner import plan
from keyrota.core.policy import CLASSIC, RotationPolicy
from keyrota.core.records import Index, format_index
from keyrota.core.removed import find_removed
from keyrota.core.situation import Situation

SHOP = "github acme/shop"
HERE = PlaceId(kind="github", origin="https://api.github.com", id="repository 12")
THERE = replace(HERE, id="repository 99")
ELSEWHERE = replace(HERE, origin="https://github.example.com/api/v3")
ID, SECRET = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
ASKS = replace(CLASSIC, first_write=FirstWrite.ASK)
HALF = Conflict(what="half a pair: the variable AWS_ACCESS_KEY_ID is there", remedy="set `names:`")
THEIRS = Conflict(what="it was made by someone else", remedy="give another name", is_of_others=True)
SHADOW = Conflict(what="a plain pair stands beside the bundle", remedy="delete it", is_lasting=True)
V2 = version_mark(VersionId("v2"))


def variables(*present: str, key: object = None) -> tuple[VariableState, ...]:
    return tuple(
        VariableState(
            name=name,
            is_present=name in present,
            key=key if name == ID and name in present else None,  # type: ignore[arg-type]  # an access key ID, or None
            is_readable=key is not None and name == ID,
        )
        for name in (ID, SECRET)
    )


EMPTY = TargetState(
    address=SHOP,
    evidence=TargetEvidence.ABSENT,
    detail=f"{ID} and {SECRET}",
    is_empty=True,
    place=HERE,
    variables=variables(),
)
UNREADABLE = TargetState(address=SHOP, evidence=TargetEvidence.CANNOT_TELL, place=HERE, variables=variables(ID, SECRET))


def showing(key: object) -> TargetState:
    return TargetState(
        address=SHOP,
        evidence=TargetEvidence.HOLDS,
        key=key,  # type: ignore[arg-type]  # an access key ID, or None
        place=HERE,
        variables=variables(ID, SECRET, key=key),
    )


def entry(place: PlaceId | None = HERE, *, address: str = SHOP, version: str = V2, **known: object) -> IndexEntry:
    made = IndexEntry(
        address=address,
        kind="github",
        settings="{}",
        origin=place.origin if place else "",
        place=place.mark if place else "",
        variables=(ID, SECRET),
        written=Written(version=version, since=ago(3)),
    )
    return replace(made, **known)  # type: ignore[arg-type]  # fields by name


def seen(
    *targets: TargetState,
    index: tuple[IndexEntry, ...] = (),
    around: tuple[Surroundings, ...] | None = None,
    **known: object,
) -> Observation:
    """A user whose key NEW is AWSCURRENT beside OLD; nothing is synced, so that every target is due."""
    observation = observed(
        a_key(OLD, age_days=95),
        a_key(NEW, age_days=5),
        secret=a_secret(
            previous(OLD, "v1"), current(NEW, "v2"), tags=format_index(Index(index)).items() if index else ()
        ),
        targets=targets,
    )
    looks = looked_around(*targets) if around is None else around
    return replace(observation, **{"first_looks": looks, **known})  # type: ignore[arg-type]  # fields by name


@dataclass(frozen=True)
class Row:
    """One line of the table: what is there, and what keeps a write away; nothing does where `held` is empty."""

    case: str
    seen: Observation
    held: tuple[str, ...] = ()
    policy: RotationPolicy = field(default=CLASSIC)

    def __str__(self) -> str:
        return self.case


OF_SHOP = {"address": SHOP}
CONFIGURED = ((SHOP, FirstWrite.CONFIRMED),)
ROWS = [
    Row("an empty place is written", seen(EMPTY)),
    Row("a key of this user is replaced", seen(showing(OLD))),
    Row("a whole pair that cannot be read is replaced", seen(UNREADABLE)),
    Row("and held where the policy asks for that", seen(UNREADABLE), ("cannot be read (`first_write: ask`)",), ASKS),
    Row("an empty place is written there too", seen(EMPTY), policy=ASKS),
    Row(
        "a target may ask for itself",
        seen(UNREADABLE, first_writes=((SHOP, FirstWrite.ASK),)),
        ("cannot be read (`first_write: ask`)",),
    ),
    Row(
        "a key whose account AWS names",
        seen(showing(ODD), owners=(KeyOwner(key=ODD, account="222222222222"),)),
        (f"it holds {ODD}, a key of the account 222222222222",),
    ),
    Row(
        "a key of another user of this account",
        seen(showing(ODD), owners=(KeyOwner(key=ODD, account="123456789012", user=UserName("ci-web")),)),
        ("a key of the user ci-web",),
    ),
    Row(
        "a key of this account that IAM does not have any more",
        seen(showing(ODD), owners=(KeyOwner(key=ODD, account="123456789012"),)),
        ("a key of this account (123456789012), of a user that IAM does not name",),
    ),
    Row("a key that AWS knows nothing of", seen(showing(ODD)), ("a key of an account that AWS does not name",)),
    Row("what is not a key ID", seen(showing(None)), ("it holds something that is not a key ID",)),
    Row(
        "half a pair, though the provider judges nothing",
        seen(replace(EMPTY, is_empty=False, detail=SECRET, variables=())),
        ("half a pair is there: it lacks AWS_SECRET_ACCESS_KEY",),
    ),
    Row("what the provider judges harmful", seen(replace(EMPTY, conflicts=(HALF,))), (HALF.what,)),
    Row(
        "what another level makes harmful",
        seen(EMPTY, around=(Surroundings(address=SHOP, conflicts=(HALF,)),)),
        (HALF.what,),
    ),
    Row(
        "the same from both is one doubt",
        seen(replace(EMPTY, conflicts=(HALF,)), around=(Surroundings(address=SHOP, conflicts=(HALF,)),)),
        (HALF.what,),
    ),
    Row(
        "a marker that names another key",
        seen(
            replace(UNREADABLE, variables=(*variables(ID, SECRET), VariableState(name="M", is_present=True, key=ODD)))
        ),
        (f"it holds {ODD}",),
    ),
    Row("the configuration has answered", seen(showing(ODD), first_writes=CONFIGURED)),
    Row("a place that was written is written again, whatever it shows", seen(showing(ODD), index=(entry(),))),
    Row(
        "not where its write was only begun: the run may have died before it, and somebody came first",
        seen(showing(ODD), index=(entry(written=None),)),
        (f"it holds {ODD}",),
    ),
    Row("a write that was begun over our own key is finished", seen(showing(OLD), index=(entry(written=None),))),
    Row(
        "a write that was begun and confirmed in the configuration is finished",
        seen(showing(ODD), index=(entry(written=None),), first_writes=CONFIGURED),
    ),
    Row("also where the index is older than the IDs of places", seen(showing(ODD), index=(entry(None, variables=()),))),
    Row(
        "half a pair that keyrota began is finished",
        seen(replace(EMPTY, is_empty=False, conflicts=(HALF,)), index=(entry(written=None),)),
    ),
    Row(
        "what no write of keyrota leaves is asked about until one came to its end",
        seen(replace(UNREADABLE, conflicts=(THEIRS,)), index=(entry(written=None),)),
        (THEIRS.what,),
    ),
    Row("and not after that", seen(replace(UNREADABLE, conflicts=(THEIRS,)), index=(entry(),))),
    Row(
        "what shadows a bundle holds after the first write",
        seen(replace(showing(NEW), conflicts=(SHADOW,)), index=(entry(),)),
        (SHADOW.what,),
    ),
    Row(
        "also where that is a first one",
        seen(replace(EMPTY, conflicts=(SHADOW,))),
        (SHADOW.what,),
    ),
    Row(
        "a whole pair that is gone where keyrota wrote one",
        seen(EMPTY, index=(entry(),)),
        ("the whole pair that keyrota wrote there (2026-05-29 06:00 UTC) is gone",),
    ),
    Row("half of it is gone: it is written again", seen(replace(EMPTY, is_empty=False), index=(entry(),))),
    Row("a write that was begun and left nothing is begun again", seen(EMPTY, index=(entry(written=None),))),
    Row(
        "another repository has the name now",
        seen(replace(EMPTY, place=THERE), index=(entry(),)),
        ("it is not the place that keyrota wrote: that was repository 12, and this name now means repository 99",),
    ),
    Row(
        "also where the record says that the set of targets was written",
        seen(
            replace(UNREADABLE, place=THERE),
            index=(entry(),),
            secret=a_secret(current(NEW, "v2"), tags=(synced("v2"), *format_index(Index((entry(),))).items())),
        ),
        ("it is not the place that keyrota wrote",),
    ),
    Row(
        "also where the other one was archived when the set of targets was written, so that it never was",
        seen(
            replace(showing(ODD), place=THERE),
            secret=a_secret(
                current(NEW, "v2"),
                tags=(synced("v2"), *format_index(Index((entry(written=None, is_begun=False),))).items()),
            ),
        ),
        (f"it holds {ODD}",),
    ),
    Row("another origin is another place, and empty", seen(replace(EMPTY, place=ELSEWHERE), index=(entry(),))),
    Row(
        "another origin whose place holds somebody's key",
        seen(replace(showing(ODD), place=ELSEWHERE), index=(entry(),)),
        (f"it holds {ODD}",),
    ),
    Row(
        "a place that was renamed is known",
        seen(showing(ODD), index=(entry(address="github acme/old"),)),
    ),
    Row(
        "the same repository with other variables is a place of its own",
        seen(showing(ODD), index=(entry(address="github acme/old", variables=("DEPLOY_ID",)),)),
        (f"it holds {ODD}",),
    ),
    Row(
        "the key that another configured user serves, also after the first write",
        seen(
            showing(ODD),
            index=(entry(),),
            neighbours=((ODD, CredentialId(account="123456789012", user=UserName("ci-web"))),),
        ),
        (f"it holds {ODD}, the key that keyrota keeps for 123456789012:ci-web",),
    ),
    Row("an archived place is not written, and nothing is asked", seen(replace(showing(ODD), is_archived=True))),
]


def case_of(row: Row) -> Situation:
    return Situation(view=interpret(row.seen), policy=row.policy, now=NOW)


def written(planned: Plan) -> set[str]:
    return {address for action in planned.actions if isinstance(action, act.Sync) for address in action.targets}


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_what_keeps_a_write_away(row: Row) -> None:
    found = [doubt.reason for target in row.seen.targets for doubt in doubts(case_of(row), target)]
    assert len(found) == len(row.held), found
    assert all(words in reason for words, reason in zip(row.held, found, strict=True)), found


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_what_is_held_is_not_written_and_everything_else_is(row: Row) -> None:
    planned = plan(row.seen, row.policy, NOW)
    is_written = not row.held and not row.seen.targets[0].is_archived
    assert (SHOP in written(planned)) == is_written
    assert all(hold.remedy for hold in planned.holds)
    held = [hold for hold in planned.holds if hold.target == SHOP and "is not written" in hold.reason]
    assert bool(held) == bool(row.held)


@pytest.mark.parametrize("row", [row for row in ROWS if row.held], ids=str)
def test_a_held_place_keeps_no_key_from_the_others(row: Row) -> None:
    other = replace(EMPTY, address="github acme/web", place=replace(HERE, id="repository 7"))
    (target,) = row.seen.targets
    both = replace(
        row.seen, targets=(target, other), first_looks=(*(row.seen.first_looks or ()), *looked_around(other))
    )
    assert written(plan(both, row.policy, NOW)) == {other.address}


@pytest.mark.parametrize("row", [row for row in ROWS if row.held], ids=str)
def test_no_key_is_made_while_a_place_is_held(row: Row) -> None:
    """As where a preflight is not ready: a rotation that would end half-synced is not begun."""
    old = replace(row.seen, keys=(a_key(NEW, age_days=95),))
    assert not any(isinstance(action, act.TakeClaim) for action in plan(old, row.policy, NOW).actions)


def confirmed(*marks: str) -> IndexEntry:
    noted = Confirmation(by="arn:aws:iam::123456789012:user/me", at=NOW, seen=".".join(marks))
    return entry(written=None, is_begun=False, confirmed=noted)


def test_a_confirmation_is_about_what_was_seen() -> None:
    """The same key is not asked about again; another one is."""
    first = seen(showing(ODD))
    (doubt,) = doubts(Situation(view=interpret(first), policy=CLASSIC, now=NOW), first.targets[0])
    assert SHOP in written(plan(seen(showing(ODD), index=(confirmed(doubt.mark),)), CLASSIC, NOW))
    assert SHOP not in written(plan(seen(showing(None), index=(confirmed(doubt.mark),)), CLASSIC, NOW))


def test_what_surrounds_a_place_is_asked_before_its_first_write() -> None:
    planned = plan(seen(EMPTY, around=()), CLASSIC, NOW)
    (question,) = (action for action in planned.actions if isinstance(action, act.AskFirst))
    assert question.targets == (SHOP,)
    assert not written(planned)


def test_whose_key_it_is_is_asked_once() -> None:
    planned = plan(seen(showing(ODD)), CLASSIC, NOW)
    assert {action.keys for action in planned.actions if isinstance(action, act.AskFirst)} == {(ODD,)}
    asked = plan(seen(showing(ODD), owners=(KeyOwner(key=ODD),)), CLASSIC, NOW)
    assert not any(isinstance(action, act.AskFirst) for action in asked.actions)


def test_a_place_that_does_not_answer_is_not_written_for_the_first_time() -> None:
    """Unknown is never good; one that was written before is tried, as ever."""
    assert not written(plan(seen(down(SHOP)), CLASSIC, NOW))
    assert written(plan(seen(down(SHOP), index=(entry(),)), CLASSIC, NOW)) == {SHOP}


def test_two_targets_that_are_one_place_are_both_held() -> None:
    other = replace(EMPTY, address="github 12")
    row = seen(EMPTY, other)
    assert find_unwritable(Situation(view=interpret(row), policy=CLASSIC, now=NOW)) == {SHOP, "github 12"}
    as_gitea = replace(other, address="gitea acme/shop", place=replace(HERE, kind="gitea"))
    assert find_unwritable(Situation(view=interpret(seen(EMPTY, as_gitea)), policy=CLASSIC, now=NOW)) == {
        SHOP,
        "gitea acme/shop",
    }
    apart = replace(other, variables=(VariableState(name="DEPLOY_ID", is_present=False),))
    assert not find_unwritable(Situation(view=interpret(seen(EMPTY, apart)), policy=CLASSIC, now=NOW))


def test_what_the_configuration_no_longer_means_is_removed() -> None:
    """By name, by origin, by the provider's ID; a renamed place is none of them, nor is one that was only confirmed."""
    gone, moved, replaced = entry(THERE, address="github acme/gone"), entry(ELSEWHERE), entry(THERE)
    renamed = entry(address="github acme/old")
    index = Index((gone, moved, replaced, renamed, entry(THERE, address="github acme/x", is_begun=False)))
    assert [one.name for one in find_removed(index, (showing(NEW),))] == [
        "github acme/gone",
        "github acme/shop at https://github.example.com/api/v3",
        "github acme/shop (repository 99)",
    ]


def test_a_plan_says_what_a_first_write_does_to_each_variable() -> None:
    known = interpret(seen(showing(OLD)))
    assert [str(change) for change in changes(known, EMPTY)] == ["new", "new"]
    assert [str(change) for change in changes(known, showing(OLD))] == [
        f"replaces {OLD} (a key of this user)",
        "replaces a value that cannot be read",
    ]


def test_an_archived_place_blocks_nothing_and_a_deleted_one_says_how_it_ends() -> None:
    archived = plan(seen(replace(showing(OLD), is_archived=True)), CLASSIC, NOW)
    assert any("it is archived" in notice.reason for notice in archived.notices)
    assert not [hold for hold in archived.holds if hold.target == SHOP]
    deleted = plan(seen(replace(down(SHOP), is_gone=True), index=(entry(),)), CLASSIC, NOW)
    (hold,) = (hold for hold in deleted.holds if hold.target == SHOP)
    assert "keyrota forget 'github acme/shop'" in hold.remedy


def test_an_index_that_is_full_keeps_every_older_key_active() -> None:
    """A removed target is not known then, and may hold it: unknown is never good."""
    tags = (synced("v2", since=30), ("keyrota:targets.full", "yes"))
    both = a_secret(previous(OLD, "v1"), current(NEW, "v2"), tags=tags)
    keys = (a_key(OLD, age_days=125), a_key(NEW, age_days=35))
    planned = plan(replace(seen(showing(NEW)), secret=both, keys=keys), CLASSIC, NOW)
    assert not any(isinstance(action, act.Deactivate) for action in planned.actions)
    assert any("more targets than the secret's tags can remember" in hold.reason for hold in planned.holds)
