"""Whether a project or a group that answers 404 is deleted."""

from __future__ import annotations

from contextlib import suppress

from keyrota.errors import KeyrotaError, NotThere
from keyrota.targets.gitlab.connection import GitLabConnection
from keyrota.targets.gitlab.place import Place


def is_gone(connection: GitLabConnection, where: Place) -> bool:
    """
    Return whether a project that answers 404 is deleted; False where that is not known.

    GitLab answers 404 as well where a token may not see a project, and redirects one that was moved. So a project
    counts as deleted where the token sees another private one of the same group: a person decides in the end (`keyrota
    forget`). Of a group, of the instance, and of a project that is named by its number nothing is known.
    """
    group, _, name = (where.project or "").rpartition("/")
    if not group:
        return False
    with suppress(KeyrotaError):
        about = f"the projects of {group}"
        try:
            connection.get(where, ("projects", where.project or ""), f"the record of {where.scope}")
        except NotThere:
            found = connection.pages(("groups", group, "projects"), about, query={"visibility": "private"})
            return any(value.get("visibility") == "private" and value.get("path") != name for value in found)
    return False
