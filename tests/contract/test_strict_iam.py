"""What moto answers otherwise than IAM, STS and Systems Manager, the sandbox answers as they do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from aws_rig import a_cloud
from botocore.exceptions import ClientError

from aws_session import a_session
from keyrota_sandbox.aws.strict import ADMIN_ID, ADMIN_SECRET
from keyrota_sandbox.cloud import REGION, Cloud


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """A sandbox of its own for each test."""
    with a_cloud() as made:
        yield made


def _client(
    cloud: Cloud, service: str, key: str = ADMIN_ID, secret: str = ADMIN_SECRET, token: str | None = None
) -> Any:
    return a_session().create_client(
        service,
        endpoint_url=cloud.aws_url,
        region_name=REGION,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=token,
    )


def test_the_administrator_is_an_iam_user(cloud: Cloud) -> None:
    arn = _client(cloud, "sts").get_caller_identity()["Arn"]
    assert arn == f"arn:aws:iam::{cloud.admin.account_id}:user/administrator"


def test_dates_of_iam_are_whole_seconds(cloud: Cloud) -> None:
    cloud.admin.add_user("dated")
    cloud.admin.add_key("dated")
    listed = _client(cloud, "iam").list_access_keys(UserName="dated")["AccessKeyMetadata"]
    assert [key["CreateDate"].microsecond for key in listed] == [0]


def test_lists_of_iam_come_in_pages(cloud: Cloud) -> None:
    """MaxItems keys a page, and a hundred users where no number is given."""
    cloud.admin.add_user("paged")
    made = {cloud.admin.add_key("paged").id, cloud.admin.add_key("paged").id}
    iam = _client(cloud, "iam")
    first = iam.list_access_keys(UserName="paged", MaxItems=1)
    second = iam.list_access_keys(UserName="paged", MaxItems=1, Marker=first["Marker"])
    assert (first["IsTruncated"], second["IsTruncated"]) == (True, False)
    assert {page["AccessKeyMetadata"][0]["AccessKeyId"] for page in (first, second)} == made
    for number in range(103):
        cloud.admin.add_user(f"one-{number:03}")
    assert len(iam.list_users()["Users"]) == 100
    assert len(iam.get_paginator("list_users").paginate().build_full_result()["Users"]) == 104


@pytest.mark.parametrize(
    ("service", "call", "arguments", "code"),
    [
        ("iam", "update_access_key", {"UserName": "u", "AccessKeyId": "A" * 20, "Status": "Bogus"}, "ValidationError"),
        ("iam", "list_access_keys", {"UserName": "u", "MaxItems": 1001}, "ValidationError"),
        ("iam", "delete_user", {"UserName": "u"}, "DeleteConflict"),
        ("ssm", "put_parameter", {"Name": "/p", "Value": "x" * 4097, "Type": "String"}, "ValidationException"),
        (
            "ssm",
            "put_parameter",
            {"Name": "/p", "Value": "x" * 8193, "Type": "String", "Tier": "Advanced"},
            "ValidationException",
        ),
    ],
)
def test_what_aws_refuses_is_refused(
    cloud: Cloud, service: str, call: str, arguments: dict[str, Any], code: str
) -> None:
    cloud.admin.add_user("u")
    cloud.admin.add_key("u")
    with pytest.raises(ClientError) as refused:
        getattr(_client(cloud, service), call)(**arguments)
    assert refused.value.response["Error"]["Code"] == code


def test_a_user_that_has_nothing_may_be_deleted(cloud: Cloud) -> None:
    cloud.admin.add_user("bare")
    _client(cloud, "iam").delete_user(UserName="bare")
    assert [user["UserName"] for user in _client(cloud, "iam").list_users()["Users"]] == []


def test_session_tokens_work_as_long_as_their_key_does(cloud: Cloud) -> None:
    cloud.admin.add_user("u")
    pair = cloud.admin.add_key("u", age=timedelta(hours=1))
    given = _client(cloud, "sts", pair.id, pair.secret.reveal()).get_session_token()["Credentials"]
    temporary = (given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
    assert _client(cloud, "sts", *temporary).get_caller_identity()["Arn"].endswith(":user/u")
    cloud.admin.record(pair.id).status = "Inactive"
    with pytest.raises(ClientError):
        _client(cloud, "sts", *temporary).get_caller_identity()


def test_a_user_has_fifty_tags_at_most(cloud: Cloud) -> None:
    """Moto takes any number and any length (IAM User Guide, quotas)."""
    cloud.admin.add_user("tagged")
    iam = _client(cloud, "iam")
    iam.tag_user(UserName="tagged", Tags=[{"Key": f"k{number}", "Value": ""} for number in range(50)])
    iam.tag_user(UserName="tagged", Tags=[{"Key": "k7", "Value": "another"}])
    with pytest.raises(ClientError, match="LimitExceeded"):
        iam.tag_user(UserName="tagged", Tags=[{"Key": "k50", "Value": ""}])
    with pytest.raises(ClientError, match="ValidationError"):
        iam.tag_user(UserName="tagged", Tags=[{"Key": "k7", "Value": "v" * 257}])
    assert len(iam.list_user_tags(UserName="tagged")["Tags"]) == 50
    iam.untag_user(UserName="tagged", TagKeys=["k7"])
    assert len(iam.list_user_tags(UserName="tagged", MaxItems=49)["Tags"]) == 49


def test_the_tags_of_a_deleted_user_are_gone(cloud: Cloud) -> None:
    iam = _client(cloud, "iam")
    iam.create_user(UserName="again")
    iam.tag_user(UserName="again", Tags=[{"Key": "k", "Value": "v"}])
    iam.delete_user(UserName="again")
    iam.create_user(UserName="again")
    assert iam.list_user_tags(UserName="again")["Tags"] == []
