"""Progress of long work: a bar on a terminal, one line a minute elsewhere; what waits, for what, and how long."""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar

import click

from keyrota.app.cli.common import Options, eprint
from keyrota.core import plan as act
from keyrota.core.outcome import Outcome
from keyrota.executor import CredentialContext, Event, EventKind, Preview
from keyrota.executor.parallel import in_parallel, in_turns
from keyrota.ports import Clock
from keyrota.report.screen import cut, make_cell
from keyrota.report.text import count

T = TypeVar("T")
R = TypeVar("R")

_TICK_S = 0.25
_BAR_AFTER_TICKS = 4
"""What is over within a second needs no bar."""
_LINE_EVERY_TICKS = 240
"""A minute: without a terminal, CI systems end a job that prints nothing for ten."""
_BESIDE_BAR = 50
"""Columns of the bar itself; the rest is for what is said beside it."""
_MIN_WAIT_S = 1.0


class Watch:
    """Counts what the threads of a run do, and shows it on stderr while it lasts."""

    def __init__(self, options: Options) -> None:
        self.on_outcome: Callable[[Preview, Outcome], object] = lambda *_: None
        self.phase = ""
        self.total = self.finished = 0
        self._places: set[str] = set()
        self._accounts: dict[str, int] = {}
        """Credentials of each account that are not finished."""
        self._of_account = 0
        self._waits: dict[int, tuple[datetime, str]] = {}
        self._reasons: dict[int, str] = {}
        self._lock = threading.RLock()
        self._clock: Clock | None = None
        self._is_silent = options.is_quiet
        self._bar: Any = None
        self._ticks = 0

    # --- what is counted ------------------------------------------------------------------------------------------

    def watched(self, clock: Clock) -> Clock:
        """Return the clock of the run, whose waits are shown."""
        self._clock = clock
        return _WatchedClock(clock, self)

    def parallel(self, do: Callable[[T], R], things: Iterable[T], workers: int) -> list[R]:
        """Do the same with several things at once, and count those that are finished."""
        every = tuple(things)
        kinds = {CredentialContext: "looking at", Preview: "working on"}
        phase = next((word for kind, word in kinds.items() if every and isinstance(every[0], kind)), None)
        if phase is None:
            return in_parallel(lambda thing: self._place(do, thing), every, workers)
        at_once = in_turns if isinstance(every[0], Preview) else in_parallel
        with self._shown(phase, every):
            return at_once(lambda thing: self._credential(do, thing), every, workers)

    def _place(self, do: Callable[[T], R], thing: T) -> R:
        result = do(thing)
        with self._lock:
            self._places |= {str(address) for address in [getattr(thing, "address", None)] if address}
        return result

    def _credential(self, do: Callable[[T], R], thing: T) -> R:
        try:
            result = do(thing)
        finally:
            with self._lock:
                self.finished += 1
                self._accounts[_account_of(thing)] -= 1
                self._reasons.pop(threading.get_ident(), None)
        if isinstance(thing, Preview) and isinstance(result, Outcome):
            self.on_outcome(thing, result)
        return result

    def note(self, event: Event) -> None:
        """Remember what a thread is about to do: the reason if it waits."""
        with self._lock:
            if event.kind is EventKind.DOING:
                self._reasons[threading.get_ident()] = _reason(event)
            else:
                self._reasons.pop(threading.get_ident(), None)

    @contextmanager
    def waiting(self, until: datetime) -> Iterator[None]:
        """Count a wait of this thread."""
        me = threading.get_ident()
        with self._lock:
            self._waits[me] = until, self._reasons.get(me, "AWS or a provider answers")
        try:
            yield
        finally:
            with self._lock:
                self._waits.pop(me, None)

    # --- what is shown --------------------------------------------------------------------------------------------

    @contextmanager
    def _shown(self, phase: str, things: tuple[Any, ...]) -> Iterator[None]:
        accounts: dict[str, int] = {}
        for thing in things:
            accounts[_account_of(thing)] = accounts.get(_account_of(thing), 0) + 1
        with self._lock:
            self.phase, self.total, self.finished, self._ticks = phase, len(things), 0, 0
            self._places.clear()
            self._accounts, self._of_account = accounts, len(accounts)
        over = threading.Event()
        ticker = threading.Thread(target=self._run, args=(over,), name="progress", daemon=True)
        if not self._is_silent:
            ticker.start()
        try:
            yield
        finally:
            over.set()
            if ticker.ident is not None:
                ticker.join()
            self._end()

    def _run(self, over: threading.Event) -> None:
        while not over.wait(_TICK_S):
            self.tick(is_terminal=sys.stderr.isatty())

    def tick(self, *, is_terminal: bool) -> None:
        """Show what there is to show now; called four times a second."""
        with self._lock:
            self._ticks += 1
            if is_terminal and self._ticks >= _BAR_AFTER_TICKS:
                self._draw()
            elif not is_terminal and self._ticks % _LINE_EVERY_TICKS == 0:
                eprint(self.line())

    def line(self) -> str:
        """Put what is going on into one line."""
        at = f"{self._clock.now():%H:%M:%S} " if self._clock else ""
        return f"{at}{self.phase} {self.finished} of {count(self.total, 'credential')}{self.beside()}"

    def beside(self) -> str:
        """Say how many accounts and places are finished, and what waits how long; empty where there is nothing."""
        parts = []
        if self._of_account > 1:
            done = sum(1 for left in self._accounts.values() if not left)
            parts.append(f"{done} of {self._of_account} accounts")
        if self._places:
            parts.append(count(len(self._places), "place"))
        parts += self._describe_waits()
        return "".join(f", {part}" for part in parts)

    def _describe_waits(self) -> list[str]:
        if not self._waits or self._clock is None:
            return []
        until, reason = max(self._waits.values())
        left = max(0, round((until - self._clock.now()).total_seconds()))
        more = f" (and {len(self._waits) - 1} more)" if len(self._waits) > 1 else ""
        return [f"waits up to {left} s until {reason}{more}"]

    def print(self, text: str) -> None:
        """Print a line above the bar."""
        with self._lock:
            if self._bar is not None:
                click.echo("\r\x1b[K", nl=False, file=sys.stderr)
            eprint(text)

    def _draw(self) -> None:
        room = max(0, shutil.get_terminal_size().columns - _BESIDE_BAR)
        if self._bar is None:
            self._bar = click.progressbar(
                length=self.total,
                label=self.phase,
                show_pos=True,
                show_percent=False,
                show_eta=False,
                width=20,
                item_show_func=lambda _: cut(make_cell(self.beside().removeprefix(", ")), room) if room else None,
                file=sys.stderr,
            )
        self._bar.update(self.finished - self._bar.pos)
        self._bar.render_progress()

    def _end(self) -> None:
        with self._lock:
            if self._bar is not None:
                self._bar.update(self.finished - self._bar.pos)
                self._bar.render_progress()
                self._bar.render_finish()
                self._bar = None
            self._waits.clear()


class _WatchedClock:
    """A clock whose waits are shown."""

    def __init__(self, clock: Clock, watch: Watch) -> None:
        self._clock = clock
        self._watch = watch

    def now(self) -> datetime:
        """Return the time: aware, UTC."""
        return self._clock.now()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        if seconds < _MIN_WAIT_S:
            self._clock.sleep(seconds)
            return
        with self._watch.waiting(self._clock.now() + timedelta(seconds=seconds)):
            self._clock.sleep(seconds)


def _account_of(thing: Any) -> str:
    subject = thing.subject if isinstance(thing, Preview) else thing
    return str(subject.account)


def _reason(event: Event) -> str:
    """Say what a wait within an action is for."""
    if isinstance(event.action, act.Verify):
        return f"AWS accepts the new key of {event.name}"
    if isinstance(event.action, act.Sync):
        return f"a provider takes the key of {event.name}"
    return f"{event.action.shown} of {event.name} can go on"
