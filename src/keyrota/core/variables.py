"""
What the variables of one place say: which key IDs they show, and what would make a write harmful.

Shared by all targets, by the adoption of a secret, and by the simulated world. Of a readable value only the access key
IDs in it are kept.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from keyrota.core.detect import looks_like_id, looks_like_secret, plain, secret_beside
from keyrota.core.lifecycle import KEY_ID
from keyrota.core.model import AccessKeyId, Conflict, ShownKey, VariableState

_ANYWHERE = re.compile(r"(?<![A-Za-z0-9])AKIA[A-Z0-9]{12,124}(?![A-Za-z0-9])")
"""In a credentials file, a JSON document or a presigned URL: never within a longer word, as a secret might be."""
_USUAL_ID, _USUAL_SECRET = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
SESSIONS = ("AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")
"""Both names of a session token: the second is older, and the AWS CLI and boto3 still read it
(botocore.credentials.EnvProvider)."""
PROFILES = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE")
"""Both names of a profile (botocore.configprovider; AWS CLI, environment variables)."""
WEB_IDENTITY = "AWS_WEB_IDENTITY_TOKEN_FILE"
IDENTITIES = {
    "AWS_SHARED_CREDENTIALS_FILE": "that file",
    WEB_IDENTITY: "the role that the token stands for",
}
"""Credential sources that come after environment variables (AWS SDKs and Tools Reference, provider chain)."""
_MAX_ENCODED = 64 * 1024
_WORD = re.compile(r"[A-Za-z0-9+/_-]{22,}={0,2}")
"""Base64 of at least sixteen bytes, the length of the shortest key ID (RFC 4648, sections 4 and 5)."""


def key_ids(text: str) -> tuple[AccessKeyId, ...]:
    """
    Find the access key IDs of IAM users in a readable text, each once, in order.

    Also in what is Base64: the whole text, in lines of any length as `base64` prints it, or a part of it, such as an
    entry in the manifest of a Kubernetes secret.
    """
    found = [
        *_ANYWHERE.findall(text),
        *(key for part in _find_encoded(text) for key in _ANYWHERE.findall(_decode(part))),
    ]
    return tuple(AccessKeyId(key) for key in dict.fromkeys(found))


def _find_encoded(text: str) -> Iterator[str]:
    """Find what may be Base64: the whole without its white space, and each word that is long enough for a key ID."""
    if len(text) > _MAX_ENCODED:
        return
    whole = "".join(text.split())
    if _WORD.fullmatch(whole):
        yield whole
    yield from (word for word in _WORD.findall(text) if word != whole)


def _decode(packed: str) -> str:
    """Decode Base64 in either alphabet, with or without its padding; an empty text where it is none."""
    plain_alphabet = packed.rstrip("=").replace("-", "+").replace("_", "/")
    padding = "=" * (-len(plain_alphabet) % 4)
    try:
        return base64.b64decode(plain_alphabet + padding, validate=True).decode()
    except (binascii.Error, ValueError):
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A variable as a list of its place shows it; its value is dropped."""

    name: str
    is_readable: bool
    key: AccessKeyId | None = None
    """The value itself, where it is exactly a key ID: with a line break behind it, no AWS tool takes it."""
    keys: tuple[AccessKeyId, ...] = ()
    """The key IDs that the value contains, `key` too."""


def describe_variable(name: str, value: object, *, is_readable: bool | None = None) -> Listed:
    """
    Look at a variable.

    Args:
        name: As it is spelled there.
        value: Its value; None where it cannot be read.
        is_readable: Where the service says so itself; otherwise a value that is there is readable.
    """
    text = value if isinstance(value, str) else ""
    return Listed(
        name=name,
        is_readable=value is not None if is_readable is None else is_readable,
        key=AccessKeyId(text) if KEY_ID.fullmatch(text) else None,
        keys=key_ids(text),
    )


def states_of(
    names: Iterable[str], variables: Iterable[Listed], *, id_name: str, marker: str | None = None
) -> tuple[VariableState, ...]:
    """
    Say of each variable that a write creates or replaces what is there now.

    Args:
        names: Of the variables that a write creates or replaces, as they are spelled in the list.
        variables: The whole list, or at least ours.
        id_name: The one whose value is the key ID (or contains it, for a bundle or a marker).
        marker: The one that only names the key beside secrets that cannot be read.
    """
    known = {variable.name: variable for variable in variables}
    states = (_state_of(name, known.get(name), is_id=name == id_name) for name in dict.fromkeys(names))
    return tuple(replace(state, is_marker=state.name == marker) for state in states)


def _state_of(name: str, found: Listed | None, *, is_id: bool) -> VariableState:
    if found is None:
        return VariableState(name=name, is_present=False)
    key = found.key or next(iter(found.keys), None)
    return VariableState(
        name=name, is_present=True, key=key if is_id or found.keys else None, is_readable=found.is_readable
    )


def find_shown(
    variables: Iterable[Listed], where: str, *, beside: Collection[str] = (), noun: str = "variable"
) -> tuple[ShownKey, ...]:
    """
    Name the key IDs that readable variables contain.

    Args:
        variables: The list of one scope.
        where: The scope in words, as the target's address.
        beside: Our own names, which the target reports by itself.
        noun: What the service calls a variable.
    """
    others = [variable for variable in variables if variable.name not in beside]
    return tuple(
        ShownKey(key=key, where=f"{noun} {variable.name} of {where}") for variable in others for key in variable.keys
    )


def pair_conflicts(
    variables: Iterable[Listed], id_name: str, secret_name: str, *, remedy: str = "", noun: str = "variable"
) -> Iterator[Conflict]:
    """
    Find what makes the first write of a pair of variables harmful or useless.

    Exactly one half is there; the pair is there under other names; AWS_SESSION_TOKEN or AWS_PROFILE stands beside it.

    Args:
        variables: Everything that the place lists, secrets and plain variables alike.
        id_name: Of the ID's variable, as it is spelled in the list.
        secret_name: Of the secret's.
        remedy: What a person does about half a pair, where the service offers more than `names:`.
        noun: What the service calls a variable.
    """
    names = {variable.name: variable for variable in variables}
    present = [name for name in (id_name, secret_name) if name in names]
    if len(present) == 1:
        missing = secret_name if present == [id_name] else id_name
        yield Conflict(
            what=f"half a pair: the {noun} {present[0]} is there, and {missing} is not",
            remedy=remedy
            or f"find where the other half comes from; then set `names:`, or complete or delete {present[0]}",
        )
    if not present:
        yield from _other_names(names, {id_name, secret_name}, noun)
        yield from _find_replaced_by_pair(names, id_name, noun)
    if plain(id_name) == _USUAL_ID:
        yield from _beside_pair(names, noun)


def other_pair(fields: Mapping[str, object], id_name: str, secret_name: str) -> Conflict | None:
    """Find a pair under other names in a JSON object that has neither of ours; None if there is none."""
    variables = [describe_variable(name, value) for name, value in fields.items() if isinstance(value, str)]
    return next(_other_names({one.name: one for one in variables}, {id_name, secret_name}, "field"), None)


def bundle_conflicts(variables: Iterable[Listed], bundle: str, *, noun: str = "variable") -> Iterator[Conflict]:
    """Find what makes a bundle useless: AWS tools prefer the plain pair, or look for another profile in the file."""
    names = {variable.name: variable for variable in variables}
    beside = [name for name in names if plain(name) in {_USUAL_ID, _USUAL_SECRET} and name != bundle]
    if beside:
        yield Conflict(
            what=f"the plain {noun} {' and '.join(sorted(beside))} stands beside the bundle {bundle}: "
            f"AWS tools use it instead of the bundle",
            remedy=f"delete {' and '.join(sorted(beside))} once the bundle is there, or leave `bundle:` out",
            is_lasting=True,
        )
    yield from _before_bundle(names, bundle, noun)
    if bundle not in names and not beside:
        yield from _other_names(names, {bundle}, noun)


def _before_bundle(names: Iterable[str], bundle: str, noun: str) -> Iterator[Conflict]:
    for name in names:
        if plain(name) in PROFILES:
            yield Conflict(
                what=f"{name} stands beside the bundle {bundle}, which has the profile [default] only",
                remedy=f"delete {name}, or set it to default and confirm",
            )
        elif plain(name) == WEB_IDENTITY and name != bundle:
            yield Conflict(
                what=f"the {noun} {name} stands beside the bundle {bundle}: some AWS tools use "
                f"{IDENTITIES[WEB_IDENTITY]} instead of the bundle",
                remedy=f"delete {name} if the bundle is to be used, or leave this place out",
            )


def _plural(noun: str) -> str:
    return f"{noun.removesuffix('y')}ies" if noun.endswith("y") else f"{noun}s"


def _other_names(names: dict[str, Listed], ours: set[str], noun: str) -> Iterator[Conflict]:
    """Find pairs under other names, where our own are wholly absent: a second pair would be made beside them."""
    for variable in names.values():
        is_id = (variable.key is not None and variable.key in variable.keys) or looks_like_id(variable.name)
        if not is_id or variable.name in ours:
            continue
        secret = secret_beside(variable.name, frozenset(names) - ours)
        shows = f" ({variable.key})" if variable.key else ""
        found = (
            f"the {_plural(noun)} {variable.name} and {secret}{shows} look like a pair under other names"
            if secret
            else f"the {noun} {variable.name}{shows} looks like half a pair under another name"
        )
        yield Conflict(
            what=f"{found}: a write would add a second pair beside {'them' if secret else 'it'}",
            remedy=f"set `names: {{id: {variable.name}, secret: {secret}}}` if it is this user's pair"
            if secret
            else f"find the secret that belongs to {variable.name}, and give both with `names:`",
            key=variable.key,
        )
    ids = [name for name in names if looks_like_id(name)]
    secrets = [name for name in names if looks_like_secret(name) and name not in ours]
    if secrets and not ids and not any(variable.key for variable in names.values()):
        yield Conflict(
            what=f"half a pair under another name: the {noun} {secrets[0]} is there, and no ID is",
            remedy="find where the other half comes from, and give both with `names:`",
        )


def _find_replaced_by_pair(names: dict[str, Listed], id_name: str, noun: str) -> Iterator[Conflict]:
    """Find what gives jobs their identity now, and would not once the plain pair is there: AWS tools prefer that."""
    for name in names:
        if plain(id_name) == _USUAL_ID and plain(name) in IDENTITIES:
            yield Conflict(
                what=f"the {noun} {name} is there: AWS tools would use the pair instead of {IDENTITIES[plain(name)]}",
                remedy=f"leave this place out if {name} is what jobs use, or delete {name}",
            )


def _beside_pair(names: dict[str, Listed], noun: str) -> Iterator[Conflict]:
    for name in names:
        if plain(name) in SESSIONS:
            yield Conflict(
                what=f"the {noun} {name} is there: AWS refuses the key of an IAM user together with a session token",
                remedy=f"delete {name}",
                is_lasting=True,
            )
        elif plain(name) in PROFILES:
            yield Conflict(
                what=f"the {noun} {name} is there: some AWS tools use that profile instead of the pair",
                remedy=f"delete {name} if the pair is to be used",
            )
