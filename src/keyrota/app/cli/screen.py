"""What is printed on a terminal: broken at words, and paged where the screen is too small."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from keyrota.app.cli.common import echo
from keyrota.errors import without_own_secrets
from keyrota.report.screen import measure, wrap

F = TypeVar("F", bound=Callable[..., Any])

_PAGER = "less"
_MIN_COLUMNS = 20
"""Nothing is fitted to less: some terminals say that they have no columns."""


def pager_option(command: F) -> F:
    """Add `--no-pager`; the command is given `is_paged`."""
    return click.option(
        "--no-pager",
        "is_paged",
        flag_value=False,
        default=True,
        help="Do not page what is longer than the screen (the pager is PAGER, or less).",
    )(command)


def terminal() -> os.terminal_size | None:
    """Return the size of the terminal; None: what is printed goes elsewhere, and nothing is broken or left out."""
    return shutil.get_terminal_size() if sys.stdout.isatty() else None


def width() -> int | None:
    """Return the columns of the terminal; None as for `terminal`."""
    size = terminal()
    return max(_MIN_COLUMNS, size.columns) if size else None


def show(
    lines: Iterable[str], *, is_paged: bool = False, is_wide: bool = False, on: os.terminal_size | None = None
) -> None:
    """
    Print for people: broken at words, and through a pager where that is allowed and the screen is too small.

    Args:
        lines: What to print.
        is_paged: A pager is allowed.
        is_wide: Lines of a table, which stay whole however long they are.
        on: The terminal's size; None: that of stdout, if it is one.
    """
    size = on or terminal()
    room = max(_MIN_COLUMNS, size.columns) if size else None
    fitted = (part for line in lines for part in wrap(line, None if is_wide else room))
    if not is_paged or size is None or room is None:
        echo(fitted)
        return
    every = [without_own_secrets(line) for line in fitted]
    rows = sum(max(1, -(-measure(line) // room)) for line in every)
    pager = _find_pager() if rows >= size.lines else None
    if pager is None or not _page(every, pager, less="FRSX" if is_wide else "FRX"):
        echo(every)


def _find_pager() -> list[str] | None:
    """Find the pager; None: there is none, or it would only print."""
    try:
        words = shlex.split(os.environ.get("PAGER", _PAGER))
    except ValueError:
        return None
    found = shutil.which(words[0]) if words and words != ["cat"] else None
    # PATH may name the current folder, which may hold anybody's files
    return [found, *words[1:]] if found and Path(found).is_absolute() else None


def _page(lines: list[str], pager: list[str], *, less: str) -> bool:
    """Print through a pager, with git's settings unless LESS is set; returns whether it could be started."""
    environment = {"LESS": less, "LV": "-c"} | pager_environment()
    try:
        running = subprocess.Popen(pager, stdin=subprocess.PIPE, text=True, encoding="utf-8", env=environment)  # noqa: S603  # the user's own
    except OSError:
        return False
    with _interrupts_left_to_find_pager():
        try:
            running.communicate("".join(f"{line}\n" for line in lines))
        except BrokenPipeError:
            running.wait()  # who has seen enough
    return True


def pager_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Choose what the pager is given of the environment: what concerns terminals, and no secret."""
    return {name: value for name, value in environment.items() if _FOR_PAGER.fullmatch(name)}


_FOR_PAGER = re.compile(
    r"PATH|HOME|USERPROFILE|SYSTEMROOT|LANG|LC_[A-Z]+|TERM(INFO(_DIRS)?)?|COLORTERM|NO_COLOR|COLUMNS|LINES"
    r"|LESS(CHARSET|KEY(IN)?|HISTFILE|SECURE|UTFCHARDEF)?|LV|MORE|MOAR|MOOR|BAT_[A-Z]+",
    re.IGNORECASE,
)
"""What pagers read for the terminal and their settings. LESSOPEN, which runs a command, is not for text on stdin."""


@contextmanager
def _interrupts_left_to_find_pager() -> Iterator[None]:
    """Let Ctrl-C go to the pager alone: who ends before it leaves the terminal in its hands."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
