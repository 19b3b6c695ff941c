"""
GitHub Codespaces: development environment secrets of a repository.

Source: GitHub's description of its REST API, "codespaces/repository-secrets" (a value is sealed for the repository's
public key; PUT creates with 201 and updates with 204; a list has names and times, no value) and the page "Managing
development environment secrets" (names are not case-sensitive and do not begin with GITHUB_; the lowest level goes
first; a codespace gets its secrets when it is created or restarted).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial

from keyrota.core.model import PlaceId
from keyrota.core.secret import Secret
from keyrota.http import Http, Response, bearer, paginate
from keyrota.ports import Clock, SecretReader
from keyrota.target_base.errors import ProviderErrors
from keyrota.target_base.github_api import API, REPOSITORY, client, faults_of_reserved, fetch_key
from keyrota.target_base.pair import Home, PairTarget
from keyrota.target_base.provider import Connection, Provider, Settings
from keyrota.target_base.schema import (
    MAX_WAIT,
    NAMES,
    WAITING,
    faults_of_names,
    make_mapping,
    name_place,
    name_provider,
    names_of,
    token_alternative,
    variables_of,
)

_SAYS = ProviderErrors(
    name="GitHub",
    key="codespaces",
    needs="the token needs Codespaces secrets: read and write (fine-grained), or the scope repo (classic), "
    "of an administrator of the repository",
)
_MAX_PAGES = 200
_WRITTEN, _UNPROCESSABLE = {201, 204}, 422


class _Secrets:
    """The Codespaces secrets of one repository."""

    says = _SAYS

    def __init__(self, http: Http, repository: str) -> None:
        self._http = http
        owner, _, name = repository.partition("/")
        self._repository = ("repos", owner, name)
        self._path = (*self._repository, "codespaces", "secrets")

    def home(self, about: str) -> Home:
        """Identify the repository by its number, which stays when it is renamed."""
        answer = self._http.call("GET", self._repository, where=about)
        _SAYS.raise_for_status(answer, about)
        number = answer.object().get("id")
        if not isinstance(number, int) or isinstance(number, bool):
            raise _SAYS.make_response_error("GitHub's answer is no list and no repository", about)
        moved = f"GitHub redirects {'/'.join(self._repository[1:])}: it was renamed or moved; correct the configuration"
        return Home(
            id=PlaceId(kind="codespaces", origin=self._http.origin, id=f"repository {number}"),
            notice=moved if answer.is_moved else "",
            is_archived=answer.object().get("archived") is True,
        )

    def times(self, about: str) -> Mapping[str, datetime | None]:
        """List the secrets on all pages."""
        first = self._http.call("GET", self._path, query={"per_page": "100"}, where=about)
        follow = partial(self._http.follow, where=about)
        return {
            str(secret.get("name")).upper(): self._http.parse_time(secret.get("updated_at"))
            for page in paginate(first, Response.next_link, follow, most=_MAX_PAGES, name="GitHub", where=about)
            for secret in _SAYS.entries(page, about, under="secrets")
        }

    def put(self, name: str, value: Secret, about: str) -> None:
        """Seal and send; a public key that was renewed meanwhile is fetched once more."""
        answer = self._send(name, value, about)
        if answer.status == _UNPROCESSABLE:
            answer = self._send(name, value, about)
        _SAYS.raise_for_status(answer, about)
        if answer.status not in _WRITTEN:
            what = "GitHub's answer to the write is not GitHub's: whether it was written is not known"
            raise _SAYS.make_response_error(what, about)

    def _send(self, name: str, value: Secret, about: str) -> Response:
        key = fetch_key(self._http, self._path, _SAYS, about)
        body = {"encrypted_value": key.seal(value), "key_id": key.id}
        return self._http.call("PUT", (*self._path, name), body=body, where=about)

    def delete(self, name: str, about: str) -> Response:
        """Delete a secret."""
        return self._http.call("DELETE", (*self._path, name), where=about)


def _address(settings: Settings) -> str:
    return name_place(f"{name_provider(settings, 'codespaces')} {settings['repository']}", settings)


def _faults(settings: Settings) -> tuple[str, ...]:
    names = [name.upper() for name in names_of(settings)]
    return (*faults_of_names(names), *faults_of_reserved(names))


def _connect(settings: Settings, *, secrets: SecretReader, clock: Clock) -> Connection:
    http = client(settings, clock, bearer(lambda: secrets(settings["auth"]["token"])))

    def target(place: Settings) -> PairTarget:
        id_name, secret_name = (name.upper() for name in names_of(place))
        unread = f"the Codespaces secrets of the organization and of each user of {place['repository']}"
        secrets = _Secrets(http, place["repository"])
        return PairTarget(_address(place), (id_name, secret_name), secrets, noun="secret", unread=(unread,))

    return Connection(target=target)


KIND = Provider(
    provider_schema=make_mapping(
        {
            "base_url": {"type": "string", "default": API, "description": "Base URL of the REST API."},
            "auth": {"description": "A token.", "oneOf": [token_alternative("a fine-grained or classic token")]},
            "max_wait": MAX_WAIT,
        },
        required=["auth"],
        description="GitHub Codespaces.",
    ),
    target_schema=make_mapping(
        {
            "repository": REPOSITORY,
            "names": NAMES,
        },
        required=["repository"],
        description="Development environment secrets of a repository.",
        **{WAITING: "codespaces are not asked for: one that runs keeps the old key until it is restarted"},
    ),
    address=_address,
    faults=_faults,
    is_within=lambda settings, scope: settings["repository"].partition("/")[0].casefold() == scope.casefold(),
    variables=lambda settings: frozenset(
        name.casefold() for name in variables_of(f"codespaces {settings['repository']}", settings)
    ),
    connect=_connect,
)
