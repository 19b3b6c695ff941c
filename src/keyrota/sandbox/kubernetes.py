"""A stand-in for a Kubernetes API server, as far as Secrets go: one PATCH for both halves, dry runs, immutability."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any

from keyrota.ports import Clock
from keyrota.sandbox.faults import Faults
from keyrota.sandbox.http import Request, Response, json_response
from keyrota.sandbox.standin import Refusal, StandIn

TOKEN = "sandbox-kubernetes-token"  # noqa: S105  # opens nothing but the sandbox
_REASONS = {401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "AlreadyExists", 422: "Invalid"}


class KubernetesStandIn(StandIn):
    """An API server on loopback."""

    def __init__(self, clock: Clock, faults: Faults | None = None, *, token: str = TOKEN) -> None:
        super().__init__(clock, faults)
        self._token = token
        self._namespaces: set[str] = set()
        self._secrets: dict[tuple[str, str], dict[str, str]] = {}
        self.immutable: set[tuple[str, str]] = set()

    @property
    def environment(self) -> Mapping[str, str]:
        """The token, for the environment of keyrota."""
        return {"KUBERNETES_TOKEN": self._token}

    def add_namespace(self, name: str) -> None:
        """Make a namespace."""
        self._namespaces.add(name)

    def set_entry(self, namespace: str, secret: str, name: str, value: str) -> None:
        """Set an entry of a Secret as a person would; the Secret is made if it is not there."""
        self._secrets.setdefault((namespace, secret), {})[name] = base64.b64encode(value.encode()).decode()

    def values(self, namespace: str, secret: str) -> dict[str, str]:
        """Tell what a pod sees that starts now."""
        data = self._secrets.get((namespace, secret), {})
        return {name: base64.b64decode(value).decode() for name, value in data.items()}

    def every_value(self) -> Iterator[str]:
        """Go through all values, for tests that look for secrets."""
        for namespace, secret in self._secrets:
            yield from self.values(namespace, secret).values()

    def kind(self, request: Request) -> str:
        """Name what a request is about; a dry run changes nothing."""
        return "dry-run" if request.query.get("dryRun") else "secrets"

    def refusal(self, status: int, message: str) -> Response:
        """Make a Status, as the API server does."""
        return self._status(status, message, {})

    def _status(self, status: int, message: str, details: dict[str, Any]) -> Response:
        content = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "message": message,
            "reason": _REASONS.get(status, ""),
            "details": details,
            "code": status,
        }
        return json_response(content, status)

    def route(self, request: Request) -> Response:
        """Answer a request."""
        if request.headers.get("authorization") != f"Bearer {self._token}":
            raise self.refuse(401, "Unauthorized")
        match request.segments:
            case ["api", "v1", "namespaces", namespace, "secrets", *rest] if namespace in self._namespaces:
                return self._call(request, namespace, rest)
            case ["api", "v1", "namespaces", namespace, *_]:
                raise Refusal(self._status(404, f'namespaces "{namespace}" not found', {"kind": "namespaces"}))
        raise self.refuse(404, "the server could not find the requested resource")

    def _call(self, request: Request, namespace: str, rest: list[str]) -> Response:
        content = request.json() or {}
        if request.method == "POST" and not rest:
            return self._create(request, namespace, content)
        at = (namespace, *rest[:1])
        found = self._secrets.get(at) if len(at) == 2 else None  # noqa: PLR2004  # two parts
        if found is None:
            raise Refusal(self._status(404, f'secrets "{"".join(rest)}" not found', {"kind": "secrets"}))
        if request.method == "PATCH":
            return self._patch(request, (namespace, rest[0]), found, content)
        if request.method == "GET":
            return json_response(self._shown(namespace, rest[0], found))
        raise self.refuse(405, "method not allowed")

    def _create(self, request: Request, namespace: str, content: dict[str, Any]) -> Response:
        name = str(content.get("metadata", {}).get("name", ""))
        if (namespace, name) in self._secrets:
            raise Refusal(self._status(409, f'secrets "{name}" already exists', {"kind": "secrets"}))
        data = {str(key): str(value) for key, value in content.get("data", {}).items()}
        if not request.query.get("dryRun"):
            self._secrets[namespace, name] = data
        return json_response(self._shown(namespace, name, data), 201)

    def _patch(self, request: Request, at: tuple[str, str], found: dict[str, str], content: dict[str, Any]) -> Response:
        if request.headers.get("content-type") != "application/merge-patch+json":
            raise self.refuse(415, "the body of the request was in an unknown format")
        if at in self.immutable:
            raise self.refuse(422, "data: Forbidden: field is immutable when `immutable` is set")
        merged = found | content.get("data", {})
        data = {key: value for key, value in merged.items() if value is not None}
        if not request.query.get("dryRun"):
            self._secrets[at] = data
        return json_response(self._shown(*at, data))

    def _shown(self, namespace: str, name: str, data: Mapping[str, str]) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "kind": "Secret",
            "apiVersion": "v1",
            "metadata": {"name": name, "namespace": namespace, "resourceVersion": "1"},
            "type": "Opaque",
            "data": dict(data),
        }
        return shown | ({"immutable": True} if (namespace, name) in self.immutable else {})
