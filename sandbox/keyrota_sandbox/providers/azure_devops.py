"""An emulator for Azure DevOps, as far as variable groups go: one PUT replaces a group, null keeps a stored secret."""

from __future__ import annotations

import base64
import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any

from keyrota.ports import Clock
from keyrota_sandbox.faults import Faults
from keyrota_sandbox.providers.emulator import Emulator
from keyrota_sandbox.server import Request, Response, json_response

TOKEN = "sandbox-azure-devops-token"  # noqa: S105  # opens nothing but the sandbox
_A_PAGE = 20
_LOCATIONS = [
    {
        "id": number,
        "area": "distributedtask",
        "resourceName": "variablegroups",
        "routeTemplate": f"{scope}_apis/{{area}}/{{resource}}/{{groupId}}",
        "resourceVersion": 2,
        "minVersion": "3.2",
        "maxVersion": "7.2",
        "releasedVersion": "7.1",
    }
    for number, scope in (
        ("f5b09dd5-9d54-45a1-8b5a-1c8287d634cc", "{project}/"),
        ("ef5b7057-ffc3-4c77-bbad-c10b4a4abcc7", ""),
    )
] + [
    {
        "id": "e81700f7-3be2-46de-8624-2eb35882fcaa",
        "area": "Location",
        "resourceName": "ResourceAreas",
        "routeTemplate": "_apis/{resource}/{areaId}",
        "resourceVersion": 1,
        "minVersion": "3.2",
        "maxVersion": "7.2",
        "releasedVersion": "0.0",
    }
]
"""Where SDKs find areas, and variable groups of a project and of all (azure-devops-python-api, location_client.py)."""


class AzureEmulator(Emulator):
    """An organization of Azure DevOps on loopback."""

    def __init__(self, clock: Clock, faults: Faults | None = None, *, token: str = TOKEN) -> None:
        super().__init__(clock, faults)
        self._token = token
        self._groups: dict[int, dict[str, Any]] = {}
        self.signs_in = False
        """Whether a refused token is answered with the sign-in page and 203."""

    @property
    def environment(self) -> Mapping[str, str]:
        """The token, for the environment of keyrota."""
        return {"AZURE_DEVOPS_TOKEN": self._token}

    def add_group(self, project: str, name: str, *, shared_with: tuple[str, ...] = (), kind: str = "Vsts") -> int:
        """Make a variable group."""
        number = max(self._groups, default=0) + 1
        references = [
            {"projectReference": {"id": f"id of {each}", "name": each}, "name": name, "description": f"in {each}"}
            for each in (project, *shared_with)
        ]
        self._groups[number] = {
            "id": number,
            "type": kind,
            "name": name,
            "description": "made by a person",
            "isShared": bool(shared_with),
            "variableGroupProjectReferences": references,
            "providerData": None,
            "variables": {},
        }
        return number

    def has_group(self, project: str, name: str) -> bool:
        """Return whether a project has a group of that name."""
        return any(group["name"] == name and self._is_in(group, project) for group in self._groups.values())

    def number(self, project: str, name: str) -> int:
        """Find a group's number."""
        return next(
            number for number, group in self._groups.items() if group["name"] == name and self._is_in(group, project)
        )

    def group(self, number: int) -> dict[str, Any]:
        """Return everything that is stored of a group."""
        return self._groups[number]

    def set_variable(self, number: int, name: str, value: str, **flags: Any) -> None:
        """Set a variable as a person would; its name is found without case."""
        variables = self._groups[number]["variables"]
        spelled = next((other for other in variables if other.casefold() == name.casefold()), name)
        variables[spelled] = {"value": value, **flags}

    def values(self, number: int) -> dict[str, str]:
        """Return what a job sees."""
        return {name: variable["value"] for name, variable in self._groups[number]["variables"].items()}

    def every_value(self) -> Iterator[str]:
        """Go through all values, for tests that look for secrets."""
        for number in self._groups:
            yield from self.values(number).values()

    def kind(self, request: Request) -> str:
        """Name what a request is about."""
        if "variablegroups" not in request.segments:
            return "service"
        return "group" if request.segments[-1].isdigit() else "groups"

    def refusal(self, status: int, message: str) -> Response:
        """Make an error in Azure DevOps's shape."""
        return json_response({"$id": "1", "message": message, "typeKey": "Exception", "errorCode": 0}, status)

    def route(self, request: Request) -> Response:
        """Answer a request."""
        wanted = base64.b64encode(f":{self._token}".encode()).decode()
        if request.headers.get("authorization") not in {f"Basic {wanted}", f"Bearer {self._token}"}:
            if self.signs_in:
                return Response(status=203, body=b"<html>Azure DevOps Services | Sign In</html>")
            raise self.refuse(401, "access denied")
        if (service := self._service(request)) is not None:
            return service
        version = request.query.get("api-version") or _in_accept(request)
        if not version.startswith(("5.", "6.", "7.")):
            raise self.refuse(400, "no api-version was supplied")
        match request.method, request.segments:
            case "POST", [*_, "_apis", "distributedtask", "variablegroups"]:
                return self._add(request)
            case "DELETE", [*_, "_apis", "distributedtask", "variablegroups", number] if self._has(None, number):
                del self._groups[int(number)]
                return Response(status=204)
            case "GET", [project, "_apis", "distributedtask", "variablegroups"]:
                return self._list(request, project)
            case "GET", [project, "_apis", "distributedtask", "variablegroups", number] if self._has(project, number):
                return json_response(_show(self._groups[int(number)]))
            case "PUT", ["_apis", "distributedtask", "variablegroups", number] if self._has(None, number):
                return self._put(int(number), self._read_group(request))
            case "PUT", [project, "_apis", "distributedtask", "variablegroups", number] if self._has(project, number):
                return self._put(int(number), self._read_group(request))
        raise self.refuse(404, "variable group not found")

    def _service(self, request: Request) -> Response | None:
        """Answer what the official SDKs ask first: where resources are, and which areas there are."""
        match request.method, [segment for segment in request.segments if segment]:
            case "OPTIONS", ["_apis"]:
                return json_response({"count": len(_LOCATIONS), "value": _LOCATIONS})
            case "OPTIONS", ["_apis", "distributedtask"]:
                return json_response({"count": len(_LOCATIONS), "value": _LOCATIONS})
            case "GET", ["_apis", "resourceAreas" | "ResourceAreas", *_]:
                return json_response({"count": 0, "value": []})
            case "GET", ["_apis", "projects"]:
                return json_response({"count": len(self._projects()), "value": self._projects()})
            case "GET", ["_apis", "projects", name]:
                for project in self._projects():
                    if name.casefold() in {project["id"], project["name"].casefold()}:
                        return json_response(project)
                raise self.refuse(404, f"TF200016: The following project does not exist: {name}.")
        return None

    def _projects(self) -> list[dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for group in self._groups.values():
            for each in group["variableGroupProjectReferences"]:
                project = each["projectReference"]
                found.setdefault(project["name"], {**project, "state": "wellFormed", "visibility": "private"})
        return list(found.values())

    def _read_group(self, request: Request) -> dict[str, Any]:
        content = request.json()
        if not isinstance(content, dict) or not isinstance(content.get("variables", {}), dict):
            raise self.refuse(400, "Value cannot be null. Parameter name: group")
        references = content.get("variableGroupProjectReferences") or []
        parts = [
            *content.get("variables", {}).values(),
            *(references if isinstance(references, list) else [references]),
        ]
        if not all(isinstance(part, dict) for part in parts):
            raise self.refuse(400, "a variable or a project reference is no object")
        return content

    def _add(self, request: Request) -> Response:
        content = self._read_group(request)
        references = content.get("variableGroupProjectReferences")
        if not content.get("name") or not isinstance(references, list) or not references:
            raise self.refuse(400, "name and variableGroupProjectReferences are needed")
        projects = [each.get("projectReference") for each in references]
        names = [str(project.get("name")) for project in projects if isinstance(project, dict)]
        if not names:
            raise self.refuse(400, "Project information is not valid for variable group.")
        taken = any(
            group["name"] == content["name"] and self._is_in(group, names[0]) for group in self._groups.values()
        )
        if taken:
            raise self.refuse(409, f"Variable group with name {content['name']} already exists")
        number = self.add_group(names[0], str(content["name"]), shared_with=tuple(names[1:]))
        return self._put(number, {**content, "type": content.get("type") or "Vsts"})

    def _has(self, project: str | None, number: str) -> bool:
        group = self._groups.get(int(number)) if number.isdigit() else None
        return group is not None and (project is None or self._is_in(group, project))

    def _is_in(self, group: Mapping[str, Any], project: str) -> bool:
        """Return whether a project, by name or ID, has a group."""
        shared = [each["projectReference"] for each in group["variableGroupProjectReferences"]]
        return any(project.casefold() in {str(each.get(name)).casefold() for name in ("id", "name")} for each in shared)

    def _list(self, request: Request, project: str) -> Response:
        """List groups; a star at the end of `groupName` fits any rest. Project references are not in lists."""
        wanted = request.query.get("groupName", "*").casefold()
        found = [
            {name: value for name, value in _show(group).items() if name != "variableGroupProjectReferences"}
            for group in self._groups.values()
            if self._is_in(group, project) and _fits(group["name"].casefold(), wanted)
        ]
        number = self.read_number(request, "continuationToken", 1)
        shown = self.page_of(found, number, _A_PAGE)
        more = {"x-ms-continuationtoken": str(number + 1)} if number * _A_PAGE < len(found) else {}
        return json_response({"count": len(shown), "value": shown}, headers=more)

    def _put(self, number: int, sent: dict[str, Any]) -> Response:
        """Replace the group: what is not named is gone."""
        references = sent.get("variableGroupProjectReferences")
        if not references:
            raise self.refuse(401, "at least one variable group project reference is required")
        if any("name" not in each or "projectReference" not in each for each in references):
            raise self.refuse(400, "Project information name is not valid for variable group.")
        before = self._groups[number]
        after = copy.deepcopy(sent.get("variables", {}))
        if len({name.casefold() for name in after}) != len(after):
            raise self.refuse(400, "duplicate variable names")
        for name, variable in after.items():
            known = before["variables"].get(name, {})
            if variable.get("value") is None and variable.get("isSecret"):
                variable["value"] = known.get("value") if known.get("isSecret") else None
        self._groups[number] = {
            **before,
            **{name: sent.get(name) for name in ("name", "description", "type", "providerData")},
            "variableGroupProjectReferences": references,
            "variables": after,
        }
        return json_response(_show(self._groups[number]))


def _in_accept(request: Request) -> str:
    """Find the version where the SDKs put it: `Accept: application/json;api-version=7.1`."""
    found = re.search(r"api-version=([0-9.]+)", request.headers.get("accept", ""))
    return found[1] if found else ""


def _fits(name: str, wanted: str) -> bool:
    return name.startswith(wanted[:-1]) if wanted.endswith("*") else name == wanted


def _show(group: Mapping[str, Any]) -> dict[str, Any]:
    """Show a group; a secret's value is null."""
    shown = copy.deepcopy(dict(group))
    for variable in shown["variables"].values():
        if variable.get("isSecret"):
            variable["value"] = None
    return shown
