"""What lists share: following one page to the next within bounds, and reading the times that entries carry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from keyrota.core.instants import parsed
from keyrota.errors import ProviderUnavailable
from keyrota.wire.answer import Answer
from keyrota.wire.http import Http


def each_page(
    http: Http, first: Answer, link_of: Callable[[Answer], str | None], *, most: int, name: str, where: str
) -> Iterator[Answer]:
    """
    Go through the pages of a list.

    Args:
        http: Follows the links.
        first: The first page.
        link_of: Finds the link to the next page; None on the last one.
        most: So many pages are the longest list that is believed.
        name: Of the provider.
        where: What the list is about, for errors.

    Raises:
        ProviderUnavailable: The list leads back to a page that was read already, or has no end.
    """
    answer, seen = first, set[str]()
    for _ in range(most):
        yield answer
        link = link_of(answer)
        if link is None:
            return
        if link in seen:
            raise ProviderUnavailable(f"{name}'s list leads back to a page that was read already", where=where)
        seen.add(link)
        answer = http.follow(link, where=where)
    raise ProviderUnavailable(f"{name}'s list has more than {most} pages", where=where)


def instant(text: Any) -> datetime | None:
    """Read a time with its zone (ISO 8601), in UTC; None for anything else, also for one that is centuries away."""
    try:
        return parsed(str(text))
    except ValueError:
        return None
