"""What lists share: following one page to the next within bounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from keyrota.errors import ProviderUnavailable
from keyrota.http.response import Response


def paginate(
    first: Response,
    next_of: Callable[[Response], str | None],
    follow: Callable[[str], Response],
    *,
    most: int,
    name: str,
    where: str,
) -> Iterator[Response]:
    """
    Go through the pages of a list.

    Args:
        first: The first page.
        next_of: Finds what leads to the next page, a link, a token or a number; None on the last one.
        follow: Gets the page that it leads to.
        most: So many pages are the longest list that is believed.
        name: Of the provider.
        where: What the list is about, for errors.

    Raises:
        ProviderUnavailable: The list leads back to a page that was read already, or has no end.
    """
    answer, seen = first, set[str]()
    for _ in range(most):
        yield answer
        following = next_of(answer)
        if following is None:
            return
        if following in seen:
            raise ProviderUnavailable(f"{name}'s list leads back to a page that was read already", where=where)
        seen.add(following)
        answer = follow(following)
    raise ProviderUnavailable(f"{name}'s list has more than {most} pages", where=where)
