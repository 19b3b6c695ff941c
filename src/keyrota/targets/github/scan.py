"""Walking through GitHub for keys: organizations, repositories, their environments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import Any

from keyrota.core.detect import Seen, find_keys, look_at, looks_like_id
from keyrota.core.model import FoundKey
from keyrota.errors import NotThere, ProviderRefused
from keyrota.targets.github.connection import GitHubConnection
from keyrota.targets.github.place import Path, Place, place


def scopes(connection: GitHubConnection, scope: str | None, *, is_app: bool) -> tuple[str, ...]:
    """List an organization (`acme`) and the repositories that the token sees (`acme/shop`)."""
    if is_app and scope is None:
        raise ProviderRefused(
            "an app sees one organization at a time", where="github", remedy="name it: --org ORGANIZATION"
        )
    if scope is None:
        names = _full_names(connection, _owner(""), ("user", "repos"), None)
        owners = dict.fromkeys(name.partition("/")[0] for name in names)
        return (*owners, *names)
    where = _owner(scope)
    if is_app:
        return (scope, *_full_names(connection, where, ("installation", "repositories"), "repositories"))
    try:
        names = _full_names(connection, where, ("orgs", scope, "repos"), None)
    except NotThere:
        every = _full_names(connection, where, ("user", "repos"), None)  # a person, not an organization
        names = tuple(name for name in every if name.casefold().startswith(f"{scope.casefold()}/"))
    return (scope, *names)


def _owner(name: str) -> Place:
    return place({"organization": name or "-"})


def _full_names(connection: GitHubConnection, where: Place, path: Path, field: str | None) -> tuple[str, ...]:
    values = connection.pages(where, path, field, "the repositories that the token sees", per_page=100)
    return tuple(str(value["full_name"]) for value in values if isinstance(value.get("full_name"), str))


def scan(connection: GitHubConnection, scope: str) -> Iterator[FoundKey]:
    """Look through one organization's own secrets and variables, or one repository's and those of its environments."""
    if "/" not in scope:
        found: list[dict[str, Any]] = [{"organization": scope}, {"organization": scope, "dependabot": True}]
        for settings in found:
            yield from _scan_place(connection, settings, is_optional=True)
        return
    for settings in ({"repository": scope}, {"repository": scope, "dependabot": True}):
        yield from _scan_place(connection, settings, is_optional=False)
    where = place({"repository": scope})
    about = f"the environments of {scope}"
    values = connection.pages(where, (*where.owner_path, "environments"), "environments", about, per_page=100)
    for value in values:
        settings = {"repository": scope, "environment": str(value.get("name"))}
        yield from _scan_place(connection, settings, is_optional=False)


def _scan_place(connection: GitHubConnection, settings: Mapping[str, Any], *, is_optional: bool) -> Iterator[FoundKey]:
    """Look at secrets and variables, each for itself: one that may not be seen hides not the other."""
    where, names, variables = place(settings), list[Seen](), list[Seen]()
    may_lack = is_optional or where.is_dependabot  # a person's account has none, or the token may not see them
    with suppress(NotThere, ProviderRefused) if may_lack else nullcontext():
        names = [_name(value) for value in _list(connection, where, where.secrets_path, "secrets", 100)]
    if not where.is_dependabot:
        with suppress(NotThere, ProviderRefused):
            found = _list(connection, where, where.variables_path, "variables", 30)
            variables = [look_at(str(value.get("name", "")), value.get("value") or "") for value in found]
    yield from _join(where, settings, names, variables)


def _join(
    where: Place, settings: Mapping[str, Any], names: Sequence[Seen], variables: Sequence[Seen]
) -> Iterator[FoundKey]:
    """Join secrets with the markers that keyrota wrote beside them: they tell whose keys nobody can read."""
    known = {secret.name: f"KEYROTA_{secret.name}" for secret in names}
    keys = {variable.name: variable.key for variable in variables if variable.key is not None}
    marked = {name: keys[marker] for name, marker in known.items() if marker in keys}
    told = [replace(secret, key=marked.get(secret.name)) for secret in names]
    for found in find_keys(where.scope, settings, told):
        yield _apply_marker(found) if found.key else found
    others = [variable for variable in variables if variable.name not in {known[name] for name in marked}]
    for open_key in find_keys(f"{where.scope} variables", None, others):
        yield replace(open_key, remark="a readable variable, not a secret: keyrota does not write it")


def _apply_marker(found: FoundKey) -> FoundKey:
    """Conclude `marker: true`; but a secret that is not named like an ID may hold the whole pair: that is a guess."""
    is_id = looks_like_id(found.variable) or "KEY_ID" in found.variable
    remark = "; ".join(filter(None, [found.remark if is_id else "", "as the marker beside it says"]))
    if not is_id or found.settings is None:
        return replace(found, settings=None, remark=f"{remark}; is it the ID, or a bundle? Name it yourself")
    return replace(found, settings={**found.settings, "marker": True}, remark=remark)


def _name(value: Mapping[str, Any]) -> Seen:
    return look_at(str(value.get("name", "")), None)


def _list(
    connection: GitHubConnection, where: Place, path: Path, field: str, per_page: int
) -> Iterator[dict[str, Any]]:
    return connection.pages(where, path, field, f"the {field} of {where.scope}", per_page=per_page)
