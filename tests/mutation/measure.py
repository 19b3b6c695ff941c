"""
Which tests come by which line, and what they cost.

That is remembered from run to run: a test is measured again when its own file has changed, a file of the product that
it passed, or anything that all of them stand on, which is the sandbox and the tests' rigs. What a test passes only
since another file's constants changed is missing until then: the mutant is judged by fewer tests, and none too good.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import itertools
import json
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import coverage
import pytest
from _pytest.runner import runtestprotocol
from forks import finished, started, write
from mutants import Mutant
from packages import PACKAGES, ROOT, SOURCE, package_of

SANDBOX = ROOT / "sandbox"
TESTS = ROOT / "tests"
SIMULATION = TESTS / "simulation"
"""Has greenlets, and no threads: told to watch for both, coverage may never return where threads come and go."""
HERE = Path(__file__).resolve().parent
MEASURED = ROOT / ".mutants-measured.json"
LOADING = 3
"""So many times the usual budget for what runs while modules load: it is not known which tests come by it."""


def passes(item: pytest.Item) -> bool:
    """
    Run a test, and leave nothing of it behind but what lives as long as the session.

    What does so is set up once for all, and never judges in its end what happened in between.
    """
    return not any(
        report.failed
        for report in runtestprotocol(item, log=False, nextitem=item.session)  # type: ignore[arg-type]  # asked only for what it lies in
    )


@dataclass(slots=True)
class Map:
    """Which tests come by which line, and what they cost."""

    seconds: dict[str, float] = field(default_factory=dict)
    lines: dict[str, dict[int, list[str]]] = field(default_factory=dict)
    """File, line, tests."""
    passed: Counter[str] = field(default_factory=Counter)
    """How many lines a test passes in all."""

    def add(self, test: str, seconds: float, passed: Mapping[str, Sequence[int]]) -> None:
        """Note the processor time that a test took, and the lines that it passed by file."""
        self.seconds[test] = seconds
        for file, lines in passed.items():
            self.passed[test] += len(lines)
            for line in lines:
                self.lines.setdefault(file, {}).setdefault(line, []).append(test)

    def tests_of(self, mutant: Mutant) -> list[str]:
        """
        Find the tests that pass the mutated statement; for what runs while modules load, all.

        Those that pass the fewest lines come first: they are about this very place. Of all, first those that pass
        anything of the same file.
        """
        tests: Iterable[str] = self.seconds
        beside: set[str] = set()
        known = self.lines.get(mutant.file, {})
        if self.is_of_loading(mutant):
            beside = {test for tests_of_line in known.values() for test in tests_of_line}
        else:
            tests = {test for line in range(mutant.first, mutant.last + 1) for test in known.get(line, ())}
        ordered = sorted(tests, key=lambda test: (test not in beside, self.passed[test], self.seconds[test], test))
        left = package_of(mutant.file).budget_s * (LOADING if self.is_of_loading(mutant) else 1)
        chosen = []
        for test in ordered:
            if self.seconds[test] <= left:  # one that is too dear leaves room for cheaper ones
                left -= self.seconds[test]
                chosen.append(test)
        return chosen

    def is_of_loading(self, mutant: Mutant) -> bool:
        """Return whether a mutant can only be seen when its module is run anew."""
        known = self.lines.get(mutant.file, {})
        return not mutant.function or not any(known.get(line) for line in range(mutant.first, mutant.last + 1))


def measured(items: Sequence[pytest.Item], tell: Callable[[str], None], *, is_trusted: bool) -> Map:
    """
    Measure what was not measured before, each file in a child; tests that fail there judge nothing.

    What the child imported late is imported here as well, or each later child would. What is trusted is not measured
    again, whatever has changed since: some mutants are then judged by fewer tests, and a kill is confirmed anyway.
    """
    known: dict[str, dict[str, Any]] = json.loads(MEASURED.read_text()) if MEASURED.exists() else {}
    stands = {item.nodeid: _stand(item.path) for item in items}
    new = [
        item for item in items if not _is_current(known.get(item.nodeid), stands[item.nodeid], is_trusted=is_trusted)
    ]
    tell(f"{len(new)} of {len(items)} tests are measured")
    for file, of_it in itertools.groupby(new, key=lambda item: item.path):
        measures = _measured_in_a_child(list(of_it))
        known |= {test: {"stand": stands[test], **measure} for test, measure in measures.items()}
        write(MEASURED, json.dumps(known))
        _import_early(name for measure in measures.values() for name in measure["imported"])
        seconds = sum(measure["seconds"] for measure in measures.values())
        tell(f"{file.relative_to(TESTS)}: {len(measures)} tests, {seconds:.0f} s")
    _import_early(name for test in stands for name in known[test]["imported"])
    return _map({test: known[test] for test in stands}, tell)


def _measured_in_a_child(items: Sequence[pytest.Item]) -> dict[str, dict[str, Any]]:
    child = started(lambda _: _measures(items))
    _, answer = finished({child.pid: (child, None)})
    if not isinstance(answer, dict):
        raise TypeError(f"{items[0].path} could not be measured: {answer}")
    return answer


def _map(measures: Mapping[str, Mapping[str, Any]], tell: Callable[[str], None]) -> Map:
    made = Map()
    for test, measure in measures.items():
        if measure["is_good"]:
            made.add(test, measure["seconds"], measure["lines"])
        else:
            tell(f"judges nothing, because it fails where nothing is changed: {test}")
    tell(f"{len(made.seconds)} tests judge, {sum(made.seconds.values()):.0f} s")
    return made


def _measures(items: Sequence[pytest.Item]) -> dict[str, dict[str, Any]]:
    """Run tests once each, and write down what they passed, took and imported."""
    watch = coverage.Coverage(
        data_file=None,
        config_file=False,
        include=[f"{SOURCE}/*"],
        concurrency=["greenlet" if SIMULATION in items[0].path.parents else "thread"],
    )
    watch.set_option("run:disable_warnings", ["no-data-collected"])  # a file whose tests pass nothing of the product
    measures: dict[str, dict[str, Any]] = {}
    watch.start()
    for item in items:
        watch.switch_context(item.nodeid)
        before, began = set(sys.modules), time.process_time()
        is_good = passes(item)
        measures[item.nodeid] = {
            "is_good": is_good,
            "seconds": time.process_time() - began,
            "imported": sorted(set(sys.modules) - before),
        }
    watch.stop()
    lines = _lines(watch.get_data())
    return {test: {**measure, **_passed(lines.get(test, {}))} for test, measure in measures.items()}


def _passed(lines: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Keep the lines of what is mutated, and of each file that was passed the state."""
    folders = tuple(f"{package.name}/" for package in PACKAGES)
    return {
        "lines": {file: passed for file, passed in lines.items() if file.startswith(folders)},
        "files": {file: _state(file) for file in lines},
    }


def _lines(data: coverage.CoverageData) -> dict[str, dict[str, list[int]]]:
    """Turn what was measured round: test, file, lines."""
    found: dict[str, dict[str, list[int]]] = {}
    for path in data.measured_files():
        file = Path(path).relative_to(SOURCE).as_posix()
        for line, tests in data.contexts_by_lineno(path).items():
            for test in filter(None, tests):
                found.setdefault(test, {}).setdefault(file, []).append(line)
    return found


def _import_early(names: Iterable[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in dict.fromkeys(names):
            with contextlib.suppress(Exception):  # what a test made up, or what only the child could import
                importlib.import_module(name)


def _stand(file: Path) -> str:
    """Name the state of a test's file and of what all tests stand on."""
    return hashlib.sha256(file.read_bytes() + _ground()).hexdigest()[:16]


def _is_current(measure: Mapping[str, Any] | None, stand: str, *, is_trusted: bool) -> bool:
    """Return whether a test would still be measured alike: nothing has changed that it stands on or passed."""
    if measure is None or is_trusted:
        return measure is not None
    return bool(measure["stand"] == stand) and all(_state(file) == state for file, state in measure["files"].items())


@cache
def _state(file: str) -> str:
    """Name the state of a file of the product; one that is gone has none."""
    path = SOURCE / file
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.exists() else ""


@cache
def _ground() -> bytes:
    rigs = (path for path in TESTS.rglob("*.py") if not path.name.startswith("test_") and path.parent != HERE)
    files = sorted((*SANDBOX.rglob("*.py"), *rigs))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).digest()
