"""
Objects in S3: configurations that are too large for a parameter, code packages, manifests and results of fleets.

The name of a bucket is no proof of its owner: names are shared by all accounts, and one that can be guessed may belong
to someone else. Every call names the expected owner, and S3 refuses it where another account owns the bucket
(S3 user guide, verifying bucket ownership with bucket owner condition).
"""

from __future__ import annotations

import json
import os
from typing import Any

from botocore.exceptions import ClientError

from keyrota.aws._translate import aws_call, code_of
from keyrota.aws.account import Account
from keyrota.errors import ProviderRefused

OWNER_VARIABLE = "KEYROTA_BUCKET_OWNER"
"""The account that owns a bucket with a configuration, where it is not the caller's own."""
_MISSING = {"404", "NoSuchBucket"}


def read_object(account: Account, bucket: str, key: str, *, at_most: int) -> bytes:
    """
    Read an object.

    Args:
        account: Whose credentials and region are used.
        bucket: The bucket's name.
        key: The object's key.
        at_most: In bytes; a larger object is refused.

    Raises:
        ProviderRefused: It is not there, may not be read, is too large, or the bucket is another account's.
    """
    where = f"s3://{bucket}/{key}"
    owner = os.environ.get(OWNER_VARIABLE) or account.ask_id()
    with aws_call("s3:GetObject", where):
        answer = account.client("s3").get_object(Bucket=bucket, Key=key, ExpectedBucketOwner=owner)
        data: bytes = answer["Body"].read(at_most + 1)
    if len(data) > at_most:
        raise ProviderRefused(f"the object is larger than {at_most // 2**20} MiB", where=where)
    return data


def write_object(account: Account, bucket: str, key: str, data: bytes) -> str:
    """
    Write an object into a bucket of this account; one of that name is replaced.

    Returns:
        Its version; empty where the bucket keeps none.
    """
    owner = account.ask_id()
    with aws_call("s3:PutObject", f"s3://{bucket}/{key}"):
        answer = account.client("s3").put_object(Bucket=bucket, Key=key, Body=data, ExpectedBucketOwner=owner)
        version = answer.get("VersionId")
        return "" if version in {None, "null"} else str(version)


def has_bucket(account: Account, bucket: str) -> bool:
    """
    Say whether this account owns a bucket of that name; nothing is changed.

    Raises:
        ProviderRefused: Another account owns it, or it may not be looked at.
    """
    with aws_call("s3:ListBucket", f"s3://{bucket}"):
        try:
            account.client("s3").head_bucket(Bucket=bucket, ExpectedBucketOwner=account.ask_id())
        except ClientError as error:
            if code_of(error) in _MISSING:
                return False
            if code_of(error) in {"403", "AccessDenied"}:
                raise ProviderRefused(
                    "the bucket belongs to another account, or may not be looked at (s3:ListBucket)",
                    where=f"s3://{bucket}",
                    remedy="nothing was uploaded; name a bucket of this account with --bucket",
                ) from None
            raise
    return True


def keeps_versions(account: Account, bucket: str) -> bool:
    """Say whether a bucket keeps versions, so that one of them can be pinned."""
    with aws_call("s3:GetBucketVersioning", f"s3://{bucket}"):
        answer = account.client("s3").get_bucket_versioning(Bucket=bucket, ExpectedBucketOwner=account.ask_id())
        return bool(answer.get("Status") == "Enabled")


def make_bucket(account: Account, bucket: str) -> None:
    """Make a bucket that nobody else owns."""
    region = account.region
    place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    with aws_call("s3:CreateBucket", f"s3://{bucket}"):
        account.client("s3").create_bucket(Bucket=bucket, ObjectOwnership="BucketOwnerEnforced", **place)


def secure_bucket(account: Account, bucket: str) -> None:
    """Keep versions, take no ACLs, shut the public out, and answer TLS only; a policy that is there stays."""
    s3: Any = account.client("s3")
    ours = {"Bucket": bucket, "ExpectedBucketOwner": account.ask_id()}
    where = f"s3://{bucket}"
    blocks = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    with aws_call("s3:PutBucketPublicAccessBlock", where):
        s3.put_public_access_block(**ours, PublicAccessBlockConfiguration=dict.fromkeys(blocks, True))
    with aws_call("s3:PutBucketOwnershipControls", where):
        rules = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
        s3.put_bucket_ownership_controls(**ours, OwnershipControls=rules)
    with aws_call("s3:PutBucketVersioning", where):
        s3.put_bucket_versioning(**ours, VersioningConfiguration={"Status": "Enabled"})
    if not _has_policy(s3, ours, where):
        with aws_call("s3:PutBucketPolicy", where):
            s3.put_bucket_policy(**ours, Policy=json.dumps(tls_only(bucket, account.partition())))


def _has_policy(s3: Any, ours: dict[str, str], where: str) -> bool:
    with aws_call("s3:GetBucketPolicy", where):
        try:
            return bool(s3.get_bucket_policy(**ours)["Policy"])
        except ClientError as error:
            if code_of(error) == "NoSuchBucketPolicy":
                return False
            raise


def tls_only(bucket: str, partition: str) -> dict[str, Any]:
    """Write the policy that refuses what does not come by TLS (S3 user guide, security best practices)."""
    arn = f"arn:{partition}:s3:::{bucket}"
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "TlsOnly",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": [arn, f"{arn}/*"],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        ],
    }
