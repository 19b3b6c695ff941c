"""What a report says: the JSON document, and the text that a person reads."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from builders import (
    NEW,
    NOW,
    OLD,
    SHOP,
    UNKNOWN,
    a_key,
    a_secret,
    absent,
    ago,
    cannot_tell,
    current,
    down,
    holds,
    observed,
    off_since,
    previous,
    synced,
    used,
)
from keyrota.core import plan as act
from keyrota.core.emergency import Rollback
from keyrota.core.model import KeyStatus, Observation
from keyrota.core.outcome import Done
from keyrota.core.plan import Hold, Plan
from keyrota.core.planner import Intent, plan
from keyrota.core.policy import CLASSIC
from keyrota.errors import (
    GOES_ON,
    NO_TOKEN,
    ConfigError,
    Fault,
    KeyrotaError,
    LeftByLimit,
    PartialFailure,
    ProviderRefused,
    ProviderUnavailable,
)
from keyrota.report.data import (
    CredentialReport,
    document,
    error_fields,
    flatten,
    is_stop,
    lines,
    list_done,
    stamp,
)
from keyrota.report.text import apply_text, count, day, hold_text, in_words, plan_text, status_text, use_text

DUE = observed(a_key(age_days=91, use=used(1)), secret=a_secret(current(), tags=[synced()]), targets=(holds(OLD),))
WAIT_FOR_IDLE = replace(DUE, keys=(a_key(age_days=3),))
OVERLAP = observed(
    a_key(OLD, age_days=101, use=used(0.1)),
    a_key(NEW, age_days=11),
    secret=a_secret(previous(OLD), current(NEW), tags=[synced(since=10.5, confirmed=0.2)]),
    targets=(holds(NEW),),
)


def a_report(seen: Observation | None, intent: Intent | None = None, **more: Any) -> CredentialReport:
    """Report one credential, as `plan` would."""
    base = CredentialReport(user="ci-deploy", account="123456789012", secret_name="keyrota/ci-deploy", now=NOW)
    known = replace(base, observation=seen, plan=plan(seen, CLASSIC, NOW, intent) if seen else None)
    return replace(known, **more)


def one(report: CredentialReport, *, with_done: bool = False) -> dict[str, Any]:
    """Its part of the document."""
    (credential,) = document([report], with_done=with_done)["credentials"]
    assert isinstance(credential, dict)
    return credential


def said(text: Iterable[str]) -> str:
    return "\n".join(text)


def test_the_document_of_a_credential_that_is_due() -> None:
    assert one(a_report(DUE)) == {
        "user": "ci-deploy",
        "account": "123456789012",
        "secret": "keyrota/ci-deploy",
        "keys": [
            {
                "id": OLD,
                "status": "Active",
                "state": "current",
                "created": "2026-03-02T06:00:00Z",
                "age_days": 91,
                "last_used": {
                    "evidence": "used",
                    "at": "2026-05-31T06:00:00Z",
                    "service": "s3",
                    "region": "eu-central-1",
                },
            }
        ],
        "targets": [
            {
                "target": SHOP,
                "evidence": "holds",
                "key": OLD,
                "changed": None,
                "detail": None,
                "place": None,
                "archived": False,
                "first_write": False,
                "variables": [],
            }
        ],
        "served": {"key": OLD, "since": "2026-05-31T06:00:00Z", "confirmed": "2026-05-31T06:00:00Z"},
        "actions": [
            {
                "action": "rotate",
                "key": OLD,
                "target": None,
                "reason": f"{OLD} is 91 days old",
                "due": "2026-05-31T06:00:00Z",
            },
            {
                "action": "sync",
                "key": None,
                "target": SHOP,
                "reason": "the new key goes to every target",
                "due": "2026-06-01T06:00:00Z",
            },
        ],
        "holds": [],
        "next": [],
        "notices": [],
        "left_behind": [],
        "as_of": None,
        "unread": [],
    }


def test_the_document_is_versioned_and_always_has_its_fields() -> None:
    left_out = {"credentials": 0, "places": 0, "as_of": None}
    assert document([]) == {"version": 1, "not_read": left_out, "notes": [], "credentials": [], "errors": []}
    empty = one(a_report(None), with_done=True)
    assert set(empty) == {*one(a_report(DUE)), "done", "left"}
    assert (empty["keys"], empty["targets"], empty["served"], empty["done"], empty["left"]) == ([], [], None, [], [])


def test_the_document_is_json() -> None:
    text = json.dumps(document([a_report(DUE), a_report(OVERLAP), a_report(None)], with_done=True))
    assert json.loads(text)["version"] == 1


def test_a_hold_and_what_comes_next_are_in_the_document() -> None:
    credential = one(a_report(OVERLAP))
    (hold,) = credential["holds"]
    assert (hold["key"], hold["target"], hold["until"]) == (OLD, None, None)
    assert "by s3 in eu-central-1" in hold["reason"]
    assert hold["remedy"]
    assert [(later["action"], later["key"], later["due"]) for later in credential["next"]] == [
        ("rotate", NEW, "2026-08-19T06:00:00Z")
    ]


def test_a_status_that_is_not_known_is_shown_as_iam_wrote_it() -> None:
    key = replace(a_key(), status=KeyStatus.OTHER, status_word="Expired", last_use=UNKNOWN)
    (shown,) = one(a_report(replace(DUE, keys=(key,))))["keys"]
    assert (shown["status"], shown["state"]) == ("Expired", "unknown status")
    assert shown["last_used"] == {"evidence": "unknown", "at": None, "service": None, "region": None}


@pytest.mark.parametrize(
    "seen", [replace(DUE, secret=a_secret(current())), replace(DUE, fingerprint="x"), replace(DUE, secret=None)]
)
def test_what_is_not_proven_is_not_called_served(seen: Observation) -> None:
    assert one(a_report(seen))["served"] is None


def test_errors_are_told_one_by_one_with_their_credential() -> None:
    bundle = PartialFailure(
        "2 failed", [ProviderRefused("no", where="a", remedy="b"), ConfigError([Fault(where="c", what="d")])]
    )
    assert document([a_report(None, errors=(bundle,))])["errors"] == [
        {
            "user": "ci-deploy",
            "account": "123456789012",
            "message": "no",
            "where": "a",
            "remedy": "b",
            "retry_at": None,
        },
        {
            "user": "ci-deploy",
            "account": "123456789012",
            "message": "d",
            "where": "c",
            "remedy": None,
            "retry_at": None,
        },
    ]


def test_bundles_are_taken_apart_however_deep() -> None:
    inner = KeyrotaError("x")
    assert flatten(PartialFailure("a", [PartialFailure("b", [inner]), inner])) == (inner, inner)
    assert error_fields(inner) == {"message": "x", "where": None, "remedy": None, "retry_at": None}


def test_what_a_limit_left_is_no_failure_and_says_when_a_run_goes_on() -> None:
    left = LeftByLimit("used up", where="here", retry_after_s=90, retry_at=NOW)
    refused = ProviderUnavailable("limits this token", remedy="a run after 1 tries again", retry_after_s=90)
    assert (is_stop(left), is_stop(refused), left.remedy) == (True, False, GOES_ON)
    report = a_report(None, errors=(PartialFailure("2", [left, refused]),))
    assert (report.stops, report.failures) == ((left,), (refused,))
    assert error_fields(left)["retry_at"] == "2026-06-01T06:00:00Z"
    told = list(apply_text([report]))
    assert told[-2:] == [
        "1 credential: 0 done, 0 held, 1 failed, 1 left to the next run",
        "1 target is left: a run after 2026-06-01 06:00 UTC goes on",
    ]


def test_a_rotation_is_one_line_and_a_sync_one_for_each_target() -> None:
    seen = replace(DUE, targets=(holds(OLD, "one"), holds(OLD, "two")))
    told = list(lines(plan(seen, CLASSIC, NOW).actions))
    assert [(line.action, line.target) for line in told] == [("rotate", None), ("sync", "one"), ("sync", "two")]


def test_an_adoption_on_the_way_is_part_of_the_rotation() -> None:
    told = list(lines(plan(observed(a_key(age_days=95)), CLASSIC, NOW).actions))
    assert [line.action for line in told] == ["rotate", "sync"]


def done(*actions: act.Action) -> tuple[Done, ...]:
    return tuple(Done(action=action, at=NOW, key=action.key) for action in actions)


ROTATED = done(
    act.Preflight(reason="", due=NOW),
    act.CreateSecret(reason="", due=NOW),
    act.Adopt(version=None, key=OLD, reason="", due=NOW, follows=True),
    act.TakeClaim(reason="", due=NOW),
    act.CreateKey(key=OLD, reason="", due=NOW),
    act.Verify(key=NEW, version=None, reason="", due=NOW),
    act.Promote(key=NEW, version=None, remove_from=None, reason="old", due=NOW),
    act.Sync(key=NEW, targets=("one", "two"), reason="new", due=NOW),
    act.RemoveLabel(label="x", version="v", reason="", due=NOW),  # type: ignore[arg-type]  # a NewType
)


def test_what_was_done_is_told_in_the_words_of_the_plan() -> None:
    told = [line for line, _ in list_done(ROTATED)]
    assert [(line.action, line.key, line.new_key, line.target) for line in told] == [
        ("rotate", OLD, NEW, None),
        ("sync", NEW, None, "one"),
        ("sync", NEW, None, "two"),
    ]
    assert [entry["at"] for entry in one(a_report(WAIT_FOR_IDLE, done=ROTATED), with_done=True)["done"]] == [
        stamp(NOW)
    ] * 3


def test_a_rotation_that_did_not_come_to_its_end_is_not_called_done() -> None:
    assert list(list_done(ROTATED[:6])) == []


def test_other_actions_are_told_by_their_own_word() -> None:
    actions = done(
        act.Deactivate(key=OLD, reason="", due=NOW),
        act.Delete(key=OLD, version="v", reason="", due=NOW),  # type: ignore[arg-type]  # a NewType
        act.DeleteOrphan(key=OLD, reason="", due=NOW),
        act.Reactivate(key=OLD, reason="", due=NOW),
        act.DenySessions(reason="", due=NOW),
        act.Promote(key=OLD, version=None, remove_from=None, is_rollback=True, reason="", due=NOW),
    )
    words = [line.action for line, _ in list_done(actions)]
    assert words == ["deactivate", "delete", "delete-orphan", "reactivate", "deny-sessions", "rollback"]


def test_the_plan_of_a_rollback_is_told_in_the_word_of_its_doing() -> None:
    assert [line.action for line in lines(plan(OVERLAP, CLASSIC, NOW, Rollback(to=OLD)).actions)] == [
        "tidy",
        "rollback",
        "sync",
    ]


def test_a_plan_reads_well() -> None:
    assert said(plan_text([a_report(DUE)])).splitlines() == [
        "ci-deploy  account 123456789012 · secret keyrota/ci-deploy",
        f"  {OLD}  Active      91 days  current      last used 2026-05-31 06:00 UTC by s3 in eu-central-1",
        f"  → rotate     {OLD} is 91 days old",
        f"  → sync       {SHOP}: the new key goes to every target",
        "",
        "1 credential: 2 to do, 0 held, 0 failed",
    ]


def test_a_plan_with_nothing_to_do_says_so_and_what_comes() -> None:
    text = said(plan_text([a_report(WAIT_FOR_IDLE)]))
    assert "  nothing to do\n" in text
    assert f"  · rotate {OLD} on 2026-08-27 (in 87 days): when it reaches its age" in text


def test_a_user_without_a_key_is_told_so() -> None:
    assert "  no access key" in said(plan_text([a_report(observed())]))


def test_a_hold_is_told_with_its_remedy_and_its_end() -> None:
    assert list(hold_text(Hold(reason="r", remedy="do x", until=NOW))) == [
        "  ‖ held       r (until 2026-06-01 06:00 UTC)",
        "               do x",
    ]
    assert list(hold_text(Hold(reason="r"))) == ["  ‖ held       r"]


def test_an_error_is_told_with_its_remedy_and_counted() -> None:
    error = ProviderRefused("no", where="bitbucket", remedy="add the scope")
    text = said(plan_text([a_report(None, errors=(error,)), a_report(WAIT_FOR_IDLE)]))
    assert "  ✗ failed     bitbucket: no\n               add the scope" in text
    assert text.endswith("2 credentials: 0 to do, 0 held, 1 failed")
    assert text.count("nothing to do") == 1


def test_a_run_is_summed_up() -> None:
    left = (act.Deactivate(key=OLD, reason="it is due", due=NOW),)
    text = said(apply_text([a_report(WAIT_FOR_IDLE, done=ROTATED, left=left)]))
    assert f"  ✓ rotate     {OLD} → {NEW}  old" in text
    assert f"  ✓ sync       one: {NEW}  new" in text
    assert "left to the next: deactivate it is due" in text
    assert text.endswith("1 credential: 3 done, 0 held, 0 failed, 1 left to the next run")


def test_a_run_says_nothing_of_credentials_that_needed_nothing() -> None:
    assert list(apply_text([a_report(WAIT_FOR_IDLE)])) == ["1 credential: 0 done, 0 held, 0 failed"]


STATUS = [
    ("served", holds(NEW), f"holds {NEW}, since 2026-05-21 18:00 UTC"),
    ("behind", holds(OLD), f"holds {OLD}, and AWSCURRENT is {NEW}"),
    ("blind", cannot_tell(), "cannot be read back; written since 2026-05-21 18:00 UTC"),
    ("absent", absent(), "lacks AWS_ACCESS_KEY_ID"),
    ("down", down(), f"did not answer: {SHOP} answered 503"),
]


@pytest.mark.parametrize(("case", "target", "words"), STATUS, ids=[row[0] for row in STATUS])
def test_status_tells_what_each_target_holds(case: str, target: Any, words: str) -> None:
    assert f"  @ {SHOP}: {words}" in said(status_text([a_report(replace(OVERLAP, targets=(target,)))])), case


@pytest.mark.parametrize("is_deleted", [False, True])
def test_status_says_once_why_all_targets_of_a_token_were_not_asked(*, is_deleted: bool) -> None:
    """In the hold for all of them; and beside the first one where something else stops every change."""
    why = f"{NO_TOKEN} env:BITBUCKET_TOKEN cannot be resolved: the environment variable is not set"
    targets = tuple(replace(down(f"bitbucket acme/{name}"), detail=why) for name in "abc")
    seen = replace(OVERLAP, targets=targets)
    assert seen.secret is not None
    seen = replace(seen, secret=replace(seen.secret, deleted_at=NOW if is_deleted else None))
    text = said(status_text([a_report(seen)]))
    assert text.count(why) == 1
    assert text.count("was not asked: there is no token for it") == (2 if is_deleted else 3)


def test_status_does_not_call_an_unproven_target_served() -> None:
    seen = replace(OVERLAP, secret=a_secret(previous(OLD), current(NEW)))
    assert f"holds {NEW}, not proven yet" in said(status_text([a_report(seen)]))
    assert "written not proven yet" not in said(status_text([a_report(seen)]))


def test_status_says_of_a_blind_target_that_nothing_is_proven() -> None:
    seen = replace(OVERLAP, secret=a_secret(previous(OLD), current(NEW)), targets=(cannot_tell(),))
    assert "written not proven yet" not in said(status_text([a_report(seen)]))


def test_status_tells_keys_actions_holds_and_what_comes_next() -> None:
    retired = observed(
        a_key(OLD, age_days=105, status=KeyStatus.INACTIVE),
        a_key(NEW, age_days=15),
        secret=a_secret(previous(OLD), current(NEW), tags=[synced("x"), off_since(1)]),
    )
    text = said(status_text([a_report(retired), a_report(OVERLAP), a_report(None)]))
    for words in ("Inactive", "retired", "never used", "→ sync", "‖ held", "delete " + OLD, "rotate " + NEW):
        assert words in text


def test_colours_are_given_by_role_and_change_no_word() -> None:
    roles: set[str] = set()

    def paint(role: str, text: str) -> str:
        roles.add(role)
        return text

    report = a_report(OVERLAP, done=ROTATED, errors=(KeyrotaError("x", remedy="y"),))
    both = [report, a_report(WAIT_FOR_IDLE), a_report(DUE)]
    assert list(plan_text(both, paint)) == list(plan_text(both))
    assert list(apply_text(both, paint)) == list(apply_text(both))
    assert roles == {"title", "good", "due", "held", "bad", "quiet"}


@pytest.mark.parametrize(
    ("span", "words"),
    [(timedelta(days=12), "in 12 days"), (timedelta(hours=30), "in 30 hours"), (timedelta(0), "in 0 hours")],
)
def test_a_span_in_words(span: timedelta, words: str) -> None:
    assert in_words(span) == words


def test_one_hour_is_told_in_the_singular() -> None:
    assert in_words(timedelta(hours=1)) == "in 1 hour"


def test_small_words() -> None:
    assert (count(1, "key"), count(0, "key"), count(2, "key")) == ("1 key", "0 keys", "2 keys")
    assert (day(None), day(ago(0))) == ("at a time that IAM does not tell", "2026-06-01 06:00 UTC")
    assert (stamp(None), stamp(NOW)) == (None, "2026-06-01T06:00:00Z")
    assert use_text(a_key(use=UNKNOWN)) == "last use unknown: throttled"
    assert use_text(a_key(use=replace(used(1), service="", region=""))) == "last used 2026-05-31 06:00 UTC"


HOSTILE = "\x1b[2J\x1b]0;owned\x07\nci-other  account 1"


@pytest.mark.parametrize(
    "seen",
    [
        replace(DUE, keys=(a_key(use=replace(used(1), service=HOSTILE)),)),
        replace(DUE, keys=(replace(a_key(), status=KeyStatus.OTHER, status_word=HOSTILE),)),
        replace(DUE, keys=(replace(a_key(), last_use=replace(UNKNOWN, why=HOSTILE)),)),
        replace(DUE, targets=(replace(down(), detail=HOSTILE),)),
        replace(DUE, secret=replace(a_secret(), tags=(("keyrota:user", HOSTILE),))),
    ],
    ids=["service", "status", "why unknown", "target", "owner"],
)
def test_control_characters_of_others_are_made_visible(seen: Observation) -> None:
    for text in (plan_text, status_text, apply_text):
        assert all(line.isprintable() for line in text([a_report(seen)]))


def test_a_plan_without_a_report_of_keys_is_possible() -> None:
    assert one(a_report(None, plan=Plan()))["actions"] == []


def test_what_failed_in_the_same_words_is_printed_once() -> None:
    """Many targets need one token: the fault is one, and JSON still has it for each."""
    refused = [ProviderRefused("no token", where="env:T", remedy="export T=…") for _ in range(3)]
    report = a_report(WAIT_FOR_IDLE, errors=(PartialFailure("3", refused),))
    text = said(apply_text([report]))
    assert (text.count("env:T: no token"), text.count("export T=…")) == (1, 1)
    assert "3 failed" in text
    assert len(document([report], with_done=True)["errors"]) == 3
