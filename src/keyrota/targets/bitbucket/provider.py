"""Bitbucket as a plug-in: what its part of the configuration looks like, and how it is connected."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from keyrota.http import Authorization, Budget, Http, Limit, RetryPolicy, basic, bearer
from keyrota.ports import Clock, SecretReader
from keyrota.target_base.many import Bounds, ManyRepositories
from keyrota.target_base.provider import Connection, Provider, Settings
from keyrota.target_base.schema import (
    BUNDLE,
    MAX_WAIT,
    NAMES,
    REFERENCE,
    SLUG,
    WAIT_FOR_IDLE,
    WAITING,
    Schema,
    alternative,
    make_mapping,
    span,
    token_alternative,
)
from keyrota.targets.bitbucket.connection import BitbucketConnection
from keyrota.targets.bitbucket.oauth import TOKEN_URL, OAuth
from keyrota.targets.bitbucket.place import place
from keyrota.targets.bitbucket.scan import scan, scopes
from keyrota.targets.bitbucket.target import BitbucketTarget

API = "https://api.bitbucket.org/2.0"
_AN_HOUR_S = 3600.0
CALLS_AN_HOUR = 1000
"""Bitbucket's limit for a user, an access token or a consumer (support page `API request limits`)."""
_LOOKED_AT, _SHARE = 50, 10
"""Three calls for each repository of a workspace that is looked at: 150 for one look, three tenths of the hour's calls
for all of them."""
_LIMITED_S = 60.0
"""A 429 names no time, and the hour rolls: after a minute some calls are free again."""

PROVIDER_SCHEMA: Schema = make_mapping(
    {
        "base_url": {"type": "string", "default": API, "description": "Base URL of the REST API."},
        "token_url": {"type": "string", "default": TOKEN_URL, "description": "Where OAuth tokens are given."},
        "calls_per_hour": {
            "type": "integer",
            "minimum": 10,
            "default": CALLS_AN_HOUR,
            "description": "Bitbucket's limit for this token; more only with a scaled limit.",
        },
        "max_wait": MAX_WAIT,
        "expires": {
            "type": "string",
            "format": "date",
            "description": "When the token ends: Bitbucket does not tell, so that keyrota can only warn if you do.",
        },
        "auth": {
            "description": "One of three kinds of credentials.",
            "oneOf": [
                token_alternative("an access token of a repository, project or workspace"),
                token_alternative(
                    "an API token with the e-mail of its Atlassian account", "api_token", email={"type": "string"}
                ),
                alternative("an OAuth consumer", client_id={"type": "string"}, client_secret=REFERENCE),
            ],
        },
    },
    required=["auth"],
    description="Bitbucket Cloud.",
)

TARGET_SCHEMA: Schema = make_mapping(
    {
        "workspace": {**SLUG, "description": "Slug or {UUID}."},
        "repository": {**SLUG, "description": "Slug or {UUID}."},
        "environment": {
            "type": "string",
            "minLength": 1,
            "description": "Name or {UUID} of a deployment environment; it must exist.",
        },
        "names": NAMES,
        "bundle": BUNDLE,
        "id_secured": {
            "type": "boolean",
            "default": False,
            "description": "Hide the key ID too. Drift does not show then.",
        },
        "wait_for_idle": WAIT_FOR_IDLE,
    },
    required=["workspace"],
    dependentRequired={"environment": ["repository"]},
    description="Variables of a deployment environment; without `environment` the repository's, "
    "without `repository` the workspace's.",
    **{WAITING: "a pipeline that waits for a manual step is not asked for: a step reads its variables when it starts"},
)


def _address(settings: Settings) -> str:
    """Name the target."""
    return place(settings).address


def _is_within(settings: Settings, scope: str) -> bool:
    """Return whether a target lies in a workspace, by its slug or its UUID; one may be the other's."""
    workspace, wanted = str(settings["workspace"]).casefold(), scope.casefold()
    return workspace == wanted or workspace.startswith("{") != wanted.startswith("{")


def _variables(settings: Settings) -> frozenset[str]:
    """Name each variable that this target would write."""
    where = place(settings)
    return frozenset(f"{where.scope.casefold()}: {name}" for name in where.names)


def _connect(settings: Settings, *, secrets: SecretReader, clock: Clock) -> Connection:
    """Connect; makes no request yet."""
    oauth = _oauth(settings, secrets, clock)
    calls = settings.get("calls_per_hour", CALLS_AN_HOUR)
    limit = Limit(calls=calls, seconds=_AN_HOUR_S)
    bounds = Bounds(most=_LOOKED_AT, an_hour=max(1, calls // _SHARE))
    bound = span(settings, "max_wait", MAX_WAIT["default"])
    http = Http(
        settings.get("base_url", API),
        clock=clock,
        own=(API,),
        authorization=bearer(oauth.token) if oauth else _authorization(settings["auth"], secrets),
        name="Bitbucket",
        patience=RetryPolicy(total_s=bound.total_seconds(), limited_s=_LIMITED_S),
        budget=Budget(clock, [limit], bound=bound, name="Bitbucket's budget of calls"),
        renew=oauth.drop if oauth else None,
    )
    many = ManyRepositories(clock, bounds, "repositories of the workspace")
    connection = BitbucketConnection(http, many, clock, token_expires=_expires(settings))
    return Connection(
        target=lambda settings: BitbucketTarget(connection, place(settings)),
        scopes=partial(scopes, connection),
        scan=partial(scan, connection),
    )


def _expires(settings: Settings) -> datetime | None:
    return datetime.fromisoformat(settings["expires"]).replace(tzinfo=UTC) if "expires" in settings else None


def _oauth(settings: Settings, secrets: SecretReader, clock: Clock) -> OAuth | None:
    auth = settings["auth"]
    if "client_id" not in auth:
        return None
    return OAuth(settings.get("token_url", TOKEN_URL), auth["client_id"], secrets, auth["client_secret"], clock)


def _authorization(auth: Mapping[str, Any], secrets: SecretReader) -> Authorization:
    if "token" in auth:
        return bearer(lambda: secrets(auth["token"]))
    return basic(auth["email"], lambda: secrets(auth["api_token"]))


KIND = Provider(
    provider_schema=PROVIDER_SCHEMA,
    target_schema=TARGET_SCHEMA,
    address=_address,
    is_within=_is_within,
    variables=_variables,
    connect=_connect,
)
