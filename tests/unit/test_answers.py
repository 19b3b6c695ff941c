"""What is read out of a provider's answer: pauses, limits, the next page, its clock; and how long is waited in all."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from keyrota.errors import LeftByLimit
from keyrota.http.response import A_YEAR_S, Response, read_pause, read_remaining
from keyrota.http.slowness import Slowness
from keyrota.http.waiting import MAX_AGAIN_S, MAX_S, Waiting
from keyrota_sandbox.memory.clock import WorldClock

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SERVICE = "a service"


def an_answer(headers: Mapping[str, str], status: int = 200) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status=status, content=None, is_json=False, headers=named)


def after(seconds: float) -> str:
    return format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)


def moment(seconds: float) -> str:
    return str(NOW.timestamp() + seconds)


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({"retry_after": "30"}, 30),
        ({"retry_after": "0"}, 0.5),
        ({"retry_after": "-5"}, 0.5),
        ({"retry_after": "inf"}, None),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "30", "ratelimit_reset": "90"}, 30),
        ({"retry_after": after(60)}, 60),
        ({"retry_after": after(-60)}, 0.5),
        ({"retry_after": after(660), "date": after(600)}, 60),
        ({"retry_after": after(60), "date": after(600), "age": "5"}, 60),
        ({"retry_after": after(660), "date": after(600), "age": "0"}, 60),
        ({"x_ratelimit_remaining": "0", "x_ratelimit_reset": moment(40)}, 40),
        ({"x_ratelimit_reset": moment(40)}, 40),
        ({"x_ratelimit_reset": moment(-40)}, 0.5),
        ({"x_ratelimit_reset": moment(640), "date": after(600)}, 40),
        ({"x_ratelimit_remaining": "7", "x_ratelimit_reset": moment(40)}, None),
        ({"x_ratelimit_remaining": "7", "x_ratelimit_reset": "9", "ratelimit_reset": "90"}, 90),
        ({"ratelimit_user_remaining": "0", "ratelimit_user_reset": "12"}, 12),
        ({"ratelimit_reset": "never", "ratelimit_user_reset": "12"}, 12),
        ({"ratelimit_reset": "inf"}, None),
        ({"ratelimit_reset": str(A_YEAR_S - 1)}, A_YEAR_S - 1),
        ({"ratelimit_reset": str(A_YEAR_S)}, 0.5),
        ({}, None),
    ],
)
def test_the_pause_that_a_service_asks_for(headers: Mapping[str, str], pause: float | None) -> None:
    assert read_pause(an_answer(headers, 429), NOW) == pause


@pytest.mark.parametrize(("status", "pause"), [(403, 40), (429, 40), (499, 40), (500, None), (503, None)])
def test_a_service_that_fails_says_nothing_by_its_limit(status: int, pause: float | None) -> None:
    assert read_pause(an_answer({"ratelimit_reset": "40"}, status), NOW) == pause
    assert read_pause(an_answer({"retry_after": "40"}, status), NOW) == 40


@pytest.mark.parametrize(
    ("headers", "rest", "ahead_s"),
    [
        ({"remaining": "100", "limit": "5000", "reset": "60"}, 80, 60),
        ({"remaining": "100", "limit": "100", "reset": "60"}, 90, 60),
        ({"remaining": "0", "limit": "5", "reset": "60"}, 0, 60),
        ({"remaining": "3", "limit": "5000", "reset": str(int(NOW.timestamp()) + 60)}, -17, 60),
    ],
)
@pytest.mark.parametrize("prefix", ["x_ratelimit", "ratelimit", "ratelimit_user"])
def test_what_is_left_of_a_limit(headers: Mapping[str, str], rest: int, ahead_s: float, prefix: str) -> None:
    named = {f"{prefix}_{name}": value for name, value in headers.items()}
    assert read_remaining(an_answer(named), NOW) == (rest, NOW + timedelta(seconds=ahead_s))


@pytest.mark.parametrize("lacking", ["remaining", "limit", "reset"])
def test_half_of_a_limit_is_none(lacking: str) -> None:
    named = {f"ratelimit_{name}": "50" for name in ("remaining", "limit", "reset") if name != lacking}
    assert read_remaining(an_answer(named), NOW) is None


def test_a_limit_is_counted_anew_by_our_clock_whatever_the_service_has_for_one() -> None:
    reset = str(int(NOW.timestamp()) + 660)
    named = {"x_ratelimit_remaining": "9", "x_ratelimit_limit": "10", "x_ratelimit_reset": reset}
    assert read_remaining(an_answer({**named, "date": after(600)}), NOW) == (8, NOW + timedelta(seconds=60))


@pytest.mark.parametrize(
    ("link", "page"),
    [
        ('<https://a.example/x?page=2>; rel="next"', "https://a.example/x?page=2"),
        ("<https://a.example/2>; rel=next", "https://a.example/2"),
        ('<https://a.example/1>; rel="prev", <https://a.example/3>; rel="next"', "https://a.example/3"),
        ('<https://a.example/9>; rel="last"', None),
        ("", None),
    ],
)
def test_the_next_page(link: str, page: str | None) -> None:
    assert an_answer({"link": link}).next_link() == page


@pytest.mark.parametrize(("status", "is_success"), [(199, False), (200, True), (299, True), (300, False)])
def test_a_success(status: int, is_success: bool) -> None:
    assert an_answer({}, status).is_success is is_success


@pytest.mark.parametrize("content", [None, [], [{}], "x", 1])
def test_what_is_no_object_is_read_as_an_empty_one(content: Any) -> None:
    assert Response(status=200, content=content, is_json=True, headers={}).object() == {}


def test_an_answers_repr_shows_none_of_its_content() -> None:
    answer = Response(
        status=200, content=["canary"], is_json=True, headers={"x": "canary"}, moved_to="https://canary.example"
    )
    assert repr(answer) == "Response(status=200, is_json=True)"


@pytest.mark.parametrize(
    ("is_known", "waited_s", "left_s"),
    [
        (False, 0, MAX_S),
        (False, 100, MAX_S - 100),
        (True, 0, MAX_AGAIN_S),
        (True, 100, MAX_AGAIN_S - 100),
    ],
)
def test_a_credential_waits_for_each_service_by_itself(is_known: bool, waited_s: float, left_s: float) -> None:
    waiting = Waiting(WorldClock(NOW))
    for _ in range(2):
        waiting.note(SERVICE, waited_s / 2)
    assert waiting.get_remaining_s(SERVICE, is_known=is_known) == left_s
    assert waiting.get_remaining_s("another service", is_known=False) == MAX_S
    assert not waiting.is_used_up


@pytest.mark.parametrize(
    ("ends_in_s", "left_s", "is_used_up"), [(600, MAX_S, False), (50, 30, False), (20, 0, True), (5, -15, True)]
)
def test_nothing_is_waited_for_beyond_the_time_of_the_run(ends_in_s: float, left_s: float, is_used_up: bool) -> None:
    waiting = Waiting(WorldClock(NOW), NOW + timedelta(seconds=ends_in_s))
    assert waiting.get_remaining_s(SERVICE, is_known=False) == left_s
    assert waiting.is_used_up is is_used_up


@pytest.mark.parametrize(
    ("ends_in_s", "is_undone", "is_left"),
    [(10, True, True), (20, True, True), (10, False, False), (600, True, False), (None, True, False)],
)
def test_a_run_that_ends_leaves_only_what_cannot_have_been_done(
    ends_in_s: float | None, is_undone: bool, is_left: bool
) -> None:
    until = None if ends_in_s is None else NOW + timedelta(seconds=ends_in_s)
    waiting = Waiting(WorldClock(NOW), until)
    error = waiting.refusal("GitLab", "where", is_undone=is_undone)
    assert isinstance(error, LeftByLimit) is is_left
    assert error.is_undone is is_undone
    assert waiting.is_used_up
    if isinstance(error, LeftByLimit):
        assert error.retry_at == until


def test_what_is_known_of_a_service_that_hangs_ends_with_an_answer_or_after_five_minutes() -> None:
    clock = WorldClock(NOW)
    slow = Slowness(clock)
    assert not slow.is_known()
    assert slow.bound_s(60) == 60
    slow.note()
    assert slow.is_known()
    assert [slow.bound_s(usual) for usual in (60, 4)] == [10, 4]
    clock.sleep(299)
    assert slow.is_known()
    clock.sleep(1)
    assert not slow.is_known()
    slow.note()
    slow.end(100)
    assert not slow.is_known()


@pytest.mark.parametrize(("took_s", "is_costly"), [(0, False), (2, False), (2.5, True)])
def test_only_a_quick_answer_ends_what_a_service_has_cost(took_s: float, is_costly: bool) -> None:
    clock = WorldClock(NOW)
    slow = Slowness(clock)
    assert not slow.is_costly()
    slow.note_cost()
    clock.sleep(299)
    slow.end(took_s)
    assert slow.is_costly() is is_costly
    clock.sleep(1)
    assert not slow.is_costly()
