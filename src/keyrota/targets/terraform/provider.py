"""HCP Terraform as a plug-in: its schema, its names, its credentials."""

from __future__ import annotations

from functools import partial

from keyrota.http import Limit
from keyrota.ports import Clock, SecretReader
from keyrota.target_base.client import connect_with_token
from keyrota.target_base.provider import Connection, Provider, Settings, is_in_organization
from keyrota.target_base.schema import (
    MAX_WAIT,
    NAMES,
    Schema,
    faults_of_names,
    make_mapping,
    names_of,
    token_alternative,
    variables_of,
)
from keyrota.targets.terraform.connection import MEDIA, TerraformConnection
from keyrota.targets.terraform.place import Category, address
from keyrota.targets.terraform.target import TerraformTarget

API = "https://app.terraform.io/api/v2"
_LIMIT = Limit(calls=20, seconds=1.0)
"""30 a second for each user, whatever the token: a third is left to the people and pipelines that share the user."""
_NAME = {"type": "string", "pattern": "^[A-Za-z0-9_-]+$"}

PROVIDER_SCHEMA: Schema = make_mapping(
    {
        "base_url": {
            "type": "string",
            "default": API,
            "description": "Base URL of the API; of Terraform Enterprise: https://HOST/api/v2.",
        },
        "auth": {
            "description": "A token of a user, a team or an organization.",
            "oneOf": [token_alternative("an API token")],
        },
        "max_wait": MAX_WAIT,
    },
    required=["auth"],
    description="HCP Terraform, Terraform Cloud, Terraform Enterprise.",
)
TARGET_SCHEMA: Schema = make_mapping(
    {
        "organization": {**_NAME, "description": "Name of the organization."},
        "workspace": {**_NAME, "description": "Name of a workspace."},
        "variable_set": {
            "type": "string",
            "pattern": "^varset-[A-Za-z0-9]+$",
            "description": "ID of a variable set, instead of a workspace.",
        },
        "category": {
            "enum": [str(Category.ENV), str(Category.TERRAFORM)],
            "default": str(Category.ENV),
            "description": "env: environment variables of a run; terraform: inputs of the configuration.",
        },
        "names": NAMES,
    },
    required=["organization"],
    description="Two variables of a workspace or a variable set.",
)


def _faults(settings: Settings) -> tuple[str, ...]:
    """Find what does not fit together."""
    if ("workspace" in settings) == ("variable_set" in settings):
        return ("give either `workspace` or `variable_set`",)
    return faults_of_names(names_of(settings))


def _variables(settings: Settings) -> frozenset[str]:
    """Name each variable that this target would write."""
    where = settings.get("variable_set") or f"{settings['organization']}/{settings['workspace']}".casefold()
    kind = " as Terraform variables" if settings.get("category") == Category.TERRAFORM else ""
    return variables_of(f"terraform {where}{kind}", settings)


def _connect(settings: Settings, *, secrets: SecretReader, clock: Clock) -> Connection:
    """Connect; makes no request yet."""
    http = connect_with_token(
        settings,
        secrets=secrets,
        clock=clock,
        api=API,
        name="HCP Terraform",
        limit=_LIMIT,
        headers={"Accept": MEDIA},
    )
    return Connection(target=partial(TerraformTarget, TerraformConnection(http)))


KIND = Provider(
    provider_schema=PROVIDER_SCHEMA,
    target_schema=TARGET_SCHEMA,
    address=address,
    faults=_faults,
    is_within=is_in_organization,
    variables=_variables,
    connect=_connect,
)
