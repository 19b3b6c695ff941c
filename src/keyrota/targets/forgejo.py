"""
Forgejo and Gitea: Actions secrets of a repository, an organization, or the token's own user.

Source: the routes and handlers of both, with their Swagger comments: go-gitea/gitea and Forgejo
`routers/api/v1/{repo,org,user}/action.go`, `models/secret/secret.go`, `services/secrets/validation.go`. The path looks
like GitHub's, the body does not: `{"data": value}`, in clear inside TLS; PUT makes (201) or changes (204). Names are
upper-cased. A list tells names and when a secret was made, never when it was changed. What differs: Gitea has
descriptions, and clears one that an update leaves out, so that it is sent back; it answers 201 where Forgejo answers
204 to a new variable; it links pages, where Forgejo only counts (`X-Total-Count`); neither lists a user's secrets.
Gitea lists a repository's since 1.22 (go-gitea/gitea issue 30311). Both redirect a repository that was renamed (307).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from keyrota.core.lifecycle import KEY_ID
from keyrota.core.model import AccessKeyId, KeyPair, Readiness, TargetEvidence, TargetState
from keyrota.core.secret import Secret
from keyrota.core.sighting import LONG_LIVED
from keyrota.errors import ProviderRefused, ProviderUnavailable
from keyrota.fragments import (
    MARKER,
    NAMES,
    REFERENCE,
    Schema,
    alternative,
    closed,
    faults_of_names,
    marker_of,
    named,
    names_of,
)
from keyrota.ports import Clock, SecretReader
from keyrota.wire import Answer, Http, Refusals, RunlessPlace, Unsearched, attempted, header, together

_MISSING, _CONFLICT = 404, 409
_WRITTEN = {201, 204}
_GONE = 204
_MOST_PAGES = 200
_A_PAGE = "50"
"""As much as a server gives by default (`MAX_RESPONSE_ITEMS`)."""
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
)


class ForgejoTarget(RunlessPlace):
    """One place for one pair: two secrets, and a readable marker where one is wanted."""

    def __init__(self, http: Http, says: Refusals, settings: Mapping[str, Any]) -> None:
        super().__init__(address(says.key, settings))
        self._http, self._says = http, says
        owner, _, repository = str(settings.get("repository", "")).partition("/")
        self._is_listed = "token_user" not in settings
        if "repository" in settings:
            self._path: tuple[str, ...] = ("repos", owner, repository, "actions")
        elif self._is_listed:
            self._path = ("orgs", settings["organization"], "actions")
        else:
            self._path = ("user", "actions")
        self._id_name, self._secret_name = (name.upper() for name in names_of(settings))
        self._marker_name = marker_of(settings, self._id_name)
        self._is_moved = False

    @property
    def is_torn_possible(self) -> bool:
        """Two secrets."""
        return True

    @property
    def is_id_readable(self) -> bool:
        """Whether a marker names the key: no secret can be read back."""
        return self._marker_name is not None

    def preflight(self) -> Readiness:
        """Ask for everything that a write needs. Honest limit: a token that may list may still not write."""
        return self.readiness(self._look)

    def _look(self) -> None:
        self._listed()
        self._refuse_strangers(self._marker())

    def read(self) -> TargetState:
        """Tell what is there; a refusal is the value FAILED."""
        state = self.looked(self._read)
        if not self._is_moved:
            return state
        notice = f"{self._says.name} redirects {self.address}: it was renamed or moved; correct the configuration"
        return replace(state, notice=notice)

    def _read(self) -> TargetState:
        found, marker = self._listed(), self._marker()
        names = [self._id_name, self._secret_name] if self._is_listed else []  # what cannot be listed may be there
        missing = [name for name in names if name not in found]
        if self._marker_name and marker is None:
            missing.append(self._marker_name)
        if missing:
            return self.lacking(missing, is_empty=self._is_listed and not found and marker is None)
        if marker is None:
            return TargetState(address=self.address, evidence=TargetEvidence.CANNOT_TELL)
        key = AccessKeyId(marker["data"]) if KEY_ID.fullmatch(marker["data"]) else None
        return TargetState(address=self.address, evidence=TargetEvidence.HOLDS, key=key)

    def write(self, credential: KeyPair) -> None:
        """Make or change both secrets at once, and the marker when both are there; descriptions stay."""
        marker = self._marker()
        self._refuse_strangers(marker)
        found = self._listed()
        together(
            partial(self._put, self._secret_name, credential.secret, found.get(self._secret_name, "")),
            partial(self._put, self._id_name, Secret(credential.id), found.get(self._id_name, "")),
        )
        if self._marker_name:
            self._mark(self._marker_name, credential.id, marker or {})

    def clear(self, keys: frozenset[AccessKeyId]) -> tuple[str, ...]:
        """Delete the secrets and the marker; a marker that names another key than ours forbids it."""
        marker = self._marker()
        if marker is not None and marker["data"] not in keys:
            raise self._says.not_ours(self._marker_name or "", self._about(self._marker_name or ""))
        self._listed()  # refuses where nothing may be seen: that is not gone
        gone = [name for name in (self._id_name, self._secret_name) if self._delete("secrets", name)]
        if self._marker_name and self._delete("variables", self._marker_name):
            gone.append(self._marker_name)
        return tuple(gone)

    # --- calls ------------------------------------------------------------------------------------------------------

    def _call(self, method: str, path: tuple[str, ...], name: str, **more: Any) -> Answer:
        answer = self._http.call(method, path, where=self._about(name), **more)
        self._is_moved = self._is_moved or answer.is_moved
        return answer

    def _about(self, name: str) -> str:
        kind = "variable" if name == self._marker_name else "secret"
        return f"{self.address}, {kind} {name}" if name else f"{self.address}, its secrets"

    def _listed(self) -> dict[str, str]:
        """Find our own secrets on all pages, with their descriptions; of a user, only see that the token is good."""
        if not self._is_listed:
            answer = self._call("GET", ("user",), "")
            self._says.demand_success(answer, self._about(""))
            if not isinstance(answer.object().get("login"), str):
                raise self._says.odd(f"{self._says.name}'s answer is no list and no user", self._about(""))
            return {}
        found: dict[str, str] = {}
        seen = 0
        for number in range(1, _MOST_PAGES + 1):
            query = {"page": str(number), "limit": _A_PAGE}
            answer = self._call("GET", (*self._path, "secrets"), "", query=query)
            secrets = self._says.entries(answer, self._about(""))
            for secret in secrets:
                name = str(secret.get("name")).upper()
                if name in {self._id_name, self._secret_name}:
                    found[name] = _text(secret.get("description"))
            seen += len(secrets)
            if not secrets or answer.headers.get("x-total-count") == str(seen):
                return found
        raise ProviderUnavailable(f"{self._says.name}'s list has more than {_MOST_PAGES} pages", where=self._about(""))

    def _put(self, name: str, value: Secret, description: str) -> None:
        """Make or change a secret: doing it twice does no harm."""
        body = {"data": value} | ({"description": description} if description else {})
        self._demand_written(self._call("PUT", (*self._path, "secrets", name), name, body=body), name)

    def _delete(self, what: str, name: str) -> bool:
        answer = self._call("DELETE", (*self._path, what, name), name)
        if answer.status == _MISSING:
            return False
        self._says.demand_success(answer, self._about(name))
        if answer.status != _GONE:
            what = f"{self._says.name}'s answer to the deletion is none of its own: whether it is gone is not known"
            raise self._says.odd(what, self._about(name))
        return True

    def _demand_written(self, answer: Answer, name: str) -> None:
        self._says.demand_success(answer, self._about(name))
        if answer.status not in _WRITTEN:
            what = f"{self._says.name}'s answer to the write is none of its own: whether it was written is not known"
            raise self._says.odd(what, self._about(name))

    # --- the marker -------------------------------------------------------------------------------------------------

    def _marker(self) -> dict[str, str] | None:
        """Read the variable that names the key, and its description; None if it is not there, or not wanted."""
        if self._marker_name is None:
            return None
        answer = self._call("GET", (*self._path, "variables", self._marker_name), self._marker_name)
        if answer.status == _MISSING:
            return None
        self._says.demand_success(answer, self._about(self._marker_name))
        value = answer.object().get("data")
        if not isinstance(value, str):
            what = f"{self._says.name}'s answer is no list and no variable"
            raise self._says.odd(what, self._about(self._marker_name))
        return {"data": value, "description": _text(answer.object().get("description"))}

    def _refuse_strangers(self, marker: Mapping[str, str] | None) -> None:
        if marker is not None and not LONG_LIVED.fullmatch(marker["data"]):
            raise ProviderRefused(
                f"the variable {self._marker_name} exists and holds no key ID: it is somebody else's",
                where=self._about(self._marker_name or ""),
                remedy="give the marker another name: `marker: NAME`",
            )

    def _mark(self, name: str, key: AccessKeyId, before: Mapping[str, str]) -> None:
        """Change the variable, or make it; a race, or an answer that was lost, is settled by changing it."""
        path, body = (*self._path, "variables", name), {"value": str(key)}
        if before.get("description"):
            body["description"] = before["description"]
        answer = self._call("PUT", path, name, body=body)
        if answer.status == _MISSING:
            made = attempted(lambda: self._call("POST", path, name, body=body))
            is_there = made is None or made.status == _CONFLICT
            answer = made if made and not is_there else self._call("PUT", path, name, body=body)
            if made is None and answer.status == _MISSING:
                raise self._says.lost("variable", self._about(name))
        self._demand_written(answer, name)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


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
                    "oneOf": [alternative("an access token", token=REFERENCE)],
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
        """Tell whether a target lies with an owner; whose token a user's is, is not known here: it may be theirs."""
        owner = str(settings.get("organization") or settings.get("repository", "")).partition("/")[0]
        return "token_user" in settings or owner.casefold() == area.casefold()

    def variables(self, settings: Mapping[str, Any]) -> frozenset[str]:
        """Name each secret and variable that this target would write."""
        scope = f"{self._key} {_where(settings)}".casefold()
        marker = marker_of(settings, names_of(settings)[0])
        secrets = {f"{scope}: {name.upper()}" for name in names_of(settings)}
        return frozenset(secrets | ({f"{scope} variables: {marker}"} if marker else set()))

    def connect(self, settings: Mapping[str, Any], *, secrets: SecretReader, clock: Clock) -> Unsearched:
        """Connect; makes no request yet."""
        says = Refusals(
            name=self._name,
            key=self._key,
            needs="the token needs the scope write:repository, write:organization or write:user, "
            "of an owner or an administrator of the place",
            missing="it does not exist, the token may not see it, or this version has no such call",
        )
        token = header("Authorization", lambda: Secret(f"token {secrets(settings['auth']['token']).reveal()}"))
        http = Http(settings["base_url"], clock=clock, authorization=token, name=self._name)
        return Unsearched(partial(ForgejoTarget, http, says))


def _where(settings: Mapping[str, Any]) -> str:
    if "token_user" in settings:
        return "user"
    return str(settings.get("repository") or f"organization {settings['organization']}")


def address(key: str, settings: Mapping[str, Any]) -> str:
    """Name a repository, an organization or a user in words."""
    return named(f"{key} {_where(settings)}", settings)


FORGEJO, GITEA = ForgejoKind("forgejo", "Forgejo"), ForgejoKind("gitea", "Gitea")
