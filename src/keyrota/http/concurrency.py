"""Two writes at the same moment, so that the window in which a job reads half a pair is as short as it can be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context

from keyrota.errors import Half, KeyrotaError, ProviderUnavailable, TornPair

_doubts: ContextVar[list[None] | None] = ContextVar("keyrota_doubts", default=None)


def note_doubt() -> None:
    """Note that a write was sent and not answered for certain, whatever comes of its repetition."""
    known = _doubts.get()
    if known is not None:
        known.append(None)


def run_concurrently(*writes: Callable[[], None]) -> None:
    """
    Do several writes at once, and wait for all of them.

    Args:
        writes: One variable that holds the whole pair; or the secret's and then the ID's.

    Raises:
        TornPair: One half was written, or may have been, and the other was not.
        KeyrotaError: Nothing was written: the first refusal, in their order.
    """
    if len(writes) == 1:
        writes[0]()
        return
    halves = dict(zip((Half.SECRET, Half.ID), writes, strict=True))
    with ThreadPoolExecutor(max_workers=len(halves), thread_name_prefix="pair") as pool:
        # With a copy of the context: the time that this credential may still wait is kept in it.
        futures = {half: pool.submit(copy_context().run, _try, write) for half, write in halves.items()}
    _demand_whole({half: future.result() for half, future in futures.items()})


def _try(write: Callable[[], None]) -> tuple[KeyrotaError | None, bool]:
    """Write one half; returns the refusal, and whether it may have been written all the same."""
    doubts: list[None] = []
    _doubts.set(doubts)
    try:
        write()
    except KeyrotaError as error:
        is_open = isinstance(error, ProviderUnavailable) and not error.is_undone
        return error, is_open or bool(doubts)
    return None, False


def _demand_whole(results: Mapping[Half, tuple[KeyrotaError | None, bool]]) -> None:
    failures = {half: error for half, (error, _) in results.items() if error is not None}
    if not failures:
        return
    unsure = frozenset(half for half, (_, is_unsure) in results.items() if is_unsure)
    written = frozenset(results.keys() - failures.keys())
    first = next(iter(failures.values()))
    if not written and not unsure:
        raise first
    raise TornPair(first, written=written, unsure=unsure)
