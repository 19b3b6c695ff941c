"""Where moto's S3 is laxer or stricter than AWS's: whose a bucket is, and what a policy says of plain HTTP."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from keyrota_sandbox.server import Request

OWNER_HEADER = "x-amz-expected-bucket-owner"


def is_of_another(request: Request, backends: Mapping[str, Any]) -> bool:
    """Say whether the caller expects another owner than the bucket has (S3 user guide, bucket owner condition)."""
    expected = request.headers.get(OWNER_HEADER)
    bucket = request.path.lstrip("/").partition("/")[0]
    return expected is not None and _owner_of(bucket, backends) not in {None, expected}


def _owner_of(bucket: str, backends: Mapping[str, Any]) -> str | None:
    for account, regions in tuple(backends.items()):
        if any(bucket in backend.buckets for backend in tuple(regions.values())):
            return account
    return None


def answer_as_over_tls(bucket: Any) -> None:
    """
    Let moto judge bucket policies as if every call came by TLS, as it does to AWS.

    moto looks at no condition, so a policy that refuses plain HTTP alone would refuse everything.
    """
    judge = bucket.get_permission
    if hasattr(judge, "of_moto"):
        return

    def get_permission(self: Any, action: str, resource: str) -> Any:
        kept, self.policy = self.policy, _without_plain_http(self.policy)
        try:
            return judge(self, action, resource)
        finally:
            self.policy = kept

    get_permission.of_moto = judge  # type: ignore[attr-defined]  # a mark: once is enough
    bucket.get_permission = get_permission


def _without_plain_http(policy: bytes | None) -> bytes | None:
    if policy is None:
        return None
    document = json.loads(policy)
    statements = document["Statement"] if isinstance(document["Statement"], list) else [document["Statement"]]
    kept = [one for one in statements if one.get("Condition") != {"Bool": {"aws:SecureTransport": "false"}}]
    return json.dumps({**document, "Statement": kept}).encode() if kept else None
