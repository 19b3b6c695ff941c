"""Signature Version 4, checked as AWS checks it; computed by botocore's own code."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from keyrota_sandbox.server import Request

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<date>\d{8})/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request,"
    r" ?SignedHeaders=(?P<headers>[^,]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """What an Authorization header says."""

    key: str
    region: str
    service: str
    headers: tuple[str, ...]
    signature: str
    at: datetime | None
    """X-Amz-Date."""


def read(request: Request) -> Signed | None:
    """Read the Authorization header; None if there is none that is understood."""
    match = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
    if match is None:
        return None
    return Signed(
        key=match["key"],
        region=match["region"],
        service=match["service"],
        headers=tuple(match["headers"].split(";")),
        signature=match["signature"],
        at=_instant(request.headers.get("x-amz-date", "")),
    )


def _instant(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def is_right(request: Request, signed: Signed, secret: str) -> bool:
    """Return whether the signature was made with this secret."""
    again = AWSRequest(
        method=request.method,
        url=request.base + request.target,
        headers={name: request.headers.get(name, "") for name in signed.headers},
        data=request.body,
    )
    again.context["timestamp"] = request.headers.get("x-amz-date", "")
    auth = SigV4Auth(Credentials(signed.key, secret), signed.service, signed.region)
    text = auth.string_to_sign(again, auth.canonical_request(again))
    return auth.signature(text, again) == signed.signature
