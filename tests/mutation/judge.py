"""
Let the tests judge mutants, each in a process of its own that is forked from one which has collected all of them.

A mutant of a function's body is the function's code exchanged, in the modules that the tests already hold: that costs
little more than the fork. A mutant of a table, a default or a constant is seen only when its module is run anew, so
that child forgets all of our modules and collects again. Tests that pass the changed line and little else come
first, and before them those that killed a sibling.

A kill counts once it is confirmed: the test that failed fails again, alone in a new process, and passes in one where
nothing is changed. A test that fails without a change judges nothing from there on.
"""

from __future__ import annotations

import gc
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from types import CodeType, FunctionType, ModuleType

import pytest
from forks import DIED, Child, bounded, finished, limit_memory, started, stopped
from measure import HERE, SANDBOX, SIMULATION, TESTS, Map, measured, passes
from mutants import Mutant
from packages import SOURCE

MOST = 4
"""So many of a simulation's cases, evenly spread, judge: what the others cut is a neighbouring call."""
SLOW = frozenset(
    {
        "test_the_promises_hold_in_any_world",
        "test_the_promises_hold_where_an_old_key_goes",
        "test_random_worlds_really_deactivate_and_delete",
        "test_planning_changes_nothing_and_says_the_same_twice",
        "test_the_demo_plays_and_breaks_nothing",
        "test_the_demo_finds_a_pair_under_other_names_before_it_does_harm",
        "test_four_functions_carry_a_key_through_its_life",
    }
)
"""Tests of many random worlds, or of many days, which judge nothing here: a survivor would wait for them."""
NO_MUTANT = "no mutant"
SIBLINGS = 6
"""So many tests that killed a mutant of the same function are asked first."""

Question = Callable[[Callable[[object], None]], object]
"""What a child answers: nothing, or the name of the first test that fails."""
Trial = Generator[Question, object, "Verdict"]
"""The questions that lead to a verdict, one after the other."""

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
    """The test that noticed, or how else it showed; None: no test did."""


class Judge:
    """The plugin that takes pytest's loop over."""

    def __init__(
        self,
        mutants: Sequence[Mutant],
        known: Mapping[str, str],
        jobs: int,
        *,
        is_measure_trusted: bool,
        is_late: Callable[[], bool],
        note: Callable[[Verdict], None],
        tell: Callable[[str], None],
    ) -> None:
        self._mutants = mutants
        self._known = dict(known)
        """The test that killed a mutant the last time: asked first."""
        # as they were when the mutants were made, whatever somebody writes meanwhile
        self._sources = {file: (SOURCE / file).read_bytes() for file in {mutant.file for mutant in mutants}}
        self._jobs = jobs
        self._is_measure_trusted = is_measure_trusted
        self._is_late = is_late
        self._note_down = note
        self._tell = tell
        self._items: dict[str, pytest.Item] = {}
        self._map = Map()
        self._killers: dict[tuple[str, str], dict[str, None]] = {}
        self._is_sound: dict[tuple[str, bool], bool] = {}
        """Whether a test passes where nothing is changed: with the modules as they are, and with modules run anew."""
        self.verdicts: list[Verdict] = []
        self.broken: list[str] = []
        """Mutants that are no Python: nothing is judged then."""
        self.unsound: dict[str, None] = {}
        """Tests that failed where nothing was changed."""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep the judges."""
        items[:] = list(_judges(items))

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Measure, then judge."""
        self._items = {item.nodeid: item for item in session.items}
        self._map = measured(session.items, self._tell, is_trusted=self._is_measure_trusted)
        gc.collect()
        gc.freeze()  # or a collection in a child would copy what it shares with this process
        self._judge()
        return True

    def _judge(self) -> None:
        children: dict[int, tuple[Child, Trial]] = {}
        waiting = iter(self._mutants)
        try:
            while True:
                while len(children) < self._jobs and not self._is_late() and (mutant := next(waiting, None)):
                    self._go_on(children, self.trial(mutant), None)
                if not children:
                    return
                trial, answer = finished(children)
                self._go_on(children, trial, answer)
        finally:
            stopped(children)

    def _go_on(self, children: dict[int, tuple[Child, Trial]], trial: Trial, answer: object) -> None:
        """Give a trial the answer that it waits for, and ask its next question."""
        try:
            question = trial.send(answer)
        except StopIteration as ended:
            self._note(ended.value)
            return
        child = started(question)
        children[child.pid] = (child, trial)

    def trial(self, mutant: Mutant) -> Trial:
        """Ask until the tests have killed the mutant and that is confirmed, or none is left that might."""
        tests = self._in_order(mutant)
        while True:
            answer = yield partial(self._failing, mutant, tests)
            if answer is None or str(answer).startswith(NO_MUTANT):
                return Verdict(mutant=mutant, killer=None if answer is None else str(answer))
            killer, is_anew = _read(answer)
            alone = [killer] if killer in tests else tests
            if (yield from self._passes_unchanged(mutant, killer, alone, is_anew=is_anew)):
                if (yield partial(self._failing, mutant, alone)) is not None:
                    return Verdict(mutant=mutant, killer=killer)
                self._tell(f"failed once, and passed when asked again: {killer}, {mutant.full_name}")
            tests = [test for test in tests if test not in alone]

    def _passes_unchanged(
        self, mutant: Mutant, killer: str, tests: Sequence[str], *, is_anew: bool
    ) -> Generator[Question, object, bool]:
        """Find out, once for each test, whether it passes where nothing is changed, but all else is done alike."""
        which = (killer, is_anew)
        if killer == DIED or which not in self._is_sound:
            question = partial(self._failing, mutant, tests, is_changed=False, is_anew=is_anew)
            self._is_sound[which] = (yield question) is None
            if not self._is_sound[which]:
                self.unsound.setdefault(killer)
                self._tell(f"judges nothing from here on, because it fails where nothing is changed: {killer}")
        return self._is_sound[which]

    def _note(self, verdict: Verdict) -> None:
        mutant, killer = verdict.mutant, verdict.killer
        if killer is not None and killer.startswith(NO_MUTANT):
            self.broken.append(f"{mutant.full_name}: {killer}")
        self.verdicts.append(verdict)
        self._note_down(verdict)
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
        if last_time in self._map.seconds:
            first = [last_time, *(test for test in first if test != last_time)]
        is_anew = self._map.is_of_loading(mutant)
        in_order = first + [test for test in tests if test not in first]
        return [test for test in in_order if self._is_sound.get((test, is_anew), True)]

    def _failing(
        self,
        mutant: Mutant,
        tests: Sequence[str],
        end: Callable[[object], None],
        *,
        is_changed: bool = True,
        is_anew: bool = False,
    ) -> object:
        """Let a child find the first test that fails, and say whether it ran with modules run anew."""
        limit_memory()
        source = self._sources[mutant.file]
        changed = mutant.applied(source) if is_changed else source
        try:
            code = compile(changed, str(SOURCE / mutant.file), "exec", dont_inherit=True)
        except Exception as error:  # noqa: BLE001  # no test has noticed anything: the mutant itself is no good
            return f"{NO_MUTANT}: {error!r}"
        if is_anew or self._map.is_of_loading(mutant) or not _is_exchanged(mutant, code):
            _forget_modules()
            sys.meta_path.insert(0, Changed(mutant, code))
            killer = _judged_anew(tests, self._map.seconds, lambda test: end([test, True]))
            return killer and [killer, True]
        for name in tests:
            with bounded(self._map.seconds[name], partial(end, [name, False])):
                if not passes(self._items[name]):
                    return [name, False]
        return None


def _read(answer: object) -> tuple[str, bool]:
    """Read which test failed, and whether its modules were run anew; a child that died says neither."""
    match answer:
        case [str() as killer, bool() as is_anew]:
            return killer, is_anew
    return DIED, False


def _judges(items: Sequence[pytest.Item]) -> Iterator[pytest.Item]:
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for function, all_of_it in cases.items():
        if function.rpartition("::")[2] not in SLOW:
            is_thinned = SIMULATION in all_of_it[0].path.parents
            yield from all_of_it[:: -(-len(all_of_it) // MOST) if is_thinned else 1]


# --- a function's code exchanged ------------------------------------------------------------------------------------


def _is_exchanged(mutant: Mutant, code: CodeType) -> bool:
    """Exchange the function's code where the module holds it; a decorator, or a class made anew, may have hidden it."""
    try:
        found: object = importlib.import_module(_module_name(mutant))
        for name in mutant.function.split("."):
            code = next(part for part in code.co_consts if isinstance(part, CodeType) and part.co_name == name)
            found = vars(found)[name]
        function = _function(found)
        if function is None or function.__code__.co_firstlineno != code.co_firstlineno:
            return False
        function.__code__ = code
    except (ImportError, KeyError, StopIteration, TypeError, ValueError):  # ValueError: it closes over less than before
        return False
    return True


def _function(found: object) -> FunctionType | None:
    """Find the function that a property, a method of the class, or a decorator that says so wraps."""
    while True:
        match found:
            case property():
                found = found.fget
            case staticmethod() | classmethod():
                found = found.__func__
            case cached_property():
                found = found.func
            case _ if hasattr(found, "__wrapped__"):
                found = found.__wrapped__
            case _:
                return found if isinstance(found, FunctionType) else None


def _module_name(mutant: Mutant) -> str:
    return "keyrota." + mutant.file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


# --- a module run anew ----------------------------------------------------------------------------------------------


def _forget_modules() -> None:
    """Forget our modules, the sandbox and the tests, but not the runner."""
    ours = tuple(f"{folder}/" for folder in (SOURCE, SANDBOX, TESTS))
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        if file.startswith(ours) and not file.startswith(f"{HERE}/"):
            del sys.modules[name]


class Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds one module, changed."""

    def __init__(self, mutant: Mutant, code: CodeType) -> None:
        self._name, self._path, self._code = _module_name(mutant), SOURCE / mutant.file, code

    def find_spec(self, fullname: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        """Find it before anybody else does."""
        del path, target
        if fullname != self._name:
            return None
        inner = [str(self._path.parent)] if self._path.name == "__init__.py" else None
        return importlib.util.spec_from_file_location(
            fullname, self._path, loader=self, submodule_search_locations=inner
        )

    def exec_module(self, module: ModuleType) -> None:
        """Run it."""
        exec(self._code, module.__dict__)  # noqa: S102  # our own module, but for one change


class _Again:
    """The plugin that runs the tests in a given order, until one fails."""

    def __init__(self, tests: Sequence[str], seconds: dict[str, float], end: Callable[[str], None]) -> None:
        self._places = {test: place for place, test in enumerate(tests)}
        self._seconds = seconds
        self._end = end
        self.killer: str | None = None

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note the first file that cannot be collected: its first test stands for it."""
        if report.failed and self.killer is None:
            of_it = (test for test in self._places if test.startswith(f"{report.nodeid}::"))
            self.killer = next(of_it, next(iter(self._places)))

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep the chosen tests, in their order."""
        items[:] = sorted(
            (item for item in items if item.nodeid in self._places), key=lambda item: self._places[item.nodeid]
        )

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run until one fails; modules that cannot even be imported are noticed as well."""
        if self.killer is not None:
            return True
        for item in session.items:
            with bounded(self._seconds.get(item.nodeid, 1.0), partial(self._end, item.nodeid)):
                if not passes(item):
                    self.killer = item.nodeid
                    return True
        return True


def _judged_anew(tests: Sequence[str], seconds: dict[str, float], end: Callable[[str], None]) -> str | None:
    files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
    for part in (files[:1], files[1:]):
        of_part = [test for test in tests if test.partition("::")[0] in part]
        if not of_part:
            continue
        again = _Again(of_part, seconds, end)
        with bounded(60.0, partial(end, of_part[0])):
            code = pytest.main([*OPTIONS, *part], plugins=[again])
        if again.killer is not None or code not in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
            return again.killer or of_part[0]
    return None
