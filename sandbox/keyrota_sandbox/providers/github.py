"""
An emulator for GitHub, as far as secrets, variables, environments, runs and apps go.

Behaves as GitHub's own description says, and where the two differ, as the service does (the table in
docs/facts/github.md): sealed boxes for the scope's own key, an organization's visibility set by every write,
30 secrets and 10 variables a page, 404 for what may not be seen.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, SealedBox

from keyrota.ports import Clock
from keyrota_sandbox.faults import Faults
from keyrota_sandbox.providers.emulator import Emulator, Refusal
from keyrota_sandbox.providers.github_shapes import (
    HOST,
    environment_shape,
    installation_shape,
    limits_shape,
    organization_shape,
    owner_shape,
    repository_shape,
    run_shape,
    stamp,
)
from keyrota_sandbox.server import Request, Response, json_response

TOKEN = "sandbox-github-token"  # noqa: S105  # opens nothing but the sandbox
APP_ID = "12345"
Scope = tuple[str, ...]
"""("repo", owner, name), ("env", owner, name, environment), ("dependabot", owner, name), ("org", name), …"""

_NAME = re.compile(r"(?!GITHUB_)[A-Z_][A-Z0-9_]*")
_MAX_SECRETS, _MAX_OF_ORG = 100, 1000
"""Documented (secrets reference); the status and the words of the refusal are assumed."""
_SECRETS_A_PAGE, _VARIABLES_A_PAGE = (30, 100), (10, 30)
_A_MINUTE, _AN_HOUR = (80, 60.0), (500, 3600.0)
_VISIBILITIES = {"all", "private", "selected"}


@dataclass(slots=True, kw_only=True)
class _Item:
    """A secret or a variable."""

    value: str
    created: datetime
    updated: datetime
    visibility: str = ""
    selected: tuple[int, ...] = ()


@dataclass(slots=True, kw_only=True)
class _Repository:
    id: int
    owner: str
    name: str
    is_private: bool
    is_archived: bool = False
    pushed: datetime
    environments: dict[str, int] = field(default_factory=dict)
    """Name to ID; an environment that is made anew gets another one."""


@dataclass(slots=True, kw_only=True)
class _Run:
    id: int
    owner: str
    repository: str
    status: str
    created: datetime


class GitHubEmulator(Emulator):
    """GitHub on loopback."""

    def __init__(
        self, clock: Clock, faults: Faults | None = None, *, token: str = TOKEN, app_key: bytes | None = None
    ) -> None:
        """`app_key` is the public key (PEM) of an app that is installed everywhere; None: there is no app."""
        super().__init__(clock, faults)
        self._token, self._app_key = token, app_key
        self._given: dict[str, datetime] = {}
        self._repositories: dict[tuple[str, str], _Repository] = {}
        self._renamed: dict[tuple[str, str], _Repository] = {}
        self._owners: dict[str, int] = {}
        """Organizations and persons, by name, with their IDs."""
        self._organizations: set[str] = set()
        self._secrets: dict[Scope, dict[str, _Item]] = {}
        self._variables: dict[Scope, dict[str, _Item]] = {}
        self._keys: dict[Scope, tuple[str, PrivateKey]] = {}
        self._runs: dict[int, _Run] = {}
        self._writes: deque[datetime] = deque(maxlen=_AN_HOUR[0])
        self._numbers = iter(range(1000, 10**9))
        self._name_lock = threading.Lock()
        self.down: set[tuple[str, str]] = set()
        """Owner and repository that answer 503; their runs continue."""
        self.token_expires: datetime | None = None
        self.scopes: str | None = None
        """Of a classic token, as `x-oauth-scopes` tells them."""
        self.may_push = True
        self.may_read_actions = True
        """Permission `Actions: read`: without it, environments are not listed (404)."""
        self.is_suspended = False
        self.selection = "all"
        """Of the app's installation: `all` repositories, or `selected` ones."""
        self.permissions = {
            "actions": "read",
            "actions_variables": "write",
            "dependabot_secrets": "write",
            "environments": "write",
            "metadata": "read",
            "organization_dependabot_secrets": "write",
            "organization_secrets": "write",
            "secrets": "write",
        }
        self.limits_on = False
        """Refuse more than 80 writes a minute, or 500 an hour."""
        self.refused_for_limit = 0

    @property
    def environment(self) -> Mapping[str, str]:
        """The token, for the environment of keyrota."""
        return {"GITHUB_TOKEN": self._token}

    # --- what people do ---------------------------------------------------------------------------------------------

    def add_organization(self, name: str) -> None:
        """Make an organization."""
        self._organizations.add(name)
        self._own(name)

    def _own(self, name: str) -> int:
        if name not in self._owners:
            self._owners[name] = next(self._numbers)
        return self._owners[name]

    def add_repository(
        self, owner: str, name: str, environments: tuple[str, ...] = ("production",), *, is_private: bool = True
    ) -> int:
        """Make a repository with environments; returns its ID."""
        made = _Repository(
            id=next(self._numbers),
            owner=owner,
            name=name,
            is_private=is_private,
            pushed=self.now(),
            environments={each: next(self._numbers) for each in environments},
        )
        self._own(owner)
        self._renamed.pop((owner, name), None)  # a redirect ends when another repository takes the name
        self._repositories[owner, name] = made
        return made.id

    def delete_repository(self, owner: str, name: str) -> None:
        """Delete a repository, and all that is in it."""
        with self._lock:
            del self._repositories[owner, name]
            for store in (self._secrets, self._variables, self._keys):
                _drop(store, (owner, name))

    def add_environment(self, owner: str, name: str, environment: str) -> int:
        """Make an environment; returns its ID."""
        return self._repositories[owner, name].environments.setdefault(environment, next(self._numbers))

    def delete_environment(self, owner: str, name: str, environment: str) -> None:
        """Delete an environment, and all that is in it."""
        with self._lock:
            del self._repositories[owner, name].environments[environment]
            for store in (self._secrets, self._variables, self._keys):
                _drop(store, (owner, name, environment))

    def id_of(self, owner: str, repository: str | None = None, environment: str | None = None) -> int:
        """Return the ID of an organization, a repository or an environment."""
        if repository is None:
            return self._owners[owner]
        found = self._repositories[owner, repository]
        return found.environments[environment] if environment else found.id

    def push(self, owner: str, name: str) -> None:
        """Push to a repository."""
        self._repositories[owner, name].pushed = self.now()

    def archive(self, owner: str, name: str) -> None:
        """Archive a repository."""
        self._repositories[owner, name].is_archived = True

    def rename(self, owner: str, old: str, new: str) -> None:
        """Rename a repository; the old name redirects."""
        found = self._repositories.pop((owner, old))
        found.name = new
        self._repositories[owner, new] = self._renamed[owner, old] = found
        _move(self._secrets, (owner, old), new)
        _move(self._variables, (owner, old), new)
        _move(self._keys, (owner, old), new)

    def set_secret(
        self, scope: Scope, name: str, value: str, *, visibility: str = "", selected: tuple[int, ...] = ()
    ) -> None:
        """Set a secret as a person would."""
        self._store(self._secrets, scope, name, value, visibility=visibility, selected=selected)

    def set_variable(self, scope: Scope, name: str, value: str, *, visibility: str = "") -> None:
        """Set a variable as a person would."""
        self._store(self._variables, scope, name, value, visibility=visibility)

    def remove_secret(self, scope: Scope, name: str) -> None:
        """Remove a secret as a person would."""
        del self._secrets[scope][name]

    def remove_variable(self, scope: Scope, name: str) -> None:
        """Remove a variable as a person would."""
        del self._variables[scope][name]

    def renew_key(self, scope: Scope) -> None:
        """Replace the public key of a scope, as GitHub may at any time."""
        self._keys.pop(scope, None)

    def get_visibility(self, scope: Scope, name: str) -> tuple[str, tuple[int, ...]]:
        """Tell visibility and selected repositories of an organization's secret."""
        item = self._secrets[scope][name]
        return item.visibility, item.selected

    def marker_seen_by(self, scope: Scope, name: str) -> tuple[str, tuple[int, ...]]:
        """Tell visibility and selected repositories of an organization's variable."""
        item = self._variables[scope][name]
        return item.visibility, item.selected

    def secrets(self, scope: Scope) -> dict[str, str]:
        """Return the secrets of one scope."""
        return {name: item.value for name, item in self._secrets.get(scope, {}).items()}

    def variables(self, scope: Scope) -> dict[str, str]:
        """Return the variables of one scope."""
        return {name: item.value for name, item in self._variables.get(scope, {}).items()}

    def values(self, owner: str, repository: str, environment: str | None = None) -> dict[str, str]:
        """Return what a job sees: environment before repository before organization."""
        with self._lock:
            found = self._repositories[owner, repository]
            org = {
                name: item.value
                for name, item in self._secrets.get(("org", owner), {}).items()
                if item.visibility == "all"
                or (item.visibility == "private" and found.is_private)
                or found.id in item.selected
            }
            here = org | self.secrets(("repo", owner, repository))
            return here | (self.secrets(("env", owner, repository, environment)) if environment else {})

    def add_run(self, owner: str, repository: str, *, status: str = "waiting", created: datetime | None = None) -> int:
        """Queue a workflow run; returns its ID."""
        run = _Run(
            id=next(self._numbers),
            owner=owner,
            repository=repository,
            status=status,
            created=created or self.now(),
        )
        self._runs[run.id] = run
        return run.id

    def end_run(self, number: int) -> None:
        """Let a run end."""
        self._runs[number].status = "completed"

    def every_value(self) -> Iterator[str]:
        """Go through all values, for tests that look for secrets."""
        for store in (self._secrets, self._variables):
            for items in store.values():
                yield from (item.value for item in items.values())

    def _store(
        self,
        store: dict[Scope, dict[str, _Item]],
        scope: Scope,
        name: str,
        value: str,
        *,
        visibility: str = "",
        selected: tuple[int, ...] = (),
    ) -> bool:
        """Set an item; tells whether it is new."""
        with self._lock:
            items, now = store.setdefault(scope, {}), self.now()
            known = items.get(name)
            items[name] = _Item(
                value=value,
                created=known.created if known else now,
                updated=now,
                visibility=visibility or (known.visibility if known else "private" if "org" in scope[0] else ""),
                selected=selected,
            )
            return known is None

    # --- what the service does --------------------------------------------------------------------------------------

    def kind(self, request: Request) -> str:
        """Name what a request is about."""
        segments = request.segments
        for name in ("public-key", "access_tokens", "installation", "runs"):
            if segments[-1] == name:
                return {"access_tokens": "token"}.get(name, name)
        for name in ("secrets", "variables"):
            if name in segments[3:] or f"organization-{name}" in segments[3:]:
                return name
        if segments[:1] == ("orgs",) and len(segments) == 2:  # noqa: PLR2004  # /orgs/{org}
            return "organization"
        if "environments" in segments[3:]:
            return "environments"
        if segments[-1] in {"environments", "repositories", "repos"}:
            return "repositories" if segments[-1] == "repos" else segments[-1]
        return "repository"

    def refusal(self, status: int, message: str) -> Response:
        """Make an error in GitHub's shape."""
        content = {"message": message, "documentation_url": "https://docs.github.com/rest", "status": str(status)}
        return json_response(content, status)

    def __call__(self, request: Request) -> Response:
        """Answer one request, with the headers that every answer has."""
        answer = super().__call__(request)
        now = self.now()
        headers = {
            "x-ratelimit-limit": "5000",
            "x-ratelimit-remaining": "4990",
            "x-ratelimit-used": "10",
            "x-ratelimit-reset": str(int(now.timestamp()) + 3600),
            "x-github-request-id": "SANDBOX",
        }
        if self.token_expires is not None:
            headers["github-authentication-token-expiration"] = f"{self.token_expires:%Y-%m-%d %H:%M:%S} UTC"
        if self.scopes is not None:
            headers["x-oauth-scopes"] = self.scopes
        body = answer.body.replace(HOST.encode(), request.base.encode())
        return Response(status=answer.status, body=body, headers={**headers, **answer.headers})

    def route(self, request: Request) -> Response:
        """Answer a request."""
        segments = request.segments
        is_app = segments[:1] == ("app",) or segments[-1] == "installation"
        self._authenticate(request, is_app=is_app)
        if self.limits_on and request.method != "GET":
            self._count()
        match segments:
            case ["app", "installations", number, "access_tokens"] if request.method == "POST":
                return self._give_token(number)
            case ["repos", owner, name, "installation"]:
                self._repository(request, owner, name)
                return json_response(self._installation())
            case ["repositories", number, *rest]:
                found = next((it for it in self._repositories.values() if str(it.id) == number), None)
                if found is None:
                    raise self.refuse(404, "Not Found")
                return self._repository_call(request, found, rest)
            case ["repos", owner, name, *rest]:
                return self._repository_call(request, self._repository(request, owner, name), rest)
            case ["orgs", organization, *rest]:
                self._demand_organization(organization)
                return self._organization_call(request, self._spell_owner(organization), rest)
        return self._account_call(request)

    def _account_call(self, request: Request) -> Response:
        """Answer what is asked about the token itself."""
        match request.segments if request.method == "GET" else ():
            case ["user"]:
                return json_response(owner_shape("sandbox", 2, kind="User"))
            case ["rate_limit"]:
                return json_response(limits_shape(self.clock.now()))
            case ["user", "repos"]:
                return self._repositories_page(request, None, None)
            case ["installation", "repositories"]:
                return self._repositories_page(request, None, "repositories")
        raise self.refuse(404, "Not Found")

    def _organization_call(self, request: Request, organization: str, rest: list[str]) -> Response:
        match rest:
            case []:
                return json_response(organization_shape(organization, self._own(organization)))
            case ["installation"]:
                return json_response(self._installation())
            case ["repos"] if request.method == "POST":
                return self._create_repository(request, organization)
            case ["repos"]:
                return self._repositories_page(request, organization, None)
            case [product, "secrets" | "variables" as what, *more]:
                return self._items(request, _org_scope(product, organization), what, more)
        raise self.refuse(404, "Not Found")

    def _installation(self) -> dict[str, Any]:
        return installation_shape(self.permissions, is_suspended=self.is_suspended, selection=self.selection)

    def _authenticate(self, request: Request, *, is_app: bool) -> None:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        is_known = kind in {"Bearer", "token"} and (
            (self._is_app(token) if is_app else token == self._token)
            or (not is_app and self._given.get(token, self.now()) > self.now())
        )
        is_over = token == self._token and self.token_expires is not None and self.token_expires <= self.now()
        if not is_known or is_over:
            raise self.refuse(401, "Bad credentials")

    def _is_app(self, token: str) -> bool:
        """Check a JWT: signature, issuer, ten minutes at most, not over."""
        if self._app_key is None or token.count(".") != 2:  # noqa: PLR2004  # header, claims, signature
            return False
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415  # an extra
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
        from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415

        signed, _, signature = token.rpartition(".")
        key: Any = load_pem_public_key(self._app_key)
        try:
            key.verify(_decode(signature), signed.encode(), PKCS1v15(), SHA256())
        except InvalidSignature:
            return False
        claims, now = json.loads(_decode(signed.partition(".")[2])), self.now().timestamp()
        is_in_time = claims["iat"] <= now < claims["exp"] <= now + 600
        return bool(is_in_time and claims["iss"] == APP_ID)

    def _give_token(self, number: str) -> Response:
        if number != "1" or self.is_suspended:
            raise self.refuse(404, "Not Found")
        token = f"ghs_sandbox_{next(self._numbers)}"
        ends = self._given[token] = self.now() + timedelta(hours=1)
        content = {"token": token, "expires_at": stamp(ends), "permissions": self.permissions}
        return json_response(content | {"repository_selection": "all"}, 201)

    def _count(self) -> None:
        """Refuse what is beyond the secondary limits."""
        now = self.clock.now()
        for calls, seconds in (_A_MINUTE, _AN_HOUR):
            recent = [at for at in self._writes if (now - at).total_seconds() < seconds]
            if len(recent) >= calls:
                self.refused_for_limit += 1
                wait = seconds - (now - recent[-calls]).total_seconds()
                answer = self.refusal(403, "You have exceeded a secondary rate limit. Please wait a few minutes.")
                raise Refusal(
                    Response(
                        status=403, body=answer.body, headers={**answer.headers, "retry-after": str(int(wait) + 1)}
                    )
                )
        self._writes.append(now)

    def _demand_organization(self, name: str) -> None:
        if self._spell_owner(name) not in self._organizations:
            raise self.refuse(404, "Not Found")

    def _spell_owner(self, owner: str) -> str:
        """Find an owner's name as it is spelled: GitHub takes it in any case."""
        return next((name for name in self._owners if name.casefold() == owner.casefold()), owner)

    def _create_repository(self, request: Request, owner: str) -> Response:
        name = str((request.json() or {}).get("name", ""))
        if not name or (owner, name) in self._repositories:
            raise self.refuse(422, "Repository creation failed.")
        self.add_repository(owner, name, ())
        return json_response(self._shape(self._repositories[owner, name]), 201)

    def _repository(self, request: Request, owner: str, name: str) -> _Repository:
        owner, name = self._spell_repository(owner, name)
        if (owner, name) in self.down:
            raise self.refuse(503, "Service unavailable")
        if (owner, name) in self._renamed:
            rest = request.target.split("/", 4)[4:]
            there = "/".join([f"{request.base}/repositories/{self._renamed[owner, name].id}", *rest])
            status = 301 if request.method == "GET" else 307
            answer = json_response({"message": "Moved Permanently", "url": there}, status)
            raise Refusal(Response(status=status, body=answer.body, headers={**answer.headers, "Location": there}))
        found = self._repositories.get((owner, name))
        if found is None:
            raise self.refuse(404, "Not Found")
        return found

    def _spell_repository(self, owner: str, name: str) -> tuple[str, str]:
        """Find a repository's name as it is spelled: GitHub takes it in any case."""
        wanted = (owner.casefold(), name.casefold())
        known = (here for here in (*self._repositories, *self._renamed))
        return next((here for here in known if (here[0].casefold(), here[1].casefold()) == wanted), (owner, name))

    def _repositories_page(self, request: Request, owner: str | None, under: str | None) -> Response:
        """List repositories. `/orgs/{org}/repos` and `/user/repos` are not in the description's cut."""
        found = [self._shape(it) for it in self._repositories.values() if owner in (None, it.owner)]
        if request.query.get("sort") == "pushed":
            found.sort(key=lambda it: str(it["pushed_at"]), reverse=request.query.get("direction", "desc") == "desc")
        return self._page(request, found, under, (30, 100))

    def _shape(self, found: _Repository) -> dict[str, Any]:
        return repository_shape(
            found.id,
            found.owner,
            found.name,
            owner_id=self._own(found.owner),
            is_private=found.is_private,
            is_archived=found.is_archived,
            may_push=self.may_push,
            pushed=found.pushed,
        )

    def _repository_call(self, request: Request, found: _Repository, rest: list[str]) -> Response:
        here = (found.owner, found.name)
        if request.method != "GET" and found.is_archived:
            raise self.refuse(403, "Repository was archived so is read-only.")
        if request.method != "GET" and not self.may_push:
            raise self.refuse(403, "Resource not accessible by personal access token")
        match rest:
            case []:
                return self._one_repository(request, found)
            case ["environments"]:
                self._demand_actions()
                shown = [self._environment_shape(found, name) for name in found.environments]
                return self._page(request, shown, "environments", (30, 100))
            case ["environments", name]:
                return self._one_environment(request, found, name)
            case ["actions", "organization-secrets" | "organization-variables" as what]:
                return self._of_organization(request, found, what.removeprefix("organization-"))
            case ["environments", name, "secrets" | "variables" as what, *more]:
                spelled = self._environment(found, name)
                return self._items(request, ("env", *here, spelled), what, more)
            case ["actions", "runs"]:
                return self._runs_page(request, found)
            case ["actions", "secrets" | "variables" as what, *more]:
                return self._items(request, ("repo", *here), what, more)
            case ["dependabot", "secrets", *more]:
                return self._items(request, ("dependabot", *here), "secrets", more)
        raise self.refuse(404, "Not Found")

    def _one_repository(self, request: Request, found: _Repository) -> Response:
        """Show, rename, archive or delete a repository."""
        match request.method:
            case "PATCH":
                content = request.json() or {}
                found.is_archived = bool(content.get("archived", found.is_archived))
                if content.get("name", found.name) != found.name:
                    self.rename(found.owner, found.name, str(content["name"]))
            case "DELETE":
                self.delete_repository(found.owner, found.name)
                return Response(status=204)
        return json_response(self._shape(found))

    def _one_environment(self, request: Request, found: _Repository, name: str) -> Response:
        """Show, make or delete an environment."""
        match request.method:
            case "PUT":
                self.add_environment(found.owner, found.name, name)
            case "DELETE":
                self.delete_environment(found.owner, found.name, self._environment(found, name))
                return Response(status=204)
            case _:
                self._demand_actions()
        return json_response(self._environment_shape(found, self._environment(found, name)))

    def _environment_shape(self, found: _Repository, name: str) -> dict[str, Any]:
        return environment_shape(found.owner, found.name, name, found.environments[name])

    def _demand_actions(self) -> None:
        if not self.may_read_actions:
            raise self.refuse(404, "Not Found")

    def _environment(self, found: _Repository, name: str) -> str:
        """Find an environment's name as it is spelled: GitHub takes it in any case."""
        for known in found.environments:
            if known.casefold() == name.casefold():
                return known
        raise self.refuse(404, "Not Found")

    def _of_organization(self, request: Request, found: _Repository, what: str) -> Response:
        """Show those of the organization's secrets or variables that a repository sees."""
        scope: Scope = ("org", found.owner)
        is_secrets = what == "secrets"
        items = (self._secrets if is_secrets else self._variables).get(scope, {})
        seen = [
            name
            for name, item in sorted(items.items())
            if item.visibility == "all"
            or (item.visibility == "private" and found.is_private)
            or found.id in item.selected
        ]
        shape = self._secret_shape if is_secrets else self._variable_shape
        shown = [shape(request, scope, name) for name in seen]
        return self._page(request, shown, what, _SECRETS_A_PAGE if is_secrets else _VARIABLES_A_PAGE)

    def _runs_page(self, request: Request, found: _Repository) -> Response:
        status, created = request.query.get("status"), request.query.get("created", "")
        runs = [
            run_shape(run.id, run.status, run.created, self._shape(found))
            for run in self._runs.values()
            if (run.owner, run.repository) == (found.owner, found.name)
            and status in (None, run.status)
            and (not created.startswith("<=") or stamp(run.created) <= created[2:])
        ]
        return self._page(request, runs, "workflow_runs", (30, 100))

    # --- secrets and variables --------------------------------------------------------------------------------------

    def _items(self, request: Request, scope: Scope, what: str, rest: list[str]) -> Response:
        if what == "secrets":
            return self._secrets_call(request, scope, rest)
        if "dependabot" in scope[0]:
            raise self.refuse(404, "Not Found")
        return self._variables_call(request, scope, rest)

    def _secrets_call(self, request: Request, scope: Scope, rest: list[str]) -> Response:
        items = self._secrets.setdefault(scope, {})
        match request.method, rest:
            case "GET", []:
                shown = [self._secret_shape(request, scope, name) for name in sorted(items)]
                return self._page(request, shown, "secrets", _SECRETS_A_PAGE)
            case "GET", ["public-key"]:
                number, private = self._key(scope)
                return json_response({"key_id": number, "key": base64.b64encode(bytes(private.public_key)).decode()})
            case "GET", [name] if name.upper() in items:
                return json_response(self._secret_shape(request, scope, name.upper()))
            case _, [name, "repositories", *more] if name.upper() in items and "org" in scope[0]:
                return self._selection_call(request, items[name.upper()], more)
            case "PUT", [name]:
                if name.upper() not in items and len(items) >= (_MAX_OF_ORG if "org" in scope[0] else _MAX_SECRETS):
                    raise self.refuse(422, "You have reached the maximum number of secrets.")
                return self._put_secret(request, scope, name.upper())
            case "DELETE", [name] if name.upper() in items:
                del items[name.upper()]
                return Response(status=204)
        raise self.refuse(404, "Not Found")

    def _key(self, scope: Scope) -> tuple[str, PrivateKey]:
        if scope not in self._keys:
            self._keys[scope] = str(next(self._numbers)), PrivateKey.generate()
        return self._keys[scope]

    def _secret_shape(self, request: Request, scope: Scope, name: str) -> dict[str, Any]:
        return self._item_shape(request, scope, name, self._secrets[scope][name])

    def _item_shape(self, request: Request, scope: Scope, name: str, item: _Item) -> dict[str, Any]:
        shown = {"name": name, "created_at": stamp(item.created), "updated_at": stamp(item.updated)}
        if "org" in scope[0]:
            shown["visibility"] = item.visibility
            if item.visibility == "selected":
                shown["selected_repositories_url"] = f"{request.base}{request.path}/repositories"
        return shown

    def _selection_call(self, request: Request, item: _Item, rest: list[str]) -> Response:
        """Read, replace, extend or shorten the list of repositories that may use an organization's item."""
        if request.method == "GET" and not rest:
            return self._page_selected(request, item)
        if item.visibility != "selected":
            raise self.refuse(409, "Conflict: visibility is not selected")
        match request.method, rest:
            case "PUT", []:
                chosen = (request.json() or {}).get("selected_repository_ids")
                if not isinstance(chosen, list):
                    raise self.refuse(422, "Invalid request: selected_repository_ids wasn't supplied")
                item.selected = tuple(dict.fromkeys(int(number) for number in chosen))
            case "PUT", [number] if number.isdigit():
                item.selected = tuple(dict.fromkeys((*item.selected, int(number))))
            case "DELETE", [number] if number.isdigit():
                item.selected = tuple(one for one in item.selected if str(one) != number)
            case _:
                raise self.refuse(404, "Not Found")
        return Response(status=204)

    def _page_selected(self, request: Request, item: _Item) -> Response:
        if item.visibility != "selected":
            raise self.refuse(409, "Conflict")
        known = {it.id: it for it in self._repositories.values()}
        shown = [self._shape(known[number]) for number in item.selected if number in known]
        return self._page(request, shown, "repositories", (30, 100))

    def _put_secret(self, request: Request, scope: Scope, name: str) -> Response:
        content = self._content(request, name)
        number, private = self._key(scope)
        try:
            sealed = base64.b64decode(str(content.get("encrypted_value", "")), validate=True)
            value = SealedBox(private).decrypt(sealed).decode()
        except (ValueError, CryptoError):
            raise self.refuse(422, "Bad Request: the value is no sealed box for this key") from None
        if content.get("key_id") != number:
            raise self.refuse(422, "Bad Request: key_id is not the scope's")
        more: dict[str, Any] = {}
        if "org" in scope[0]:
            if content.get("visibility") not in _VISIBILITIES:
                raise self.refuse(422, "visibility is required")
            chosen = content.get("selected_repository_ids", []) if content["visibility"] == "selected" else []
            more = {"visibility": content["visibility"], "selected": tuple(chosen)}
        is_new = self._store(self._secrets, scope, name, value, **more)
        return json_response({}, 201) if is_new else Response(status=204)

    def _content(self, request: Request, name: str) -> dict[str, Any]:
        content = request.json()
        if not isinstance(content, dict) or not _NAME.fullmatch(name):
            raise self.refuse(422, "Validation Failed")
        return content

    def _variables_call(self, request: Request, scope: Scope, rest: list[str]) -> Response:
        items = self._variables.setdefault(scope, {})
        name = rest[0].upper() if rest else ""
        if rest[1:2] == ["repositories"] and name in items and "org" in scope[0]:
            return self._selection_call(request, items[name], rest[2:])
        if rest[1:]:
            raise self.refuse(404, "Not Found")
        match request.method:
            case "GET" if not rest:
                shown = [self._variable_shape(request, scope, each) for each in sorted(items)]
                return self._page(request, shown, "variables", _VARIABLES_A_PAGE)
            case "GET" if name in items:
                return json_response(self._variable_shape(request, scope, name))
            case "POST" if not rest:
                return self._post_variable(request, scope)
            case "PATCH" if name in items:
                content = self._content(request, name)
                known = items[name]
                chosen = tuple(content.get("selected_repository_ids", known.selected))
                visibility = str(content.get("visibility", known.visibility))
                value = str(content.get("value", known.value))
                self._store(self._variables, scope, name, value, visibility=visibility, selected=chosen)
                self._rename_variable(items, name, str(content.get("name", name)).upper())
                return Response(status=204)
            case "DELETE" if name in items:
                del items[name]
                return Response(status=204)
        raise self.refuse(404, "Not Found")

    def _rename_variable(self, items: dict[str, _Item], old: str, new: str) -> None:
        if new == old:
            return
        if new in items:
            raise self.refuse(409, "Already exists - Variable already exists")
        if not _NAME.fullmatch(new):
            raise self.refuse(422, "Validation Failed")
        items[new] = items.pop(old)

    def _variable_shape(self, request: Request, scope: Scope, name: str) -> dict[str, Any]:
        item = self._variables[scope][name]
        return self._item_shape(request, scope, name, item) | {"value": item.value}

    def _post_variable(self, request: Request, scope: Scope) -> Response:
        name = str((request.json() or {}).get("name", "")).upper()
        content = self._content(request, name)
        if name in self._variables[scope]:
            raise self.refuse(409, "Already exists - Variable already exists")
        if "org" in scope[0] and content.get("visibility") not in _VISIBILITIES:
            raise self.refuse(422, "visibility is required")
        selected = tuple(content.get("selected_repository_ids", []))
        visibility = str(content.get("visibility", ""))
        if "value" not in content:
            raise self.refuse(422, "Invalid request: value wasn't supplied")
        self._store(self._variables, scope, name, str(content["value"]), visibility=visibility, selected=selected)
        return json_response({}, 201)

    def _page(
        self, request: Request, values: list[dict[str, Any]], under: str | None, lengths: tuple[int, int]
    ) -> Response:
        """Cut a page out of a list, larger ones silently to the largest; links lead on."""
        query = request.query
        length = min(lengths[1], max(1, _number(query.get("per_page"), lengths[0])))
        number = max(1, _number(query.get("page"), 1))
        shown = self.page_of(values, number, length)
        headers = {}
        if number * length < len(values):
            others = "".join(f"&{name}={value}" for name, value in query.items() if name not in {"page", "per_page"})
            there = f"{request.base}{request.path}?per_page={length}{others}&page="
            last = -(-len(values) // length)
            headers["Link"] = f'<{there}{number + 1}>; rel="next", <{there}{last}>; rel="last"'
        content = {"total_count": len(values), under: shown} if under else shown
        return json_response(content, 200, headers)


def _org_scope(product: str, organization: str) -> Scope:
    return ("org", organization) if product == "actions" else (f"org-{product}", organization)


def _number(text: str | None, default: int) -> int:
    """Read a parameter of a list; GitHub takes what is not a number for its default."""
    return int(text) if text and text.isascii() and text.isdigit() else default


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _drop(store: dict[Scope, Any], owner: tuple[str, ...]) -> None:
    for scope in [scope for scope in store if scope[1 : len(owner) + 1] == owner]:
        del store[scope]


def _move(store: dict[Scope, Any], old: tuple[str, str], new: str) -> None:
    for scope in [scope for scope in store if scope[1:3] == old]:
        store[scope[0], old[0], new, *scope[3:]] = store.pop(scope)
