"""Two writes at the same moment, so that the window in which a job reads half a pair is as short as it can be."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def together(*writes: Callable[[], None]) -> None:
    """
    Do several writes at once, and wait for all of them.

    Raises:
        KeyrotaError: The first that failed, in their order; the others were done, or failed as well.
    """
    if len(writes) == 1:
        writes[0]()
        return
    with ThreadPoolExecutor(max_workers=len(writes), thread_name_prefix="pair") as pool:
        futures = [pool.submit(write) for write in writes]
    for future in futures:
        future.result()
