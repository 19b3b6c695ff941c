"""Whether GitHub would take a write, as far as it can be asked without one."""

from __future__ import annotations

from keyrota.core.model import Readiness
from keyrota.targets.github.connection import FINE_GRAINED, GitHubConnection, describe_needs, permissions
from keyrota.targets.github.place import Place
from keyrota.targets.github.visibility import visibility_of

_MISSING = 404


def preflight(connection: GitHubConnection, where: Place) -> Readiness:
    """
    Look at the public key, the repository, and what the token says of itself.

    Raises:
        KeyrotaError: GitHub refused one of the questions.
    """
    trouble, remedy = _app_lacks(connection, where) or ("", "")
    if not trouble:
        connection.public_key(where)
        if where.marker:
            _look_at_variables(connection, where)
        trouble, remedy = _classic_lacks(connection, where) or ("", "")
    if not trouble and where.repository:
        trouble, remedy = _repository_refuses(connection, where)
    if not trouble and not where.repository:
        _ask_visibility(connection, where)
    return Readiness(address=where.address, is_ready=not trouble, detail=trouble, remedy=remedy)


def _app_lacks(connection: GitHubConnection, where: Place) -> tuple[str, str] | None:
    installation = connection.installation(where)
    if installation is None:
        return None
    if installation.is_suspended:
        return "the installation of the GitHub App is suspended", "unsuspend it in the settings of the owner"
    first, *others = permissions(where)
    # The name of the permission for variables is not in GitHub's description: refused only where it says something.
    absent_state = [] if installation.permissions.get(first) == "write" else [first]
    absent_state += [name for name in others if installation.permissions.get(name, "write") != "write"]
    if not absent_state:
        return None
    name = absent_state[0]
    return (
        f"the installation of the GitHub App lacks a permission: {FINE_GRAINED[name]}",
        "add it to the app, and let the owner accept it",
    )


def _look_at_variables(connection: GitHubConnection, where: Place) -> None:
    """List the variables: the marker alone is 404 as well where they may not be seen at all."""
    about = f"the variables of {where.scope}"
    for _ in connection.pages(where, where.variables_path, "variables", about, per_page=30):
        return


def _classic_lacks(connection: GitHubConnection, where: Place) -> tuple[str, str] | None:
    """Look at the scopes that only classic tokens tell."""
    wanted = "repo" if where.repository else "admin:org"
    if connection.scopes is None or wanted in connection.scopes:
        return None
    return f"the token lacks the scope {wanted}", describe_needs(where)


def _repository_refuses(connection: GitHubConnection, where: Place) -> tuple[str, str]:
    content = connection.get(where, where.owner_path, f"the repository of {where.scope}")
    connection.identities.note(where, content)
    if content.get("archived") is True:
        return "the repository is archived, and so read-only", "take it out of the configuration, or unarchive it"
    rights = content.get("permissions")
    is_person = connection.installation(where) is None  # of an app, these say nothing
    if is_person and isinstance(rights, dict) and rights.get("push") is False:
        return "the token sees the repository, and may not write to it", describe_needs(where)
    return "", ""


def _ask_visibility(connection: GitHubConnection, where: Place) -> None:
    for name in where.names:
        answer = connection.call(where, "GET", (*where.secrets_path, name), f"{where.scope}, secret {name}")
        if answer.status == _MISSING:
            visibility_of(connection, where, name, None)
        else:
            connection.raise_for_status(answer, where, f"{where.scope}, secret {name}")
            visibility_of(connection, where, name, answer.object())
