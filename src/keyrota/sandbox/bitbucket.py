"""
A stand-in for Bitbucket Cloud, as far as variables go.

Behaves as the service's own description says, and where the two differ, as the service does (the table in
shared/contracts/README.md): 10 a page, secured values never returned, 409 for a name that exists, no timestamps.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

from keyrota.ports import Clock
from keyrota.sandbox.faults import Faults
from keyrota.sandbox.http import Request, Response, json_response
from keyrota.sandbox.standin import Refusal, StandIn

TOKEN = "sandbox-bitbucket-token"  # noqa: S105  # opens nothing but the sandbox
_PAGE, _LARGEST_PAGE = 10, 100


@dataclass(slots=True, kw_only=True)
class _Variable:
    uuid: str
    key: str
    value: str
    secured: bool

    def shown(self) -> dict[str, Any]:
        """A secured value is absent, not empty."""
        fields: dict[str, Any] = {
            "type": "pipeline_variable",
            "uuid": self.uuid,
            "key": self.key,
            "secured": self.secured,
        }
        return fields if self.secured else fields | {"value": self.value}


@dataclass(slots=True, kw_only=True)
class _Repository:
    environments: dict[str, str] = field(default_factory=dict)
    """UUID to name."""
    pipelines: dict[str, str] = field(default_factory=dict)
    """UUID to state: PENDING, IN_PROGRESS, COMPLETED."""
    updated: datetime


Scope = tuple[str, ...]
"""(workspace,), (workspace, repository) or (workspace, repository, environment UUID)."""


def refusal(status: int, message: str, key: str = "") -> Response:
    """Answer with an error in Bitbucket's shape."""
    error: dict[str, Any] = {"message": message}
    if key:
        error["data"] = {"key": key}
    return json_response({"type": "error", "error": error}, status)


class BitbucketStandIn(StandIn):
    """Bitbucket on loopback."""

    def __init__(
        self,
        clock: Clock,
        faults: Faults | None = None,
        *,
        token: str = TOKEN,
        basic: tuple[str, str] = ("ci@example.com", "sandbox-api-token"),
        consumer: tuple[str, str] = ("sandbox-client", "sandbox-client-secret"),
    ) -> None:
        super().__init__(clock, faults)
        self._token, self._basic, self._consumer = token, basic, consumer
        self._given: dict[str, datetime] = {}
        self._workspaces: set[str] = set()
        self._repositories: dict[tuple[str, str], _Repository] = {}
        self._variables: dict[Scope, list[_Variable]] = {}
        self._numbers = iter(range(1, 10**9))
        self.down: set[tuple[str, str]] = set()
        """Workspace and repository that answer 503; their pipelines go on."""

    @property
    def environment(self) -> Mapping[str, str]:
        """The token, for the environment of keyrota."""
        return {"BITBUCKET_TOKEN": self._token}

    # --- what people do -------------------------------------------------------------------------------------------

    def add_repository(self, workspace: str, repository: str, environments: tuple[str, ...] = ("Production",)) -> None:
        """Make a repository with deployment environments."""
        with self._lock:
            self._workspaces.add(workspace)
            made = _Repository(environments={self._new_uuid(): name for name in environments}, updated=self.clock.now())
            self._repositories[workspace, repository] = made
            for scope in ((workspace,), (workspace, repository)):
                self._variables.setdefault(scope, [])
            for environment in made.environments:
                self._variables[workspace, repository, environment] = []

    def scope(self, workspace: str, repository: str | None = None, environment: str | None = None) -> Scope:
        """Find a scope by names."""
        if repository is None:
            return (workspace,)
        if environment is None:
            return (workspace, repository)
        environments = self._repositories[workspace, repository].environments
        return (workspace, repository, next(key for key, name in environments.items() if environment in (key, name)))

    def set_variable(
        self,
        workspace: str,
        repository: str | None,
        environment: str | None,
        name: str,
        value: str,
        *,
        secured: bool = False,
    ) -> None:
        """Set a variable as a person would."""
        with self._lock:
            variables = self._variables[self.scope(workspace, repository, environment)]
            for variable in variables:
                if variable.key == name:
                    variable.value = value
                    return
            variables.append(_Variable(uuid=self._new_uuid(), key=name, value=value, secured=secured))

    def remove_variable(self, workspace: str, repository: str | None, environment: str | None, name: str) -> None:
        """Remove a variable as a person would."""
        with self._lock:
            scope = self.scope(workspace, repository, environment)
            self._variables[scope] = [variable for variable in self._variables[scope] if variable.key != name]

    def values(self, workspace: str, repository: str, environment: str | None = None) -> dict[str, str]:
        """Tell what a pipeline step sees: deployment before repository before workspace."""
        with self._lock:
            scopes: list[Scope] = [(workspace,), (workspace, repository)]
            if environment is not None:
                scopes.append(self.scope(workspace, repository, environment))
            return {variable.key: variable.value for scope in scopes for variable in self._variables[scope]}

    def push(self, workspace: str, repository: str) -> None:
        """Push to a repository."""
        self._repositories[workspace, repository].updated = self.clock.now()

    def add_pipeline(self, workspace: str, repository: str, state: str = "IN_PROGRESS") -> str:
        """Start a pipeline; returns its UUID."""
        key = self._new_uuid()
        self._repositories[workspace, repository].pipelines[key] = state
        return key

    def end_pipeline(self, workspace: str, repository: str, key: str) -> None:
        """Let a pipeline end."""
        self._repositories[workspace, repository].pipelines[key] = "COMPLETED"

    def _new_uuid(self) -> str:
        return f"{{{uuid.uuid5(uuid.NAMESPACE_URL, f'bitbucket {next(self._numbers)}')}}}"

    # --- what the service does ------------------------------------------------------------------------------------

    def kind(self, request: Request) -> str:
        """Name what a request is about."""
        last = request.segments[-1]
        if last == "access_token":
            return "token"
        if request.segments[1:2] == ("user",) or len(request.segments) == 3:  # noqa: PLR2004  # /2.0/repositories/{ws}
            return "repositories"
        return last if last in {"environments", "pipelines"} else "variables"

    def refusal(self, status: int, message: str) -> Response:
        """Make an error in Bitbucket's shape."""
        return refusal(status, message)

    def route(self, request: Request) -> Response:
        """Answer a request."""
        if request.segments == ("site", "oauth2", "access_token"):
            return self._give_token(request)
        self._authenticate(request)
        match request.segments:
            case ["2.0", "user", "workspaces"]:
                shown = [
                    {"type": "workspace_access", "workspace": {"type": "workspace", "slug": name}}
                    for name in sorted(self._workspaces)
                ]
                return self._page(request, shown)
            case ["2.0", "repositories", workspace]:
                return self._page(request, self._repositories_of(workspace, request.query.get("sort", "")))
            case ["2.0", "repositories", workspace, repository, "pipelines"]:
                wanted = {"BUILDING": "IN_PROGRESS"}.get(request.query.get("status", ""), request.query.get("status"))
                runs = self._pipelines(self._repository(workspace, repository))
                return self._page(request, [it for it, state in runs if wanted in (None, state)])
            case ["2.0", "repositories", workspace, repository, "environments"]:
                found = self._repository(workspace, repository).environments
                shown = [{"type": "deployment_environment", "uuid": key, "name": name} for key, name in found.items()]
                return self._page(request, shown)
            case ["2.0", "repositories", workspace, repository, "pipelines_config", "variables", *rest]:
                self._repository(workspace, repository)
                return self._variables_call(request, (workspace, repository), rest)
            case ["2.0", "repositories", w, r, "deployments_config", "environments", environment, "variables", *rest]:
                if environment not in self._repository(w, r).environments:
                    raise self.refuse(404, f"Environment {environment} not found.")
                return self._variables_call(request, (w, r, environment), rest)
            case ["2.0", "workspaces", workspace, "pipelines-config", "variables", *rest]:
                if workspace not in self._workspaces:
                    raise self.refuse(404, "No workspace with that identifier.")
                return self._variables_call(request, (workspace,), rest)
            case _:
                raise self.refuse(404, "Resource not found.")

    def _repositories_of(self, workspace: str, sort: str) -> list[dict[str, Any]]:
        """Show the repositories of a workspace; `sort` names a field, with a minus the greatest first."""
        shown = [
            {
                "type": "repository",
                "slug": slug,
                "full_name": f"{workspace}/{slug}",
                "updated_on": found.updated.isoformat(timespec="microseconds"),
            }
            for (owner, slug), found in self._repositories.items()
            if owner == workspace
        ]
        if sort.removeprefix("-") in {"slug", "full_name", "updated_on"}:
            shown.sort(key=lambda it: it[sort.removeprefix("-")], reverse=sort.startswith("-"))
        return shown

    def _pipelines(self, found: _Repository) -> list[tuple[dict[str, Any], str]]:
        """Show pipelines with their states, the newest first."""
        numbered = reversed(list(enumerate(found.pipelines.items(), 1)))
        return [
            (
                {
                    "type": "pipeline",
                    "uuid": key,
                    "build_number": number,
                    "state": {"type": "pipeline_state", "name": state},
                },
                state,
            )
            for number, (key, state) in numbered
        ]

    def _authenticate(self, request: Request) -> None:
        kind, _, credential = request.headers.get("authorization", "").partition(" ")
        if kind == "Bearer" and (
            credential == self._token or self._given.get(credential, self.clock.now()) > self.clock.now()
        ):
            return
        if kind == "Basic" and base64.b64decode(credential).decode() == ":".join(self._basic):
            return
        raise self.refuse(401, "Token is invalid, expired, or not supported for this endpoint.")

    def _give_token(self, request: Request) -> Response:
        kind, _, credential = request.headers.get("authorization", "").partition(" ")
        grant = parse_qs(request.body.decode()).get("grant_type")
        is_known = kind == "Basic" and base64.b64decode(credential).decode() == ":".join(self._consumer)
        if not is_known or grant != ["client_credentials"]:
            return json_response({"error": "unauthorized_client", "error_description": "Invalid credentials"}, 401)
        token = f"sandbox-oauth-{next(self._numbers)}"
        self._given[token] = self.clock.now() + timedelta(hours=1)
        return json_response(
            {"access_token": token, "expires_in": 3600, "token_type": "bearer", "scopes": "pipeline:variable"}
        )

    def _repository(self, workspace: str, repository: str) -> _Repository:
        if (workspace, repository) in self.down:
            raise self.refuse(503, "Service unavailable")
        found = self._repositories.get((workspace, repository))
        if found is None:
            raise self.refuse(404, f"You may not have access to this repository or it no longer exists: {repository}")
        return found

    def _variables_call(self, request: Request, scope: Scope, rest: list[str]) -> Response:
        variables = self._variables[scope]
        if not rest:
            if request.method == "GET":
                return self._page(request, [variable.shown() for variable in variables])
            if request.method == "POST":
                return self._create(request, variables)
        elif request.method == "PUT":
            return self._update(request, self._find(variables, rest[0]))
        elif request.method == "DELETE":
            variables.remove(self._find(variables, rest[0]))
            return Response(status=204)
        elif request.method == "GET" and len(scope) != 3:  # noqa: PLR2004  # a deployment variable has no GET of its own
            return json_response(self._find(variables, rest[0]).shown())
        raise self.refuse(405, "Method not allowed")

    def _find(self, variables: list[_Variable], key: str) -> _Variable:
        for variable in variables:
            if variable.uuid == key:
                return variable
        raise self.refuse(404, "Variable not found")

    def _create(self, request: Request, variables: list[_Variable]) -> Response:
        content = self._content(request)
        if any(variable.key == content["key"] for variable in variables):
            raise Refusal(
                refusal(
                    409,
                    f"Variable with the key '{content['key']}' already exists.",
                    "variable-service.variable.duplicate",
                )
            )
        made = _Variable(
            uuid=self._new_uuid(), key=content["key"], value=content["value"], secured=bool(content.get("secured"))
        )
        variables.append(made)
        return json_response(made.shown(), 201)

    def _update(self, request: Request, variable: _Variable) -> Response:
        content = self._content(request)
        if variable.secured and content.get("secured") is False:
            raise self.refuse(400, "A secured variable cannot be made readable.")
        variable.key, variable.value = content["key"], content["value"]
        variable.secured = bool(content.get("secured", variable.secured))
        return json_response(variable.shown())

    def _content(self, request: Request) -> dict[str, Any]:
        content = request.json()
        if not isinstance(content, dict) or not all(isinstance(content.get(name), str) for name in ("key", "value")):
            raise self.refuse(400, "Bad request")
        return content

    def _page(self, request: Request, values: list[dict[str, Any]]) -> Response:
        query = request.query
        length = min(_LARGEST_PAGE, max(1, int(query.get("pagelen", _PAGE))))
        page = max(1, int(query.get("page", "1")))
        shown = self.page_of(values, page, length)
        content: dict[str, Any] = {"page": page, "pagelen": length, "size": len(values), "values": shown}
        if page * length < len(values):
            others = "".join(f"&{name}={value}" for name, value in query.items() if name not in {"page", "pagelen"})
            content["next"] = f"{request.base}{request.path}?pagelen={length}&page={page + 1}{others}"
        return json_response(content)

    def every_value(self) -> Iterator[str]:
        """Go through all values, for tests that look for secrets."""
        for variables in self._variables.values():
            yield from (variable.value for variable in variables)
