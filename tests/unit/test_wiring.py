"""Which credentials share an account's clients: those that are entered alike, and are of one region."""

from __future__ import annotations

import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from keyrota.app.config import Configuration, CredentialConfig, load_text
from keyrota.app.wiring import Wiring
from keyrota.aws.account import Account
from keyrota.core.model import NOBODY
from keyrota.errors import ProviderRefused

TEXT = """
version: 1
credentials:
  - {user: ci, account: "111111111111", role: deploy, region: eu-central-1}
"""


@pytest.fixture(autouse=True)
def nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entering is another test's matter."""
    monkeypatch.setattr(Account, "enter", lambda self, clock: "111111111111")  # noqa: ARG005


def accounts(**other: Any) -> tuple[Any, Any]:
    """The accounts of the configured credential and of one that differs from it."""
    configuration: Configuration = load_text("keyrota.yaml", TEXT)
    (one,) = configuration.credentials
    two: CredentialConfig = replace(one, user="two", **other)
    wiring = Wiring(configuration, SimpleNamespace())
    return wiring.account(one), wiring.account(two)


def test_an_account_is_entered_once() -> None:
    one, two = accounts()
    assert one is two


@pytest.mark.parametrize(
    "other",
    [{"region": "us-east-1"}, {"role": "other"}, {"external_id": "customer-2"}, {"account": "222222222222"}],
    ids=lambda other: next(iter(other)),
)
def test_another_way_in_is_another_account(other: dict[str, str]) -> None:
    """Of another region are other secrets: the first one's clients would write to a wrong place."""
    one, two = accounts(**other)
    assert isinstance(one, Account)
    assert isinstance(two, Account)
    assert one is not two
    assert (one.region, two.region) == ("eu-central-1", other.get("region", "eu-central-1"))


def test_accounts_are_entered_side_by_side_and_one_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three meet while they are entered; the one that cannot be is nobody else's matter."""
    together = threading.Barrier(3, timeout=20)

    def enter(account: Account, clock: object) -> str:  # noqa: ARG001  # as it is called
        together.wait()
        if account._expected == "333333333333":
            raise ProviderRefused("no such role")
        account._id = account._expected
        return str(account._expected)

    monkeypatch.setattr(Account, "enter", enter)
    monkeypatch.setattr(Wiring, "caller", NOBODY)
    line = '  - {{user: ci, account: "{0}", role: deploy, region: eu-central-1}}\n'
    entries = "".join(line.format(str(number) * 12) for number in (1, 2, 3))
    wiring = Wiring(load_text("keyrota.yaml", f"version: 1\ncredentials:\n{entries}"), SimpleNamespace())
    ready, unreachable = wiring.subjects()
    assert [one.account for one in ready] == ["111111111111", "222222222222"]
    assert [(one.account, one.error.what) for one in unreachable] == [("333333333333", "no such role")]


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        ("eu-central-1", "aws"),
        ("cn-north-1", "aws-cn"),
        ("us-gov-west-1", "aws-us-gov"),
        ("eusc-de-east-1", "aws-eusc"),
    ],
)
@pytest.mark.parametrize("is_of_environment", [False, True])
def test_a_role_is_one_of_its_partition(
    monkeypatch: pytest.MonkeyPatch, region: str, partition: str, *, is_of_environment: bool
) -> None:
    """A role that is given by name alone lies in the region's partition, also where only the environment names it."""
    text = TEXT.replace(", region: eu-central-1", "" if is_of_environment else f", region: {region}")
    monkeypatch.setenv("AWS_REGION", region if is_of_environment else "eu-west-1")
    (entry,) = load_text("keyrota.yaml", text).credentials
    made = Wiring(load_text("keyrota.yaml", text), SimpleNamespace()).account(entry)
    assert isinstance(made, Account)
    assert made._role is not None
    assert made._role.arn == f"arn:{partition}:iam::111111111111:role/deploy"
