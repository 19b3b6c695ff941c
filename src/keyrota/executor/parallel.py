"""The same with several things at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Parallel(Protocol):
    """A way to do things at once: threads, or whatever a simulation puts in their place."""

    def __call__(self, do: Callable[[T], R], things: Iterable[T], workers: int) -> list[R]:
        """Return the results in the order of the things; the first exception is raised when all are done."""
        ...


def in_parallel(do: Callable[[T], R], things: Iterable[T], workers: int) -> list[R]:
    """Do the same with several things at once, in threads; the first exception is raised at the end."""
    things = tuple(things)
    if len(things) < 2:  # noqa: PLR2004  # a thread for one thing is a thread too many
        return [do(thing) for thing in things]
    with ThreadPoolExecutor(max_workers=min(workers, len(things)), thread_name_prefix="target") as pool:
        # Each in a copy of the context: how long a credential waits for a service is known in all of its threads.
        futures = [pool.submit(copy_context().run, do, thing) for thing in things]
    return [future.result() for future in futures]
