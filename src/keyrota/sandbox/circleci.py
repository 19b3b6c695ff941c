"""A stand-in for CircleCI, as far as environment variables of projects and contexts go: masked values, page tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from keyrota.ports import Clock
from keyrota.sandbox.faults import Faults
from keyrota.sandbox.http import Request, Response, json_response
from keyrota.sandbox.standin import StandIn

TOKEN = "sandbox-circleci-token"  # noqa: S105  # opens nothing but the sandbox
_A_PAGE = 20


class CircleStandIn(StandIn):
    """CircleCI on loopback."""

    def __init__(self, clock: Clock, faults: Faults | None = None, *, token: str = TOKEN) -> None:
        super().__init__(clock, faults)
        self._token = token
        self._places: dict[tuple[str, str], dict[str, tuple[str, str]]] = {}
        """("project", slug) or ("context", ID): name to value and time of the last change."""

    @property
    def environment(self) -> Mapping[str, str]:
        """The token, for the environment of keyrota."""
        return {"CIRCLECI_TOKEN": self._token}

    def add(self, kind: str, name: str) -> None:
        """Make a project or a context."""
        self._places.setdefault((kind, name), {})

    def set_variable(self, kind: str, name: str, variable: str, value: str) -> None:
        """Set a variable as a person would."""
        self._places[kind, name][variable] = (value, f"{self.clock.now():%Y-%m-%dT%H:%M:%S.000Z}")

    def values(self, kind: str, name: str) -> dict[str, str]:
        """Tell what a job sees."""
        return {variable: value for variable, (value, _) in self._places[kind, name].items()}

    def every_value(self) -> Iterator[str]:
        """Go through all values, for tests that look for secrets."""
        for kind, name in self._places:
            yield from self.values(kind, name).values()

    def kind(self, request: Request) -> str:
        """Name what a request is about."""
        return "variables" if len(request.segments) > 2 else "nothing"  # noqa: PLR2004  # kind, name, list

    def refusal(self, status: int, message: str) -> Response:
        """Make an error in CircleCI's shape."""
        return json_response({"message": message}, status)

    def route(self, request: Request) -> Response:
        """Answer a request."""
        if request.headers.get("circle-token") != self._token:
            raise self.refuse(401, "You must log in first.")
        match request.segments:
            case ["project" as kind, name, "envvar", *rest] if (kind, name) in self._places:
                return self._call(request, kind, name, rest)
            case ["context" as kind, name, "environment-variable", *rest] if (kind, name) in self._places:
                return self._call(request, kind, name, rest)
        raise self.refuse(404, "Not found")

    def _call(self, request: Request, kind: str, name: str, rest: list[str]) -> Response:
        content = request.json() or {}
        found = self._places[kind, name]
        match request.method, rest:
            case "GET", []:
                return self._page(request, [self._shown(kind, name, variable) for variable in found])
            case "POST", [] if kind == "project":
                self.set_variable(kind, name, str(content["name"]), str(content["value"]))
                return json_response(self._shown(kind, name, str(content["name"])), 201)
            case "PUT", [variable] if kind == "context":
                self.set_variable(kind, name, variable, str(content["value"]))
                return json_response(self._shown(kind, name, variable))
            case "DELETE", [variable] if variable in found:
                del found[variable]
                return json_response({"message": "Environment variable deleted."})
        raise self.refuse(404, "Environment variable not found.")

    def _shown(self, kind: str, name: str, variable: str) -> dict[str, Any]:
        value, changed = self._places[kind, name][variable]
        if kind == "project":
            return {"name": variable, "value": f"xxxx{value[-4:]}"}
        return {"variable": variable, "created_at": changed, "updated_at": changed, "context_id": name}

    def _page(self, request: Request, values: list[dict[str, Any]]) -> Response:
        number = int(request.query.get("page-token", "1"))
        is_last = number * _A_PAGE >= len(values)
        shown = self.page_of(values, number, _A_PAGE)
        return json_response({"items": shown, "next_page_token": None if is_last else str(number + 1)})
