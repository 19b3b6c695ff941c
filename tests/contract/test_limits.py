"""Limits that a run shares with others: earlier runs of its own, other tools with the same token."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from standin_rig import CANARY_TOKEN, DEPLOYMENT, RIGS, GitHubRig, a_github_rig, a_pair, a_rig, answering

from keyrota.errors import LeftByLimit, ProviderUnavailable
from keyrota.http.budget import SharedLimit
from keyrota_sandbox.faults import Fault
from keyrota_sandbox.memory import WorldClock
from keyrota_sandbox.server import Request, Response


@pytest.fixture
def rig() -> Iterator[GitHubRig]:
    """GitHub with one repository, refusing what is too much."""
    with a_github_rig() as made:
        made.standin.limits_on = True
        yield made


def _write(rig: GitHubRig, repositories: range, *, workers: int = 8) -> list[ProviderUnavailable]:
    """Let one run of its own write to repositories; returns what stopped it."""
    connection = rig.connect({"token": CANARY_TOKEN})
    targets = [connection.target({"repository": f"acme/r{number}"}) for number in repositories]
    stopped: list[ProviderUnavailable] = []

    def one(number: int) -> None:
        try:
            targets[number].write(a_pair())
        except ProviderUnavailable as error:
            stopped.append(error)

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(one, range(len(targets))))
    return stopped


def _sizes(rig: GitHubRig, repositories: range) -> set[int]:
    return {len(rig.standin.secrets(("repo", "acme", f"r{number}"))) for number in repositories}


def test_a_run_knows_what_an_earlier_one_wrote(rig: GitHubRig) -> None:
    """Half an hour later, a new process: the times of the last change tell what of the hour's limit is used up."""
    for number in range(300):
        rig.standin.add_repository("acme", f"r{number}")
    assert len(_write(rig, range(300), workers=1)) == 50
    rig.clock.sleep(31 * 60)
    connection, began = rig.connect({"token": CANARY_TOKEN}), rig.clock.now()
    targets = [connection.target({"repository": f"acme/r{number}"}) for number in range(300)]
    for target in targets:  # as every run does before its first write
        target.read()
    for target in targets[250:]:
        target.write(a_pair())
    assert rig.standin.refused_for_limit == 0
    assert _sizes(rig, range(300)) == {2}
    assert rig.clock.now() - began < timedelta(minutes=30)


def test_a_limit_that_others_used_up_tears_no_pair_apart(rig: GitHubRig) -> None:
    """Another tool with the same token wrote 480 times: what is begun is finished, what is not is left whole."""
    for number in range(120):
        rig.standin.add_repository("acme", f"r{number}")
    for _ in range(480):
        rig.standin._writes.append(rig.clock.now())
        rig.clock.sleep(1)
    rig.clock.sleep(25 * 60)
    stopped = _write(rig, range(120))  # in the sandbox the waiting of threads adds up: how long it took says nothing
    assert _sizes(rig, range(120)) <= {0, 2}
    assert all(error.retry_after_s for error in stopped)


def test_a_read_that_goes_through_ends_no_limit_of_writes(rig: GitHubRig) -> None:
    """GitHub limits what makes content apart from the rest: each new target would be refused once more."""
    for number in range(12):
        rig.standin.add_repository("acme", f"r{number}")
    rig.standin.faults.add(Fault(operation="PUT secrets", status=403, message="secondary rate limit", times=-1))
    connection = rig.connect({"token": CANARY_TOKEN})
    for number in range(12):
        target = connection.target({"repository": f"acme/r{number}"})
        with pytest.raises(ProviderUnavailable):
            target.write(a_pair())
        assert target.preflight().is_ready
    assert sum(1 for operation, _ in rig.standin.journal if operation == "PUT secrets") <= 14


@pytest.mark.parametrize("calls", range(10, 16))
def test_bitbuckets_budget_never_tears_a_pair_apart(calls: int) -> None:
    """Wherever the hour's calls run out: both halves, or none."""
    with a_rig() as rig:
        connection = rig.connect({"token": CANARY_TOKEN}, calls_per_hour=calls, max_wait="1m")
        for number in range(8):
            rig.standin.add_repository("acme", f"r{number}", ("Production",))
            with contextlib.suppress(ProviderUnavailable):
                connection.target({**DEPLOYMENT, "repository": f"r{number}"}).write(a_pair())
        sizes = {len(rig.standin.values("acme", f"r{number}", "Production")) for number in range(8)}
        assert sizes == {0, 2}


def test_a_half_that_bitbucket_refuses_for_minutes_is_written_in_the_same_run() -> None:
    """A 429 of Bitbucket's names no time; half a pair would stand until the next run."""
    with a_rig() as rig:
        rig.target().write(a_pair("OLD"))
        rig.standin.faults.add(Fault(operation="PUT variables", status=429, times=5))
        began = rig.clock.now()
        rig.target().write(a_pair())
        assert rig.values() == {"AWS_ACCESS_KEY_ID": a_pair().id, "AWS_SECRET_ACCESS_KEY": a_pair().secret.reveal()}
        assert rig.clock.now() - began > timedelta(minutes=2)


@pytest.mark.parametrize("is_begun", [False, True])
def test_a_limit_leaves_what_was_not_begun_and_fails_what_was(is_begun: bool) -> None:  # a case
    """Nobody calls it work that is left when half a pair is there."""
    limit = SharedLimit(WorldClock(), 60, "the service")
    limit.begin(3600, is_write=True)
    with pytest.raises(ProviderUnavailable, match="limits this token until") as caught:
        limit.wait("here", is_write=True, is_begun=is_begun)
    assert isinstance(caught.value, LeftByLimit) is not is_begun


@pytest.mark.parametrize("name", ["github", "gitlab"])
def test_no_pair_is_begun_when_the_service_says_that_next_to_nothing_is_left(name: str) -> None:
    """Its own count of the limit runs out between the halves: the pair waits until it is counted anew."""
    with RIGS[name]() as rig:
        rig.target().write(a_pair("OLD"))
        real, prefix = type(rig.standin).__call__, {"github": "x-ratelimit", "gitlab": "RateLimit"}[name]
        until = rig.clock.now() + timedelta(minutes=7)

        def counted(request: Request) -> Response:
            answer: Response = real(rig.standin, request)
            if rig.clock.now() >= until:
                return answer
            reset = str(int(until.timestamp()) + 1)
            more = {f"{prefix}-remaining": "1", f"{prefix}-reset": reset}
            known = {key.lower(): value for key, value in answer.headers.items()}
            return Response(status=answer.status, body=answer.body, headers={**known, **_lower(more)})

        with answering(rig, counted):
            rig.target().read()
            rig.target().write(a_pair())
        assert rig.clock.now() >= until
        assert rig.target().read().key == a_pair().id


def _lower(headers: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
