"""What the routine plans: rotation, adoption, claims, orphans, pending keys, sync, tidying."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from builders import (
    NEVER,
    NEW,
    NOW,
    ODD,
    OLD,
    SHOP,
    UNKNOWN,
    a_claim,
    a_key,
    a_secret,
    a_version,
    absent,
    ago,
    an_id,
    by_run,
    cannot_tell,
    check_told,
    claim_version,
    current,
    down,
    holds,
    observed,
    off_since,
    pending,
    placeholder,
    previous,
    synced,
    unlabelled_placeholder,
    used,
)
from keyrota.core import plan as act
from keyrota.core.model import (
    AWSCURRENT,
    CLAIM,
    PENDING,
    DeactivationNote,
    KeyStatus,
    Observation,
    Readiness,
    TargetState,
)
from keyrota.core.plan import Plan
from keyrota.core.planner import SyncOnly, plan, read
from keyrota.core.policy import CLASSIC, STRICT, Adopt, RotationPolicy

ADOPT_NOW = replace(CLASSIC, adopt=Adopt.NOW)
OFF = KeyStatus.INACTIVE
THIRD = an_id("THIRD")
WHOLE_ROAD = ("Preflight", "TakeClaim", "CreateKey", "Verify", "Promote", "Sync")


@dataclass(frozen=True)
class Row:
    """One line of a table: in which case, what is planned."""

    case: str
    seen: Observation
    do: tuple[str, ...] = ()
    """Names of the actions in their order."""
    hold: tuple[str, ...] = ()
    """Words of each hold's reason."""
    later: tuple[str, ...] = ()
    """Word and date of what is not due yet."""
    policy: RotationPolicy = CLASSIC

    def __str__(self) -> str:
        return self.case


def check(row: Row, planned: Plan) -> None:
    assert tuple(type(action).__name__ for action in planned.actions) == row.do
    assert len(planned.holds) == len(row.hold), planned.holds
    for hold, words in zip(planned.holds, row.hold, strict=True):
        assert words in hold.reason
        assert hold.remedy or hold.target
    assert tuple(f"{later.shown} {later.due:%Y-%m-%d}" for later in planned.upcoming) == row.later


def at_rest(age_days: float) -> Observation:
    """One key of an age, stored and on its only target."""
    return observed(a_key(age_days=age_days), secret=a_secret(current(), tags=[synced()]), targets=(holds(OLD),))


def by_hand(*, is_named: bool, is_tagged: bool) -> Observation:
    """A secret whose AWSCURRENT somebody else wrote."""
    secret = a_secret(a_version("v1", AWSCURRENT))
    seen = observed(a_key(age_days=200), secret=secret if is_tagged else replace(secret, tags=()))
    return by_run(seen, is_secret_named=is_named)


def with_labels_of_others(seen: Observation, number: int) -> Observation:
    """Let somebody put labels of their own on the current version."""
    assert seen.secret is not None
    (version,) = seen.secret.versions
    labels = version.labels | {f"theirs-{count}" for count in range(number)}
    return replace(seen, secret=replace(seen.secret, versions=(replace(version, labels=labels),)))


ROTATION = [
    Row("a key one day short of its age waits", at_rest(89), later=("rotate 2026-06-02",)),
    Row("a key of exactly its age is rotated", at_rest(90), do=WHOLE_ROAD),
    Row("strict rotates at 75 days", at_rest(75), do=WHOLE_ROAD, policy=STRICT),
    Row("strict waits at 74 days", at_rest(74), later=("rotate 2026-06-02",), policy=STRICT),
    Row(
        "a user without a key and without a secret gets both",
        observed(),
        do=("Preflight", "CreateSecret", "TakeClaim", "CreateKey", "Verify", "Promote", "Sync"),
    ),
    Row("a placeholder is filled with the first key", seen=observed(secret=a_secret(placeholder())), do=WHOLE_ROAD),
    Row(
        "so is one without its label, which a run left that died between two calls",
        seen=observed(secret=a_secret(unlabelled_placeholder())),
        do=WHOLE_ROAD,
    ),
    Row(
        "preflight is not asked twice, and its yes lets the rotation go on",
        by_run(at_rest(90), readiness=(Readiness(address=SHOP, is_ready=True),)),
        do=WHOLE_ROAD[1:],
    ),
    Row(
        "a target that would refuse the write stops the rotation before it begins",
        by_run(at_rest(90), readiness=(Readiness(address=SHOP, is_ready=False, detail="token expired", remedy="x"),)),
        hold=(f"{SHOP} would not take the new key: token expired",),
    ),
    Row(
        "a secret without room for three more labels could not store the key",
        with_labels_of_others(at_rest(90), 16),
        hold=("the secret wears 18 staging labels, 3 more are needed, and Secrets Manager takes 20",),
    ),
    Row(
        "both slots taken by our own keys: the new key waits for the old one to leave",
        observed(
            a_key(OLD, age_days=190, status=OFF),
            a_key(NEW, age_days=90),
            secret=a_secret(
                previous(OLD),
                current(NEW),
                tags=[synced(since=80), ("keyrota:deactivated", f"{OLD}@{ago(5).isoformat()}")],
            ),
        ),
        hold=("both of IAM's two slots are taken",),
        later=("delete 2026-06-06",),
    ),
]

ADOPTION = [
    Row(
        "a key that was there before keyrota is replaced when it is due",
        observed(a_key(age_days=90)),
        do=("Preflight", "CreateSecret", "Adopt", "TakeClaim", "CreateKey", "Verify", "Promote", "Sync"),
    ),
    Row("and not sooner", observed(a_key(age_days=80)), later=("rotate 2026-06-11",)),
    Row(
        "or at once with adopt: now",
        observed(a_key(age_days=2)),
        policy=ADOPT_NOW,
        do=("Preflight", "CreateSecret", "Adopt", "TakeClaim", "CreateKey", "Verify", "Promote", "Sync"),
    ),
    Row(
        "adopt: now still means it after the placeholder was labelled with the key",
        observed(a_key(age_days=2), secret=a_secret(placeholder(OLD))),
        policy=ADOPT_NOW,
        do=WHOLE_ROAD,
    ),
    Row(
        "adopt: now does not touch a key that keyrota made",
        at_rest(2),
        policy=ADOPT_NOW,
        later=("rotate 2026-08-28",),
    ),
    Row(
        "a secret written by hand and named in the configuration is read first",
        by_hand(is_named=True, is_tagged=False),
        do=("AskValue", "Adopt", "Sync"),
    ),
    Row(
        "a new AWSCURRENT in our own secret is read first",
        by_hand(is_named=False, is_tagged=True),
        do=("AskValue", "Adopt", "Sync"),
    ),
    Row(
        "a secret that only happens to have the derived name is left alone",
        by_hand(is_named=False, is_tagged=False),
        hold=("keyrota did not make it",),
    ),
]

STRANGERS = [
    Row(
        "a foreign key beside ours is named",
        observed(a_key(age_days=10), a_key(ODD), secret=a_secret(current(), tags=[synced()])),
        hold=(f"{ODD} (Active) was not made by keyrota",),
        later=("rotate 2026-08-20",),
    ),
    Row(
        "a foreign key takes the slot that a rotation needs",
        observed(a_key(age_days=95), a_key(ODD), secret=a_secret(current(), tags=[synced()])),
        hold=(f"{ODD} (Active) was not made by keyrota", "both of IAM's two slots are taken"),
    ),
    Row(
        "two keys and no secret: nobody can tell which one pipelines use",
        observed(a_key(OLD, age_days=200), a_key(ODD, age_days=200)),
        hold=(OLD, ODD, "both of IAM's two slots"),
    ),
    Row(
        "an Inactive key beside an empty secret is not adopted, and a person decides about a first one",
        observed(a_key(OLD, age_days=200, status=OFF)),
        hold=(f"{OLD} (Inactive) was not made by keyrota", "someone deactivated it before keyrota adopted it"),
    ),
    Row(
        "three keys: each stranger is named, and the number",
        observed(a_key(age_days=10), a_key(ODD), a_key(THIRD), secret=a_secret(current(), tags=[synced()])),
        hold=(ODD, THIRD, "3 access keys"),
        later=("rotate 2026-08-20",),
    ),
    Row(
        "a status that keyrota does not know stops everything",
        observed(
            replace(a_key(age_days=200), status=KeyStatus.OTHER, status_word="Expired"),
            secret=a_secret(current(), tags=[synced("v0")]),
        ),
        hold=("its status is 'Expired'",),
    ),
]


def claimed(claim_days_ago: float, run: str, *, with_version: bool = True) -> Observation:
    """A due key, and a claim on its rotation."""
    versions = (current(), claim_version()) if with_version else (current(),)
    return observed(
        a_key(age_days=95), secret=a_secret(*versions, tags=[synced()]), claim=a_claim(days_ago=claim_days_ago, run=run)
    )


def orphaned(
    claim_days_ago: float,
    orphan_age: float = 0,
    *,
    note: str | None = None,
    off: tuple[float, str] | None = None,
    **known: object,
) -> Observation:
    """A due key, and one that only the claim explains, or the note that somebody who could read the claim left."""
    orphan = replace(a_key(NEW, age_days=orphan_age or claim_days_ago), **known)  # type: ignore[arg-type]  # by name
    tags = [synced()]
    if note is not None:
        tags.append(("keyrota:orphan", f"{NEW}@{NOW.isoformat()}{note}"))
    if off is not None:
        tags.append(off_since(off[0], NEW, DeactivationNote(off[1])))
    claim = a_claim(days_ago=claim_days_ago) if note is None else None
    return observed(a_key(age_days=95), orphan, secret=a_secret(current(), tags=tags), claim=claim)


CLAIMS = [
    Row("another run's claim is waited for", claimed(0, "another"), hold=("run another holds the claim",)),
    Row(
        "another run's claim whose lease is over is replaced, and its label comes off",
        claimed(1, "another"),
        do=("RemoveLabel", *WHOLE_ROAD),
    ),
    Row(
        "a claim stays while nobody has read AWSCURRENT: it alone explains a key that is not in there",
        observed(
            a_key(NEW, age_days=1),
            a_key(ODD, age_days=0.1),
            secret=a_secret(a_version("by-hand", AWSCURRENT), claim_version(), tags=[synced()]),
            claim=a_claim(days_ago=1),
        ),
        do=("AskValue", "Adopt", "Sync"),
    ),
    Row(
        "this run's own claim lets it make the key",
        claimed(0, "this-run"),
        do=("Preflight", "CreateKey", "Verify", "Promote", "Sync"),
    ),
    Row(
        "with half of its lease gone there may not be time enough to store a key: claim again",
        claimed(6 / 1440, "this-run"),
        do=WHOLE_ROAD,
    ),
    Row(
        "an orphan within the lease may be a key that is being made",
        orphaned(5 / 1440),
        hold=("is being made by run another",),
    ),
    Row(
        "an orphan after the lease is noted, because its claim does not last",
        orphaned(1),
        do=("NoteOrphan",),
        hold=("both of IAM's two slots",),
    ),
    Row(
        "a noted orphan that is a day old, and was never used, is deactivated; the rotation waits for its slot",
        orphaned(1, note=""),
        do=("Deactivate",),
        hold=("both of IAM's two slots",),
    ),
    Row(
        "a younger one waits: that it was never used proves nothing yet",
        orphaned(0.5, note=""),
        hold=("both of IAM's two slots",),
        later=("deactivate 2026-06-01",),
    ),
    Row(
        "an orphan that a target shows is someone's key",
        replace(orphaned(1, note=""), targets=(holds(OLD), holds(NEW, "gitlab acme/web"))),
        hold=(
            f"{NEW} stays Active: gitlab acme/web still shows it",
            f"it holds {NEW}, another Active key of this user",
            "both of IAM's two slots",
        ),
    ),
    Row(
        "an orphan that someone switched on again is theirs",
        orphaned(3, note="", off=(1.0, "")),
        do=("NoteActive",),
        hold=("both of IAM's two slots",),
    ),
    Row(
        "an Inactive orphan waits for its grace",
        orphaned(5, note="", off=(4.0, ""), status=OFF),
        hold=("both of IAM's two slots",),
        later=("delete-orphan 2026-06-07",),
    ),
    Row(
        "its grace begins when it is seen Inactive",
        orphaned(5, note="", status=OFF),
        do=("Deactivate",),
        hold=("both of IAM's two slots",),
    ),
    Row(
        "after its grace it is deleted, and the rotation continues in the same run",
        orphaned(12, note="", off=(10.5, ""), status=OFF),
        do=("DeleteOrphan", *WHOLE_ROAD),
    ),
    Row(
        "it is kept where a target shows it by then",
        replace(orphaned(12, note="", off=(10.5, ""), status=OFF), targets=(holds(OLD), holds(NEW, "gitlab acme/web"))),
        do=("Sync",),
        hold=("pipelines fail", f"{NEW} is kept: gitlab acme/web still shows it", "both of IAM's two slots"),
    ),
    Row(
        "a released key that was used lately stays Active until it is quiet",
        orphaned(50, note="@released", last_use=used(0.5)),
        hold=("both of IAM's two slots",),
        later=("deactivate 2026-06-01",),
    ),
    Row(
        "a released key that is quiet is deactivated",
        orphaned(50, note="@released", last_use=used(30)),
        do=("Deactivate",),
        hold=("both of IAM's two slots",),
    ),
    Row(
        "a released key that something used after it was deactivated is kept",
        orphaned(50, note="@released", off=(12, ""), status=OFF, last_use=used(5)),
        hold=(f"{NEW} is kept: something tried to use it", "both of IAM's two slots"),
    ),
    Row(
        "a used orphan is someone's key",
        orphaned(1, last_use=used(0.5)),
        hold=(f"{NEW} (Active) was not made by keyrota", "both of IAM's two slots"),
    ),
    Row(
        "an orphan of unknown use is not deactivated",
        orphaned(1, note="", last_use=UNKNOWN),
        hold=("could not be read: throttled", "both of IAM's two slots"),
    ),
    Row(
        "a key that the claim had seen is no orphan",
        replace(orphaned(1), claim=a_claim(days_ago=1, seen=(OLD, NEW))),
        hold=(f"{NEW} (Active) was not made by keyrota", "both of IAM's two slots"),
    ),
    Row(
        "a key made long before the claim is no orphan",
        orphaned(1, orphan_age=3),
        hold=(f"{NEW} (Active) was not made by keyrota", "both of IAM's two slots"),
    ),
    Row(
        "an Inactive key is no orphan",
        orphaned(1, status=OFF),
        hold=(f"{NEW} (Inactive) was not made by keyrota", "both of IAM's two slots"),
    ),
    Row(
        "without a claim a key that no version names is foreign, however young",
        replace(orphaned(1), claim=None),
        hold=(f"{NEW} (Active) was not made by keyrota", "both of IAM's two slots"),
    ),
]


def begun(*, base: str = "v1", **known: object) -> Observation:
    """A rotation whose key is stored and not served."""
    return by_run(
        observed(
            a_key(age_days=90),
            a_key(NEW, age_days=0.1),
            secret=a_secret(current(), pending(base=base), tags=[synced()]),
        ),
        **known,
    )


PENDING_KEYS = [
    Row(
        "a pending key is proven and promoted by whichever run comes next",
        begun(),
        do=("Verify", "Promote", "Sync"),
    ),
    Row("a proven one is promoted", begun(verified=frozenset({NEW})), do=("Promote", "Sync")),
    Row(
        "a pending key of a base that is not current any more is no longer promoted",
        begun(base="v0"),
        hold=("both of IAM's two slots are taken",),
        later=("deactivate 2026-06-10",),
    ),
    Row(
        "its maker drops it at once",
        begun(base="v0", made_here=frozenset({NEW})),
        do=("DeleteOrphan",),
        hold=("both of IAM's two slots are taken",),
    ),
    Row(
        "a key that its maker could not store is dropped by it",
        by_run(
            observed(a_key(age_days=10), a_key(NEW, age_days=0), secret=a_secret(current(), tags=[synced()])),
            made_here=frozenset({NEW}),
        ),
        do=("DeleteOrphan",),
        later=("rotate 2026-08-20",),
    ),
]

REST = "rotate 2026-08-20"


def one_key(*, tags: tuple[tuple[str, str], ...] = (), targets: tuple[TargetState, ...] = ()) -> Observation:
    """A young key, and what the targets say."""
    return observed(a_key(), secret=a_secret(current(), tags=tags), targets=targets)


def overlapping(
    *, since: float, confirmed: float | None = None, targets: tuple[object, ...] = (holds(NEW),)
) -> Observation:
    """Two keys, the old one well before its age."""
    return replace(
        observed(
            a_key(OLD, age_days=91),
            a_key(NEW, age_days=1),
            secret=a_secret(previous(OLD), current(NEW), tags=[synced(since=since, confirmed=confirmed)]),
        ),
        targets=targets,  # type: ignore[arg-type]  # made by builders
    )


WAITS = ("deactivate 2026-06-10", "rotate 2026-08-29")

SYNC = [
    Row("targets that hold AWSCURRENT are left alone", at_rest(10), later=(REST,)),
    Row(
        "no record of a sync: every target is written",
        one_key(targets=(holds(OLD),)),
        do=("Sync",),
        later=(REST,),
    ),
    Row("AWSCURRENT moved since the last sync", one_key(tags=(synced("v0"),)), do=("Sync",), later=(REST,)),
    Row(
        "the set of targets changed since the last sync",
        replace(one_key(tags=(synced(),)), fingerprint="another"),
        do=("Sync",),
        later=(REST,),
    ),
    Row(
        "a record that somebody edited counts as none",
        one_key(tags=(("keyrota:synced", "v1@yesterday"),)),
        do=("Sync",),
        later=(REST,),
    ),
    Row(
        "a target that shows another key",
        one_key(tags=(synced(),), targets=(holds(ODD),)),
        do=("AskFirst", "Sync"),
        later=(REST,),
    ),
    Row(
        "a target without its variables",
        one_key(tags=(synced(),), targets=(absent(),)),
        do=("Sync",),
        hold=("pipelines fail at bitbucket acme/shop Production now: it lacks",),
        later=(REST,),
    ),
    Row(
        "a target that cannot be read back is believed",
        one_key(tags=(synced(),), targets=(cannot_tell(),)),
        later=(REST,),
    ),
    Row(
        "a target that does not answer is named, and not written for that alone",
        one_key(tags=(synced(),), targets=(down(),)),
        hold=("answered 503",),
        later=(REST,),
    ),
    Row(
        "a quarter of an hour after the switch the pair is written once more",
        overlapping(since=1),
        do=("Sync",),
        later=WAITS,
    ),
    Row("and then not again", overlapping(since=1, confirmed=0.9), later=WAITS),
    Row(
        "before that quarter of an hour nothing is written again",
        overlapping(since=10 / 1440),
        later=("deactivate 2026-06-11", "rotate 2026-08-29"),
    ),
    Row(
        "a credential without targets has nothing to write again",
        overlapping(since=1, targets=()),
        later=WAITS,
    ),
    Row(
        "a placeholder is never sent to a target",
        replace(observed(a_key(), secret=a_secret(placeholder(OLD))), targets=(holds(OLD),)),
        later=(REST,),
    ),
]

LEFT = [
    Row(
        "the label of a pending key comes off when it is AWSCURRENT",
        observed(a_key(), secret=a_secret(a_version("v1", AWSCURRENT, OLD, PENDING), tags=[synced()])),
        do=("RemoveLabel",),
        later=(REST,),
    ),
    Row(
        "the claim comes off when its lease is over",
        observed(a_key(), secret=a_secret(current(), claim_version(), tags=[synced()]), claim=a_claim(days_ago=1)),
        do=("RemoveLabel",),
        later=(REST,),
    ),
    Row(
        "this run's claim comes off when its key is AWSCURRENT",
        observed(
            a_key(OLD),
            secret=a_secret(current(), claim_version(), tags=[synced()]),
            claim=a_claim(run="this-run", seen=()),
        ),
        do=("RemoveLabel",),
        later=(REST,),
    ),
    Row(
        "another run's claim stays while its lease runs",
        observed(a_key(OLD), secret=a_secret(current(), claim_version(), tags=[synced()]), claim=a_claim(seen=())),
        later=(REST,),
    ),
    Row(
        "a claim that is not shown yet stays: it may be that of a run that is making a key (soak 1549)",
        observed(a_key(OLD), secret=a_secret(current(), a_version("c", CLAIM), tags=[synced()], changed=0.01)),
        later=(REST,),
    ),
    Row(
        "a claim that cannot be read comes off",
        observed(a_key(), secret=a_secret(current(), a_version("c", CLAIM), tags=[synced()])),
        do=("RemoveLabel",),
        later=(REST,),
    ),
    Row(
        "the label of a deleted key comes off",
        observed(a_key(NEW), secret=a_secret(previous(OLD), current(NEW), tags=[synced()])),
        do=("RemoveLabel",),
        later=(REST,),
    ),
    Row(
        "not while IAM's list may lag behind",
        observed(a_key(NEW), secret=a_secret(previous(OLD), current(NEW), tags=[synced()], changed=10 / 1440)),
        later=(REST,),
    ),
]


@pytest.mark.parametrize("row", [*ROTATION, *ADOPTION, *STRANGERS, *CLAIMS, *PENDING_KEYS, *SYNC, *LEFT], ids=str)
def test_the_routine(row: Row) -> None:
    planned = plan(row.seen, row.policy, NOW)
    check(row, planned)
    check_told(planned, row.seen)


def test_the_road_to_a_new_key_names_what_it_starts_from() -> None:
    planned = plan(at_rest(91), CLASSIC, NOW)
    assert [action.follows for action in planned.actions] == [False, True, True, True, True, True]
    assert {action.reason for action in planned.actions if isinstance(action, act.CreateKey)} == {
        f"{OLD} is 91 days old"
    }
    assert planned.actions[0].due == ago(1)
    assert [action.remove_from for action in planned.actions if isinstance(action, act.Promote)] == ["v1"]
    assert [action.targets for action in planned.actions if isinstance(action, act.Sync)] == [(SHOP,)]
    assert planned.makes_key


def test_a_rotation_that_goes_on_is_no_rollback() -> None:
    promotions = [action for action in plan(begun(), CLASSIC, NOW).actions if isinstance(action, act.Promote)]
    assert [action.is_rollback for action in promotions] == [False]


def test_a_drifted_target_is_written_and_its_neighbour_is_not() -> None:
    seen = one_key(tags=(synced(),), targets=(holds(OLD, "one"), holds(ODD, "two")))
    asked, action = plan(seen, CLASSIC, NOW).actions
    assert isinstance(asked, act.AskFirst)
    assert asked.keys == (ODD,), "whose key it is"
    assert isinstance(action, act.Sync)
    assert (action.targets, action.reason) == (("two",), f"two holds {ODD}")


def test_sync_alone_makes_and_changes_no_key() -> None:
    seen = replace(at_rest(200), targets=(holds(ODD), down("two")))
    planned = plan(seen, CLASSIC, NOW, SyncOnly())
    assert [action.shown for action in planned.actions] == ["look", "sync"]
    assert [hold.target for hold in planned.holds] == ["two"]
    assert not planned.makes_key


def test_the_view_finds_the_current_key() -> None:
    assert read(at_rest(1)).current_key == OLD
    assert a_key().last_use == NEVER


def test_the_last_room_is_enough() -> None:
    """Twenty labels in the end; a claim that is there already needs none."""
    assert not plan(with_labels_of_others(at_rest(90), 15), CLASSIC, NOW).holds


def test_a_claim_that_is_there_needs_no_more_room() -> None:
    """Its label is one of the three."""
    seen = with_labels_of_others(at_rest(90), 15)
    assert seen.secret is not None
    claimed = replace(seen, secret=replace(seen.secret, versions=(*seen.secret.versions, a_version("claim", CLAIM))))
    assert not plan(claimed, CLASSIC, NOW).holds
