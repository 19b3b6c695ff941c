"""`wait_for_idle` where many repositories read one variable: a workspace, an organization, a group, an instance."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from standin_rig import CANARY_TOKEN, AnyRig, GitHubRig, GitLabRig, Rig, a_github_rig, a_gitlab_rig, a_pair, a_rig
from test_github import make_app_keys

from keyrota.core.model import RunsEvidence
from keyrota.executor import Settings
from keyrota.executor.sync import _wait_until_quiet
from keyrota.ports import Target
from keyrota_sandbox.faults import Fault
from keyrota_sandbox.providers.bitbucket import BitbucketEmulator
from keyrota_sandbox.providers.github import APP_ID, GitHubEmulator
from keyrota_sandbox.providers.gitlab import GitLabEmulator

ORG = ("org", "acme")


class Many(ABC):
    """Many repositories of one provider; `shop` is there already."""

    looks: str
    """The operation that looks at one repository."""
    most: int
    """So many repositories are looked at."""
    each: int
    """Calls for one that is at rest."""
    before: int
    """Calls before the first one is looked at."""
    settings: Mapping[str, Any]

    def __init__(self, rig: AnyRig[Any]) -> None:
        self.rig = rig

    def target(self, **more: Any) -> Target:
        """Make the target."""
        return self.rig.connection.target({**self.settings, "wait_for_idle": "10m", **more})

    def calls(self, act: Callable[[], object]) -> Counter[str]:
        """Count the calls that an action makes, by operation."""
        before = len(self.rig.standin.journal)
        act()
        return Counter(operation for operation, _ in self.rig.standin.journal[before:])

    @abstractmethod
    def add(self, name: str) -> None:
        """Make another repository."""

    @abstractmethod
    def push(self, name: str) -> None:
        """Push to one."""

    @abstractmethod
    def run(self, name: str) -> Callable[[], None]:
        """Start a run; returns what ends it."""

    def fill(self) -> None:
        """Make as many repositories as are looked at."""
        for number in range(self.most - 1):
            self.add(f"r{number}")


class Workspace(Many):
    """A workspace of Bitbucket."""

    looks, most, each, before, settings = "GET pipelines", 50, 3, 1, {"workspace": "acme"}
    standin: BitbucketEmulator

    def add(self, name: str) -> None:
        self.rig.standin.add_repository("acme", name)

    def push(self, name: str) -> None:
        self.rig.standin.push("acme", name)

    def run(self, name: str) -> Callable[[], None]:
        key = self.rig.standin.add_pipeline("acme", name)
        return lambda: self.rig.standin.end_pipeline("acme", name, key)


class Organization(Many):
    """An organization of GitHub, whose secret all repositories see."""

    looks, most, each, before = "GET runs", 100, 1, 2
    settings = {"organization": "acme", "visibility": "all"}  # noqa: RUF012  # nobody changes it
    standin: GitHubEmulator

    def __init__(self, rig: AnyRig[Any]) -> None:
        super().__init__(rig)
        rig.standin.set_secret(ORG, "AWS_ACCESS_KEY_ID", "x", visibility="all")
        rig.standin.set_secret(ORG, "AWS_SECRET_ACCESS_KEY", "x", visibility="all")

    def add(self, name: str) -> None:
        self.rig.standin.add_repository("acme", name)

    def push(self, name: str) -> None:
        self.rig.standin.push("acme", name)

    def run(self, name: str) -> Callable[[], None]:
        number = self.rig.standin.add_run("acme", name, status="in_progress")
        return lambda: self.rig.standin.end_run(number)


class Group(Many):
    """A group of GitLab."""

    looks, most, each, before, settings = "GET pipelines", 100, 1, 1, {"group": "acme"}
    standin: GitLabEmulator

    def add(self, name: str) -> None:
        self.rig.standin.add_project(f"acme/{name}")

    def push(self, name: str) -> None:
        self.rig.standin.push(f"acme/{name}")

    def run(self, name: str) -> Callable[[], None]:
        number = self.rig.standin.add_pipeline(f"acme/{name}")
        return lambda: self.rig.standin.end_pipeline(f"acme/{name}", number)


class Instance(Group):
    """All of a GitLab."""

    settings = {"instance": True}  # noqa: RUF012  # nobody changes it


PLACES: Mapping[str, tuple[Callable[[], Any], type[Many]]] = {
    "bitbucket workspace": (a_rig, Workspace),
    "github organization": (a_github_rig, Organization),
    "gitlab group": (a_gitlab_rig, Group),
    "gitlab instance": (a_gitlab_rig, Instance),
}


@contextmanager
def a_place(name: str) -> Iterator[Many]:
    """Start one."""
    make, kind = PLACES[name]
    with make() as rig:
        yield kind(rig)


@pytest.fixture(params=PLACES)
def many(request: pytest.FixtureRequest) -> Iterator[Many]:
    """Each place in turn."""
    with a_place(request.param) as made:
        yield made


def test_one_busy_repository_makes_all_of_it_busy(many: Many) -> None:
    many.add("web")
    target = many.target()
    assert target.wait_for_idle == timedelta(minutes=10)
    assert target.is_busy() is False
    end = many.run("web")
    assert target.is_busy() is True
    end()
    assert target.is_busy() is False


def test_what_one_look_costs_at_most(many: Many) -> None:
    """The list, and then each repository once: the whole of it only where all are at rest."""
    many.fill()
    target = many.target()
    said: list[bool | None] = []
    calls = many.calls(lambda: said.append(target.is_busy()))
    assert said == [False]
    assert calls[many.looks] == many.most * many.each
    assert calls.total() == many.before + many.most * many.each


def test_what_was_active_last_is_asked_first(many: Many) -> None:
    many.fill()
    many.run("shop")
    many.rig.clock.travel(timedelta(minutes=1))
    many.push("shop")
    calls = many.calls(many.target().is_busy)
    assert calls[many.looks] == 1
    assert calls.total() == many.before + 1


def test_the_one_that_was_busy_is_asked_again_alone(many: Many) -> None:
    """A long run is waited for with one call a look, whichever target asks."""
    many.fill()
    end = many.run("r7")
    assert many.target().is_busy() is True
    assert many.calls(many.target().is_busy) == {many.looks: 1}
    end()
    many.run("r8")
    assert many.target().is_busy() is True


def test_where_there_are_too_many_nobody_can_tell_and_it_is_said(many: Many) -> None:
    """No run is looked at then: the answer could not be believed. A person is told, once it was tried."""
    many.fill()
    many.add("one-more")
    target = many.target()
    target.write(a_pair())
    assert target.read().notice == ""
    said: list[bool | None] = []
    calls = many.calls(lambda: said.append(target.is_busy()))
    assert said == [None]
    assert calls[many.looks] == 0
    assert f"over {many.most}" in target.read().notice
    assert "waits its whole time" in target.read().notice


def test_looking_leaves_the_calls_of_the_hour_to_the_writes(many: Many) -> None:
    """However often it is asked, and then it is not known; the next hour it is."""
    many.fill()
    target = many.target()
    calls = Counter[str]()
    said = []
    for _ in range(40):
        calls += many.calls(lambda: said.append(target.is_busy()))
    looked = {3: 100 * 3, 1: 1000}[many.each]
    assert calls[many.looks] == looked
    assert said[-1] is None
    target.write(a_pair())
    many.rig.clock.travel(timedelta(hours=1))
    assert target.is_busy() is False


def test_one_that_cannot_be_asked_means_that_nobody_can_tell(many: Many) -> None:
    many.add("web")
    many.rig.standin.faults.add(Fault(operation=many.looks, status=403, times=-1))
    target = many.target()
    assert target.is_busy() is None
    assert not target.preflight().is_ready


def test_preflight_asks_for_one_repository_and_a_404_forbids_nothing(many: Many) -> None:
    """It is listed, so the token sees it; it has no runs to show."""
    many.fill()
    target = many.target()
    plain = many.rig.connection.target(many.settings)
    plain.preflight()
    extra = many.calls(target.preflight) - many.calls(plain.preflight)
    assert extra[many.looks] == many.each
    many.rig.standin.faults.add(Fault(operation=many.looks, status=404, times=-1))
    assert target.preflight().is_ready


# --- GitHub -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def github() -> Iterator[GitHubRig]:
    """Start GitHub."""
    with a_github_rig() as made:
        yield made


def test_at_github_only_repositories_that_see_the_secret_count(github: GitHubRig) -> None:
    standin = github.standin
    chosen = standin.add_repository("acme", "chosen")
    standin.add_repository("acme", "open", is_private=False)
    standin.add_repository("acme", "old")
    standin.archive("acme", "old")
    target = github.connection.target({"organization": "acme", "visibility": "private", "wait_for_idle": "10m"})
    for name in ("open", "old", "shop"):
        standin.add_run("acme", name, status="in_progress")
    assert target.is_busy() is False  # the secret is not there: nobody reads it
    standin.set_secret(ORG, "AWS_SECRET_ACCESS_KEY", "x", visibility="selected", selected=(chosen,))
    assert target.is_busy() is False
    standin.add_run("acme", "chosen", status="in_progress")
    assert target.is_busy() is True
    standin.set_secret(ORG, "AWS_SECRET_ACCESS_KEY", "x", visibility="private")
    before = len(github.seen)
    other = github.connect({"token": CANARY_TOKEN}).target({"organization": "acme", "wait_for_idle": "10m"})
    assert other.is_busy() is True
    asked = {request.segments[2] for request in github.seen[before:] if request.segments[-1] == "runs"}
    assert asked <= {"shop", "chosen"}


def test_an_app_that_sees_only_some_repositories_knows_nothing_of_the_others() -> None:
    """Neither whether they are busy, nor whether a run of theirs carries an older key."""
    private, public = make_app_keys()
    with a_github_rig(app_key=public) as rig:
        rig.standin.set_secret(ORG, "AWS_SECRET_ACCESS_KEY", "x", visibility="all")
        settings = {"organization": "acme", "wait_for_idle": "10m"}
        auth = {"app_id": APP_ID, "private_key": private.decode()}
        assert rig.connect(auth).target(settings).is_busy() is False
        assert rig.connect(auth).target(settings).runs_with_old_key(rig.clock.now()).evidence is RunsEvidence.NONE
        rig.standin.selection = "selected"
        target = rig.connect(auth).target(settings)
        assert target.is_busy() is None
        answer = target.runs_with_old_key(rig.clock.now())
        assert answer.evidence is RunsEvidence.UNKNOWN
        assert "selected repositories" in answer.detail


# --- GitLab, Bitbucket ------------------------------------------------------------------------------------------------


@pytest.fixture
def gitlab() -> Iterator[GitLabRig]:
    """Start GitLab."""
    with a_gitlab_rig() as made:
        yield made


def test_at_gitlab_projects_of_subgroups_count_and_what_runs_nothing_does_not(gitlab: GitLabRig) -> None:
    standin = gitlab.standin
    for path in ("acme/deep/down", "acme/old", "acme/none", "other/far"):
        standin.add_project(path)
    standin.archive("acme/old")
    standin.switch_builds_off("acme/none")
    standin.add_pipeline("acme/old")
    standin.add_pipeline("other/far")
    group = gitlab.connection.target({"group": "acme", "wait_for_idle": "10m"})
    assert group.is_busy() is False
    assert gitlab.connection.target({"instance": True, "wait_for_idle": "10m"}).is_busy() is True
    standin.add_pipeline("acme/deep/down")
    assert group.is_busy() is True


def test_a_bitbucket_with_few_calls_an_hour_still_looks() -> None:
    with a_rig() as rig:
        few: Rig = rig
        target = few.connect({"token": CANARY_TOKEN}, calls_per_hour=10).target(
            {"workspace": "acme", "wait_for_idle": "10m"}
        )
        assert target.is_busy() is False


def test_what_a_wait_of_ten_minutes_costs(many: Many) -> None:
    """Twelve looks: the list and the busy one, and then that one alone."""
    many.fill()
    many.rig.clock.travel(timedelta(minutes=1))
    many.push("shop")
    many.run("shop")
    settings = Settings(clock=many.rig.clock, run="r")
    target = many.target()
    assert many.calls(lambda: _wait_until_quiet(target, settings)).total() == many.before + 12


def test_what_a_wait_costs_where_there_are_too_many(many: Many) -> None:
    """The list, two pages of it where a page holds a hundred, each of the twelve times."""
    many.fill()
    many.add("one-more")
    settings = Settings(clock=many.rig.clock, run="r")
    target = many.target()
    pages = 2 if many.most == 100 else 1
    calls = many.calls(lambda: _wait_until_quiet(target, settings))
    assert calls.total() == 12 * (many.before - 1 + pages)
    assert calls[many.looks] == 0
