"""Forgejo and Gitea as plug-ins: their schema, their names, their credentials."""

from __future__ import annotations

import re
from functools import partial

from keyrota.core.secret import Secret
from keyrota.http import Http, header
from keyrota.ports import Clock, SecretReader
from keyrota.target_base.errors import ProviderErrors
from keyrota.target_base.provider import Connection, Provider, Settings
from keyrota.target_base.schema import (
    MARKER,
    NAMES,
    WAITING,
    Schema,
    faults_of_names,
    make_mapping,
    marker_of,
    names_of,
    token_alternative,
)
from keyrota.targets.forgejo.connection import ForgejoConnection
from keyrota.targets.forgejo.target import ForgejoTarget, address, where_of

_RESERVED = re.compile(r"(GITEA|GITHUB)_", re.IGNORECASE)

TARGET_SCHEMA: Schema = make_mapping(
    {
        "repository": {"type": "string", "pattern": "^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$", "description": "OWNER/NAME."},
        "organization": {"type": "string", "pattern": "^[A-Za-z0-9._-]+$", "description": "Name of an organization."},
        "token_user": {"const": True, "description": "The user whose token it is."},
        "marker": MARKER,
        "names": NAMES,
    },
    description="Actions secrets of a repository, an organization, or a user.",
    **{WAITING: ("jobs that wait are not asked for: a job gets its secrets when a runner takes it")},
)


def _provider(key: str, name: str) -> Provider:
    """
    Make the provider.

    Args:
        key: As the configuration names it.
        name: As people write it.
    """
    return Provider(
        provider_schema=make_mapping(
            {
                "base_url": {"type": "string", "description": "Base URL of the API: https://HOST/api/v1."},
                "auth": {
                    "description": "An access token.",
                    "oneOf": [token_alternative("an access token")],
                },
            },
            required=["base_url", "auth"],
            description=f"{name}.",
        ),
        target_schema=TARGET_SCHEMA,
        address=partial(address, key),
        faults=_faults,
        is_within=_is_within,
        variables=partial(_variables, key),
        connect=partial(_connect, key, name),
    )


def _faults(settings: Settings) -> tuple[str, ...]:
    """Find what does not fit together."""
    if len(settings.keys() & {"repository", "organization", "token_user"}) != 1:
        return ("give one of `repository`, `organization` and `token_user: true`",)
    marker = marker_of(settings, names_of(settings)[0])
    reserved = [name for name in (*names_of(settings), marker or "") if _RESERVED.match(name)]
    kept = [f"{name}: names that begin with GITEA_ or GITHUB_ are refused" for name in reserved]
    return (*faults_of_names(name.upper() for name in names_of(settings)), *kept)


def _is_within(settings: Settings, scope: str) -> bool:
    """Return whether a target lies with an owner; whose token a user's is, is not known here: it may be theirs."""
    owner = str(settings.get("organization") or settings.get("repository", "")).partition("/")[0]
    return "token_user" in settings or owner.casefold() == scope.casefold()


def _variables(key: str, settings: Settings) -> frozenset[str]:
    """Name each secret and variable that this target would write."""
    scope = f"{key} {where_of(settings)}".casefold()
    marker = marker_of(settings, names_of(settings)[0])
    secrets = {f"{scope}: {name.upper()}" for name in names_of(settings)}
    return frozenset(secrets | ({f"{scope} variables: {marker}"} if marker else set()))


def _connect(key: str, name: str, settings: Settings, *, secrets: SecretReader, clock: Clock) -> Connection:
    """Connect; makes no request yet."""
    says = ProviderErrors(
        name=name,
        key=key,
        needs="the token needs the scope write:repository, write:organization or write:user, "
        "of an owner or an administrator of the place",
        missing="it does not exist, the token may not see it, or this version has no such call",
    )
    token = header("Authorization", lambda: Secret(f"token {secrets(settings['auth']['token']).reveal()}"))
    http = Http(settings["base_url"], clock=clock, authorization=token, name=name)
    return Connection(target=partial(ForgejoTarget, ForgejoConnection(http, says)))


FORGEJO, GITEA = _provider("forgejo", "Forgejo"), _provider("gitea", "Gitea")
