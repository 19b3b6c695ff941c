"""One credential in one line: its state, what comes next, its places, the last run; and the screens made of it."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from builders import (
    NEW,
    NOW,
    OLD,
    SHOP,
    a_key,
    a_secret,
    absent,
    ago,
    an_id,
    cannot_tell,
    current,
    down,
    holds,
    observed,
    off_since,
    previous,
    remembers,
    synced,
    used,
)
from keyrota.core import plan as act
from keyrota.core.model import KeyStatus, Observation
from keyrota.core.plan import Hold, HoldKind, Needs, Plan
from keyrota.core.planner import plan
from keyrota.core.policy import CLASSIC
from keyrota.errors import KeyrotaError, LeftByLimit
from keyrota.report.data import CredentialReport
from keyrota.report.fleet import (
    MEANING,
    Places,
    Row,
    State,
    count_places,
    describe_fleet,
    find_last_run,
    find_state,
    list_rows,
    make_row,
)
from keyrota.report.screen import measure
from keyrota.report.table import FIELDS, format_csv, format_summary, format_table
from keyrota.report.text import plan_text

CALM = observed(
    a_key(age_days=3, use=used(0.5)),
    secret=a_secret(current(), tags=[synced(), *remembers(SHOP)]),
    targets=(holds(OLD),),
)


def a_report(
    seen: Observation | None = CALM, *, user: str = "ci-deploy", account: str = "123456789012", **more: Any
) -> CredentialReport:
    """Report one credential, as a look would."""
    planned = plan(seen, CLASSIC, NOW) if seen else None
    base = CredentialReport(
        user=user, account=account, secret_name=f"keyrota/{user}", now=NOW, observation=seen, plan=planned
    )
    return replace(base, **more)


def planned(*holds_: Hold, due: float | None = None) -> Plan:
    """Plan holds, and something that has been due for so many days."""
    actions = () if due is None else (act.Sync(key=OLD, targets=(SHOP,), reason="it lacks it", due=ago(due)),)
    return Plan(actions=actions, holds=holds_)


REPAIR = Hold(reason="a dead key", needs=Needs.REPAIR)
TORN = replace(REPAIR, kind=HoldKind.TORN)
PERSON = Hold(reason="decide")
TIME = Hold(reason="wait", needs=Needs.NOBODY)
FAILED = (KeyrotaError("refused"),)
LEFT = (LeftByLimit("used up", retry_after_s=90, retry_at=NOW),)


@pytest.mark.parametrize(
    ("report", "state"),
    [
        (a_report(plan=planned(PERSON, TORN, due=9), errors=FAILED), State.TORN),
        (a_report(plan=planned(PERSON, REPAIR, due=9), errors=FAILED), State.BROKEN),
        (a_report(plan=planned(PERSON, due=9), errors=(*LEFT, *FAILED)), State.FAILED),
        (a_report(None, errors=FAILED), State.FAILED),
        (a_report(plan=planned(PERSON, TIME, due=9), errors=LEFT), State.HELD),
        (a_report(plan=planned(TIME, due=9), errors=LEFT), State.LEFT),
        (a_report(plan=planned(TIME, due=1.01)), State.OVERDUE),
        (a_report(plan=planned(TIME, due=1)), State.DUE),
        (a_report(plan=planned(TIME)), State.WAITING),
        (a_report(), State.OK),
    ],
)
def test_the_state_is_the_worst_that_is_true(report: CredentialReport, state: State) -> None:
    assert find_state(report) is state


def test_every_state_has_a_meaning_that_fits_the_screen() -> None:
    assert set(MEANING) == set(State)
    assert all(len(text) <= 61 for text in MEANING.values())


@pytest.mark.parametrize(
    ("targets", "places"),
    [
        ((holds(OLD),), Places(fine=1, unknown=0, total=1)),
        ((holds(OLD, "a"), holds(NEW, "b"), absent("c"), down("d")), Places(fine=1, unknown=1, total=4)),
        ((cannot_tell(),), Places(fine=1, unknown=0, total=1)),
        ((), Places(fine=0, unknown=0, total=0)),
    ],
)
def test_a_place_is_fine_only_if_that_is_known(targets: Any, places: Places) -> None:
    assert count_places(replace(CALM, targets=targets)) == places


def test_a_place_that_this_run_did_not_read_is_not_known() -> None:
    assert str(count_places(replace(CALM, unread=("two", "three")))) == "1/3 2?"


def test_a_key_that_is_not_adopted_yet_is_in_use_all_the_same() -> None:
    assert count_places(replace(CALM, secret=None)) == Places(fine=1, unknown=0, total=1)
    assert count_places(replace(CALM, secret=None, keys=())) == Places(fine=0, unknown=0, total=1)


def test_a_blind_place_without_a_record_is_not_known() -> None:
    seen = replace(CALM, secret=a_secret(current()), targets=(cannot_tell(),))
    assert count_places(seen) == Places(fine=0, unknown=1, total=1)
    assert (str(count_places(seen)), str(count_places(CALM)), count_places(None)) == ("0/1 1?", "1/1", None)


def test_a_blind_place_that_was_changed_by_others_is_not_fine() -> None:
    tag = ("keyrota:synced", synced()[1] + "@" + f"{ago(1):%Y-%m-%dT%H:%M:%SZ}")
    touched = replace(cannot_tell(), changed_at=ago(0.5))
    known = replace(CALM, secret=a_secret(current(), tags=[tag]), targets=(touched,))
    assert count_places(known) == Places(fine=0, unknown=0, total=1)


def test_the_last_run_is_the_latest_record_and_never_a_time_that_lies_ahead() -> None:
    assert find_last_run(a_report()) == ago(1)
    off = replace(CALM, secret=a_secret(current(), tags=[synced(), off_since(0.25), ("keyrota:sync-pass", "x")]))
    assert find_last_run(a_report(off)) == ago(0.25)
    ahead = replace(CALM, secret=a_secret(current(), tags=[synced(since=5, confirmed=-3)]))
    assert find_last_run(a_report(ahead)) == ago(5)
    assert find_last_run(a_report(replace(CALM, secret=a_secret(current())))) is None
    assert find_last_run(a_report(None)) is None


def test_a_row_shows_the_key_in_use_and_what_comes_next() -> None:
    both = observed(
        a_key(OLD, age_days=95),
        a_key(NEW, age_days=5),
        secret=a_secret(previous(OLD), current(NEW), tags=[synced(since=5, confirmed=4.9)]),
        targets=(holds(NEW),),
    )
    one = make_row(a_report(both))
    assert one.key is not None
    assert (one.key.id, one.age_days, str(one.next)) == (NEW, 5, "deactivate 2026-06-06")
    unknown = make_row(a_report(replace(both, secret=None)))
    assert unknown.key is not None
    assert (unknown.key.id, unknown.age_days) == (OLD, 95)
    nothing = make_row(a_report(None, errors=FAILED))
    assert (nothing.key, nothing.age_days, nothing.next, nothing.places, nothing.why) == (None,) * 4 + ("refused",)


def test_the_reason_is_the_first_of_the_worst_and_the_rest_is_counted() -> None:
    assert make_row(a_report(plan=planned(TIME, PERSON, replace(REPAIR, target="shop"), due=2))).why == (
        "shop: a dead key (and 3 more)"
    )
    assert make_row(a_report(plan=planned(TIME))).why == "wait"
    assert make_row(a_report()).why == ""


def test_the_worst_comes_first_then_what_is_due_longest_then_the_oldest_key() -> None:
    reports = [
        a_report(user="ok-young"),
        a_report(replace(CALM, keys=(a_key(age_days=30),)), user="ok-old"),
        a_report(user="overdue", plan=planned(due=3)),
        a_report(user="overdue-longer", plan=planned(due=4)),
        a_report(user="torn", plan=planned(TORN)),
    ]
    assert [one.user for one in list_rows(reports)] == ["torn", "overdue-longer", "overdue", "ok-old", "ok-young"]


def test_the_document_of_status_has_the_state_of_each_credential() -> None:
    (one, other) = describe_fleet([a_report(plan=planned(PERSON, due=3)), a_report(None, errors=FAILED)])["credentials"]
    assert {name: one[name] for name in ("user", "state", "overdue_since", "last_run", "places")} == {
        "user": "ci-deploy",
        "state": "held",
        "overdue_since": "2026-05-29T06:00:00Z",
        "last_run": "2026-05-31T06:00:00Z",
        "places": {"ok": 1, "not_known": 0, "total": 1},
    }
    assert (other["state"], other["overdue_since"], other["last_run"], other["places"]) == ("failed", None, None, None)


# --- screens ---------------------------------------------------------------------------------------------------------

LONG = "ci-" + "data-platform-" * 4 + "nightly"
SOME = list_rows(
    [
        a_report(user="ci-web", account="222222222222"),
        a_report(user=LONG, plan=planned(PERSON, due=3)),
        a_report(None, user="ci-mobile", errors=FAILED),
    ]
)


def screen(many: Sequence[Row], width: int | None, *, is_wide: bool = False) -> list[str]:
    return list(format_table(many, width=width, now=NOW, is_wide=is_wide))


def test_a_table_of_80_columns() -> None:
    assert screen(SOME, 80) == [
        "3 credentials of 2 accounts: 1 failed, 1 held, 1 ok",
        "overdue: 1, since 2026-05-29 06:00 UTC (3 days ago)",
        "last recorded run: 2026-05-31 06:00 UTC (24 hours ago)",
        "why, and what to do: keyrota status USER",
        "",
        "ACCOUNT       USER                        AGE  STATE   NEXT               PLACES",
        "123456789012  ci-mobile                     -  failed  -                  -",
        "123456789012  ci-data-platf…form-nightly   3d  held    sync 2026-05-29    1/1",
        "222222222222  ci-web                       3d  ok      rotate 2026-08-27  1/1",
    ]


def test_a_narrow_screen_has_two_lines_for_each_credential() -> None:
    assert screen(SOME, 40)[5:] == [
        "123456789012:ci-mobile",
        "  failed     - -                     -",
        "123456789012:ci-data…ta-platform-nightly",
        "  held      3d sync 2026-05-29       1/1",
        "222222222222:ci-web",
        "  ok        3d rotate 2026-08-27     1/1",
    ]


def test_a_wide_screen_has_the_reason_and_a_pipe_has_everything_whole() -> None:
    assert screen(SOME, 160)[7].endswith("1/1     decide (and 1 more)")
    whole = "\n".join(screen(SOME, None))
    assert LONG in whole
    assert "…" not in whole
    assert whole.count("WHY") == 1


def test_wide_names_key_last_use_last_run_and_secret() -> None:
    lines = screen(SOME, 80, is_wide=True)
    titles = re.findall(r"\S+(?: \S+)*", lines[5])
    assert titles[6:] == ["KEY", "LAST USED", "LAST RUN", "OVERDUE SINCE", "SECRET", "WHY"]
    assert f"{OLD}  2026-05-31  2026-05-31  2026-05-29     keyrota/{LONG}" in lines[7]
    assert "not known" in lines[6]


def test_an_empty_fleet_is_one_line() -> None:
    assert screen((), 80) == ["0 credentials"]
    assert list(format_summary((), now=NOW)) == ["0 credentials"]


def test_what_is_not_known_of_the_last_run_is_said() -> None:
    unread = list_rows([a_report(None, errors=FAILED)])
    assert "last recorded run: not known" in screen(unread, 80)
    just_now = list_rows([a_report(replace(CALM, secret=a_secret(current(), tags=[synced(since=0.01)])))])
    assert "last recorded run: 2026-06-01 05:45 UTC (less than an hour ago)" in screen(just_now, 80)


def test_a_summary_counts_states_places_and_accounts() -> None:
    assert list(format_summary(SOME, now=NOW))[4:] == [
        "2 places: 2 with the current key; those of 1 credential not read",
        "",
        "     1  failed   it could not be read in full",
        "     1  held     a person has to decide",
        "     1  ok       nothing to do",
        "",
        "ACCOUNT       KEYS  FAILED  HELD  OK",
        "123456789012     2       1     1   0",
        "222222222222     1       0     0   1",
    ]


HOSTILE = [
    "\x1b[2J\x1b]0;owned\x07",
    "line\nbreak\r\ttab",
    "x" * 300,
    "\u202eevil\u202c\u2066",
    "\u05e9\u05dc\u05d5\u05dd 1/3",
    "\u0627\u0644\u0639\u0631\u0628\u064a\u0629",
    "全角文字" * 30,
    "👩‍👩‍👧‍👦🏳️‍🌈" * 9,
    "z" + "\u0301" * 90,
    "\u200b\u00ad\ufeff",
    "\ud800",
    "`ci` " * 20,
]


def _hostile(name: str) -> CredentialReport:
    seen = replace(CALM, keys=(replace(a_key(), id=name, status_word=name),))  # type: ignore[arg-type]  # a NewType
    held = Plan(holds=(Hold(reason=name, remedy=name, target=name, key=an_id("x")),))
    return replace(a_report(seen, user=name, account=name), secret_name=name, plan=held)


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("width", [40, 80, 120, None])
def test_hostile_names_stay_in_their_column(name: str, width: int | None) -> None:
    """A line is one line, fits the screen, and no character of it moves what stands beside it."""
    many = list_rows([_hostile(name), a_report(user="ci-web")])
    for is_wide in (False, True):
        lines = screen(many, width, is_wide=is_wide)
        told = "".join(lines)
        assert told.isprintable()
        assert told.encode("utf-8")
        assert not {char for char in told if "\u0590" <= char <= "\u08ff" or "\u200b" <= char <= "\u200f"}
        assert width is None or is_wide or all(measure(line) <= width for line in lines[4:])
        states = {line.find("held") for line in lines if "held  " in line or line.startswith("  held")}
        assert len(states) <= 2


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", "'=1", '",=1', "\r=1", "a\nb"])
def test_csv_has_no_formula_and_one_line_for_each_credential(text: str) -> None:
    report = a_report(user=text, account=text, plan=planned(replace(PERSON, reason=text)))
    lines = list(format_csv(list_rows([report])))
    assert len(lines) == 2
    header, fields = csv.reader(lines)
    assert header == [name for name, _ in FIELDS]
    one = dict(zip(header, fields, strict=True))
    for name in ("account", "user", "why"):
        assert one[name][0] not in "=+-@\t\r"
        assert one[name].isprintable()
    assert (one["age_days"], one["places_ok"], one["overdue_since"]) == ("3", "1", "")


def test_csv_leaves_empty_what_is_not_known() -> None:
    _, fields = csv.reader(format_csv(list_rows([a_report(None, errors=FAILED)])))
    assert fields == ["123456789012", "ci-deploy", "", "failed", *[""] * 8, "keyrota/ci-deploy", "refused"]


def test_a_plan_of_many_has_one_line_for_those_that_need_nothing() -> None:
    many = [
        a_report(user="ci-web"),
        a_report(replace(CALM, keys=(a_key(age_days=30),)), user="ci-docs"),
        a_report(user="ci-due", plan=planned(due=0)),
    ]
    lines = list(plan_text(many))
    assert [line.split()[0] for line in lines if "secret keyrota/" in line] == ["ci-due"]
    assert lines[-2:] == [
        "2 more credentials: nothing to do; next: rotate ci-docs on 2026-07-31 (in 60 days)",
        "3 credentials: 1 to do, 0 held, 0 failed",
    ]
    assert "  nothing to do" in list(plan_text(many[:1])), "one alone is shown in full"
    quiet = [a_report(plan=Plan()), a_report(plan=Plan())]
    assert next(iter(plan_text(quiet))) == "2 more credentials: nothing to do"


def test_a_status_that_iam_gives_to_a_key_does_not_hide_its_age() -> None:
    off = replace(CALM, keys=(a_key(age_days=3, status=KeyStatus.INACTIVE),))
    assert make_row(a_report(off)).age_days == 3
    assert make_row(a_report(replace(CALM, keys=()))).age_days is None
    assert make_row(a_report(plan=planned(due=1.5))).overdue_since == NOW - timedelta(days=1.5)
