"""Roles of the sandbox: who may assume them, and that their sessions live in their own account."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from keyrota.aws.account import Account, Role
from keyrota.aws.directory import Directory
from keyrota.errors import ProviderRefused
from keyrota_sandbox.cloud import Cloud

OTHER = "222222222222"


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """A sandbox whose environment is set."""
    made = Cloud()
    with made, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in made.environment().items():
            patch.setenv(name, value)
        yield made


def _enter(cloud: Cloud, name: str = "keyrota", external_id: str | None = None) -> str:
    role = Role(arn=f"arn:aws:iam::{OTHER}:role/{name}", external_id=external_id)
    return Account(role=role, expected=OTHER).enter(cloud.clock)


def test_a_role_that_trusts_our_account_is_assumed(cloud: Cloud) -> None:
    cloud.add_account(OTHER)
    assert _enter(cloud) == OTHER


def test_a_role_that_is_not_there_is_refused(cloud: Cloud) -> None:
    """Moto would hand out a session of a role that nobody made."""
    cloud.add_account(OTHER)
    with pytest.raises(ProviderRefused):
        _enter(cloud, "another")


def test_a_role_that_trusts_another_account_is_refused(cloud: Cloud) -> None:
    admin = cloud.add_account(OTHER)
    admin.add_role("strict", trusts="arn:aws:iam::333333333333:root")
    with pytest.raises(ProviderRefused):
        _enter(cloud, "strict")


@pytest.mark.parametrize("external_id", [None, "customer-2"])
def test_the_external_id_has_to_be_right(cloud: Cloud, external_id: str | None) -> None:
    cloud.add_account(OTHER, external_id="customer-1")
    with pytest.raises(ProviderRefused):
        _enter(cloud, external_id=external_id)
    assert _enter(cloud, external_id="customer-1") == OTHER


def test_equal_user_names_are_users_of_two_accounts(cloud: Cloud) -> None:
    """Each account has its own users; AWS tells the account of any key, and IAM the user of its own."""
    admins = (cloud.admin, cloud.add_account(OTHER))
    keys = []
    for admin in admins:
        admin.add_user("ci-deploy")
        keys.append(admin.add_key("ci-deploy").id)
    own = Directory(Account())
    assert [own.account_of(key) for key in keys] == [cloud.aws.account_id, OTHER]
    assert [own.owner(key) for key in keys] == ["ci-deploy", None]
