"""The secrets that keyrota has kept keys in, as ListSecrets shows them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from builders import NEW, NOW
from keyrota.aws.account import Account
from keyrota.aws.kept import KeptSecret, list_kept_secrets, release
from keyrota.errors import ProviderRefused

ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:keyrota/ci-a1b2c3"


class _Client:
    def __init__(self, *pages: Any) -> None:
        self.pages = pages
        self.asked: list[dict[str, Any]] = []

    def get_paginator(self, operation: str) -> Any:
        assert operation == "list_secrets"

        def paginate(**asked: Any) -> Any:
            self.asked.append(asked)
            for page in self.pages:
                if isinstance(page, Exception):
                    raise page
                yield page

        return SimpleNamespace(paginate=paginate)

    def tag_resource(self, **asked: Any) -> None:
        self.asked.append(asked)


def account(client: _Client) -> Account:
    def made(service: str) -> _Client:
        assert service == "secretsmanager"
        return client

    return cast("Account", SimpleNamespace(client=made, region="eu-central-1"))


def listed(name: str, stages: Any = None, **tags: str) -> dict[str, Any]:
    shown = [{"Key": f"keyrota:{tag}", "Value": value} for tag, value in tags.items()]
    return {"Name": name, "ARN": ARN, "Tags": shown, "SecretVersionsToStages": stages}


def test_every_page_is_read_and_what_is_only_named_alike_is_left_out() -> None:
    stages = {"v1": ["AWSCURRENT", NEW], "v0": ["AWSPREVIOUS", "old"]}
    pages: tuple[dict[str, Any], ...] = (
        {
            "SecretList": [
                listed("one", stages, user="ci/web", stack="ours"),
                listed("alike", userdata="x"),
                listed("two", user="b"),
            ]
        },
        {},
        {"SecretList": [{"Name": "bare", "ARN": ARN}, listed("three", user="c", released="2026")]},
    )
    client = _Client(*pages)
    found = {secret.name: secret for secret in list_kept_secrets(account(client))}
    assert client.asked == [{"Filters": [{"Key": "tag-key", "Values": ["keyrota:user"]}]}]
    assert found.keys() == {"one", "two", "three"}
    assert found["one"] == KeptSecret(
        name="one",
        arn=ARN,
        user=found["one"].user,
        stack="ours",
        is_released=False,
        tags={"keyrota:user": "ci/web", "keyrota:stack": "ours"},
        current_labels=frozenset({"AWSCURRENT", NEW}),
    )
    assert found["one"].user == "ci,web"
    assert (found["two"].stack, found["two"].current_labels) == ("", frozenset())
    assert [found[name].is_released for name in ("two", "three")] == [False, True]


def test_a_list_that_is_refused_is_an_error_and_no_empty_list() -> None:
    """Or a credential that left the configuration would be reported by nobody."""
    refused = ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "ListSecrets")
    with pytest.raises(ProviderRefused, match="secretsmanager:ListSecrets"):
        list_kept_secrets(account(_Client({"SecretList": [listed("one", user="a")]}, refused)))


def test_a_release_is_noted_with_its_time() -> None:
    client = _Client()
    release(account(client), ARN, NOW)
    assert client.asked == [{"SecretId": ARN, "Tags": [{"Key": "keyrota:released", "Value": "2026-06-01T06:00:00Z"}]}]
