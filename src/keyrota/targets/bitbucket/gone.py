"""Whether a place that answers 404 is deleted."""

from __future__ import annotations

from contextlib import suppress
from itertools import islice

from keyrota.errors import KeyrotaError
from keyrota.targets.bitbucket.connection import BitbucketConnection
from keyrota.targets.bitbucket.identity import UUID
from keyrota.targets.bitbucket.place import Place


def is_gone(connection: BitbucketConnection, where: Place) -> bool:
    """
    Return whether a place that answers 404 is deleted; False where that is not known.

    Bitbucket does not redirect a repository's old name, and an environment can be renamed, so that a name that is not
    there proves nothing. A UUID does: of an environment that is not in a list which was read whole, or of a repository,
    where the token sees others of its workspace.
    """
    with suppress(KeyrotaError):
        if where.environment is not None:
            return bool(UUID.fullmatch(where.environment)) and _lacks_environment(connection, where, where.environment)
        if where.repository is not None and UUID.fullmatch(where.repository):
            return any(islice(connection.repositories(where.workspace), 1))
    return False


def _lacks_environment(connection: BitbucketConnection, where: Place, uuid: str) -> bool:
    known = connection.environments(where.workspace, where.repository or "").values()
    return uuid.lower() not in {each.lower() for uuids in known for each in uuids}
