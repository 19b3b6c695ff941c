"""One API server with one token: namespaces and the Secrets in them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from keyrota.errors import ProviderRefused
from keyrota.http import Http, Response, paginate
from keyrota.target_base.errors import ProviderErrors

SAYS = ProviderErrors(
    name="the API server",
    key="kubernetes",
    needs="the service account needs the verbs get, patch and create on secrets in this namespace (RBAC)",
    missing="the namespace does not exist",
)
MISSING = 404
_FORBIDDEN = 403
_A_PAGE = "50"
_MAX_PAGES = 200


class KubernetesConnection:
    """One API server with one token; the namespaces' UIDs are asked for once."""

    def __init__(self, http: Http) -> None:
        self.http = http
        self._lock = threading.Lock()
        self._namespaces: dict[str, str] = {}

    def namespace(self, name: str, about: str) -> str:
        """
        Identify a namespace by its UID, which no other cluster has; by its name where the UID is not readable.

        Raises:
            NotThere: There is no such namespace.
        """
        with self._lock:
            if name not in self._namespaces:
                self._namespaces[name] = self._uid(name, about)
            return self._namespaces[name]

    def forget(self, name: str) -> None:
        """Let the next question about a namespace be asked anew."""
        with self._lock:
            self._namespaces.pop(name, None)

    def _uid(self, name: str, about: str) -> str:
        answer = self.http.call("GET", ("api", "v1", "namespaces", name), where=about)
        if answer.status == _FORBIDDEN:
            return name
        SAYS.raise_for_status(answer, about)
        metadata = answer.object().get("metadata")
        uid = metadata.get("uid") if isinstance(metadata, dict) else None
        if answer.object().get("kind") != "Namespace" or not isinstance(uid, str) or not uid:
            raise SAYS.make_response_error("the answer is no Secret and no Namespace", about)
        return uid

    def secret(self, namespace: str, name: str, about: str) -> dict[str, Any] | None:
        """Get a Secret; None if it is not there."""
        answer = self.http.call("GET", (*secrets_of(namespace), name), where=about)
        if is_missing_secret(answer):
            return None
        SAYS.raise_for_status(answer, about)
        if answer.object().get("kind") != "Secret":
            raise SAYS.make_response_error("the answer is no Secret", about)
        return answer.object()

    def every_secret(self, namespace: str, about: str) -> Iterator[dict[str, Any]]:
        """
        Go through the Secrets of a namespace, on all pages.

        Raises:
            ProviderRefused: The token may get and not list, which is all that keyrota needs for its own work.
        """
        path = secrets_of(namespace)

        def page(token: str) -> Response:
            query = {"limit": _A_PAGE, **({"continue": token} if token else {})}
            return self.http.call("GET", path, query=query, where=about)

        first = page("")
        if first.status == _FORBIDDEN:
            raise ProviderRefused("the token may not list the Secrets of the namespace (403)", where=about)
        for answer in paginate(first, _next_page, page, most=_MAX_PAGES, name=SAYS.name, where=about):
            yield from SAYS.entries(answer, about, under="items")


def secrets_of(namespace: str) -> tuple[str, ...]:
    """Find the path of a namespace's Secrets."""
    return ("api", "v1", "namespaces", namespace, "secrets")


def is_missing_secret(answer: Response) -> bool:
    """Distinguish a Secret that is not there from a namespace that is not."""
    details = answer.object().get("details")
    return answer.status == MISSING and isinstance(details, dict) and details.get("kind") == "secrets"


def _next_page(answer: Response) -> str | None:
    metadata = answer.object().get("metadata")
    token = metadata.get("continue") if isinstance(metadata, dict) else None
    return token if isinstance(token, str) and token else None
