"""
An emulator for Bitbucket Cloud, as far as variables go.

Behaves as the service's own description says, and where the two differ, as the service does (the table in
docs/facts/bitbucket.md): 10 a page, secured values never returned, 409 for a name that exists, no timestamps.
"""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

from keyrota.ports import Clock
from keyrota_sandbox.faults import Faults
from keyrota_sandbox.providers.emulator import Emulator, Refusal
from keyrota_sandbox.server import Request, Response, json_response

HOST = "https://sandbox.invalid"
"""Stands for the API's own URL in links."""
TOKEN = "sandbox-bitbucket-token"  # noqa: S105  # opens nothing but the sandbox
_PAGE, _LARGEST_PAGE = 10, 100


@dataclass(slots=True, kw_only=True)
class _Variable:
    uuid: str
    key: str
    value: str
    secured: bool

    def show(self) -> dict[str, Any]:
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
    uuid: str
    """Stays when it is renamed, and is never given again (the service's own description, `repository.uuid`)."""
    environments: dict[str, str] = field(default_factory=dict)
    """UUID to name."""
    pipelines: dict[str, str] = field(default_factory=dict)
    """UUID to state: PENDING, IN_PROGRESS, COMPLETED."""
    updated: datetime


Scope = tuple[str, ...]
"""(workspace,), (workspace, repository) or (workspace, repository, environment UUID)."""


def _environment_shape(key: str, name: str) -> dict[str, Any]:
    return {"type": "deployment_environment", "uuid": key, "name": name}


def refusal(status: int, message: str, key: str = "") -> Response:
    """Answer with an error in Bitbucket's shape."""
    error: dict[str, Any] = {"message": message}
    if key:
        error["data"] = {"key": key}
    return json_response({"type": "error", "error": error}, status)


class BitbucketEmulator(Emulator):
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
        self._workspaces: dict[str, str] = {}
        """Slug to UUID."""
        self._repositories: dict[tuple[str, str], _Repository] = {}
        self._variables: dict[Scope, list[_Variable]] = {}
        self._numbers = iter(range(1, 10**9))
        self.down: set[tuple[str, str]] = set()
        """Workspace and repository that answer 503; their pipelines continue."""
        self.may_see_repositories = True
        """The token has the scope `repository`; `pipeline:variable` alone does not show a repository's own record."""

    @property
    def environment(self) -> Mapping[str, str]:
        """The token, for the environment of keyrota."""
        return {"BITBUCKET_TOKEN": self._token}

    # --- what people do -------------------------------------------------------------------------------------------

    def add_repository(self, workspace: str, repository: str, environments: tuple[str, ...] = ("Production",)) -> None:
        """Make a repository with deployment environments."""
        with self._lock:
            self._workspaces.setdefault(workspace, self._new_uuid())
            made = _Repository(
                uuid=self._new_uuid(),
                environments={self._new_uuid(): name for name in environments},
                updated=self.clock.now(),
            )
            self._repositories[workspace, repository] = made
            for scope in ((workspace,), (workspace, repository)):
                self._variables.setdefault(scope, [])
            for environment in made.environments:
                self._variables[workspace, repository, environment] = []

    def rename_repository(self, workspace: str, old: str, new: str) -> None:
        """Rename a repository; its old name is unknown from then on, until another repository gets it."""
        with self._lock:
            self._repositories[workspace, new] = self._repositories.pop((workspace, old))
            for scope in [scope for scope in self._variables if scope[:2] == (workspace, old)]:
                self._variables[workspace, new, *scope[2:]] = self._variables.pop(scope)

    def delete_repository(self, workspace: str, repository: str) -> None:
        """Delete a repository, its environments and all their variables."""
        with self._lock:
            del self._repositories[workspace, repository]
            for scope in [scope for scope in self._variables if scope[:2] == (workspace, repository)]:
                del self._variables[scope]

    def add_environment(self, workspace: str, repository: str, name: str) -> str:
        """Make a deployment environment; returns its UUID."""
        with self._lock:
            made = self._new_uuid()
            self._repositories[workspace, repository].environments[made] = name
            self._variables[workspace, repository, made] = []
            return made

    def delete_environment(self, workspace: str, repository: str, name: str) -> None:
        """Delete a deployment environment and its variables."""
        with self._lock:
            scope = self.scope(workspace, repository, name)
            del self._repositories[workspace, repository].environments[scope[2]]
            del self._variables[scope]

    def uuid_of(self, workspace: str, repository: str | None = None, environment: str | None = None) -> str:
        """Return the UUID of a workspace, a repository or an environment."""
        if repository is None:
            return self._workspaces[workspace]
        if environment is None:
            return self._repositories[workspace, repository].uuid
        return self.scope(workspace, repository, environment)[2]

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
        """Return what a pipeline step sees: deployment before repository before workspace."""
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
        if "variables" in request.segments:
            return "variables"
        if request.segments[1:2] == ("workspaces",):
            return "workspace"
        if request.segments[1:2] == ("user",) or len(request.segments) == 3:  # noqa: PLR2004  # /2.0/repositories/{ws}
            return "repositories"
        return next((word for word in ("environments", "pipelines") if word in request.segments), "repository")

    def refusal(self, status: int, message: str) -> Response:
        """Make an error in Bitbucket's shape."""
        return refusal(status, message)

    def __call__(self, request: Request) -> Response:
        """Answer one request; its links begin with the API's URL as the client sees it."""
        answer = super().__call__(request)
        body = answer.body.replace(HOST.encode(), request.base.encode())
        is_bare = not body and request.method == "DELETE"
        headers = {"Content-Type": "text/plain", **answer.headers} if is_bare else answer.headers
        return Response(status=answer.status, body=body, headers=headers)

    def route(self, request: Request) -> Response:
        """Answer a request."""
        if request.segments == ("site", "oauth2", "access_token"):
            return self._give_token(request)
        self._authenticate(request)
        match request.segments:
            case ["2.0", "user", "workspaces"]:
                shown = [
                    {"type": "workspace_access", "workspace": self._workspace_shape(name)}
                    for name in sorted(self._workspaces)
                ]
                return self._page(request, shown)
            case ["2.0", "workspaces", workspace]:
                return json_response(self._full_workspace(self._workspace(workspace)))
            case ["2.0", "workspaces", workspace, "pipelines-config", "variables", *rest]:
                return self._variables_call(request, (self._workspace(workspace),), rest)
            case ["2.0", "repositories", workspace]:
                self._demand_repositories()
                shown = self._repositories_of(self._workspace(workspace), request.query.get("sort", ""))
                return self._page(request, shown)
            case ["2.0", "repositories", workspace, repository, *rest]:
                return self._repository_call(request, workspace, repository, rest)
            case _:
                raise self.refuse(404, "Resource not found.")

    def _repository_call(self, request: Request, workspace: str, repository: str, rest: list[str]) -> Response:
        if not rest and request.method == "POST":
            return self._create_repository(self._workspace(workspace), repository)
        here = self._key(workspace, repository)
        match rest:
            case []:
                return self._one_repository(request, here)
            case ["pipelines"]:
                wanted = {"BUILDING": "IN_PROGRESS"}.get(request.query.get("status", ""), request.query.get("status"))
                runs = self._pipelines(here)
                return self._page(request, [it for it, state in runs if wanted in (None, state)])
            case ["environments", *more]:
                return self._environments_call(request, here, more)
            case ["pipelines_config", "variables", *more]:
                return self._variables_call(request, here, more)
            case ["deployments_config", "environments", environment, "variables", *more]:
                if environment.lower() not in self._repositories[here].environments:
                    raise self.refuse(404, f"Environment {environment} not found.")
                return self._variables_call(request, (*here, environment.lower()), more)
        raise self.refuse(404, "Resource not found.")

    def _demand_repositories(self) -> None:
        if not self.may_see_repositories:
            raise self.refuse(403, "Your credentials lack one or more required privilege scopes.")

    def _one_repository(self, request: Request, here: tuple[str, str]) -> Response:
        """Show, rename or delete a repository."""
        self._demand_repositories()
        match request.method:
            case "GET":
                return json_response(self._repository_shape(here))
            case "PUT":
                return self._rename(request, here)
            case "DELETE":
                self.delete_repository(*here)
                return Response(status=204)
        raise self.refuse(405, "Method not allowed")

    def _rename(self, request: Request, here: tuple[str, str]) -> Response:
        name = str((request.json() or {}).get("name") or here[1])
        slug = re.sub(r"[^a-z0-9_.]+", "-", name.lower())
        if slug != here[1] and (here[0], slug) in self._repositories:
            raise self.refuse(400, "Repository with this Slug and Owner already exists.")
        if slug != here[1]:
            self.rename_repository(*here, slug)
        shown = self._repository_shape((here[0], slug))
        return json_response(shown, 200, {"Location": f"{request.base}/2.0/repositories/{here[0]}/{slug}"})

    def _create_repository(self, workspace: str, repository: str) -> Response:
        if (workspace, repository) in self._repositories:
            raise self.refuse(400, "Repository with this Slug and Owner already exists.")
        self.add_repository(workspace, repository, ("Test", "Staging", "Production"))
        return json_response(self._repository_shape((workspace, repository)))

    def _environments_call(self, request: Request, here: tuple[str, str], rest: list[str]) -> Response:
        environments = self._repositories[here].environments
        if rest and rest[0] not in environments:
            raise self.refuse(404, f"Environment {rest[0]} not found.")
        match request.method, rest:
            case "GET", []:
                return self._page(request, [_environment_shape(*each) for each in environments.items()])
            case "GET", [key]:
                return json_response(_environment_shape(key, environments[key]))
            case "DELETE", [key]:
                self.delete_environment(*here, key)
                return Response(status=204)
            case "POST", []:
                name = str((request.json() or {}).get("name", ""))
                if not name:
                    raise self.refuse(400, "Bad request")
                if name in environments.values():
                    raise self.refuse(409, f"An environment with the name {name} already exists.")
                made = self.add_environment(*here, name)
                there = f"{request.base}{request.path.rstrip('/')}/{made}"
                return json_response(_environment_shape(made, name), 201, {"Location": there})
        raise self.refuse(405, "Method not allowed")

    def _repositories_of(self, workspace: str, sort: str) -> list[dict[str, Any]]:
        """Show the repositories of a workspace; `sort` names a field, with a minus the greatest first."""
        shown = [self._repository_shape(here) for here in self._repositories if here[0] == workspace]
        if sort.removeprefix("-") in {"slug", "full_name", "updated_on"}:
            shown.sort(key=lambda it: it[sort.removeprefix("-")], reverse=sort.startswith("-"))
        return shown

    def _repository_shape(self, here: tuple[str, str]) -> dict[str, Any]:
        found = self._repositories[here]
        return {
            "type": "repository",
            "uuid": found.uuid,
            "slug": here[1],
            "name": here[1],
            "full_name": "/".join(here),
            "workspace": self._workspace_shape(here[0]),
            "is_private": True,
            "updated_on": found.updated.isoformat(timespec="microseconds"),
            "links": {"self": {"href": f"{HOST}/2.0/repositories/{'/'.join(here)}"}},
        }

    def _workspace_shape(self, slug: str) -> dict[str, Any]:
        return {"type": "workspace", "uuid": self._workspaces[slug], "slug": slug, "name": slug}

    def _full_workspace(self, slug: str) -> dict[str, Any]:
        links = {
            "self": {"href": f"{HOST}/2.0/workspaces/{slug}"},
            "repositories": {"href": f"{HOST}/2.0/repositories/{slug}"},
        }
        return {**self._workspace_shape(slug), "links": links}

    def _pipelines(self, here: tuple[str, str]) -> list[tuple[dict[str, Any], str]]:
        """Show pipelines with their states, the newest first."""
        numbered = reversed(list(enumerate(self._repositories[here].pipelines.items(), 1)))
        repository = {"type": "repository", "uuid": self._repositories[here].uuid, "full_name": "/".join(here)}
        return [
            (
                {
                    "type": "pipeline",
                    "uuid": key,
                    "build_number": number,
                    "repository": repository,
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

    def _workspace(self, name: str) -> str:
        """Find a workspace by its slug, in any case, or by its UUID."""
        for slug, key in self._workspaces.items():
            if name.casefold() in (slug.casefold(), key):
                return slug
        raise self.refuse(404, "No workspace with that identifier.")

    def _key(self, workspace: str, repository: str) -> tuple[str, str]:
        """Find a repository by its slug, in any case, or by its UUID."""
        message = f"You may not have access to this repository or it no longer exists in this workspace: {repository}"
        for here, found in self._repositories.items():
            if here[0] == self._workspace(workspace) and repository.casefold() in (here[1].casefold(), found.uuid):
                if here in self.down:
                    raise self.refuse(503, "Service unavailable")
                return here
        raise self.refuse(404, message)

    def _variables_call(self, request: Request, scope: Scope, rest: list[str]) -> Response:
        variables = self._variables[scope]
        if not rest:
            if request.method == "GET":
                return self._page(request, [variable.show() for variable in variables])
            if request.method == "POST":
                return self._create(request, variables)
        elif request.method == "PUT":
            return self._update(request, self._find(variables, rest[0]))
        elif request.method == "DELETE":
            variables.remove(self._find(variables, rest[0]))
            return Response(status=204)
        elif request.method == "GET" and len(scope) != 3:  # noqa: PLR2004  # a deployment variable has no GET of its own
            return json_response(self._find(variables, rest[0]).show())
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
        return json_response(made.show(), 201)

    def _update(self, request: Request, variable: _Variable) -> Response:
        """Change what is given; what is left out stays, as clients rely on."""
        given = request.json()
        if not isinstance(given, dict):
            raise self.refuse(400, "Bad request")
        content = {"key": variable.key, "value": variable.value, **given}
        if not isinstance(content["key"], str) or not isinstance(content["value"], str):
            raise self.refuse(400, "Bad request")
        if variable.secured and content.get("secured") is False:
            raise self.refuse(400, "A secured variable cannot be made readable.")
        variable.key, variable.value = content["key"], content["value"]
        variable.secured = bool(content.get("secured", variable.secured))
        return json_response(variable.show())

    def _content(self, request: Request) -> dict[str, Any]:
        content = request.json()
        if not isinstance(content, dict) or not all(isinstance(content.get(name), str) for name in ("key", "value")):
            raise self.refuse(400, "Bad request")
        return content

    def _page(self, request: Request, values: list[dict[str, Any]]) -> Response:
        query = request.query
        length = min(_LARGEST_PAGE, self.read_number(request, "pagelen", _PAGE))
        page = self.read_number(request, "page", 1)
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
