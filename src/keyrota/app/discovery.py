"""Finding the AWS keys at a provider, and writing a configuration for them: what is certain, and what is a guess."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from keyrota.app.files import Unreadable, create, read_bounded, replace
from keyrota.core.model import AccessKeyId, FoundKey
from keyrota.errors import NotThere, ProviderRefused, UsageError, printable
from keyrota.http.urls import is_upward
from keyrota.target_base.provider import Connection

_MAX_BYTES = 256 * 1024 * 1024
_SAVED_EVERY = 20
"""Scopes: up to so many are scanned again where a job is killed."""


@dataclass(slots=True, kw_only=True)
class Scan:
    """How far a walk through a provider has come; it can be put into a file and gone on with."""

    provider: str
    scope: str | None
    base_url: str = ""
    """Where the provider is: two instances of GitLab are two walks."""
    scopes: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    found: list[FoundKey] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    """Scopes that could not be looked into, with the reason."""

    def save(self, file: Path) -> None:
        """Write it down; it holds key IDs and names, no secret."""
        replace(file, json.dumps(asdict(self), ensure_ascii=False).encode("utf-8", "surrogatepass"))

    @staticmethod
    def resume(file: Path, provider: str, scope: str | None, base_url: str = "") -> Scan:
        """Continue what an earlier run wrote down for the same walk, or begin anew."""
        fresh = Scan(provider=provider, scope=scope, base_url=base_url)
        try:
            content = json.loads(read_bounded(file, _MAX_BYTES, follows_links=False, only_own=True))
            seen = [FoundKey(**entry) for entry in content.pop("found")]
            known = Scan(**content, found=seen)
        except (OSError, Unreadable, ValueError, TypeError, KeyError, AttributeError):
            return fresh
        is_same = (known.provider, known.scope, known.base_url) == (provider, scope, base_url)
        return known if is_same else fresh


def walk(connection: Connection, scan: Scan, file: Path, emit: Callable[[Scan, str], None]) -> None:
    """
    Look through all scopes that were not looked through yet.

    How far it came is in the file, also when nobody lets it end; who has used the findings deletes it.

    Raises:
        ProviderUnavailable: A limit, or an outage; the next run continues.
    """
    try:
        if not scan.scopes:
            scan.scopes = list(dict.fromkeys(connection.scopes(scan.scope)))
        done = set(scan.done)
        for scope in scan.scopes:
            if scope in done:
                continue
            emit(scan, scope)
            seen: list[FoundKey] = []
            try:
                for found in connection.scan(scope):
                    seen.append(found)  # noqa: PERF402  # one by one: what was seen before a refusal is kept
            except (ProviderRefused, NotThere) as error:
                scan.closed.append(f"{scope}, in part: {error}" if seen else f"{scope}: {error}")
            scan.found += seen
            scan.done.append(scope)
            if len(scan.done) % _SAVED_EVERY == 0:
                scan.save(file)
    finally:
        scan.save(file)


Owner = Callable[[AccessKeyId], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sorted:
    """What was found, by how much is known of it."""

    certain: Mapping[str, tuple[FoundKey, ...]]
    """By IAM user: the key was read, and is that user's."""
    guesses: tuple[FoundKey, ...]
    """Named like a key, but not readable."""
    foreign_keys: tuple[FoundKey, ...]
    """Read, but no key of this account's."""
    elsewhere: tuple[tuple[str, FoundKey], ...]
    """Read, in a place where keyrota writes nothing: with the user."""


def sort(found: tuple[FoundKey, ...], owner: Owner) -> Sorted:
    """Join what was found with the account's keys."""
    certain: dict[str, list[FoundKey]] = {}
    guesses, foreign_keys, elsewhere = [], [], []
    owners = {key: owner(key) for key in {one.key for one in found} if key is not None}
    for one in found:
        user = owners.get(one.key) if one.key else None
        if one.key is None:
            guesses.append(one)
        elif user is None:
            foreign_keys.append(one)
        elif one.settings is None or not all(_may_stand(value) for value in one.settings.values()):
            elsewhere.append((user, one))  # a name that no configuration may hold would spoil the whole file
        else:
            certain.setdefault(user, []).append(one)
    return Sorted(
        certain={user: tuple(certain[user]) for user in sorted(certain)},
        guesses=tuple(guesses),
        foreign_keys=tuple(foreign_keys),
        elsewhere=tuple(elsewhere),
    )


def _may_stand(value: object) -> bool:
    """Return whether a configuration may hold a name that a provider has."""
    return str(value).isprintable() and not is_upward(str(value))


def configuration(
    provider: str, settings: Mapping[str, Any], known: Sorted, scan: Scan, candidates: Mapping[str, Any]
) -> Iterator[str]:
    """Write the lines of a `keyrota.yaml`; what is a guess is a comment."""
    yield "# Written by keyrota discover. What is certain stands here; what is a guess is a comment: look at it."
    yield "version: 1"
    yield "providers:"
    yield f"  {provider}: {_flow(settings)}"
    yield "credentials:" if known.certain else "credentials: []   # none is certain: take from the guesses below"
    for user, keys in known.certain.items():
        yield f"  - user: {_flow(user)}"
        yield "    targets:"
        for one in keys:
            remark = f"; {printable(one.remark)}" if one.remark else ""
            yield f"      - {provider}: {_flow(one.settings)}   # holds {one.key}{remark}"
    if known.guesses:
        yield "#"
        yield "# Guesses: variables named like an AWS key, whose values cannot be read. Whose key is it?"
        if candidates:
            yield f"# Users with keys that were seen nowhere: {', '.join(sorted(candidates))}"
        for one in known.guesses:
            remark = f"; {printable(one.remark)}" if one.remark else ""
            what = f"- {provider}: {_flow(one.settings)}" if one.settings is not None else printable(one.place)
            yield f"#     {what}   # {printable(one.variable)}{remark}"
    if known.elsewhere:
        yield "#"
        yield "# Keys in places where keyrota writes nothing:"
        for user, one in known.elsewhere:
            yield f"#     {printable(one.place)}: {printable(one.variable)} holds {one.key} of {user}; {one.remark}"
    if known.foreign_keys:
        yield "#"
        yield "# Keys that are not this account's, or are gone:"
        yield from (
            f"#     {printable(one.place)}: {printable(one.variable)} holds {one.key}" for one in known.foreign_keys
        )
    if scan.closed:
        yield "#"
        yield "# Not looked into:"
        yield from (f"#     {printable(line)}" for line in scan.closed)


def _flow(value: object) -> str:
    """Write a value in YAML's flow style, which takes JSON as it is."""
    return json.dumps(value, ensure_ascii=True)


def write(file: Path, lines: Iterator[str]) -> None:
    """
    Write the configuration, and never over another.

    Raises:
        UsageError: The file exists, or cannot be written.
    """
    try:
        create(file, "".join(f"{line}\n" for line in lines).encode())
    except FileExistsError:
        raise UsageError(f"{file} exists", remedy="choose another file with --output") from None
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}") from None
