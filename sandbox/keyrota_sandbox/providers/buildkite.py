"""An emulator for Buildkite, as far as secrets of clusters go: values that are never shown, policies, limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from keyrota.ports import Clock
from keyrota_sandbox.faults import Faults
from keyrota_sandbox.providers.emulator import Emulator
from keyrota_sandbox.server import Request, Response, json_response

TOKEN = "sandbox-buildkite-token"  # noqa: S105  # opens nothing but the sandbox
_MAX_PAGE = 100
_LIMIT = 200
_A_MINUTE = timedelta(minutes=1)
_MAX_SIZE = 8 * 1024
_Place = tuple[str, str]
"""Slug of the organization and ID of the cluster."""


class BuildkiteEmulator(Emulator):
    """Buildkite on loopback."""

    prefix = ("v2",)

    def __init__(self, clock: Clock, faults: Faults | None = None, *, token: str = TOKEN) -> None:
        super().__init__(clock, faults)
        self._token = token
        self._secrets: dict[_Place, dict[str, dict[str, Any]]] = {}
        """By ID: what is shown, and the value."""
        self._pipelines: dict[str, dict[str, Any]] = {}
        """By slug: organization, cluster and environment."""
        self._count = 0
        self.scopes = ["read_secret_details", "write_secrets", "read_pipelines"]
        self.expires: datetime | None = None
        self._window = clock.now()
        self._calls = 0

    @property
    def environment(self) -> Mapping[str, str]:
        """The token, for the environment of keyrota."""
        return {"BUILDKITE_TOKEN": self._token}

    def add_cluster(self, organization: str, cluster: str) -> None:
        """Make a cluster."""
        self._secrets.setdefault((organization, cluster), {})

    def add_pipeline(self, place: _Place, slug: str, **env: str) -> None:
        """Make a pipeline of a cluster, with environment variables in its settings."""
        self._pipelines[slug] = {"organization": place[0], "cluster_id": place[1], "env": env}

    def set_secret(
        self, place: _Place, key: str, value: str, *, policy: str | None = None, description: str = ""
    ) -> None:
        """Set a secret as a person would."""
        known = self._find(place, key) or self._make(place, key)
        self._secrets[place][known] |= {"value": value, "policy": policy, "description": description}
        self._touch(place, known)

    def show(self, place: _Place, key: str) -> dict[str, Any]:
        """Return what the API shows of a secret."""
        return self._show(place, self._find(place, key) or "")

    def values(self, place: _Place) -> dict[str, str]:
        """Return what a job may read."""
        return {secret["key"]: secret["value"] for secret in self._secrets[place].values()}

    def every_value(self) -> Iterator[str]:
        """Go through all values, for tests that look for secrets."""
        for place in self._secrets:
            yield from self.values(place).values()

    def kind(self, request: Request) -> str:
        """Name what a request is about."""
        if request.segments[0] == "access-token":
            return "token"
        if "secrets" not in request.segments:
            return request.segments[-1]
        return "value" if request.segments[-1] == "value" else "secrets"

    def refusal(self, status: int, message: str) -> Response:
        """Make an error in Buildkite's shape."""
        return json_response({"message": message}, status)

    def route(self, request: Request) -> Response:
        """Answer a request, and count it."""
        now = self.clock.now()
        if now - self._window >= _A_MINUTE:
            self._window, self._calls = now, 0
        self._calls += 1
        left = (self._window + _A_MINUTE - now).total_seconds()
        limits = {
            "RateLimit-Limit": str(_LIMIT),
            "RateLimit-Remaining": str(max(0, _LIMIT - self._calls)),
            "RateLimit-Reset": str(int(left)),
        }
        if self._calls > _LIMIT:
            return json_response({"message": "You have exceeded your API rate limit."}, 429, limits)
        answer = self._route(request)
        return Response(status=answer.status, body=answer.body, headers={**answer.headers, **limits})

    def _route(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {self._token}":
            raise self.refuse(401, "Authentication required. Please supply a valid API Access Token.")
        match request.segments:
            case ["access-token"]:
                ends = f"{self.expires:%Y-%m-%d %H:%M:%S} UTC" if self.expires else None
                return json_response({"uuid": "b63254c0", "scopes": self.scopes, "expires_at": ends})
            case ["organizations", slug, "pipelines"] if request.method == "GET":
                self._demand_scope("read_pipelines")
                ours = [name for name, one in self._pipelines.items() if one["organization"] == slug]
                return self._page(request, [{"slug": name, "name": name, **self._pipelines[name]} for name in ours])
            case ["organizations", slug, "clusters"] if request.method == "GET":
                return self._page(request, [{"id": each, "name": each} for org, each in self._secrets if org == slug])
            case ["organizations", slug, "clusters", cluster] if (slug, cluster) in self._secrets:
                return json_response({"id": cluster, "name": cluster})
            case ["organizations", slug, "clusters", cluster, "secrets", *rest] if (slug, cluster) in self._secrets:
                scope = "read_secret_details" if request.method == "GET" else "write_secrets"
                self._demand_scope(scope)
                return self._call(request, (slug, cluster), rest)
        raise self.refuse(404, "No cluster found")

    def _demand_scope(self, scope: str) -> None:
        if scope not in self.scopes:
            raise self.refuse(403, f"Forbidden. Your access token does not have the scope {scope}.")

    def _call(self, request: Request, place: _Place, rest: list[str]) -> Response:
        sent, found = request.json(), self._secrets[place]
        content = sent if isinstance(sent, dict) else {}
        match request.method, rest:
            case "GET", []:
                return self._page(request, [self._show(place, number) for number in found])
            case "POST", []:
                return self._create(place, content)
            case "GET", [number] if number in found:
                return json_response(self._show(place, number))
            case "PUT", [number] if number in found:
                found[number] |= {name: content[name] for name in ("description", "policy") if name in content}
                return json_response(self._show(place, number))
            case "PUT", [number, "value"] if number in found:
                self._demand_value(content)
                found[number]["value"] = str(content["value"])
                self._touch(place, number)
                return json_response(self._show(place, number))
            case "DELETE", [number] if number in found:
                del found[number]
                return Response(status=204)
        raise self.refuse(404, "No secret found")

    def _create(self, place: _Place, content: dict[str, Any]) -> Response:
        key = str(content.get("key", ""))
        if self._find(place, key):
            raise self.refuse(422, "Key has already been taken")
        if not key or key.casefold().startswith(("bk", "buildkite")):
            raise self.refuse(422, "Key is invalid")
        self._demand_value(content)
        number = self._make(place, key)
        self._secrets[place][number] |= {name: content.get(name) for name in ("value", "policy", "description")}
        return json_response(self._show(place, number), 201)

    def _demand_value(self, content: Mapping[str, Any]) -> None:
        if not 0 < len(str(content.get("value") or "")) < _MAX_SIZE:
            raise self.refuse(422, "Value can't be blank, or is too long")

    def _make(self, place: _Place, key: str) -> str:
        self._count += 1
        number = f"30f93dd5-bc23-4a14-8ad3-{self._count:012}"
        self._secrets[place][number] = {"key": key, "value": "", "policy": None, "description": None}
        self._touch(place, number)
        return number

    def _touch(self, place: _Place, number: str) -> None:
        self._secrets[place][number]["updated_at"] = f"{self.now():%Y-%m-%dT%H:%M:%S.000Z}"

    def _find(self, place: _Place, key: str) -> str | None:
        return next((number for number, secret in self._secrets[place].items() if secret["key"] == key), None)

    def _show(self, place: _Place, number: str) -> dict[str, Any]:
        secret = self._secrets[place][number]
        shown = {name: value for name, value in secret.items() if name != "value"}
        return {"id": number, **shown, "last_read_at": None}

    def _page(self, request: Request, values: list[dict[str, Any]]) -> Response:
        number = self.read_number(request, "page", 1)
        length = min(_MAX_PAGE, self.read_number(request, "per_page", 30))
        shown = self.page_of(values, number, length)
        if number * length >= len(values):
            return json_response(shown)
        link = f'<{request.base}{request.path}?page={number + 1}&per_page={length}>; rel="next"'
        return json_response(shown, headers={"Link": link})
