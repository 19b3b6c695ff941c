"""What a report says in full, of everything that it can be made of: no word is missing or in a wrong place."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from builders import FINGERPRINT, NEW, NOW, OLD, a_key, a_secret, ago, current, observed, previous, used
from keyrota.core import plan as act
from keyrota.core.model import (
    SYNCED_TAG,
    KeyStatus,
    PlaceId,
    SyncRecord,
    TargetEvidence,
    TargetState,
    VariableState,
    VersionId,
)
from keyrota.core.outcome import Done
from keyrota.core.plan import Hold, HoldKind, Needs, Notice, Plan, Upcoming
from keyrota.core.policy import CLASSIC
from keyrota.core.records import format_synced
from keyrota.errors import GOES_ON, NO_TOKEN, KeyrotaError, LeftByLimit, PartialFailure
from keyrota.report.data import CredentialReport, document
from keyrota.report.text import apply_text, in_words, minute, plan_text, quiet_text, status_text

RECORD = SyncRecord(version=VersionId("v1"), since=ago(3), confirmed=ago(2), fingerprint=FINGERPRINT, ended=ago(3))
UNPROVEN = replace(RECORD, fingerprint="of other targets")
ID, SECRET = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"


def a_place(number: int) -> PlaceId:
    return PlaceId(kind="github", origin="https://api.github.com", id=f"repository {number}")


SHOWN = TargetState(
    address="one",
    evidence=TargetEvidence.HOLDS,
    key=OLD,
    place=a_place(1),
    variables=(
        VariableState(name=ID, is_present=True, key=OLD, is_readable=True),
        VariableState(name=SECRET, is_present=False),
    ),
)
BLIND = TargetState(
    address="two",
    evidence=TargetEvidence.CANNOT_TELL,
    changed_at=ago(4),
    variables=(VariableState(name=ID, is_present=True), VariableState(name=SECRET, is_present=True)),
)
ARCHIVED = replace(SHOWN, address="three", place=a_place(3), is_archived=True)
NAMELESS = TargetState(address="four", evidence=TargetEvidence.FAILED, detail="answered 503")
TOUCHED = TargetState(address="five", evidence=TargetEvidence.HOLDS, key=NEW, changed_at=ago(1))
SEEN = replace(
    observed(
        replace(a_key(OLD, age_days=100.5, use=used(2)), status=KeyStatus.OTHER, status_word="Expired"),
        a_key(NEW, age_days=12),
        secret=a_secret(previous(OLD), current(NEW), tags=[(SYNCED_TAG, format_synced(UNPROVEN))]),
        targets=(SHOWN, BLIND, ARCHIVED, NAMELESS),
    ),
    left_behind=(TargetState(address="gone", evidence=TargetEvidence.HOLDS, key=OLD, changed_at=ago(9)),),
)
PLAN = Plan(
    actions=(
        act.AskOwner(reason="no word of this", due=NOW),
        act.Deactivate(key=OLD, reason="its overlap is over", due=ago(1)),
        act.CreateKey(key=NEW, reason="it is old", due=ago(2), base=VersionId("v1")),
        act.Verify(key=None, version=None, reason="no word of this", due=NOW),
        act.Sync(
            key=None,
            targets=("one", "two"),
            details=("one holds another key", "two lacks it"),
            reason="all",
            due=ago(3),
        ),
    ),
    holds=(
        Hold(reason="the place runs nothing", remedy="remove it", target="three", until=ago(-1)),
        Hold(key=OLD, reason="half a pair is in place", remedy="run sync", needs=Needs.REPAIR, kind=HoldKind.TORN),
        Hold(reason="nothing helps", needs=Needs.REPAIR),
        Hold(reason="its overlap", key=NEW, needs=Needs.NOBODY),
        *(Hold(reason=f"{name} wait", remedy=GOES_ON, target=name, until=ago(-1)) for name in ("one", "two")),
        *(Hold(reason=f"{name}: {NO_TOKEN} env:A is empty", target=name) for name in ("one", "two", "four")),
        Hold(reason=f"{NO_TOKEN} env:B is empty"),
        Hold(reason=f"{NO_TOKEN} env:B is empty"),
    ),
    upcoming=(
        Upcoming(shown="delete", key=OLD, due=ago(-10), reason="its grace"),
        Upcoming(shown="rotate", key=None, due=ago(-1), reason="its age"),
    ),
    notices=(
        Notice(target="two", reason="it was renamed", remedy="name it so"),
        Notice(target=None, reason="the token ends soon"),
    ),
)
STOPS = tuple(LeftByLimit(f"used up {at}", retry_after_s=90, retry_at=NOW + timedelta(minutes=at)) for at in (9, 5))
FULL = CredentialReport(
    user="ci-deploy",
    account="123456789012",
    secret_name="keyrota/ci-deploy",
    now=NOW,
    observation=SEEN,
    plan=PLAN,
    done=(
        Done(action=act.CreateKey(key=OLD, reason="made", due=NOW), at=ago(5), key=NEW),
        Done(
            action=act.Promote(key=NEW, version=None, remove_from=None, reason="it is current", due=ago(6)),
            at=ago(4),
            key=NEW,
        ),
        Done(action=act.Sync(key=None, targets=(), reason="everywhere", due=ago(7)), at=ago(3), key=NEW),
        Done(action=act.Delete(key=OLD, version=None, reason="its grace is over", due=ago(8)), at=ago(2), key=OLD),
    ),
    errors=(PartialFailure("2", [KeyrotaError("refused", where="one", remedy="add a scope"), *STOPS]),),
    left=(act.Reactivate(key=OLD, reason="it is late", due=ago(9)),),
    policy=CLASSIC,
    label="ci-deploy of 123456789012",
)

HEAD = ["ci-deploy of 123456789012  account 123456789012 · secret keyrota/ci-deploy"]
BROKEN = ["  ✗ broken     half a pair is in place", "               run sync", "  ✗ broken     nothing helps"]
KEYS = [
    f"  {OLD}  Expired    100 days  unknown status  last used 2026-05-30 06:00 UTC by s3 in eu-central-1",
    f"  {NEW}  Active      12 days  current      never used",
]
TO_DO = [
    "  → deactivate its overlap is over",
    "  → rotate     it is old",
    "  → sync       one: holds another key",
    "  → sync       two: lacks it",
]
FIRST = [
    f"  + first      one: {ID} replaces {OLD} (a key of this user); {SECRET} is new",
    f"  + first      two: replaces a pair that cannot be read ({ID}, {SECRET})",
]
ARCHIVED_HELD = [
    "  ‖ held       three: the place runs nothing (until 2026-06-02 06:00 UTC)",
    "               remove it",
]
WAITS = ["  ‖ held       its overlap"]
HELD = [
    "  ‖ held       2 targets wait (until 2026-06-02 06:00 UTC)",
    f"               {GOES_ON}",
    "  ‖ held       3 targets: the token reference env:A is empty",
    "  ‖ held       the token reference env:B is empty",
    "  ‖ held       the token reference env:B is empty",
]
NOTES = ["  ! note       two: it was renamed", "               name it so", "  ! note       the token ends soon"]
FAILED = [
    "  ✗ failed     one: refused",
    "               add a scope",
    "  ‖ left       2 targets are left: a run after 2026-06-01 06:09 UTC goes on",
    "               used up 9",
]
NEXT = [
    f"  · delete {OLD} on 2026-06-11 (in 10 days): its grace",
    "  · rotate on 2026-06-02 (in 24 hours): its age",
]
LEFT = ["  · due since this run began, left to the next: reactivate it is late"]
COUNTS = "8 held, 1 waiting, 2 broken, 1 failed, 3 left to the next run"
ALL_HELD = [*ARCHIVED_HELD, *WAITS, *HELD, *NOTES, *FAILED]


def test_a_plan_says_what_is_broken_what_is_written_first_and_what_comes() -> None:
    told = [*HEAD, *BROKEN, *KEYS, *TO_DO, *FIRST, *ALL_HELD, *NEXT, "", f"1 credential: 4 to do, {COUNTS}"]
    assert list(plan_text([FULL])) == told


def test_a_status_says_what_each_target_holds() -> None:
    targets = [
        f"  @ one: holds {OLD}, and AWSCURRENT is {NEW}",
        "  @ two: cannot be read back; not proven yet",
        f"  @ three: holds {OLD}, and AWSCURRENT is {NEW}",
        "  @ four: did not answer: answered 503",
    ]
    assert list(status_text([FULL])) == [*HEAD, *BROKEN, *KEYS, *targets, *TO_DO, *ALL_HELD, *NEXT, ""]


def test_a_run_says_what_was_done_and_what_is_left() -> None:
    done = [
        f"  ✓ rotate     {OLD} → {NEW}  it is current",
        f"  ✓ sync       {NEW}  everywhere",
        f"  ✓ delete     {OLD}  its grace is over",
    ]
    end = [f"1 credential: 3 done, {COUNTS}", "2 targets are left: a run after 2026-06-01 06:09 UTC goes on"]
    assert list(apply_text([FULL])) == [*HEAD, *BROKEN, *done, *ALL_HELD, *LEFT, "", *end]


def test_a_quiet_report_leaves_out_what_ends_by_itself() -> None:
    told = [*HEAD, *BROKEN, *ARCHIVED_HELD, *HELD, *FAILED, *LEFT, f"1 credential: 1 to look at, {COUNTS}"]
    assert list(quiet_text([FULL])) == told


def _alone(**what: Any) -> CredentialReport:
    """Report a credential of which nothing is to be said but this."""
    nothing: dict[str, Any] = {"plan": None, "done": (), "errors": (), "left": (), "label": ""}
    return replace(FULL, **nothing | what)


PERSON, TIME = Plan(holds=(Hold(reason="x"),)), Plan(holds=(Hold(reason="x", needs=Needs.NOBODY),))
NOTE = Plan(notices=(Notice(reason="x"),))


@pytest.mark.parametrize(
    ("report", "is_quiet", "is_run_silent"),
    [
        (_alone(), True, True),
        (_alone(plan=TIME), True, False),
        (_alone(plan=NOTE), True, False),
        (_alone(plan=PERSON), False, False),
        (_alone(errors=FULL.errors), False, False),
        (_alone(left=FULL.left), False, False),
        (_alone(done=FULL.done), True, False),
    ],
    ids=["nothing", "waits", "note", "held", "failed", "left", "done"],
)
def test_who_has_nothing_to_do_is_not_named(report: CredentialReport, is_quiet: bool, is_run_silent: bool) -> None:
    assert (list(quiet_text([report])) == []) is is_quiet
    assert (len(list(apply_text([report]))) == 1) is is_run_silent


@pytest.mark.parametrize(
    ("report", "is_broken"),
    [
        (_alone(), False),
        (_alone(errors=STOPS), False),
        (_alone(errors=(KeyrotaError("refused"),)), True),
        (_alone(plan=PLAN), True),
        (_alone(plan=PERSON), False),
    ],
    ids=["nothing", "left by a limit", "failed", "needs repair", "held"],
)
def test_what_failed_or_needs_repair_is_broken_and_a_limit_is_not(report: CredentialReport, is_broken: bool) -> None:
    assert report.is_broken is is_broken


def test_nothing_to_do_is_said_only_of_a_plan_that_is_empty() -> None:
    for report in (_alone(plan=PERSON), _alone(plan=Plan(), errors=FULL.errors), _alone()):
        assert "  nothing to do" not in list(plan_text([report]))
    assert "  nothing to do" in list(plan_text([_alone(plan=Plan())]))


def test_a_target_that_was_changed_outside_of_keyrota_is_named_with_the_time() -> None:
    secret = a_secret(previous(OLD), current(NEW), tags=[(SYNCED_TAG, format_synced(RECORD))])
    told = list(status_text([replace(FULL, observation=replace(SEEN, secret=secret, targets=(TOUCHED,)))]))
    assert "  @ five: was changed at 2026-05-31 06:00:00 UTC, and not by keyrota" in told


def test_the_time_of_the_next_run_is_never_too_early() -> None:
    assert minute(NOW + timedelta(seconds=1)) == "2026-06-01 06:01 UTC"
    assert minute(NOW) == "2026-06-01 06:00 UTC"


def test_a_span_that_is_over_is_no_time() -> None:
    assert in_words(timedelta(hours=-3)) == "in 0 hours"
    assert in_words(timedelta(hours=36)) == "in 2 days"


def test_the_document_has_each_value_under_its_name() -> None:
    assert document([FULL], with_done=True) == DOCUMENT


DOCUMENT = {
    "version": 1,
    "not_read": {"credentials": 0, "places": 0, "as_of": None},
    "notes": [],
    "credentials": [
        {
            "user": "ci-deploy",
            "account": "123456789012",
            "secret": "keyrota/ci-deploy",
            "keys": [
                {
                    "id": OLD,
                    "status": "Expired",
                    "state": "unknown status",
                    "created": "2026-02-20T18:00:00Z",
                    "age_days": 100,
                    "last_used": {
                        "evidence": "used",
                        "at": "2026-05-30T06:00:00Z",
                        "service": "s3",
                        "region": "eu-central-1",
                    },
                },
                {
                    "id": NEW,
                    "status": "Active",
                    "state": "current",
                    "created": "2026-05-20T06:00:00Z",
                    "age_days": 12,
                    "last_used": {"evidence": "never", "at": None, "service": None, "region": None},
                },
            ],
            "targets": [
                {
                    "target": "one",
                    "evidence": "holds",
                    "key": OLD,
                    "changed": None,
                    "detail": None,
                    "place": "github https://api.github.com repository 1",
                    "archived": False,
                    "first_write": True,
                    "variables": [
                        {
                            "name": "AWS_ACCESS_KEY_ID",
                            "change": "replaces a key",
                            "key": OLD,
                            "whose": "a key of this user",
                        },
                        {"name": "AWS_SECRET_ACCESS_KEY", "change": "new", "key": None, "whose": None},
                    ],
                },
                {
                    "target": "two",
                    "evidence": "cannot tell",
                    "key": None,
                    "changed": "2026-05-28T06:00:00Z",
                    "detail": None,
                    "place": None,
                    "archived": False,
                    "first_write": True,
                    "variables": [
                        {
                            "name": "AWS_ACCESS_KEY_ID",
                            "change": "replaces a value that cannot be read",
                            "key": None,
                            "whose": None,
                        },
                        {
                            "name": "AWS_SECRET_ACCESS_KEY",
                            "change": "replaces a value that cannot be read",
                            "key": None,
                            "whose": None,
                        },
                    ],
                },
                {
                    "target": "three",
                    "evidence": "holds",
                    "key": OLD,
                    "changed": None,
                    "detail": None,
                    "place": "github https://api.github.com repository 3",
                    "archived": True,
                    "first_write": True,
                    "variables": [
                        {
                            "name": "AWS_ACCESS_KEY_ID",
                            "change": "replaces a key",
                            "key": OLD,
                            "whose": "a key of this user",
                        },
                        {"name": "AWS_SECRET_ACCESS_KEY", "change": "new", "key": None, "whose": None},
                    ],
                },
                {
                    "target": "four",
                    "evidence": "failed",
                    "key": None,
                    "changed": None,
                    "detail": "answered 503",
                    "place": None,
                    "archived": False,
                    "first_write": True,
                    "variables": [],
                },
            ],
            "served": None,
            "actions": [
                {
                    "action": "deactivate",
                    "key": OLD,
                    "target": None,
                    "reason": "its overlap is over",
                    "due": "2026-05-31T06:00:00Z",
                },
                {"action": "rotate", "key": NEW, "target": None, "reason": "it is old", "due": "2026-05-30T06:00:00Z"},
                {
                    "action": "sync",
                    "key": None,
                    "target": "one",
                    "reason": "holds another key",
                    "due": "2026-05-29T06:00:00Z",
                },
                {"action": "sync", "key": None, "target": "two", "reason": "lacks it", "due": "2026-05-29T06:00:00Z"},
            ],
            "holds": [
                {
                    "key": None,
                    "target": "three",
                    "reason": "the place runs nothing",
                    "remedy": "remove it",
                    "until": "2026-06-02T06:00:00Z",
                    "needs": "person",
                    "torn": False,
                },
                {
                    "key": OLD,
                    "target": None,
                    "reason": "half a pair is in place",
                    "remedy": "run sync",
                    "until": None,
                    "needs": "repair",
                    "torn": True,
                },
                {
                    "key": None,
                    "target": None,
                    "reason": "nothing helps",
                    "remedy": "",
                    "until": None,
                    "needs": "repair",
                    "torn": False,
                },
                {
                    "key": NEW,
                    "target": None,
                    "reason": "its overlap",
                    "remedy": "",
                    "until": None,
                    "needs": "nobody",
                    "torn": False,
                },
                {
                    "key": None,
                    "target": "one",
                    "reason": "one wait",
                    "remedy": "nothing is lost: a run after that time continues where this one stopped",
                    "until": "2026-06-02T06:00:00Z",
                    "needs": "person",
                    "torn": False,
                },
                {
                    "key": None,
                    "target": "two",
                    "reason": "two wait",
                    "remedy": "nothing is lost: a run after that time continues where this one stopped",
                    "until": "2026-06-02T06:00:00Z",
                    "needs": "person",
                    "torn": False,
                },
                {
                    "key": None,
                    "target": "one",
                    "reason": "one: the token reference env:A is empty",
                    "remedy": "",
                    "until": None,
                    "needs": "person",
                    "torn": False,
                },
                {
                    "key": None,
                    "target": "two",
                    "reason": "two: the token reference env:A is empty",
                    "remedy": "",
                    "until": None,
                    "needs": "person",
                    "torn": False,
                },
                {
                    "key": None,
                    "target": "four",
                    "reason": "four: the token reference env:A is empty",
                    "remedy": "",
                    "until": None,
                    "needs": "person",
                    "torn": False,
                },
                {
                    "key": None,
                    "target": None,
                    "reason": "the token reference env:B is empty",
                    "remedy": "",
                    "until": None,
                    "needs": "person",
                    "torn": False,
                },
                {
                    "key": None,
                    "target": None,
                    "reason": "the token reference env:B is empty",
                    "remedy": "",
                    "until": None,
                    "needs": "person",
                    "torn": False,
                },
            ],
            "next": [
                {"action": "delete", "key": OLD, "due": "2026-06-11T06:00:00Z", "reason": "its grace"},
                {"action": "rotate", "key": None, "due": "2026-06-02T06:00:00Z", "reason": "its age"},
            ],
            "notices": [
                {"target": "two", "reason": "it was renamed", "remedy": "name it so"},
                {"target": None, "reason": "the token ends soon", "remedy": None},
            ],
            "left_behind": [
                {"target": "gone", "evidence": "holds", "key": OLD, "changed": "2026-05-23T06:00:00Z", "detail": None}
            ],
            "as_of": None,
            "unread": [],
            "done": [
                {
                    "action": "rotate",
                    "key": OLD,
                    "target": None,
                    "reason": "it is current",
                    "due": "2026-05-26T06:00:00Z",
                    "new_key": NEW,
                    "at": "2026-05-28T06:00:00Z",
                },
                {
                    "action": "sync",
                    "key": NEW,
                    "target": None,
                    "reason": "everywhere",
                    "due": "2026-05-25T06:00:00Z",
                    "new_key": None,
                    "at": "2026-05-29T06:00:00Z",
                },
                {
                    "action": "delete",
                    "key": OLD,
                    "target": None,
                    "reason": "its grace is over",
                    "due": "2026-05-24T06:00:00Z",
                    "new_key": None,
                    "at": "2026-05-30T06:00:00Z",
                },
            ],
            "left": [
                {
                    "action": "reactivate",
                    "key": OLD,
                    "target": None,
                    "reason": "it is late",
                    "due": "2026-05-23T06:00:00Z",
                }
            ],
        }
    ],
    "errors": [
        {
            "user": "ci-deploy",
            "account": "123456789012",
            "message": "refused",
            "where": "one",
            "remedy": "add a scope",
            "retry_at": None,
        },
        {
            "user": "ci-deploy",
            "account": "123456789012",
            "message": "used up 9",
            "where": None,
            "remedy": "nothing is lost: a run after that time continues where this one stopped",
            "retry_at": "2026-06-01T06:09:00Z",
        },
        {
            "user": "ci-deploy",
            "account": "123456789012",
            "message": "used up 5",
            "where": None,
            "remedy": "nothing is lost: a run after that time continues where this one stopped",
            "retry_at": "2026-06-01T06:05:00Z",
        },
    ],
}
