"""A stand-in for HCP Terraform, as far as variables go: JSON:API, write-once values, attributes that stay."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from keyrota.ports import Clock
from keyrota.sandbox.faults import Faults
from keyrota.sandbox.http import Request, Response, json_response
from keyrota.sandbox.standin import StandIn

TOKEN = "sandbox-terraform-token"  # noqa: S105  # opens nothing but the sandbox
_MEDIA = "application/vnd.api+json"
_LONGEST_PAGE = 100
_Place = tuple[str, str]
"""("workspaces", ID) or ("varsets", ID)."""


class TerraformStandIn(StandIn):
    """HCP Terraform on loopback."""

    def __init__(self, clock: Clock, faults: Faults | None = None, *, token: str = TOKEN) -> None:
        super().__init__(clock, faults)
        self._token = token
        self._workspaces: dict[tuple[str, str], str] = {}
        """Organization and name to ID."""
        self._variables: dict[_Place, dict[str, dict[str, Any]]] = {}
        """By ID: all attributes, with the value."""
        self._count = 0
        self.has_pages = True
        """Whether lists have pages; the reference page of workspace variables shows one without."""

    @property
    def environment(self) -> Mapping[str, str]:
        """The token, for the environment of keyrota."""
        return {"TERRAFORM_TOKEN": self._token}

    def add_workspace(self, organization: str, name: str) -> None:
        """Make a workspace."""
        self._workspaces[organization, name] = self._id("ws")
        self._variables["workspaces", self._workspaces[organization, name]] = {}

    def add_set(self, number: str) -> None:
        """Make a variable set."""
        self._variables["varsets", number] = {}

    def place(self, organization: str, workspace: str) -> _Place:
        """Find a workspace."""
        return ("workspaces", self._workspaces[organization, workspace])

    def set_variable(self, place: _Place, name: str, value: str, **attributes: Any) -> None:
        """Set a variable as a person would: an environment variable that is not sensitive, if not said otherwise."""
        usual = {"category": "env", "sensitive": False, "hcl": False, "description": None}
        made = {"key": name, "value": value, **usual, **attributes}
        found = self._same(place, made)
        self._variables[place][found or self._id("var")] = made

    def attributes(self, place: _Place, name: str, category: str = "env") -> dict[str, Any]:
        """Tell what is stored of a variable."""
        return self._variables[place][self._same(place, {"key": name, "category": category}) or ""]

    def values(self, place: _Place) -> dict[str, str]:
        """Tell which environment a run has."""
        return {made["key"]: made["value"] for made in self._variables[place].values() if made["category"] == "env"}

    def every_value(self) -> Iterator[str]:
        """Go through all values, for tests that look for secrets."""
        for place in self._variables.values():
            yield from (made["value"] for made in place.values())

    def kind(self, request: Request) -> str:
        """Name what a request is about."""
        return "workspaces" if request.segments[0] == "organizations" else "variables"

    def refusal(self, status: int, message: str) -> Response:
        """Make a JSON:API error."""
        return json_response({"errors": [{"status": str(status), "title": message}]}, status)

    def route(self, request: Request) -> Response:
        """Answer a request."""
        if request.headers.get("authorization") != f"Bearer {self._token}":
            raise self.refuse(401, "unauthorized")
        match request.method, request.segments:
            case "GET", ["organizations", organization, "workspaces", name]:
                number = self._workspaces.get((organization, name))
                if number is not None:
                    return json_response({"data": {"id": number, "type": "workspaces", "attributes": {"name": name}}})
            case _, ["workspaces" as kind, number, "vars", *rest] if (kind, number) in self._variables:
                return self._call(request, (kind, number), rest)
            case _, ["varsets" as kind, number, "relationships", "vars", *rest] if (kind, number) in self._variables:
                return self._call(request, (kind, number), rest)
        raise self.refuse(404, "not found")

    def _call(self, request: Request, place: _Place, rest: list[str]) -> Response:
        found = self._variables[place]
        match request.method, rest:
            case "GET", []:
                return self._page(request, [self._shown(place, number) for number in found])
            case "POST", []:
                return self._create(place, self._sent(request))
            case "PATCH", [number] if number in found:
                sent = self._sent(request)
                if found[number]["sensitive"] and sent.get("sensitive") is False:
                    raise self.refuse(422, "a sensitive variable cannot be made readable")
                found[number] |= sent
                return json_response({"data": self._shown(place, number)})
            case "DELETE", [number] if number in found:
                del found[number]
                return Response(status=204)
        raise self.refuse(404, "not found")

    def _sent(self, request: Request) -> dict[str, Any]:
        """Take the attributes of a JSON:API document."""
        if request.headers.get("content-type") != _MEDIA:
            raise self.refuse(415, "unsupported media type")
        data = (request.json() or {}).get("data", {})
        if data.get("type") != "vars":
            raise self.refuse(422, "data.type must be vars")
        return dict(data.get("attributes", {}))

    def _create(self, place: _Place, sent: dict[str, Any]) -> Response:
        if sent.get("category") not in {"env", "terraform"} or not sent.get("key"):
            raise self.refuse(422, "key and category are needed")
        if self._same(place, sent):
            raise self.refuse(422, "Key has already been taken")
        number = self._id("var")
        self._variables[place][number] = {"value": "", "sensitive": False, "hcl": False, "description": None, **sent}
        return json_response({"data": self._shown(place, number)}, 201)

    def _same(self, place: _Place, made: Mapping[str, Any]) -> str | None:
        """Find the variable of the same key and category."""
        wanted = (made["key"], made["category"])
        known = self._variables[place].items()
        return next((number for number, other in known if (other["key"], other["category"]) == wanted), None)

    def _shown(self, place: _Place, number: str) -> dict[str, Any]:
        made = self._variables[place][number]
        shown = made | ({"value": None} if made["sensitive"] else {})
        return {"id": number, "type": "vars", "attributes": shown}

    def _page(self, request: Request, values: list[dict[str, Any]]) -> Response:
        if not self.has_pages:
            return json_response({"data": values})
        number = int(request.query.get("page[number]", "1"))
        length = min(_LONGEST_PAGE, int(request.query.get("page[size]", "20")))
        following = None if number * length >= len(values) else number + 1
        shown = self.page_of(values, number, length)
        return json_response({"data": shown, "meta": {"pagination": {"current-page": number, "next-page": following}}})

    def _id(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}-{self._count:016}"
