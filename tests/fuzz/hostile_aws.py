"""AWS's answers by a script, one layer below botocore's parsers: every byte of a body goes through them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from xml.sax.saxutils import escape

import botocore.awsrequest
import botocore.httpsession
import pytest

from keyrota.aws.account import Account

MOST_CALLS = 300
REGION = "eu-central-1"


class Endless(BaseException):
    """More calls than any list is long. No `except Exception` may catch it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer of AWS's."""

    body: bytes
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    is_echo: bool = False
    """The request's own body comes back, as a proxy's error page may bring it."""


@dataclass(slots=True, kw_only=True)
class Aws:
    """Stands where botocore's HTTP session stood; gives the same answers over and over."""

    replies: tuple[Reply, ...]
    calls: int = 0
    sent: list[bytes] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, request: Any) -> botocore.awsrequest.AWSResponse:
        """Answer one request."""
        with self._lock:
            reply = self.replies[self.calls % len(self.replies)]
            self.calls += 1
            if self.calls > MOST_CALLS:
                raise Endless
            self.sent.append(_bytes(request.body))
        quoted = b"<html>stopped: " + _bytes(request.body) + b"</html>"
        body = quoted if reply.is_echo else reply.body
        headers = botocore.awsrequest.HeadersDict(dict(reply.headers))
        answer: Any = botocore.awsrequest.AWSResponse(request.url, reply.status, headers, None)  # type: ignore[arg-type]
        answer._content = body
        return answer  # type: ignore[no-any-return]


def _bytes(body: Any) -> bytes:
    return body if isinstance(body, bytes) else (body or "").encode()


@cache
def _account() -> Account:
    """One for all examples: to make a client takes longer than all that is asked of it."""
    account = Account(region=REGION)
    account._id = "123456789012"
    return account


@contextmanager
def aws_that_says(*replies: Reply) -> Iterator[tuple[Account, Aws]]:
    """Make an account whose every call is answered by the script; no attempt waits."""
    line = Aws(replies=replies)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "KEYROTA_SANDBOX"):
            patch.delenv(name, raising=False)
        patch.setenv("AWS_ACCESS_KEY_ID", "AKIA0000000000000ADM")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
        patch.setenv("AWS_CONFIG_FILE", "/dev/null")
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        patch.setenv("AWS_REGION", REGION)
        patch.setattr(botocore.httpsession.URLLib3Session, "send", lambda _, request: line.send(request))
        patch.setattr("botocore.endpoint.time.sleep", lambda _: None)
        yield _account(), line


def as_json(content: Any, status: int = 200) -> Reply:
    """Answer as Secrets Manager and Parameter Store do."""
    return Reply(body=json.dumps(content).encode(), status=status)


def as_xml(operation: str, content: Any, status: int = 200) -> Reply:
    """Answer as IAM and STS do (the query protocol)."""
    inner = f"<{operation}Result>{_xml(content)}</{operation}Result><ResponseMetadata/>"
    text = f'<{operation}Response xmlns="https://iam.amazonaws.com/doc/2010-05-08/">{inner}</{operation}Response>'
    return Reply(body=text.encode("utf-8", "surrogatepass"), status=status)


def _xml(content: Any) -> str:
    if isinstance(content, dict):
        return "".join(f"<{name}>{_xml(value)}</{name}>" for name, value in content.items() if name.isidentifier())
    if isinstance(content, list):
        return "".join(f"<member>{_xml(value)}</member>" for value in content)
    if isinstance(content, bool):
        return str(content).lower()
    return "" if content is None else escape(str(content))
