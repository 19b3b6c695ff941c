"""Following the pages of a list: it has an end, whatever the service says."""

from __future__ import annotations

import pytest

from keyrota.errors import ProviderUnavailable
from keyrota.http import Response, paginate


def test_a_list_that_has_no_end_is_left_after_its_bound() -> None:
    """Each page leads to one that was not seen yet."""
    asked: list[str] = []

    def follow(number: str) -> Response:
        asked.append(number)
        return Response(status=200, content=[], is_json=True, headers={})

    pages = paginate(follow("0"), lambda _: str(len(asked)), follow, most=5, name="It", where="the list of it")
    with pytest.raises(ProviderUnavailable, match="more than 5 pages"):
        tuple(pages)
    assert asked == ["0", "1", "2", "3", "4", "5"]
