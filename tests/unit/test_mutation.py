"""The runner of mutation tests: what counts as killed, in which order, and what its page says."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from forks import DIED
from judge import Changed, Judge, Trial, Verdict
from mutants import mutants
from packages import PACKAGES
from page import Score, Share, page
from run import Kills

MUTANTS = mutants("core/schedule.py", b"def due(age: int) -> bool:\n    return age > 90\n")
TEST = "tests/unit/test_schedule.py::test_due"


def _judge() -> Judge:
    return Judge(
        MUTANTS, {}, 1, is_measure_trusted=False, is_late=lambda: False, note=lambda _: None, tell=lambda _: None
    )


def _answered(trial: Trial, answers: Iterator[object]) -> Verdict:
    """Answer each question of a trial, until it ends."""
    next(trial)
    for answer in answers:
        try:
            trial.send(answer)
        except StopIteration as ended:
            verdict = ended.value
            assert isinstance(verdict, Verdict)
            return verdict
    raise AssertionError("the trial asks for more")


def _killed_by(judge: Judge, *answers: object) -> str | None:
    return _answered(judge.trial(MUTANTS[0]), iter(answers)).killer


@pytest.mark.parametrize("failure", [[TEST, False], [TEST, True]])
def test_a_kill_counts_when_the_test_passes_unchanged_and_fails_again(failure: object) -> None:
    assert _killed_by(_judge(), failure, None, failure) == TEST


def test_a_test_that_fails_where_nothing_is_changed_kills_nothing(judge: Judge) -> None:
    assert _killed_by(judge, [TEST, False], [TEST, False], None) is None
    assert list(judge.unsound) == [TEST]


def test_a_test_that_fails_once_kills_nothing_and_may_judge_on(judge: Judge) -> None:
    assert _killed_by(judge, [TEST, False], None, None, None) is None
    assert not judge.unsound
    assert _killed_by(judge, [TEST, False], [TEST, False]) == TEST, "known to pass unchanged: not asked again"


def test_the_end_of_the_interpreter_is_confirmed_like_any_failure(judge: Judge) -> None:
    assert _killed_by(judge, DIED, None, DIED) == DIED
    assert _killed_by(judge, DIED, DIED, None) is None


@pytest.fixture
def judge() -> Judge:
    return _judge()


@pytest.mark.parametrize(("file", "is_package"), [("app/cli/__init__.py", True), ("core/schedule.py", False)])
def test_a_package_that_is_run_anew_still_has_its_modules(file: str, is_package: bool) -> None:
    """Otherwise each import from it fails, and every mutant of it counts as killed."""
    changed = Changed(replace(MUTANTS[0], file=file), compile("", file, "exec"))
    name = "keyrota.app.cli" if is_package else "keyrota.core.schedule"
    spec = changed.find_spec(name, None)
    assert spec is not None
    assert (spec.submodule_search_locations is not None) is is_package
    assert changed.find_spec("keyrota.core", None) is None


def test_what_a_run_found_is_kept_before_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("run.KEEP_EACH_S", -1.0)
    file = tmp_path / ".mutants.json"
    kills = Kills(file)
    for mutant in MUTANTS:
        kills.note(Verdict(mutant=mutant, killer=TEST))
    assert Kills(file).known == {mutant.full_name: TEST for mutant in MUTANTS}
    kills.note(Verdict(mutant=MUTANTS[0], killer=None))
    assert MUTANTS[0].full_name not in Kills(file).known
    assert list(tmp_path.iterdir()) == [file]


def _score(judged: int, killed: int) -> Score:
    sample = [replace(MUTANTS[0], number=number) for number in range(1, 101)]
    verdicts = [
        Verdict(mutant=mutant, killer=TEST if at < killed else None) for at, mutant in enumerate(sample[:judged])
    ]
    return Score(verdicts, sample, sample, {})


@pytest.mark.parametrize(
    ("judged", "line", "row"),
    [
        (100, "judged all of its sample", "| core | 100 | 100 | 100 | 40 | 40.0% | 31% to 50% | 95% |"),
        (50, "judged a part of its sample", "| core | 100 | 100 | 50 | 40 | 80.0% | 67% to 89% | 95% |"),
    ],
)
def test_the_page_says_how_much_of_the_sample_was_judged(judged: int, line: str, row: str) -> None:
    written = page(_score(judged, 40), "2026-11-30")
    assert f"The run of 2026-11-30 {line}" in written
    assert row in written


def test_a_package_of_which_nothing_was_judged_is_on_the_page_and_not_enough() -> None:
    score = _score(0, 0)
    assert "| core | 100 | 100 | 0 | 0 | not known | 0% to 100% | 95% |" in page(score, "2026-11-30")
    assert not score.is_as_demanded


@pytest.mark.parametrize(("killed", "judged", "low", "high"), [(0, 10, 0.0, 0.278), (10, 10, 0.722, 1.0)])
def test_a_small_sample_says_little(killed: int, judged: int, low: float, high: float) -> None:
    share = Share(package=PACKAGES[0], killed=killed, judged=judged, sample=judged, there=1000)
    assert all(math.isclose(is_, should, abs_tol=0.001) for is_, should in zip(share.likely, (low, high), strict=True))
