"""GitHub as a plug-in: what its part of the configuration looks like, and how it is connected."""

from __future__ import annotations

from functools import partial

from keyrota.http import Http, bearer
from keyrota.ports import Clock, SecretReader
from keyrota.target_base.github_api import API, LOGIN, REPOSITORY, client, faults_of_reserved
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
    faults_of_names,
    make_mapping,
    token_alternative,
)
from keyrota.targets.github.access import App, Installation
from keyrota.targets.github.connection import GitHubConnection
from keyrota.targets.github.place import place
from keyrota.targets.github.scan import scan, scopes
from keyrota.targets.github.target import GitHubTarget

LOOKED_AT = Bounds(most=100, an_hour=1000)
"""One call for each repository of an organization that is looked at, of 5,000 an hour (same page)."""

PROVIDER_SCHEMA: Schema = make_mapping(
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

TARGET_SCHEMA: Schema = make_mapping(
    {
        "repository": REPOSITORY,
        "environment": {"type": "string", "minLength": 1, "description": "An environment; it must exist."},
        "organization": {"type": "string", "pattern": f"^{LOGIN}$", "description": "An organization's secrets."},
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
    return (*found, *faults_of_reserved((*where.names, where.marker or "")))


def _address(settings: Settings) -> str:
    """Name the target."""
    return place(settings).address


def _is_within(settings: Settings, scope: str) -> bool:
    """Return whether a target lies in an organization."""
    return place(settings).owner.casefold() == scope.casefold()


def _variables(settings: Settings) -> frozenset[str]:
    """Name each secret and variable that this target would write."""
    where = place(settings)
    scope = where.scope.casefold()
    marker = {f"{scope} variables: {where.marker}"} if where.marker else set()
    return frozenset({*marker, *(f"{scope}: {name}" for name in where.names)})


def _connect(settings: Settings, *, secrets: SecretReader, clock: Clock) -> Connection:
    """Connect; makes no request yet."""
    auth = settings["auth"]
    make = partial(client, settings, clock)
    many = ManyRepositories(clock, LOOKED_AT, "repositories of the organization")
    if "token" in auth:
        http = make(bearer(lambda: secrets(auth["token"])))
        return _make_connection(GitHubConnection(http, None, many=many, clock=clock), is_app=False)
    app = App(str(auth["app_id"]), lambda: secrets(auth["private_key"]), clock, make)

    def reach(app: App, installation: Installation) -> Http:
        return make(bearer(lambda: app.token(installation)), renew=lambda: app.drop(installation))

    return _make_connection(GitHubConnection(None, app, reach, many=many, clock=clock), is_app=True)


def _make_connection(connection: GitHubConnection, *, is_app: bool) -> Connection:
    return Connection(
        target=lambda settings: GitHubTarget(connection, place(settings)),
        scopes=partial(scopes, connection, is_app=is_app),
        scan=partial(scan, connection),
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
