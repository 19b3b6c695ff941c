"""boto3 against the sandbox's AWS: identity, lists in pages, keys, secrets, parameters, refusals."""

from __future__ import annotations

import json

import boto3
from botocore.exceptions import ClientError


def refused(call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return "accepted"


iam, sts, store, ssm = (boto3.client(name) for name in ("iam", "sts", "secretsmanager", "ssm"))
for number in range(3):
    iam.create_user(UserName=f"u{number}", Path="/ci/")
first = iam.create_access_key(UserName="u0")["AccessKey"]
second = iam.create_access_key(UserName="u0")["AccessKey"]
pages = [
    page["AccessKeyMetadata"]
    for page in iam.get_paginator("list_access_keys").paginate(UserName="u0", PaginationConfig={"PageSize": 1})
]
store.create_secret(Name="s", SecretString="one", Tags=[{"Key": "a", "Value": "b"}])
store.put_secret_value(SecretId="s", SecretString="two", VersionStages=["mine"])
versions = store.list_secret_version_ids(SecretId="s")["Versions"]
ssm.put_parameter(Name="/a/b", Value="v", Type="SecureString")
result = {
    "caller": sts.get_caller_identity()["Arn"],
    "users": sorted(user.name for user in boto3.resource("iam").users.all()),
    "pages": [len(page) for page in pages],
    "third key": refused(iam.create_access_key, UserName="u0"),
    "user with keys": refused(iam.delete_user, UserName="u0"),
    "no such user": refused(iam.list_access_keys, UserName="nobody"),
    "status": refused(iam.update_access_key, UserName="u0", AccessKeyId=first["AccessKeyId"], Status="Bogus"),
    "stages": sorted(stage for version in versions for stage in version["VersionStages"]),
    "current": store.get_secret_value(SecretId="s")["SecretString"],
    "mine": store.get_secret_value(SecretId="s", VersionStage="mine")["SecretString"],
    "no such secret": refused(store.get_secret_value, SecretId="none"),
    "parameter": ssm.get_parameter(Name="/a/b", WithDecryption=True)["Parameter"]["Value"],
    "too large": refused(ssm.put_parameter, Name="/a/c", Value="x" * 4097, Type="String"),
}
iam.update_access_key(UserName="u0", AccessKeyId=second["AccessKeyId"], Status="Inactive")
result["inactive"] = refused(
    boto3.client(
        "sts", aws_access_key_id=second["AccessKeyId"], aws_secret_access_key=second["SecretAccessKey"]
    ).get_caller_identity
)
for key in (first, second):
    iam.delete_access_key(UserName="u0", AccessKeyId=key["AccessKeyId"])
iam.delete_user(UserName="u0")
print(json.dumps(result))
