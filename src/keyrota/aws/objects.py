"""Objects in S3: configurations that are too large for a parameter, manifests and results of fleets."""

from __future__ import annotations

from keyrota.aws._translate import aws_call
from keyrota.aws.account import Account
from keyrota.errors import ProviderRefused


def read_object(account: Account, bucket: str, key: str, *, at_most: int) -> bytes:
    """
    Read an object.

    Args:
        account: Whose credentials and region are used.
        bucket: The bucket's name.
        key: The object's key.
        at_most: In bytes; a larger object is refused.

    Raises:
        ProviderRefused: It is not there, may not be read, or is too large.
    """
    where = f"s3://{bucket}/{key}"
    with aws_call("s3:GetObject", where):
        answer = account.client("s3").get_object(Bucket=bucket, Key=key)
        data: bytes = answer["Body"].read(at_most + 1)
    if len(data) > at_most:
        raise ProviderRefused(f"the object is larger than {at_most // 2**20} MiB", where=where)
    return data


def write_object(account: Account, bucket: str, key: str, data: bytes) -> None:
    """Write an object; one of that name is replaced."""
    with aws_call("s3:PutObject", f"s3://{bucket}/{key}"):
        account.client("s3").put_object(Bucket=bucket, Key=key, Body=data)
