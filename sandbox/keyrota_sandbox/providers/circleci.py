"""An emulator for CircleCI, as far as environment variables of projects and contexts go: masked values, page tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from keyrota.ports import Clock
from keyrota_sandbox.faults import Faults
from keyrota_sandbox.providers.emulator import Emulator
from keyrota_sandbox.server import Request, Response, json_response

TOKEN = "sandbox-circleci-token"  # noqa: S105  # opens nothing but the sandbox
_A_PAGE = 20
_SLUG = 3


class CircleEmulator(Emulator):
    """CircleCI on loopback."""

    prefix = ("api", "v2")

    def __init__(self, clock: Clock, faults: Faults | None = None, *, token: str = TOKEN) -> None:
        super().__init__(clock, faults)
        self._token = token
        self._places: dict[tuple[str, str], dict[str, tuple[str, str]]] = {}
        """("project", slug) or ("context", ID): name to value and time of the last change."""
        self._ids: dict[str, str] = {}
        """Slug of a project to its ID."""
        self._count = 0

    @property
    def environment(self) -> Mapping[str, str]:
        """The token, for the environment of keyrota."""
        return {"CIRCLECI_TOKEN": self._token}

    def add(self, kind: str, name: str) -> None:
        """Make a project or a context."""
        self._places.setdefault((kind, name), {})
        if kind == "project" and name not in self._ids:
            self._count += 1
            self._ids[name] = f"5d3b1f2e-6a70-4a52-9f6b-{self._count:012}"

    def rename(self, old: str, new: str) -> None:
        """Rename a project: its slug changes, its ID stays."""
        self._places["project", new] = self._places.pop(("project", old))
        self._ids[new] = self._ids.pop(old)

    def set_variable(self, kind: str, name: str, variable: str, value: str) -> None:
        """Set a variable as a person would."""
        self._places[kind, name][variable] = (value, f"{self.now():%Y-%m-%dT%H:%M:%S.000Z}")

    def values(self, kind: str, name: str) -> dict[str, str]:
        """Return what a job sees."""
        return {variable: value for variable, (value, _) in self._places[kind, name].items()}

    def every_value(self) -> Iterator[str]:
        """Go through all values, for tests that look for secrets."""
        for kind, name in self._places:
            yield from self.values(kind, name).values()

    def kind(self, request: Request) -> str:
        """Name what a request is about."""
        if request.segments[-1] == "envvar" or "environment-variable" in request.segments:
            return "variables"
        return "variables" if "envvar" in request.segments else request.segments[0]

    def refusal(self, status: int, message: str) -> Response:
        """Make an error in CircleCI's shape."""
        return json_response({"message": message}, status)

    def route(self, request: Request) -> Response:
        """Answer a request."""
        if request.headers.get("circle-token") != self._token:
            raise self.refuse(401, "You must log in first.")
        match request.segments:
            case ["me"] if request.method == "GET":
                return json_response(
                    {"id": "5d3b1f2e-6a70-4a52-9f6b-000000000000", "login": "deploy", "name": "Deploy"}
                )
            case ["project", *rest] if len(rest) >= _SLUG:  # clients send the slug's slashes as they are, or encoded
                return self._project(request, "/".join(rest))
            case ["project", slug, *rest]:
                return self._project(request, "/".join([slug, *rest]))
            case ["context", name] if request.method == "GET" and ("context", name) in self._places:
                return json_response({"id": name, "name": f"context {name[:8]}", "created_at": "2026-01-01T00:00:00Z"})
            case ["context" as kind, name, "environment-variable", *rest] if (kind, name) in self._places:
                return self._call(request, kind, name, rest)
        raise self.refuse(404, "Not found")

    def _project(self, request: Request, path: str) -> Response:
        for slug, number in self._ids.items():
            if path == slug and request.method == "GET":
                organization, name = slug.rpartition("/")[0], slug.rpartition("/")[2]
                shown = {"slug": slug, "name": name, "id": number, "organization_slug": organization}
                return json_response({**shown, "organization_name": organization.partition("/")[2]})
            if path == f"{slug}/envvar" or path.startswith(f"{slug}/envvar/"):
                return self._call(request, "project", slug, path[len(slug) :].split("/")[2:])
        raise self.refuse(404, "Project not found")

    def _call(self, request: Request, kind: str, name: str, rest: list[str]) -> Response:
        found = self._places[kind, name]
        match request.method, rest:
            case "GET", []:
                return self._page(request, [self._show(kind, name, variable) for variable in found])
            case "GET", [variable] if kind == "project" and variable in found:
                return json_response(self._show(kind, name, variable))
            case "POST", [] if kind == "project":
                variable, value = self._require_field(request, "name"), self._require_field(request, "value")
                self.set_variable(kind, name, variable, value)
                return json_response(self._show(kind, name, variable), 201)
            case "PUT", [variable] if kind == "context":
                self.set_variable(kind, name, variable, self._require_field(request, "value"))
                return json_response(self._show(kind, name, variable))
            case "DELETE", [variable] if variable in found:
                del found[variable]
                return json_response({"message": "Environment variable deleted."})
        raise self.refuse(404, "Environment variable not found.")

    def _require_field(self, request: Request, field: str) -> str:
        content = request.json()
        value = content.get(field) if isinstance(content, dict) else None
        if not isinstance(value, str) or not value:
            raise self.refuse(400, f"{field}: missing or empty")
        return value

    def _show(self, kind: str, name: str, variable: str) -> dict[str, Any]:
        value, changed = self._places[kind, name][variable]
        if kind == "project":
            return {"name": variable, "value": f"xxxx{value[-4:]}"}
        return {"variable": variable, "created_at": changed, "updated_at": changed, "context_id": name}

    def _page(self, request: Request, values: list[dict[str, Any]]) -> Response:
        number = self.read_number(request, "page-token", 1)
        is_last = number * _A_PAGE >= len(values)
        shown = self.page_of(values, number, _A_PAGE)
        return json_response({"items": shown, "next_page_token": None if is_last else str(number + 1)})
