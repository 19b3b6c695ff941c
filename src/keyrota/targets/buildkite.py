"""
Buildkite: secrets of a cluster.

Source: Buildkite REST API reference, pages "Secrets" (POST with key, value and policy; `PUT …/value` changes the value
alone, so that policy and description stay; a value is never returned, `updated_at` is), "Access token" (scopes and end
of the token itself), "REST API overview" (pages of at most 100 by `Link`; limits of the organization and of the user,
whose resets count from now). What is not documented is borne, not relied on: with which status a second POST of the
same key is refused.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from keyrota.core.levels import Side, Written
from keyrota.core.model import AccessKeyId, KeyPair, PlaceId, Readiness, Surroundings, TargetEvidence, TargetState
from keyrota.core.secret import Secret
from keyrota.core.variables import Listed, describe_variable, pair_conflicts, states_of
from keyrota.errors import Half, KeyrotaError, ProviderRefused
from keyrota.http import Http, Limit, Response, paginate, run_concurrently
from keyrota.ports import Clock, SecretReader
from keyrota.target_base.client import connect_with_token
from keyrota.target_base.errors import ProviderErrors
from keyrota.target_base.look import Look
from keyrota.target_base.provider import Connection, Provider, Settings, is_in_organization
from keyrota.target_base.schema import (
    MAX_WAIT,
    NAMES,
    WAITING,
    Schema,
    faults_of_names,
    make_mapping,
    name_place,
    name_provider,
    names_of,
    token_alternative,
    variables_of,
)
from keyrota.target_base.target import BaseTarget
from keyrota.target_base.upsert import upsert

API = "https://api.buildkite.com/v2"
_SCOPES = ("read_secret_details", "write_secrets")
_SAYS = ProviderErrors(
    name="Buildkite",
    key="buildkite",
    needs="the API access token needs the scopes read_secret_details and write_secrets, "
    "of a maintainer of the cluster or an administrator",
)
_MAX_PAGES = 100
_MISSING = 404
_LIMIT = Limit(calls=40, seconds=60.0)
"""200 a minute for everybody in the organization, and 50 for each user: a part of it is left to the others."""
_KEY = re.compile(r"(?!buildkite|bk)[a-z]\w{0,254}", re.IGNORECASE | re.ASCII)

PROVIDER_SCHEMA: Schema = make_mapping(
    {
        "base_url": {"type": "string", "default": API, "description": "Base URL of the REST API."},
        "auth": {
            "description": "An API access token.",
            "oneOf": [token_alternative("an API access token")],
        },
        "max_wait": MAX_WAIT,
    },
    required=["auth"],
    description="Buildkite.",
)
TARGET_SCHEMA: Schema = make_mapping(
    {
        "organization": {"type": "string", "pattern": "^[a-z0-9][a-z0-9-]*$", "description": "Slug: acme."},
        "cluster": {
            "type": "string",
            "pattern": "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
            "description": "ID of the cluster.",
        },
        "policy": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "minProperties": 1,
                "propertyNames": {"pattern": "^[a-z_]+$"},
                "additionalProperties": {
                    "anyOf": [{"type": "string"}, {"type": "array", "minItems": 1, "items": {"type": "string"}}]
                },
            },
            "description": "Access policy of a secret that is not there yet: rules; what is there keeps its own.",
        },
        "names": NAMES,
    },
    required=["organization", "cluster"],
    description="Secrets of a cluster.",
    **{
        WAITING: ("a build at a block step is not asked for: a job reads a secret when it asks for it, after the block")
    },
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _TokenRecord:
    """What Buildkite says of the token itself; nothing where it does not tell."""

    expires: datetime | None = None
    missing: tuple[str, ...] = ()
    """Scopes that it lacks."""


class BuildkiteConnection:
    """Buildkite with one token."""

    def __init__(self, http: Http) -> None:
        self.http = http
        self._record: _TokenRecord | None = None
        self._lock = threading.Lock()

    def token(self) -> _TokenRecord:
        """Read the token's own record, once."""
        with self._lock:
            if self._record is None:
                self._record = self._ask_token()
            return self._record

    def _ask_token(self) -> _TokenRecord:
        try:
            answer = self.http.call("GET", ("access-token",), where="providers.buildkite.auth")
        except KeyrotaError:
            return _TokenRecord()
        content = answer.object() if answer.is_success else {}
        scopes = content.get("scopes")
        expires = self.http.parse_time(str(content.get("expires_at")).replace(" UTC", "+00:00"))
        if not isinstance(scopes, list):
            return _TokenRecord(expires=expires)
        return _TokenRecord(expires=expires, missing=tuple(scope for scope in _SCOPES if scope not in scopes))


class BuildkiteTarget(BaseTarget):
    """One cluster."""

    def __init__(self, connection: BuildkiteConnection, settings: Settings) -> None:
        super().__init__(address(settings))
        self._connection = connection
        self._organization: str = settings["organization"]
        self._cluster: str = settings["cluster"]
        self._path = ("organizations", self._organization, "clusters", self._cluster, "secrets")
        self._policy = "\n".join(_rule(rule) for rule in settings.get("policy", ()))
        self._id_name, self._secret_name = names_of(settings)

    @property
    def has_separate_variables(self) -> bool:
        """Two secrets."""
        return True

    @property
    def is_id_readable(self) -> bool:
        """A value is never returned."""
        return False

    def preflight(self) -> Readiness:
        """Look at the scopes of the token and list the secrets. Honest limit: who may maintain is not told."""
        return replace(self.readiness(self._look), token_expires=self._connection.token().expires)

    def _look(self) -> None:
        missing = self._connection.token().missing
        if missing:
            raise ProviderRefused(
                f"the token lacks the scope {' and '.join(missing)}", where=self._about(""), remedy=_SAYS.needs
            )
        self._list_ours()

    def read(self) -> TargetState:
        """Return whether the secrets are there, and when one of them was changed last."""
        return self.read_or_failed(self._read)

    def _read(self) -> TargetState:
        everything = self._list_all()
        secrets = [describe_variable(name, None) for name in everything]
        return replace(
            self._state({name: everything[name] for name in self._names if name in everything}),
            token_expires=self._connection.token().expires,
            place=self._place(),
            variables=states_of(self._names, secrets, id_name=self._id_name),
            conflicts=tuple(pair_conflicts(secrets, *self._names, noun="secret")),
        )

    def _state(self, found: Mapping[str, Mapping[str, Any]]) -> TargetState:
        missing = [name for name in self._names if name not in found]
        if missing:
            return self.absent_state(missing, is_empty=not found)
        told = self._connection.http.parse_time
        changed = max((at for secret in found.values() if (at := told(secret.get("updated_at")))), default=None)
        return TargetState(address=self.address, evidence=TargetEvidence.CANNOT_TELL, changed_at=changed)

    @property
    def _names(self) -> tuple[str, str]:
        return self._id_name, self._secret_name

    def _place(self) -> PlaceId:
        """Identify a cluster by its UUID, which no other organization has."""
        return PlaceId(kind="buildkite", origin=self._connection.http.origin, id=f"cluster {self._cluster.casefold()}")

    def surroundings(self) -> Surroundings:
        """Look at the environment variables that the cluster's pipelines set, readable in their settings."""
        look = Look()
        pipelines = look.attempt(
            f"the pipelines of {self.address} (scope read_pipelines)", lambda: self._pipelines(self._about(""))
        )
        for name, variables in (pipelines or {}).items():
            look.level(f"buildkite {self._organization}/{name}", Side.BELOW, partial(_as_is, variables))
        found = look.attempt(self.address, self._list_ours) or {}
        return look.conclude(self.address, Written(pair=self._names, bundle=None, present=frozenset(found)))

    def _pipelines(self, about: str) -> dict[str, tuple[Listed, ...]]:
        first = self._call("GET", ("organizations", self._organization, "pipelines"), "", query={"per_page": "100"})
        follow = partial(self._connection.http.follow, where=about)
        pages = paginate(first, Response.next_link, follow, most=_MAX_PAGES, name=_SAYS.name, where=about)
        return {
            str(one.get("slug")): tuple(
                describe_variable(str(name), value) for name, value in _environment(one).items()
            )
            for answer in pages
            for one in _SAYS.entries(answer, about)
            if str(one.get("cluster_id")).casefold() == self._cluster.casefold()
        }

    def write(self, credential: KeyPair) -> None:
        """Create both secrets, or change their values, at once; policy and description of what exists stay."""
        found = self._list_ours()
        run_concurrently(
            partial(self._put, self._secret_name, credential.secret, found.get(self._secret_name)),
            partial(self._put, self._id_name, Secret(credential.id), found.get(self._id_name)),
        )

    def clear(self, keys: frozenset[AccessKeyId]) -> tuple[str, ...]:  # noqa: ARG002  # no value can be read
        """Delete both secrets; whose key they hold cannot be read."""
        found = self._list_ours()
        for name, secret in found.items():
            self._delete(name, secret["id"])
        return tuple(found)

    def delete_half(self, half: Half) -> None:
        """Delete one secret."""
        name = self._id_name if half is Half.ID else self._secret_name
        secret = self._list_ours().get(name)
        if secret is not None:
            self._delete(name, secret["id"])

    def _delete(self, name: str, number: str) -> None:
        answer = self._call("DELETE", (*self._path, number), name)
        if answer.status != _MISSING:
            _SAYS.raise_for_status(answer, self._about(name))

    # --- calls ------------------------------------------------------------------------------------------------------

    def _call(self, method: str, path: tuple[str, ...], name: str, **more: Any) -> Response:
        return self._connection.http.call(method, path, where=self._about(name), **more)

    def _about(self, name: str) -> str:
        return f"{self.address}, secret {name}" if name else f"{self.address}, its secrets"

    def _list_ours(self) -> dict[str, dict[str, Any]]:
        """Find our own secrets; keys are compared with case."""
        return {name: secret for name, secret in self._list_all().items() if name in self._names}

    def _list_all(self) -> dict[str, dict[str, Any]]:
        """List the secrets on all pages; no value is in a list."""
        found: dict[str, dict[str, Any]] = {}
        about = self._about("")
        first = self._call("GET", self._path, "", query={"per_page": "100"})
        follow = partial(self._connection.http.follow, where=about)
        for answer in paginate(first, Response.next_link, follow, most=_MAX_PAGES, name=_SAYS.name, where=about):
            for secret in _SAYS.entries(answer, about):
                if isinstance(secret.get("key"), str) and isinstance(secret.get("id"), str):
                    found[secret["key"]] = secret
        return found

    def _put(self, name: str, value: Secret, found: Mapping[str, Any] | None) -> None:
        """Change the value, or create the secret."""
        body = {"key": name, "value": value} | ({"policy": self._policy} if self._policy else {})
        upsert(
            found,
            create=lambda: self._call("POST", self._path, name, body=body),
            look=lambda: self._list_ours().get(name),
            update=lambda there: self._call("PUT", (*self._path, there["id"], "value"), name, body={"value": value}),
            confirm=partial(self._demand_written, name),
            lost=lambda: _SAYS.write_lost("secret", self._about(name)),
        )

    def _demand_written(self, name: str, answer: Response) -> None:
        _SAYS.raise_for_status(answer, self._about(name))
        if answer.object().get("key") != name:
            what = "Buildkite's answer to the write is not the secret: whether it was written is not known"
            raise _SAYS.make_response_error(what, self._about(name))


def _as_is(variables: tuple[Listed, ...]) -> tuple[Listed, ...]:
    return variables


def _environment(pipeline: Mapping[str, Any]) -> Mapping[str, Any]:
    found = pipeline.get("env")
    return found if isinstance(found, dict) else {}


def _rule(claims: Mapping[str, str | Sequence[str]]) -> str:
    """Write one rule of a policy as Buildkite's page on access policies does; every condition in quotes."""
    lines: list[str] = []
    for claim, conditions in claims.items():
        if isinstance(conditions, str):
            lines.append(f"{claim}: {json.dumps(conditions)}")
        else:
            lines += [f"{claim}:", *(f"  - {json.dumps(condition)}" for condition in conditions)]
    return "- " + "\n  ".join(lines)


def _faults(settings: Settings) -> tuple[str, ...]:
    """Find names that Buildkite would refuse."""
    refused = [name for name in names_of(settings) if not _KEY.fullmatch(name)]
    found = [f"{name}: Buildkite wants a letter first, and keeps names with `bk` or `buildkite`" for name in refused]
    return (*faults_of_names(names_of(settings)), *found)


def _variables(settings: Settings) -> frozenset[str]:
    """Name each secret that this target would write."""
    return variables_of(f"buildkite {settings['cluster']}".casefold(), settings)


def _connect(settings: Settings, *, secrets: SecretReader, clock: Clock) -> Connection:
    """Connect; makes no request yet."""
    http = connect_with_token(settings, secrets=secrets, clock=clock, api=API, name="Buildkite", limit=_LIMIT)
    return Connection(target=partial(BuildkiteTarget, BuildkiteConnection(http)))


def address(settings: Settings) -> str:
    """Name a cluster in words."""
    return name_place(
        f"{name_provider(settings, 'buildkite')} {settings['organization']} cluster {settings['cluster']}", settings
    )


KIND = Provider(
    provider_schema=PROVIDER_SCHEMA,
    target_schema=TARGET_SCHEMA,
    address=address,
    faults=_faults,
    is_within=is_in_organization,
    variables=_variables,
    connect=_connect,
)
