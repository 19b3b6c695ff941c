"""Pipelines: each run reads its variables as its provider hands them out, and really calls STS with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from keyrota.core.model import AccessKeyId, KeyPair
from keyrota.core.secret import Secret

_BODY = b"Action=GetCallerIdentity&Version=2011-06-15"
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class AwsCaller:
    """Calls STS as any AWS tool would, with any pair: one request, one answer, no repeating."""

    def __init__(self, aws_url: str, region: str) -> None:
        self._url, self._region = aws_url + "/", region
        self._pool = urllib3.PoolManager()

    def is_accepted(self, pair: KeyPair, region: str | None = None) -> bool:
        """Call GetCallerIdentity; tell whether AWS accepts the pair."""
        request = AWSRequest(method="POST", url=self._url, data=_BODY, headers=dict(_FORM))
        credentials = Credentials(pair.id, pair.secret.reveal())
        SigV4Auth(credentials, "sts", region or self._region).add_auth(request)
        answer = self._pool.request("POST", self._url, body=_BODY, headers=dict(request.headers.items()), retries=False)
        return answer.status == 200  # noqa: PLR2004  # HTTP: OK

    def close(self) -> None:
        """End the connections."""
        self._pool.clear()


@dataclass(slots=True, kw_only=True)
class Pipeline:
    """The pipeline of one repository and environment."""

    name: str
    read: Callable[[], Mapping[str, str]]
    """What the provider hands to a job that starts now."""
    aws: AwsCaller
    runs: int = 0
    failures: list[str] = field(default_factory=list)

    def variables(self) -> KeyPair:
        """Start a step: read the pair, as it is at this moment."""
        values = self.read()
        return KeyPair(
            id=AccessKeyId(values.get("AWS_ACCESS_KEY_ID", "")),
            secret=Secret(values.get("AWS_SECRET_ACCESS_KEY", "")),
        )

    def use(self, pair: KeyPair, when: str) -> bool:
        """Deploy with a pair; a refusal fails the run."""
        is_accepted = self.aws.is_accepted(pair)
        if not is_accepted:
            self.failures.append(f"{when}: {self.name} failed with {pair.id}")
        return is_accepted
