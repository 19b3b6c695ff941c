"""Kubernetes as a plug-in: its schema, its names, its credentials."""

from __future__ import annotations

from functools import partial

from keyrota.http import Http, bearer
from keyrota.ports import Clock, SecretReader
from keyrota.target_base.provider import Connection, Provider, Settings
from keyrota.target_base.schema import (
    ID_NAME,
    NAMES,
    SECRET_NAME,
    WAITING,
    Schema,
    make_mapping,
    token_alternative,
    variables_of,
)
from keyrota.targets.kubernetes.connection import KubernetesConnection
from keyrota.targets.kubernetes.target import KubernetesTarget, address

_NAME = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", "maxLength": 253}
_ENTRY = {"type": "string", "pattern": "^[-._A-Za-z0-9]+$", "maxLength": 253}
"""Kubernetes API reference, Secret v1: keys of `data`; dashes and dots are usual there."""

PROVIDER_SCHEMA: Schema = make_mapping(
    {
        "base_url": {"type": "string", "description": "Of the API server: https://HOST:6443."},
        "auth": {
            "description": "A service account's token.",
            "oneOf": [token_alternative("a bearer token")],
        },
    },
    required=["base_url", "auth"],
    description="A Kubernetes cluster; its CA is named by SSL_CERT_FILE.",
)
TARGET_SCHEMA: Schema = make_mapping(
    {
        "namespace": {**_NAME, "description": "It must exist."},
        "secret": {**_NAME, "description": "A Secret; its other entries are never touched."},
        "names": {
            **NAMES,
            "description": "Names of the two entries.",
            "properties": {"id": {**_ENTRY, "default": ID_NAME}, "secret": {**_ENTRY, "default": SECRET_NAME}},
        },
    },
    required=["namespace", "secret"],
    description="A Secret.",
    **{
        WAITING: (
            "pods are not asked for: one that took the Secret into its environment keeps the old key "
            "until it is restarted; restart what uses it within the overlap"
        )
    },
)


def _is_within(settings: Settings, scope: str) -> bool:
    """Return whether a Secret lies in a namespace."""
    return str(settings["namespace"]) == scope


def _variables(settings: Settings) -> frozenset[str]:
    """Name each entry that this target would write."""
    return variables_of(f"{settings['namespace']}/{settings['secret']}", settings)


def _connect(settings: Settings, *, secrets: SecretReader, clock: Clock) -> Connection:
    """Connect; makes no request yet."""
    token = bearer(lambda: secrets(settings["auth"]["token"]))
    http = Http(settings["base_url"], clock=clock, authorization=token, name="Kubernetes")
    return Connection(target=partial(KubernetesTarget, KubernetesConnection(http)))


KIND = Provider(
    provider_schema=PROVIDER_SCHEMA,
    target_schema=TARGET_SCHEMA,
    address=address,
    is_within=_is_within,
    variables=_variables,
    connect=_connect,
)
