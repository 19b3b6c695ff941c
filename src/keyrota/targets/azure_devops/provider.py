"""Azure DevOps as a plug-in: its schema, its names, its credentials."""

from __future__ import annotations

import re
from functools import partial

from keyrota.http import Http, RetryPolicy, basic, bearer
from keyrota.ports import Clock, SecretReader
from keyrota.target_base.provider import Connection, Provider, Settings
from keyrota.target_base.schema import (
    NAMES,
    SLUG,
    WAITING,
    Schema,
    faults_of_names,
    make_mapping,
    names_of,
    token_alternative,
    variables_of,
)
from keyrota.targets.azure_devops.connection import AzureConnection
from keyrota.targets.azure_devops.target import AzureTarget, address

OWN = ("https://dev.azure.com",)
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""Of a project; the configuration takes its name as well."""

PROVIDER_SCHEMA: Schema = make_mapping(
    {
        "base_url": {
            "type": "string",
            "x-own": list(OWN),
            "description": "Of the organization: https://dev.azure.com/NAME; of a server: https://HOST/COLLECTION.",
        },
        "auth": {
            "description": "A personal access token, or a token of Entra ID.",
            "oneOf": [
                token_alternative("a personal access token"),
                token_alternative("a token of Entra ID", "entra_token"),
            ],
        },
    },
    required=["base_url", "auth"],
    description="An organization of Azure DevOps.",
)
TARGET_SCHEMA: Schema = make_mapping(
    {
        "project": {**SLUG, "description": "Name or ID of the project."},
        "group": {
            "type": ["string", "integer"],
            "minLength": 1,
            "description": "Name or number of a variable group; its other variables are never changed.",
        },
        "names": NAMES,
    },
    required=["project", "group"],
    description="A variable group.",
    **{
        WAITING: (
            "runs that wait for an approval are not asked for: it is not documented when a stage reads "
            "a variable group, and a classic release keeps the values of its creation; approve or "
            "cancel them within the overlap"
        )
    },
)


def _faults(settings: Settings) -> tuple[str, ...]:
    """Names differ by more than case; a star in a group's name would ask for several groups."""
    if "*" in str(settings["group"]):
        return ("a group whose name has a `*` is given by its number",)
    return faults_of_names(name.casefold() for name in names_of(settings))


def _is_within(settings: Settings, scope: str) -> bool:
    """Return whether a group lies in a project, by its name or its ID; one may be the other's."""
    project, wanted = str(settings["project"]).casefold(), scope.casefold()
    return project == wanted or (_ID.fullmatch(project) is None) != (_ID.fullmatch(wanted) is None)


def _variables(settings: Settings) -> frozenset[str]:
    """Name each variable that this target would write."""
    scope = f"azure_devops {settings['project']}/{settings['group']}"
    return frozenset(name.casefold() for name in variables_of(scope, settings))


def _connect(settings: Settings, *, secrets: SecretReader, clock: Clock) -> Connection:
    """Connect; makes no request yet."""
    auth = settings["auth"]
    if "token" in auth:
        authorization = basic("", lambda: secrets(auth["token"]))
    else:
        authorization = bearer(lambda: secrets(auth["entra_token"]))
    client = partial(
        Http,
        settings["base_url"],
        clock=clock,
        own=OWN,
        authorization=authorization,
        name="Azure DevOps",
        headers={"X-TFS-FedAuthRedirect": "Suppress"},  # a refused token: 401, no redirect to the sign-in page
    )
    connection = AzureConnection(client(), client(patience=RetryPolicy(attempts=1)), clock)
    return Connection(target=partial(AzureTarget, connection))


KIND = Provider(
    provider_schema=PROVIDER_SCHEMA,
    target_schema=TARGET_SCHEMA,
    address=address,
    faults=_faults,
    is_within=_is_within,
    variables=_variables,
    connect=_connect,
)
