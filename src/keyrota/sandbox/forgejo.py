"""A stand-in for Forgejo and Gitea, as far as Actions secrets and variables go, with what differs between the two."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from keyrota.ports import Clock
from keyrota.sandbox.faults import Faults
from keyrota.sandbox.http import Request, Response, json_response
from keyrota.sandbox.standin import StandIn

TOKEN = "sandbox-forgejo-token"  # noqa: S105  # opens nothing but the sandbox
_MOST_ITEMS = 50
_NAME = re.compile(r"(?!GITEA_|GITHUB_)[A-Z_][A-Z0-9_]*", re.IGNORECASE)
Place = tuple[str, ...]
"""("repos", owner, name), ("orgs", name) or ("user",)."""


class ForgejoStandIn(StandIn):
    """Forgejo or Gitea on loopback."""

    def __init__(
        self, clock: Clock, faults: Faults | None = None, *, token: str = TOKEN, is_gitea: bool = False
    ) -> None:
        super().__init__(clock, faults)
        self._token = token
        self._is_gitea = is_gitea
        self._secrets: dict[Place, dict[str, dict[str, str]]] = {("user",): {}}
        self._variables: dict[Place, dict[str, dict[str, str]]] = {("user",): {}}
        self._renamed: dict[Place, Place] = {}
        self.has_variables = True
        """Whether this version knows variables."""

    @property
    def environment(self) -> Mapping[str, str]:
        """The token, for the environment of keyrota."""
        return {"GITEA_TOKEN" if self._is_gitea else "FORGEJO_TOKEN": self._token}

    def add(self, place: Place) -> None:
        """Make a repository or an organization."""
        self._secrets[place], self._variables[place] = {}, {}

    def rename(self, old: Place, new: Place) -> None:
        """Rename a repository: the old path redirects."""
        self._secrets[new], self._variables[new] = self._secrets.pop(old), self._variables.pop(old)
        self._renamed[old] = new

    def set_secret(self, place: Place, name: str, value: str, *, description: str = "") -> None:
        """Set a secret as a person would."""
        now = f"{self.clock.now():%Y-%m-%dT%H:%M:%SZ}"
        made = self._secrets[place].get(name.upper(), {"created_at": now})
        self._secrets[place][name.upper()] = {**made, "data": value, "description": description}

    def set_variable(self, place: Place, name: str, value: str, *, description: str = "") -> None:
        """Set a variable as a person would."""
        self._variables[place][name.upper()] = {"data": value, "description": description}

    def values(self, place: Place) -> dict[str, str]:
        """Tell which secrets a job sees."""
        return {name: secret["data"] for name, secret in self._secrets[place].items()}

    def variables(self, place: Place) -> dict[str, str]:
        """Tell which variables a job sees."""
        return {name: variable["data"] for name, variable in self._variables[place].items()}

    def descriptions(self, place: Place) -> dict[str, str]:
        """Tell what people wrote beside secrets and variables."""
        both = {**self._variables[place], **self._secrets[place]}
        return {name: stored["description"] for name, stored in both.items()}

    def every_value(self) -> Iterator[str]:
        """Go through all values, for tests that look for secrets."""
        for place in self._secrets:
            yield from self.values(place).values()
            yield from self.variables(place).values()

    def kind(self, request: Request) -> str:
        """Name what a request is about."""
        if "actions" not in request.segments:
            return "user"
        return "variable" if "variables" in request.segments[-2:] else "secrets"

    def refusal(self, status: int, message: str) -> Response:
        """Make an error in the API's shape."""
        return json_response({"message": message, "url": "/api/swagger"}, status)

    def route(self, request: Request) -> Response:
        """Answer a request."""
        if request.headers.get("authorization") != f"token {self._token}":
            raise self.refuse(401, "token is required")
        for old, new in self._renamed.items():
            if request.segments[: len(old)] == old:
                there = request.target.replace("/".join(old), "/".join(new), 1)
                return Response(status=307, headers={"Location": urlsplit(request.base).path + there})
        match request.segments:
            case ["user"] if request.method == "GET":
                return json_response({"id": 1, "login": "deploy"})
            case [*place, "actions", "secrets"] if tuple(place) in self._secrets and place != ["user"]:
                if request.method == "GET":
                    return self._page(request, tuple(place))
            case [*place, "actions", "secrets", name] if tuple(place) in self._secrets:
                return self._secret(request, tuple(place), name)
            case [*place, "actions", "variables", name] if tuple(place) in self._variables and self.has_variables:
                return self._variable(request, tuple(place), name.upper())
        raise self.refuse(404, "the target couldn't be found")

    def _secret(self, request: Request, place: Place, name: str) -> Response:
        content, found = request.json() or {}, self._secrets[place]
        if not _NAME.fullmatch(name):
            raise self.refuse(400, "invalid secret name")
        is_new = name.upper() not in found
        match request.method:
            case "PUT":
                if not content.get("data"):
                    raise self.refuse(422, "[Data]: Required")
                self.set_secret(place, name, str(content["data"]), description=self._description(content))
                return Response(status=201 if is_new else 204)
            case "DELETE" if not is_new:
                del found[name.upper()]
                return Response(status=204)
        raise self.refuse(404, "secret not found")

    def _variable(self, request: Request, place: Place, name: str) -> Response:
        content, found = request.json() or {}, self._variables[place]
        if request.method == "POST":
            if name in found:
                raise self.refuse(409, "variable name already exists")
            self.set_variable(place, name, str(content["value"]), description=self._description(content))
            return Response(status=201 if self._is_gitea else 204)
        if name not in found:
            raise self.refuse(404, "variable not found")
        match request.method:
            case "GET":
                return json_response({"name": name, **self._shown(found[name])})
            case "PUT":
                self.set_variable(place, name, str(content["value"]), description=self._description(content))
            case "DELETE":
                del found[name]
        return Response(status=204)

    def _description(self, content: Mapping[str, Any]) -> str:
        """Take a description: one that is left out is empty; Forgejo has none."""
        return str(content.get("description", "")) if self._is_gitea else ""

    def _shown(self, stored: Mapping[str, str]) -> dict[str, str]:
        return dict(stored) if self._is_gitea else {name: stored[name] for name in stored if name != "description"}

    def _page(self, request: Request, place: Place) -> Response:
        found = [{"name": name, **self._shown(secret)} for name, secret in self._secrets[place].items()]
        for secret in found:
            del secret["data"]
        number = int(request.query.get("page", "1"))
        length = min(_MOST_ITEMS, int(request.query.get("limit", "30")))
        headers = {"X-Total-Count": str(len(found))}
        if self._is_gitea and number * length < len(found):
            headers["Link"] = f'<{request.base}{request.path}?limit={length}&page={number + 1}>; rel="next"'
        return json_response(self.page_of([*found], number, length), headers=headers)
