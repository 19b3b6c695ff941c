"""
Clients of AWS that answer from a table: requests and answers are held against botocore's own service models.

For services that neither emulator has in full. It proves that calls and readings fit the published shapes, not what the
service does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from botocore.exceptions import ClientError
from botocore.validate import validate_parameters

from aws_session import a_session
from keyrota_sandbox.cloud import REGION

Answer = Callable[[Mapping[str, Any]], Mapping[str, Any]]
ACCOUNT = "123456789012"
_SESSION = a_session()
"""One for all: it keeps the models that it has read."""


def refusal(code: str) -> Answer:
    """Make an answer that is an error."""

    def refuse(_: Mapping[str, Any]) -> Mapping[str, Any]:
        error: Any = {"Error": {"Code": code, "Message": code}, "ResponseMetadata": {"HTTPStatusCode": 400}}
        raise ClientError(error, "Call")

    return refuse


@dataclass(slots=True)
class ModelAccount:
    """Stands where `Account` does."""

    answers: dict[str, Answer]
    """By service and operation: `sqs:StartMessageMoveTask`."""
    calls: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    region: str = REGION
    _clients: dict[str, Any] = field(default_factory=dict)

    def caller(self) -> str:
        """Return the ARN of the caller."""
        return f"arn:aws:iam::{ACCOUNT}:user/ops"

    def client(self, service: str, *, region: str | None = None) -> Any:
        """Make a client whose requests never leave."""
        if service not in self._clients:
            self._clients[service] = self._made(service, region or self.region)
        return self._clients[service]

    def _made(self, service: str, region: str) -> Any:
        client = _SESSION.create_client(
            service, region_name=region, aws_access_key_id="made-up", aws_secret_access_key="made-up"
        )
        asked: dict[str, Any] = {}

        def remember(params: Mapping[str, Any], model: Any, **_: Any) -> None:
            asked[model.name] = dict(params)

        def answer(model: Any, **_: Any) -> tuple[Any, Mapping[str, Any]]:
            name = f"{service}:{model.name}"
            self.calls.append((name, asked[model.name]))
            found = self.answers[name](asked[model.name])
            if model.output_shape is not None:
                validate_parameters(found, model.output_shape)
            return _Sent(), {**found, "ResponseMetadata": {"HTTPStatusCode": 200}}

        client.meta.events.register(f"before-parameter-build.{service}.*", remember)
        client.meta.events.register(f"before-call.{service}.*", cast("Any", answer))
        return client


class _Sent:
    """What botocore asks of an HTTP answer."""

    status_code = 200
