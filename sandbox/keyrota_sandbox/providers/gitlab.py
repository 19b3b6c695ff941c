"""
An emulator for GitLab, as far as CI/CD variables, pipelines and schedules go.

Behaves as GitLab's own description says, and where the two differ, as the service does (the table in
docs/facts/gitlab.md): values in clear in every list, one key in several scopes, a filter that must be given,
an update that moves a variable if it names another scope, values that cannot be masked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any
from urllib.parse import parse_qsl

from keyrota.ports import Clock
from keyrota_sandbox.faults import Faults
from keyrota_sandbox.providers.emulator import Emulator, Refusal
from keyrota_sandbox.server import Request, Response, json_response

TOKEN = "sandbox-gitlab-token"  # noqa: S105  # opens nothing but the sandbox
JOB_TOKEN = "sandbox-gitlab-job-token"  # noqa: S105  # the same
Level = tuple[str, str]
"""("project", path), ("group", path) or ("instance", "")."""

_KEY = re.compile(r"[A-Za-z0-9_]{1,255}")
_MASKABLE = re.compile(r"[a-zA-Z0-9_+=/@:.~-]{8,}")
_MASKABLE_RAW = re.compile(r"\S{8,}")
_LONG_AGO = "2020-01-01T00:00:00.000Z"
_MAX_LENGTH = 10_000


@dataclass(slots=True, kw_only=True)
class Variable:
    """A variable, as GitLab keeps it."""

    key: str
    value: str
    variable_type: str = "env_var"
    protected: bool = False
    masked: bool = False
    hidden: bool = False
    raw: bool = False
    environment_scope: str = "*"
    description: str | None = None

    def show(self, *, is_instance: bool) -> dict[str, Any]:
        """Show it: a hidden value is null, the instance knows no scopes."""
        fields: dict[str, Any] = {
            "variable_type": self.variable_type,
            "key": self.key,
            "value": None if self.hidden else self.value,
            "protected": self.protected,
            "masked": self.masked,
            "raw": self.raw,
            "description": self.description,
        }
        return fields if is_instance else {**fields, "hidden": self.hidden, "environment_scope": self.environment_scope}


@dataclass(slots=True, kw_only=True)
class _Project:
    id: int
    path: str
    active: datetime
    is_archived: bool = False
    has_builds: bool = True
    """CI/CD is on."""
    pipelines: dict[int, str] = field(default_factory=dict)
    environments: dict[int, str] = field(default_factory=dict)
    schedules: dict[int, tuple[str, dict[str, str]]] = field(default_factory=dict)


class GitLabEmulator(Emulator):
    """GitLab on loopback."""

    def __init__(self, clock: Clock, faults: Faults | None = None, *, token: str = TOKEN) -> None:
        super().__init__(clock, faults)
        self._token = token
        self._projects: dict[str, _Project] = {}
        self._moved: dict[str, _Project] = {}
        self._groups: dict[str, int] = {}
        """Whole path to number."""
        self._variables: dict[Level, list[Variable]] = {("instance", ""): []}
        self._numbers = iter(range(1, 10**9))
        self.down: set[str] = set()
        """Paths of projects that answer 503; their jobs continue."""
        self.token_expires: date | None = None
        self.token_scopes = ["api"]
        self.is_token_revoked = False
        self.is_read_only = False

    @property
    def environment(self) -> Mapping[str, str]:
        """The token, for the environment of keyrota."""
        return {"GITLAB_TOKEN": self._token}

    # --- what people do ---------------------------------------------------------------------------------------------

    def add_project(self, path: str) -> int:
        """Make a project, and the groups that it lies in; returns its number."""
        made = _Project(id=next(self._numbers), path=path, active=self.clock.now())
        self._moved.pop(path, None)  # a redirect ends when another project takes the path
        self._projects[path] = made
        self._variables.setdefault(("project", path), [])
        parts = path.split("/")[:-1]
        for length in range(1, len(parts) + 1):
            self.add_group("/".join(parts[:length]))
        return made.id

    def push(self, path: str) -> None:
        """Push to a project."""
        self._projects[path].active = self.clock.now()

    def archive(self, path: str) -> None:
        """Archive a project."""
        self._projects[path].is_archived = True

    def switch_builds_off(self, path: str) -> None:
        """Switch CI/CD off for a project."""
        self._projects[path].has_builds = False

    def add_group(self, path: str) -> None:
        """Make a group."""
        self._groups.setdefault(path, 100 + next(self._numbers))
        self._variables.setdefault(("group", path), [])

    def move_project(self, old: str, new: str) -> None:
        """Move a project; the old path redirects."""
        found = self._projects.pop(old)
        found.path = new
        self._projects[new] = self._moved[old] = found
        self._variables["project", new] = self._variables.pop(("project", old))

    def delete_project(self, path: str) -> None:
        """Delete a project, and all that is in it."""
        del self._projects[path]
        del self._variables["project", path]

    def id_of(self, path: str) -> int:
        """Return the number of a project or a group."""
        return self._projects[path].id if path in self._projects else self._groups[path]

    def set_variable(self, level: Level, name: str, value: str, **more: Any) -> None:
        """Set a variable as a person would; `scope` names the environment scope."""
        scope = more.pop("scope", "*")
        with self._lock:
            known = self.variable(level, name, scope)
            if known is not None:
                known.value = value
                return
            self._variables[level].append(Variable(key=name, value=value, environment_scope=scope, **more))

    def remove_variable(self, level: Level, name: str, scope: str = "*") -> None:
        """Remove a variable as a person would."""
        with self._lock:
            kept = [it for it in self._variables[level] if (it.key, it.environment_scope) != (name, scope)]
            self._variables[level] = kept

    def variable(self, level: Level, name: str, scope: str = "*") -> Variable | None:
        """Find a variable."""
        found = (it for it in self._variables[level] if (it.key, it.environment_scope) == (name, scope))
        return next(found, None)

    def copy_variables(self, level: Level) -> list[Variable]:
        """Copy all variables of a level."""
        return [replace(it) for it in self._variables[level]]

    def values(self, project: str, environment: str = "", *, is_protected_ref: bool = False) -> dict[str, str]:
        """Return what a job sees: the instance, groups from the outermost in, the project; the closest scope last."""
        parts = project.split("/")[:-1]
        groups = ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
        levels: list[Level] = [("instance", ""), *(("group", path) for path in groups), ("project", project)]
        with self._lock:
            seen: dict[str, str] = {}
            for level in levels:
                fitting = [
                    it
                    for it in self._variables.get(level, [])
                    if _fits(it.environment_scope, environment) and (is_protected_ref or not it.protected)
                ]
                fitting.sort(key=lambda it: (it.environment_scope == environment, len(it.environment_scope)))
                seen |= {it.key: it.value for it in fitting}
            return seen

    def add_pipeline(self, project: str, status: str = "running") -> int:
        """Start a pipeline; returns its number."""
        number = next(self._numbers)
        self._projects[project].pipelines[number] = status
        return number

    def end_pipeline(self, project: str, number: int) -> None:
        """Let a pipeline end."""
        self._projects[project].pipelines[number] = "success"

    def add_schedule(self, project: str, description: str, variables: Mapping[str, str]) -> None:
        """Make a pipeline schedule with variables of its own."""
        self._projects[project].schedules[next(self._numbers)] = (description, dict(variables))

    def every_value(self) -> Iterator[str]:
        """Go through all values, for tests that look for secrets."""
        for variables in self._variables.values():
            yield from (it.value for it in variables)

    # --- what the service does --------------------------------------------------------------------------------------

    def kind(self, request: Request) -> str:
        """Name what a request is about."""
        segments = request.segments
        for name, word in (("pipeline_schedules", "schedules"), ("variables", "variables"), ("pipelines", "pipelines")):
            if name in segments:
                return word
        if segments[2:3] in {("projects",), ("groups",)} and len(segments) == 4:  # noqa: PLR2004  # /api/v4/projects/{id}
            return segments[2].removesuffix("s")
        return "token" if segments[-1] == "self" else segments[-1]

    def refusal(self, status: int, message: str) -> Response:
        """Make an error in GitLab's shape; a limit is plain text."""
        if status == 429:  # noqa: PLR2004  # HTTP: too many requests
            return Response(status=429, body=b"Retry later\n", headers={"Content-Type": "text/plain"})
        return json_response({"message": message}, status)

    def __call__(self, request: Request) -> Response:
        """Answer one request, with the headers that every answer has."""
        answer = super().__call__(request)
        reset = str(int(self.clock.now().timestamp()) + 60)
        headers = {
            "RateLimit-Limit": "2000",
            "RateLimit-Name": "throttle_authenticated_api",
            "RateLimit-Observed": "1",
            "RateLimit-Remaining": "1999",
            "RateLimit-Reset": reset,
            "x-request-id": "SANDBOX",
        }
        return Response(status=answer.status, body=answer.body, headers={**headers, **answer.headers})

    def route(self, request: Request) -> Response:
        """Answer a request."""
        self._authenticate(request)
        match request.segments:
            case ["api", "v4", "personal_access_tokens" | "user" | "version", *rest]:
                return self._about_caller(request.segments[2], rest)
            case ["api", "v4", "projects", path, "variables", *rest]:
                found = self._project(request, path)
                return self._variables_call(request, ("project", found.path), rest)
            case ["api", "v4", "groups", path, "variables", *rest]:
                return self._variables_call(request, ("group", self._group(path)), rest)
            case ["api", "v4", "admin", "ci", "variables", *rest]:
                return self._variables_call(request, ("instance", ""), rest)
            case ["api", "v4", "projects", path, "environments", *rest]:
                return self._environments(request, self._project(request, path), rest)
            case ["api", "v4", "projects", path, "pipelines"]:
                return self._pipelines(request, self._project(request, path))
            case ["api", "v4", "projects", path, "pipeline_schedules", *rest]:
                return self._schedules(request, self._project(request, path), rest)
            case ["api", "v4", "projects"] if request.method == "POST":
                return self._create_project(request)
            case ["api", "v4", "projects", path, *rest]:
                return self._one_project(request, self._project(request, path), rest)
            case ["api", "v4", "groups", path]:
                return json_response(self._group_shape(self._group(path)))
            case ["api", "v4", "projects"] | ["api", "v4", "groups", *_]:
                return self._lists(request)
        raise self.refuse(404, "404 Not Found")

    def _about_caller(self, what: str, rest: list[str]) -> Response:
        match what, rest:
            case "personal_access_tokens", ["self"]:
                return json_response(self._token_shape())
            case "user", []:
                return json_response({"id": 1, "username": "sandbox", "name": "sandbox", "state": "active"})
            case "version", []:
                return json_response({"version": "18.6.0-ee", "revision": "5a4db0c"})
        raise self.refuse(404, "404 Not Found")

    def _authenticate(self, request: Request) -> None:
        # A job token opens some endpoints, and variables are not among them (doc/ci/jobs/ci_job_token.md): 401.
        bearer = request.headers.get("authorization", "")
        is_over = self.token_expires is not None and self.token_expires <= self.clock.now().date()
        if self.is_token_revoked or is_over:
            content = {"error": "invalid_token", "error_description": "Token was revoked, or is expired."}
            raise Refusal(json_response(content, 401))
        if self._token not in {request.headers.get("private-token"), bearer.removeprefix("Bearer ")}:
            raise self.refuse(401, "401 Unauthorized")
        if request.method != "GET" and "api" not in self.token_scopes:
            content = {"error": "insufficient_scope", "error_description": "higher privileges", "scope": "api"}
            raise Refusal(json_response(content, 403))
        if request.method != "GET" and self.is_read_only:
            raise self.refuse(403, "403 Forbidden")

    def _token_shape(self) -> dict[str, Any]:
        return {
            "id": 1,
            "name": "keyrota",
            "revoked": self.is_token_revoked,
            "created_at": _LONG_AGO,
            "description": "",
            "scopes": self.token_scopes,
            "user_id": 1,
            "last_used_at": _LONG_AGO,
            "active": not self.is_token_revoked,
            "expires_at": self.token_expires.isoformat() if self.token_expires else None,
        }

    def _project(self, request: Request, path: str) -> _Project:
        path = self._spell(path, (*self._projects, *self._moved))
        if path in self._moved:
            there = request.target.replace(request.target.split("/")[4], str(self._moved[path].id), 1)
            if request.method != "GET":
                raise self.refuse(405, "Non GET methods are not allowed for moved projects")
            answer = self.refusal(301, "Moved")
            raise Refusal(Response(status=answer.status, body=answer.body, headers={"Location": request.base + there}))
        found = self._projects.get(path) or next((it for it in self._projects.values() if str(it.id) == path), None)
        if found is None:
            raise self.refuse(404, "404 Project Not Found")
        if found.path in self.down:
            raise self.refuse(503, "503 Service Unavailable")
        return found

    def _spell(self, path: str, known: Iterable[str]) -> str:
        """Find a path as it is spelled: GitLab takes it in any case."""
        return next((each for each in known if each.casefold() == path.casefold()), path)

    def _group(self, path: str) -> str:
        """Find a group by its path, in any case, or by its number."""
        for known, number in self._groups.items():
            if path.casefold() in (known.casefold(), str(number)):
                return known
        raise self.refuse(404, "404 Group Not Found")

    def _one_project(self, request: Request, found: _Project, rest: list[str]) -> Response:
        """Show, move, archive or delete a project."""
        match request.method, rest:
            case "GET", []:
                return json_response(self._project_shape(found))
            case "PUT", []:
                name = str((request.json() or {}).get("path", "")) or found.path.rpartition("/")[2]
                parent = found.path.rpartition("/")[0]
                if f"{parent}/{name}" != found.path:
                    self.move_project(found.path, f"{parent}/{name}")
                return json_response(self._project_shape(found))
            case "PUT", ["transfer"]:
                there = self._group(str((request.json() or {}).get("namespace", "")))
                self.move_project(found.path, f"{there}/{found.path.rpartition('/')[2]}")
                return json_response(self._project_shape(found))
            case "POST", ["archive" | "unarchive" as what]:
                found.is_archived = what == "archive"
                return json_response(self._project_shape(found), 201)
            case "DELETE", []:
                self.delete_project(found.path)
                return json_response({"message": "202 Accepted"}, 202)
        raise self.refuse(404, "404 Not Found")

    def _create_project(self, request: Request) -> Response:
        content = request.json() or {}
        number = str(content.get("namespace_id", ""))
        parent = next((path for path, known in self._groups.items() if str(known) == number), "sandbox")
        path = f"{parent}/{content.get('path') or content.get('name')}"
        if path in self._projects:
            raise self._invalid(path="has already been taken")
        self.add_project(path)
        return json_response(self._project_shape(self._projects[path]), 201)

    def _project_shape(self, it: _Project) -> dict[str, Any]:
        parent = it.path.rpartition("/")[0]
        return {
            "id": it.id,
            "path": it.path.rpartition("/")[2],
            "path_with_namespace": it.path,
            "namespace": {"id": self._groups.get(parent, 0), "kind": "group", "full_path": parent},
            "visibility": "private",
            "archived": it.is_archived,
            "last_activity_at": f"{it.active:%Y-%m-%dT%H:%M:%S.000Z}",
            "builds_access_level": "enabled" if it.has_builds else "disabled",
        }

    def _group_shape(self, path: str) -> dict[str, Any]:
        return {"id": self._groups[path], "path": path.rpartition("/")[2], "full_path": path, "visibility": "private"}

    # --- variables --------------------------------------------------------------------------------------------------

    def _variables_call(self, request: Request, level: Level, rest: list[str]) -> Response:
        variables = self._variables[level]
        is_instance = level[0] == "instance"
        match request.method, rest:
            case "GET", []:
                return self._page(request, [it.show(is_instance=is_instance) for it in variables])
            case "POST", []:
                return self._create(request, variables, is_instance=is_instance)
            case "GET", [name]:
                return json_response(self._choose(request, variables, name).show(is_instance=is_instance))
            case "PUT", [name]:
                changed = self._update(request, self._choose(request, variables, name), variables)
                return json_response(changed.show(is_instance=is_instance))
            case "DELETE", [name]:
                variables.remove(self._choose(request, variables, name))
                return Response(status=204)
        raise self.refuse(404, "404 Not Found")

    def _choose(self, request: Request, variables: list[Variable], name: str) -> Variable:
        """Find a variable as GitLab does: without a filter the only one of that name, whatever its scope."""
        given = self._parameters(request)
        scope = given.get("filter[environment_scope]") or (given.get("filter") or {}).get("environment_scope")
        found = [it for it in variables if it.key == name and scope in (None, it.environment_scope)]
        if not found:
            raise self.refuse(404, "404 Variable Not Found")
        if len(found) > 1:
            raise self.refuse(
                409,
                "There are multiple variables with provided parameters. Please use 'filter[environment_scope]'",
            )
        return found[0]

    def _parameters(self, request: Request) -> dict[str, Any]:
        """Join query and body, JSON or a form, as GitLab does: one set of parameters."""
        given: dict[str, Any] = dict(request.query)
        if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            return given | {
                name: {"true": True, "false": False}.get(value, value)
                for name, value in parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True)
            }
        content = request.json()
        return given | content if isinstance(content, dict) else given

    def _content(self, request: Request, *needed: str) -> dict[str, Any]:
        content = self._parameters(request)
        for name in needed:
            if not isinstance(content.get(name), str):
                raise Refusal(json_response({"error": f"{name} is missing"}, 400))
        return content

    def _invalid(self, **fields: str) -> Refusal:
        content = {"message": {name: [words] for name, words in fields.items()}}
        return Refusal(json_response(content, 400))

    def _create(self, request: Request, variables: list[Variable], *, is_instance: bool) -> Response:
        content = self._content(request, "key", "value")
        is_hidden = content.get("masked_and_hidden") is True
        made = Variable(
            key=str(content.get("key", "")),
            value=str(content.get("value", "")),
            variable_type=content.get("variable_type", "env_var"),
            protected=content.get("protected") is True,
            masked=content.get("masked") is True or is_hidden,
            hidden=is_hidden,
            raw=content.get("raw") is True,
            environment_scope=content.get("environment_scope", "*"),
        )
        self._demand_valid(made)
        if any((it.key, it.environment_scope) == (made.key, made.environment_scope) for it in variables):
            raise self._invalid(key=f"({made.key}) has already been taken")
        variables.append(made)
        return json_response(made.show(is_instance=is_instance), 201)

    def _update(self, request: Request, variable: Variable, variables: list[Variable]) -> Variable:
        content = self._content(request)
        if variable.hidden and {"masked", "hidden", "masked_and_hidden"} & set(content):
            raise self._invalid(base="The visibility setting cannot be changed for masked and hidden variables.")
        names = ("value", "variable_type", "protected", "masked", "raw", "environment_scope", "description")
        changed = replace(variable, **{name: content[name] for name in names if name in content})
        self._demand_valid(changed)
        place = (changed.key, changed.environment_scope)
        if any((it.key, it.environment_scope) == place for it in variables if it is not variable):
            raise self._invalid(key=f"({changed.key}) has already been taken")
        variables[variables.index(variable)] = changed
        return changed

    def _demand_valid(self, variable: Variable) -> None:
        pattern = _MASKABLE_RAW if variable.raw else _MASKABLE
        if not _KEY.fullmatch(variable.key):
            raise self._invalid(key="can contain only letters, digits and '_'.")
        is_unfit = variable.masked and not pattern.fullmatch(variable.value)
        if is_unfit or len(variable.value) > _MAX_LENGTH or variable.variable_type not in {"env_var", "file"}:
            raise self._invalid(value="is invalid")

    # --- the rest ---------------------------------------------------------------------------------------------------

    def _environments(self, request: Request, project: _Project, rest: list[str]) -> Response:
        """List, show, make or delete environments; a scope of variables needs none of them."""
        shown = [self._environment_shape(*each) for each in project.environments.items()]
        match request.method, rest:
            case "GET", []:
                return self._page(request, shown)
            case "POST", []:
                name = self._content(request, "name")["name"]
                if name in project.environments.values():
                    raise self._invalid(name="has already been taken")
                number = next(self._numbers)
                project.environments[number] = name
                return json_response(self._environment_shape(number, name), 201)
            case _, [number] if number.isdigit() and int(number) in project.environments:
                if request.method == "DELETE":
                    del project.environments[int(number)]
                    return Response(status=204)
                return json_response(self._environment_shape(int(number), project.environments[int(number)]))
        raise self.refuse(404, "404 Not Found")

    def _environment_shape(self, number: int, name: str) -> dict[str, Any]:
        return {"id": number, "name": name, "slug": name.lower(), "state": "available", "external_url": None}

    def _pipelines(self, request: Request, project: _Project) -> Response:
        if not project.has_builds:
            raise self.refuse(403, "403 Forbidden")
        wanted = request.query.get("status")
        shown = [
            {
                "id": number,
                "iid": number,
                "project_id": project.id,
                "sha": "0" * 40,
                "ref": "main",
                "status": status,
                "source": "push",
                "created_at": _LONG_AGO,
                "updated_at": _LONG_AGO,
                "web_url": f"https://sandbox.invalid/{project.path}/-/pipelines/{number}",
            }
            for number, status in project.pipelines.items()
            if wanted in (None, status)
        ]
        return self._page(request, shown)

    def _schedules(self, request: Request, project: _Project, rest: list[str]) -> Response:
        shown = [
            {"id": number, "description": description, "ref": "main", "cron": "0 1 * * *", "active": True}
            for number, (description, _) in project.schedules.items()
        ]
        if not rest:
            return self._page(request, shown)
        for schedule in shown:
            if str(schedule["id"]) == rest[0]:
                variables = project.schedules[int(rest[0])][1]
                listed = [
                    {"variable_type": "env_var", "key": key, "value": value, "raw": False}
                    for key, value in variables.items()
                ]
                return json_response({**schedule, "variables": listed})
        raise self.refuse(404, "404 Pipeline Schedule Not Found")

    def _lists(self, request: Request) -> Response:
        """List projects and groups; these paths are not in the description's cut."""
        match request.segments[2:]:
            case ["projects"]:
                below = ""
                what = "projects"
            case ["groups"]:
                return self._page(request, [self._group_shape(path) for path in sorted(self._groups)])
            case ["groups", path, "projects"]:
                below, what = f"{self._group(path)}/", "projects"
            case ["groups", path, "descendant_groups"]:
                below, what = f"{self._group(path)}/", "groups"
            case _:
                raise self.refuse(404, "404 Not Found")
        if what == "groups":
            found = [path for path in sorted(self._groups) if path.startswith(below)]
            return self._page(request, [self._group_shape(path) for path in found])
        return self._page(request, self._projects_below(below, request.query))

    def _projects_below(self, below: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """Show projects; those of a group's subgroups only where they are asked for."""
        is_deep = not below or query.get("include_subgroups") == "true"
        found = [
            it
            for it in self._projects.values()
            if it.path.startswith(below)
            and (is_deep or "/" not in it.path.removeprefix(below))
            and query.get("archived") in (None, str(it.is_archived).lower())
        ]
        if query.get("order_by") == "last_activity_at":
            found.sort(key=lambda it: it.active, reverse=query.get("sort", "desc") == "desc")
        return [self._project_shape(it) for it in found]

    def _page(self, request: Request, values: list[dict[str, Any]]) -> Response:
        query = request.query
        length = min(100, self.read_number(request, "per_page", 20))
        number = self.read_number(request, "page", 1)
        headers = {"x-page": str(number), "x-per-page": str(length), "x-total": str(len(values)), "x-next-page": ""}
        if number * length < len(values):
            others = "".join(f"&{name}={value}" for name, value in query.items() if name not in {"page", "per_page"})
            there = f"{request.base}{request.path}?per_page={length}&page={number + 1}{others}"
            headers |= {"Link": f'<{there}>; rel="next"', "x-next-page": str(number + 1)}
        body = json.dumps(self.page_of(values, number, length)).encode()
        return Response(status=200, body=body, headers={"Content-Type": "application/json", **headers})


def _fits(scope: str, environment: str) -> bool:
    """Return whether an environment scope covers an environment; `*` stands for anything."""
    pattern = ".*".join(re.escape(part) for part in scope.split("*"))
    return re.fullmatch(pattern, environment) is not None
