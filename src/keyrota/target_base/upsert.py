"""
The routine of a write: update what is there, create what is not, settle a race or a lost answer, confirm the answer.

A creation is sent once (`http.send_once`). One that is refused or not answered may have succeeded, or someone else
may have created the variable in between: what is there now decides. `confirm` lets nothing through but an answer that
shows the variable, and raises for a refusal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from keyrota.http import Response, send_once

T = TypeVar("T")
CONFLICT = 409


def _is_any(answer: Response) -> bool:
    return not answer.is_success


def is_conflict(answer: Response) -> bool:
    """Return whether a creation was refused because the variable exists (409)."""
    return answer.status == CONFLICT


def upsert(
    found: T | None,
    *,
    create: Callable[[], Response],
    look: Callable[[], T | None],
    update: Callable[[T], Response],
    confirm: Callable[[Response], None],
    lost: Callable[[], Exception],
    is_taken: Callable[[Response], bool] = _is_any,
) -> None:
    """
    Write a variable whose ID an update needs.

    Args:
        found: The variable as it was listed; None if it was not there.
        create: Creates it.
        look: Lists it again.
        update: Updates it.
        confirm: Raises unless an answer shows the variable.
        lost: Makes the error for a creation that was not answered and did not happen (`ProviderErrors.write_lost`).
        is_taken: Returns whether a refused creation may mean that the variable exists by now; by default any refusal.
    """
    if found is None:
        # Sent once: a creation that is repeated after a lost response would be refused, or make a second variable of
        # the same name.
        answer = send_once(create)
        if answer is not None and not is_taken(answer):
            confirm(answer)
            return
        # Whether it was a race or a lost response: only what is there now tells.
        found = look()
        if found is None and answer is not None:
            confirm(answer)  # raises: nothing is there, so the refusal was no race
            return
        if found is None:
            raise lost()
    confirm(update(found))


def put_or_create(
    *,
    put: Callable[[], Response],
    create: Callable[[], Response],
    confirm: Callable[[Response], None],
    is_taken: Callable[[Response], bool] = is_conflict,
    is_missing: Callable[[Response], bool],
    lost: Callable[[], Exception],
    is_there: bool = True,
) -> None:
    """
    Write a variable that is updated by its name.

    Args:
        put: Updates it.
        create: Creates it.
        confirm: Raises unless an answer shows the variable.
        is_taken: Returns whether a refused creation means that the variable exists by now.
        is_missing: Returns whether an update found nothing.
        lost: Makes the error for a creation that was not answered and did not happen (`ProviderErrors.write_lost`).
        is_there: Whether it was there when it was read last; otherwise it is created without a try to update it.
    """
    answer = put() if is_there else None
    if answer is None or is_missing(answer):
        created = send_once(create)
        if created is not None and not is_taken(created):
            answer = created
        else:
            answer = put()
            if created is None and is_missing(answer):
                raise lost()
    confirm(answer)
