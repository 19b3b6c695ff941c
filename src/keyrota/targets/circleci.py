"""
CircleCI: environment variables of a project, or of a context that many projects share.

Source: CircleCI API v2 (its description): POST makes or overwrites a project's variable, PUT a context's; a project's
value is shown as `xxxx` and its last four characters, a context's not at all, but with the time of its last change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from keyrota.core.model import AccessKeyId, KeyPair, PlaceId, Readiness, Surroundings, TargetEvidence, TargetState
from keyrota.core.secret import Secret
from keyrota.core.variables import describe_variable, pair_conflicts, states_of
from keyrota.errors import Half
from keyrota.http import Http, Response, header, paginate, run_concurrently
from keyrota.ports import Clock, SecretReader
from keyrota.target_base.errors import ProviderErrors
from keyrota.target_base.provider import Connection, Provider, Settings
from keyrota.target_base.schema import (
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

API = "https://circleci.com/api/v2"
_SAYS = ProviderErrors(
    name="CircleCI",
    key="circleci",
    needs="CircleCI takes a personal API token of somebody who may change the project or the context",
)
_MAX_PAGES = 200
_MISSING = 404
_SHORT = {"github": "gh", "bitbucket": "bb"}
_BY_ID = "circleci"
"""Begins the slug of a project whose organization is of CircleCI itself: IDs follow (API v2, "Get a project")."""

PROVIDER_SCHEMA: Schema = make_mapping(
    {
        "base_url": {"type": "string", "default": API, "description": "Base URL of the REST API."},
        "auth": {
            "description": "A personal API token; project tokens cannot write.",
            "oneOf": [token_alternative("a personal API token")],
        },
    },
    required=["auth"],
    description="CircleCI.",
)
TARGET_SCHEMA: Schema = make_mapping(
    {
        "project": {
            "type": "string",
            "pattern": "^[A-Za-z0-9_-]+/[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$",
            "description": "Slug: gh/acme/shop.",
        },
        "context": {
            "type": "string",
            "pattern": "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
            "description": "ID of a context.",
        },
        "names": NAMES,
    },
    description="Environment variables of a project or a context.",
    **{
        WAITING: (
            "a workflow on hold is not asked for: its jobs get their variables when they start, after the approval"
        )
    },
)


class CircleTarget(BaseTarget):
    """One project or one context."""

    def __init__(self, http: Http, settings: Settings) -> None:
        super().__init__(address(settings))
        self._http = http
        self._project: str | None = settings.get("project")
        self._context: str | None = settings.get("context")
        self._id_name, self._secret_name = names_of(settings)

    @property
    def has_separate_variables(self) -> bool:
        """Two variables."""
        return True

    @property
    def is_id_readable(self) -> bool:
        """Values are masked."""
        return False

    def preflight(self) -> Readiness:
        """List the variables. Honest limit: a token that may list may still not write; CircleCI cannot be asked."""
        return self.readiness(self._list_ours)

    def read(self) -> TargetState:
        """Return whether the variables are there, and of a context when they were changed last."""
        return self.read_or_failed(self._read)

    def _read(self) -> TargetState:
        place = self._place()
        everything = self._list_all()
        variables = [describe_variable(name, None) for name in everything]
        return replace(
            self._state(everything),
            place=place,
            variables=states_of(self._names, variables, id_name=self._id_name),
            conflicts=tuple(pair_conflicts(variables, *self._names)),
        )

    def _state(self, everything: Mapping[str, datetime | None]) -> TargetState:
        found = {name: everything[name] for name in self._names if name in everything}
        missing = [name for name in self._names if name not in found]
        if missing:
            return self.absent_state(missing, is_empty=not found)
        changed = max((at for at in found.values() if at is not None), default=None)
        return TargetState(address=self.address, evidence=TargetEvidence.CANNOT_TELL, changed_at=changed)

    @property
    def _names(self) -> tuple[str, str]:
        return self._id_name, self._secret_name

    def _place(self) -> PlaceId:
        """Identify a context by the ID that the configuration gives, a project by the one that CircleCI gives."""
        number = f"context {self._context}"
        if self._project is not None:
            answer = self._call("GET", ("project", self._project), "")
            _SAYS.raise_for_status(answer, self._about(""))
            found = answer.object().get("id")
            if not isinstance(found, str) or not found:
                raise _SAYS.make_response_error("CircleCI's answer is no list and no project", self._about(""))
            number = f"project {found}"
        return PlaceId(kind="circleci", origin=self._http.origin, id=number)

    def surroundings(self) -> Surroundings:
        """Name what cannot be read: no API lists the contexts that a project's jobs use, or a context's projects."""
        unread = (
            f"the contexts that jobs of {self._project} use: CircleCI does not list them, and a context's variable "
            f"goes before the project's"
            if self._project is not None
            else f"the projects whose jobs use {self.address}: CircleCI does not list them"
        )
        return Surroundings(address=self.address, unread=(unread,))

    def write(self, credential: KeyPair) -> None:
        """Make or overwrite both variables at once."""
        run_concurrently(
            partial(self._put, self._secret_name, credential.secret),
            partial(self._put, self._id_name, Secret(credential.id)),
        )

    def clear(self, keys: frozenset[AccessKeyId]) -> tuple[str, ...]:  # noqa: ARG002  # no value can be read
        """Delete both variables; whose key they hold cannot be read."""
        found = self._list_ours()
        for name in found:
            self._delete(name)
        return tuple(found)

    def delete_half(self, half: Half) -> None:
        """Delete one variable."""
        self._delete(self._id_name if half is Half.ID else self._secret_name)

    def _delete(self, name: str) -> None:
        answer = self._call("DELETE", (*self._path(), name), name)
        if answer.status != _MISSING:
            _SAYS.raise_for_status(answer, self._about(name))

    # --- calls ------------------------------------------------------------------------------------------------------

    def _path(self) -> tuple[str, ...]:
        if self._project is not None:
            return ("project", self._project, "envvar")
        return ("context", self._context or "", "environment-variable")

    def _call(self, method: str, path: tuple[str, ...], name: str, **more: Any) -> Response:
        return self._http.call(method, path, where=self._about(name), **more)

    def _about(self, name: str) -> str:
        return f"{self.address}, variable {name}" if name else f"{self.address}, its variables"

    def _list_ours(self) -> dict[str, datetime | None]:
        """Find our own variables; names are compared with case."""
        return {name: at for name, at in self._list_all().items() if name in self._names}

    def _list_all(self) -> dict[str, datetime | None]:
        """List the variables on all pages, with the time of the last change where it is told."""
        found: dict[str, datetime | None] = {}
        about = self._about("")

        def page(token: str | None) -> Response:
            return self._call("GET", self._path(), "", query={"page-token": token} if token else None)

        for answer in paginate(page(None), _next_token, page, most=_MAX_PAGES, name=_SAYS.name, where=about):
            for item in _SAYS.entries(answer, about, under="items"):
                name = item.get("name", item.get("variable"))
                if isinstance(name, str):
                    found[name] = self._http.parse_time(item.get("updated_at"))
        return found

    def _put(self, name: str, value: Secret) -> None:
        """Overwrite a variable: doing it twice does no harm, so that a lost answer is simply asked for again."""
        if self._project is not None:
            body: dict[str, Any] = {"name": name, "value": value}
            # CircleCI overwrites a variable of the same name, so that this POST may be repeated as a PUT may.
            answer = self._call("POST", self._path(), name, body=body, is_repeatable=True)
        else:
            answer = self._call("PUT", (*self._path(), name), name, body={"value": value})
        _SAYS.raise_for_status(answer, self._about(name))
        # A login page answers 200 as well: only an answer that shows the variable is believed.
        if answer.object().get("name", answer.object().get("variable")) != name:
            what = "CircleCI's answer to the write is not the variable: whether it was written is not known"
            raise _SAYS.make_response_error(what, self._about(name))


def _next_token(answer: Response) -> str | None:
    token = answer.object().get("next_page_token")
    return token if isinstance(token, str) and token else None


def _faults(settings: Settings) -> tuple[str, ...]:
    """Find what does not fit together."""
    if ("project" in settings) == ("context" in settings):
        return ("give either `project` or `context`",)
    return faults_of_names(names_of(settings))


def _is_within(settings: Settings, scope: str) -> bool:
    """
    Return whether a project lies in an organization (`gh/acme`).

    Which one a context belongs to is not known here, nor whose name the IDs of `circleci/…` stand for: it may be
    this one.
    """
    if "project" not in settings:
        return True
    provider, owner = _organization(settings["project"])
    wanted, name = _organization(scope)
    return (provider, owner) == (wanted, name) or (provider == _BY_ID) != (wanted == _BY_ID)


def _variables(settings: Settings) -> frozenset[str]:
    """Name each variable that this target would write."""
    return variables_of(str(settings.get("project", settings.get("context"))).casefold(), settings)


def _connect(settings: Settings, *, secrets: SecretReader, clock: Clock) -> Connection:
    """Connect; makes no request yet."""
    token = header("Circle-Token", lambda: secrets(settings["auth"]["token"]))
    base = settings.get("base_url", API)
    http = Http(base, clock=clock, own=(API,), authorization=token, name="CircleCI")
    return Connection(target=partial(CircleTarget, http))


def _organization(slug: str) -> tuple[str, str]:
    """Take the organization out of a slug; `github/acme/shop` is another way to write `gh/acme/shop`."""
    provider, _, rest = slug.casefold().partition("/")
    return _SHORT.get(provider, provider), rest.partition("/")[0]


def address(settings: Settings) -> str:
    """Name a project or a context in words."""
    where = settings["project"] if "project" in settings else f"context {settings['context']}"
    return name_place(f"{name_provider(settings, 'circleci')} {where}", settings)


KIND = Provider(
    provider_schema=PROVIDER_SCHEMA,
    target_schema=TARGET_SCHEMA,
    address=address,
    faults=_faults,
    is_within=_is_within,
    variables=_variables,
    connect=_connect,
)
