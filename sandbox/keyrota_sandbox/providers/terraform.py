"""An emulator of HCP Terraform, as far as variables go: JSON:API, write-once values, variable sets, waiting runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from keyrota.ports import Clock
from keyrota_sandbox.faults import Faults
from keyrota_sandbox.providers.emulator import Emulator
from keyrota_sandbox.server import Request, Response, json_response

_REGISTRY = {"modules.v1": "/api/registry/v1/modules/", "providers.v1": "/api/registry/v1/providers/"}
TOKEN = "sandbox-terraform-token"  # noqa: S105  # opens nothing but the sandbox
_MEDIA = "application/vnd.api+json"
_MAX_PAGE = 100
_FINAL = {"applied", "canceled", "discarded", "errored", "planned_and_finished"}
_Place = tuple[str, str]
"""("workspaces", ID) or ("varsets", ID)."""


class TerraformEmulator(Emulator):
    """HCP Terraform on loopback."""

    prefix = ("api", "v2")

    def __init__(self, clock: Clock, faults: Faults | None = None, *, token: str = TOKEN) -> None:
        super().__init__(clock, faults)
        self._token = token
        self._workspaces: dict[tuple[str, str], str] = {}
        """Organization and name to ID."""
        self._sets: dict[str, dict[str, Any]] = {}
        """By ID: organization, attributes, and the workspaces that it is applied to."""
        self._variables: dict[_Place, dict[str, dict[str, Any]]] = {}
        """By ID: all attributes, with the value."""
        self._runs: dict[str, dict[str, Any]] = {}
        self._count = 0
        self.has_pages = False
        """Whether the list of a workspace's variables has pages; the real one has none, that of a set has."""

    @property
    def environment(self) -> Mapping[str, str]:
        """The token, for the environment of keyrota."""
        return {"TERRAFORM_TOKEN": self._token}

    def add_workspace(self, organization: str, name: str) -> None:
        """Make a workspace; one that is made again has another ID."""
        self._workspaces[organization, name] = self._id("ws")
        self._variables["workspaces", self._workspaces[organization, name]] = {}

    def rename_workspace(self, organization: str, name: str, new: str) -> None:
        """Rename a workspace: its ID stays."""
        self._workspaces[organization, new] = self._workspaces.pop((organization, name))

    def add_set(
        self, number: str, *workspaces: _Place, organization: str = "acme", is_global: bool = False, **attributes: Any
    ) -> None:
        """Make a variable set, applied to some workspaces or to all; `name` and `priority` are attributes."""
        usual = {"name": f"set {number[-4:]}", "description": "", "global": is_global, "priority": False}
        self._sets[number] = {
            "organization": organization,
            "attributes": {**usual, **attributes},
            "workspaces": [place[1] for place in workspaces],
        }
        self._variables["varsets", number] = {}

    def add_run(self, place: _Place, status: str, created: str) -> str:
        """Make a run that is in a status since it was created (an instant in ISO 8601)."""
        number = self._id("run")
        self._runs[number] = {"workspace": place[1], "attributes": {"status": status, "created-at": created}}
        return number

    def end_run(self, number: str) -> None:
        """Discard a run."""
        self._runs[number]["attributes"]["status"] = "discarded"

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
        """Return what is stored of a variable."""
        return self._variables[place][self._same(place, {"key": name, "category": category}) or ""]

    def values(self, place: _Place, category: str = "env") -> dict[str, str]:
        """Return which environment a run has, or which inputs."""
        return {made["key"]: made["value"] for made in self._variables[place].values() if made["category"] == category}

    def every_value(self) -> Iterator[str]:
        """Go through all values, for tests that look for secrets."""
        for place in self._variables.values():
            yield from (made["value"] for made in place.values())

    def kind(self, request: Request) -> str:
        """Name what a request is about."""
        if request.segments[-1] in {"runs", "varsets"}:
            return request.segments[-1]
        if request.segments[0] == "varsets" and "vars" not in request.segments:
            return "set"
        return "workspaces" if request.segments[0] == "organizations" else "variables"

    def refusal(self, status: int, message: str) -> Response:
        """Make a JSON:API error."""
        return json_response({"errors": [{"status": str(status), "title": message}]}, status)

    def route(self, request: Request) -> Response:
        """Answer a request."""
        match request.segments:
            case ["ping"]:
                return Response(status=204)
            case [".well-known", "terraform.json"]:  # clients look here first, without a token
                return json_response(
                    {"tfe.v2": "/api/v2/", "tfe.v2.1": "/api/v2/", "tfe.v2.2": "/api/v2/", **_REGISTRY}
                )
        if request.headers.get("authorization") != f"Bearer {self._token}":
            raise self.refuse(401, "unauthorized")
        match request.method, request.segments:
            case _, ["workspaces" as kind, number, "vars", *rest] if (kind, number) in self._variables:
                return self._call(request, (kind, number), rest)
            case _, ["varsets" as kind, number, "relationships", "vars", *rest] if (kind, number) in self._variables:
                return self._call(request, (kind, number), rest)
            case "GET", segments:
                return self._look_up(request, segments)
        raise self.refuse(404, "not found")

    def _look_up(self, request: Request, segments: Sequence[str]) -> Response:
        match segments:
            case ["account", "details"]:
                return json_response({"data": {"id": "user-1", "type": "users", "attributes": {"username": "deploy"}}})
            case ["organizations", name] if name in self._organizations():
                return json_response({"data": _show("organizations", name, {"name": name})})
            case ["organizations", organization, "workspaces"] if organization in self._organizations():
                return self._page(request, self._show_workspaces(organization))
            case ["organizations", organization, "workspaces", name] if (organization, name) in self._workspaces:
                return json_response({"data": self._show_workspace(organization, name)})
            case ["organizations", organization, "varsets"] if organization in self._organizations():
                ours = [number for number, one in self._sets.items() if one["organization"] == organization]
                return self._page(request, [self._show_set(number) for number in ours])
            case ["organizations", organization, "runs"] if organization in self._organizations():
                return self._page(request, self._show_runs(request, None))
            case ["workspaces", number] if ("workspaces", number) in self._variables:
                (at,) = (at for at, found in self._workspaces.items() if found == number)
                return json_response({"data": self._show_workspace(*at)})
            case ["workspaces", number, "varsets"] if ("workspaces", number) in self._variables:
                applied = [each for each, one in self._sets.items() if self._is_applied(one, number)]
                return self._page(request, [self._show_set(each) for each in applied])
            case ["workspaces", number, "runs"] if ("workspaces", number) in self._variables:
                return self._page(request, self._show_runs(request, number))
            case ["varsets", number] if number in self._sets:
                return json_response({"data": self._show_set(number)})
            case ["runs", number] if number in self._runs:
                return json_response({"data": self._show_run(number)})
        raise self.refuse(404, "not found")

    # --- variables ----------------------------------------------------------------------------------------------------

    def _call(self, request: Request, place: _Place, rest: list[str]) -> Response:
        found = self._variables[place]
        match request.method, rest:
            case "GET", []:
                values = [self._variable(place, number) for number in found]
                has_pages = self.has_pages or place[0] == "varsets"
                return self._page(request, values) if has_pages else json_response({"data": values})
            case "GET", [number] if number in found:
                return json_response({"data": self._variable(place, number)})
            case "POST", []:
                return self._create(place, self._read_attributes(request))
            case "PATCH", [number] if number in found:
                return self._update(place, number, self._read_attributes(request))
            case "DELETE", [number] if number in found:
                del found[number]
                return Response(status=204)
        raise self.refuse(404, "not found")

    def _read_attributes(self, request: Request) -> dict[str, Any]:
        """Take the attributes of a JSON:API document."""
        if request.headers.get("content-type") != _MEDIA:
            raise self.refuse(415, "unsupported media type")
        content = request.json()
        data = content.get("data") if isinstance(content, dict) else None
        attributes = data.get("attributes") if isinstance(data, dict) else None
        if not isinstance(data, dict) or data.get("type") != "vars" or not isinstance(attributes, dict):
            raise self.refuse(422, "data.type must be vars, and data.attributes an object")
        return {name: value for name, value in attributes.items() if name != "id"}

    def _create(self, place: _Place, sent: dict[str, Any]) -> Response:
        if sent.get("category") not in {"env", "terraform"} or not sent.get("key"):
            raise self.refuse(422, "key and category are needed")
        if self._same(place, sent):
            raise self.refuse(422, "Key has already been taken")
        number = self._id("var")
        usual = {"value": "", "sensitive": False, "hcl": False, "description": None}
        self._variables[place][number] = {**usual, **sent, "value": str(sent.get("value") or "")}
        return json_response({"data": self._variable(place, number)}, 201)

    def _update(self, place: _Place, number: str, sent: dict[str, Any]) -> Response:
        found = self._variables[place][number]
        if found["sensitive"] and sent.get("sensitive") is False:
            raise self.refuse(422, "a sensitive variable cannot be made readable")
        if sent.get("category", found["category"]) != found["category"]:
            raise self.refuse(422, "Category cannot be changed")
        other = self._same(place, {**found, **sent})
        if other not in {None, number}:
            raise self.refuse(422, "Key has already been taken")
        found |= sent
        return json_response({"data": self._variable(place, number)})

    def _same(self, place: _Place, made: Mapping[str, Any]) -> str | None:
        """Find the variable of the same key and category."""
        wanted = (made["key"], made["category"])
        known = self._variables[place].items()
        return next((number for number, other in known if (other["key"], other["category"]) == wanted), None)

    def _variable(self, place: _Place, number: str) -> dict[str, Any]:
        made = self._variables[place][number]
        return _show("vars", number, made | ({"value": None} if made["sensitive"] else {}))

    # --- what is shown ------------------------------------------------------------------------------------------------

    def _organizations(self) -> set[str]:
        return {organization for organization, _ in self._workspaces} | {
            one["organization"] for one in self._sets.values()
        }

    def _show_workspaces(self, organization: str) -> list[dict[str, Any]]:
        return [self._show_workspace(*at) for at in self._workspaces if at[0] == organization]

    def _show_workspace(self, organization: str, name: str) -> dict[str, Any]:
        related = {"organization": {"data": {"id": organization, "type": "organizations"}}}
        return _show("workspaces", self._workspaces[organization, name], {"name": name, "locked": False}, related)

    def _is_applied(self, one: Mapping[str, Any], workspace: str) -> bool:
        return bool(one["attributes"]["global"]) or workspace in one["workspaces"]

    def _show_set(self, number: str) -> dict[str, Any]:
        one = self._sets[number]
        return _show(
            "varsets",
            number,
            one["attributes"],
            {
                "workspaces": {"data": [{"id": each, "type": "workspaces"} for each in one["workspaces"]]},
                "vars": {"data": [{"id": each, "type": "vars"} for each in self._variables["varsets", number]]},
            },
        )

    def _show_runs(self, request: Request, workspace: str | None) -> list[dict[str, Any]]:
        group = request.query.get("filter[status_group]", "")
        statuses = set(filter(None, request.query.get("filter[status]", "").split(",")))
        return [
            self._show_run(number)
            for number, run in self._runs.items()
            if workspace in {None, run["workspace"]}
            and (group != "non_final" or run["attributes"]["status"] not in _FINAL)
            and (not statuses or run["attributes"]["status"] in statuses)
        ]

    def _show_run(self, number: str) -> dict[str, Any]:
        run = self._runs[number]
        related = {"workspace": {"data": {"id": run["workspace"], "type": "workspaces"}}}
        return _show("runs", number, run["attributes"], related)

    def _page(self, request: Request, values: list[dict[str, Any]]) -> Response:
        number = self.read_number(request, "page[number]", 1)
        length = min(_MAX_PAGE, self.read_number(request, "page[size]", 20))
        following = None if number * length >= len(values) else number + 1
        shown = self.page_of(values, number, length)
        pages = {"current-page": number, "page-size": length, "next-page": following, "total-count": len(values)}
        return json_response({"data": shown, "meta": {"pagination": pages}})

    def _id(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}-{self._count:016}"


def _show(
    kind: str, number: str, attributes: Mapping[str, Any], related: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": number, "type": kind, "attributes": dict(attributes)}
    return shown | ({"relationships": dict(related)} if related else {})
