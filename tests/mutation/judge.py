"""
Let the tests judge mutants, each in a process of its own that is forked from one which has collected all of them.

A mutant of a function's body is the function's code exchanged, in the modules that the tests already hold: that costs
little more than the fork. A mutant of a table, a default or a constant is seen only when its module is run anew, so
that child forgets all of our modules and collects again. Tests that pass the changed line and little else come
first, and before them those that killed a sibling.
"""

from __future__ import annotations

import gc
import importlib.abc
import importlib.machinery
import importlib.util
import itertools
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

import coverage
import pytest
from _pytest.runner import runtestprotocol
from forks import Child, bounded, finished, limit_memory, started
from mutants import Mutant

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "keyrota"
TESTS = ROOT / "tests"

FILES = (
    "unit",
    "simulation/test_found.py",
    "simulation/test_targets_over_time.py",
    "simulation/test_native_rotation.py",
    "simulation/test_races.py",
    "simulation/test_duties.py",
    "simulation/test_crashes.py",
    "simulation/test_crashes_on_roads.py",
    "simulation/test_histories.py",
)
MOST = 4
"""So many of a simulation's cases, evenly spread, judge: what the others cut is a neighbouring call."""
OWN_SEED = "test_what_was_found_stays_mended"
"""Of the histories only those that found something once."""
SLOW = frozenset(
    {
        "test_the_promises_hold_in_any_world",
        "test_the_promises_hold_where_an_old_key_goes",
        "test_random_worlds_really_deactivate_and_delete",
        "test_planning_changes_nothing_and_says_the_same_twice",
    }
)
"""Tests of many random worlds each, which judge nothing here: a survivor would wait for them."""
BUDGET_S = 2.0
"""So long, as measured, the tests of one mutant may take; what survives that is a survivor."""
NO_MUTANT = "no mutant"
LOADING_BUDGET_S = 6.0
"""The same where it is not known which tests come by a change: at what runs while modules load."""
SIBLINGS = 6
"""So many tests that killed a mutant of the same function are asked first."""

OPTIONS = (
    "-qq",
    "-s",
    "-o",
    "addopts=",
    "--import-mode=importlib",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:xdist",
    "-W",
    "ignore::pytest.PytestAssertRewriteWarning",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the tests said of a mutant."""

    mutant: Mutant
    killer: str | None
    """The test that noticed; None: none did."""


@dataclass(slots=True, kw_only=True)
class Map:
    """Which tests come by which line, and what they cost."""

    seconds: dict[str, float] = field(default_factory=dict)
    lines: dict[str, dict[int, list[str]]] = field(default_factory=dict)
    """File, line, tests."""
    passed: Counter[str] = field(default_factory=Counter)
    """How many lines a test passes in all."""

    def tests_of(self, mutant: Mutant) -> list[str]:
        """
        Find the tests that pass the mutated statement; all, for what runs while modules load.

        Those that pass the fewest lines come first: they are about this very place.
        """
        tests: Iterable[str] = self.seconds
        if not self.is_of_loading(mutant):
            known = self.lines.get(mutant.file, {})
            tests = {test for line in range(mutant.first, mutant.last + 1) for test in known.get(line, ())}
        ordered = sorted(tests, key=lambda test: (self.passed[test], self.seconds[test], test))
        spent = itertools.accumulate(self.seconds[test] for test in ordered)
        budget = LOADING_BUDGET_S if self.is_of_loading(mutant) else BUDGET_S
        return [test for test, so_far in zip(ordered, spent, strict=True) if so_far <= budget]

    def is_of_loading(self, mutant: Mutant) -> bool:
        """Tell whether a mutant can only be seen when its module is run anew."""
        known = self.lines.get(mutant.file, {})
        return not mutant.function or not any(known.get(line) for line in range(mutant.first, mutant.last + 1))


class Judge:
    """The plugin that takes pytest's loop over."""

    def __init__(
        self, mutants: Sequence[Mutant], known: Mapping[str, str], jobs: int, tell: Callable[[str], None]
    ) -> None:
        self._mutants = mutants
        self._known = known
        """The test that killed a mutant the last time: asked first."""
        # as they were when the mutants were made, whatever somebody writes meanwhile
        self._sources = {file: (SOURCE / file).read_bytes() for file in {mutant.file for mutant in mutants}}
        self._jobs = jobs
        self._tell = tell
        self._items: dict[str, pytest.Item] = {}
        self._map = Map()
        self._killers: dict[tuple[str, str], dict[str, None]] = {}
        self.verdicts: list[Verdict] = []
        self.broken: list[str] = []
        """Tests that fail without a mutant, and mutants that are no Python: nothing is judged then."""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep the judges."""
        items[:] = list(_judges(items))

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Measure, then judge."""
        self._items = {item.nodeid: item for item in session.items}
        self._measure()
        if not self.broken:
            gc.collect()
            gc.freeze()  # or a collection in a child would copy what it shares with this process
            self._judge()
        return True

    def _measure(self) -> None:
        child = started(lambda _: _measured(list(self._items.values())))
        _, answer = finished({child.pid: (child, None)})
        if not isinstance(answer, dict):
            raise TypeError(f"the tests could not be measured: {answer}")
        self._map = Map(
            seconds=answer["seconds"],
            lines={
                file: {int(line): tests for line, tests in lines.items()} for file, lines in answer["lines"].items()
            },
        )
        for tests in (tests for lines in self._map.lines.values() for tests in lines.values()):
            self._map.passed.update(tests)
        self.broken = answer["broken"]
        self._tell(f"{len(self._items)} tests, {sum(self._map.seconds.values()):.0f} s")

    def _judge(self) -> None:
        children: dict[int, tuple[Child, Mutant]] = {}
        waiting = list(reversed(self._mutants))
        while waiting or children:
            while waiting and len(children) < self._jobs:
                mutant = waiting.pop()
                child = started(partial(self._killer, mutant, self._in_order(mutant)))
                children[child.pid] = (child, mutant)
            if children:
                judged, answer = finished(children)
                self._note(judged, None if answer is None else str(answer))

    def _note(self, mutant: Mutant, killer: str | None) -> None:
        if killer is not None and killer.startswith(NO_MUTANT):
            self.broken.append(f"{mutant.full_name}: {killer}")
        self.verdicts.append(Verdict(mutant=mutant, killer=killer))
        if killer in self._items:
            known = self._killers.setdefault((mutant.file, mutant.function), {})
            known.pop(killer, None)
            known[killer] = None
        if killer is None:
            self._tell(f"survived: {mutant.full_name}")
        if len(self.verdicts) % 100 == 0:
            killed = sum(1 for verdict in self.verdicts if verdict.killer is not None)
            self._tell(f"{len(self.verdicts)} mutants judged, {killed} killed")

    def _in_order(self, mutant: Mutant) -> list[str]:
        tests = self._map.tests_of(mutant)
        reachable = set(tests)
        latest = list(reversed(self._killers.get((mutant.file, mutant.function), {})))
        first = [test for test in latest if test in reachable][:SIBLINGS]
        last_time = self._known.get(mutant.full_name)
        if last_time in self._items:
            first = [last_time, *(test for test in first if test != last_time)]
        return first + [test for test in tests if test not in first]

    def _killer(self, mutant: Mutant, tests: Sequence[str], end: Callable[[object], None]) -> str | None:
        """Let a child find the first test that fails."""
        limit_memory()
        try:
            changed = mutant.applied(self._sources[mutant.file])
            code = compile(changed, str(SOURCE / mutant.file), "exec", dont_inherit=True)
            if self._map.is_of_loading(mutant):
                _forget_modules()
                sys.meta_path.insert(0, _Changed(mutant, code))
            else:
                _exchange(mutant, code)
        except Exception as error:  # noqa: BLE001  # no test has noticed anything: the mutant itself is no good
            return f"{NO_MUTANT}: {error!r}"
        if self._map.is_of_loading(mutant):
            return _judged_anew(tests, self._map.seconds, end)
        for name in tests:
            with bounded(self._map.seconds[name], end):
                if not _passes(self._items[name]):
                    return name
        return None


def _judges(items: Sequence[pytest.Item]) -> Iterator[pytest.Item]:
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for function, all_of_it in cases.items():
        is_thinned = "/simulation/" in function
        name = function.rpartition("::")[2]
        if name not in SLOW and ("test_histories" not in function or name == OWN_SEED):
            yield from all_of_it[:: -(-len(all_of_it) // MOST) if is_thinned else 1]


def _passes(item: pytest.Item) -> bool:
    return not any(report.failed for report in runtestprotocol(item, log=False, nextitem=None))


def _measured(items: Sequence[pytest.Item]) -> dict[str, object]:
    """Run every test once, and write down which lines it passed."""
    watch = coverage.Coverage(
        data_file=None,
        config_file=False,
        include=[f"{SOURCE}/core/*", f"{SOURCE}/executor/*"],
        concurrency=["thread", "greenlet"],
    )
    seconds, broken = {}, []
    watch.start()
    for item in items:
        watch.switch_context(item.nodeid)
        before = time.process_time()
        if not _passes(item):
            broken.append(item.nodeid)
        seconds[item.nodeid] = time.process_time() - before
    watch.stop()
    data = watch.get_data()
    lines = {
        str(Path(file).relative_to(SOURCE)): {
            line: [test for test in tests if test] for line, tests in data.contexts_by_lineno(file).items()
        }
        for file in data.measured_files()
    }
    return {"seconds": seconds, "broken": broken, "lines": lines}


# --- a function's code exchanged ------------------------------------------------------------------------------------


def _exchange(mutant: Mutant, code: CodeType) -> None:
    found: object = sys.modules[_module_name(mutant)]
    for name in mutant.function.split("."):
        code = next(part for part in code.co_consts if isinstance(part, CodeType) and part.co_name == name)
        found = vars(found)[name]
    _function(found).__code__ = code


def _function(found: object) -> FunctionType:
    while not isinstance(found, FunctionType):
        found = getattr(found, "fget", None) or found.__func__  # type: ignore[attr-defined]  # property, static, class
    return found


def _module_name(mutant: Mutant) -> str:
    return "keyrota." + mutant.file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


# --- a module run anew ----------------------------------------------------------------------------------------------


def _forget_modules() -> None:
    """Forget our modules and the tests, but not the runner."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        if file.startswith((f"{SOURCE}/", f"{TESTS}/")) and not file.startswith(f"{TESTS}/mutation/"):
            del sys.modules[name]


class _Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds one module, changed."""

    def __init__(self, mutant: Mutant, code: CodeType) -> None:
        self._name, self._path, self._code = _module_name(mutant), SOURCE / mutant.file, code

    def find_spec(self, fullname: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        """Find it before anybody else does."""
        del path, target
        if fullname != self._name:
            return None
        return importlib.util.spec_from_file_location(fullname, self._path, loader=self)

    def exec_module(self, module: ModuleType) -> None:
        """Run it."""
        exec(self._code, module.__dict__)  # noqa: S102  # our own module, but for one change


class _Again:
    """The plugin that runs the tests in a given order, until one fails."""

    def __init__(self, tests: Sequence[str], seconds: dict[str, float], end: Callable[[object], None]) -> None:
        self._places = {test: place for place, test in enumerate(tests)}
        self._seconds = seconds
        self._end = end
        self.killer: str | None = None

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep the chosen tests, in their order."""
        items[:] = sorted(
            (item for item in items if item.nodeid in self._places), key=lambda item: self._places[item.nodeid]
        )

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run until one fails; modules that cannot even be imported are noticed as well."""
        if session.testsfailed:
            self.killer = "collection"
            return True
        for item in session.items:
            with bounded(self._seconds.get(item.nodeid, 1.0), self._end):
                if not _passes(item):
                    self.killer = item.nodeid
                    return True
        return True


def _judged_anew(tests: Sequence[str], seconds: dict[str, float], end: Callable[[object], None]) -> str | None:
    files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
    for part in (files[:1], files[1:]):
        if not part:
            continue
        again = _Again(tests, seconds, end)
        with bounded(60.0, end):
            code = pytest.main([*OPTIONS, *part], plugins=[again])
        if again.killer is not None or code not in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
            return again.killer or "collection"
    return None
