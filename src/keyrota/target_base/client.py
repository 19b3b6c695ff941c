"""The HTTP client of a provider that takes one bearer token and limits all calls together."""

from __future__ import annotations

from collections.abc import Mapping

from keyrota.http import Budget, Http, Limit, bearer
from keyrota.ports import Clock, SecretReader
from keyrota.target_base.provider import Settings
from keyrota.target_base.schema import MAX_WAIT, span


def connect_with_token(
    settings: Settings,
    *,
    secrets: SecretReader,
    clock: Clock,
    api: str,
    name: str,
    limit: Limit,
    headers: Mapping[str, str] | None = None,
) -> Http:
    """Make the client of a provider whose token is `auth: token:`; makes no request yet."""
    bound = span(settings, "max_wait", MAX_WAIT["default"])
    return Http(
        settings.get("base_url", api),
        clock=clock,
        own=(api,),
        authorization=bearer(lambda: secrets(settings["auth"]["token"])),
        name=name,
        headers=headers,
        budget=Budget(clock, [limit], bound=bound, name=f"{name}'s budget of calls"),
    )
