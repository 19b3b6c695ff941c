"""An emulator for GitHub Codespaces, as far as the secrets of repositories go: sealed values, pages, renewed keys."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, SealedBox

from keyrota.ports import Clock
from keyrota_sandbox.faults import Faults
from keyrota_sandbox.providers.emulator import Emulator
from keyrota_sandbox.server import Request, Response, json_response

TOKEN = "sandbox-codespaces-token"  # noqa: S105  # opens nothing but the sandbox
_MAX_PER_PAGE, _PER_PAGE = 100, 30


@dataclass(slots=True)
class _Repository:
    id: int
    is_archived: bool = False
    key_number: int = 1
    key: PrivateKey = field(default_factory=PrivateKey.generate)
    secrets: dict[str, tuple[str, datetime, datetime]] = field(default_factory=dict)
    """Name to value, time of creation, and time of the last change."""


class CodespacesEmulator(Emulator):
    """The part of GitHub that has the secrets of codespaces, on loopback."""

    prefix = ("api", "v3")

    def __init__(self, clock: Clock, faults: Faults | None = None, *, token: str = TOKEN) -> None:
        super().__init__(clock, faults)
        self._token = token
        self._repositories: dict[str, _Repository] = {}

    @property
    def environment(self) -> Mapping[str, str]:
        """The token, for the environment of keyrota."""
        return {"CODESPACES_TOKEN": self._token}

    def add(self, name: str) -> None:
        """Create a repository."""
        self._repositories.setdefault(name, _Repository(id=1000 + len(self._repositories)))

    def rename(self, old: str, new: str) -> None:
        """Rename a repository: its number stays."""
        self._repositories[new] = self._repositories.pop(old)

    def archive(self, name: str) -> None:
        """Archive a repository."""
        self._repositories[name].is_archived = True

    def renew_key(self, name: str) -> None:
        """Give a repository another public key."""
        repository = self._repositories[name]
        repository.key, repository.key_number = PrivateKey.generate(), repository.key_number + 1

    def set_secret(self, repository: str, name: str, value: str) -> None:
        """Set a secret as a person would."""
        secrets, now = self._repositories[repository].secrets, self.now()
        secrets[name.upper()] = (value, secrets.get(name.upper(), ("", now, now))[1], now)

    def values(self, repository: str) -> dict[str, str]:
        """Return what a codespace sees when it starts."""
        return {name: value for name, (value, _, _) in self._repositories[repository].secrets.items()}

    def every_value(self) -> Iterator[str]:
        """Go through all values, for tests that look for secrets."""
        for name in self._repositories:
            yield from self.values(name).values()

    def kind(self, request: Request) -> str:
        """Name what a request is about."""
        if request.segments[-1] == "public-key":
            return "public-key"
        return "secrets" if "secrets" in request.segments else "repository"

    def refusal(self, status: int, message: str) -> Response:
        """Make an error in GitHub's shape."""
        return json_response({"message": message, "documentation_url": "https://docs.github.com/rest"}, status)

    def route(self, request: Request) -> Response:
        """Answer a request."""
        if request.headers.get("authorization") != f"Bearer {self._token}":
            raise self.refuse(401, "Bad credentials")
        match request.segments:
            case ["repos", owner, name, *rest] if f"{owner}/{name}" in self._repositories:
                return self._call(request, f"{owner}/{name}", rest)
        raise self.refuse(404, "Not Found")

    def _call(self, request: Request, name: str, rest: list[str]) -> Response:
        repository = self._repositories[name]
        match request.method, rest:
            case "GET", []:
                shown = {"id": repository.id, "full_name": name, "archived": repository.is_archived}
                return json_response(shown)
            case "GET", ["codespaces", "secrets"]:
                return self._page(request, [_show(each, repository) for each in sorted(repository.secrets)])
            case "GET", ["codespaces", "secrets", "public-key"]:
                key = base64.b64encode(bytes(repository.key.public_key)).decode()
                return json_response({"key_id": str(repository.key_number), "key": key})
            case "GET", ["codespaces", "secrets", secret] if secret.upper() in repository.secrets:
                return json_response(_show(secret.upper(), repository))
            case "PUT", ["codespaces", "secrets", secret]:
                is_new = secret.upper() not in repository.secrets
                self.set_secret(name, secret, self._open(request, repository))
                return json_response({}, 201) if is_new else Response(status=204)
            case "DELETE", ["codespaces", "secrets", secret] if secret.upper() in repository.secrets:
                del repository.secrets[secret.upper()]
                return Response(status=204)
        raise self.refuse(404, "Not Found")

    def _open(self, request: Request, repository: _Repository) -> str:
        content = request.json()
        if not isinstance(content, dict) or content.get("key_id") != str(repository.key_number):
            raise self.refuse(422, "Bad Request: key_id is not the repository's")
        try:
            sealed = base64.b64decode(str(content.get("encrypted_value", "")), validate=True)
            return SealedBox(repository.key).decrypt(sealed).decode()
        except (ValueError, CryptoError):
            raise self.refuse(422, "Bad Request: the value is no sealed box for this key") from None

    def _page(self, request: Request, values: list[dict[str, Any]]) -> Response:
        length = min(_MAX_PER_PAGE, self.read_number(request, "per_page", _PER_PAGE))
        number = self.read_number(request, "page", 1)
        there = f"{request.base}{request.path}?per_page={length}&page={number + 1}"
        headers = {"Link": f'<{there}>; rel="next"'} if number * length < len(values) else {}
        content = {"total_count": len(values), "secrets": self.page_of(values, number, length)}
        return json_response(content, 200, headers)


def _show(name: str, repository: _Repository) -> dict[str, Any]:
    _, created, updated = repository.secrets[name]
    return {"name": name, "created_at": f"{created:%Y-%m-%dT%H:%M:%SZ}", "updated_at": f"{updated:%Y-%m-%dT%H:%M:%SZ}"}
