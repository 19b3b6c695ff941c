"""A provider's own API description, and what was sent and answered, held against it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from openapi_core import OpenAPI
from openapi_core.templating.paths.exceptions import PathNotFound
from openapi_core.templating.responses.exceptions import ResponseNotFound
from openapi_core.testing import MockRequest, MockResponse

from keyrota_sandbox.providers.emulator import Emulator
from keyrota_sandbox.server import Request, Response, Server

FOLDER = Path(__file__).parents[3] / "shared" / "contracts"
Exchange = tuple[Request, Response]


def load(name: str) -> dict[str, Any]:
    """Load a description; in CI it must be there."""
    file = FOLDER / f"{name}.json"
    if not file.exists():
        reason = "the providers' API descriptions (shared/contracts) are not beside this checkout"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    document: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return document


def operations(name: str) -> set[str]:
    """List the operations of a provider that keyrota uses: docs/reference/operations.md shows the same files."""
    file = Path(__file__).parent / "operations" / f"{name}.txt"
    return set(file.read_text("utf-8").splitlines())


@contextmanager
def recording(prefix: str, standin: Emulator) -> Iterator[tuple[str, list[Exchange]]]:
    """Serve an emulator and write down every exchange."""
    found: list[Exchange] = []

    def recorded(request: Request) -> Response:
        response = standin(request)
        found.append((request, response))
        return response

    server = Server({"/": lambda _: Response(status=404), prefix: recorded})
    try:
        yield server.url, found
    finally:
        server.close()


class Description:
    """
    One provider's description, as if the service lived at a base URL.

    Args:
        undescribed: Statuses that occur and are not described everywhere (contracts/README.md).
        queries: Fields of the query that the service takes and the description does not name.
        beyond: Path templates that are not in the cut, and are used all the same.
        loose: Fields of the query whose schema is narrower than the text beside it.
    """

    def __init__(
        self,
        document: dict[str, Any],
        base_url: str,
        *,
        undescribed: Iterable[int],
        queries: Iterable[str] = (),
        beyond: Iterable[str] = (),
        loose: Iterable[str] = (),
    ) -> None:
        self._document = document | {"servers": [{"url": base_url}]}
        self._api = OpenAPI.from_dict(self._document)
        self._undescribed, self._queries, self._beyond = set(undescribed), set(queries), tuple(beyond)
        self._loose = set(loose)
        self.beyond: set[str] = set()

    def hold(self, request: Request, response: Response, *, answers: bool = True) -> str:
        """Raise where the exchange breaks the description; return the operation, `GET /path/{template}`."""
        at = urlsplit(request.base + request.target)
        body = request.body or None
        sent = MockRequest(
            f"{at.scheme}://{at.netloc}",
            request.method.lower(),
            at.path,
            args={name: value for name, value in request.query.items() if name not in self._loose},
            headers={"Content-Type": "application/json"} if body else {},
            data=body,
            content_type="application/json",
        )
        try:
            template, operation = self._operation(sent)
        except PathNotFound:
            assert any(end in at.path for end in self._beyond), f"{request.method} {at.path} is in no description"
            self.beyond.add(f"{request.method} {at.path}")
            return ""
        self._api.validate_request(sent)
        self._hold_names(request, template, operation)
        if answers:
            self._hold_answer(sent, request, response)
        return f"{request.method} {template}"

    def _operation(self, sent: MockRequest) -> tuple[str, Mapping[str, Any]]:
        template = _template_of(self._document["paths"], self._document["servers"][0]["url"], sent)
        return template, self._document["paths"][template][sent.method]

    def _hold_names(self, request: Request, template: str, operation: Mapping[str, Any]) -> None:
        """Catch what openapi-core does not: a misspelt field, an unknown parameter."""
        every = [*operation.get("parameters", ()), *self._document["paths"][template].get("parameters", ())]
        known = {self._deref(parameter)["name"] for parameter in every}
        unknown = set(request.query) - known - self._queries
        assert not unknown, f"{request.method} {template}: unknown in the query: {unknown}"
        if request.body and "requestBody" in operation:
            content = self._deref(operation["requestBody"])["content"]
            schema = self._deref(next(iter(content.values()))["schema"])
            fields = self._properties(schema)
            extra = set(json.loads(request.body)) - fields
            assert not fields or not extra, f"{request.method} {template}: unknown in the body: {extra}"

    def _properties(self, schema: Mapping[str, Any]) -> set[str]:
        parts = [schema, *(self._deref(part) for part in schema.get("allOf", ()))]
        return {name for part in parts for name in part.get("properties", {})}

    def _deref(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in node:
            found: Any = self._document
            for step in node["$ref"].removeprefix("#/").split("/"):
                found = found[step.replace("~1", "/").replace("~0", "~")]
            node = found
        return node

    def _hold_answer(self, sent: MockRequest, request: Request, response: Response) -> None:
        kind = response.headers.get("Content-Type", "application/json").partition(";")[0]
        answer = MockResponse(response.body, status_code=response.status, content_type=kind)
        try:
            self._api.validate_response(sent, answer)
        except ResponseNotFound:
            # A gap in the description, no fault of the emulator: only statuses that are known to occur.
            assert response.status in self._undescribed, f"{request.method} {request.target}: {response.status}"


def _template_of(paths: Mapping[str, Any], base: str, sent: MockRequest) -> str:
    """Find the path template of a request: the one with the fewest placeholders that fits."""
    path = sent.path[len(urlsplit(base).path.rstrip("/")) :]
    segments = path.split("/")
    fitting = [
        template
        for template in paths
        if len(template.split("/")) == len(segments)
        and all(
            step == given or step.startswith("{") for step, given in zip(template.split("/"), segments, strict=True)
        )
    ]
    if not fitting:
        raise PathNotFound(sent.host_url + sent.path)
    return min(fitting, key=lambda template: template.count("{"))
