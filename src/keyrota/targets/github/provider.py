"""GitHub as a plug-in: what its part of the configuration looks like, and how it is connected."""

from __future__ import annotations

from functools import partial
from typing import Any

from keyrota.http import Authorization, Budget, Http, Limit, RetryPolicy, bearer
from keyrota.ports import Clock, SecretReader
from keyrota.target_base.many import Bounds, ManyRepositories
from keyrota.target_base.provider import Connection, Provider, Settings
from keyrota.target_base.schema import (
    BUNDLE,
    MARKER,
    MAX_WAIT,
    NAMES,
    REFERENCE,
    WAIT_FOR_IDLE,
    Schema,
    alternative,
    closed,
    faults_of_names,
    span,
    token_alternative,
)
from keyrota.targets.github.access import App, Installation
from keyrota.targets.github.connection import GitHubConnection, is_limit
from keyrota.targets.github.place import place
from keyrota.targets.github.survey import areas, survey
from keyrota.targets.github.target import GitHubTarget

API = "https://api.github.com"
VERSION = {"X-GitHub-Api-Version": "2022-11-28", "Accept": "application/vnd.github+json, application/json"}
WRITES = (Limit(calls=80, seconds=60.0), Limit(calls=500, seconds=3600.0))
"""GitHub's secondary limits for requests that make content (its page on rate limits)."""
_A_SECOND = 1.0
"""Between writes, on average (same page); the halves of a pair go together."""
CALLS = (Limit(calls=450, seconds=60.0),)
"""900 points a minute: 1 for a read, 5 for a write, of which there are 80 at most (same page)."""
LOOKED_AT = Bounds(most=100, an_hour=1000)
"""One call for each repository of an organization that is looked at, of 5,000 an hour (same page)."""
_LIMITED_S = 60.0
"""Wait a minute at least after a secondary limit that names no time (same page)."""

PROVIDER_SCHEMA: Schema = closed(
    {
        "base_url": {
            "type": "string",
            "default": API,
            "description": "Base URL of the REST API; of an Enterprise Server https://HOST/api/v3.",
        },
        "max_wait": MAX_WAIT,
        "auth": {
            "description": "A token, or an app.",
            "oneOf": [
                token_alternative("a fine-grained or classic token"),
                alternative(
                    "a GitHub App",
                    app_id={"type": ["string", "integer"], "description": "Client ID (preferred) or app ID."},
                    private_key={**REFERENCE, "description": "The PEM file that GitHub gave."},
                ),
            ],
        },
    },
    required=["auth"],
    description="GitHub, or GitHub Enterprise Server.",
)

_LOGIN = "[A-Za-z0-9][A-Za-z0-9_-]*"
TARGET_SCHEMA: Schema = closed(
    {
        "repository": {
            "type": "string",
            "pattern": f"^{_LOGIN}/[A-Za-z0-9._-]+$",
            "description": "OWNER/NAME.",
        },
        "environment": {"type": "string", "minLength": 1, "description": "An environment; it must exist."},
        "organization": {"type": "string", "pattern": f"^{_LOGIN}$", "description": "An organization's secrets."},
        "dependabot": {
            "type": "boolean",
            "default": False,
            "description": "Dependabot's secrets instead of those of Actions: runs that it starts read only these.",
        },
        "names": NAMES,
        "bundle": BUNDLE,
        "marker": MARKER,
        "visibility": {
            "enum": ["all", "private", "selected"],
            "description": "Who may see an organization's secret that is not there yet; what is there keeps its own.",
        },
        "repositories": {
            "type": "array",
            "items": {"type": "string", "pattern": "^[A-Za-z0-9._-]+$"},
            "description": "Names of the repositories for `visibility: selected`.",
        },
        "wait_for_idle": WAIT_FOR_IDLE,
    },
    dependentRequired={"environment": ["repository"], "repositories": ["visibility"]},
    description="Secrets of a repository, of an environment, or of an organization.",
)


def _faults(settings: Settings) -> tuple[str, ...]:
    """Find what does not fit together."""
    is_organization = "organization" in settings
    if is_organization == ("repository" in settings):
        return ("give either `repository: OWNER/NAME` or `organization`",)
    where = place(settings)
    found = [*faults_of_names((where.id_name, where.secret_name))]
    if settings.get("dependabot") and (where.environment or where.marker):
        found.append("Dependabot has neither environments nor variables: leave `environment` and `marker` out")
    if not is_organization and where.visibility:
        found.append("`visibility` is of an organization's secrets only")
    if where.visibility == "selected" and not where.repositories:
        found.append("`visibility: selected` needs `repositories`")
    reserved = [name for name in (*where.names, where.marker or "") if name.startswith("GITHUB_")]
    found += [f"{name}: GitHub keeps names that begin with GITHUB_ to itself" for name in reserved]
    return tuple(found)


def _address(settings: Settings) -> str:
    """Name the target."""
    return place(settings).address


def _is_within(settings: Settings, area: str) -> bool:
    """Return whether a target lies in an organization."""
    return place(settings).owner.casefold() == area.casefold()


def _variables(settings: Settings) -> frozenset[str]:
    """Name each secret and variable that this target would write."""
    where = place(settings)
    scope = where.scope.casefold()
    marker = {f"{scope} variables: {where.marker}"} if where.marker else set()
    return frozenset({*marker, *(f"{scope}: {name}" for name in where.names)})


def _connect(settings: Settings, *, secrets: SecretReader, clock: Clock) -> Connection:
    """Connect; makes no request yet."""
    auth = settings["auth"]
    make = partial(_client, settings, clock)
    many = ManyRepositories(clock, LOOKED_AT, "repositories of the organization")
    if "token" in auth:
        client = make(bearer(lambda: secrets(auth["token"])))
        return _connected(GitHubConnection(client, None, many=many, clock=clock), is_app=False)
    app = App(str(auth["app_id"]), lambda: secrets(auth["private_key"]), clock, make)

    def reach(app: App, installation: Installation) -> Http:
        return make(bearer(lambda: app.token(installation)), renew=lambda: app.drop(installation))

    return _connected(GitHubConnection(None, app, reach, many=many, clock=clock), is_app=True)


def _connected(connection: GitHubConnection, *, is_app: bool) -> Connection:
    return Connection(
        target=lambda settings: GitHubTarget(connection, place(settings)),
        areas=partial(areas, connection, is_app=is_app),
        survey=partial(survey, connection),
    )


def _client(settings: Settings, clock: Clock, authorization: Authorization, **more: Any) -> Http:
    """Make a client with a write budget of its own: GitHub counts by token."""
    bound = span(settings, "max_wait", MAX_WAIT["default"])
    return Http(
        settings.get("base_url", API),
        clock=clock,
        own=(API,),
        authorization=authorization,
        name="GitHub",
        headers=VERSION,
        limited=is_limit,
        patience=RetryPolicy(total_s=bound.total_seconds(), limited_s=_LIMITED_S),
        budget=Budget(clock, CALLS, bound=bound, name="GitHub's budget of calls"),
        write_budget=Budget(clock, WRITES, bound=bound, name="GitHub's budget of writes", gap_s=_A_SECOND),
        **more,
    )


KIND = Provider(
    provider_schema=PROVIDER_SCHEMA,
    target_schema=TARGET_SCHEMA,
    address=_address,
    faults=_faults,
    is_within=_is_within,
    variables=_variables,
    connect=_connect,
)
