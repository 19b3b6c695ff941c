"""
An emulator of a Kubernetes API server, as far as Secrets go: patches of four kinds, dry runs, lists, immutability.

What it shows of who manages a Secret (labels, owners, field managers) is what a person or a controller put there.
"""

from __future__ import annotations

import base64
import binascii
import copy
from collections.abc import Iterator, Mapping
from typing import Any

from keyrota.ports import Clock
from keyrota_sandbox.faults import Faults
from keyrota_sandbox.providers.emulator import Emulator, Refusal
from keyrota_sandbox.providers.json_patch import BadPatch, json_patched, merge
from keyrota_sandbox.server import Request, Response, json_response

TOKEN = "sandbox-kubernetes-token"  # noqa: S105  # opens nothing but the sandbox
_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "AlreadyExists",
    415: "UnsupportedMediaType",
    422: "Invalid",
}
_MERGES = {"application/merge-patch+json", "application/strategic-merge-patch+json", "application/apply-patch+yaml"}
_JSON_PATCH, _APPLY = "application/json-patch+json", "application/apply-patch+yaml"
_A_PAGE = 500
_Secret = dict[str, Any]


class KubernetesEmulator(Emulator):
    """An API server on loopback."""

    def __init__(self, clock: Clock, faults: Faults | None = None, *, token: str = TOKEN) -> None:
        super().__init__(clock, faults)
        self._token = token
        self._count = 0
        self._namespaces: dict[str, str] = {}
        """Name to UID."""
        self._secrets: dict[tuple[str, str], _Secret] = {}
        self.immutable: set[tuple[str, str]] = set()

    @property
    def environment(self) -> Mapping[str, str]:
        """The token, for the environment of keyrota."""
        return {"KUBERNETES_TOKEN": self._token}

    def add_namespace(self, name: str) -> None:
        """Make a namespace; one that is made again has another UID."""
        self._namespaces[name] = self._uid()

    def remove_namespace(self, name: str) -> None:
        """Delete a namespace and what is in it."""
        del self._namespaces[name]
        self._secrets = {at: secret for at, secret in self._secrets.items() if at[0] != name}

    def set_entry(self, namespace: str, secret: str, name: str, value: str) -> None:
        """Set an entry of a Secret as a person would; the Secret is made if it is not there."""
        found = self._secrets.get((namespace, secret)) or self._new(namespace, {"metadata": {"name": secret}})
        found["data"][name] = base64.b64encode(value.encode()).decode()
        self._store((namespace, secret), found)

    def mark(self, namespace: str, secret: str, **metadata: Any) -> None:
        """Set labels, annotations, owners or field managers, as a controller does."""
        self._secrets[namespace, secret]["metadata"] |= metadata

    def remove(self, namespace: str, secret: str) -> None:
        """Delete a Secret as a person would."""
        del self._secrets[namespace, secret]

    def values(self, namespace: str, secret: str) -> dict[str, str]:
        """Return what a pod sees that starts now."""
        data = self._secrets.get((namespace, secret), {}).get("data", {})
        return {name: base64.b64decode(value).decode() for name, value in data.items()}

    def every_value(self) -> Iterator[str]:
        """Go through all values, for tests that look for secrets."""
        for namespace, secret in self._secrets:
            yield from self.values(namespace, secret).values()

    def kind(self, request: Request) -> str:
        """Name what a request is about; a dry run changes nothing."""
        if request.query.get("dryRun"):
            return "dry-run"
        if "secrets" not in request.segments:
            return "namespaces"
        return "list" if request.method == "GET" and request.segments[-1] == "secrets" else "secrets"

    def refusal(self, status: int, message: str) -> Response:
        """Make a Status, as the API server does."""
        return self._status(status, message, {})

    def _status(self, status: int, message: str, details: dict[str, Any], reason: str = "") -> Response:
        content = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason or _REASONS.get(status, ""),
            "details": details,
            "code": status,
        }
        return json_response(content, status)

    def route(self, request: Request) -> Response:
        """Answer a request."""
        if request.headers.get("authorization") != f"Bearer {self._token}":
            raise self.refuse(401, "Unauthorized")
        match request.segments:
            case ["version"] if request.method == "GET":
                return json_response({"major": "1", "minor": "31", "gitVersion": "v1.31.0"})
            case ["api", "v1", "namespaces"] if request.method == "GET":
                return json_response(_list("Namespace", [self._namespace(name) for name in self._namespaces]))
            case ["api", "v1", "namespaces", name] if request.method == "GET":
                if name not in self._namespaces:
                    raise self._absent("namespaces", name)
                return json_response(self._namespace(name))
            case ["api", "v1", "secrets"] if request.method == "GET":
                return self._list(request, None)
            case ["api", "v1", "namespaces", namespace, "secrets"]:
                return self._collection(request, namespace)
            case ["api", "v1", "namespaces", namespace, "secrets", name]:
                return self._one(request, (namespace, name))
        raise self.refuse(404, "the server could not find the requested resource")

    def _absent(self, kind: str, name: str) -> Refusal:
        return Refusal(self._status(404, f'{kind} "{name}" not found', {"name": name, "kind": kind}))

    def _namespace(self, name: str) -> dict[str, Any]:
        metadata = {"name": name, "uid": self._namespaces[name], "labels": {"kubernetes.io/metadata.name": name}}
        return {"kind": "Namespace", "apiVersion": "v1", "metadata": metadata, "status": {"phase": "Active"}}

    # --- Secrets ------------------------------------------------------------------------------------------------------

    def _collection(self, request: Request, namespace: str) -> Response:
        match request.method:
            case "GET":
                return self._list(request, namespace)
            case "POST":
                return self._create(request, namespace)
        raise self.refuse(405, "the server does not allow this method on the requested resource")

    def _one(self, request: Request, at: tuple[str, str]) -> Response:
        found = self._secrets.get(at)
        is_apply = request.headers.get("content-type") == _APPLY
        if found is None and request.method == "PATCH" and is_apply:
            return self._create(request, at[0])
        if found is None:  # as the real one: a namespace that is not there is not told apart in a GET
            raise self._absent("secrets", at[1])
        match request.method:
            case "GET":
                return json_response(self._show(at, found))
            case "PATCH":
                return self._replace(request, at, self._patch(request, found))
            case "PUT":
                return self._replace(request, at, self._read_object(request))
            case "DELETE":
                return self._delete(request, at)
        raise self.refuse(405, "the server does not allow this method on the requested resource")

    def _list(self, request: Request, namespace: str | None) -> Response:
        wanted = [
            self._show(at, found)
            for at, found in sorted(self._secrets.items())
            if namespace in {None, at[0]} and _fits(request, at[1], found)
        ]
        limit = self._number(request, "limit") or _A_PAGE
        begin = self._number(request, "continue")
        page = wanted[begin : begin + limit]
        rest = len(wanted) - begin - len(page)
        more = {"continue": str(begin + limit), "remainingItemCount": rest} if rest > 0 else {}
        return json_response(_list("Secret", page, more))

    def _number(self, request: Request, name: str) -> int:
        text = request.query.get(name, "") or "0"
        if not text.isdigit():
            raise self.refuse(400, f"invalid value for {name}")
        return int(text)

    def _read_object(self, request: Request) -> dict[str, Any]:
        content = request.json()
        if not isinstance(content, dict):
            raise self.refuse(400, "the object provided is unrecognized: it is no JSON object")
        self._refuse_odd(content)
        return content

    def _refuse_odd(self, content: Mapping[str, Any]) -> None:
        for field in ("metadata", "data", "stringData"):
            if not isinstance(content.get(field) or {}, dict):
                raise self.refuse(400, f"Secret in version v1 cannot be handled: {field} is no map")

    def _create(self, request: Request, namespace: str) -> Response:
        content = self._read_object(request)
        if namespace not in self._namespaces:
            raise self._absent("namespaces", namespace)
        metadata = content.get("metadata")
        name = str(metadata.get("name") or "") if isinstance(metadata, dict) else ""
        if not name:
            raise self.refuse(
                422, 'Secret "" is invalid: metadata.name: Required value: name or generateName is required'
            )
        if (namespace, name) in self._secrets:
            raise Refusal(self._status(409, f'secrets "{name}" already exists', {"name": name, "kind": "secrets"}))
        made = self._fold(self._new(namespace, content))
        if not request.query.get("dryRun"):
            self._store((namespace, name), made)
        return json_response(self._show((namespace, name), made), 201)

    def _new(self, namespace: str, content: Mapping[str, Any]) -> _Secret:
        metadata = {
            **content["metadata"],
            "namespace": namespace,
            "uid": self._uid(),
            "creationTimestamp": f"{self.clock.now():%Y-%m-%dT%H:%M:%SZ}",
        }
        data = dict(content.get("data") or {})
        return {**content, "type": content.get("type") or "Opaque", "metadata": metadata, "data": data}

    def _patch(self, request: Request, found: _Secret) -> _Secret:
        content_type, sent = request.headers.get("content-type", ""), request.json()
        try:
            if content_type == _JSON_PATCH:
                made = dict(json_patched(found, sent))
                self._refuse_odd(made)
                return made
            if content_type in _MERGES:
                return dict(merge(found, self._read_object(request)))
        except BadPatch as error:
            raise self.refuse(422, f"the server rejected our request due to an error in our request: {error}") from None
        raise self.refuse(415, "the body of the request was in an unknown format")

    def _replace(self, request: Request, at: tuple[str, str], content: Mapping[str, Any]) -> Response:
        """Put a changed Secret in place of what is there, unless someone else was first or it is immutable."""
        before = self._secrets[at]
        metadata = content.get("metadata") if isinstance(content.get("metadata"), dict) else {}
        wanted = (metadata or {}).get("resourceVersion")
        if wanted not in {None, "", before["metadata"].get("resourceVersion")}:
            message = f'Operation cannot be fulfilled on secrets "{at[1]}": the object has been modified'
            raise Refusal(self._status(409, message, {"name": at[1], "kind": "secrets"}, "Conflict"))
        kept = {name: before["metadata"][name] for name in ("name", "namespace", "uid", "creationTimestamp")}
        version = before["metadata"].get("resourceVersion")
        after = self._fold({**content, "metadata": {**(metadata or {}), **kept, "resourceVersion": version}})
        after.setdefault("type", before["type"])
        is_same = after["data"] == before["data"]
        if (at in self.immutable or before.get("immutable")) and not is_same:
            raise self.refuse(422, "data: Forbidden: field is immutable when `immutable` is set")
        if not request.query.get("dryRun"):
            self._store(at, after)
        return json_response(self._show(at, after))

    def _fold(self, secret: _Secret) -> _Secret:
        """Write `stringData` into `data`, as the API server does, and refuse what is no Base64."""
        made = copy.deepcopy(secret)
        texts = made.pop("stringData", None) or {}
        data = {name: value for name, value in (made.get("data") or {}).items() if value is not None}
        for name, value in data.items():
            try:
                base64.b64decode(str(value), validate=True)
            except (binascii.Error, ValueError):
                raise self.refuse(400, f"Secret in version v1 cannot be handled: data.{name}: illegal base64") from None
        data |= {name: base64.b64encode(str(value).encode()).decode() for name, value in texts.items()}
        made["data"] = data
        return made

    def _delete(self, request: Request, at: tuple[str, str]) -> Response:
        uid = self._secrets[at]["metadata"]["uid"]
        if not request.query.get("dryRun"):
            del self._secrets[at]
            self.immutable.discard(at)
        details = {"name": at[1], "kind": "secrets", "uid": uid}
        content = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
        return json_response(content)

    def _store(self, at: tuple[str, str], secret: _Secret) -> None:
        self._count += 1
        secret["metadata"]["resourceVersion"] = str(self._count)
        self._secrets[at] = secret

    def _show(self, at: tuple[str, str], secret: Mapping[str, Any]) -> dict[str, Any]:
        shown: dict[str, Any] = {**copy.deepcopy(dict(secret)), "kind": "Secret", "apiVersion": "v1"}
        return shown | ({"immutable": True} if at in self.immutable else {})

    def _uid(self) -> str:
        self._count += 1
        return f"7c1f0a52-3d0e-4f66-9d1c-{self._count:012}"


def _list(kind: str, items: list[dict[str, Any]], more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    metadata = {"resourceVersion": "1", **(more or {})}
    return {"kind": f"{kind}List", "apiVersion": "v1", "metadata": metadata, "items": items}


def _fits(request: Request, name: str, secret: Mapping[str, Any]) -> bool:
    """Return whether a Secret is selected: `labelSelector` with equal signs and bare names, `fieldSelector` by name."""
    labels = secret["metadata"].get("labels") or {}
    for part in filter(None, request.query.get("labelSelector", "").split(",")):
        label, sign, value = part.replace("==", "=").partition("=")
        if label not in labels or (sign and labels[label] != value):
            return False
    field, _, wanted = request.query.get("fieldSelector", "").partition("=")
    return field != "metadata.name" or name == wanted
