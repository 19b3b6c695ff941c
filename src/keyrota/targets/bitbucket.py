"""
Bitbucket Cloud: variables of a deployment environment, a repository or a workspace.

Source: Bitbucket Cloud REST API 2.0 (Atlassian's description) and FACTS-PROVIDERS.md, section 1. A variable has no
timestamp, a secured one no readable value: the readable key ID is the only evidence of what is there.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from keyrota.core.lifecycle import KEY_ID
from keyrota.core.model import AccessKeyId, Credential, Readiness, TargetEvidence, TargetState
from keyrota.core.secret import Secret
from keyrota.errors import KeyrotaError, NotThere, ProviderRefused, ProviderUnavailable
from keyrota.ports import Clock, SecretReader
from keyrota.wire import Answer, Authorization, Http, basic, bearer

API = "https://api.bitbucket.org/2.0"
TOKEN_URL = "https://bitbucket.org/site/oauth2/access_token"  # noqa: S105  # an address
_PAGE = {"pagelen": "100"}
_MOST_PAGES = 200
_LEEWAY = timedelta(seconds=60)
_SCOPES = (
    "the token needs the scope pipeline:variable (access token, OAuth), "
    "or read:pipeline:bitbucket and admin:pipeline:bitbucket (API token)"
)
_REFERENCE = {"type": "string", "format": "secret-reference"}

PROVIDER_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["auth"],
    "description": "Bitbucket Cloud.",
    "properties": {
        "base_url": {"type": "string", "default": API, "description": "Base URL of the REST API."},
        "token_url": {"type": "string", "default": TOKEN_URL, "description": "Where OAuth tokens are given."},
        "auth": {
            "description": "One of three kinds of credentials.",
            "oneOf": [
                {
                    "type": "object",
                    "title": "an access token of a repository, project or workspace",
                    "additionalProperties": False,
                    "required": ["token"],
                    "properties": {"token": _REFERENCE},
                },
                {
                    "type": "object",
                    "title": "an API token with the e-mail of its Atlassian account",
                    "additionalProperties": False,
                    "required": ["email", "api_token"],
                    "properties": {"email": {"type": "string"}, "api_token": _REFERENCE},
                },
                {
                    "type": "object",
                    "title": "an OAuth consumer",
                    "additionalProperties": False,
                    "required": ["client_id", "client_secret"],
                    "properties": {"client_id": {"type": "string"}, "client_secret": _REFERENCE},
                },
            ],
        },
    },
}

_NAME = {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}

TARGET_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["workspace"],
    "dependentRequired": {"environment": ["repository"]},
    "description": "Variables of a deployment environment; without `environment` the repository's, "
    "without `repository` the workspace's.",
    "properties": {
        "workspace": {"type": "string", "minLength": 1, "description": "Slug or {UUID}."},
        "repository": {"type": "string", "minLength": 1, "description": "Slug or {UUID}."},
        "environment": {
            "type": "string",
            "minLength": 1,
            "description": "Name or {UUID} of a deployment environment; it must exist.",
        },
        "names": {
            "type": "object",
            "additionalProperties": False,
            "description": "Names of the two variables.",
            "properties": {
                "id": {**_NAME, "default": "AWS_ACCESS_KEY_ID"},
                "secret": {**_NAME, "default": "AWS_SECRET_ACCESS_KEY"},
            },
        },
        "bundle": {
            **_NAME,
            "description": "Write the pair into one secured variable instead, as the text of an AWS credentials file.",
        },
        "id_secured": {
            "type": "boolean",
            "default": False,
            "description": "Hide the key ID too. Drift does not show then.",
        },
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the variables are, and what they are called."""

    workspace: str
    repository: str | None
    environment: str | None
    id_name: str
    secret_name: str
    bundle: str | None
    id_secured: bool

    @property
    def names(self) -> tuple[str, ...]:
        """The variables that are ours."""
        return (self.bundle,) if self.bundle else (self.id_name, self.secret_name)

    @property
    def scope(self) -> str:
        """The place in words."""
        repository = f"/{self.repository}" if self.repository else ""
        environment = f" {self.environment}" if self.environment else ""
        return f"bitbucket {self.workspace}{repository}{environment}"

    @property
    def address(self) -> str:
        """The place in words, unique in a configuration."""
        is_usual = self.names == ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        return self.scope if is_usual else f"{self.scope} ({', '.join(self.names)})"


def place(settings: Mapping[str, Any]) -> Place:
    """Read one entry of the configuration, which the schema has accepted."""
    names = settings.get("names") or {}
    return Place(
        workspace=settings["workspace"],
        repository=settings.get("repository"),
        environment=settings.get("environment"),
        id_name=names.get("id", "AWS_ACCESS_KEY_ID"),
        secret_name=names.get("secret", "AWS_SECRET_ACCESS_KEY"),
        bundle=settings.get("bundle"),
        id_secured=bool(settings.get("id_secured", False)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A variable of ours, as a list shows it; other people's are dropped while the list is read."""

    uuid: str
    name: str
    is_secured: bool
    value: str | None
    """Readable only where the variable is not secured; kept only if it looks like a key ID."""


class BitbucketTarget:
    """One place for one pair."""

    def __init__(self, connection: BitbucketConnection, where: Place) -> None:
        self._connection = connection
        self._http = connection.http
        self._place = where

    @property
    def address(self) -> str:
        """Workspace, repository and environment in words."""
        return self._place.address

    @property
    def is_torn_possible(self) -> bool:
        """Two variables, unless the pair is bundled: Bitbucket cannot write two at once."""
        return self._place.bundle is None

    @property
    def is_id_readable(self) -> bool:
        """Whether the key ID can be read back."""
        return self._place.bundle is None and not self._place.id_secured

    def preflight(self) -> Readiness:
        """
        List the very variables that would be written.

        Honest limit: a token that may list may still not write; Bitbucket has no way to ask without
        writing.
        """
        try:
            self._listed()
        except KeyrotaError as error:
            return Readiness(address=self.address, is_ready=False, detail=error.what, remedy=error.remedy)
        return Readiness(address=self.address, is_ready=True)

    def read(self) -> TargetState:
        """Tell what is there; a refusal is the value FAILED."""
        try:
            found = self._listed()
        except KeyrotaError as error:
            return self._state(TargetEvidence.FAILED, detail=error.what, remedy=error.remedy)
        missing = [name for name in self._place.names if name not in found]
        if missing:
            return self._state(TargetEvidence.ABSENT, detail=" and ".join(missing))
        if self._place.bundle or found[self._place.id_name].is_secured:
            return self._state(TargetEvidence.CANNOT_TELL)
        value = found[self._place.id_name].value
        return self._state(TargetEvidence.HOLDS, key=AccessKeyId(value) if value else None)

    def _state(
        self, evidence: TargetEvidence, *, key: AccessKeyId | None = None, detail: str = "", remedy: str = ""
    ) -> TargetState:
        return TargetState(address=self.address, evidence=evidence, key=key, detail=detail, remedy=remedy)

    def write(self, credential: Credential) -> None:
        """
        Create or update the pair, the secret first.

        A step that starts between the two writes reads half a pair, in either order; `bundle` is the cure. The ID
        comes last because it is the readable half: once it shows the new key, its secret is there.
        """
        found = self._listed()
        if self._place.bundle:
            self._put(found, self._place.bundle, _credentials_file(credential), is_secured=True)
            return
        self._put(found, self._place.secret_name, credential.secret, is_secured=True)
        known = found.get(self._place.id_name)
        is_secured = self._place.id_secured or (known is not None and known.is_secured)
        self._put(found, self._place.id_name, Secret(credential.id), is_secured=is_secured)

    # --- variables ------------------------------------------------------------------------------------------------

    def _path(self) -> tuple[str, ...]:
        where = self._place
        if where.repository is None:
            return ("workspaces", where.workspace, "pipelines-config", "variables")
        repository = ("repositories", where.workspace, where.repository)
        if where.environment is None:
            return (*repository, "pipelines_config", "variables")
        uuid = self._connection.environment_uuid(where)
        return (*repository, "deployments_config", "environments", uuid, "variables")

    def _listed(self) -> dict[str, Variable]:
        """Find our own variables on all pages."""
        what = f"the variables of {self._place.scope}"
        values = self._connection.values(self._path(), what)
        return {variable.name: variable for value in values if (variable := self._ours(value))}

    def _ours(self, value: dict[str, Any]) -> Variable | None:
        name, uuid = value.get("key"), value.get("uuid")
        if name not in self._place.names or not isinstance(uuid, str):
            return None
        text = value.get("value")
        is_id = isinstance(text, str) and name == self._place.id_name and KEY_ID.fullmatch(text)
        return Variable(
            uuid=uuid, name=str(name), is_secured=bool(value.get("secured", False)), value=text if is_id else None
        )

    def _put(self, found: Mapping[str, Variable], name: str, value: Secret, *, is_secured: bool) -> None:
        """Update the variable, or create it; a race, or an answer that was lost, is settled by looking again."""
        if name in found:
            self._update(found[name], value, is_secured=is_secured)
            return
        try:
            answer = self._http.call("POST", self._path(), body=_body(name, value, is_secured), where=self._about(name))
        except ProviderUnavailable:
            answer = None
        if answer is None:
            again = self._listed()
            if name not in again:
                raise ProviderUnavailable(
                    "Bitbucket did not answer a write, and the variable is not there",
                    where=self._about(name),
                    remedy="the next run writes it",
                )
            self._update(again[name], value, is_secured=is_secured)
            return
        if answer.status == 409:  # noqa: PLR2004  # HTTP: conflict; somebody created it since we looked
            again = self._listed()
            if name in again:
                self._update(again[name], value, is_secured=is_secured)
                return
        self._connection.demand_written(answer, name, self._about(name))

    def _update(self, variable: Variable, value: Secret, *, is_secured: bool) -> None:
        about = self._about(variable.name)
        path = (*self._path(), variable.uuid)
        body = _body(variable.name, value, is_secured) | {"uuid": variable.uuid}
        answer = self._http.call("PUT", path, body=body, where=about)
        self._connection.demand_written(answer, variable.name, about)

    def _about(self, name: str) -> str:
        return f"{self._place.scope}, variable {name}"


def _body(name: str, value: Secret, is_secured: bool) -> dict[str, Any]:
    """All four fields, always: what an omitted flag means is not documented."""
    return {"type": "pipeline_variable", "key": name, "value": value, "secured": is_secured}


def _credentials_file(credential: Credential) -> Secret:
    """Write the pair as the text of an AWS credentials file, for AWS_SHARED_CREDENTIALS_FILE."""
    return Secret(
        f"[default]\naws_access_key_id = {credential.id}\naws_secret_access_key = {credential.secret.reveal()}\n"
    )


class BitbucketConnection:
    """Bitbucket with one set of credentials; names of environments are looked up once."""

    def __init__(self, http: Http) -> None:
        self.http = http
        self._environments: dict[tuple[str, str], dict[str, list[str]]] = {}
        self._locks: dict[tuple[str, str], threading.Lock] = {}
        self._lock = threading.Lock()

    def target(self, settings: Mapping[str, Any]) -> BitbucketTarget:
        """Make the target that one entry of the configuration describes."""
        return BitbucketTarget(self, place(settings))

    def environment_uuid(self, where: Place) -> str:
        """Find an environment's UUID; a name that several environments share, or none has, is an error."""
        name, repository = where.environment or "", where.repository or ""
        if name.startswith("{"):
            return name
        key = (where.workspace, repository)
        with self._lock:
            its_own = self._locks.setdefault(key, threading.Lock())
        with its_own:  # one repository that does not answer holds up no other
            if key not in self._environments:
                self._environments[key] = self._find_environments(where)
            known = self._environments[key]
        uuids = known.get(name, [])
        if len(uuids) == 1:
            return uuids[0]
        if uuids:
            raise ProviderRefused(
                f"{len(uuids)} deployment environments are named {name!r}",
                where=where.scope,
                remedy=f"give the UUID instead: {', '.join(uuids)}",
            )
        with self._lock:
            self._environments.pop(key, None)
        listed = ", ".join(sorted(known)) or "none"
        raise NotThere(
            f"there is no deployment environment {name!r}",
            where=where.scope,
            remedy=f"the repository has: {listed}; keyrota never makes one",
        )

    def _find_environments(self, where: Place) -> dict[str, list[str]]:
        path = ("repositories", where.workspace, where.repository or "", "environments")
        found: dict[str, list[str]] = {}
        for value in self.values(path, f"the deployment environments of {where.workspace}/{where.repository}"):
            if isinstance(value.get("name"), str) and isinstance(value.get("uuid"), str):
                found.setdefault(value["name"], []).append(value["uuid"])
        return found

    def values(self, path: tuple[str, ...], what: str) -> Iterator[dict[str, Any]]:
        """Go through all pages of a list. `next` is opaque: followed, not built, and only on the same host."""
        answer = self.http.call("GET", path, query=_PAGE, where=what)
        for _ in range(_MOST_PAGES):
            self.demand_success(answer, what)
            page = answer.object()
            values = page.get("values")
            if not isinstance(values, list):
                raise ProviderUnavailable(
                    "Bitbucket's answer is no list of values",
                    where=what,
                    remedy="check `base_url`; a proxy or a login page may have answered",
                )
            yield from (value for value in values if isinstance(value, dict))
            link = page.get("next")
            if not isinstance(link, str) or not link:
                return
            answer = self.http.follow(link, where=what)
        raise ProviderUnavailable(f"Bitbucket's list has more than {_MOST_PAGES} pages", where=what)

    def demand_written(self, answer: Answer, name: str, where: str) -> None:
        """Believe a write only if the answer shows the variable: a login page of a proxy answers 200 as well."""
        self.demand_success(answer, where)
        if answer.object().get("key") != name:
            raise ProviderUnavailable(
                "Bitbucket's answer to the write is not the variable: whether it was written is not known",
                where=where,
                remedy="check `base_url`; a proxy or a login page may have answered",
            )

    def demand_success(self, answer: Answer, where: str) -> None:
        """Turn a refusal into an error that names what it is about, the missing scope and the remedy."""
        if answer.is_success:
            return
        match answer.status:
            case 401:
                raise ProviderRefused(
                    "Bitbucket does not accept the token (401): it is wrong, expired or revoked",
                    where=where,
                    remedy=f"make a new token and put it where `providers: bitbucket: auth:` points; {_SCOPES}",
                )
            case 403:
                raise ProviderRefused("the token is not allowed to do this (403)", where=where, remedy=_SCOPES)
            case 404:
                raise NotThere(
                    "Bitbucket does not find it (404): the workspace, repository, environment or variable does not "
                    "exist, or the token may not see it",
                    where=where,
                    remedy=f"correct the names in the configuration; {_SCOPES}",
                )
            case _:
                raise ProviderRefused(
                    f"Bitbucket refused ({answer.status})", where=where, remedy="look at the variable in Bitbucket"
                )


class OAuth:
    """Gets access tokens for an OAuth consumer (client credentials), each used until shortly before its end."""

    def __init__(self, url: str, client_id: str, secret: SecretReader, reference: str, clock: Clock) -> None:
        self._http = Http(
            url,
            clock=clock,
            authorization=basic(client_id, lambda: secret(reference)),
            name="Bitbucket's token service",
        )
        self._clock = clock
        self._lock = threading.Lock()
        self._token: Secret | None = None
        self._ends = clock.now()

    def token(self) -> Secret:
        """Return a token that is good for at least a minute."""
        with self._lock:
            if self._token is None or self._clock.now() >= self._ends:
                self._renew()
            if self._token is None:
                raise RuntimeError("no token after renewal")
            return self._token

    def _renew(self) -> None:
        where = "providers.bitbucket.auth"
        grant = {"grant_type": "client_credentials"}
        answer = self._http.call("POST", (), form=grant, is_repeatable=True, where=where)
        content = answer.object()
        if not answer.is_success or not isinstance(content.get("access_token"), str):
            raise ProviderRefused(
                f"Bitbucket gives no token for this OAuth consumer ({answer.status})",
                where=where,
                remedy="check client_id and client_secret; the consumer must be private and have a callback URL",
            )
        life = content.get("expires_in")
        self._token = Secret(content.pop("access_token"))
        self._ends = self._clock.now() + timedelta(seconds=_life(life)) - _LEEWAY


def _life(told: Any) -> float:
    """Read `expires_in`; a day at most, two minutes where it says nothing usable."""
    try:
        return min(86400.0, max(120.0, float(told)))
    except (TypeError, ValueError):
        return 120.0


class BitbucketKind:
    """Bitbucket as a plug-in."""

    @property
    def provider_schema(self) -> Mapping[str, Any]:
        """JSON Schema of `providers.bitbucket`."""
        return PROVIDER_SCHEMA

    @property
    def target_schema(self) -> Mapping[str, Any]:
        """JSON Schema of a target."""
        return TARGET_SCHEMA

    def faults(self, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """The two variables need two names."""
        where = place(settings)
        return ("`names` must give the ID and the secret two names",) if where.id_name == where.secret_name else ()

    def variables(self, settings: Mapping[str, Any]) -> frozenset[str]:
        """Name each variable that this target would write."""
        where = place(settings)
        return frozenset(f"{where.scope.casefold()}: {name}" for name in where.names)

    def connect(self, settings: Mapping[str, Any], *, secrets: SecretReader, clock: Clock) -> BitbucketConnection:
        """Connect; makes no request yet."""
        base = settings.get("base_url", API)
        authorization = _authorization(settings, secrets, clock)
        return BitbucketConnection(Http(base, clock=clock, authorization=authorization, name="Bitbucket"))


def _authorization(settings: Mapping[str, Any], secrets: SecretReader, clock: Clock) -> Authorization:
    auth = settings["auth"]
    if "token" in auth:
        return bearer(lambda: secrets(auth["token"]))
    if "api_token" in auth:
        return basic(auth["email"], lambda: secrets(auth["api_token"]))
    oauth = OAuth(settings.get("token_url", TOKEN_URL), auth["client_id"], secrets, auth["client_secret"], clock)
    return bearer(oauth.token)


KIND = BitbucketKind()
