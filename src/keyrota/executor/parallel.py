"""The same with several things at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from threading import Semaphore
from typing import Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Parallel(Protocol):
    """A way to do things at once: threads, or whatever a simulation puts in their place."""

    def __call__(self, do: Callable[[T], R], things: Iterable[T], workers: int) -> list[R]:
        """Return the results in the order of the things; the first exception is raised when all are done."""
        ...


MAX_AT_ONCE = 240
"""So many things may be begun at once, most of them waiting: each has a thread."""
_turns: ContextVar[Semaphore | None] = ContextVar("keyrota_turns", default=None)


@contextmanager
def give_up_turn() -> Iterator[None]:
    """Let another thing continue while this one waits for time to pass; ends when it is this one's turn again."""
    turns = _turns.get()
    if turns is not None:
        turns.release()
    try:
        yield
    finally:
        if turns is not None:
            turns.acquire()


def in_turns(do: Callable[[T], R], things: Iterable[T], workers: int) -> list[R]:
    """Do the same with several things at once, in threads; one that waits within `give_up_turn` holds no worker."""
    turns = Semaphore(workers)

    def take_turn(thing: T) -> R:
        _turns.set(turns)
        with turns:
            return do(thing)

    things = tuple(things)
    return in_parallel(take_turn, things, max(workers, MAX_AT_ONCE))


def in_parallel(do: Callable[[T], R], things: Iterable[T], workers: int) -> list[R]:
    """Do the same with several things at once, in threads; the first exception is raised at the end."""
    things = tuple(things)
    if len(things) < 2:  # noqa: PLR2004  # a thread for one thing is a thread too many
        return [copy_context().run(_do_without_turn, do, thing) for thing in things]
    with ThreadPoolExecutor(max_workers=min(workers, len(things)), thread_name_prefix="target") as pool:
        # Each in a copy of the context: how long a credential waits for a service is known in all of its threads.
        futures = [pool.submit(copy_context().run, _do_without_turn, do, thing) for thing in things]
    return [future.result() for future in futures]


def _do_without_turn(do: Callable[[T], R], thing: T) -> R:
    """Do it where the turn of whoever began it is not this thread's to give up."""
    _turns.set(None)
    return do(thing)
