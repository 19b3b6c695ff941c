"""A plan in a file: what is in it, what is refused when it is read, and what counts as another plan."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builders import NEW, NOW, OLD, SHOP, a_key, a_secret, absent, current, holds, observed, synced
from keyrota.app import plan_file
from keyrota.app.config import Configuration, load_text
from keyrota.core.model import Observation
from keyrota.core.plan import Duty
from keyrota.core.planner import plan
from keyrota.core.policy import CLASSIC
from keyrota.errors import ConfigError, KeyrotaError, PartialFailure, PlanChanged, UsageError
from keyrota.report.data import CredentialReport

TEXT = """\
version: 1
providers:
  bitbucket: {auth: {token: "env:B"}}
credentials:
  - user: ci-deploy
    secret_readers: ["222222222222", "111111111111"]
    targets:
      - bitbucket: {workspace: acme, repository: shop}
"""
DUE = observed(a_key(age_days=91), secret=a_secret(current(), tags=[synced()]), targets=(holds(OLD),))

OTHER_KEY = replace(DUE, keys=(a_key(NEW, age_days=91),), secret=a_secret(current(NEW), tags=[synced()]))


def a_configuration(text: str = TEXT) -> Configuration:
    return load_text("keyrota.yaml", text)


def a_report(seen: Observation = DUE, **more: Any) -> CredentialReport:
    base = CredentialReport(
        user="ci-deploy",
        account="123456789012",
        secret_name="keyrota/ci-deploy",
        now=NOW,
        observation=seen,
        plan=plan(seen, CLASSIC, NOW),
    )
    return replace(base, **more)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A plan of one credential that is due."""
    path = tmp_path / "tonight.plan"
    plan_file.write(path, a_configuration(), None, [a_report()])
    return path


def test_a_plan_is_read_as_it_was_written_and_only_its_owner_may_read_it(file: Path) -> None:
    reviewed = plan_file.read(file)
    assert [(str(one), [str(step) for step in steps]) for one, steps in reviewed.steps.items()] == [
        ("123456789012:ci-deploy", [f"rotate {OLD}", f"sync {SHOP}"])
    ]
    assert (reviewed.only, [str(name) for name in reviewed.wanted.names]) == (None, ["123456789012:ci-deploy"])
    plan_file.refuse_other_configuration(reviewed, a_configuration())
    plan_file.refuse_difference(reviewed, [a_report()])
    if sys.platform != "win32":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_link_of_that_name_is_replaced_and_its_file_stays(tmp_path: Path) -> None:
    other, link = tmp_path / "other", tmp_path / "link.plan"
    other.write_text("mine", "utf-8")
    link.symlink_to(other)
    plan_file.write(link, a_configuration(), None, [a_report()])
    assert other.read_text("utf-8") == "mine"
    assert plan_file.read(link).steps


def refusals(file: Path, *reports: CredentialReport) -> tuple[KeyrotaError, ...]:
    """Say why a plan is refused, one error for each difference."""
    with pytest.raises(PartialFailure) as caught:
        plan_file.refuse_difference(plan_file.read(file), reports)
    assert all(isinstance(error, PlanChanged) for error in caught.value.failures)
    return tuple(caught.value.failures)


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (replace(DUE, keys=(a_key(age_days=3),)), f"not due any more: rotate {OLD}"),
        (
            replace(DUE, keys=(a_key(NEW, age_days=91),), secret=a_secret(current(NEW), tags=[synced()])),
            f"rotate {NEW}",
        ),
        (replace(DUE, targets=(holds(OLD), holds(OLD, "two"))), "not in the plan: sync two"),
        (replace(DUE, targets=(absent(),)), "ci-deploy: not "),
    ],
)
def test_another_plan_is_refused_with_what_is_different(file: Path, seen: Observation, words: str) -> None:
    told = refusals(file, a_report(seen))
    assert any(words in error.what for error in told)
    assert "nothing was changed" in told[-1].remedy


def test_what_a_first_write_replaces_is_part_of_the_plan(file: Path) -> None:
    """A place that shows another key of the user now is not what was reviewed."""
    assert "replaces" not in file.read_text("utf-8")
    step = plan_file.Step(action="sync", key=None, target=SHOP, replaces=("AWS_ACCESS_KEY_ID is new",))
    assert str(step) == f"sync {SHOP} (AWS_ACCESS_KEY_ID is new)"
    assert step != replace(step, replaces=())


def test_what_cannot_be_looked_at_is_not_the_plan(file: Path) -> None:
    report = a_report(plan=None, observation=None, errors=(KeyrotaError("refused"),))
    assert refusals(file, report)[0].what == "ci-deploy cannot be looked at"


def test_of_many_differences_some_are_listed_and_the_rest_is_counted(file: Path) -> None:
    many = replace(DUE, targets=tuple(holds(OLD, f"place {number}") for number in range(30)))
    told = refusals(file, a_report(many))
    assert (len(told), told[-2].what) == (22, "and 11 more differences")


@pytest.mark.parametrize(
    ("old", "new", "is_other"),
    [
        ("repository: shop", "repository: web", True),
        ("ci-deploy\n", "ci-deploy\n    policy: {preset: strict}\n", True),
        ("# none", "# a comment", False),
        ('["222222222222", "111111111111"]', '["111111111111", "222222222222"]', False),
        ("{workspace: acme, repository: shop}", "{repository: shop, workspace: acme}", False),
        ("version: 1\n", "\n\nversion: 1\n", False),
    ],
)
def test_the_hash_is_of_what_a_configuration_says(file: Path, old: str, new: str, is_other: bool) -> None:
    other = a_configuration((TEXT + "# none\n").replace(old, new))
    reviewed = plan_file.read(file)
    if is_other:
        with pytest.raises(PlanChanged, match="the configuration says something else"):
            plan_file.refuse_other_configuration(reviewed, other)
    else:
        plan_file.refuse_other_configuration(reviewed, other)


def test_a_duty_is_part_of_the_plan(tmp_path: Path) -> None:
    path = tmp_path / "p"
    plan_file.write(path, a_configuration(), Duty.ROTATE, [a_report()])
    assert plan_file.read(path).only is Duty.ROTATE


def _edited(change: Callable[[dict[str, Any]], object]) -> Callable[[str], str]:
    def edit(text: str) -> str:
        document = json.loads(text)
        change(document)
        return json.dumps(document)

    return edit


BAD: list[tuple[Callable[[str], str], str]] = [
    (lambda _: "", "it is not JSON"),
    (lambda _: "[" * 100_000, "it is not JSON"),
    (lambda _: "[]", "the whole file"),
    (lambda text: text[:-20], "it is not JSON"),
    (_edited(lambda document: document.update(keyrota_plan=2)), "keyrota_plan"),
    (_edited(lambda document: document.update(more=1)), "the whole file"),
    (_edited(lambda document: document.update(credentials=[])), "no credential is in it"),
    (_edited(lambda document: document.update(configuration="x")), "configuration"),
    (_edited(lambda document: document.update(only="everything")), "only"),
    (_edited(lambda document: document["credentials"].append(document["credentials"][0])), "is in it twice"),
    (_edited(lambda document: document["credentials"][0].update(user="a:b\x1b[2J")), "credentials/0/user"),
    (_edited(lambda document: document["credentials"][0].update(account="1")), "credentials/0/account"),
    (_edited(lambda document: document["credentials"][0]["steps"][0].update(key=7)), "credentials/0/steps/0"),
    (_edited(lambda document: document["credentials"][0]["steps"][0].pop("target")), "credentials/0/steps/0"),
]


@pytest.mark.parametrize(("edit", "words"), BAD, ids=range(len(BAD)))
def test_a_file_that_is_no_plan_is_refused(file: Path, edit: Callable[[str], str], words: str) -> None:
    file.write_text(edit(file.read_text("utf-8")), "utf-8")
    with pytest.raises(ConfigError) as caught:
        plan_file.read(file)
    (fault,) = caught.value.faults
    assert words in fault.what
    assert fault.what.isprintable()
    assert fault.where == str(file)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    for path, words in ((tmp_path / "none", "no such plan"), (tmp_path, "not a regular file")):
        with pytest.raises(UsageError, match=words):
            plan_file.read(path)
    with pytest.raises(UsageError, match="cannot be written"):
        plan_file.write(tmp_path / "no" / "folder", a_configuration(), None, [a_report()])
    assert not plan_file.is_plan(tmp_path)
    assert not plan_file.is_plan(tmp_path / "none")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="a pipe"):
        plan_file.read(tmp_path / "pipe")


def test_what_makes_credentials_of_users_that_are_found_is_not_part_of_the_hash() -> None:
    """It is an object of this process, which is another one in the next."""
    known = a_configuration()
    assert plan_file.configuration_hash(replace(known, making=None)) == plan_file.configuration_hash(known)
    assert "object at 0x" not in str(plan_file._plain(known))  # what the hash is of
