"""A fleet's map: every credential is in one item, and an item is of one account and role."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from keyrota.app.config import load_text
from keyrota.app.functions.shard import shards


def entries(*groups: tuple[str | None, str | None, int]) -> Iterator[Any]:
    """Name users of accounts with roles, taking turns as they may in a configuration."""
    most = max(count for *_, count in groups)
    for number in range(most):
        for place, (account, role, count) in enumerate(groups):
            if number < count:
                yield SimpleNamespace(known_account=account, role=role, user=f"{place}-{number}")


@pytest.mark.parametrize(("size", "cut"), [(1, [1] * 8), (2, [2, 2, 1, 2, 1]), (5, [5, 3]), (200, [5, 3])])
def test_every_credential_is_in_one_item(size: int, cut: list[int]) -> None:
    items = list(shards(entries((None, None, 5), ("111111111111", "deploy", 3)), size))
    assert [len(item["users"]) for item in items] == cut
    assert {item["account"] for item in items} == {"", "111111111111"}
    users = [user for item in items for user in item["users"]]
    assert users == [*(f"0-{number}" for number in range(5)), *(f"1-{number}" for number in range(3))]


def test_roles_in_two_accounts_are_of_two_accounts() -> None:
    """A role's ARN tells the account as well: one item's account was empty, which means the caller's own."""
    text = """
version: 1
credentials:
  - {user: ci, role: "arn:aws:iam::111111111111:role/one"}
  - {user: ci, role: "arn:aws:iam::222222222222:role/two"}
"""
    items = list(shards(load_text("keyrota.yaml", text).credentials, 200))
    assert [item["account"] for item in items] == ["111111111111", "222222222222"]


def test_an_item_is_of_one_role() -> None:
    """Of two roles in one account, each has items of its own: an item's users are entered alike."""
    items = list(shards(entries(("111111111111", "one", 2), ("111111111111", "two", 2)), 200))
    assert [item["users"] for item in items] == [["0-0", "0-1"], ["1-0", "1-1"]]
