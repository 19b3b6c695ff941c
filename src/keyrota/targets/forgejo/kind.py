"""Forgejo and Gitea as plug-ins: their schema, their names, their credentials."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from keyrota.core.secret import Secret
from keyrota.http import Http, header
from keyrota.ports import Clock, SecretReader
from keyrota.target_base.errors import ProviderErrors
from keyrota.target_base.schema import (
    MARKER,
    NAMES,
    WAITING,
    Schema,
    closed,
    faults_of_names,
    marker_of,
    names_of,
    token_alternative,
)
from keyrota.target_base.target import NoDiscovery
from keyrota.targets.forgejo.connection import ForgejoConnection
from keyrota.targets.forgejo.target import ForgejoTarget, address, where_of

_RESERVED = re.compile(r"(GITEA|GITHUB)_", re.IGNORECASE)

TARGET_SCHEMA: Schema = closed(
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


class ForgejoKind:
    """
    Forgejo or Gitea as a plug-in.

    Args:
        key: As the configuration names it.
        name: As people write it.
    """

    def __init__(self, key: str, name: str) -> None:
        self._key, self._name = key, name

    @property
    def provider_schema(self) -> Mapping[str, Any]:
        """JSON Schema of the provider."""
        return closed(
            {
                "base_url": {"type": "string", "description": "Base URL of the API: https://HOST/api/v1."},
                "auth": {
                    "description": "An access token.",
                    "oneOf": [token_alternative("an access token")],
                },
            },
            required=["base_url", "auth"],
            description=f"{self._name}.",
        )

    @property
    def target_schema(self) -> Mapping[str, Any]:
        """JSON Schema of a target."""
        return TARGET_SCHEMA

    def faults(self, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """Find what does not fit together."""
        if len(settings.keys() & {"repository", "organization", "token_user"}) != 1:
            return ("give one of `repository`, `organization` and `token_user: true`",)
        marker = marker_of(settings, names_of(settings)[0])
        reserved = [name for name in (*names_of(settings), marker or "") if _RESERVED.match(name)]
        kept = [f"{name}: names that begin with GITEA_ or GITHUB_ are refused" for name in reserved]
        return (*faults_of_names(name.upper() for name in names_of(settings)), *kept)

    def address(self, settings: Mapping[str, Any]) -> str:
        """Name the target."""
        return address(self._key, settings)

    def is_within(self, settings: Mapping[str, Any], area: str) -> bool:
        """Return whether a target lies with an owner; whose token a user's is, is not known here: it may be theirs."""
        owner = str(settings.get("organization") or settings.get("repository", "")).partition("/")[0]
        return "token_user" in settings or owner.casefold() == area.casefold()

    def variables(self, settings: Mapping[str, Any]) -> frozenset[str]:
        """Name each secret and variable that this target would write."""
        scope = f"{self._key} {where_of(settings)}".casefold()
        marker = marker_of(settings, names_of(settings)[0])
        secrets = {f"{scope}: {name.upper()}" for name in names_of(settings)}
        return frozenset(secrets | ({f"{scope} variables: {marker}"} if marker else set()))

    def connect(self, settings: Mapping[str, Any], *, secrets: SecretReader, clock: Clock) -> NoDiscovery:
        """Connect; makes no request yet."""
        says = ProviderErrors(
            name=self._name,
            key=self._key,
            needs="the token needs the scope write:repository, write:organization or write:user, "
            "of an owner or an administrator of the place",
            missing="it does not exist, the token may not see it, or this version has no such call",
        )
        token = header("Authorization", lambda: Secret(f"token {secrets(settings['auth']['token']).reveal()}"))
        http = Http(settings["base_url"], clock=clock, authorization=token, name=self._name)
        return NoDiscovery(partial(ForgejoTarget, ForgejoConnection(http, says)))


FORGEJO, GITEA = ForgejoKind("forgejo", "Forgejo"), ForgejoKind("gitea", "Gitea")
