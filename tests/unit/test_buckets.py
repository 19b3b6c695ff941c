"""Buckets: each call names the owner it expects, and one that is made shuts everybody else out."""

from __future__ import annotations

from io import BytesIO
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from keyrota.aws import objects
from keyrota.aws.account import Account
from keyrota.errors import ProviderRefused

OURS, THEIRS, BUCKET = "123456789012", "222222222222", "keyrota-code"


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "HeadBucket")


class _S3:
    """Writes down what was asked, and answers as it is told."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.calls: dict[str, dict[str, Any]] = {}

    def __getattr__(self, name: str) -> Any:
        def call(**asked: Any) -> Any:
            self.calls[name] = asked
            answer = self.answers.get(name, {})
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


class _Account:
    def __init__(self, s3: _S3, region: str = "eu-central-1", partition: str = "aws") -> None:
        self.s3, self.region, self._partition = s3, region, partition

    def client(self, service: str) -> _S3:
        assert service == "s3"
        return self.s3

    def ask_id(self) -> str:
        return OURS

    def partition(self) -> str:
        return self._partition


def account(s3: _S3, **known: str) -> Account:
    return cast("Account", _Account(s3, **known))


def test_every_call_names_the_owner_that_it_expects() -> None:
    """Whoever guesses a bucket's name must not get what is written into it, nor say what is read from it."""
    s3 = _S3(get_object={"Body": BytesIO(b"x")}, get_bucket_policy=refusal("NoSuchBucketPolicy"))
    ours = account(s3)
    objects.read_object(ours, BUCKET, "a", at_most=1)
    objects.write_object(ours, BUCKET, "a", b"x")
    objects.has_bucket(ours, BUCKET)
    objects.keeps_versions(ours, BUCKET)
    objects.secure_bucket(ours, BUCKET)
    assert len(s3.calls) == 9
    for name, asked in s3.calls.items():
        assert (asked["Bucket"], asked["ExpectedBucketOwner"]) == (BUCKET, OURS), name


@pytest.mark.parametrize(("variable", "owner"), [(THEIRS, THEIRS), ("", OURS)])
def test_only_a_configuration_may_be_of_another_account(
    monkeypatch: pytest.MonkeyPatch, variable: str, owner: str
) -> None:
    monkeypatch.setenv(objects.OWNER_VARIABLE, variable)
    s3 = _S3(get_object={"Body": BytesIO(b"x")})
    objects.read_object(account(s3), BUCKET, "a", at_most=1)
    objects.write_object(account(s3), BUCKET, "a", b"x")
    assert s3.calls["get_object"]["ExpectedBucketOwner"] == owner
    assert s3.calls["put_object"]["ExpectedBucketOwner"] == OURS


def test_an_object_that_is_too_large_is_not_read_to_its_end() -> None:
    body = BytesIO(b"x" * 100)
    with pytest.raises(ProviderRefused):
        objects.read_object(account(_S3(get_object={"Body": body})), BUCKET, "a", at_most=10)
    assert body.tell() == 11
    assert objects.read_object(account(_S3(get_object={"Body": BytesIO(b"12")})), BUCKET, "a", at_most=2) == b"12"


@pytest.mark.parametrize(
    ("answer", "version"), [({}, ""), ({"VersionId": None}, ""), ({"VersionId": "null"}, ""), ({"VersionId": "v"}, "v")]
)
def test_a_version_can_be_pinned_where_there_is_one(answer: dict[str, Any], version: str) -> None:
    assert objects.write_object(account(_S3(put_object=answer)), BUCKET, "a", b"x") == version


@pytest.mark.parametrize(("status", "keeps"), [("Enabled", True), ("Suspended", False), (None, False)])
def test_whether_a_bucket_keeps_versions(status: str | None, keeps: bool) -> None:
    assert objects.keeps_versions(account(_S3(get_bucket_versioning={"Status": status})), BUCKET) is keeps


@pytest.mark.parametrize(("code", "is_there"), [("404", False), ("NoSuchBucket", False), (None, True)])
def test_whether_a_bucket_is_there(code: str | None, is_there: bool) -> None:
    assert objects.has_bucket(account(_S3(head_bucket=refusal(code) if code else {})), BUCKET) is is_there


@pytest.mark.parametrize(
    ("code", "words"), [("403", "another account"), ("AccessDenied", "another account"), ("400", "s3:ListBucket")]
)
def test_a_bucket_of_somebody_else_is_not_taken_for_one_that_is_missing(code: str, words: str) -> None:
    with pytest.raises(ProviderRefused, match=words):
        objects.has_bucket(account(_S3(head_bucket=refusal(code))), BUCKET)


@pytest.mark.parametrize(
    ("region", "place"),
    [("us-east-1", None), ("eu-central-1", "eu-central-1"), ("cn-north-1", "cn-north-1")],
)
def test_a_bucket_is_made_in_the_accounts_region_and_takes_no_acls(region: str, place: str | None) -> None:
    s3 = _S3()
    objects.make_bucket(account(s3, region=region), BUCKET)
    asked = s3.calls["create_bucket"]
    assert asked.pop("CreateBucketConfiguration", {}).get("LocationConstraint") == place
    assert asked == {"Bucket": BUCKET, "ObjectOwnership": "BucketOwnerEnforced"}


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_a_bucket_is_shut_to_the_public_and_to_what_comes_in_clear(partition: str) -> None:
    s3 = _S3(get_bucket_policy=refusal("NoSuchBucketPolicy"))
    objects.secure_bucket(account(s3, partition=partition), BUCKET)
    assert s3.calls["put_public_access_block"]["PublicAccessBlockConfiguration"] == {
        "BlockPublicAcls": True,
        "IgnorePublicAcls": True,
        "BlockPublicPolicy": True,
        "RestrictPublicBuckets": True,
    }
    assert s3.calls["put_bucket_ownership_controls"]["OwnershipControls"] == {
        "Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]
    }
    assert s3.calls["put_bucket_versioning"]["VersioningConfiguration"] == {"Status": "Enabled"}
    (statement,) = objects.tls_only(BUCKET, partition)["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
    assert statement["Resource"] == [f"arn:{partition}:s3:::{BUCKET}", f"arn:{partition}:s3:::{BUCKET}/*"]
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert f'"arn:{partition}:s3:::{BUCKET}"' in s3.calls["put_bucket_policy"]["Policy"]


def test_a_policy_that_is_there_stays_and_one_that_cannot_be_read_is_not_replaced() -> None:
    kept = _S3(get_bucket_policy={"Policy": "{}"})
    objects.secure_bucket(account(kept), BUCKET)
    hidden = _S3(get_bucket_policy=refusal("AccessDenied"))
    with pytest.raises(ProviderRefused):
        objects.secure_bucket(account(hidden), BUCKET)
    assert "put_bucket_policy" not in kept.calls.keys() | hidden.calls.keys()
