"""A provider whose clock is minutes off: its times are compared with its own clock, never with ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from small_rigs import RIGS
from standin_rig import CANARY_TOKEN, CONTEXT, GitHubRig, a_github_rig, a_pair
from test_github import make_app_keys

from keyrota.core.model import RunsEvidence, TargetEvidence
from keyrota.errors import ProviderUnavailable
from keyrota.http import Http, RetryPolicy
from keyrota_sandbox.memory import WorldClock
from keyrota_sandbox.providers.github import APP_ID
from keyrota_sandbox.server import Request, Response, Server, json_response

OFF = [timedelta(minutes=3), timedelta(minutes=-7), timedelta(hours=2)]
REPOSITORY = {"repository": "acme/shop"}


@pytest.fixture(params=OFF, ids=str)
def rig(request: pytest.FixtureRequest) -> Iterator[GitHubRig]:
    """An Enterprise Server whose clock nobody sets."""
    with a_github_rig() as made:
        made.standin.ahead = request.param
        yield made


def test_the_time_of_a_change_is_told_by_our_clock(rig: GitHubRig) -> None:
    """A later time than our write's would be someone else's write: 32 of ours every run."""
    target = rig.target(REPOSITORY)
    target.write(a_pair())
    written = rig.clock.now()
    rig.clock.sleep(3600)
    state = target.read()
    assert state.changed_at is not None
    assert abs(state.changed_at - written) <= timedelta(seconds=2)


@pytest.mark.parametrize("name", RIGS)
@pytest.mark.parametrize("ahead", OFF, ids=str)
def test_no_provider_tells_a_change_by_its_own_clock(name: str, ahead: timedelta) -> None:
    """Whoever tells when something was changed: CircleCI's contexts, Buildkite's secrets, and those that come."""
    with RIGS[name]() as made:
        made.standin.ahead = ahead
        target = made.target()
        target.write(a_pair())
        written = made.clock.now()
        made.clock.sleep(3600)
        changed = target.read().changed_at
        assert changed is None or abs(changed - written) <= timedelta(seconds=30)
        assert (changed is not None) is (
            name in {"buildkite", "codespaces", "github"} or bool(made.usual.get("context"))
        )


@pytest.mark.parametrize("ahead", OFF, ids=str)
def test_a_context_of_circleci_tells_a_change_by_our_clock(ahead: timedelta) -> None:
    with RIGS["circleci"]() as made:
        made.standin.ahead = ahead
        target = made.target({"context": CONTEXT})
        target.write(a_pair())
        changed = target.read().changed_at
        assert changed is not None
        assert abs(changed - made.clock.now()) <= timedelta(seconds=2)


def test_runs_are_asked_for_by_the_services_own_time(rig: GitHubRig) -> None:
    """A run that was queued after our write carries nothing old, and one before it does."""
    target = rig.target(REPOSITORY)
    target.write(a_pair())
    before = rig.clock.now()
    rig.clock.sleep(60)
    late = rig.standin.add_run("acme", "shop")
    assert target.runs_with_old_key(before).evidence is RunsEvidence.NONE
    rig.standin.end_run(late)
    rig.standin.add_run("acme", "shop", created=before - timedelta(seconds=60) + rig.standin.ahead)
    assert target.runs_with_old_key(before).evidence is RunsEvidence.SOME


def test_an_app_gets_in_with_the_services_own_time(rig: GitHubRig) -> None:
    """A JWT from the future is refused; the refusal tells what time it is there."""
    private, public = make_app_keys()
    rig.standin._app_key = public
    connection = rig.connect({"app_id": APP_ID, "private_key": private.decode()})
    assert connection.target(REPOSITORY).read().evidence is TargetEvidence.ABSENT
    asked = [operation for operation, _ in rig.standin.journal].count("POST token")
    rig.clock.sleep(1800)
    connection.target(REPOSITORY).read()
    assert [operation for operation, _ in rig.standin.journal].count("POST token") == asked, "it is good for an hour"


def test_the_end_of_a_token_is_told_by_our_clock(rig: GitHubRig) -> None:
    rig.standin.token_expires = datetime(2026, 1, 5, 10, tzinfo=UTC)
    expires = rig.connect({"token": CANARY_TOKEN}).target(REPOSITORY).read().token_expires
    assert expires is not None
    assert abs(expires + rig.standin.ahead - rig.standin.token_expires) <= timedelta(seconds=2)


@pytest.mark.parametrize("ahead", OFF, ids=str)
@pytest.mark.parametrize("header", ["retry-after", "x-ratelimit-reset"])
def test_a_wait_until_a_time_is_counted_from_the_services_own(ahead: timedelta, header: str) -> None:
    """17 seconds are 17 seconds, whatever the clocks say."""
    clock = WorldClock()
    refused: list[Request] = []

    def answer(request: Request) -> Response:
        theirs = clock.now() + ahead
        headers = {"Date": format_datetime(theirs, usegmt=True)}
        if refused:
            return json_response({}, 200, headers)
        refused.append(request)
        until = theirs.replace(microsecond=0) + timedelta(seconds=17)
        asked = {"retry-after": format_datetime(until, usegmt=True), "x-ratelimit-reset": f"{until.timestamp():.0f}"}
        return json_response({}, 429, headers | {header: asked[header], "x-ratelimit-remaining": "0"})

    with closing(Server({"/": answer})) as server:
        http, began = Http(server.url, clock=clock, patience=RetryPolicy(total_s=60)), clock.now()
        assert http.call("GET", ("x",)).status == 200
    assert timedelta(seconds=16) <= clock.now() - began <= timedelta(seconds=19)


@pytest.mark.parametrize("ahead", OFF, ids=str)
def test_what_is_left_of_a_limit_is_waited_for_by_our_clock(ahead: timedelta) -> None:
    clock = WorldClock()

    def answer(_: Request) -> Response:
        theirs = clock.now() + ahead
        left = {"x-ratelimit-remaining": "0", "x-ratelimit-limit": "5000"}
        reset = {"x-ratelimit-reset": str(int(theirs.timestamp()) + 30)}
        return json_response({}, 200, {"Date": format_datetime(theirs, usegmt=True)} | left | reset)

    with closing(Server({"/": answer})) as server:
        http, began = Http(server.url, clock=clock), clock.now()
        http.call("GET", ("x",))
        http.reserve(2, "here")
    assert timedelta(seconds=28) <= clock.now() - began <= timedelta(seconds=32)


@pytest.mark.parametrize(
    "date", [None, "", "yesterday", "Sun, 06 Nov 9994 08:49:37 GMT", "Thu, 01 Jan 2026 00:10:00 GMT"]
)
def test_a_time_that_is_not_told_or_was_kept_by_a_cache_changes_nothing(date: str | None) -> None:
    clock = WorldClock()
    headers = {} if date is None else {"Date": date, "Age": "600"} if date.startswith("Thu") else {"Date": date}
    with closing(Server({"/": lambda _: json_response({}, 200, headers)})) as server:
        http = Http(server.url, clock=clock)
        http.call("GET", ("x",))
    assert http.ours(clock.now()) == http.theirs(clock.now()) == clock.now()


def test_a_clock_that_jumps_while_an_answer_comes_is_not_the_services() -> None:
    """A laptop that slept, or another thread of the sandbox that waited: the service answered somewhere in between."""
    clock = WorldClock()

    def answer(_: Request) -> Response:
        now = clock.now()
        clock.sleep(300)
        return json_response({}, 200, {"Date": format_datetime(now, usegmt=True)})

    with closing(Server({"/": answer})) as server:
        http = Http(server.url, clock=clock)
        http.call("GET", ("x",))
    assert http.ours(clock.now()) == clock.now()


def test_a_limit_that_asks_too_long_says_when_by_our_clock() -> None:
    clock = WorldClock()

    def answer(_: Request) -> Response:
        theirs = clock.now() + timedelta(hours=1)
        later = format_datetime(theirs + timedelta(hours=2), usegmt=True)
        return json_response({}, 429, {"Date": format_datetime(theirs, usegmt=True), "Retry-After": later})

    with closing(Server({"/": answer})) as server, pytest.raises(ProviderUnavailable) as caught:
        Http(server.url, clock=clock).call("GET", ("x",))
    assert "2026-01-01 02:00" in caught.value.remedy
