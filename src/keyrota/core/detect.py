"""Detects AWS keys among variables, by their values where they are readable, and by their names where they are not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from keyrota.core.model import AccessKeyId, FoundKey

LONG_LIVED = re.compile(r"AKIA[A-Z0-9]{12,124}")
"""An access key ID of an IAM user (IAM User Guide, unique identifiers: the prefix AKIA)."""
USUAL = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A variable as a list shows it, its value dropped unless it is a key ID."""

    name: str
    is_readable: bool
    key: AccessKeyId | None = None


def look_at(name: str, value: object) -> Seen:
    """Look at a variable; None for a value that is not readable. No value but a key ID is kept."""
    text = value.strip() if isinstance(value, str) else ""
    key = AccessKeyId(text) if LONG_LIVED.fullmatch(text) else None
    return Seen(name=name, is_readable=value is not None, key=key)


def find_keys(place: str, settings: Mapping[str, object] | None, variables: Iterable[Seen]) -> Iterator[FoundKey]:
    """
    Find the key IDs among the variables of one place.

    Args:
        place: In words.
        settings: How the configuration would name the place; None if it cannot.
        variables: All variables of the place.
    """
    variables = tuple(variables)
    names = frozenset(variable.name for variable in variables)
    for variable in variables:
        is_guess = not variable.is_readable and looks_like_id(variable.name)
        if variable.key is None and not is_guess:
            continue
        secret = secret_beside(variable.name, names)
        yield FoundKey(
            place=place,
            settings=_add_names(settings, variable.name, secret),
            variable=variable.name,
            key=variable.key,
            remark="" if secret else "no variable beside it is named as if it held the secret",
        )


def _add_names(settings: Mapping[str, object] | None, id_name: str, secret: str | None) -> Mapping[str, object] | None:
    if settings is None or (id_name, secret) == USUAL or secret is None:
        return settings
    return {**settings, "names": {"id": id_name, "secret": secret}}


def plain(name: str) -> str:
    """Write a name as an environment variable is written: `accessKeyId` and `access-key-id` are ACCESS_KEY_ID."""
    return re.sub(r"[-. ]", "_", _HUMP.sub("_", name)).upper()


_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def looks_like_id(name: str) -> bool:
    """Return whether a variable's name says that it holds an access key ID."""
    packed = plain(name).replace("_", "")
    return "ACCESSKEYID" in packed or packed == "ACCESSKEY" or packed.endswith(("AWSACCESSKEY", "AWSKEYID", "AWSKEY"))


def looks_like_secret(name: str) -> bool:
    """Return whether a variable's name says that it holds a secret access key."""
    packed = plain(name).replace("_", "")
    return "SECRETACCESSKEY" in packed or packed.endswith(("AWSSECRETKEY", "AWSSECRET"))


_TWINS = (("ACCESSKEYID", "SECRETACCESSKEY"), ("KEYID", "SECRETKEY"), ("ACCESSKEY", "SECRETKEY"))


def secret_beside(id_name: str, names: frozenset[str]) -> str | None:
    """Find the variable that holds the secret to an ID, by its name; None if there is none, or more than one."""
    packed = plain(id_name).replace("_", "")
    for old, new in _TWINS:
        twin = packed.replace(old, new)
        matches = [name for name in sorted(names) if plain(name).replace("_", "") == twin and twin != packed]
        if matches:
            return matches[0]
    secrets = [name for name in names if looks_like_secret(name)]
    return secrets[0] if len(secrets) == 1 else None
