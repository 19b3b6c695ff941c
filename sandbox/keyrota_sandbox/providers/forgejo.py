"""An emulator of Forgejo and Gitea, as far as Actions secrets and variables go, with what differs between the two."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from keyrota.ports import Clock
from keyrota_sandbox.faults import Faults
from keyrota_sandbox.providers.emulator import Emulator
from keyrota_sandbox.server import Request, Response, json_response

TOKEN = "sandbox-forgejo-token"  # noqa: S105  # opens nothing but the sandbox
_MAX_ITEMS = 50
_NAME = re.compile(r"(?!GITEA_|GITHUB_)[A-Z_][A-Z0-9_]*", re.IGNORECASE)
_USER = "deploy"
Place = tuple[str, ...]
"""("repos", owner, name), ("orgs", name) or ("user",)."""


class ForgejoEmulator(Emulator):
    """Forgejo or Gitea on loopback."""

    prefix = ("api", "v1")

    def __init__(
        self, clock: Clock, faults: Faults | None = None, *, token: str = TOKEN, is_gitea: bool = False
    ) -> None:
        super().__init__(clock, faults)
        self._token = token
        self._is_gitea = is_gitea
        self._ids: dict[Place, int] = {("user",): 1}
        """A place that is renamed keeps its ID; one that is made again has another."""
        self._secrets: dict[Place, dict[str, dict[str, str]]] = {("user",): {}}
        self._variables: dict[Place, dict[str, dict[str, str]]] = {("user",): {}}
        self._renamed: dict[Place, Place] = {}
        self._count = 1
        self.archived: set[Place] = set()
        self.has_variables = True
        """Whether this version knows variables."""

    @property
    def environment(self) -> Mapping[str, str]:
        """The token, for the environment of keyrota."""
        return {"GITEA_TOKEN" if self._is_gitea else "FORGEJO_TOKEN": self._token}

    def add(self, place: Place) -> None:
        """Make a repository or an organization."""
        self._count += 1
        self._ids[place] = self._count
        self._secrets[place], self._variables[place] = {}, {}
        self._renamed.pop(place, None)

    def rename(self, old: Place, new: Place) -> None:
        """Rename a repository: the old path redirects, until something else is made there."""
        self._secrets[new], self._variables[new] = self._secrets.pop(old), self._variables.pop(old)
        self._ids[new] = self._ids.pop(old)
        self._renamed[old] = new

    def set_secret(self, place: Place, name: str, value: str, *, description: str = "") -> None:
        """Set a secret as a person would."""
        now = f"{self.now():%Y-%m-%dT%H:%M:%SZ}"
        made = self._secrets[place].get(name.upper(), {"created_at": now})
        self._secrets[place][name.upper()] = {**made, "data": value, "description": description}

    def set_variable(self, place: Place, name: str, value: str, *, description: str = "") -> None:
        """Set a variable as a person would."""
        self._variables[place][name.upper()] = {"data": value, "description": description}

    def values(self, place: Place) -> dict[str, str]:
        """Return which secrets a job sees."""
        return {name: secret["data"] for name, secret in self._secrets[place].items()}

    def variables(self, place: Place) -> dict[str, str]:
        """Return which variables a job sees."""
        return {name: variable["data"] for name, variable in self._variables[place].items()}

    def descriptions(self, place: Place) -> dict[str, str]:
        """Return what people wrote beside secrets and variables."""
        both = {**self._variables[place], **self._secrets[place]}
        return {name: stored["description"] for name, stored in both.items()}

    def every_value(self) -> Iterator[str]:
        """Go through all values, for tests that look for secrets."""
        for place in self._secrets:
            yield from self.values(place).values()
            yield from self.variables(place).values()

    def kind(self, request: Request) -> str:
        """Name what a request is about."""
        segments = request.segments
        if "actions" not in segments:
            known = {"repos": "repository", "orgs": "organization"}
            return "repositories" if segments[-1] == "repos" else known.get(segments[0], segments[0])
        if segments[-1] == "variables":
            return "variables"
        return "variable" if "variables" in segments[-2:] else "secrets"

    def refusal(self, status: int, message: str) -> Response:
        """Make an error in the API's shape."""
        return json_response({"message": message, "url": "/api/swagger"}, status)

    def route(self, request: Request) -> Response:
        """Answer a request."""
        if request.segments == ("version",):
            return json_response({"version": "1.22.0" if self._is_gitea else "11.0.0+gitea-1.22.0"})
        if request.headers.get("authorization") not in {f"token {self._token}", f"Bearer {self._token}"}:
            raise self.refuse(401, "token is required")
        for old, new in self._renamed.items():
            if request.segments[: len(old)] == old:
                there = request.target.replace("/".join(old), "/".join(new), 1)
                return Response(status=307, headers={"Location": urlsplit(request.base).path + there})
        match request.segments:
            case [*place, "actions", "secrets"] if tuple(place) in self._secrets and place != ["user"]:
                if request.method == "GET":
                    return self._page(request, self._list_secrets(tuple(place)))
            case [*place, "actions", "secrets", name] if tuple(place) in self._secrets:
                return self._secret(request, tuple(place), name)
            case [*place, "actions", "variables"] if tuple(place) in self._variables and self.has_variables:
                if request.method == "GET":
                    found = self._variables[tuple(place)]
                    return self._page(request, [{"name": name, **self._show(found[name])} for name in found])
            case [*place, "actions", "variables", name] if tuple(place) in self._variables and self.has_variables:
                return self._variable(request, tuple(place), name.upper())
            case segments if request.method == "GET":
                return self._home(request, segments)
        raise self.refuse(404, "the target couldn't be found")

    # --- places -------------------------------------------------------------------------------------------------------

    def _home(self, request: Request, segments: Sequence[str]) -> Response:
        match segments:
            case ["user"]:
                return json_response(_owner(1, _USER))
            case ["orgs", name, "repos"] if ("orgs", name) in self._ids:
                ours = [place for place in self._ids if place[:2] == ("repos", name)]
                return self._page(request, [self._repository(place) for place in ours])
            case ["user", "repos"]:
                return self._page(request, [self._repository(each) for each in self._ids if each[0] == "repos"])
            case ["orgs", name] if ("orgs", name) in self._ids:
                return json_response({**_owner(self._ids["orgs", name], name), "name": name})
            case ["repos", owner, name] if ("repos", owner, name) in self._ids:
                return json_response(self._repository(("repos", owner, name)))
        raise self.refuse(404, "the target couldn't be found")

    def _repository(self, place: Place) -> dict[str, Any]:
        _, owner, name = place
        number = self._ids.get(("orgs", owner), 1)
        return {
            "id": self._ids[place],
            "name": name,
            "full_name": f"{owner}/{name}",
            "owner": _owner(number, owner),
            "archived": place in self.archived,
            "private": True,
            "permissions": {"admin": True, "push": True, "pull": True},
        }

    # --- secrets and variables ----------------------------------------------------------------------------------------

    def _refuse_archived(self, place: Place) -> None:
        if place in self.archived:
            raise self.refuse(423, "repository is archived")

    def _secret(self, request: Request, place: Place, name: str) -> Response:
        found = self._secrets[place]
        if not _NAME.fullmatch(name):
            raise self.refuse(400, "invalid secret name")
        is_new = name.upper() not in found
        match request.method:
            case "PUT":
                self._refuse_archived(place)
                content = self._require_field(request, "data")
                self.set_secret(place, name, content["data"], description=self._description(content))
                return Response(status=201 if is_new else 204)
            case "DELETE" if not is_new:
                self._refuse_archived(place)
                del found[name.upper()]
                return Response(status=204)
        raise self.refuse(404, "secret not found")

    def _variable(self, request: Request, place: Place, name: str) -> Response:
        found = self._variables[place]
        if request.method in {"POST", "PUT", "DELETE"}:
            self._refuse_archived(place)
        if request.method == "POST":
            content = self._require_field(request, "value")
            if name in found:
                raise self.refuse(409, "variable name already exists")
            if not _NAME.fullmatch(name):
                raise self.refuse(400, "invalid variable name")
            self.set_variable(place, name, content["value"], description=self._description(content))
            return Response(status=201 if self._is_gitea else 204)
        if name not in found:
            raise self.refuse(404, "variable not found")
        match request.method:
            case "GET":
                return json_response({"name": name, **self._show(found[name])})
            case "PUT":
                self._change(request, place, name)
            case "DELETE":
                del found[name]
            case _:
                raise self.refuse(405, "method not allowed")
        return Response(status=204)

    def _change(self, request: Request, place: Place, name: str) -> None:
        """Change a value, and the name where another one is sent."""
        content = self._require_field(request, "value")
        new = str(content.get("name") or name).upper()
        if not _NAME.fullmatch(new):
            raise self.refuse(400, "invalid variable name")
        if new != name and new in self._variables[place]:
            raise self.refuse(409, "variable name already exists")
        del self._variables[place][name]
        self.set_variable(place, new, content["value"], description=self._description(content))

    def _require_field(self, request: Request, field: str) -> dict[str, Any]:
        content = request.json()
        if not isinstance(content, dict) or not isinstance(content.get(field), str) or not content[field]:
            raise self.refuse(422, f"[{field.title()}]: Required")
        return content

    def _description(self, content: Mapping[str, Any]) -> str:
        """Take a description: one that is left out is empty; Forgejo has none."""
        return str(content.get("description", "")) if self._is_gitea else ""

    def _show(self, stored: Mapping[str, str]) -> dict[str, str]:
        return dict(stored) if self._is_gitea else {name: stored[name] for name in stored if name != "description"}

    def _list_secrets(self, place: Place) -> list[dict[str, Any]]:
        found = [{"name": name, **self._show(secret)} for name, secret in self._secrets[place].items()]
        return [{name: value for name, value in secret.items() if name != "data"} for secret in found]

    def _page(self, request: Request, found: list[dict[str, Any]]) -> Response:
        number = self.read_number(request, "page", 1)
        length = min(_MAX_ITEMS, self.read_number(request, "limit", 30))
        headers = {"X-Total-Count": str(len(found))}
        if self._is_gitea and number * length < len(found):
            headers["Link"] = f'<{request.base}{request.path}?limit={length}&page={number + 1}>; rel="next"'
        return json_response(self.page_of(found, number, length), headers=headers)


def _owner(number: int, login: str) -> dict[str, Any]:
    return {"id": number, "login": login, "username": login, "full_name": ""}
