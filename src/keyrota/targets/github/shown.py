"""What a read says of a place beyond the key that it holds: what a write replaces, what is odd, whether it is gone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from keyrota.core.levels import Level, Side, level_conflicts
from keyrota.core.model import Conflict, VariableState
from keyrota.core.variables import Listed, bundle_conflicts, describe_variable, pair_conflicts, states_of
from keyrota.errors import KeyrotaError, NotThere
from keyrota.targets.github.around import describe_write, list_variables, remedy
from keyrota.targets.github.connection import GitHubConnection
from keyrota.targets.github.place import Path, Place

_MISSING = 404
_MAX_SECRETS = 100
"""Of a repository, and of an environment (docs.github.com, secrets reference); an organization takes 1,000."""


def names_only(names: Iterable[str]) -> tuple[Listed, ...]:
    """List secrets: their values cannot be read."""
    return tuple(describe_variable(name, None) for name in names)


def variables_of(where: Place, found: Iterable[str], marker: str | None) -> tuple[VariableState, ...]:
    """Say what a write replaces: secrets, whose values nobody reads, and the marker, which names the key."""
    secrets = states_of(where.names, names_only(found), id_name=where.bundle or where.id_name)
    if where.marker is None:
        return secrets
    known = [describe_variable(where.marker, marker)] if marker is not None else []
    return (*secrets, *states_of([where.marker], known, id_name=where.marker, marker=where.marker))


def conflicts_of(
    connection: GitHubConnection, where: Place, secrets: tuple[Listed, ...], marker: str | None
) -> tuple[Conflict, ...]:
    """
    Find what makes a write harmful, as far as the secrets show it.

    Where exactly one half of the pair is a secret, the other one may be a variable (`vars.AWS_ACCESS_KEY_ID`): only
    then the variables are listed, with one call more.

    Args:
        connection: GitHub.
        where: The place.
        secrets: All that the place lists, or at least ours.
        marker: The value of the marker; None where there is none.
    """
    crowded = tuple(_lack_of_room(where, secrets))
    if where.bundle:
        return (*crowded, *bundle_conflicts(secrets, where.bundle, noun="secret"))
    return (*crowded, *_pair_conflicts(connection, where, secrets, marker))


def _lack_of_room(where: Place, secrets: tuple[Listed, ...]) -> Iterator[Conflict]:
    """Find that a new pair would not fit: one half would be taken and the other refused, and shadow another level."""
    missing = set(where.names) - {secret.name for secret in secrets}
    if missing and not where.is_dependabot and len(secrets) + len(missing) > _MAX_SECRETS:
        yield Conflict(
            what=f"it has {len(secrets)} secrets, {len(missing)} more are needed, and GitHub takes {_MAX_SECRETS}",
            remedy="delete secrets that nothing uses, or write a single one with `bundle:`",
        )


def _pair_conflicts(
    connection: GitHubConnection, where: Place, secrets: tuple[Listed, ...], marker: str | None
) -> tuple[Conflict, ...]:
    pair = (where.id_name, where.secret_name)
    is_marked = where.marker in pair and marker is not None  # `marker:` names the half that jobs read as a variable
    known = (*secrets, describe_variable(where.marker or "", marker)) if is_marked else secrets
    names = frozenset(secret.name for secret in known)
    found = pair_conflicts(known, *pair, remedy=remedy(where), noun="secret")
    if len(names.intersection(pair)) != 1 or where.is_dependabot:
        return tuple(found)
    beside: tuple[Listed, ...] = ()
    with suppress(KeyrotaError):  # the half is reported all the same
        beside = list_variables(connection, where)
    level = Level(name=where.scope, side=Side.BESIDE, variables=beside)
    return level_conflicts(describe_write(where, names), [level], remedy=remedy(where)) or tuple(found)


def is_gone(connection: GitHubConnection, where: Place) -> bool:
    """
    Return whether a place that answers 404 is deleted; False where that is not known.

    GitHub answers 404 as well where a token has no permission, so that alone proves nothing. It redirects a renamed
    repository, and an environment cannot be renamed: what is missing in a list that was read whole is deleted. A
    repository counts as deleted where an app that sees all of the owner's does not find it, or where the token sees
    another private repository of that owner: a token that was given selected ones could hide only this one, and a
    person decides in the end (`keyrota forget`). Of an organization nothing is known.
    """
    if where.repository is None:
        return False
    with suppress(KeyrotaError):
        about = f"the repository of {where.scope}"
        answer = connection.call(where, "GET", where.owner_path, about)
        if answer.is_success:
            return _lacks_environment(connection, where)
        installation = connection.installation(where)
        if answer.status != _MISSING:
            return False
        return installation.sees_all if installation is not None else _sees_another(connection, where)
    return False


def _lacks_environment(connection: GitHubConnection, where: Place) -> bool:
    path = (*where.owner_path, "environments")
    values = connection.pages(where, path, "environments", f"the environments of {where.scope}", per_page=100)
    names = {str(value.get("name")).casefold() for value in values}
    return where.environment is not None and where.environment.casefold() not in names


def _sees_another(connection: GitHubConnection, where: Place) -> bool:
    try:
        return any(_is_another(value, where) for value in _private(connection, where, ("orgs", where.owner, "repos")))
    except NotThere:  # a person's account
        return any(_is_another(value, where) for value in _private(connection, where, ("user", "repos")))


def _private(connection: GitHubConnection, where: Place, path: Path) -> Iterator[dict[str, Any]]:
    owner, about = replace(where, repository=None, environment=None), f"the repositories of {where.owner}"
    return connection.pages(owner, path, None, about, per_page=100, query={"type": "private"})


def _is_another(value: Mapping[str, Any], where: Place) -> bool:
    owner, _, name = str(value.get("full_name", "")).casefold().partition("/")
    is_theirs = owner == where.owner.casefold()
    return value.get("private") is True and is_theirs and name != (where.repository or "").casefold()
